"""What a session does differently when an engine on a device computes: where its values are, how they return.

Everything here is plain NumPy without such an engine (`_xla` is None then).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from prooftape.arrays.floats import LowPrecision
from prooftape.arrays.structure import Arr
from prooftape.grads import Grads, checked
from prooftape.handle_methods import TensorRef
from prooftape.naturals import INT32
from prooftape.op import Call
from prooftape.param import Param
from prooftape.recording import Mark
from prooftape.scalars import Scalar
from prooftape.statistics import Stats
from prooftape.taped import Taped
from prooftape.types import BOOL, REAL, Shape

if TYPE_CHECKING:
    from prooftape.xla.engine import Engine


class OnDevice(Taped):
    """A taped recorder whose values may live on a device."""

    def __init__(self, scalar: str | Scalar, requires_grad_by_default: bool) -> None:
        self._xla: Engine | None = None
        super().__init__(scalar, requires_grad_by_default)
        self._low = isinstance(self.scalar.xp, LowPrecision)

    def _use_xla(self, domain: str, lowerings: bool | Collection[str], donate: bool, mesh: object) -> None:
        from prooftape.xla.making import make_engine

        self._xla = make_engine(self.scalar, domain, lowerings, donate, mesh)
        self._nat_format = INT32

    def stats(self) -> Stats:
        """What recording the same graph again has saved, and what was compiled."""
        found, xla = super().stats(), self._xla
        if xla is None:
            return found
        compiles, seconds = len(xla.compiled), xla.compile_seconds
        return replace(
            found,
            hits=xla.hits,
            misses=xla.misses,
            compiles=compiles,
            compile_seconds=seconds,
            undivided=xla.undivided,
        )

    def _write_nats(self, start: int, values: Any) -> None:
        if self._xla is not None:
            self._xla.nats_change(self)
        super()._write_nats(start, values)

    def _undo(self, mark: Mark) -> None:
        if self._xla is not None:
            self._xla.undo(self, mark[0] + mark[1], mark[2])
        super()._undo(mark)

    def _optimize(
        self, rule: object, grads: Grads, memory: object, state: Callable[[], object]
    ) -> object | None:
        """A step by an optimizer's rule on the device: its memory there, or None on the NumPy engine."""
        if self._xla is None:
            return None
        from prooftape.xla.stepping import optimize

        return optimize(self, self._xla, checked("step", grads), rule, memory, state)

    def _lowering(self) -> Callable[[Call], str | None] | None:
        return None if self._xla is None else self._xla.lowering(self.graph)

    def _hold(self, param: Param) -> Arr:
        if self._xla is None:
            return param.stored
        return self._xla.hold(self, param)  # type: ignore[return-value]  # stands for the array

    def _simple(self, value: object, shape: Shape) -> Arr | None:
        found = super()._simple(value, shape)
        if found is None and self._xla is not None:
            found = self._xla.simple(value, shape)
        return found

    def _host_value(self, value: Any) -> Arr:
        if isinstance(value, np.ndarray):
            return value
        assert self._xla is not None
        device = hasattr(value, "sharding")
        return self._on_host(value if device else self._xla.leaf_value(self, value))

    def _given(self, value: object, what: str) -> Arr:
        own = None if self._xla is None else self._xla.leaf(value)
        return super()._given(value, what) if own is None else own

    def _on_host(self, value: Any, dtype: str = REAL) -> Arr:
        """A device value as a user may keep it."""
        if (
            isinstance(value, np.ndarray)
            and value.base is not None
            and not (value.flags.writeable or self._low)
        ):
            return value  # a view of what is locked: nobody can unlock it
        array = np.asarray(value) if self._xla is None else self._xla.on_host(value)
        if dtype == BOOL or (array is not value and not array.flags.writeable and not self._low):
            return array
        return self.scalar.to_user(array)

    def _used(self, grads: Grads) -> list[tuple[int, Param]]:
        """Leaf and parameter of every unfrozen `use`; checks that the gradients are of this recording."""
        for leaf in self._params:
            grads._id(TensorRef(self._token, leaf, self._leaves[leaf].type))
            break
        return [(leaf, p) for leaf, p in self._params.items() if p.requires_grad]

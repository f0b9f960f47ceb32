"""The result of a backward pass on the XLA engine: what was asked, computed when something is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from prooftape.arrays.structure import Arr
from prooftape.errors import GradientError, IndexRangeError
from prooftape.grads import Grads, owner_check
from prooftape.handle_methods import TensorRef
from prooftape.scalars import Scalar
from prooftape.types import REAL, TensorType
from prooftape.xla.engine import Engine
from prooftape.xla.pending import Owed
from prooftape.xla.plan import Plan

if TYPE_CHECKING:
    from prooftape.graph import Graph
    from prooftape.on_device import OnDevice
    from prooftape.replay import Track


class XlaGrads(Grads):
    """See `Grads`. Nothing is computed until a cotangent is read, or a step takes them all."""

    _track: Track | None = None
    _graph: Graph | None = None
    _asked = False  # whether a node's cotangent has been computed on its own

    def __init__(self, session: OnDevice, engine: Engine, root: int, seed: Any) -> None:
        self._session = session
        self._engine = engine
        self._token = session._token
        if session._set is not None:
            self._track = session._track
        else:
            self._graph = session.graph
        self.root = root
        self.seed = seed
        self.generation = session._generation
        self.known: dict[int, Any] = {}
        self._now = now = engine.now(session)
        self._epoch = len(now.written)

    @property
    def written(self) -> bool:
        """Whether naturals have changed since the backward pass."""
        return len(self._now.written) > self._epoch

    @property
    def _total(self) -> int:
        return len(self._track or self._graph)  # type: ignore[arg-type]

    @property
    def _ct(self) -> range:  # type: ignore[override]  # of this only the length is read
        return range(self._total)

    @property
    def _needed(self) -> None:  # type: ignore[override]
        return None

    @property
    def _scalar(self) -> Scalar:  # type: ignore[override]
        return self._session.scalar

    def _types(self, id: int) -> TensorType:
        found: TensorType = (self._track or self._graph).type_of(id)  # type: ignore[union-attr]
        return found

    def _check(self, ref: TensorRef, what: str) -> None:
        owner_check(self._token)(ref, what)

    def stored(self, id: int) -> Arr | None:
        """The cotangent of a context id; None when absent."""
        if not isinstance(id, (int, np.integer)) or isinstance(id, bool) or not 0 <= id < self._total:
            raise IndexRangeError(
                f"grads: id {id!r} is out of range; this pass covers 0 <= id < {self._total}"
            )
        if self._types(id).dtype != REAL:
            raise GradientError(f"grads: %{id} is a mask ({self._types(id)}); masks carry no gradient")
        if id > self.root:
            return None
        found = (self.known if id in self.known else self.device(self._with(int(id))))[id]
        return None if found is None else np.asarray(found)

    def _with(self, id: int) -> tuple[int, ...]:
        """What to compute when this is asked: the second node asked for brings all, not one more program."""
        if self._asked:
            return self._reals()
        self._asked = id >= len(self._leaves())
        return (id,)

    def _leaves(self) -> Any:
        return self._track.recorded.leaves if self._track is not None else self._graph.leaves  # type: ignore[union-attr]

    def _reals(self) -> tuple[int, ...]:
        return tuple([i for i in range(self.root + 1) if self._types(i).dtype == REAL])

    def __iter__(self) -> Iterator[Arr]:
        self.device(self._reals())
        return super().__iter__()

    def device(self, ids: tuple[int, ...]) -> dict[int, Any]:
        """Cotangents on the device, computed now if they are not known."""
        known = self.known
        if any(i not in known for i in ids):
            self._refuse_old()
            now = self._now
            handed = now.grads or {}
            root, seed, epoch = now.handed
            mine = root == self.root and epoch == self._epoch and seed is None is self.seed
            if mine and all(i in handed for i in ids):
                known.update({i: g() if isinstance(g, Owed) else g for i, g in handed.items()})
                return known
            now.nats = now.written[self._epoch] if self.written else None
            try:
                known.update(self._engine.gradients(self._session, self.root, self.seed, ids))
            finally:
                now.nats = None
        return known

    def _refuse_old(self) -> None:
        if self._session._generation != self.generation:
            raise GradientError(
                "grads: the session was reset before this gradient was read; with engine 'xla' gradients are "
                "computed when they are read: read them, or step, before reset_tape()"
            )

    def plan(self) -> Plan:
        """The plan that a step of these gradients uses."""
        self._refuse_old()
        return self._engine.plan(self._session, self.root)

    def take(self, id: int) -> tuple[Arr | None, bool]:
        """The cotangent; its memory is the device's."""
        return self.stored(id), False


XlaGrads.__name__ = Grads.__name__  # what messages call it

"""Mutable parameters: they live outside any recording and survive `reset_tape`."""

from __future__ import annotations

from typing import ClassVar, Final, Protocol
from weakref import WeakSet

import numpy as np

from prooftape.arrays.structure import Arr
from prooftape.errors import ShapeError, check_flag, check_name
from prooftape.graph import Leaf
from prooftape.scalars import Scalar
from prooftape.scalars import scalar as named
from prooftape.types import Shape, TensorType

_NOTHING = np.zeros(())


class Watcher(Protocol):
    """A session that has used parameters and not yet looked at their values: see `replaying.py`."""

    def _capture(self) -> None:
        """Take the values that the parameters have now."""


WATCHERS: Final[WeakSet[Watcher]] = WeakSet()


def values_change() -> None:
    """To be called before the value of a parameter changes: who still has to read the old one does."""
    if WATCHERS:
        for watcher in list(WATCHERS):
            watcher._capture()


class ParamBank(Protocol):
    """Where an engine keeps the values of parameters: see `xla/bank.py`."""

    intact: bool

    def read(self, slot: int) -> Arr:
        """The value at a slot, as a NumPy array of its own."""

    def settle(self) -> None:
        """Wait for what is under way."""


class Param:
    """A named array that training updates. `value` reads a read-only array; assigning checks the shape.

    `requires_grad=False` freezes it: its gradient is not computed unless asked, and no step changes it.
    """

    __slots__ = ("_array", "_bank", "_leaf", "_name", "_requires_grad", "_slot", "scalar")

    freezes: ClassVar[int] = 0
    """How often any parameter was frozen or thawed: who has checked one often checks this number first."""

    def __init__(
        self,
        init: object,
        name: str | None = None,
        requires_grad: bool = True,
        scalar: Scalar | str | None = None,
    ) -> None:
        self.scalar = named("float32" if scalar is None else scalar)
        self._name = check_name("param", name)
        self._requires_grad = check_flag("param: requires_grad", requires_grad)
        self._array = self.scalar.to_array(init, f"param {name or ''}".strip())
        self._bank: ParamBank | None = None  # where the value is, if it is on a device
        self._slot = 0
        self._leaf: Leaf | None = None

    @property
    def name(self) -> str | None:
        """What messages and graphs call it."""
        return self._name

    @name.setter
    def name(self, new: str | None) -> None:
        self._name, self._leaf = check_name("param", new), None

    @property
    def requires_grad(self) -> bool:
        """Whether it is trained."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, new: bool) -> None:
        flag = check_flag(f"param {self.name or ''}".strip() + ": requires_grad", new)
        self._requires_grad, self._leaf = flag, None
        Param.freezes += 1

    @property
    def shape(self) -> Shape:
        """Shape of the value."""
        return self._array.shape

    @property
    def value(self) -> Arr:
        """The current value, read-only."""
        return self.scalar.to_user(self.stored)

    @value.setter
    def value(self, new: object) -> None:
        array = self.scalar.to_array(new, f"param {self.name or ''}".strip())
        if array.shape != self._array.shape:
            raise ShapeError(
                f"param {self.name or '(unnamed)'}: cannot assign shape {array.shape} "
                f"to a parameter of shape {self._array.shape}; make a new param instead"
            )
        self.store(array)

    def leaf(self) -> Leaf:
        """The leaf it becomes in a graph: the same at every step, so made once."""
        if self._leaf is None:
            self._leaf = Leaf(TensorType.of(self.shape), self._name, self._requires_grad, "param")
        return self._leaf

    @property
    def stored(self) -> Arr:
        """The value as the NumPy engine holds it. Never written to: an update stores a new array."""
        return self._array if self._bank is None else self._bank.read(self._slot)

    def store(self, array: Arr) -> None:
        """Replace the value by an engine array of the same shape (used by training steps)."""
        assert array.shape == self._array.shape, (array.shape, self._array.shape)
        values_change()
        if self._bank is not None:
            self._bank.intact, self._bank = False, None
        self._array = array

    def enter(self, bank: ParamBank, slot: int) -> None:
        """From now on the value is the bank's; what is kept here only remembers the shape."""
        self._bank, self._slot = bank, slot
        self._array = np.broadcast_to(_NOTHING, self._array.shape)

    def __getstate__(self) -> tuple[None, dict[str, object]]:
        """For copies and pickles: the value itself, wherever it is."""
        state = {name: getattr(self, name) for name in self.__slots__}
        return None, {**state, "_array": self.stored, "_bank": None}

    def __repr__(self) -> str:
        frozen = "" if self.requires_grad else ", requires_grad=False"
        return f"Param({self.name or 'unnamed'}: {self.scalar.name}{list(self.shape)}{frozen})"

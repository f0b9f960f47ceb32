"""Parameters on the device: a bank holds the arrays of some parameters in order, ready to be given to a step.

A parameter is in at most one bank. Reading its value copies it to the host; assigning takes it out of the
bank, which collects it again at the next step. After a step the bank simply holds the new arrays, so a step
costs nothing per parameter here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from prooftape.arrays.structure import Arr
from prooftape.param import Param


class Bank:
    """Arrays of `params`; `intact` says that all of them are here and current."""

    __slots__ = ("arrays", "intact", "params", "pending", "put", "sources")

    def __init__(self, params: list[Param], put: Callable[[Arr], Any]) -> None:
        self.params = params
        self.put = put
        self.arrays: list[Any] = []
        self.intact = False
        self.sources: list[Any] | None = None  # the host arrays that `arrays` were made from
        self.pending: Callable[[], object] | None = None
        """What settles a step whose flag has not been looked at yet."""

    def settle(self) -> None:
        """Make the arrays final."""
        if self.pending is not None:
            self.pending()  # forgets itself when it is done

    def claim(self) -> list[Any]:
        """The arrays, collected from wherever the parameters are now."""
        if self.pending is not None:
            self.settle()
        if not self.intact:
            arrays: list[Any] = []
            sources: list[Any] = []
            for param in self.params:
                bank = param._bank
                if bank is None:
                    sources.append(param.stored)
                    arrays.append(self.put(param.stored))
                else:
                    assert isinstance(bank, Bank)
                    bank.settle()
                    before = bank.arrays[param._slot]
                    array = self.put(before)  # it may be on other devices
                    known = bank.sources[param._slot] if bank.sources else None
                    sources.append(known if array is before else before)
                    arrays.append(array)
                    if bank is not self:
                        bank.intact = False
            for i, param in enumerate(self.params):
                param.enter(self, i)
            self.arrays, self.sources = arrays, sources
            self.intact = True
        return self.arrays

    def stepped(self, arrays: list[Any]) -> None:
        """The parameters' new values."""
        self.arrays, self.sources = arrays, None

    def read(self, slot: int) -> Arr:
        """A copy on the host: the device's array is given away at the next step."""
        if self.pending is not None:
            self.settle()
        return np.array(self.arrays[slot])


class Memory:
    """What an optimizer remembers of a bank's parameters, on the device: `n` arrays for each, flat."""

    __slots__ = ("arrays", "clean", "params", "pending", "steps", "updates")

    def __init__(
        self, params: list[Param], steps: list[int], arrays: list[Any], updates: int, clean: bool = True
    ) -> None:
        self.params = params
        self.updates = updates
        self.steps = steps
        self.arrays = arrays
        self.clean = clean  # whether the optimizer's own state says the same
        self.pending: Callable[[], object] | None = None

    def host(self) -> list[Arr]:
        """The arrays, copied to the host."""
        if self.pending is not None:
            self.pending()
        return [np.array(a) for a in self.arrays]

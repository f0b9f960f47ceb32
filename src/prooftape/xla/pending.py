"""Results that are not final yet, and parameters' values as they were at their use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import jax
import numpy as np

from prooftape.arrays.structure import Arr
from prooftape.errors import DonatedError
from prooftape.param import Param
from prooftape.xla.bank import Bank, Memory
from prooftape.xla.program import Program

if TYPE_CHECKING:
    from prooftape.xla.engine import Engine


class Pending:
    """A step whose flag nobody has looked at: its results are final, or the strict form gives them."""

    __slots__ = ("_arguments", "_bank", "_engine", "_memory", "_program", "_report", "results")

    def __init__(
        self,
        engine: Engine,
        program: Program,
        bank: Bank,
        memory: Memory | None,
        arguments: Any,
        results: Any,
    ) -> None:
        self._engine, self._program, self._bank, self._memory = engine, program, bank, memory
        self._arguments, self.results = arguments, results
        self._report: Any = None

    def settle(self) -> Any:
        """The final results, the report read to the host."""
        if self._report is not None:
            return self.results
        results = self.results
        report = results[4]
        pair = report.__class__ is tuple
        value = report[0] if pair else np.asarray(report)
        if report[1] if pair else value[1]:
            arguments = (*results[:2], *self._arguments[2:])  # parameters and slots came back unchanged
            results = self._engine.first(self._program, self._program.strict, arguments)
            value = np.asarray(results[4])
            self._bank.stepped(results[0])
            if self._memory is not None:
                self._memory.arrays = results[1]
        elif not pair:
            value = value[0, ...]
        # an interruption before this line leaves the step pending
        self.results, self._report = results, value
        self._bank.pending = None
        if self._memory is not None:
            self._memory.pending = None
        self._arguments = ()
        return self.results

    def value(self, kind: int, k: int) -> Any:
        """One result: 2 values, 3 cotangents, 4 the root's value."""
        results = self.settle()
        return self._report if kind == 4 else results[kind][k]


class Owed:
    """A result that a pending step still has to confirm."""

    __slots__ = ("_k", "_kind", "_step")

    def __init__(self, step: Pending, kind: int, k: int) -> None:
        self._step, self._kind, self._k = step, kind, k

    def __call__(self) -> Any:
        return self._step.value(self._kind, self._k)


GONE: Final = object()
"""Stands for an array that a step was given."""


def gone(param: Param) -> DonatedError:
    """What to say where a value needs a parameter as it was before a step."""
    return DonatedError(
        "this value was not computed by the step, and the step was given the memory of the parameters' old "
        f"values ({param!r}); read it before the step, or make the session with donate=False"
    )


class Held:
    """A parameter's value as a leaf: the array it had at `use`, wherever that is."""

    __slots__ = ("array", "dtype", "param", "shape")

    def __init__(self, param: Param, array: Any = None) -> None:
        bank = param._bank
        self.param = param
        if array is not None:
            self.array: Any = array
        elif bank is None:
            self.array = param.stored
        else:
            bank.settle()
            assert isinstance(bank, Bank)
            self.array = bank.arrays[param._slot]
        self.shape = param.shape
        self.dtype = param.scalar.xp.dtype  # type: ignore[attr-defined]

    def same(self, bank: Bank, slot: int) -> bool:
        """Whether the bank's array at this slot is this value."""
        return self.array is bank.arrays[slot] or (
            bank.sources is not None and self.array is bank.sources[slot]
        )

    def read(self) -> Arr:
        """The value on the host."""
        if self.array is GONE:
            raise gone(self.param)
        if isinstance(self.array, jax.Array):
            if self.array.is_deleted():
                raise gone(self.param)
            return np.array(self.array)
        found: Arr = self.array
        return found

"""A recorded function: a graph with its arguments and results, ready to be run by an engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prooftape.arrays.structure import Arr
from prooftape.errors import RuleError
from prooftape.graph import Graph
from prooftape.naturals import naturals
from prooftape.op import Call
from prooftape.scalars import Scalar

NUMBERS: Final = "numbers"
MASK: Final = "mask"
NATURALS: Final = "naturals"
STATIC: Final = "static"


class Argument(NamedTuple):
    """One argument of a recorded function.

    at: the leaf of numbers and masks, the first slot of naturals; -1 of what is static.
    dtype: of the array that was given; device: whether it lies on a device.
    """

    name: str
    kind: str
    at: int = -1
    shape: tuple[int, ...] = ()
    dtype: object = None
    device: bool = False


class Check(NamedTuple):
    """What an op asks of the naturals it is given, whenever they can be looked at without waiting."""

    call: Call
    slots: tuple[tuple[int, int], ...]
    where: str


@dataclass(frozen=True)
class GraphFunction:
    """See the module docstring. `constants`: values of the leaves that are no arguments, by id."""

    graph: Graph
    scalar: Scalar
    arguments: tuple[Argument, ...]
    constants: dict[int, Arr]
    outputs: tuple[int, ...]
    checks: tuple[Check, ...]

    def given_naturals(self, given: Sequence[object]) -> dict[tuple[int, int], NDArray[np.int64]]:
        """The checked naturals among the arguments, by slot; those on a device are left out."""
        found = {}
        for a, x in zip(self.arguments, given, strict=True):
            if a.kind is NATURALS and not a.device:
                found[a.at, a.shape[0]] = naturals(x, a.name)
        for call, slots, where in self.checks:
            if all(slot in found for slot in slots):
                try:
                    assert call.op.record_check is not None
                    call.op.record_check(call, [found[slot] for slot in slots])
                except RuleError as e:
                    hint = f"; {e.hint}" if e.hint else ""
                    raise e.kind(f"{call.op.name}{where}: {e.problem}{hint}") from None
        return found

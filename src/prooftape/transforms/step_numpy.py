"""Recorded functions on the NumPy engine: the tape is run, nothing is recorded."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from prooftape.arrays.structure import Arr
from prooftape.errors import ScalarError
from prooftape.graph_function import MASK, NUMBERS, GraphFunction
from prooftape.scalars import as_array
from prooftape.session import located
from prooftape.tape import Instr, compile_node, forward_from
from prooftape.transforms import trees
from prooftape.transforms.trees import nested, nesting


class Mismatch(Exception):
    """Never raised here: programs are found by the shapes of what they are given."""


class Step:
    """See the module docstring. It takes what `xla.steps.Step` takes, and never the memory of an argument."""

    on_device = False

    def __init__(
        self, function: GraphFunction, donate: Collection[int], entries: Sequence[object], tree: Any
    ) -> None:
        self.function = f = function
        self.entries, self.tree = list(entries), tree
        base = len(f.graph.leaves)
        wanted = set(f.outputs)
        for k in range(len(f.graph.nodes) - 1, -1, -1):
            if base + k in wanted:
                wanted.update(f.graph.nodes[k].args)
        kept = [i for i in range(base, len(f.graph)) if i in wanted]
        slots = {i: i for i in range(base)} | {i: base + k for k, i in enumerate(kept)}
        self.instrs: list[Instr] = []
        for i in kept:
            node = f.graph.nodes[i - base]
            here = node._replace(args=tuple(slots[a] for a in node.args))
            self.instrs.append(compile_node(here, slots[i]))
        self.outputs = [slots[i] for i in f.outputs]
        self.locations = [f.graph.location_of(i) for i in (*range(base), *kept)]

    def first(self, entries: Sequence[Any]) -> tuple[Any, float, bool]:
        """The first call, as `xla.steps.Step` has it: (result, seconds, False)."""
        start = time.perf_counter()
        result = self(entries)
        return result, time.perf_counter() - start, False

    def quick(self) -> Step:
        """What to call after the first call."""
        return self

    def __call__(self, given: Sequence[Any]) -> Any:
        """The result for arguments of the form it was recorded with."""
        f = self.function
        xp, values = f.scalar.xp, [np.zeros(())] * len(f.graph.leaves)
        naturals = f.given_naturals(given)
        for a, x in zip(f.arguments, given, strict=True):
            if a.kind is NUMBERS:
                values[a.at] = f.scalar.to_array(x, a.name)
            elif a.kind is MASK:
                values[a.at] = np.array(as_array(x, a.name))
        for i, constant in f.constants.items():
            values[i] = constant

        def read(start: int, k: int) -> Arr:
            return naturals[start, k]

        with np.errstate(all="ignore"):
            try:
                forward_from(xp, self.instrs, values, read)
            except ScalarError as e:
                raise located(e, self.locations) from None
        results = [f.scalar.to_user(values[i]) for i in self.outputs]
        return nested(self.tree, [results[e] if type(e) is int else e for e in self.entries])


def flatten(tree: Any) -> tuple[list[Any], Any]:
    """The entries of nested arguments and how they are nested, hashable."""
    return nesting(tree)


def rebuild(tree: Any, entries: Sequence[Any]) -> Any:
    """The nesting with other entries."""
    return nested(tree, entries)


def paths(tree: Any) -> list[tuple[object, ...]]:
    """Where each entry is: argument list or keywords, which one, and the rest as text."""
    found = trees.paths(nesting(tree)[1])
    return [(top, one, "".join(f"[{key!r}]" for key in rest)) for top, one, *rest in found]


def is_device(kind: type) -> bool:
    """Nothing is on a device here."""
    return False

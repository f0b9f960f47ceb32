"""Derived rounding bounds: how far two engines' results for one graph may be apart, and whether they are.

`rounding_bounds` runs values, tangents and cotangents of a graph in running error analysis
(`RoundingArrays`); `check_within_rounding` holds two engines' results against the bounds of their models.
No tolerance is chosen: the bound follows from the model of each engine, and is as large as the graph
makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from prooftape.arrays.structure import Arr
from prooftape.graph import Graph
from prooftape.semantics import ReadNats, backprop_all_ctx, eval, jvp_ctx
from prooftape.testing.rounding_arrays import RoundingArrays
from prooftape.testing.rounding_model import Rounding, numpy_rounding, xla_rounding
from prooftape.testing.rounding_values import SLACK, Bounded
from prooftape.vocabulary import A, Vocabulary

__all__ = [
    "Report",
    "Results",
    "Rounding",
    "RoundingArrays",
    "Violation",
    "check_within_rounding",
    "numpy_rounding",
    "results_of",
    "rounding_bounds",
    "xla_rounding",
]


class Results(NamedTuple):
    """What an engine computes for a graph, one entry per context entry; None where there is none."""

    values: Sequence[object]
    tangents: Sequence[object] = ()
    cotangents: Sequence[object] = ()


@dataclass(frozen=True)
class Violation:
    """An entry farther from its float64 value than its engine's model allows."""

    engine: str
    kind: str
    """values, tangents or cotangents."""
    id: int
    """Context entry."""
    op: str
    index: tuple[int, ...]
    got: float
    expected: float
    bound: float

    def __str__(self) -> str:
        where = f"{self.kind}[{self.id}]{list(self.index)} of {self.op}"
        return f"{self.engine}: {where}: {self.got!r} is not within {self.bound:.3g} of {self.expected!r}"


@dataclass
class Report:
    """What was compared. `claims` counts entries with a bound, out of `entries`."""

    entries: int = 0
    claims: int = 0
    violations: list[Violation] = field(default_factory=list)
    sharpness: list[Arr] = field(default_factory=list)
    """bound / |value| of the claims with a value that is not 0."""
    use: list[Arr] = field(default_factory=list)
    """actual error / bound of the same."""

    def __bool__(self) -> bool:
        return not self.violations

    def merge(self, other: Report) -> None:
        """Add what `other` found."""
        self.entries += other.entries
        self.claims += other.claims
        self.violations += other.violations
        self.sharpness += other.sharpness
        self.use += other.use

    def __str__(self) -> str:
        head = f"{len(self.violations)} of {self.claims} claims violated ({self.entries} entries)"
        return "\n".join([head, *map(str, self.violations[:10])])


def results_of(
    xp: Vocabulary[A],
    graph: Graph,
    leaves: Sequence[A],
    read: ReadNats,
    tangents: Sequence[A | None] = (),
    seeds: Sequence[A | None] = (),
) -> tuple[list[A], list[A | None], list[A | None]]:
    """Values, tangents (for leaf tangents) and cotangents (for seeds over the context), by the definition."""
    with np.errstate(all="ignore"):
        values = eval(xp, graph, leaves, read)
        moved = jvp_ctx(xp, graph, values, read, tangents) if tangents else []
        back = backprop_all_ctx(xp, graph, values, read, seeds) if seeds else []
    return values, moved, back


def rounding_bounds(
    graph: Graph,
    leaves: Sequence[object],
    read: ReadNats,
    model: Rounding,
    tangents: Sequence[object | None] = (),
    seeds: Sequence[object | None] = (),
) -> tuple[list[Bounded], list[Bounded | None], list[Bounded | None]]:
    """The same with bounds for an engine of this model. Leaves, tangents and seeds as a user stores them."""
    xp = RoundingArrays(model)

    def given(values: Sequence[object | None]) -> list[Bounded | None]:
        return [None if v is None else xp.leaf(v) for v in values]

    return results_of(xp, graph, [xp.leaf(v) for v in leaves], read, given(tangents), given(seeds))


def check_within_rounding(
    graph: Graph,
    leaves: Sequence[object],
    read: ReadNats,
    model_a: Rounding,
    results_a: Results,
    model_b: Rounding,
    results_b: Results,
    *,
    tangents: Sequence[object | None] = (),
    seeds: Sequence[object | None] = (),
) -> Report:
    """Hold two engines' results against their models; so |a - b| is at most the sum of the two bounds.

    `leaves`, `tangents` and `seeds` are what both engines were given. An entry is None in the results exactly
    where it is None in the definition.
    """
    report = Report()
    for model, results in ((model_a, results_a), (model_b, results_b)):
        bounds = rounding_bounds(graph, leaves, read, model, tangents, seeds)
        kinds: tuple[tuple[str, Sequence[Bounded | None], Sequence[object]], ...] = (
            ("values", bounds[0], results.values),
            ("tangents", bounds[1], results.tangents),
            ("cotangents", bounds[2], results.cotangents),
        )
        for kind, expected, got in kinds:
            if len(expected) != len(got):
                raise ValueError(f"{model.name}: {len(got)} {kind} for {len(expected)} context entries")
            for id, (bound, result) in enumerate(zip(expected, got, strict=True)):
                if (bound is None) != (result is None):
                    raise ValueError(
                        f"{model.name}: {kind}[{id}] is {'present' if bound is None else 'absent'}"
                    )
                if bound is not None:
                    leaf = id < len(graph.leaves)
                    op = "leaf" if leaf else graph.nodes[id - len(graph.leaves)].call.op.name
                    report.merge(compare(model, bound, result, (kind, id, op)))
    return report


def compare(model: Rounding, bound: Bounded, result: object, place: tuple[str, int, str]) -> Report:
    """One array against its bound."""
    value, error = bound.value, bound.error
    got = np.asarray(result)
    if got.shape != value.shape:
        raise ValueError(f"{model.name}: {place[0]}[{place[1]}] has shape {got.shape}, not {value.shape}")
    if value.dtype.kind == "b":
        claim = ~error
        wrong = claim & (got.astype(np.bool_) != value)
        error = np.where(error, np.inf, 0.0)
    else:
        got = got.astype(np.float64)
        claim = error < np.inf
        same = (got == value) | (np.isnan(got) & np.isnan(value))
        with np.errstate(all="ignore"):
            off = np.abs(got - value)
            wrong = claim & ~same & ~(off <= error * SLACK)
    found = [
        Violation(
            model.name,
            *place,
            tuple(map(int, at)),
            float(got[tuple(at)]),
            float(value[tuple(at)]),
            float(error[tuple(at)]),
        )
        for at in np.argwhere(wrong)
    ]
    report = Report(value.size, int(claim.sum()), found)
    if value.dtype.kind != "b":
        counted = claim & (error > 0) & (value != 0)
        report.sharpness.append((error[counted] / np.abs(value[counted])).ravel())
        report.use.append((off[counted] / error[counted]).ravel())
    return report

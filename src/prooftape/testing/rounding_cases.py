"""Graphs and data to hold engines against their rounding bounds: every op's samples, or random graphs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from prooftape.arrays.structure import Arr
from prooftape.op import Op
from prooftape.scalars import scalar
from prooftape.session import Session
from prooftape.testing.rounding import Results, results_of
from prooftape.testing.values import draw, draw_reals, record
from prooftape.types import REAL


class Data(NamedTuple):
    """What both engines are given: leaves, leaf tangents, and seeds over the context."""

    leaves: list[Arr]
    tangents: list[Arr | None]
    seeds: list[Arr | None]


def op_sessions(op: Op, rng: random.Random) -> Iterator[Session]:
    """One session per sample of the op, the op its last node."""
    given = {a.name: a.default for a in op.attrs}
    for sample in op.samples():
        s = Session("float64", domain="ieee")
        leaves = []
        for operand in sample.operands:
            value = draw(rng, operand)
            leaves.append(s.const(value) if operand.kind == "mask" else s.add_leaf(value))
        record(s, op, leaves, tuple((given | sample.attrs).values()), sample.nats)
        yield s


def draw_data(s: Session, rng: random.Random, *, rough: bool) -> Data:
    """Float32 data for the session's graph, a seed at its last entry.

    The session's own small fractions keep most arithmetic exact; `rough` changes each by up to 5 % to numbers
    with all bits in use.
    """

    def numbers(given: Arr) -> Arr:
        if given.dtype.kind == "b":
            return given
        rows = [float(v) * (1 + rng.uniform(-0.05, 0.05) * rough) for v in given.ravel()]
        return np.array(rows, np.float32).reshape(given.shape)

    graph = s.graph
    last = graph.type_of(len(graph) - 1)
    seeds: list[Arr | None] = [None] * len(graph)
    leaves = [numbers(np.asarray(s.scalar.to_user(v))) for v in s._leaf_values]
    tangents = [
        numbers(draw_reals(rng, leaf.type.shape)) if leaf.type.dtype == REAL else None
        for leaf in graph.leaves
    ]
    if last.dtype != REAL:
        return Data(leaves, tangents, [])
    seeds[-1] = numbers(draw_reals(rng, last.shape))
    return Data(leaves, tangents, seeds)


def array_results(s: Session, name: str, data: Data) -> Results:
    """What the array engine of this scalar makes of the data."""
    engine = scalar(name)

    def stored(values: list[Arr | None]) -> list[Arr | None]:
        return [v if v is None or v.dtype.kind == "b" else engine.to_array(v, "") for v in values]

    leaves = [v for v in stored([*data.leaves]) if v is not None]
    results = results_of(engine.xp, s.graph, leaves, s._reader(), stored(data.tangents), stored(data.seeds))
    return Results(*results)

"""The XLA engine against the NumPy engine: every op and random graphs, within the derived rounding bounds.

Both are asked as a user asks: `get_value`, `grads[ref]`, `jvp_dense_all`. Each answer must lie within its
engine's bound of the float64 value (docs/rounding.md), so the two lie within the sum of the bounds.
PROOFTAPE_GRAPHS sets how many random graphs are drawn (default 2,000), over three scalars.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest

pytest.importorskip("jax", reason="needs the extra xla")

from prooftape.handle_methods import TensorRef
from prooftape.ops import find, table
from prooftape.session import Session
from prooftape.testing import random_session
from prooftape.testing.rounding import (
    Report,
    Rounding,
    numpy_rounding,
    rounding_bounds,
    xla_rounding,
)
from prooftape.testing.rounding import compare as compare_entry
from prooftape.testing.rounding_cases import Data, draw_data, op_sessions
from prooftape.types import REAL

GRAPHS = int(os.environ.get("PROOFTAPE_GRAPHS", "2000"))
SHARES = {"float32": 14, "float64": 4, "bfloat16": 2}
"""Twentieths of the random graphs that run in each scalar."""
PARTS = 10
"""Tests that the graphs of a scalar are split into, so that several processes share them."""
OPS = sorted(table())
LEAST_OF_OP = {"float32": 0.8, "float64": 0.8, "bfloat16": 0.5}
"""The same for one op. In bfloat16 a row's largest entry is often not certain (reduce_max, softmax), and of
the cotangents that reach the queries of attention the model of XLA claims nothing."""
LEAST_CLAIMS = {"float32": 0.97, "float64": 0.97, "bfloat16": 0.95}
"""A bound must say something about nearly every entry, or agreement means little."""


class Asked(NamedTuple):
    """What is asked of a graph: values of some entries, cotangents of some, the tangent of the output."""

    out: int
    values: tuple[int, ...]
    cotangents: tuple[int, ...]
    value_first: bool


def recorded(like: Session, data: Data, scalar: str, engine: str) -> Session:
    """The graph of `like` on the data's leaves, through the public calls; naturals are set at the end."""
    s = Session(scalar, engine=engine)
    refs = [s.const(v) if v.dtype.kind == "b" else s.input(v, requires_grad=True) for v in data.leaves]
    nats: dict[tuple[int, int], object] = {}
    for node in like.graph.nodes:
        for slot in zip(node.nats, node.call.nat_sizes, strict=True):
            if slot not in nats:  # an op may refuse some naturals when it is recorded: zeros pass
                nats[slot] = s.input_nat_vec([0] * slot[1])
    for node in like.graph.nodes:
        attrs = {a.name: v for a, v in zip(node.call.op.attrs, node.call.attrs, strict=True)}
        slots = [nats[slot] for slot in zip(node.nats, node.call.nat_sizes, strict=True)]
        refs.append(s.apply(node.call.op, *[refs[i] for i in node.args], nats=slots, **attrs))  # type: ignore[arg-type]
    for (start, k), ref in nats.items():
        s.set_nat_vec(ref, like.nat_vec_at(start, k))  # type: ignore[arg-type]
    return s


Answers = list[tuple[str, int, object]]
"""(kind, entry, what the engine answered; None for an absent cotangent)."""


def answers(s: Session, data: Data, asked: Asked) -> Answers:
    out = s.ref(asked.out)
    found: Answers = [("values", i, s.get_value(s.ref(i))) for i in asked.values if asked.value_first]
    if data.seeds:
        grads = s.backward_dense_all(out, data.seeds[asked.out])
        if len(asked.cotangents) > len(s.graph.leaves) + 1:
            list(grads)  # all of them at once
        for i in asked.cotangents:
            ref: TensorRef = s.ref(i)
            found.append(("cotangents", i, None if grads.is_absent(ref) else grads[ref]))
        if data.tangents:  # a graph may have no leaves
            found.append(("tangents", asked.out, s.jvp_dense_all(out, data.tangents)))
    if not asked.value_first:  # the backward pass has computed it on the way
        found += [("values", i, s.get_value(s.ref(i))) for i in asked.values]
    return found


def hold(model: Rounding, like: Session, data: Data, got: Answers) -> Report:
    """The answers against the bounds of the model."""
    graph, report = like.graph, Report()
    bounds = rounding_bounds(graph, data.leaves, like._reader(), model, data.tangents, data.seeds)
    expected = dict(zip(("values", "tangents", "cotangents"), bounds, strict=True))
    for kind, i, answer in got:
        bound = expected[kind][i]
        if bound is None:
            # an absent cotangent is None; an absent tangent reads as zeros
            assert answer is None if kind == "cotangents" else not np.any(answer), (kind, i)
            continue
        assert answer is not None, f"{model.name}: {kind}[{i}] is absent"
        leaf = i < len(graph.leaves)
        op = "leaf" if leaf else graph.nodes[i - len(graph.leaves)].call.op.name
        report.merge(compare_entry(model, bound, answer, (kind, i, op)))
    return report


def agreement(like: Session, data: Data, asked: Asked, scalar: str) -> Report:
    report = Report()
    for engine, model in (("numpy", numpy_rounding(scalar)), ("xla", xla_rounding(scalar))):
        report.merge(hold(model, like, data, answers(recorded(like, data, scalar, engine), data, asked)))
    return report


def reals(s: Session, ids: Sequence[int]) -> tuple[int, ...]:
    return tuple(i for i in ids if s.graph.type_of(i).dtype == REAL)


def op_report(name: str, scalar: str, samples: int | None) -> Report:
    """Every entry of every sample: an op's graph is the op alone."""
    rng, report = random.Random(name), Report()
    for s in list(op_sessions(find(name), rng))[:samples]:
        data, last = draw_data(s, rng, rough=rng.random() < 0.7), len(s.graph) - 1
        asked = Asked(last, (last,), reals(s, range(last + 1)), bool(last % 2))
        report.merge(agreement(s, data, asked, scalar))
    return report


def graph_report(seeds: range, scalar: str) -> Report:
    """Random graphs: the value and the cotangents of all leaves, at times of a node, now and then of all.

    Asking for a node makes it a result of the program, which XLA compiles for: most graphs should be compiled
    as users' are, and a program with fifty results takes ten times as long.
    """
    report = Report()
    for i in seeds:
        rng = random.Random(i)
        s, _ = random_session(rng, n_nodes=1 + i % 9)
        data, total, base = draw_data(s, rng, rough=bool(i % 2)), len(s.graph), len(s.graph.leaves)
        last = total - 1
        ids = range(base)
        if i % 8 == 0:
            ids = sorted({*range(base), rng.randrange(base, total)})
        if i % 100 == 7:
            ids = range(total)
        asked = Asked(last, (last,), reals(s, list(ids)), i % 6 == 0)
        report.merge(agreement(s, data, asked, scalar))
    return report


@pytest.mark.parametrize("name", ["matmul", "where", "nll_loss", "max_pool2d", "softmax"])
def test_some_ops(name: str) -> None:
    report = op_report(name, "float32", 1)
    assert report, report
    assert report.claims == report.entries, report


@pytest.mark.slow
@pytest.mark.parametrize("scalar", SHARES)
@pytest.mark.parametrize("name", OPS)
def test_every_sample_of_every_op(name: str, scalar: str) -> None:
    report = op_report(name, scalar, None if scalar == "float32" else 1)
    assert report, report
    assert report.claims >= LEAST_OF_OP[scalar] * report.entries, report


def test_a_few_random_graphs() -> None:
    report = graph_report(range(5), "float32")
    assert report, report
    assert report.claims >= 0.99 * report.entries, report


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("scalar", SHARES)
def test_random_graphs(scalar: str, part: int) -> None:
    start = GRAPHS * sum(list(SHARES.values())[: list(SHARES).index(scalar)]) // 20
    seeds = range(start + part, start + GRAPHS * SHARES[scalar] // 20, PARTS)
    report = graph_report(seeds, scalar)
    assert report, report
    few = report.entries < 1000  # one graph without claims is a large part of a few
    assert report.claims >= (0.8 if few else LEAST_CLAIMS[scalar]) * report.entries, report

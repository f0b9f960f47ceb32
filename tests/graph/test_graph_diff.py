"""Diffs: entries are paired by structure, what is printed is what changed, and no difference means equal."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import graph_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_graph_identity import altered

from prooftape.graph import Graph
from prooftape.graph_diff import Entry
from prooftape.handle_methods import TensorRef
from prooftape.session import Session


def net(
    build: Callable[[Session, TensorRef, TensorRef], object], names: tuple[str, str] = ("x", "w")
) -> Graph:
    s = Session("float64")
    x = s.input(np.ones(3), names[0])
    w = s.use(s.param(np.ones(3), name=names[1]))
    build(s, x, w)
    return s.graph


BASE = net(lambda s, x, w: s.neg(s.exp(s.relu(s.mul(w, x)))))


def test_equal_graphs() -> None:
    diff = BASE.diff(Graph.parse(BASE.text()))
    assert not diff
    assert str(diff) == "equal graphs of 6 entries"
    assert (diff.added, diff.removed, diff.changed, diff.moved) == ((), (), (), ())


def test_an_inserted_node_changes_its_user_and_nothing_else() -> None:
    diff = BASE.diff(net(lambda s, x, w: s.neg(s.exp(s.tanh(s.relu(s.mul(w, x)))))))
    assert diff.added == (Entry(4, "%4 = tanh(%3) : real[3]"),)
    assert diff.removed == diff.moved == ()
    assert diff.changed == ((Entry(4, "%4 = exp(%3) : real[3]"), Entry(5, "%5 = exp(%4) : real[3]")),)
    assert str(diff) == (
        "--- 2 leaves, 4 nodes, 0 nats\n"
        "+++ 2 leaves, 5 nodes, 0 nats\n"
        "+ %4 = tanh(%3) : real[3]\n"
        "- %4 = exp(%3) : real[3]\n"
        "+ %5 = exp(%4) : real[3]"
    )


def test_a_removed_node() -> None:
    diff = net(lambda s, x, w: s.neg(s.exp(s.tanh(s.relu(s.mul(w, x)))))).diff(BASE)
    assert [e.line for e in diff.removed] == ["%4 = tanh(%3) : real[3]"]
    assert diff.added == ()
    assert len(diff.changed) == 1


def test_a_replaced_op() -> None:
    diff = BASE.diff(net(lambda s, x, w: s.neg(s.exp(s.tanh(s.mul(w, x))))))
    assert [e.line for e in diff.removed] == ["%3 = relu(%2) : real[3]"]
    assert [e.line for e in diff.added] == ["%3 = tanh(%2) : real[3]"]
    assert [(a.id, b.id) for a, b in diff.changed] == [(4, 4)]  # exp reads another node now


def test_a_changed_attribute() -> None:
    one, other = (net(lambda s, x, w, hi=hi: s.neg(s.clamp(s.mul(x, w), 0, hi))) for hi in (1, 2.5))  # type: ignore[misc]
    assert str(one.diff(other)).splitlines()[2:] == [
        "- %3 = clamp(%2, lo=0, hi=1) : real[3]",
        "+ %3 = clamp(%2, lo=0, hi=2.5) : real[3]",
    ]


def test_swapped_operands() -> None:
    one, other = net(lambda s, x, w: s.sub(x, w)), net(lambda s, x, w: s.sub(w, x))
    assert str(one.diff(other)).splitlines()[2:] == [
        "- %2 = sub(%0, %1) : real[3]",
        "+ %2 = sub(%1, %0) : real[3]",
    ]


def test_a_renamed_leaf_is_the_same_leaf_only_by_structure() -> None:
    diff = BASE.diff(net(lambda s, x, w: s.neg(s.exp(s.relu(s.mul(w, x)))), names=("x", "weight")))
    assert [e.line for e in diff.removed] == ['%1: param real[3] "w" requires_grad']
    assert [e.line for e in diff.added] == ['%1: param real[3] "weight" requires_grad']
    assert [(a.id, b.id) for a, b in diff.changed] == [(2, 2)]


def test_a_leaf_that_changes_shape_keeps_its_name() -> None:
    s = Session("float64")
    x = s.input(np.ones(4), "x")
    s.neg(s.exp(s.relu(s.mul(s.use(s.param(np.ones(4), name="w")), x))))
    diff = BASE.diff(s.graph)
    assert diff.added == diff.removed == diff.moved == ()
    assert len(diff.changed) == 6


def test_a_new_first_leaf_shifts_everything_and_changes_nothing() -> None:
    s = Session("float64")
    s.input(np.ones(2), "extra")
    x = s.input(np.ones(3), "x")
    s.neg(s.exp(s.relu(s.mul(s.use(s.param(np.ones(3), name="w")), x))))
    assert str(BASE.diff(s.graph)).splitlines()[2:] == ['+ %0: input real[2] "extra"']


def test_another_order_of_independent_nodes() -> None:
    def one(s: Session, x: TensorRef, w: TensorRef) -> None:
        e = s.exp(x)
        s.mul(e, s.neg(w))

    def other(s: Session, x: TensorRef, w: TensorRef) -> None:
        n = s.neg(w)
        s.mul(s.exp(x), n)

    diff = net(one).diff(net(other))
    assert diff
    assert diff.added == diff.removed == diff.changed == ()
    assert diff.moved == ((Entry(2, "%2 = exp(%0) : real[3]"), Entry(3, "%3 = exp(%0) : real[3]")),)
    assert str(diff).splitlines()[2:] == ["~ %3 = exp(%0) : real[3]   (was %2)"]


def test_naturals() -> None:
    diff = Graph(BASE.leaves, BASE.nodes, 3).diff(BASE)
    assert diff
    assert diff.nats == (3, 0)
    assert str(diff) == "--- 2 leaves, 4 nodes, 3 nats\n+++ 2 leaves, 4 nodes, 0 nats\n- nats 3\n+ nats 0"


@given(st.randoms(use_true_random=False), st.integers(0, 6))
def test_no_difference_exactly_when_equal(rng: random.Random, size: int) -> None:
    a = cases.random_graph(rng, size)
    for b in (altered(rng, a), cases.random_graph(rng, size), a):
        diff = a.diff(b)
        assert bool(diff) == (a != b)
        kept = len(b) - len(diff.added)
        assert kept == len(a) - len(diff.removed)
        assert len(diff.changed) + len(diff.moved) <= kept
        lines = b.text().splitlines()[2:]
        assert all(
            e.line == lines[e.id] for e in (*diff.added, *(new for _, new in diff.changed + diff.moved))
        )
        back = b.diff(a)
        assert len(back.added) == len(diff.removed)
        assert len(back.removed) == len(diff.added)


@pytest.mark.slow
def test_long_graphs_are_compared_in_seconds() -> None:
    def chain(cut: int) -> Graph:
        s = Session("float64")
        y = s.input(np.ones(3))
        for i in range(100_000):
            y = s.exp(y) if i == cut else y
            y = s.tanh(y) if i % 2 else s.scale(y, 0.5)
        return s.graph

    start = time.perf_counter()
    diff = chain(-1).diff(chain(50_000))
    assert (len(diff.added), len(diff.removed), len(diff.changed)) == (1, 0, 1)
    assert time.perf_counter() - start < 30  # seconds; about 3 on two shared cores

"""A commit that fails leaves no trace: a session with failures in between equals its twin without them.

Hypothesis draws programs: recording, overwriting naturals, reading values, backward passes, commits, commits
that fail, and `run_graph` (which never keeps anything), nested in any way. The twin skips what must not stay.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prooftape as pt
from prooftape.errors import ShapeError, StaleHandleError

UNARY = ("neg", "square", "tanh", "relu")
BINARY = ("add", "mul", "sub")
Step = tuple[Any, ...]

SIMPLE: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("unary"), st.sampled_from(UNARY), st.integers(0, 30)),
    st.tuples(st.just("binary"), st.sampled_from(BINARY), st.integers(0, 30), st.integers(0, 30)),
    st.tuples(st.just("const"), st.floats(-2, 2)),
    st.tuples(st.just("where"), st.integers(0, 30)),
    st.tuples(st.just("gather"), st.integers(0, 30)),
    st.tuples(st.just("index"), st.integers(0, 30)),
    st.tuples(st.just("nat"), st.integers(0, 4)),
    st.tuples(st.just("set"), st.lists(st.integers(0, 4), min_size=3, max_size=3)),
    st.tuples(st.just("read_value"), st.integers(0, 30)),
    st.tuples(st.just("backward"), st.integers(0, 30)),
)
PROGRAMS: st.SearchStrategy[list[Step]] = st.recursive(
    st.lists(SIMPLE, max_size=4),
    lambda inner: st.lists(
        st.one_of(
            SIMPLE,
            st.tuples(st.just("commit"), inner),
            st.tuples(st.just("fail"), inner, st.sampled_from(["raise", "misuse", "leaf", "stale"])),
            st.tuples(st.just("run_graph"), inner),
        ),
        max_size=6,
    ),
    max_leaves=12,
)


class OnPurposeError(Exception):
    """What a builder raises."""


class Machine:
    """Runs programs on one session. Without `trace`, steps that must leave no trace are skipped."""

    def __init__(self, trace: bool) -> None:
        self.trace = trace
        self.s = pt.Session("float64")
        self.labels = self.s.input_nat_vec([0, 2, 1])
        leaf = self.s.use(self.s.param([1.0, -2.0, 0.5], name="p"))
        self.pool = [leaf, self.s.input([0.25, 3.0, -1.0], "x", requires_grad=True)]
        self.read: list[str] = []
        self.leftovers: list[pt.TensorRef] = []

    def run(self, program: list[Step]) -> None:
        for step in program:
            getattr(self, step[0])(*step[1:])

    def pick(self, k: int) -> pt.TensorRef:
        return self.pool[k % len(self.pool)]

    # -- what stays ---------------------------------------------------------------------------------
    def unary(self, op: str, k: int) -> None:
        self.pool.append(getattr(self.s, op)(self.pick(k)))

    def binary(self, op: str, j: int, k: int) -> None:
        self.pool.append(getattr(self.s, op)(self.pick(j), self.pick(k)))

    def const(self, value: float) -> None:
        self.pool.append(self.pick(0) * [value, 1.0, 2.0])

    def where(self, k: int) -> None:
        self.pool.append(self.s.where(np.array([True, False, True]), self.pick(k), self.pick(0)))

    def gather(self, k: int) -> None:
        self.pool.append(self.s.gather_vec_ref(self.pick(k), self.labels))

    def index(self, k: int) -> None:
        self.pool.append(self.pick(k)[[2, 0, 1]])

    def nat(self, n: int) -> None:
        self.s.input_nat(n)

    def set(self, values: list[int]) -> None:
        self.s.set_nat_vec(self.labels, values)

    def read_value(self, k: int) -> None:
        self.read.append(repr(self.pick(k).value.tolist()))

    def backward(self, k: int) -> None:
        grads = self.s.backward_dense_all(self.pick(k), np.ones(3))
        self.read.append(repr([grads[x].tolist() for x in self.pool[:2]]))

    def commit(self, program: list[Step]) -> None:
        def build(s: pt.Session) -> None:
            self.run(program)

        self.s.commit(build)

    # -- what leaves no trace ------------------------------------------------------------------------
    def fail(self, program: list[Step], how: str) -> None:
        def build(s: pt.Session) -> None:
            self.run(program)
            if how == "misuse":
                s.add(s.neg(self.pick(0)), s.sum(self.pick(1)))
            if how == "leaf":
                s.neg(self.pick(0))
                s.input([1.0])
            if how == "stale" and self.leftovers:
                s.neg(self.leftovers[-1])
            raise OnPurposeError

        self.traceless(lambda: self.s.commit(build), raises=True)

    def run_graph(self, program: list[Step]) -> None:
        def build(s: pt.Session) -> None:
            self.run(program)

        self.traceless(lambda: self.s.run_graph(build), raises=False)

    def traceless(self, call: Any, raises: bool) -> None:
        if not self.trace:
            return
        pool, read, before = list(self.pool), len(self.read), self.picture()
        if raises:
            with pytest.raises((OnPurposeError, ShapeError, StaleHandleError, RuntimeError)):
                call()
        else:
            call()
        self.leftovers += self.pool[len(pool) :]
        self.pool = pool
        del self.read[read:]
        assert self.picture() == before

    def values(self) -> str:
        """All values, nan equal to nan."""
        return repr([x.value.tolist() for x in self.pool])

    def picture(self) -> tuple[object, ...]:
        s = self.s
        return (s.state, s.graph.text(), list(s.graph.locations or ()), len(s), s.generation, len(s._params))


@given(PROGRAMS)
def test_failures_leave_no_trace(program: list[Step]) -> None:
    one, twin = Machine(trace=True), Machine(trace=False)
    for machine in (one, twin):
        machine.run(program)
        machine.run([("gather", 5), ("backward", 99), ("read_value", 99)])
    assert one.s.state == twin.s.state
    assert one.s.graph.text() == twin.s.graph.text()
    assert one.read == twin.read
    assert one.values() == twin.values()
    one.s.graph.check()
    for ref in one.leftovers:
        with pytest.raises(StaleHandleError):
            one.s.neg(ref)


@given(PROGRAMS)
def test_a_commit_is_the_same_as_its_steps(program: list[Step]) -> None:
    whole, steps = Machine(trace=False), Machine(trace=False)
    whole.commit(program)
    steps.run(program)
    assert whole.s.state == steps.s.state
    assert whole.values() == steps.values()
    assert whole.read == steps.read


@given(PROGRAMS)
def test_run_graph_gives_the_state_a_commit_would_lead_to(program: list[Step]) -> None:
    asked, done = Machine(trace=True), Machine(trace=False)
    state = asked.s.run_graph(lambda s: asked.run(program))
    done.commit(program)
    assert state == done.s.state

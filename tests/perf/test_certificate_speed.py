"""What a certificate costs: its text is linear in the graph, and no size or index in it is ever unary.

Rocq's `nat` is unary: a shape rule that makes one of a dimension takes time proportional to that dimension.
"""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from test_linear_growth import benchmark, growth
from test_promised_speed import within

import prooftape as pt
from prooftape.attributes import AttrValue
from prooftape.certificates import terms
from prooftape.certificates.text import HEAD, emit, read
from prooftape.certificates.verify import run_text
from prooftape.errors import RuleError
from prooftape.graph import Graph
from prooftape.op import Op
from prooftape.ops import table
from prooftape.tape import compile_tape
from prooftape.testing.graphs import random_session
from prooftape.theory.build import compiled
from prooftape.theory.prover import find_prover
from prooftape.types import BOOL, REAL, TensorType

HUGE = 10**30
THEORY = "0" * 64


# -- growth --------------------------------------------------------------------------------------------
@cache
def chain(nodes: int) -> Graph:
    """linear, relu, linear, ...: two calls, and leaves of its own for every layer."""
    session = pt.Session()
    x = session.input(np.ones((2, 3)))
    layers = [(session.input(np.ones((3, 3))), session.input(np.ones(3))) for _ in range(nodes // 2)]
    for weights in layers:
        x = session.relu(session.linear(*weights, x))
    return session.graph


@cache
def mixed(picks: int) -> Graph:
    """A random graph over all ops."""
    return random_session(random.Random(1), n_nodes=picks)[0].graph


@cache
def text(graph: Graph) -> bytes:
    return emit(graph, compile_tape(graph), THEORY).encode()


@pytest.mark.parametrize("make", [chain, mixed])
def test_text_is_linear_in_the_graph(make: Callable[[int], Graph]) -> None:
    small, large = make(1_000), make(8_000)
    grown = (len(text(large)) / len(large)) / (len(text(small)) / len(small))
    # a number has at most one digit more; what is quadratic in the nodes would give 8
    assert grown < 1.25, grown


def write(nodes: int) -> None:
    graph = chain(nodes)
    emit(graph, compile_tape(graph), THEORY)


def read_back(nodes: int) -> None:
    assert read(text(chain(nodes)))[1].nodes == nodes


@pytest.mark.parametrize("work", [write, read_back])
def test_writing_and_reading_are_linear_in_the_graph(work: Callable[[int], None]) -> None:
    work(2_000), work(8_000)  # the graphs are made outside the measurement
    seen = []
    for _ in range(5):
        seen.append(growth(work, 2_000, 8_000))
        if seen[-1] < 2:
            return
    pytest.fail(f"cost a node at 8,000 nodes over cost at 2,000: {seen}; a quadratic term gives 4")


# -- promised times ------------------------------------------------------------------------------------
PROMISED = {
    "random 1000": 3.0,
    "random 3000": 8.0,
    "MLP 1000": 3.0,
    "MLP 3000": 8.0,
    "transformer": 10.0,
    "transformer, gradient": 10.0,
}
"""Seconds for the whole of `certify` on two cores, the theory compiled before."""


@pytest.mark.timing
@pytest.mark.skipif(shutil.which("coqc") is None, reason="needs Rocq")
def test_certify_within_the_promised_seconds() -> None:
    def measure() -> dict[str, float]:
        seen = benchmark("certificates.py", "--graphs", ";".join(PROMISED), "--rounds", "2", "--json")
        return {name: seen["graphs"][name]["phases"]["certify"]["wall_min_s"] for name in PROMISED}

    within(PROMISED, measure)


# -- large sizes ---------------------------------------------------------------------------------------
Use = tuple[tuple[TensorType, ...], tuple[AttrValue, ...], tuple[int, ...]]


def renamed(value: Any, old: int, new: int) -> Any:
    """A shape or an attribute with one size replaced by another wherever it occurs."""
    if isinstance(value, tuple):
        return tuple(renamed(v, old, new) for v in value)
    return new if type(value) is int and value == old else value


def each_replaced(value: Any) -> Iterator[Any]:
    """A value with one of the integers in it replaced by a huge one, positive or negative."""
    if type(value) is int:
        yield from (HUGE, -HUGE)
    elif isinstance(value, tuple):
        for i, v in enumerate(value):
            for new in each_replaced(v):
                yield (*value[:i], new, *value[i + 1 :])


def large_uses(op: Op) -> Iterator[Use]:
    """The samples of an op with huge numbers in them: in one place, in every place where a size occurs."""
    for sample in op.samples():
        types = tuple(TensorType.of(o.shape, BOOL if o.kind == "mask" else REAL) for o in sample.operands)
        given = op.read_attrs([sample.attrs.get(a.name, a.default) for a in op.attrs])
        nats = tuple(map(len, sample.nats))
        attrs = op.bind(types, given, nats).attrs
        for shapes in each_replaced(tuple(t.shape for t in types)):
            if min(d for s in shapes for d in s) >= 0:
                yield _typed(types, shapes), attrs, nats
        for values in each_replaced(attrs):
            yield types, values, nats
        for sizes in each_replaced(nats):
            if min(sizes) >= 0:
                yield types, attrs, sizes
        for old in {d for t in types for d in t.shape}:
            shapes = renamed(tuple(t.shape for t in types), old, HUGE)
            yield _typed(types, shapes), attrs, renamed(nats, old, HUGE)
            yield _typed(types, shapes), renamed(attrs, old, HUGE), renamed(nats, old, HUGE)


def _typed(types: tuple[TensorType, ...], shapes: Any) -> tuple[TensorType, ...]:
    return tuple(TensorType.of(s, t.dtype) for t, s in zip(types, shapes, strict=True))


QUESTION = """\
From Prooftape.Core Require Import CheckerEq.
Definition same (a b : option ty) : bool :=
  match a, b with Some s, Some t => ty_eqb s t | None, None => true | _, _ => false end.
Fixpoint wrong (i : N) (l : list (option ty * option ty)) : list N :=
  match l with [] => [] | (a, b) :: l' => (if same a b then [] else [i]) ++ wrong (N.succ i) l' end.
"""


def bound(op: Op, use: Use) -> TensorType | None:
    """Python's answer."""
    types, attrs, nats = use
    try:
        return op.bind(types, attrs, nats).out
    except RuleError:
        return None
    except ValueError:  # NumPy cannot broadcast the mask literal of first_max that far
        assert op.name == "first_max"
        return TensorType.of(types[0].shape, op.out_dtype)


def compared(op: Op, use: Use) -> str:
    """The theory's answer beside Python's."""
    types, attrs, nats = use
    literals = terms.Literals()
    out = bound(op, use)
    answer = "None" if out is None else f"Some ({terms.tensor_type(out)})"
    written = terms.many(terms.attribute(a, v, literals) for a, v in zip(op.attrs, attrs, strict=True))
    asked = f"{written} {terms.many(map(terms.tensor_type, types))} {terms.many(nats)}"
    return f"(infer (decl_of op_{op.name}) (def_of op_{op.name}) {asked}, {answer})"


@pytest.mark.slow
@pytest.mark.proofs
def test_shape_rules_take_huge_sizes_and_axes_like_small_ones() -> None:
    prover = find_prover()
    assert prover is not None
    uses = {op: list(dict.fromkeys(large_uses(op))) for op in table().values()}
    questions = [
        f"Timeout 20 Eval vm_compute in wrong 0 {terms.many(compared(op, use) for use in found)}.\n"
        for op, found in uses.items()
    ]
    never = {op.name for op, found in uses.items() if all(bound(op, use) is None for use in found)}
    assert never == {"const", "const_mask"}  # they are made of a literal array, which is as large as it is
    run = run_text(prover, compiled(prover), HEAD + QUESTION + "".join(questions))
    line = re.search(r"line (\d+)", run.errors)
    at = int(line[1]) - (HEAD + QUESTION).count("\n") - 1 if line else 0
    assert run.ok, (list(uses)[at].name, run.errors[:300])
    answers = re.findall(r"= (\[.*?\])\s*: list N", run.output, re.DOTALL)
    different = [
        (op.name, found[int(i)])
        for (op, found), answer in zip(uses.items(), answers, strict=True)
        for i in re.findall(r"\d+", answer)
    ]
    assert not different, different[:20]

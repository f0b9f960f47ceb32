# ruff: noqa: E501 - a message is easier to review on one line
"""The checker: each field of a leaf, node or call altered once is refused, and the reason is the right one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import graph_cases as cases
import numpy as np
import pytest

from prooftape.errors import GraphError
from prooftape.graph import Graph, Leaf, Node
from prooftape.op import Call
from prooftape.ops import find
from prooftape.session import Session
from prooftape.types import TensorType

REAL3, REAL4, MASK3 = TensorType.of((3,)), TensorType.of((4,)), TensorType.of((3,), "bool")


def good() -> Graph:
    s = Session("float64")
    x = s.input(np.ones(3), "x")
    m = s.const(np.array([True, False, True]))
    s.input(np.ones(4), "long")
    s.input_nat_vec([0, 1])
    y = s.clamp(x, -1, Fraction(1, 2))
    s.neg(s.where(m, y, x))
    return s.graph


def with_leaf(**fields: object) -> Graph:
    g = good()
    return Graph([g.leaves[0]._replace(**fields), *g.leaves[1:]], g.nodes, g.n_nats)


def with_node(k: int, node: object) -> Graph:
    g = good()
    nodes = list(g.nodes)
    nodes[k] = node  # type: ignore[call-overload]
    return Graph(g.leaves, nodes, g.n_nats)


def with_field(k: int, **fields: object) -> Graph:
    return with_node(k, good().nodes[k]._replace(**fields))


def forged(call: Call, **fields: object) -> Call:
    """A call whose fields were written behind its back."""
    parts = {name: getattr(call, name) for name in Call.__slots__}
    new = object.__new__(Call)
    for name, value in (parts | fields).items():
        object.__setattr__(new, name, value)
    return new


def with_call(k: int, **fields: object) -> Graph:
    return with_field(k, call=forged(good().nodes[k].call, **fields))


MUTATIONS: list[tuple[str, Callable[[], Graph], int, str]] = [
    ("n_nats negative", lambda: Graph([], [], -1), -1, "the number of naturals must be an integer >= 0, got -1"),
    ("n_nats bool", lambda: Graph([], [], True), -1, "the number of naturals must be an integer >= 0, got True"),
    ("locations", lambda: Graph(good().leaves, good().nodes, 2, [None]), -1, "1 source locations for 6 leaves and nodes"),
    ("location", lambda: Graph(good().leaves, [], 0, [None, "a.py:3", None]), 1, "leaf %1 is ill-formed: its source location must be a Location or None, got str 'a.py:3'"),
    # leaves
    ("leaf", lambda: Graph([(REAL3, "x", False, "input")]), 0, "leaf %0 is ill-formed: expected a Leaf, got tuple (TensorType(real[3]), 'x', False, 'input')"),
    ("leaf type", lambda: with_leaf(type=(3,)), 0, "leaf %0 is ill-formed: its type must be a TensorType, got tuple (3,)"),
    ("leaf name", lambda: with_leaf(name=3), 0, "leaf %0 is ill-formed: its name must be a str or None, got int 3"),
    ("leaf requires_grad", lambda: with_leaf(requires_grad=1), 0, "leaf %0 is ill-formed: requires_grad must be True or False, got int 1"),
    ("leaf kind", lambda: with_leaf(kind="weight"), 0, "leaf %0 is ill-formed: its kind must be one of input, param, const, leaf, got str 'weight'"),
    ("leaf kind type", lambda: with_leaf(kind=None), 0, "leaf %0 is ill-formed: its kind must be one of input, param, const, leaf, got NoneType None"),
    ("mask with gradient", lambda: with_leaf(type=MASK3, requires_grad=True), 0, "leaf %0 is ill-formed: a mask (bool[3]) has no gradient, yet requires_grad is True"),
    ("leaf type in use", lambda: with_leaf(type=REAL4), 3, "node %3 is ill-formed: operand 0 is typed real[3], but %0 is real[4]"),
    # nodes
    ("node", lambda: with_node(0, "clamp"), 3, "node %3 is ill-formed: expected a Node, got str 'clamp'"),
    ("call", lambda: with_field(0, call="clamp"), 3, "node %3 is ill-formed: its call must be a Call (from Op.bind), got str 'clamp'"),
    ("another call", lambda: with_field(0, call=good().nodes[1].call), 3, "node %3 is ill-formed: where was typed with 3 operands, got the operand ids (0,)"),
    ("too many operands", lambda: with_field(2, args=(4, 4)), 5, "node %5 is ill-formed: neg was typed with 1 operands, got the operand ids (4, 4)"),
    ("operands in a list", lambda: with_field(2, args=[4]), 5, "node %5 is ill-formed: neg was typed with 1 operands, got the operand ids [4]"),
    ("operand later", lambda: with_field(1, args=(1, 5, 0)), 4, "node %4 is ill-formed: operand 1 must be an id below the node's own (4), got 5"),
    ("operand itself", lambda: with_field(1, args=(1, 4, 0)), 4, "node %4 is ill-formed: operand 1 must be an id below the node's own (4), got 4"),
    ("operand beyond", lambda: with_field(2, args=(99,)), 5, "node %5 is ill-formed: operand 0 must be an id below the node's own (5), got 99"),
    ("operand negative", lambda: with_field(2, args=(-1,)), 5, "node %5 is ill-formed: operand 0 must be an id below the node's own (5), got -1"),
    ("operand bool", lambda: with_field(2, args=(True,)), 5, "node %5 is ill-formed: operand 0 must be an integer id, got bool True"),
    ("operand float", lambda: with_field(2, args=(4.0,)), 5, "node %5 is ill-formed: operand 0 must be an integer id, got float 4.0"),
    ("operand shape", lambda: with_field(2, args=(2,)), 5, "node %5 is ill-formed: operand 0 is typed real[3], but %2 is real[4]"),
    ("operand dtype", lambda: with_field(2, args=(1,)), 5, "node %5 is ill-formed: operand 0 is typed real[3], but %1 is bool[3]"),
    ("nats", lambda: with_field(2, nats=(0,)), 5, "node %5 is ill-formed: neg was typed with 0 index vectors, got the nat slots (0,)"),
    ("nats in a list", lambda: with_field(2, nats=[]), 5, "node %5 is ill-formed: neg was typed with 0 index vectors, got the nat slots []"),
    # calls
    ("op", lambda: with_call(2, op="neg"), 5, "node %5 is ill-formed: its op must be an Op, got str 'neg'"),
    ("unknown op", lambda: with_call(2, op=replace(find("neg"), name="ned")), 5, "node %5 is ill-formed: unknown op 'ned'; did you mean neg?"),
    ("unlike any op", lambda: with_call(2, op=replace(find("neg"), name="xyzzy")), 5, "node %5 is ill-formed: unknown op 'xyzzy'; add it with prooftape.register(op)"),
    ("look-alike op", lambda: with_call(2, op=replace(find("neg"))), 5, "node %5 is ill-formed: its op is another record than the op that is registered as 'neg'"),
    ("operand types", lambda: with_call(2, types=("real[3]",)), 5, "node %5 is ill-formed: operand types must be a tuple of TensorTypes, got ('real[3]',)"),
    ("number of operand types", lambda: with_call(2, types=(REAL3, REAL3)), 5, "node %5 is ill-formed: neg: takes 1 operand, got 2: real[3], real[3]"),
    ("types that do not fit", lambda: with_call(1, types=(MASK3, REAL3, REAL4)), 4, "node %4 is ill-formed: where: operand shapes differ: bool[3], real[3], real[4]; shapes must be equal; use broadcast_to (operators such as a + b insert it)"),
    ("attribute missing", lambda: with_call(0, attrs=(-1,)), 3, "node %3 is ill-formed: clamp has the attributes ['lo', 'hi'], got the values (-1,)"),
    ("attribute type", lambda: with_call(0, attrs=(-1, True)), 3, "node %3 is ill-formed: clamp: attribute hi: expected a number, got the boolean True: real[3]; literal upper bound"),
    ("attribute domain", lambda: with_call(0, attrs=(2, 1)), 3, "node %3 is ill-formed: clamp: lo must be <= hi, got lo = 2, hi = 1: real[3]; swap them"),
    ("attribute not canonical", lambda: with_call(0, attrs=(np.int64(-1), 1)), 3, "node %3 is ill-formed: attribute lo must be in canonical form -1, got np.int64(-1)"),
    ("index lengths", lambda: with_call(2, nat_sizes=(-1,)), 5, "node %5 is ill-formed: index lengths must be a tuple of integers >= 0, got (-1,)"),
    ("number of index lengths", lambda: with_call(2, nat_sizes=(1,)), 5, "node %5 is ill-formed: neg: takes 0 index references, got 1: real[3]"),
    ("result shape", lambda: with_call(2, out=REAL4), 5, "node %5 is ill-formed: neg gives real[3] here, the call says real[4]"),
    ("result dtype", lambda: with_call(2, out=MASK3), 5, "node %5 is ill-formed: neg gives real[3] here, the call says bool[3]"),
    ("shape field", lambda: with_call(2, shape=(4,)), 5, "node %5 is ill-formed: the call's shapes ((3,),) -> (4,) are not those of its types"),
    ("shapes field", lambda: with_call(2, shapes=()), 5, "node %5 is ill-formed: the call's shapes () -> (3,) are not those of its types"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "node", "reason"), [m[1:] for m in MUTATIONS], ids=[m[0] for m in MUTATIONS]
)
def test_one_altered_field_is_refused(make: Callable[[], Graph], node: int, reason: str) -> None:
    graph = make()
    with pytest.raises(GraphError) as caught:
        graph.check()
    assert str(caught.value).splitlines()[0] == f"graph: {reason}"
    assert caught.value.node == node


def indexed() -> Call:
    """A call with an index vector of length 2, of whichever op takes one."""
    return next(call for call in cases.every_call() if len(call.nat_sizes) == 1 and call.nat_sizes[0] > 1)


@pytest.mark.parametrize(
    ("nats", "reason"),
    [
        ((5,), "the index vector nat[5:{}] is not within nat[0:6]"),
        ((-1,), "the index vector nat[-1:{}] is not within nat[0:6]"),
        ((True,), "a nat slot must be an integer, got bool True"),
        ((), "{op} was typed with 1 index vectors, got the nat slots ()"),
    ],
)
def test_nat_slots(nats: tuple[int, ...], reason: str) -> None:
    call = indexed()
    leaves = [Leaf(t, None, False, "input") for t in call.types]
    args = tuple(range(len(leaves)))
    Graph(leaves, [Node(call, args, (6 - call.nat_sizes[0],))], 6).check()
    with pytest.raises(GraphError) as caught:
        Graph(leaves, [Node(call, args, nats)], 6).check()
    reason = reason.format(sum((*nats, *call.nat_sizes)), op=call.op.name)
    assert str(caught.value).splitlines()[0] == f"graph: node %{len(leaves)} is ill-formed: {reason}"


def test_the_message_shows_the_line_and_its_neighbours() -> None:
    with pytest.raises(GraphError) as caught:
        with_field(1, args=(1, 5, 0)).check()
    assert str(caught.value) == (
        "graph: node %4 is ill-formed: operand 1 must be an id below the node's own (4), got 5\n"
        '    %2: input real[4] "long"\n'
        "    %3 = clamp(%0, lo=-1, hi=1/2) : real[3]\n"
        "  > %4 = where(%1, %5, %0) : real[3]\n"
        "    %5 = neg(%4) : real[3]"
    )


def test_an_entry_that_cannot_be_printed_is_shown_as_it_is() -> None:
    with pytest.raises(GraphError) as caught:
        Graph([Leaf(REAL3, "x", False, "input"), 7]).check()  # type: ignore[list-item]
    assert str(caught.value).splitlines()[1:] == ['    %0: input real[3] "x"', "  > %1 : 7"]


def test_the_first_fault_is_reported() -> None:
    g = with_field(1, args=(1, 9, 9))
    two = Graph(g.leaves, [g.nodes[0], g.nodes[1], g.nodes[2]._replace(args=(77,))], g.n_nats)
    with pytest.raises(GraphError) as caught:
        two.check()
    assert caught.value.node == 4


def test_good_graphs_pass() -> None:
    good().check()
    Graph().check()
    cases.graph_of(cases.every_call()).check()

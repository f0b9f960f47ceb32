"""The graph whose certificate the tests here corrupt: masks, attributes, index vectors, every kind of save.

| slot | value                       | saves         |
|------|-----------------------------|---------------|
| %0   | x [2;3], a leaf             |               |
| %1   | w [3;3], a leaf             |               |
| %2   | keep [2;3], a mask, a leaf  |               |
| %3   | matmul(x, w)                | both operands |
| %4   | sub(%3, x)                  | nothing       |
| %5   | greater(%4, x), a mask      | nothing       |
| %6   | where(keep, %4, x)          | the mask      |
| %7   | exp(%6)                     | its result    |
| %8   | clamp(%7, 0, 2)             | its operand   |
| %9   | take_ref(w, nats 0 and 1)   | nothing       |
| %10  | concat([%8, %9], axis=0)    | nothing       |
| %11  | cross_entropy(%10, nats 2…) | its operand   |
"""

from __future__ import annotations

from prooftape.certificates.text import emit
from prooftape.graph import Graph, Leaf, Node
from prooftape.op import Call
from prooftape.ops import find
from prooftape.tape import compile_tape
from prooftape.theory import sources
from prooftape.types import BOOL, TensorType

X, W, KEEP = TensorType.of((2, 3)), TensorType.of((3, 3)), TensorType.of((2, 3), BOOL)


def call(
    op: str, types: list[TensorType], attrs: tuple[object, ...] = (), nat_sizes: tuple[int, ...] = ()
) -> Call:
    """A use of an op as Python's shape rule types it."""
    return find(op).bind(tuple(types), attrs, nat_sizes)


def graph() -> Graph:
    """The graph of the table above."""
    nodes = [
        Node(call("matmul", [X, W]), (0, 1)),
        Node(call("sub", [X, X]), (3, 0)),
        Node(call("greater", [X, X]), (4, 0)),
        Node(call("where", [KEEP, X, X]), (2, 4, 0)),
        Node(call("exp", [X]), (6,)),
        Node(call("clamp", [X], (0, 2)), (7,)),
        Node(call("take_ref", [W], (), (2,)), (1,), (0,)),
        Node(call("concat", [X, X], (0,)), (8, 9)),
        Node(call("cross_entropy", [TensorType.of((4, 3))], (), (4,)), (10,), (2,)),
    ]
    leaves = [Leaf(X, "x", True, "input"), Leaf(W, "w", True, "param"), Leaf(KEEP, "keep", False, "input")]
    return Graph(leaves, nodes, 6)


def certificate(of: Graph | None = None) -> str:
    """The certificate of a graph (default: this one) and its compiled tape, for the theory installed here."""
    of = of or graph()
    return emit(of, compile_tape(of), sources.digest(sources.read()))

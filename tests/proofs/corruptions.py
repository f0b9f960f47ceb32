"""Certificates whose text is in order and whose data are wrong, each with what the checker must say of it.

They all start from the graph of certified_graph.py. Three sorts: the tape is wrong; the graph is
wrong, and the tape compiled from it where there is one, so that nothing else is; a call was typed wrongly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from certified_graph import KEEP, W, X, call, graph

from prooftape.certificates.text import emit
from prooftape.graph import Graph, Leaf, Node
from prooftape.op import Call
from prooftape.ops import find
from prooftape.tape import Instr, Tape, compile_tape
from prooftape.theory import sources
from prooftape.types import TensorType

GRAPH = graph()
TAPE = compile_tape(GRAPH)
LEAVES, NODES, INSTRS = tuple(GRAPH.leaves), tuple(GRAPH.nodes), tuple(TAPE.instrs)
BASE = len(LEAVES)
REFUSED = "the op's rule refuses these attributes, operand types or index lengths"
OTHER_CALL = "the instruction runs another call than the node"
MISSING = "its instruction is missing from the tape"
EXTRA = "the tape has an instruction that belongs to no node"


@dataclass(frozen=True, slots=True)
class Corruption:
    """One wrong certificate: what was done to it, its text, the first bad node and the reason to expect."""

    name: str
    text: str
    node: int
    words: str


def written(of: Graph, tape: Tape) -> str:
    """The certificate of a graph and a tape, right or wrong."""
    return emit(of, tape, sources.digest(sources.read()))


def corruptions() -> list[Corruption]:
    """All of them."""
    return [*wrong_tapes(), *wrong_orders(), *wrong_graphs(), *wrong_leaves(), *wrong_calls()]


# -- the tape -----------------------------------------------------------------------------------------------
def wrong_tapes() -> Iterator[Corruption]:
    """One field of one instruction changed."""

    def instr(name: str, id: int, words: str, **changes: Any) -> Corruption:
        instrs = list(INSTRS)
        instrs[id - BASE] = instrs[id - BASE]._replace(**changes)
        return Corruption(f"tape: {name}", written(GRAPH, Tape(BASE, instrs)), id, words)

    def args(name: str, id: int, *slots: int) -> Corruption:
        want = _list(INSTRS[id - BASE].args)
        words = f"the instruction reads operands {_list(slots)}, but the node's are {want}"
        return instr(name, id, words, args=slots)

    def saves(name: str, id: int, *slots: int) -> Corruption:
        want = _list(INSTRS[id - BASE].saves)
        words = f"the instruction saves slots {_list(slots)}, but the op's backward rule reads {want}"
        return instr(name, id, words, saves=slots)

    def nats(name: str, id: int, *slots: tuple[int, int]) -> Corruption:
        want = _list(INSTRS[id - BASE].nats)
        words = (
            f"the instruction reads index vectors (start, length) {_list(slots)}, but the node's are {want}"
        )
        return instr(name, id, words, nats=slots)

    def out(name: str, id: int, slot: int) -> Corruption:
        return instr(name, id, f"the instruction writes slot %{slot} instead of %{id}", out=slot)

    def other(name: str, id: int, call: Call) -> Corruption:
        return instr(name, id, OTHER_CALL, call=call)

    yield args("operands swapped", 4, 0, 3)
    yield args("operands of a product swapped", 3, 1, 0)
    yield args("branches of a selection swapped", 6, 2, 0, 4)
    yield args("another operand of the same type", 7, 4)
    yield args("self reference", 7, 7)
    yield args("forward reference", 7, 8)
    yield args("operand is no slot at all", 7, 99)
    yield args("operand dropped", 4, 3)
    yield args("all operands dropped", 4)
    yield args("operand repeated", 7, 6, 6)
    yield args("operands of a joining swapped", 10, 9, 8)
    yield saves("saves swapped", 3, 1, 0)
    yield saves("save dropped", 3, 0)
    yield saves("all saves dropped", 8)
    yield saves("a save too many", 4, 3)
    yield saves("operand saved instead of the result", 7, 6)
    yield saves("result saved instead of the operand", 8, 8)
    yield saves("mask replaced by another", 6, 5)
    yield saves("save repeated", 7, 7, 7)
    yield saves("save is no slot at all", 11, 99)
    yield out("result one slot too early", 5, 4)
    yield out("result one slot too late", 5, 6)
    yield out("result overwrites a leaf", 5, 0)
    yield nats("index vector starts elsewhere", 9, (1, 2))
    yield nats("index vector of another length", 9, (0, 3))
    yield nats("index vector dropped", 9)
    yield nats("index vector added", 4, (0, 2))
    yield nats("another node's index vector", 11, (0, 2))
    yield nats("start and length swapped", 11, (4, 2))
    yield other("another op of the same arity", 7, call("sin", [X]))
    yield other("another comparison", 5, call("less", [X, X]))
    yield other("another attribute", 8, call("clamp", [X], (0, 3)))
    yield other("another axis", 10, Call(find("concat"), (1,), (X, X), (), TensorType.of((4, 3))))
    yield other("an operand retyped", 7, Call(find("exp"), (), (W,), (), X))
    yield other("the result retyped", 7, Call(find("exp"), (), (X,), (), W))
    yield other("another number of indices", 9, Call(find("take_ref"), (), (W,), (3,), X))


def wrong_orders() -> Iterator[Corruption]:
    """Instructions dropped, repeated, moved or added."""

    def tape(name: str, node: int, words: str, instrs: Sequence[Instr]) -> Corruption:
        return Corruption(f"order: {name}", written(GRAPH, Tape(BASE, instrs)), node, words)

    yield tape("reversed", 3, OTHER_CALL, INSTRS[::-1])
    yield tape("two neighbours swapped", 7, OTHER_CALL, [*INSTRS[:4], INSTRS[5], INSTRS[4], *INSTRS[6:]])
    yield tape("first instruction dropped", 3, OTHER_CALL, INSTRS[1:])
    yield tape("instruction in the middle dropped", 7, OTHER_CALL, [*INSTRS[:4], *INSTRS[5:]])
    yield tape("last instruction dropped", 11, MISSING, INSTRS[:-1])
    yield tape("all instructions dropped", 3, MISSING, ())
    yield tape("first instruction repeated", 4, OTHER_CALL, [INSTRS[0], *INSTRS])
    yield tape("last instruction repeated", 12, EXTRA, [*INSTRS, INSTRS[-1]])
    yield tape("instruction added at the end", 12, EXTRA, [*INSTRS, INSTRS[0]._replace(out=12)])


# -- the graph ----------------------------------------------------------------------------------------------
def _changed(id: int, **changes: Any) -> Graph:
    nodes = list(NODES)
    nodes[id - BASE] = nodes[id - BASE]._replace(**changes)
    return Graph(LEAVES, nodes, GRAPH.n_nats)


def _edited(old: str, new: str) -> str:
    """The right certificate with one edit: for data that `emit` cannot write."""
    text = written(GRAPH, TAPE)
    assert text.count(old) == 1, old
    return text.replace(old, new)


def wrong_graphs() -> Iterator[Corruption]:
    """One node changed, or nodes moved; the tape follows the graph wherever one can be compiled."""

    def node(name: str, id: int, words: str, *, tape: Tape | None = None, **changes: Any) -> Corruption:
        wrong = _changed(id, **changes)
        return Corruption(f"graph: {name}", written(wrong, tape or compile_tape(wrong)), id, words)

    def nodes(
        name: str, id: int, words: str, changed: Sequence[Node], tape: Tape | None = None
    ) -> Corruption:
        wrong = Graph(LEAVES, changed, GRAPH.n_nats)
        return Corruption(f"graph: {name}", written(wrong, tape or compile_tape(wrong)), id, words)

    def edited(name: str, id: int, words: str, old: str, new: str) -> Corruption:
        return Corruption(f"graph: {name}", _edited(old, new), id, words)

    def unknown(name: str, id: int, operand: int, *args: int) -> Corruption:
        words = f"operand {operand} is slot %{args[operand]}, which is no earlier slot"
        return node(name, id, words, args=args)

    def typed(
        name: str, id: int, operand: int, found: TensorType, want: TensorType, *args: int
    ) -> Corruption:
        slot = args[operand]
        words = f"operand {operand} is slot %{slot} of type {found}, but its call is typed with {want}"
        return node(name, id, words, args=args)

    yield unknown("self reference", 7, 0, 7)
    yield unknown("self reference in the second operand", 4, 1, 3, 4)
    yield unknown("forward reference", 6, 2, 2, 4, 8)
    yield unknown("operand is no slot at all", 8, 0, 10**30)
    yield unknown("last slot of the graph", 3, 0, 11, 1)
    yield typed("operands swapped", 3, 0, W, X, 1, 0)
    yield typed("operand of another shape", 4, 1, W, X, 3, 1)
    yield typed("mask used as real numbers", 7, 0, KEEP, X, 5)
    yield typed("real numbers used as a mask", 6, 0, X, KEEP, 4, 4, 0)
    yield typed("mask and branch swapped", 6, 0, X, KEEP, 4, 2, 0)
    yield node("operand dropped", 4, "the number of operands is 1, but its call is typed with 2", args=(3,))
    yield node(
        "all operands dropped", 10, "the number of operands is 0, but its call is typed with 2", args=()
    )
    yield node(
        "operand added", 4, "the number of operands is 3, but its call is typed with 2", args=(3, 0, 0)
    )
    vectors = "the number of index vectors is {}, but its call is typed with {}"
    yield edited("index vector dropped", 9, vectors.format(0, 1), "Node c6 [1] [0]", "Node c6 [1] []")
    yield edited("index vector added", 9, vectors.format(2, 1), "Node c6 [1] [0]", "Node c6 [1] [0;2]")
    without = vectors.format(1, 0)
    yield edited("index vector of an op without", 4, without, "Node c1 [3;0] []", "Node c1 [3;0] [0]")
    words = "the instruction reads index vectors (start, length) [(0,2)], but the node's are [(1,2)]"
    yield node("index vector starts elsewhere", 9, words, nats=(1,), tape=TAPE)
    words = "the instruction reads operands [3,0], but the node's are [0,3]"
    yield node("operands of the same type swapped", 4, words, args=(0, 3), tape=TAPE)
    yield node("another op of the same type", 7, OTHER_CALL, call=call("sin", [X]), tape=TAPE)
    dropped = [*NODES[:2], *NODES[3:]]
    yield nodes("node in the middle dropped", 6, "operand 0 is slot %6, which is no earlier slot", dropped)
    yield nodes("last node dropped", 11, EXTRA, NODES[:-1], TAPE)
    yield nodes("all nodes dropped", 3, EXTRA, (), TAPE)
    yield nodes("last node repeated", 12, MISSING, [*NODES, NODES[-1]], TAPE)
    swapped = [NODES[1], NODES[0], *NODES[2:]]
    yield nodes("nodes out of order", 3, "operand 0 is slot %3, which is no earlier slot", swapped)


def wrong_leaves() -> Iterator[Corruption]:
    """Leaves dropped, added, moved, retyped. Slots count the leaves first, so most shift what follows."""

    def leaves(name: str, node: int, words: str, changed: Sequence[Leaf]) -> Corruption:
        wrong = Graph(changed, NODES, GRAPH.n_nats)
        return Corruption(f"leaves: {name}", written(wrong, TAPE), node, words)

    def retyped(leaf: Leaf, type: TensorType) -> Leaf:
        return leaf._replace(type=type)

    x, w, keep = LEAVES
    typed = "operand {} is slot %{} of type {}, but its call is typed with {}"
    yield leaves("first dropped", 2, typed.format(0, 0, W, X), [w, keep])
    yield leaves("last dropped", 2, "the instruction writes slot %3 instead of %2", [x, w])
    yield leaves("all dropped", 0, "operand 0 is slot %0, which is no earlier slot", [])
    yield leaves("one added", 4, "the instruction writes slot %3 instead of %4", [x, w, keep, x])
    yield leaves("swapped", 3, typed.format(0, 0, W, X), [w, x, keep])
    tall, flat = TensorType.of((3, 2)), TensorType.of((3,))
    yield leaves("transposed", 3, typed.format(0, 0, tall, X), [retyped(x, tall), w, keep])
    yield leaves("of another rank", 3, typed.format(1, 1, flat, W), [x, retyped(w, flat), keep])
    yield leaves("numbers made a mask", 3, typed.format(0, 0, KEEP, X), [retyped(x, KEEP), w, keep])
    yield leaves("mask made numbers", 6, typed.format(0, 2, X, KEEP), [x, w, retyped(keep, X)])


# -- calls --------------------------------------------------------------------------------------------------
def wrong_calls() -> Iterator[Corruption]:
    """A node with a call that Python's shape rule would never make; graph and tape agree on it."""

    def typed(name: str, id: int, words: str, wrong: Call) -> Corruption:
        changed = _changed(id, call=wrong)
        return Corruption(f"call: {name}", written(changed, compile_tape(changed)), id, words)

    def result(name: str, id: int, op: str, claimed: TensorType) -> Corruption:
        right = NODES[id - BASE].call
        words = f"its call says the result is {claimed}, but the op's rule gives {right.out}"
        return typed(name, id, words, Call(find(op), right.attrs, right.types, right.nat_sizes, claimed))

    def edited(name: str, id: int, old: str, new: str) -> Corruption:
        return Corruption(f"call: {name}", _edited(old, new), id, REFUSED)

    scalar = TensorType.of(())
    yield result("result transposed", 3, "matmul", TensorType.of((3, 2)))
    yield result("result of another rank", 7, "exp", TensorType.of((6,)))
    yield result("result a mask", 4, "sub", KEEP)
    yield result("comparison that gives numbers", 5, "greater", X)
    yield result("result with an axis too many", 11, "cross_entropy", TensorType.of((1,)))
    yield result("result of huge extent", 10, "concat", TensorType.of((10**39, 3)))
    yield typed("another op, which has no such use", 4, REFUSED, Call(find("matmul"), (), (X, X), (), X))
    yield typed(
        "another op, with another result",
        4,
        "its call says the result is real[2,3], but the op's rule gives real[]",
        Call(find("mse_loss"), (), (X, X), (), X),
    )
    rows = TensorType.of((4, 3))
    yield typed("more labels than rows", 11, REFUSED, Call(find("cross_entropy"), (), (rows,), (5,), scalar))
    yield typed(
        "result not as long as the indices",
        9,
        "its call says the result is real[2,3], but the op's rule gives real[3,3]",
        Call(find("take_ref"), (), (W,), (3,), X),
    )
    clamp = "Call op_clamp [ANum (Fin (Qmake 0 1));ANum (Fin (Qmake 2 1))]"
    yield edited("attribute dropped", 8, clamp, "Call op_clamp [ANum (Fin (Qmake 0 1))]")
    yield edited("attribute added", 10, "[AInt 0%Z]", "[AInt 0%Z;AInt 0%Z]")
    yield edited("attributes of an op without", 7, "op_exp []", "op_exp [ABool true]")
    yield edited("attribute of another kind", 10, "[AInt 0%Z]", "[ABool false]")
    yield edited("number for an integer", 10, "[AInt 0%Z]", "[ANum (Fin (Qmake 0 1))]")
    yield edited("no value for a required attribute", 10, "[AInt 0%Z]", "[ANone]")
    yield edited("axis out of range", 10, "[AInt 0%Z]", "[AInt 2%Z]")
    yield edited("axis far out of range", 10, "[AInt 0%Z]", f"[AInt {10**30}%Z]")
    yield edited("axis far below range", 10, "[AInt 0%Z]", f"[AInt (-{10**30})%Z]")
    yield edited("bounds out of order", 8, clamp, clamp.replace("Qmake 0 1", "Qmake 3 1"))
    yield edited("bound that is no number", 8, clamp, clamp.replace("(Fin (Qmake 0 1))", "NaN"))
    without = "op_exp [] [Ty Real [2;3]] []"
    yield edited("index length for an op without", 7, without, f"{without[:-1]}2]")


def _list(items: Sequence[object]) -> str:
    return str(list(items)).replace(" ", "")

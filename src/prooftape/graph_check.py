"""The checker of graphs: is every leaf and node well-formed, whoever built them?

Graphs that a session records or that text is read into are well-formed already; this is for graphs built or
altered by hand. The first fault is reported, with the printed line at fault and its neighbours. Each distinct
`Call` is bound again once, so checking costs one pass.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import NoReturn

from prooftape.attributes import attr_key
from prooftape.errors import GraphError, RuleError
from prooftape.graph import Graph, Leaf, Location, Node
from prooftape.graph_text import LEAF_KINDS, leaf_line, node_line
from prooftape.op import Call, Op
from prooftape.ops import table
from prooftape.types import BOOL, TensorType


def check_graph(graph: Graph) -> None:
    """Raise `GraphError` naming the first ill-formed leaf or node; `error.node` is its id (-1: all of it)."""
    if type(graph.n_nats) is not int or graph.n_nats < 0:
        raise GraphError(f"graph: the number of naturals must be an integer >= 0, got {graph.n_nats!r}")
    where = graph.locations
    if where is not None and len(where) != len(graph):
        raise GraphError(f"graph: {len(where)} source locations for {len(graph)} leaves and nodes")
    types: list[TensorType] = []
    for leaf in graph.leaves:
        problem = _leaf_problem(leaf)
        if problem:
            _refuse(graph, len(types), problem)
        types.append(leaf.type)
    checked: dict[int, str] = {}  # by identity of the call: the graph keeps every call alive
    for node in graph.nodes:
        problem = _node_problem(node, types, graph.n_nats, checked)
        if problem:
            _refuse(graph, len(types), problem)
        types.append(node.call.out)
    for id, place in enumerate(where or ()):
        if place is not None and not isinstance(place, Location):
            _refuse(graph, id, f"its source location must be a Location or None, got {_found(place)}")


def _leaf_problem(leaf: object) -> str:
    if not isinstance(leaf, Leaf):
        return f"expected a Leaf, got {_found(leaf)}"
    if not isinstance(leaf.type, TensorType):
        return f"its type must be a TensorType, got {_found(leaf.type)}"
    if leaf.name is not None and type(leaf.name) is not str:
        return f"its name must be a str or None, got {_found(leaf.name)}"
    if type(leaf.requires_grad) is not bool:
        return f"requires_grad must be True or False, got {_found(leaf.requires_grad)}"
    if leaf.kind not in LEAF_KINDS:
        return f"its kind must be one of {', '.join(LEAF_KINDS)}, got {_found(leaf.kind)}"
    if leaf.requires_grad and leaf.type.dtype == BOOL:
        return f"a mask ({leaf.type}) has no gradient, yet requires_grad is True"
    return ""


def _node_problem(node: object, types: list[TensorType], n_nats: int, checked: dict[int, str]) -> str:
    if not isinstance(node, Node):
        return f"expected a Node, got {_found(node)}"
    call, args, nats = node
    if not isinstance(call, Call):
        return f"its call must be a Call (from Op.bind), got {_found(call)}"
    problem = checked.get(id(call))
    if problem is None:
        problem = checked[id(call)] = _call_problem(call)
    if problem:
        return problem
    if type(args) is not tuple or len(args) != len(call.types):
        return f"{call.op.name} was typed with {len(call.types)} operands, got the operand ids {args!r}"
    for i, a in enumerate(args):
        if type(a) is not int:
            return f"operand {i} must be an integer id, got {_found(a)}"
        if not 0 <= a < len(types):
            return f"operand {i} must be an id below the node's own ({len(types)}), got {a}"
        if types[a] is not call.types[i]:
            return f"operand {i} is typed {call.types[i]}, but %{a} is {types[a]}"
    if type(nats) is not tuple or len(nats) != len(call.nat_sizes):
        n = len(call.nat_sizes)
        return f"{call.op.name} was typed with {n} index vectors, got the nat slots {nats!r}"
    for slot, k in zip(nats, call.nat_sizes, strict=True):
        if type(slot) is not int:
            return f"a nat slot must be an integer, got {_found(slot)}"
        if not 0 <= slot <= slot + k <= n_nats:
            return f"the index vector nat[{slot}:{slot + k}] is not within nat[0:{n_nats}]"
    return ""


def _call_problem(call: Call) -> str:
    op = call.op
    if not isinstance(op, Op):
        return f"its op must be an Op, got {_found(op)}"
    known = table().get(op.name)
    if known is None:
        close = get_close_matches(op.name, table(), n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "add it with prooftape.register(op)"
        return f"unknown op {op.name!r}; {hint}"
    if known is not op:
        return f"its op is another record than the op that is registered as {op.name!r}"
    if type(call.types) is not tuple or not all(isinstance(t, TensorType) for t in call.types):
        return f"operand types must be a tuple of TensorTypes, got {call.types!r}"
    sizes = call.nat_sizes
    if type(sizes) is not tuple or not all(type(k) is int and k >= 0 for k in sizes):
        return f"index lengths must be a tuple of integers >= 0, got {sizes!r}"
    if type(call.attrs) is not tuple or len(call.attrs) != len(op.attrs):
        return f"{op.name} has the attributes {[a.name for a in op.attrs]}, got the values {call.attrs!r}"
    try:
        right = op.bind(call.types, call.attrs, sizes)
    except RuleError as e:
        given = ", ".join(map(str, call.types))
        return f"{op.name}: {e.problem}" + (f": {given}" if given else "") + (f"; {e.hint}" if e.hint else "")
    for a, found, canonical in zip(op.attrs, call.attrs, right.attrs, strict=True):
        if not _identical(found, canonical):
            return f"attribute {a.name} must be in canonical form {canonical!r}, got {found!r}"
    if call.out is not right.out:
        return f"{op.name} gives {right.out} here, the call says {call.out}"
    if call.shape != right.shape or call.shapes != right.shapes:
        return f"the call's shapes {call.shapes} -> {call.shape} are not those of its types"
    return ""


def _identical(a: object, b: object) -> bool:
    """Equal, of the same types all the way down (1 is not True is not 1.0; nan is nan)."""
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(_identical(x, y) for x, y in zip(a, b, strict=True))
    return attr_key(a) == attr_key(b)  # type: ignore[arg-type]


def _refuse(graph: Graph, id: int, problem: str) -> NoReturn:
    n = len(graph.leaves)
    what = "leaf" if id < n else "node"
    around = range(max(0, id - 2), min(len(graph), id + 2))
    lines = [f"  {'>' if i == id else ' '} {_printed(graph, i)}" for i in around]
    raise GraphError(f"graph: {what} %{id} is ill-formed: {problem}\n" + "\n".join(lines), node=id)


def _printed(graph: Graph, id: int) -> str:
    n = len(graph.leaves)
    entry = graph.leaves[id] if id < n else graph.nodes[id - n]
    try:
        return leaf_line(id, entry) if isinstance(entry, Leaf) else node_line(id, entry)
    except Exception:  # noqa: BLE001 - anything may be inside what is being refused
        return f"%{id} {'=' if id >= n else ':'} {_shown(entry)}"


def _found(x: object) -> str:
    text = _shown(x)
    return f"{type(x).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def _shown(x: object) -> str:
    try:
        return repr(x)
    except Exception:  # noqa: BLE001 - as above
        return f"<{type(x).__name__} that cannot be printed>"

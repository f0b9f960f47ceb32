"""The text form of a graph: one line per leaf and node, readable, and read back to an equal graph.

    prooftape graph 1
    nats 3
    %0: input real[4,2] "x"
    %1: param real[2] "w" requires_grad
    %2 = clamp(%0, lo=-1.0, hi=1/2) : real[4,2]
    %3 = gather_rows_ref(%2, nat[0:3]) : real[3,2]

`:` introduces a leaf (kind, type, name), `=` a node; operands come first, then index vectors, then every
attribute by name. `#` starts a comment. Numbers are exact: shortest decimals of floats, p/q of Fractions.
Reading is strict: attributes go through `Op.bind` again, so a declared type that the shape rule does not
give is refused. The result of reading is always well-formed; a graph built by hand may print and not parse.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final, NoReturn

from prooftape.attributes import AttrValue, format_attr
from prooftape.errors import GraphParseError, RuleError
from prooftape.graph import Graph, Leaf, Node
from prooftape.literal import Literal
from prooftape.numbers import parse_number
from prooftape.op import Op
from prooftape.ops import find, table
from prooftape.types import BOOL, TensorType

VERSION: Final = 1
LEAF_KINDS: Final = ("input", "param", "const", "leaf")

# Printed as they are: ASCII, Latin and Greek letters. All else is escaped, by fixed ranges and not by
# str.isprintable, whose answer (and with it every digest) would change with Python's Unicode tables.
_ESCAPED: Final = re.compile(r"[^ !#-\[\]-~\u00a1-\u00ac\u00ae-\u02af\u0370-\u03ff]")


# -- writing ------------------------------------------------------------------------------------------
def graph_lines(graph: Graph) -> Iterator[str]:
    """The lines of the text form, without line ends."""
    yield f"prooftape graph {VERSION}"
    yield f"nats {graph.n_nats}"
    id = 0
    for leaf in graph.leaves:
        yield leaf_line(id, leaf)
        id += 1
    for node in graph.nodes:
        yield node_line(id, node)
        id += 1


def leaf_line(id: int, leaf: Leaf) -> str:
    """`%1: param real[2] "w" requires_grad`."""
    name = "" if leaf.name is None else f" {quote(leaf.name)}"
    return f"%{id}: {leaf.kind} {leaf.type}{name}{' requires_grad' if leaf.requires_grad else ''}"


def node_line(id: int, node: Node) -> str:
    """`%2 = clamp(%0, lo=-1.0, hi=1/2) : real[4,2]`."""
    call, args, nats = node
    parts = [f"%{a}" for a in args]
    if nats:
        parts += [f"nat[{s}:{s + k}]" for s, k in zip(nats, call.nat_sizes, strict=True)]
    if call.attrs:
        parts += [f"{a.name}={format_attr(v)}" for a, v in zip(call.op.attrs, call.attrs, strict=True)]
    return f"%{id} = {call.op.name}({', '.join(parts)}) : {call.out}"


def quote(name: str) -> str:
    """A name in double quotes; `unquote` gives back any Python string, lone surrogates included."""
    return f'"{_ESCAPED.sub(_escape, name)}"'


def _escape(found: re.Match[str]) -> str:
    c = found[0]
    if c in '"\\':
        return "\\" + c
    if c in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[c]
    n = ord(c)
    return f"\\x{n:02x}" if n < 0x100 else f"\\u{n:04x}" if n < 0x10000 else f"\\U{n:08x}"


def unquote(text: str) -> str:
    """Inverse of `quote`, for text that `_NAME` matches."""
    value = ast.literal_eval(text)
    assert isinstance(value, str)
    return value


# -- reading ------------------------------------------------------------------------------------------
_SPACE: Final = re.compile(r"[ \t]*")
_END: Final = re.compile(r"(#.*)?\Z", re.DOTALL)
_HEADER: Final = re.compile(r"prooftape[ \t]+graph[ \t]+([0-9]{1,9})(?![^ \t#])")
_NATS: Final = re.compile(r"nats[ \t]+([0-9]{1,18})(?![^ \t#])")
_ID: Final = re.compile(r"%([0-9]{1,18})[ \t]*([:=])")
_KIND: Final = re.compile("(" + "|".join(LEAF_KINDS) + r")(?=[ \t])")
_TYPE: Final = re.compile(r"(real|bool)\[([0-9, \t]*)\]")
_NAME: Final = re.compile(
    r'"(?:[^"\\\x00-\x1f\x7f\ud800-\udfff]|\\["\\nrt]|\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\U00(?:0[0-9a-f]|10)[0-9a-f]{4})*"'
)
_GRAD: Final = re.compile(r"requires_grad(?![^ \t#])")
_CALL: Final = re.compile(r"([A-Za-z_][A-Za-z_0-9]*)[ \t]*\(")
_ARGUMENT: Final = re.compile(
    r"%(?P<id>[0-9]{1,18})(?![0-9])|nat\[(?P<start>[0-9]{1,18}):(?P<stop>[0-9]{1,18})\]"
    r"|(?P<attr>[A-Za-z_][A-Za-z_0-9]*)[ \t]*="
)
_VALUE: Final = re.compile(
    r"(?P<word>none|true|false)(?![\w.])|(?P<dtype>real|bool)\[(?P<dims>[0-9, \t]*)\]\{(?P<entries>[^{}]*)\}"
    r"|(?P<list>\[[-0-9, \t\[\]]*\])|(?P<number>[-+\w./]+)"
)
_NEXT: Final = re.compile("[,)]")
_CLOSE: Final = re.compile(r"\)")
_COLON: Final = re.compile(":")
_WORDS: Final = {"none": None, "true": True, "false": False}


_ARGUMENTS: Final = "an operand such as %0, an index such as nat[0:3] or an attribute such as axis=1"


class _Line:
    """One line and how far it is read. A failure names line, column, what was expected and what was found."""

    __slots__ = ("at", "number", "text")

    def __init__(self, text: str, number: int) -> None:
        self.text = text
        self.number = number
        self.at = _SPACE.match(text).end()  # type: ignore[union-attr]

    def blank(self) -> bool:
        return _END.match(self.text, self.at) is not None

    def take(self, pattern: re.Pattern[str], expected: str) -> re.Match[str]:
        found = pattern.match(self.text, self.at)
        if found is None:
            rest = self.text[self.at :]
            self.fail(f"expected {expected}, found {_short(rest) if rest else 'the end of the line'}")
        self.at = _SPACE.match(self.text, found.end()).end()  # type: ignore[union-attr]
        return found

    def maybe(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = _SPACE.match(self.text, found.end()).end()  # type: ignore[union-attr]
        return found

    def fail(self, problem: str, at: int | None = None) -> NoReturn:
        column = (self.at if at is None else at) + 1
        raise GraphParseError(f"graph text, line {self.number}, column {column}: {problem}") from None


def parse_graph(text: str) -> Graph:
    """The graph this text describes; raises `GraphParseError` naming line and column."""
    if not isinstance(text, str):
        raise GraphParseError(f"graph text: expected a str, got {type(text).__name__}")
    raw = text.split("\n")
    lines = [line for n, t in enumerate(raw, 1) if not (line := _Line(t.rstrip("\r"), n)).blank()]
    end = f"graph text, line {len(raw)}: expected {{}}, found the end of the text"
    if not lines:
        raise GraphParseError(end.format("the header 'prooftape graph 1'"))
    header, body = lines[0], lines[2:]
    at = header.at
    version = int(header.take(_HEADER, "the header 'prooftape graph 1'")[1])
    if version != VERSION:
        header.fail(f"this is version {version} of the format; this release reads version {VERSION}", at)
    header.take(_END, "the end of the line")
    if len(lines) < 2:
        raise GraphParseError(end.format("a line such as 'nats 0'"))
    second = lines[1]
    n_nats = int(second.take(_NATS, "a line such as 'nats 0'")[1])
    second.take(_END, "the end of the line")
    leaves: list[Leaf] = []
    nodes: list[Node] = []
    types: list[TensorType] = []
    for line in body:
        start = line.at
        found = line.take(_ID, "a leaf such as '%0: input real[3]' or a node such as '%1 = neg(%0)'")
        if int(found[1]) != len(types):
            line.fail(f"expected the id %{len(types)} (ids count up from %0), found %{found[1]}", start)
        if found[2] == ":":
            if nodes:
                line.fail(
                    f"expected a node (leaves come before all nodes), found the leaf %{found[1]}", start
                )
            leaves.append(_read_leaf(line))
            types.append(leaves[-1].type)
        else:
            nodes.append(_read_node(line, types, n_nats))
            types.append(nodes[-1].call.out)
        line.take(_END, "the end of the line")
    return Graph(leaves, nodes, n_nats)


def _read_leaf(line: _Line) -> Leaf:
    kind = line.take(_KIND, f"a leaf kind ({', '.join(LEAF_KINDS)})")[1]
    type = _read_type(line)
    name = line.maybe(_NAME)
    at = line.at
    grad = line.maybe(_GRAD) is not None
    if grad and type.dtype == BOOL:
        line.fail("expected the end of the line (a mask has no gradient), found requires_grad", at)
    return Leaf(type, None if name is None else unquote(name[0]), grad, kind)


def _read_node(line: _Line, types: list[TensorType], n_nats: int) -> Node:
    start = line.at
    name = line.take(_CALL, "an op and its arguments such as 'add(%0, %1)'")[1]
    op = _find(name, line, start)
    args: list[int] = []
    nats: list[int] = []
    sizes: list[int] = []
    attrs: dict[str, AttrValue] = {}
    declared = {a.name for a in op.attrs}
    more = line.maybe(_CLOSE) is None
    while more:
        at = line.at
        found = line.take(_ARGUMENT, _ARGUMENTS)
        if found["id"] is not None:
            id = int(found["id"])
            if nats or attrs:
                line.fail(f"expected operands before indices and attributes, found the operand %{id}", at)
            if id >= len(types):
                line.fail(f"expected an operand below the node's own id %{len(types)}, found %{id}", at)
            args.append(id)
        elif found["attr"] is None:
            slot, stop = int(found["start"]), int(found["stop"])
            if attrs:
                line.fail(f"expected indices before attributes, found {found[0]}", at)
            if not slot <= stop <= n_nats:
                line.fail(f"expected an index range within nat[0:{n_nats}], found {found[0]}", at)
            nats.append(slot)
            sizes.append(stop - slot)
        else:
            key = found["attr"]
            if key in attrs:
                line.fail(f"expected each attribute once, found a second {key}", at)
            if key not in declared:
                line.fail(f"expected an attribute of {name} ({_listed(declared)}), found {key!r}", at)
            attrs[key] = _read_value(line)
        more = line.take(_NEXT, "',' or ')'")[0] == ","
    line.take(_COLON, "':' and the type of the result")
    at = line.at
    out = _read_type(line)
    missing = [a.name for a in op.attrs if a.name not in attrs]
    if missing:
        line.fail(f"expected every attribute of {name}, found none called {missing[0]!r}", start)
    operands = tuple([types[a] for a in args])
    try:
        call = op.bind(operands, [attrs[a.name] for a in op.attrs] if attrs else (), tuple(sizes))
    except RuleError as e:
        given = ", ".join(f"%{a} {types[a]}" for a in args)
        hint = f"; {e.hint}" if e.hint else ""
        line.fail(f"{name}: {e.problem}" + (f": {given}" if given else "") + hint, start)
    if call.out is not out:
        line.fail(f"expected {call.out}, the type that {name} gives here, found {out}", at)
    return Node(call, tuple(args), tuple(nats))


def _find(name: str, line: _Line, at: int) -> Op:
    try:
        return find(name)
    except KeyError:
        close = get_close_matches(name, table(), n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "an op from outside is registered first"
        line.fail(f"expected the name of an op, found {name!r}; {hint}", at)


def _read_type(line: _Line) -> TensorType:
    at = line.at
    found = line.take(_TYPE, "a type such as real[3,4]")
    return TensorType.of(_dims(found[2], line, at), found[1])


def _dims(text: str, line: _Line, at: int) -> tuple[int, ...]:
    parts = [part.strip(" \t") for part in text.split(",")] if text.strip(" \t") else []
    for part in parts:
        if not (0 < len(part) <= 18 and part.isdigit()):
            line.fail(f"expected dimensions such as 3,4, found {_short(text)}", at)
    return tuple([int(part) for part in parts])


def _read_value(line: _Line) -> AttrValue:
    at = line.at
    found = line.take(_VALUE, "a value: a number, true, false, none, [1, 2] or real[2]{1.0, 2.0}")
    try:
        if found["word"]:
            return _WORDS[found["word"]]
        if found["list"]:
            items: list[int | list[int]] = json.loads(found["list"])
            value: AttrValue = tuple(tuple(i) if isinstance(i, list) else i for i in items)  # type: ignore[assignment]
            return value
        if found["number"]:
            return parse_number(found["number"])
        shape = _dims(found["dims"], line, at)
        body = found["entries"]
        entries = [e.strip(" \t") for e in body.split(",")] if body.strip(" \t") else []
        if len(entries) != math.prod(shape):
            line.fail(f"expected {math.prod(shape)} entries for shape {shape}, found {len(entries)}", at)
        return Literal.from_entries(entries, shape, found["dtype"])
    except json.JSONDecodeError:
        line.fail(f"expected a list such as [1, 2] or [[0, 1], [1, 0]], found {_short(found['list'])}", at)
    except (ValueError, OverflowError) as e:  # GraphParseError is a ValueError: it already names the line
        if isinstance(e, GraphParseError):
            raise
        line.fail(str(e), at)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) if names else "it has none"


__all__ = ["LEAF_KINDS", "graph_lines", "leaf_line", "node_line", "parse_graph", "quote", "unquote"]

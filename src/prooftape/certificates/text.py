"""The text of a certificate: plain data of one graph and its tape, between lines that never change.

`emit` writes it; `read` says whether a text is one that `emit` could have written, line by line, by a grammar
that has no place for a comment, a definition, an axiom or a statement of the file's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from prooftape.certificates import terms
from prooftape.graph import Graph
from prooftape.op import Call
from prooftape.tape import Tape

FORMAT: Final = 1

HEAD: Final = """\
From Coq Require Import List NArith ZArith QArith.
From Prooftape.Certificates Require Import Certify.
Import ListNotations.
Open Scope N_scope.
"""
STATEMENT: Final = "Certified leaves graph tape"
TAIL: Final = f"""\
Lemma checked : check leaves graph tape = true.
Proof. vm_compute. reflexivity. Qed.
Theorem certificate : {STATEMENT}.
Proof. exact (certified leaves graph tape checked). Qed.
"""


def emit(graph: Graph, tape: Tape, theory: str) -> str:
    """The certificate of a graph and the tape object that runs it; `theory` is the theory's digest."""
    return "\n".join(_lines(graph, tape, theory)) + "\n"


def data_of(text: str) -> str:
    """The part of a certificate that says which graph and tape it is about."""
    return text[text.index(HEAD) + len(HEAD) : text.index(TAIL)]


def _lines(graph: Graph, tape: Tape, theory: str) -> Iterator[str]:
    yield f"(* prooftape certificate, format {FORMAT} *)"
    yield f"(* theory {theory} *)"
    yield f"(* graph {graph.digest()} *)"
    yield HEAD.rstrip("\n")
    literals = terms.Literals()
    numbers: dict[Call, int] = {}
    for call in (*(n.call for n in graph.nodes), *(i.call for i in tape.instrs)):
        if call not in numbers:
            numbers[call] = len(numbers)
            yield f"Definition c{numbers[call]} : call opname := {terms.call(call, literals)}."
    yield f"Definition leaves : list ty := {terms.many(terms.tensor_type(x.type) for x in graph.leaves)}."
    yield "Definition graph : graph opname := ["
    yield from _rows(
        f"Node c{numbers[n.call]} {terms.many(n.args)} {terms.many(n.nats)}" for n in graph.nodes
    )
    yield "Definition tape : tape opname := ["
    yield from _rows(
        f"Instr c{numbers[i.call]} {i.out} {terms.many(i.args)} {terms.many(i.saves)} "
        f"{terms.many(f'({start},{k})' for start, k in i.nats)}"
        for i in tape.instrs
    )
    yield TAIL.rstrip("\n")


def _rows(rows: Iterator[str]) -> Iterator[str]:
    previous: str | None = None
    for row in rows:
        if previous is not None:
            yield previous + ";"
        previous = row
    if previous is not None:
        yield previous
    yield "]."


# -- the grammar --------------------------------------------------------------------------------------
_N = r"(?:0|[1-9][0-9]{0,39})"
_Z = rf"(?:{_N}|\(-[1-9][0-9]{{0,39}}\))"
_BIG = r"(?:0|[1-9][0-9]*|\(-[1-9][0-9]*\))"


def _many(item: str) -> str:
    return rf"\[(?:{item}(?:;{item})*)?\]"


_PAIR = rf"\({_Z},{_Z}\)"
_SPAN = rf"\({_N},{_N}\)"
_TYPE = rf"Ty (?:Real|Mask) {_many(_N)}"
_ATTR = (
    rf"(?:ANone|ABool (?:true|false)|AInt {_Z}%Z|ANum (?:PInf|MInf|NaN|\(Fin \(Qmake {_BIG} [1-9][0-9]*\)\))"
    rf"|AInts {_many(_Z)}%Z|APairs {_many(_PAIR)}%Z|ALit {_N} \({_TYPE}\))"
)
_CALL = rf"Call op_[a-z][a-z0-9_]* {_many(_ATTR)} {_many(_TYPE)} {_many(_N)} \({_TYPE}\)"
_GRAMMAR: Final = {
    "call": re.compile(rf"Definition c(?P<number>{_N}) : call opname := {_CALL}\."),
    "leaves": re.compile(rf"Definition leaves : list ty := {_many(_TYPE)}\."),
    "node": re.compile(rf"Node c(?P<number>{_N}) {_many(_N)} {_many(_N)}"),
    "instruction": re.compile(rf"Instr c(?P<number>{_N}) {_N} {_many(_N)} {_many(_N)} {_many(_SPAN)}"),
}
_THEORY: Final = re.compile(r"\(\* theory (?P<digest>[0-9a-f]{64}) \*\)")
_GRAPH: Final = re.compile(r"\(\* graph (?P<digest>[0-9a-f]{64}) \*\)")


class Refusal(Exception):
    """The text is no certificate. `line` counts from 1; 0 means the file as a whole."""

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


@dataclass(frozen=True, slots=True)
class Contents:
    """What a well-formed certificate says about itself: theory, graph, number of nodes, op names."""

    theory: str
    graph: str
    nodes: int
    ops: tuple[str, ...]


class _Reader:
    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = lines
        self.at = 0

    def next(self, what: str) -> str:
        if self.at == len(self.lines):
            raise Refusal(f"the file ends where {what} should be", self.at)
        self.at += 1
        return self.lines[self.at - 1]

    def exactly(self, wanted: str, what: str) -> None:
        for line in wanted.splitlines():
            found = self.next(what)
            if found != line:
                raise Refusal(f"{what} must read {line!r}, found {found[:80]!r}", self.at)

    def match(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        line = self.next(what)
        found = pattern.fullmatch(line)
        if found is None:
            raise Refusal(f"expected {what}, found {line[:80]!r}", self.at)
        return found

    def rows(self, what: str, calls: int) -> int:
        """Rows up to the closing bracket; returns how many."""
        n, ended = 0, False
        while True:
            line = self.next(f"one more {what} or the closing '].'")
            if line == "].":
                if n and not ended:
                    raise Refusal(f"the last {what} must not end in ';'", self.at - 1)
                return n
            if n and ended:
                raise Refusal(f"the {what} before must end in ';', found {line[:80]!r} after it", self.at)
            ended = not line.endswith(";")
            found = _GRAMMAR[what].fullmatch(line.removesuffix(";"))
            if found is None:
                raise Refusal(f"expected {what}, found {line[:80]!r}", self.at)
            if int(found["number"]) >= calls:
                raise Refusal(f"{what} of call c{found['number']}, which is not defined", self.at)
            n += 1


def read(data: bytes) -> tuple[str, Contents]:
    """The text of a certificate file and what it is about; raises `Refusal` for anything else."""
    if not data:
        raise Refusal("the file is empty", 1)
    bad = next((i for i, b in enumerate(data) if b > 126 or (b < 32 and b != 10)), None)
    if bad is not None:
        line = data.count(b"\n", 0, bad) + 1
        if data[bad] < 128:
            why = "is a control character: the only one there may be is the line feed, 0x0a"
        else:
            why = "is not plain ASCII text: look-alike letters are refused"
        raise Refusal(f"byte 0x{data[bad]:02x} {why}", line)
    text = data.decode("ascii")
    if not text.endswith("\n"):
        raise Refusal("the last line is cut off", text.count("\n") + 1)
    r = _Reader(text.split("\n")[:-1])
    r.exactly(f"(* prooftape certificate, format {FORMAT} *)", "the first line")
    theory = r.match(_THEORY, "the theory's digest")["digest"]
    graph = r.match(_GRAPH, "the graph's digest")["digest"]
    r.exactly(HEAD, "the preamble")
    ops: list[str] = []
    calls = 0
    while r.at < len(r.lines) and r.lines[r.at].startswith("Definition c"):
        found = r.match(_GRAMMAR["call"], "the definition of a call")
        if int(found["number"]) != calls:
            raise Refusal(f"call c{calls} should come next, found c{found['number']}", r.at)
        ops.append(found[0].split("Call op_")[1].split(" ")[0])
        calls += 1
    r.match(_GRAMMAR["leaves"], "the types of the leaves")
    r.exactly("Definition graph : graph opname := [", "the graph")
    nodes = r.rows("node", calls)
    r.exactly("Definition tape : tape opname := [", "the tape")
    r.rows("instruction", calls)
    r.exactly(TAIL, "the statement and its proof")
    if r.at != len(r.lines):
        raise Refusal(f"text after the proof: {r.lines[r.at][:80]!r}", r.at + 1)
    return text, Contents(theory, graph, nodes, tuple(dict.fromkeys(ops)))

"""`trust`: for each op of a graph, what its gradient rests on, the weakest link last.

The columns about theorems come from what Rocq exports (`theory/contents.json`), the others from the op's
record and the session's scalar. Levels, strongest first: proved, checked, tested, assumed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from prooftape.errors import TrustError, count
from prooftape.graph import Graph
from prooftape.op import Call, Op
from prooftape.ops import is_own
from prooftape.theory.contents import OpFacts, facts_of

LEVELS: Final = ("proved", "checked", "tested", "assumed")
COLUMNS: Final = ("op", "nodes", "link", "adjoint", "derivative", "exact-tested", "tail accuracy", "kernel")


@dataclass(frozen=True, slots=True)
class Row:
    """One op: how often it is used, and a level, with a remark, in each column."""

    op: str
    nodes: int
    link: str
    adjoint: str
    derivative: str
    exact_tested: str
    tail_accuracy: str
    kernel: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of `COLUMNS`."""
        values = (self.op, self.nodes, self.link, self.adjoint, self.derivative)
        return (*map(str, values), self.exact_tested, self.tail_accuracy, self.kernel)

    @property
    def levels(self) -> tuple[str, ...]:
        """The level of each column that has one."""
        return tuple(c.split(":")[0] for c in self.cells[2:] if c.split(":")[0] in LEVELS)

    @property
    def rank(self) -> tuple[int, ...]:
        """Smaller is stronger: how many columns are assumed, then tested, then checked."""
        return tuple(self.levels.count(level) for level in reversed(LEVELS[1:]))


class Trust(Sequence[Row]):
    """The rows, strongest op first; prints as a table that ends with the weakest link."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = sorted(rows, key=lambda r: (r.rank, r.op))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int) -> Row:  # type: ignore[override]
        return self.rows[key]

    @property
    def weakest(self) -> Row | None:
        """The last row; None for a graph without nodes."""
        return self.rows[-1] if self.rows else None

    def lines(self) -> list[str]:
        """The table as text."""
        if not self.rows:
            return ["no ops: nothing to trust"]
        table = [COLUMNS, *(r.cells for r in self.rows)]
        widths = [max(len(row[i]) for row in table) for i in range(len(COLUMNS))]
        padded = ([c.ljust(w) for c, w in zip(row, widths, strict=True)] for row in table)
        lines = ["  ".join(cells).rstrip() for cells in padded]
        last = self.rows[-1]
        worst = max(last.levels, key=LEVELS.index)
        weak = [n for n, c in zip(COLUMNS[2:], last.cells[2:], strict=True) if c.split(":")[0] == worst]
        return [*lines, f"weakest link: {last.op}, {worst} in {', '.join(weak)}"]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def __repr__(self) -> str:
        return f"<trust: {count(len(self), 'op')}; {self.lines()[-1]}>" if self.rows else "<trust: no ops>"


def trust(
    graph: Graph, scalar: str = "float32", lowered: Callable[[Call], str | None] | None = None
) -> Trust:
    """One row for each op used in the graph. `scalar` names the numbers it runs in (column kernel).

    lowered: for engine `xla`, the name of the lowering that a call is compiled with (None: its own rules).
    """
    used = Counter(n.call.op for n in graph.nodes)
    rows = [_row(op, n, scalar) for op, n in used.items()]
    if lowered is not None:
        names: dict[str, set[str]] = {}
        for n in graph.nodes:
            names.setdefault(n.op, set()).update([name] if (name := lowered(n.call)) else [])
        rows = [_compiled(row, scalar, sorted(names[row.op])) for row in rows]
    return Trust(rows)


def _compiled(row: Row, scalar: str, lowerings: list[str]) -> Row:
    """The row where XLA compiles the tape: the theorems are about what it is given, not what it emits."""
    by = f", lowering {', '.join(lowerings)}" if lowerings else ""
    return replace(
        row,
        link=f"{row.link}: of the tape that XLA is given" if row.link == "proved" else row.link,
        tail_accuracy="tested: XLA's functions, docs/rounding.md",
        kernel=f"tested: XLA {scalar}{by}",
    )


def _row(op: Op, nodes: int, scalar: str) -> Row:
    facts = facts_of(op)
    known = facts is not None
    return Row(
        op=op.name,
        nodes=nodes,
        # the loop theorem holds for any kernels, so also for those of an op that the theory does not know;
        # only a certificate needs the op's shape rule
        link="proved" if known else "proved: of any kernels; no certificate",
        adjoint="proved" if known else "assumed",
        derivative=_derivative(facts, scalar),
        exact_tested="tested" if is_own(op) else "assumed",
        tail_accuracy=_tail(op, scalar),
        kernel=_kernel(scalar),
    )


def _derivative(facts: OpFacts | None, scalar: str) -> str:
    if scalar.startswith("modular"):  # gradients are formal there; what holds is the adjoint
        return "no limits in a prime field"
    if facts is None:
        return "assumed"
    if facts.never:
        return "proved: 0 by definition"
    return "proved: everywhere" if facts.everywhere else f"proved: where {facts.name}_side holds"


def _tail(op: Op, scalar: str) -> str:
    if not scalar.startswith(("float", "bfloat")):
        return "no tail: exact numbers"
    if scalar in ("float16", "bfloat16"):  # tests/accuracy looks at float32 and float64
        return "assumed: 16 bits"
    if any(word in op.accuracy for word in ("ulp", "exact", "relative accuracy")):
        return f"tested: {op.accuracy}"
    # what else a record says of accuracy is a remark, not a promise that tests/accuracy could hold it to
    remark = f", {op.accuracy}" if op.accuracy else ""
    return (
        f"assumed: no bound promised{remark}" if op.transcendental else f"no tail: arithmetic alone{remark}"
    )


def _kernel(scalar: str) -> str:
    return f"tested: NumPy {scalar}" if scalar.startswith(("float", "bfloat")) else f"tested: {scalar}"


def require_proved(graph: Graph, ids: Sequence[int], what: str) -> None:
    """Raise `TrustError` naming the first of these nodes whose op has no proved adjoint and derivative."""
    base = len(graph.leaves)
    for id in ids:
        if id < base:
            continue
        op = graph.nodes[id - base].call.op
        if facts_of(op) is None:
            raise TrustError(
                f'{what}: require="proved", but {op.name} ({graph.describe(id)}) is not an op of the theory; '
                "its rules are tested at best: add its Rocq file (docs/adding-an-op.md), or drop `require`",
                op=op.name,
                node=id,
            )

"""All parts of the cross-evaluation, and what they found, op by op."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crosseval import cases, floats, graphs, run, shapes
from prooftape.op import Op
from prooftape.theory.prover import Prover

PARTS = ("ops", "shapes", "graphs", "floats")
WORDS = {
    "WrongType": "the result type",
    "WrongForward": "the forward value",
    "WrongJvp": "the JVP",
    "WrongVjp": "the VJP",
    "WrongTapeValues": "the values the tape computes",
    "WrongTapeGradients": "the gradients the tape computes",
}
COLUMNS = ("rational", "polynomial", "uses", "accepted", "graphs", "floats")


@dataclass(frozen=True, slots=True)
class Difference:
    """Something on which Rocq and Python differ. `term`: what Rocq was given."""

    part: str
    ops: frozenset[str]
    sample: str
    what: str
    term: str

    def __str__(self) -> str:
        names = f"{next(iter(self.ops))}: " if len(self.ops) == 1 else ""
        return f"{self.part}: {names}{self.sample}: Rocq and Python differ in {self.what}"


@dataclass(slots=True)
class Findings:
    """How much was compared per column and op, and every difference."""

    counts: dict[str, Counter[str]] = field(default_factory=lambda: {c: Counter() for c in COLUMNS})
    exemptions: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)


def evaluate(
    prover: Prover,
    theory: Path,
    ops: Sequence[Op],
    parts: Sequence[str] = PARTS,
    *,
    graph_count: int = 200,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> Findings:
    """Run the parts on these ops; graphs and floats are over all ops.

    Raises `ProverError` if the theory does not compile, or does not know an op.
    """
    found = Findings()
    if "ops" in parts:
        progress("forward, JVP and VJP of each op on rationals and on polynomials")
        _ops(prover, theory, ops, seed, found)
    if "shapes" in parts:
        progress("shape rules")
        _shapes(prover, theory, ops, found)
    if "graphs" in parts:
        progress(f"{graph_count} random graphs")
        shifted = graph_count // 3
        traces = [
            *graphs.traces("mixed", graph_count - shifted, seed),
            *graphs.traces("shifted", shifted, seed),
        ]
        _traces(prover, theory, traces, "graphs", "rational", found)
    if "floats" in parts:
        progress("networks in floating point")
        _traces(prover, theory, floats.traces(seed), "floats", "float", found)
    return found


def _ops(prover: Prover, theory: Path, ops: Sequence[Op], seed: int, found: Findings) -> None:
    rational = [c for op in ops for c in cases.rational_cases(op, random.Random(f"{op.name} {seed}"))]
    polynomial = [c for op in ops for c in cases.polynomial_cases(op)]
    for number, some in (("rational", rational), ("polynomial", polynomial)):
        found.counts[number].update(c.op for c in some)
        for fault in run.faults(prover, theory, [c.term for c in some], number):
            c = some[fault.index]
            found.differences.append(
                Difference(number, frozenset([c.op]), c.what, in_words(fault.what), c.term)
            )


def _shapes(prover: Prover, theory: Path, ops: Sequence[Op], found: Findings) -> None:
    uses = [e for op in ops for e in shapes.grid(op)]
    found.counts["uses"].update(e.op for e in uses)
    found.counts["accepted"].update(e.op for e in uses if e.accepted)
    found.exemptions.update(e.exemption for e in uses if e.exemption)
    for i in run.wrong_types(prover, theory, [e.term for e in uses]):
        e = uses[i]
        wanted = "accepts" if e.accepted else "refuses"
        what = f"the shape rule (this one {wanted})"
        found.differences.append(Difference("shapes", frozenset([e.op]), e.sample, what, e.term))


def _traces(
    prover: Prover, theory: Path, traces: Sequence[graphs.Trace], part: str, number: str, found: Findings
) -> None:
    for t in traces:
        found.counts[part].update(t.ops)
    for fault in run.faults(prover, theory, [t.term for t in traces], number, kind="trace"):
        t = traces[fault.index]
        found.differences.append(Difference(part, t.ops, t.what, in_words(fault.what), t.term))


def in_words(faults: Sequence[str]) -> str:
    """`the forward value and the VJP`."""
    return " and ".join(WORDS[f] for f in faults)

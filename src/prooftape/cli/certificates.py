"""`prooftape certify`, `verify` and `trust`: certificates from the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from prooftape.certificates.certify import certify
from prooftape.certificates.trust import COLUMNS
from prooftape.certificates.trust import trust as trust_of
from prooftape.certificates.verdict import THEOREMS, Verdict
from prooftape.certificates.verify import verify
from prooftape.errors import ProofTapeError, count
from prooftape.graph import Graph
from prooftape.scalars import scalar as scalar_named
from prooftape.theory.build import Progress as Report

STATUS = {"proved": 0, "refused": 1, "unchecked": 2}
STYLE = {"proved": "green", "refused": "bold red", "unchecked": "yellow"}


def certify_file(file: Path, out: Path, console: Console) -> int:
    """Write and check the certificate of a saved graph; returns the exit status."""
    graph = Graph.load(file)
    if out.exists() and out.samefile(file):
        raise ProofTapeError(f"certify: {out} is the graph itself; --out names another file")
    console.print(f"{file}: {size_of(graph)}", markup=False, soft_wrap=True)
    with theory_progress(console) as report:
        verdict = certify(graph, path=out, progress=report)
    if verdict.path is not None:
        console.print(f"certificate: {verdict.path}", markup=False, soft_wrap=True)
    return show(verdict, console)


def verify_file(file: Path, graph: Path | None, console: Console) -> int:
    """Check a certificate; returns the exit status."""
    about = None if graph is None else Graph.load(graph)
    with theory_progress(console) as report:
        verdict = verify(file, about, report)
    status = show(verdict, console)
    if verdict.proved and graph is None:
        console.print(
            "  of the graph in this file; --graph FILE compares it with a graph you have", soft_wrap=True
        )
    return status


def trust_file(file: Path, scalar: str, console: Console) -> None:
    """Print what the gradients of a saved graph rest on."""
    found = trust_of(Graph.load(file), scalar_named(scalar).name)
    if found.weakest is None:
        console.print(found.lines()[-1])
        return
    *table, last = found.lines()
    if max(map(len, table)) <= console.width:
        lines = table
    else:  # eight columns with words broken to fit are unreadable: one op below the other
        width = max(map(len, COLUMNS)) + 2
        lines = [
            cell if column == "op" else f"  {column:{width}}{cell}"
            for row in found
            for column, cell in zip(COLUMNS, row.cells, strict=True)
        ]
    for line in (*lines, last):
        console.print(line, markup=False, soft_wrap=True)


def show(verdict: Verdict, console: Console) -> int:
    """Print a verdict; returns the exit status."""
    console.print(Text(str(verdict), style=STYLE[verdict.outcome]), soft_wrap=True)
    if verdict.proved:
        for name in verdict.theorems:
            console.print(f"  {name}: {THEOREMS[name]}", soft_wrap=True)
        console.print(f"  axioms: {axioms(verdict) or 'none'}", soft_wrap=True)
        if verdict.theory_seconds > 1:
            console.print(f"  (compiling the theory, once on this machine: {verdict.theory_seconds:.0f} s)")
    return STATUS[verdict.outcome]


def size_of(graph: Graph) -> str:
    """`7 leaves, 9 nodes`."""
    leaves = "1 leaf" if len(graph.leaves) == 1 else f"{len(graph.leaves)} leaves"
    return f"{leaves}, {count(len(graph.nodes), 'node')}"


def axioms(verdict: Verdict) -> str:
    """The axioms by their short names."""
    return ", ".join(a.rpartition(".")[2] for a in verdict.assumptions)


@contextmanager
def theory_progress(console: Console) -> Iterator[Report]:
    """A progress line while the theory is compiled; nothing when it is in the cache.

    Where lines cannot be redrawn (a file, a pipe) it is one line that says what is going on.
    """
    if not console.is_terminal:
        yield partial(_say_once, console)
        return
    columns = (TextColumn("compiling the theory"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = None

        def report(name: str, done: int, total: int) -> None:
            nonlocal task
            if task is None:
                task = bar.add_task("theory", total=total)
            bar.update(task, completed=done)

        yield report


def _say_once(console: Console, name: str, done: int, total: int) -> None:
    if done == 0:
        console.print(f"compiling the theory, {total} files, once on this machine: a few minutes")

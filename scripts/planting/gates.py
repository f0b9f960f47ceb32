"""The four gates, each run on one fault (or, where the prover is asked, on many at once)."""

from __future__ import annotations

import contextlib
import graphlib
import io
import random
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from unittest import mock

import make_decl
from crosseval import cases, run, shapes

from planting.fault import RecordFault, Red, TextFault
from prooftape.op import Op
from prooftape.ops import find, table
from prooftape.theory import sources
from prooftape.theory.prover import Prover

CASES = 16
"""Cases of cross-evaluation for one op: a fault in a rule is seen in most of them."""
SECONDS = 120


# -- Decl ---------------------------------------------------------------------------------------------------
def decl_of_record(op: Op) -> Red | None:
    """`make_decl.py --check` with this record in the table."""
    with mock.patch.object(make_decl, "table", lambda: {**table(), op.name: op}):
        return _checked(make_decl.PROOFS)


def _checked(proofs: Path) -> Red | None:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            status = make_decl.check(proofs)
    except (ValueError, TypeError) as e:  # two modes that disagree, a rule that misses a saved value
        return Red("Decl", f"make_decl.py stops: {e}")
    return Red("Decl", said.getvalue().split("\n")[0]) if status else None


# -- cross-evaluation and shape rules -----------------------------------------------------------------------
def cross_evaluated(prover: Prover, theory: Path, ops: Sequence[Op], jobs: int) -> list[Red | None]:
    """For each op, whether Python's results differ from Rocq's."""
    asked = [(k, case) for k, op in enumerate(ops) for case in _cases(op)]
    faults = run.faults(prover, theory, [case.term for _, case in asked], "rational", jobs=jobs)
    found: list[Red | None] = [None] * len(ops)
    for fault in reversed(faults):
        k, case = asked[fault.index]
        found[k] = Red("cross-evaluation", f"{', '.join(fault.what)}: {' '.join(case.what.split())}")
    return found


def _cases(op: Op) -> list[cases.Case]:
    """Not more than `CASES`, spread over all samples."""
    everything = list(cases.rational_cases(op, random.Random(op.name)))
    return everything[:: max(1, -(-len(everything) // CASES))]


def shapes_compared(prover: Prover, theory: Path, ops: Sequence[Op], jobs: int) -> list[Red | None]:
    """For each op, whether Python's shape rule differs from Rocq's on the grid."""
    asked = [(k, use) for k, op in enumerate(ops) for use in shapes.grid(op)]
    found: list[Red | None] = [None] * len(ops)
    for i in reversed(run.wrong_types(prover, theory, [use.term for _, use in asked], jobs=jobs)):
        k, use = asked[i]
        found[k] = Red("shape rules", f"{use}")
    return found


def records(prover: Prover, theory: Path, faults: Sequence[RecordFault], jobs: int) -> list[list[Red]]:
    """Which gates go red on each fault of the Python side; the prover is asked about all of them together."""
    ops = [fault.change(find(fault.op)) for fault in faults]
    red: list[list[Red]] = [_present([decl_of_record(op)]) for op in ops]
    rules = [k for k, fault in enumerate(faults) if fault.kind in ("VJP", "JVP", "slope", "none")]
    shaped = [k for k, fault in enumerate(faults) if fault.kind in ("shape rule", "none")]
    # a rule that was given other saved values, or another shape, would only crash
    for chosen, gate in ((rules, cross_evaluated), (shaped, shapes_compared)):
        for k, found in zip(chosen, gate(prover, theory, [ops[k] for k in chosen], jobs), strict=True):
            red[k] += _present([found])
    return red


# -- the Rocq build -----------------------------------------------------------------------------------------
class Planted:
    """A copy of the compiled theory in which one file can be changed, and what depends on it compiled again.

    What a fault can reach are the ops and their table: the theorems about graphs hold of any table.
    """

    def __init__(self, prover: Prover, theory: Path, folder: Path) -> None:
        self.prover = prover
        self.theory = theory
        self.copy = folder / "proofs"
        files = sources.read()
        self.needs = _imports(files)
        self.order = list(graphlib.TopologicalSorter(self.needs).static_order())
        shutil.copytree(theory, self.copy)

    def red(self, fault: TextFault, jobs: int) -> list[Red]:
        """Which gates go red on this fault: Decl and the build, and if both are green the comparisons."""
        original = (self.theory / fault.file).read_text(encoding="utf-8")
        (self.copy / fault.file).write_text(fault.changed(original), encoding="utf-8")
        dirty = self._reached(fault.file)
        try:
            found = _present(
                [
                    _checked(self.copy) if fault.file.startswith("Decl/") else None,
                    self._build(fault.file, dirty),
                ]
            )
            if not found:
                op = [find(fault.op)]
                found += _present(cross_evaluated(self.prover, self.copy, op, jobs))
                found += _present(shapes_compared(self.prover, self.copy, op, jobs))
            return found
        finally:
            for name in (f for source in dirty for f in (source, f"{source}o")):
                shutil.copyfile(self.theory / name, self.copy / name)

    def _reached(self, changed: str) -> list[str]:
        reached = {changed}
        for name in self.order:
            if not reached.isdisjoint(self.needs[name]):
                reached.add(name)
        return [name for name in self.order if name in reached and name.split("/")[0] in ("Ops", "Decl")]

    def _build(self, changed: str, dirty: Iterable[str]) -> Red | None:
        for name in dirty:
            flags = ["-Q", ".", sources.LOGICAL_NAME, name]
            done = self.prover.run("coqc", flags, self.copy, seconds=SECONDS)
            if not done.ok:
                if name == changed and _SLIP.search(done.errors):
                    raise ValueError(
                        f"a fault must be well-formed Rocq: {' '.join(done.errors.split())[-200:]}"
                    )
                line = re.search(r"line (\d+), characters [^\n]*\n\s*Error", done.errors)
                at = f" line {line[1]}" if line else f": {done.errors.strip()[:60]}"
                return Red("Rocq build", f"{name}{at}: {self._lemma(name, int(line[1]) if line else 0)}")
        return None

    def _lemma(self, name: str, line: int) -> str:
        lines = (self.copy / name).read_text(encoding="utf-8").split("\n")[:line]
        stated = [
            m[1] for text in lines for m in re.finditer(r"(?:Lemma|Theorem|Definition|Example) (\w+)", text)
        ]
        return stated[-1] if stated else "?"


# a fault that does not parse, or names what is not there, would turn the build red for no good reason
_SLIP = re.compile(r"Syntax error|was not found in the current environment|Unknown interpretation")
_IMPORT = re.compile(r"From Prooftape(?:\.(\w+))? Require\s+(?:Import |Export )?([\w\s]+)\.")


def _imports(files: dict[str, bytes]) -> dict[str, list[str]]:
    """Which files of the theory each one imports: `From Prooftape.Ops Require Import Index Moves.`"""
    needs: dict[str, list[str]] = {}
    for name, content in files.items():
        text = re.sub(r"\(\*.*?\*\)", " ", content.decode(), flags=re.DOTALL)
        needs[name] = []
        for folder, modules in re.findall(
            r"From Prooftape(?:\.(\w+))? Require\s+(?:Import |Export )?([\w\s]+)\.", text
        ):
            found = (f"{folder}/{m}.v" if folder else f"{m}.v" for m in modules.split())
            needs[name] += [f for f in found if f in files]
    return needs


def _present(found: Iterable[Red | None]) -> list[Red]:
    return [red for red in found if red is not None]

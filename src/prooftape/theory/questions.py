"""Asking the prover about the compiled theory: statements, axioms, definitions, as it prints them."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from prooftape.errors import ProverError
from prooftape.theory import sources
from prooftape.theory.prover import Prover

# with the names of the Spec in scope, and lists and reals in the notation they are written in
NOTATION = """\
From Coq Require Import List NArith ZArith QArith Reals.
From Prooftape.Spec Require Import Scalar Tensor Block Graph Tape Op RealNum Statements.
From Prooftape.Core Require Import Obligations Side.
From Prooftape.Ops Require Import Smoothness Moves Elementwise.
From Prooftape.Decl Require Import Names Table.
Import ListNotations.
Open Scope nat_scope.
Set Printing Width 100.
"""
_PREAMBLE = f"From Prooftape Require Import Theorems.\n{NOTATION}"
_MARK = "@@"


def ask(prover: Prover, theory: Path, questions: Sequence[str], preamble: str = _PREAMBLE) -> list[str]:
    """The prover's answer to each vernacular command; raises `ProverError` if one fails."""
    body = "".join(f'Eval compute in ("{_MARK}"%string).\n{q}\n' for q in questions)
    text = f"From Coq Require Import String.\n{preamble}{body}"
    with tempfile.TemporaryDirectory(prefix="prooftape-") as folder:
        (Path(folder) / "question.v").write_text(text)
        flags = ["-Q", str(theory), sources.LOGICAL_NAME, "question.v"]
        run = prover.run("coqc", flags, Path(folder))
    if not run.ok:
        raise ProverError(f"the prover does not answer: {run.errors.strip()[:600]}")
    answers = re.split(rf'^\s*= "{_MARK}"(?:%string)?\s*: string\s*$', run.output, flags=re.MULTILINE)[1:]
    if len(answers) != len(questions):
        raise ProverError(f"{len(questions)} questions, {len(answers)} answers")
    return [a.strip() for a in answers]


def statements_of(prover: Prover, theory: Path, names: Sequence[str]) -> dict[str, str]:
    """The statement of each theorem, white space normalised."""
    answers = ask(prover, theory, [f"Check {n}." for n in names])
    return {n: " ".join(a.partition(":")[2].split()) for n, a in zip(names, answers, strict=True)}


def assumptions_of(prover: Prover, theory: Path, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The axioms each theorem rests on, sorted; empty when it is closed."""
    found: dict[str, tuple[str, ...]] = {}
    for n, a in zip(names, ask(prover, theory, [f"Print Assumptions {n}." for n in names]), strict=True):
        if "Closed under the global context" in a:
            found[n] = ()
        else:
            listed = a.partition("Axioms:\n")[2]
            found[n] = tuple(sorted(set(re.findall(r"^([A-Za-z_][\w.']*)\s*:", listed, re.MULTILINE))))
            if not found[n]:
                raise ProverError(f"cannot read the assumptions of {n}: {a[:200]}")
    return found

"""TRUST.md and docs/proofs.md name theorems, axioms, files and lines of code that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from prooftape.certificates.verify import ALLOWED_AXIOMS
from prooftape.theory.contents import theorems

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("TRUST.md", "docs/proofs.md", "proofs/README.md", "docs/adding-an-op.md")
TRUST = (ROOT / "TRUST.md").read_text(encoding="utf-8")


def table_of(text: str, heading: str) -> list[list[str]]:
    """Cells of the rows of the table whose head line starts so."""
    lines = text[text.index(f"| {heading}") :].partition("\n\n")[0].splitlines()[2:]
    return [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in lines]


def test_every_theorem_of_the_table_is_public_with_these_axioms() -> None:
    rows = [row for row in table_of(TRUST, "| in words") if len(row) == 5]
    assert [row[0].split()[0] for row in rows] == ["T1", "T2", "T3", "T4", "T5", "T6"]
    for row in rows:
        for name in re.findall(r"`(\w+)`", row[2]):
            axioms = theorems[name].assumptions
            wanted = 0 if f"`{name}` none" in row[4] or row[4] == "none" else 4
            assert len(axioms) == wanted, (name, axioms)


def test_the_axioms_are_those_that_verify_allows() -> None:
    bullet = TRUST[TRUST.index("* **Four axioms**") :].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+\.\w+)`", bullet)) == ALLOWED_AXIOMS
    assert {a for t in theorems for a in t.assumptions} == ALLOWED_AXIOMS


def test_the_two_loops_are_quoted_word_by_word() -> None:
    python, rocq = ((ROOT / name).read_text() for name in ("src/prooftape/tape.py", "proofs/Spec/Tape.v"))
    rows = table_of(TRUST, "`src/prooftape/tape.py`")
    assert len(rows) == 9
    for ours, theirs in rows:
        for text, cell in ((python, ours), (rocq, theirs)):
            for code in re.findall(r"`([^`]+)`", cell):
                assert code in text, code


@pytest.mark.parametrize("page", PAGES)
def test_named_files_of_the_theory_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`(?:proofs/)?((?:\w+/)?\w+\.v)`", text)) - {
        "proofs/Ops/Smoothstep.v",
        "Ops/Smoothstep.v",
    }
    assert named
    for name in named:
        assert list((ROOT / "proofs").rglob(name)), name

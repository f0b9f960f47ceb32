"""docs/coverage.md is what scripts/make_coverage.py writes, and says something in every cell."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from prooftape.ops import find, table
from prooftape.theory.contents import op_facts, theorems

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")
ROWS = {
    cells[0].strip("`"): cells[1:]
    for cells in (line.strip("| ").split(" | ") for line in PAGE.partition("## Cond")[0].splitlines())
    if len(cells) == 10 and cells[0].startswith("`")
}


@pytest.fixture
def make_coverage(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import make_coverage

    return make_coverage


def test_every_op_has_a_row_and_every_cell_a_level_or_a_reason() -> None:
    assert ROWS.keys() == table().keys()
    for name, cells in ROWS.items():
        assert len(cells) == 9, name
        for cell in cells:
            assert re.fullmatch(r"(proved|tested|assumed)(: .+)?|none: .+", cell), f"{name}: {cell!r}"


def test_what_is_proved_is_what_the_prover_exports() -> None:
    for name, (link, adjoint, derivative, formula, *_) in ROWS.items():
        facts = op_facts()[name]
        assert link == "proved" and adjoint.startswith("proved"), name
        assert ("everywhere" in derivative) == facts.everywhere, name
        assert formula == f"proved: `{facts.spec}`" if facts.spec else formula.startswith("none: "), name
    for theorem in theorems:
        assert f"| `{theorem.name}` |" in PAGE


def test_an_op_that_nobody_proved_or_compared_is_missing(make_coverage: ModuleType) -> None:
    unknown = dataclasses.replace(find("relu"), name="unknown")
    proved = (make_coverage.proved, make_coverage.adjoint, make_coverage.derivative, make_coverage.golden)
    assert [cell(unknown) for cell in proved] == [make_coverage.MISSING] * 4
    assert make_coverage.formula(unknown, [1]) == make_coverage.MISSING


def test_a_stale_page_is_noticed(
    make_coverage: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(make_coverage, "PAGE", tmp_path / "coverage.md")
    monkeypatch.setattr(make_coverage, "page", lambda prover: "new\n")
    monkeypatch.setattr(make_coverage, "find_prover", object)
    (tmp_path / "coverage.md").write_text("old\n")
    monkeypatch.setattr(sys, "argv", ["make_coverage.py", "--check"])
    assert make_coverage.main() == 1
    said = "docs/coverage.md is out of date: run python scripts/make_coverage.py\n"
    assert capsys.readouterr().err == said
    assert (tmp_path / "coverage.md").read_text() == "old\n"
    monkeypatch.setattr(sys, "argv", ["make_coverage.py"])
    assert make_coverage.main() == 0
    assert (tmp_path / "coverage.md").read_text() == "new\n"


@pytest.mark.proofs
@pytest.mark.slow
def test_the_page_is_current(make_coverage: ModuleType) -> None:
    assert make_coverage.page(make_coverage.find_prover()) == PAGE

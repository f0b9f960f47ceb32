"""The documentation's code runs as shown, and its generated parts are what the records say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", ["README.md", "docs/tutorial.md", "docs/guide.md", "docs/xla.md"])
def test_code_blocks_run_in_order(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / name).read_text(encoding="utf-8")
    blocks = list(FENCE.finditer(text))
    assert blocks
    space: dict[str, object] = {"__name__": "__main__"}
    for block in blocks:
        line = text[: block.start()].count("\n") + 1
        source = "\n" * line + block.group(1)  # errors name the document's own line
        exec(compile(source, str(ROOT / name), "exec"), space)


def test_the_example_of_the_readme_is_about_20_lines() -> None:
    example = FENCE.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert example is not None
    assert len([line for line in example.group(1).splitlines() if line.strip()]) <= 25


@pytest.mark.parametrize("script", ["make_docs.py", "make_stubs.py"])
def test_generated_files_are_up_to_date(script: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / script), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not target.startswith(("http:", "https:", "mailto:")):
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"


def test_readme_shows_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in text and "make test" in text


def test_every_public_op_of_the_reference_has_a_method() -> None:
    import prooftape as pt
    from prooftape.ops import table

    for name, op in table().items():
        assert callable(getattr(pt.Session, name)), name
        assert op.doc and op.shapes_doc


def test_every_known_defect_has_the_tests_its_page_names() -> None:
    page = (ROOT / "docs" / "from-torchlean.md").read_text(encoding="utf-8")
    tests = (ROOT / "tests" / "regressions" / "test_prior_art_defects.py").read_text(encoding="utf-8")
    defined = set(re.findall(r"^def (test_defect_\w+)", tests, re.MULTILINE))
    for number in range(1, 9):
        (row,) = re.findall(rf"^\| {number} \|.*$", page, re.MULTILINE)
        names = re.findall(r"`(?:…_|test_defect_\d_)(\w+)`", row)
        assert names, row
        assert {f"test_defect_{number}_{name}" for name in names} == {
            name for name in defined if name.startswith(f"test_defect_{number}_")
        }

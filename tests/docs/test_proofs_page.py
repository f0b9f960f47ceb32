"""docs/proofs.md: its Python runs, its Rocq is what the files say, its certificate is the one it records."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from prooftape.certificates.text import emit
from prooftape.session import Session
from prooftape.theory import sources

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "proofs.md").read_text(encoding="utf-8")
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
QUOTED = re.compile(r"^```coq\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHOWN = re.compile(r"^```coq certificate\n(.*?)^```$", re.DOTALL | re.MULTILINE)
RECORDS = 2
"""So many blocks of Python end with the certificate; those after it need a prover."""


def run(count: int) -> dict[str, object]:
    """The names that the first blocks define."""
    space: dict[str, object] = {"__name__": "__main__"}
    for block in list(PYTHON.finditer(PAGE))[:count]:
        line = PAGE[: block.start()].count("\n") + 1
        exec(compile("\n" * line + block.group(1), "docs/proofs.md", "exec"), space)
    return space


def words(text: str) -> str:
    """Text without its line breaks and indentation."""
    return " ".join(text.split())


def short(certificate: str) -> str:
    """The digests cut to 8 digits, as the page shows them."""
    return re.sub(
        r"^(\(\* (?:theory|graph) [0-9a-f]{8})[0-9a-f]{56} ", r"\1… ", certificate, flags=re.MULTILINE
    )


def test_quoted_rocq_is_in_the_theory() -> None:
    theory = [words(content.decode()) for content in sources.read().values()]
    quoted = QUOTED.findall(PAGE)
    assert len(quoted) > 10
    for text in quoted:
        assert any(words(text) in file for file in theory), text


def test_the_certificate_is_that_of_the_recorded_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))  # no prover: the file is written all the same
    space = run(RECORDS)
    s = space["s"]
    assert isinstance(s, Session)
    written = (tmp_path / "mine.v").read_text()
    assert written == emit(s.graph, s.compile_tape(), sources.digest(sources.read()))
    (shown,) = SHOWN.findall(PAGE)
    theory = re.compile(r"(?<=theory )[0-9a-f]{8}")  # of another version of the theory, when this one is new
    assert theory.sub("", shown) == theory.sub("", short(written))


def test_every_line_of_the_certificate_is_explained() -> None:
    (shown,) = SHOWN.findall(PAGE)
    explained: set[int] = set()
    for first, last in re.findall(r"^\| (\d+)(?:-(\d+))? \|", PAGE, re.MULTILINE):
        explained |= set(range(int(first), int(last or first) + 1))
    lines = shown.splitlines()
    brackets = {n for n, line in enumerate(lines, 1) if line == "]." or line.endswith(":= [")}
    assert explained | brackets == set(range(1, len(lines) + 1))
    assert not explained & brackets


@pytest.mark.proofs
@pytest.mark.slow
def test_all_of_its_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(len(PYTHON.findall(PAGE)))

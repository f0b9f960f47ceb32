"""docs/adding-an-op.md, done: its two files added to a copy of the tree, its commands and code run there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.proofs, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "adding-an-op.md").read_text(encoding="utf-8")
BLOCK = re.compile(
    r"(?:^`(?P<path>[\w/.]+)`:\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
COPIED = ("src", "proofs", "scripts", "docs", "tests", "README.md", "pyproject.toml")
PRINTED = {
    "proofs/Decl/Names.v",
    "proofs/Decl/Exprs.v",
    "proofs/Decl/Table.v",
    "src/prooftape/op_methods.pyi",
    "src/prooftape/theory/contents.json",
    "README.md",
    "docs/conventions.md",
    "docs/coverage.md",
    "docs/ops.md",
}


def blocks(kind: str) -> Iterator[tuple[str | None, str]]:
    """(file, text) of the page's code blocks of one kind; no file for a block that is no whole file."""
    return ((m["path"], m["text"]) for m in BLOCK.finditer(PAGE) if m["kind"] == kind)


FILES = {path: text for kind in ("python", "coq") for path, text in blocks(kind) if path is not None}
(COMMANDS,) = ([line.partition("#")[0].split() for line in text.splitlines()] for _, text in blocks("sh"))


def files_of(root: Path) -> dict[str, bytes]:
    """Contents by relative path, without what tools leave behind."""
    paths = (p for name in COPIED for p in [root / name, *(root / name).rglob("*")])
    return {
        str(p.relative_to(root)): p.read_bytes()
        for p in paths
        if p.is_file() and "__pycache__" not in p.parts and not p.name.endswith(LEFT_BEHIND)
    }


LEFT_BEHIND = (".vo", ".vok", ".vos", ".glob", ".aux", ".pyc")


class Tree:
    """A copy of the source tree."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in COPIED:
            if (ROOT / name).is_file():
                shutil.copyfile(ROOT / name, root / name)
            else:
                ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "*.vo*", "*.glob", ".*")
                shutil.copytree(ROOT / name, root / name, ignore=ignored)
        self.before = files_of(root)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(str(self.root / folder) for folder in ("src", "scripts"))
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": path, "PYTEST_ADDOPTS": "-p no:cacheprovider"},
            capture_output=True,
            text=True,
            timeout=900,
        )

    def write(self, name: str, text: str) -> None:
        assert not (self.root / name).exists(), name
        (self.root / name).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """The tree with the op, after the page's commands."""
    tree = Tree(tmp_path_factory.mktemp("tree"))
    for name, text in FILES.items():
        tree.write(name, text)
    for program, *arguments in COMMANDS:
        assert program == "python"
        done = tree.run(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return tree


def test_an_op_is_one_python_file_and_one_rocq_file(tree: Tree) -> None:
    assert [Path(name).parent for name in FILES] == [Path("src/prooftape/ops"), Path("proofs/Ops")]
    before, after = tree.before, files_of(tree.root)
    changed = {name for name in after if before.get(name) != after[name] and "proofs/gold/" not in name}
    assert changed - PRINTED == set(FILES)
    assert before.keys() <= after.keys()


def test_what_is_printed_for_rocq_is_what_the_page_shows(tree: Tree) -> None:
    shown = [text for path, text in blocks("coq") if path is None]
    assert len(shown) == 2
    printed = "".join((tree.root / "proofs" / "Decl" / name).read_text() for name in ("Names.v", "Exprs.v"))
    for text in shown:
        assert text in printed


def test_the_pages_code_runs(tree: Tree) -> None:
    code = "".join(text for path, text in blocks("python") if path is None)
    done = tree.run("-c", code)
    assert done.returncode == 0, done.stderr


def test_without_the_rocq_file_there_is_no_certificate(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write(*next((name, text) for name, text in FILES.items() if name.endswith(".py")))
    listed = tree.run("scripts/make_decl.py", "--missing")
    parts = ", ".join(f"smoothstep_{part}" for part in ("def", "side", "sized", "saves", "differentiable"))
    assert (listed.returncode, listed.stdout) == (1, f"smoothstep: {parts}\n")
    code = "import prooftape as pt; s = pt.Session(); print(s.certify(s.smoothstep(s.input([1.0]))))"
    done = tree.run("-c", code)
    assert done.stdout.startswith("refused: node %1: smoothstep is not an op of the theory"), done.stderr


def test_a_wrong_slope_stops_the_build(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    for name, text in FILES.items():
        if name.endswith(".py"):
            assert text.count("xp.scale(t, 6)") == 1
            text = text.replace("xp.scale(t, 6)", "xp.scale(t, 3)")
        tree.write(name, text)
    assert tree.run("scripts/make_decl.py").returncode == 0
    done = tree.run("scripts/export_theory.py")
    assert done.returncode != 0
    proof = FILES["proofs/Ops/Smoothstep.v"]
    line = proof.partition("unfold smoothstep_slopes")[0].count("\n") + 1
    assert f"the theory does not compile: Ops/Smoothstep.v: line {line}: " in done.stderr

"""What Rocq is told about the ops is printed from the op records; scripts/make_decl.py keeps it so."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from prooftape.ops import find

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"


def make_decl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / "make_decl.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def proofs(tmp_path: Path) -> Path:
    """A copy of what the generator reads and writes."""
    copy = tmp_path / "proofs"
    for folder in ("Decl", "Ops"):
        shutil.copytree(ROOT / "proofs" / folder, copy / folder, ignore=lambda _, names: _not_sources(names))
    return copy


def _not_sources(names: list[str]) -> list[str]:
    return [name for name in names if not name.endswith(".v")]


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_committed_files_are_current() -> None:
    done = make_decl("--check")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("Names.v", '"exp" [Real] false 0 0 [] [Result]', '"exp" [Real] false 0 0 [] [Operand 0]'),
        ("Exprs.v", "Fn Cos (Arg 0)", "Fn Sin (Arg 0)"),
        ("Table.v", "relu_def", "neg_def"),
    ],
)
def test_a_stale_file_is_noticed(proofs: Path, name: str, old: str, new: str) -> None:
    change(proofs / "Decl" / name, old, new)
    done = make_decl("--check", "--proofs", str(proofs))
    assert done.returncode == 1
    assert f"proofs/Decl/{name} is out of date: run python scripts/make_decl.py" in done.stderr
    assert new in done.stderr  # the difference is shown
    make_decl("--proofs", str(proofs))
    assert make_decl("--check", "--proofs", str(proofs)).returncode == 0


def test_an_op_without_a_proof_is_noticed(proofs: Path) -> None:
    change(proofs / "Ops" / "ElementwiseSelect.v", "Lemma relu_saves ", "(* *) Lemma relu_other ")
    listed = make_decl("--missing", "--proofs", str(proofs))
    assert (listed.returncode, listed.stdout) == (1, "relu: relu_saves\n")
    checked = make_decl("--check", "--proofs", str(proofs))
    assert checked.returncode == 1
    assert "1 incomplete op: " in checked.stderr


# -- rules run on expressions -------------------------------------------------------------------------------
@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    import decl.entries

    return decl.entries


def test_attributes_stay_symbols_and_saved_results_are_the_last_argument(entries: ModuleType) -> None:
    assert entries.elementwise(find("scale")) == entries.Elementwise("Mul (Arg 0) (Par 0)", ("Par 0",))
    assert entries.elementwise(find("exp")) == entries.Elementwise("Fn Exp (Arg 0)", ("Arg 1",))
    assert entries.elementwise(find("pow_const")).slopes == ("PowPrime (Arg 0) 0",)


def test_a_gate_is_a_selection_between_one_and_zero(entries: ModuleType) -> None:
    to_a, to_b = entries.elementwise(find("where")).slopes[1:]
    assert to_a == "If (Arg 0) (Lit (1 # 1)) (Lit (0 # 1))"
    assert to_b == "If (Arg 0) (Lit (0 # 1)) (Lit (1 # 1))"


def test_an_infinite_bound_is_no_bound(entries: ModuleType) -> None:
    rules = entries.elementwise(find("clamp"), {"lo": float("-inf"), "hi": float("inf")})
    assert rules.value == "Arg 0"


@pytest.mark.parametrize("name", ["take_nat", "windows", "matmul", "softmax", "const", "concat"])
def test_an_op_that_moves_entries_is_not_elementwise(entries: ModuleType, name: str) -> None:
    assert entries.elementwise(find(name)) is None


def test_two_modes_with_different_slopes_are_refused(entries: ModuleType) -> None:
    wrong = dataclasses.replace(find("sin"), vjp=find("cos").vjp)
    with pytest.raises(ValueError, match="op sin: JVP has the slope Fn Cos"):
        entries.elementwise(wrong)


def test_a_save_list_that_the_vjp_does_not_fit_is_said(entries: ModuleType) -> None:
    """Its author reads which op and which list, not a traceback."""
    wrong = dataclasses.replace(find("mul"), saves=("a",))
    with pytest.raises(ValueError, match=r"op mul: its rules do not fit its save list \('a',\): "):
        entries.elementwise(wrong)

"""`prooftape profile`: a program runs as under python, and what its sessions did is told and drawn."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from prooftape.cli import main
from prooftape.profiling.collect import running
from prooftape.session import Session

pytest.importorskip("typer")
pytest.importorskip("matplotlib")
from typer.testing import CliRunner

from prooftape.cli.app import app

TRAIN = """
import sys
import numpy as np
import prooftape as pt
from beside import RATE  # a module in the program's own folder

assert __name__ == "__main__" and sys.argv[0].endswith("train.py")
s = pt.Session()
w = s.param(np.ones((3, 4)), name="w")
for _ in range(5):
    s.reset_tape()
    loss = s.mean(s.square(s.tanh(s.input(np.ones((2, 4))) @ s.use(w).T)))
    s.sgd_step_all(RATE, s.backward_scalar_dense_all(loss))
print("arguments", sys.argv[1:], "engine", s.engine, "loss", loss.item())
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "beside.py").write_text("RATE = 0.1\n")
    path = tmp_path / "train.py"
    path.write_text(TRAIN)
    yield path  # type: ignore[misc]
    sys.modules.pop("beside", None)
    assert running() is None and Session.__init__.__qualname__ == "Session.__init__"
    assert not hasattr(Session.__init__, "__wrapped__")


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    argv, path = sys.argv[:], sys.path[:]
    status = main([str(a) for a in arguments])
    assert sys.argv == argv and sys.path == path
    return (status, *capsys.readouterr())


def test_help() -> None:
    result = CliRunner().invoke(app, ["profile", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert result.exit_code == 0
    for word in ("--engine", "--steps", "--out", "FILE", "reset_tape"):
        assert word in result.output


def test_a_program_is_run_and_its_profile_told(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = program.parent / "new" / "folder"
    status, text, errors = said(capsys, "profile", program, "--out", out, "--", "--epochs", "3")
    assert status == 0 and errors == ""
    assert "arguments ['--epochs', '3'] engine numpy" in text
    assert "profile: 5 steps" in text and "train.py:12" in text and "matmul" in text
    assert f"written: {out / 'profile.svg'}" in text
    assert b"<svg" in (out / "profile.svg").read_bytes()
    data = json.loads((out / "profile.json").read_text())
    assert {n["op"] for n in data["nodes"]} == {"transpose2d", "matmul", "tanh", "square", "mean"}
    assert sum(data["phases"].values()) == pytest.approx(data["seconds"])


def test_a_limit_of_steps(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text, _ = said(capsys, "profile", program, "--steps", "2", "--out", program.parent)
    assert status == 0 and "profile: 2 steps" in text and "loss" in text
    status, _, errors = said(capsys, "profile", program, "--steps", "0")
    assert status == 2 and "--steps" in errors


def test_another_engine(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("jax")
    status, text, _ = said(capsys, "profile", program, "--engine", "xla", "--out", program.parent)
    assert status == 0 and "engine xla" in text and "region of a program" in text
    status, _, errors = said(capsys, "profile", program, "--engine", "torch")
    assert status == 1 and errors == "prooftape: profile: unknown engine 'torch'; known: numpy, xla\n"


def test_exact_sessions_keep_their_engine(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("jax")
    program.write_text('import prooftape as pt\ns = pt.Session("rational")\nprint((s.input([1]) * 2).value)')
    status, text, _ = said(capsys, "profile", program, "--engine", "xla", "--out", program.parent)
    assert status == 0 and "engine numpy" in text


def test_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = tmp_path / "gone.py"
    assert said(capsys, "profile", gone) == (1, "", f"prooftape: {gone}: No such file or directory\n")
    assert said(capsys, "profile", tmp_path) == (1, "", f"prooftape: {tmp_path}: Is a directory\n")


def test_a_program_that_raises_shows_its_traceback_and_what_ran(
    program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program.write_text(TRAIN + "\ndef f():\n    raise ValueError('no more data')\n\nf()\n")
    status, text, errors = said(capsys, "profile", program, "--out", program.parent)
    assert status == 1
    assert "profile: 5 steps" in text and (program.parent / "profile.svg").exists()
    assert "ValueError: no more data" in errors and "in f" in errors
    assert "runpy" not in errors and "cli/profile.py" not in errors  # only the program's own frames


def test_the_status_is_the_programs(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program.write_text(TRAIN + "\nsys.exit(3)\n")
    assert said(capsys, "profile", program, "--out", program.parent)[0] == 3
    program.write_text(TRAIN + "\nsys.exit('done for')\n")
    status, _, errors = said(capsys, "profile", program, "--out", program.parent)
    assert status == 1 and errors == "done for\n"


def test_an_interrupted_program_keeps_what_ran(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program.write_text(TRAIN + "\nraise KeyboardInterrupt\n")
    status, text, errors = said(capsys, "profile", program, "--out", program.parent)
    assert status == 130 and "profile: 5 steps" in text and "interrupted" in errors


@pytest.mark.parametrize("text", ["print('hello')", "import prooftape\nprooftape.Session()"])
def test_nothing_to_profile(text: str, program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program.write_text(text)
    status, _, errors = said(capsys, "profile", program, "--out", program.parent)
    assert status == 1
    assert errors.startswith(f"prooftape: profile: {program} made no session that did anything")
    assert not (program.parent / "profile.svg").exists()


def test_a_program_that_fails_before_it_does_anything(
    program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program.write_text("this is no Python")
    status, text, errors = said(capsys, "profile", program, "--out", program.parent)
    assert status == 1 and text == "" and "SyntaxError" in errors
    assert not (program.parent / "profile.svg").exists()


def test_a_picture_that_cannot_be_written(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = program.parent / "profile.svg"
    folder.mkdir()
    status, text, errors = said(capsys, "profile", program, "--out", program.parent)
    assert status == 1 and "profile: 5 steps" in text  # what was measured is not lost
    assert errors == f"prooftape: {folder}: Is a directory\n"

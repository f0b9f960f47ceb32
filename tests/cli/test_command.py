"""The command: version, ops, show, and what it says when something is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import prooftape as pt
from prooftape.cli import main
from prooftape.ops import table
from prooftape.training import adam, save_checkpoint

pytest.importorskip("typer")
pytest.importorskip("rich")
from typer.testing import CliRunner

from prooftape.cli.app import app

SRC = Path(__file__).resolve().parents[2] / "src"


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")


def said(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    """What the command prints; errors go to stderr, everything else to stdout."""
    assert main(arguments) == status
    out, err = capsys.readouterr()
    assert (out if status else err) == ""
    return err if status else out


def test_help_lists_the_commands() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    for command in ("demo", "ops", "show", "profile", "certify", "verify", "trust", "doctor"):
        assert command in result.output


@pytest.mark.parametrize("module", ["prooftape", "prooftape.cli"])
def test_the_command_runs_as_a_module(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--version"], capture_output=True, text=True, timeout=60,
        env={"PYTHONPATH": str(SRC), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.startswith(f"prooftape {pt.__version__} (Python ")


# -- missing libraries -------------------------------------------------------------------------------
@pytest.fixture
def without_typer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "typer", None)


@pytest.mark.usefixtures("without_typer")
def test_without_typer_the_extra_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    message = "prooftape: the command line needs typer: pip install 'prooftape[cli]'\n"
    assert said(capsys, "demo", status=1) == message


@pytest.mark.usefixtures("without_typer")
def test_without_typer_the_version_and_the_doctor_still_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--version").startswith(f"prooftape {pt.__version__} ")
    main(["doctor"])
    report = capsys.readouterr().out
    assert "numpy" in report and "safetensors" in report and "typer" in report


def test_without_either_both_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "typer", None)
    monkeypatch.setitem(sys.modules, "rich", None)
    assert "needs typer and rich: pip install 'prooftape[cli]'" in said(capsys, "ops", status=1)


# -- ops ----------------------------------------------------------------------------------------------
def test_ops_lists_every_public_op(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "ops", "--markdown")
    for op in table().values():
        assert (f"| `{op.name}(" in text) == op.public, op.name
    assert "| `clamp(x, lo, hi)` |" in text and "| `softmax(x, axis=-1)` |" in text


def test_every_row_of_the_markdown_has_five_cells(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [line for line in said(capsys, "ops", "--markdown").splitlines() if line.startswith("|")]
    for row in rows:
        assert row.replace("\\|", "").count("|") == 6, row


def test_one_family(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "ops", "--family", "loss")
    assert "mse_loss" in text and "relu" not in text
    assert said(capsys, "ops", "--family", "los") == text


def test_one_op_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "ops", "relu")
    assert text.startswith("relu(x)    [elementwise]\n") and "Convention: relu'(0) = 0." in text


def test_wrong_names_are_helped_with(capsys: pytest.CaptureFixture[str]) -> None:
    message = "prooftape: ops: no op is called 'sofmax'; did you mean softmax"
    assert said(capsys, "ops", "sofmax", status=1).startswith(message)
    message = "prooftape: ops: no one family is called 'x'; families: "
    assert said(capsys, "ops", "--family", "x", status=1).startswith(message)


def test_the_table_is_for_reading_too(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "ops")
    assert all(op.name in text for op in table().values() if op.public)


# -- show ----------------------------------------------------------------------------------------------
def recorded() -> pt.Session:
    s = pt.Session()
    w = s.use(s.param([[1.0, 2.0]], name="w"))
    s.sum(s.relu(w))
    return s


def test_a_graph_is_shown_as_text_that_reads_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = recorded().graph
    graph.save(tmp_path / "g")
    text = said(capsys, "show", str(tmp_path / "g"))
    assert text.endswith("# 1 leaves, 2 nodes\n")
    assert pt.Graph.parse(text) == graph


def test_long_lines_are_not_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    s = pt.Session("float64")
    s.square(s.input(1.0))
    s.const([0.1 * i for i in range(60)])
    s.graph.save(tmp_path / "g")
    assert pt.Graph.parse(said(capsys, "show", str(tmp_path / "g"))) == s.graph


def test_a_checkpoint_is_shown_with_its_graph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("safetensors")
    s = pt.Session()
    w, v = s.param([[1.0, 2.0]], name="w [odd]"), s.param(3.0, name="v")
    run = adam(lr=0.5)
    x = s.use(w)
    s.use(v)
    run.step(s, s.backward_scalar_dense_all(s.sum(x)))
    path = str(tmp_path / "c")
    save_checkpoint(path, [w, v], optimizer=run, graph=s.graph, step=7, extra={"note": "[b]plain[/b]"})
    text = said(capsys, "show", path)
    for expected in (
        "checkpoint: scalar float32, 2 params, 3 numbers",
        "step: 7",
        "lr=0.5",
        "note: [b]plain[/b]",
        "w [odd]",
        "exp_avg, exp_avg_sq after 1 steps",
        '%0: param real[1,2] "w [odd]" requires_grad',
    ):
        assert expected in text
    save_checkpoint(path, [w])
    assert "no graph was saved" in said(capsys, "show", path)


def test_the_line_at_fault_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = recorded().graph.text().replace("relu", "rulu")
    (tmp_path / "g").write_text(text)
    assert said(capsys, "show", str(tmp_path / "g"), status=1) == (
        "prooftape: g: graph text, line 4, column 6: expected the name of an op, found 'rulu'; "
        "did you mean relu?\n"
        "      2  nats 0\n"
        '      3  %0: param real[1,2] "w" requires_grad\n'
        ">     4  %1 = rulu(%0) : real[1,2]\n"
        "              ^\n"
        "      5  %2 = sum(%1) : real[]\n"
    )


def test_files_that_cannot_be_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere, empty, bytes_ = tmp_path / "nowhere", tmp_path / "empty", tmp_path / "bytes"
    assert (
        said(capsys, "show", str(nowhere), status=1) == f"prooftape: {nowhere}: No such file or directory\n"
    )
    empty.write_text("")
    assert "line 1: expected the header 'prooftape graph 1'" in said(capsys, "show", str(empty), status=1)
    bytes_.write_bytes(b"\xff\xfe" * 20)
    assert "not UTF-8 text" in said(capsys, "show", str(bytes_), status=1)


def test_a_damaged_checkpoint_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("safetensors")
    path = tmp_path / "c"
    save_checkpoint(path, [pt.Session().param([1.0, 2.0], name="w")])
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    expected = f"prooftape: {path}: corrupt: the contents do not match their SHA-256\n"
    assert said(capsys, "show", str(path), status=1) == expected


@pytest.mark.parametrize("kept", [20, 60, 300])  # inside the header, inside the header, inside the numbers
def test_a_checkpoint_cut_short_is_called_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: int
) -> None:
    pytest.importorskip("safetensors")
    path = tmp_path / "c"
    save_checkpoint(path, [pt.Session().param(range(100), name="w")])
    path.write_bytes(path.read_bytes()[:kept])
    assert f"{path}: truncated, corrupt" in said(capsys, "show", str(path), status=1)


def test_output_may_be_cut_off_by_its_reader(tmp_path: Path) -> None:
    s = pt.Session()
    x = s.input(1.0)
    for _ in range(20_000):
        x = s.neg(x)
    s.graph.save(tmp_path / "g")
    command = f"{sys.executable} -m prooftape show {tmp_path / 'g'} | head -n 3"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, timeout=120,
        env={"PYTHONPATH": str(SRC), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.stderr == "" and done.stdout.splitlines()[0] == "prooftape graph 1"

"""`prooftape certify`, `verify` and `trust`: what they print and the status they end with."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import prooftape as pt
import prooftape.ops
from prooftape.certificates import certify as certify_module
from prooftape.certificates.verdict import THEOREMS
from prooftape.cli import main
from prooftape.errors import ProverError
from prooftape.ops import find
from prooftape.theory.contents import op_facts
from prooftape.theory.prover import HOW_TO_GET

pytest.importorskip("typer")
pytest.importorskip("rich")
from rich.console import Console

from prooftape.cli.certificates import show, theory_progress

UNCHECKED = f"unchecked: there is no Rocq prover on the path; {HOW_TO_GET}\n"


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture
def no_prover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing here"))


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A saved graph of two leaves and three nodes."""
    s = pt.Session()
    w, x = s.use(s.param([[1.0, 2.0]], name="w")), s.input([[3.0], [4.0]])
    s.sum(s.exp(s.matmul(w, x)))
    s.graph.save(tmp_path / "net.graph")
    return tmp_path / "net.graph"


@pytest.fixture
def twice() -> Iterator[pt.Op]:
    op = pt.register(replace(find("neg"), name="twice", _calls={}))
    yield op
    del prooftape.ops._outside["twice"]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return status, out, err


# -- certify ------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("no_prover")
def test_without_a_prover_the_certificate_is_written(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "certify", graph)
    made = graph.with_suffix(".v")
    assert (status, err) == (2, "")
    assert out == f"{graph}: 2 leaves, 3 nodes\ncertificate: {made}\n{UNCHECKED}"
    expected = graph.parent / "expected.v"
    certify_module.certify(pt.Graph.load(graph), path=expected)
    assert made.read_bytes() == expected.read_bytes()


@pytest.mark.usefixtures("no_prover")
def test_the_certificate_goes_where_it_is_told(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = graph.parent / "with [brackets] in its name.v"
    status, out, _ = run(capsys, "certify", graph, "--out", given)
    assert status == 2 and f"certificate: {given}\n" in out and given.is_file()
    assert not graph.with_suffix(".v").exists()


@pytest.mark.usefixtures("no_prover")
def test_the_graph_is_not_written_over(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = graph.rename(graph.with_suffix(".v"))
    before = net.read_bytes()
    link = net.with_name("link.v")
    link.symlink_to(net)
    for given, out in ([net], net), ([net, "--out", link], link), ([link], link):
        status, _, err = run(capsys, "certify", *given)
        assert (status, err) == (
            1,
            f"prooftape: certify: {out} is the graph itself; --out names another file\n",
        )
        assert net.read_bytes() == before


def test_an_op_from_outside_is_refused(
    twice: pt.Op, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    s = pt.Session()
    s.apply("twice", s.input(1.0))
    s.graph.save(tmp_path / "g")
    status, out, err = run(capsys, "certify", tmp_path / "g")
    assert (status, err) == (1, "")
    assert out == (
        f"{tmp_path / 'g'}: 1 leaf, 1 node\n"
        f"refused: node %1: twice is not an op of the theory, which knows {len(op_facts())} ops\n"
    )
    assert not (tmp_path / "g.v").exists()


@pytest.mark.parametrize("command", ["certify", "trust"])
def test_files_that_are_no_graphs(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere, broken, binary = tmp_path / "nowhere", tmp_path / "broken", tmp_path / "binary"
    broken.write_text("prooftape graph 1\nnats 0\n%0: input real[2]\n%1 = rulu(%0) : real[2]\n")
    binary.write_bytes(b"\xff\xfe")
    assert run(capsys, command, nowhere) == (1, "", f"prooftape: {nowhere}: No such file or directory\n")
    status, out, err = run(capsys, command, broken)
    assert (status, out) == (1, "")
    assert err.startswith("prooftape: broken: graph text, line 4, column 6: expected the name of an op")
    assert "did you mean relu?" in err and "Traceback" not in err
    status, out, err = run(capsys, command, binary)
    assert (status, out) == (1, "") and err.startswith("prooftape: binary: not UTF-8 text")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["binary", "broken"]


@pytest.mark.usefixtures("no_prover")
def test_a_certificate_that_cannot_be_written(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = graph.parent / "nowhere"
    status, _, err = run(capsys, "certify", graph, "--out", folder / "c.v")
    assert (status, err) == (1, f"prooftape: {folder}: no such folder\n")


def test_a_broken_prover_is_no_refusal(
    graph: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "coqc").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "coqc").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    for command in (["certify", graph], ["verify", graph.with_suffix(".v")]):
        status, _, err = run(capsys, *command)
        assert status == 2
        assert err == f"prooftape: {tmp_path / 'coqc'} --version ended with status 3; {HOW_TO_GET}\n"


# -- verify -------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("no_prover")
def test_what_needs_no_prover_is_checked_without_one(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "certify", graph)
    made = graph.with_suffix(".v")
    assert run(capsys, "verify", made) == (2, UNCHECKED, "")
    assert run(capsys, "verify", made, "--graph", graph) == (2, UNCHECKED, "")

    s = pt.Session()
    s.neg(s.input(1.0))
    s.graph.save(graph.parent / "other")
    status, out, err = run(capsys, "verify", made, "--graph", graph.parent / "other")
    assert (status, err) == (1, "") and out.startswith("refused: line 3: it names graph ")

    made.write_text(made.read_text().replace("Qed.", "Admitted.", 1))
    status, out, err = run(capsys, "verify", made)
    assert (status, err) == (1, "")
    assert out.startswith("refused: line ") and "the statement and its proof must read" in out


def test_certificates_that_cannot_be_read(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = graph.parent / "nowhere.v"
    assert run(capsys, "verify", nowhere) == (1, "", f"prooftape: {nowhere}: No such file or directory\n")
    status, out, err = run(capsys, "verify", graph, "--graph", nowhere)
    assert (status, out, err) == (1, "", f"prooftape: {nowhere}: No such file or directory\n")
    status, out, err = run(capsys, "verify", graph)  # a graph is no certificate
    assert (status, err) == (1, "") and out.startswith("refused: line 1: the first line must read")


# -- trust --------------------------------------------------------------------------------------------------
def test_trust_is_a_table_and_the_weakest_link(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "trust", graph)
    lines = [line.rstrip() for line in out.splitlines()]
    assert (status, err) == (0, "")
    assert lines[0].split("  ")[0] == "op" and {"link", "adjoint", "derivative", "kernel"} <= set(
        lines[0].split()
    )
    assert [line.split()[0] for line in lines[1:-1]] == ["matmul", "sum", "exp"]
    assert lines[-1] == "weakest link: exp, tested in exact-tested, tail accuracy, kernel"
    assert "NumPy float32" in out
    status, out, _ = run(capsys, "trust", graph, "--scalar", "rational")
    assert status == 0 and "no tail: exact numbers" in out and "tested: rational" in out
    status, out, err = run(capsys, "trust", graph, "--scalar", "float31")
    assert (status, out) == (1, "") and err.startswith("prooftape: ") and "float31" in err


def test_trust_on_a_narrow_terminal_is_one_op_below_the_other(
    graph: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    status, out, err = run(capsys, "trust", graph)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[:8] == [
        "matmul",
        "  nodes          1",
        "  link           proved",
        "  adjoint        proved",
        "  derivative     proved: everywhere",
        "  exact-tested   tested",
        "  tail accuracy  no tail: arithmetic alone, sums in the order of the BLAS library",
        "  kernel         tested: NumPy float32",
    ]
    assert [lines[8], lines[16]] == ["sum", "exp"] and len(lines) == 25
    assert lines[-1] == "weakest link: exp, tested in exact-tested, tail accuracy, kernel"


def test_trust_in_a_graph_without_ops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    s = pt.Session()
    s.input(1.0)
    s.graph.save(tmp_path / "g")
    assert run(capsys, "trust", tmp_path / "g") == (0, "no ops: nothing to trust\n", "")


# -- verdicts on the screen ---------------------------------------------------------------------------------
def shown(verdict: pt.Verdict) -> tuple[int, str]:
    text = io.StringIO()
    status = show(verdict, Console(file=text, width=60, highlight=False))
    return status, text.getvalue()


def test_a_proof_is_shown_with_what_was_proved_and_from_what() -> None:
    verdict = pt.Verdict(
        "proved", nodes=3, theorems=tuple(THEOREMS), seconds=0.84, assumptions=("A.classic", "B.C.other")
    )
    status, text = shown(verdict)
    assert status == 0
    assert text.splitlines() == [
        "proved: 3 nodes, Linked, Adjoint, Derivative, 0.8 s",
        *(f"  {name}: {meaning}" for name, meaning in THEOREMS.items()),
        "  axioms: classic, other",
    ]
    status, text = shown(replace(verdict, assumptions=(), theory_seconds=83.4))
    assert status == 0 and text.splitlines()[-2:] == [
        "  axioms: none",
        "  (compiling the theory, once on this machine: 83 s)",
    ]


def test_a_refusal_is_one_line_as_it_is() -> None:
    verdict = pt.Verdict("refused", reason="found '[bold]x[/bold]' " + "and more " * 10, line=4)
    assert shown(verdict) == (1, f"refused: line 4: {verdict.reason}\n")


def test_compiling_the_theory_is_told_once_where_lines_cannot_be_redrawn() -> None:
    text = io.StringIO()
    with theory_progress(Console(file=text, width=80)) as report:
        assert text.getvalue() == ""
        for k in range(4):
            report("Spec/A.v" if k else "", k, 3)
    assert text.getvalue() == "compiling the theory, 3 files, once on this machine: a few minutes\n"


def test_compiling_the_theory_is_a_bar_on_a_terminal() -> None:
    text = io.StringIO()
    with theory_progress(Console(file=text, width=80, force_terminal=True)) as report:
        report("", 0, 3)
        report("Spec/A.v", 1, 3)
        report("Spec/B.v", 2, 3)
    assert "compiling the theory" in text.getvalue() and "2/3" in text.getvalue()


def test_nothing_is_told_when_the_theory_is_there() -> None:
    text = io.StringIO()
    with theory_progress(Console(file=text, width=80)):
        pass
    assert text.getvalue() == ""


def test_an_error_of_the_prover_ends_the_bar() -> None:
    text = io.StringIO()
    with (
        pytest.raises(ProverError),
        theory_progress(Console(file=text, width=80, force_terminal=True)) as report,
    ):
        report("", 0, 3)
        raise ProverError("no")
    assert text.getvalue().endswith("\x1b[2K")  # the bar's line is cleared


# -- with the prover ----------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.proofs
def test_a_saved_graph_is_certified_and_verified(graph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "certify", graph)
    lines = out.splitlines()
    made = graph.with_suffix(".v")
    assert (status, err) == (0, "")
    proved = lines.index(f"certificate: {made}") + 1
    assert lines[proved].startswith("proved: 3 nodes, Linked, Adjoint, Derivative, ")
    assert lines[proved + 4] == (
        "  axioms: sig_forall_dec, sig_not_dec, classic, functional_extensionality_dep"
    )
    status, out, _ = run(capsys, "verify", made, "--graph", graph)
    assert status == 0 and out.startswith("proved: 3 nodes, ") and "--graph" not in out
    status, out, _ = run(capsys, "verify", made)
    assert out.endswith("of the graph in this file; --graph FILE compares it with a graph you have\n")

    text = made.read_text()
    assert "Node c0 [0;1] []" in text
    made.write_text(text.replace("Node c0 [0;1] []", "Node c0 [1;0] []"))
    status, out, _ = run(capsys, "verify", made)
    assert status == 1 and out.startswith("refused: node %2: operand 0 is slot %1 of type ")

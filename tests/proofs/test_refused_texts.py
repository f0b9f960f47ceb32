"""Texts that are no certificate: refused with line and reason before any prover is started."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from bad_data import bad_data
from bad_frames import bad_frames
from certified_graph import certificate, graph
from text_edits import LINES, RIGHT, BadText

from prooftape.certificates import verify as module
from prooftape.certificates.text import Contents, Refusal, read
from prooftape.certificates.verify import verify, verify_bytes
from prooftape.graph import Graph
from prooftape.theory.prover import HOW_TO_GET, Prover

CASES = [*bad_frames(), *bad_data()]
NAMES = [c.name for c in CASES]


@pytest.fixture
def no_prover(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for a prover fails the test."""

    def asked() -> Prover:
        raise AssertionError("the prover was asked for")

    monkeypatch.setattr(module, "find_prover", asked)


def test_the_right_text_is_read() -> None:
    text, contents = read(RIGHT.encode())
    ops = ("matmul", "sub", "greater", "where", "exp", "clamp", "take_ref", "concat", "cross_entropy")
    assert text == RIGHT
    assert contents == Contents(LINES[1].split(" ")[2], graph().digest(), 9, ops)


def test_the_cases_are_many_and_different() -> None:
    assert len(CASES) >= 150
    assert len(set(NAMES)) == len(NAMES)
    assert len({c.data for c in CASES} | {RIGHT.encode()}) == len(CASES) + 1


@pytest.mark.usefixtures("no_prover")
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_refused_with_line_and_reason(case: BadText) -> None:
    verdict = verify_bytes(case.data)
    assert (verdict.outcome, verdict.line, verdict.reason) == ("refused", case.line, case.reason)
    assert str(verdict) == f"refused: line {case.line}: {case.reason}"
    assert (verdict.node, verdict.nodes, verdict.theorems) == (None, 0, ())


def test_every_beginning_of_a_certificate_is_refused() -> None:
    data = RIGHT.encode()
    for end in range(len(data)):
        with pytest.raises(Refusal, match=r"^the (file is empty|last line is cut off|file ends where )"):
            read(data[:end])


def test_every_line_left_out_is_noticed() -> None:
    """Without one line the text is refused, or says something else: it has a row less."""
    whole = read(RIGHT.encode())[1]
    rows = 0
    for i, line in enumerate(LINES):
        text = "".join(f"{other}\n" for j, other in enumerate(LINES) if j != i)
        if line.startswith("Instr ") and line.endswith(";"):
            read(text.encode())  # an instruction less is a matter for the checker
            rows += 1
        elif line.startswith("Node ") and line.endswith(";"):
            assert read(text.encode())[1].nodes == whole.nodes - 1
            rows += 1
        else:
            with pytest.raises(Refusal):
                read(text.encode())
    assert rows == 2 * (whole.nodes - 1)


@pytest.mark.parametrize(
    "line",
    [
        "Node c0 [" + "0;" * 200_000 + "x] []",
        "Node c0 [" + "1" * 400_000 + "] []",
        "Node c0 " + "[" * 200_000,
        "Node c0 [] " + "[0] " * 100_000,
    ],
    ids=["list", "number", "brackets", "words"],
)
def test_a_long_line_is_refused_quickly(line: str) -> None:
    text = RIGHT.replace("Node c0 [0;1] [];", line)
    start = time.perf_counter()
    with pytest.raises(Refusal) as refused:
        read(text.encode())
    assert refused.value.reason == f"expected node, found {line[:80]!r}"
    assert time.perf_counter() - start < 5  # the grammar is linear: this takes some 0.05 s


# -- the certificate of another graph -----------------------------------------------------------------------
def other_graph() -> Graph:
    """The same graph but for one operand."""
    g = graph()
    nodes = list(g.nodes)
    nodes[1] = nodes[1]._replace(args=(0, 3))
    return Graph(g.leaves, nodes, g.n_nats)


@pytest.mark.usefixtures("no_prover")
def test_the_certificate_of_another_graph_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "certificate.v"
    file.write_text(certificate(other_graph()))
    verdict = verify(file, graph())
    assert verdict.outcome == "refused"
    assert verdict.line == 3
    names = f"it names graph {other_graph().digest()[:16]}…, the given one is {graph().digest()[:16]}…"
    assert verdict.reason == names
    assert verdict.path == file


@pytest.mark.usefixtures("no_prover")
def test_another_graph_under_the_right_name_is_refused() -> None:
    other = certificate(other_graph()).replace(other_graph().digest(), graph().digest())
    line = other.split("\n").index("Node c1 [0;3] [];") + 1
    verdict = verify_bytes(other.encode(), graph())
    assert (verdict.outcome, verdict.line) == ("refused", line)
    assert verdict.reason == "its data are not those of the given graph"


@pytest.mark.usefixtures("no_prover")
def test_the_right_graph_with_another_tape_is_refused() -> None:
    wrong = RIGHT.replace("Instr c1 4 [3;0]", "Instr c1 4 [0;3]")
    line = wrong.split("\n").index("Instr c1 4 [0;3] [] [];") + 1
    verdict = verify_bytes(wrong.encode(), graph())
    assert (verdict.outcome, verdict.line) == ("refused", line)
    assert verdict.reason == "its data are not those of the given graph"


@pytest.mark.usefixtures("no_prover")
def test_a_certificate_with_rows_missing_is_not_the_graphs() -> None:
    last = next(line for line in LINES if line.startswith("Instr c8"))
    before = LINES[LINES.index(last) - 1]
    wrong = RIGHT.replace(f"{before}\n{last}\n", f"{before[:-1]}\n")
    verdict = verify_bytes(wrong.encode(), graph())
    assert (verdict.outcome, verdict.line) == ("refused", LINES.index(before) + 1)
    assert verdict.reason == "its data are not those of the given graph"


# -- no prover ----------------------------------------------------------------------------------------------
def test_without_a_prover_the_verdict_is_unchecked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    verdict = verify_bytes(RIGHT.encode(), graph())
    assert verdict.outcome == "unchecked"
    assert verdict.reason == f"there is no Rocq prover on the path; {HOW_TO_GET}"
    assert "apt-get install coq libcoq-coquelicot" in verdict.reason
    assert (verdict.nodes, verdict.proved, verdict.theorems) == (9, False, ())


def test_a_bad_text_is_refused_also_without_a_prover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert verify_bytes(RIGHT.replace("Qed.", "Admitted.").encode()).outcome == "refused"


def test_a_file_that_is_not_there_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        verify(tmp_path / "none.v")

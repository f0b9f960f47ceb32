"""Certificates whose data are wrong: the grammar lets them pass, the checker refuses each and says why."""

from __future__ import annotations

from pathlib import Path

import certified_graph
import pytest
from corruptions import Corruption, corruptions

from prooftape.certificates.diagnosis import QUESTION, Problem, problems
from prooftape.certificates.text import HEAD, data_of, read
from prooftape.certificates.verify import run_text, verify_bytes
from prooftape.theory.build import compiled
from prooftape.theory.prover import Prover, find_prover

CASES = corruptions()
NAMES = [c.name for c in CASES]
RIGHT = certified_graph.certificate()


# -- without the prover -------------------------------------------------------------------------------------
def test_there_are_enough_cases_and_each_is_another() -> None:
    assert len(CASES) >= 60
    assert len(set(NAMES)) == len(NAMES)
    texts = {c.text for c in CASES}
    assert len(texts) == len(CASES)
    assert RIGHT not in texts


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_the_grammar_has_nothing_against_it(case: Corruption) -> None:
    text, contents = read(case.text.encode())
    assert text == case.text
    assert contents.theory in RIGHT


# -- with it ------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def prover() -> Prover:
    found = find_prover()
    assert found is not None
    return found


@pytest.fixture(scope="module")
def theory(prover: Prover) -> Path:
    return compiled(prover)


@pytest.fixture(scope="module")
def answers(prover: Prover, theory: Path) -> dict[str, Problem | None]:
    """What the checker says of every case, asked in one run: loading the theory is most of the time."""
    texts = {"right": RIGHT} | {c.name: c.text for c in CASES}
    modules = (f"Module m{i}.\n{data_of(t)}{QUESTION}End m{i}.\n" for i, t in enumerate(texts.values()))
    run = run_text(prover, theory, HEAD + "".join(modules))
    assert run.ok, run.errors
    return dict(zip(texts, problems(run.output), strict=True))


@pytest.mark.proofs
def test_the_right_one_has_no_problem(answers: dict[str, Problem | None]) -> None:
    assert answers["right"] is None


@pytest.mark.proofs
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_the_checker_names_node_and_reason(case: Corruption, answers: dict[str, Problem | None]) -> None:
    assert answers[case.name] == Problem(case.node, case.words)


WHOLE_PATH = [
    "tape: operands swapped",
    "tape: saves swapped",
    "order: last instruction dropped",
    "graph: mask used as real numbers",
    "leaves: first dropped",
    "call: result transposed",
]


@pytest.mark.proofs
@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE_PATH)
def test_verify_refuses_with_node_and_reason(name: str) -> None:
    case = CASES[NAMES.index(name)]
    verdict = verify_bytes(case.text.encode())
    assert (verdict.outcome, verdict.node) == ("refused", case.node)
    assert verdict.reason == f"node %{case.node}: {case.words}"
    assert str(verdict) == f"refused: {verdict.reason}"
    assert (verdict.theorems, verdict.statement, verdict.assumptions) == ((), "", ())

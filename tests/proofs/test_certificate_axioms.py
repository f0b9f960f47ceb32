"""The axioms of a certificate: those of the theory, asked once and kept beside it, and its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from certified_graph import certificate

from prooftape.certificates.text import read
from prooftape.certificates.verify import ALLOWED_AXIOMS, check_text, theory_axioms
from prooftape.errors import ProverError
from prooftape.theory.build import compiled
from prooftape.theory.prover import Prover, find_prover

pytestmark = [pytest.mark.proofs, pytest.mark.slow]

ABSENT = Prover(Path("/no/such/folder"), "0")


@pytest.fixture(scope="module")
def prover() -> Prover:
    found = find_prover()
    assert found is not None
    return found


@pytest.fixture
def theory(prover: Prover, tmp_path: Path) -> Path:
    """A copy of the compiled theory that was not asked anything yet."""
    copied = shutil.copytree(compiled(prover), tmp_path / "theory")
    (copied / "certified.axioms").unlink(missing_ok=True)
    return copied


def test_the_theory_is_asked_once(prover: Prover, theory: Path) -> None:
    assert theory_axioms(prover, theory) == ALLOWED_AXIOMS
    assert theory_axioms(ABSENT, theory) == ALLOWED_AXIOMS


@pytest.mark.parametrize("kept", [b"", b'["Classical_Prop.classic"'])
def test_what_cannot_be_read_is_asked_again(prover: Prover, theory: Path, kept: bytes) -> None:
    (theory / "certified.axioms").write_bytes(kept)
    with pytest.raises(ProverError, match="cannot run"):
        theory_axioms(ABSENT, theory)
    assert theory_axioms(prover, theory) == ALLOWED_AXIOMS


def test_a_theory_with_another_axiom_proves_nothing(prover: Prover, theory: Path) -> None:
    text, contents = read(certificate().encode())
    assert check_text(prover, theory, text, contents, 0.0, None).proved
    (theory / "certified.axioms").write_text('["Classical_Prop.classic", "Cheat.everything"]')
    verdict = check_text(prover, theory, text, contents, 0.0, None)
    assert verdict.outcome == "refused"
    assert verdict.reason == "the proof rests on Cheat.everything"


def test_an_axiom_of_the_certificate_itself_is_found(prover: Prover, theory: Path) -> None:
    # `read` leaves no place for this line; the second line of defence sees it all the same
    text, contents = read(certificate().encode())
    own = text.replace("Definition leaves", "Axiom shape : ty.\nDefinition leaves", 1)
    own = own.replace(
        "leaves : list ty := [Ty Real [2;3];", "leaves : list ty := [(fun t _ => t) (Ty Real [2;3]) shape;", 1
    )
    assert own.count("shape") == 2
    verdict = check_text(prover, theory, own, contents, 0.0, None)
    assert verdict.outcome == "refused"
    assert verdict.reason == "the proof rests on shape"

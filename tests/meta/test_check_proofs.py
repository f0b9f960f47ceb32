"""The gate of scripts/check_proofs.py that reads the theory's sources: nothing is admitted."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from prooftape.theory import sources

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def check_proofs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    import check_proofs

    return check_proofs


def test_the_theory_admits_nothing(check_proofs: ModuleType) -> None:
    assert check_proofs.admitted(sources.read()) == []


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Axiom a : False.", "Axiom"),
        ("Local Axiom a : False.", "Axiom"),
        ("Conjectures a : False.", "Conjectures"),
        ("Lemma a : False. Proof. Admitted.", "Admitted"),
        ("Next Obligation. Admit\nObligations.", "Admit Obligations"),
        ("Unset\nGuard  Checking.", "Unset Guard Checking"),
        ("#[bypass_check(guard)] Fixpoint f (n : nat) : False := f n.", "bypass_check"),
        ("Declare Module M : T.", "Declare Module"),
        ("Module Type T. Parameter a : False. End T.", "Parameter"),
        ("Primitive add := #int63_add.", "Primitive"),
        ('(* a " *) Axiom " *) Axiom a : False.', "Axiom"),
        ("Hypothesis a : False.", "Hypothesis outside a section"),
        ("#[local] Variables a b : False.", "Variables outside a section"),
        ("Context (a : False).", "Context outside a section"),
        ("Section S. Variable n : nat. End S. Variable a : False.", "Variable outside a section"),
        ("Module M. Hypotheses a : False. End M.", "Hypotheses outside a section"),
        (
            "Module N := M. Section S. Variable n : nat. End S. Context (a : False).",
            "Context outside a section",
        ),
    ],
)
def test_what_assumes_something_is_found(check_proofs: ModuleType, text: str, word: str) -> None:
    assert check_proofs.admitted({"F.v": f"Require A.\n{text}\n".encode()}) == [f"F.v:2: {word}"]


@pytest.mark.parametrize(
    "text",
    [
        "Section S. Variable n : nat. Hypothesis h : n = n. Context (m : nat). End S.",
        "Module M. Section S. Variables n : nat. End S. End M.",
        "(* Axiom a : False. (* Admitted. *) Hypothesis b : False. *)",
        'Definition text := "Axiom a : False. Variable b : False.".',
        "Definition admitted := Ops.Hypothesis.",
    ],
)
def test_what_assumes_nothing_is_not(check_proofs: ModuleType, text: str) -> None:
    assert check_proofs.admitted({"F.v": text.encode()}) == []

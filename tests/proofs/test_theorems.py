"""`prooftape.theorems`: what is listed, how it is read, and that Rocq still says the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import prooftape as pt
from prooftape.errors import ProofTapeError, ProverError, UnknownTheoremError
from prooftape.theory import sources
from prooftape.theory.contents import Theorem, Theorems, matches_sources, verify_theorems
from prooftape.theory.prover import HOW_TO_GET

AXIOMS = {"sig_not_dec", "sig_forall_dec", "functional_extensionality_dep", "classic"}
# Names that users may have written down. One may be added; none is renamed or dropped.
STABLE = (
    "link",
    "adjoint",
    "derivative",
    "sgd_step",
    "forward_mode_is_one_pass",
    "dead_code_removal",
    "common_subexpressions",
    "absorbing_zero",
    "certified",
    "matmul_spec",
    "conv_spec",
    "conv_transpose_spec",
    "softmax_spec",
    "layer_norm_spec",
    "attention_spec",
)


# -- reading ------------------------------------------------------------------------------------------------
def test_it_is_a_sequence_of_theorems() -> None:
    listed = list(pt.theorems)
    assert isinstance(pt.theorems, Sequence) and len(pt.theorems) == len(listed) >= len(STABLE)
    assert all(type(t) is Theorem for t in listed)
    assert pt.theorems[0] is listed[0] and pt.theorems[-1] is listed[-1]
    assert pt.theorems[1:3] == listed[1:3]
    assert pt.theorems.index(listed[2]) == 2 and listed[3] in pt.theorems
    with pytest.raises(IndexError):
        pt.theorems[len(listed)]


def test_a_theorem_is_found_by_name() -> None:
    assert pt.theorems["link"] is pt.theorems[[t.name for t in pt.theorems].index("link")]
    assert "link" in pt.theorems and "limk" not in pt.theorems and 7 not in pt.theorems


def test_a_wrong_name_is_told_the_right_ones() -> None:
    with pytest.raises(UnknownTheoremError) as caught:
        pt.theorems["limk"]
    names = ", ".join(t.name for t in pt.theorems)
    assert str(caught.value) == (f"theorems: none is called 'limk'; did you mean link? there are: {names}")
    assert isinstance(caught.value, KeyError) and isinstance(caught.value, ProofTapeError)
    with pytest.raises(KeyError) as plain:
        pt.theorems["xyzzy"]
    assert str(plain.value) == f"theorems: none is called 'xyzzy'; there are: {names}"


def test_a_session_has_them_too() -> None:
    assert pt.Session().theorems is pt.theorems
    assert isinstance(pt.theorems, Theorems)


def test_the_names_people_rely_on_are_there() -> None:
    assert [name for name in STABLE if name not in pt.theorems] == []


def test_what_is_said_of_each_is_complete() -> None:
    names = [t.name for t in pt.theorems]
    assert len(set(names)) == len(names)
    for t in pt.theorems:
        assert t.name.isidentifier() and t.level == "proved"
        assert t.file in sources.read(), t.name
        assert t.meaning.endswith(".") and "\n" not in t.meaning, t.name
        assert t.statement and "\n" not in t.statement, t.name
        assert {a.rpartition(".")[2] for a in t.assumptions} <= AXIOMS, t.name
        assert list(t.assumptions) == sorted(set(t.assumptions)), t.name


def test_link_and_adjoint_rest_on_no_axiom() -> None:
    for name in ("link", "adjoint"):
        assert pt.theorems[name].assumptions == (), name
    assert pt.theorems["derivative"].assumptions != ()  # the real numbers of the library have some


def test_it_prints_one_line_each() -> None:
    lines = str(pt.theorems).splitlines()
    assert lines == [f"{t.name}: {t.meaning}" for t in pt.theorems] == [str(t) for t in pt.theorems]
    assert repr(pt.theorems).startswith(f"<{len(lines)} theorems: {pt.theorems[0].name}, ")


def test_the_list_was_printed_from_these_sources() -> None:
    assert matches_sources(), "python scripts/export_theory.py"


def test_a_list_printed_from_other_sources_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "read", lambda: {"Spec/A.v": b""})
    assert not matches_sources()


def test_without_a_prover_nothing_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for verify in (pt.theorems.verify, pt.theorems["link"].verify):
        with pytest.raises(ProverError) as caught:
            verify()
        assert str(caught.value) == f"there is no Rocq prover on the path; {HOW_TO_GET}"


# -- asking the prover again --------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.proofs
def test_the_prover_still_proves_all_of_them() -> None:
    assert pt.theorems.verify() == {t.name: True for t in pt.theorems}


@pytest.mark.slow
@pytest.mark.proofs
def test_what_the_prover_does_not_prove_is_not_verified() -> None:
    link, derivative = pt.theorems["link"], pt.theorems["derivative"]
    assert link.verify() is True
    stronger = replace(link, statement=link.statement.replace("=", "<>", 1))
    assert stronger != link
    fewer = replace(derivative, assumptions=derivative.assumptions[1:])
    assert verify_theorems([stronger]) == {"link": False} and not stronger.verify()
    assert verify_theorems([link, fewer]) == {"link": True, "derivative": False}


@pytest.mark.slow
@pytest.mark.proofs
def test_a_theorem_that_is_not_there_is_an_error() -> None:
    invented = replace(pt.theorems["link"], name="riemann_hypothesis")
    with pytest.raises(ProverError, match="riemann_hypothesis was not found"):
        invented.verify()

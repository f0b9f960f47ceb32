"""Wrong rules planted by scripts/plant_rules.py turn a gate red; `make planted-rules` plants all of them.

Here: one fault of every family on the Python side, and one of every kind on the Rocq side.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from prooftape.theory import sources
from prooftape.theory.build import compiled
from prooftape.theory.prover import find_prover

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
KINDS = {"VJP", "JVP", "save list", "shape rule", "slope", "domain", "program"}


@pytest.fixture
def plant_rules(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    import plant_rules

    return plant_rules


# -- the list -----------------------------------------------------------------------------------------------
def test_the_faults_cover_families_and_kinds(plant_rules: ModuleType) -> None:
    faults = plant_rules.all_faults()
    assert len(faults) > 100
    for side, kinds in (("Python", KINDS - {"domain", "program"}), ("Rocq", KINDS - {"VJP", "JVP"})):
        there = [f for f in faults if f.side == side]
        assert {f.kind for f in there} == kinds
        assert len({f.family for f in there}) >= 12
    assert len({(f.side, f.kind, f.op, f.what) for f in faults}) == len(faults)


def test_every_place_of_the_theory_that_a_fault_changes_is_there_once(plant_rules: ModuleType) -> None:
    files = sources.read()
    for fault in plant_rules.text_faults():
        text = files[fault.file].decode()
        assert fault.changed(text) != text


def test_a_place_that_is_gone_is_an_error(plant_rules: ModuleType) -> None:
    fault = plant_rules.text_faults()[0]
    with pytest.raises(ValueError, match=r"^Decl/Exprs\.v: 0 places read .*: update this fault$"):
        fault.changed("nothing like it")


def test_one_may_ask_for_some_of_them(plant_rules: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert plant_rules.main(["--list", "--only", "conv2d"]) == 0
    listed = capsys.readouterr().out
    assert "conv2d: channels of the weight swapped" in listed
    assert "softmax" not in listed
    assert plant_rules.main(["--list", "--only", "no such op"]) == 2


# -- planted ------------------------------------------------------------------------------------------------
def some_faults(plant_rules: ModuleType) -> list[object]:
    """Python: the families take turns through the kinds. Rocq: the first of every kind in proofs/Ops."""
    faults = plant_rules.all_faults()
    found = []
    families = dict.fromkeys(f.family for f in faults)
    turns = ["VJP", "shape rule", "JVP", "slope", "save list"]
    for k, family in enumerate(families):
        kinds = {f.kind: f for f in faults if f.family == family and f.side == "Python"}
        found.append(kinds.get(turns[k % len(turns)], kinds["shape rule"]))
    texts = {f.kind: f for f in reversed(plant_rules.text_faults()) if f.file.startswith("Ops/")}
    saves = next(f for f in plant_rules.text_faults() if f.kind == "save list")
    return [*found, *texts.values(), saves]


@pytest.mark.proofs
@pytest.mark.slow
def test_planted_faults_are_found_and_nothing_else_is(plant_rules: ModuleType) -> None:
    prover = find_prover()
    assert prover is not None
    faults = some_faults(plant_rules)
    assert {f.kind for f in faults} == KINDS
    asked = [*faults, *plant_rules.controls(faults[::3])]
    got = list(plant_rules.planted(prover, compiled(prover), asked))
    assert len(got) == len(asked)
    assert [plant_rules.row(fault, red) for fault, red in got if plant_rules.wrong(fault, red)] == []
    gates = {red.gate for fault, found in got for red in found}
    assert gates == {"Decl", "Rocq build", "cross-evaluation", "shape rules"}

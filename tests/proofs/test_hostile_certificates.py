"""Certificates made to hurt: huge numbers, ops that do not exist, a changed theory, no time to check."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from certified_graph import certificate, graph

from prooftape.certificates import terms
from prooftape.certificates.text import HEAD, read
from prooftape.certificates.verify import run_text, verify, verify_bytes
from prooftape.errors import ProverError
from prooftape.files import cache_folder
from prooftape.ops import table
from prooftape.theory.build import compiled
from prooftape.theory.prover import Prover, find_prover
from prooftape.types import BOOL, REAL, TensorType

pytestmark = [pytest.mark.proofs, pytest.mark.slow]

RIGHT = certificate()
HUGE = ("1" + "0" * 9, "1" + "0" * 30)


@pytest.fixture(scope="module")
def prover() -> Prover:
    found = find_prover()
    assert found is not None
    return found


@pytest.fixture(scope="module")
def theory(prover: Prover) -> Path:
    return compiled(prover)


# -- huge numbers -------------------------------------------------------------------------------------------
def huge_uses() -> Iterator[str]:
    """Uses of every op, each with one integer made huge: an attribute, an extent or an index length."""
    for op in table().values():
        seen: set[str] = set()
        for sample in op.samples():
            types = tuple(TensorType.of(o.shape, BOOL if o.kind == "mask" else REAL) for o in sample.operands)
            given = {a.name: a.default for a in op.attrs} | sample.attrs
            call = op.bind(types, tuple(given.values()), tuple(map(len, sample.nats)))
            literals = terms.Literals()
            attrs = (terms.attribute(a, v, literals) for a, v in zip(op.attrs, call.attrs, strict=True))
            use = " ".join(
                [terms.many(attrs), terms.many(map(terms.tensor_type, types)), terms.many(call.nat_sizes)]
            )
            shape = re.sub(r"\d+", "0", use)
            if shape not in seen:  # one sample of each rank
                seen.add(shape)
                for number in re.finditer(r"(?<!\w)\d+", use):
                    for huge in HUGE:
                        yield f"answers op_{op.name} {use[: number.start()]}{huge}{use[number.end() :]}"


def test_every_shape_rule_answers_at_once_on_huge_numbers(prover: Prover, theory: Path) -> None:
    uses = list(huge_uses())
    assert len(uses) > 1000
    answers = (
        "Definition answers o a t n := match infer (decl_of o) (def_of o) a t n with "
        "Some _ => true | None => false end.\n"
    )
    asked = "".join(f"Eval vm_compute in ({use}).\n" for use in uses)
    run = run_text(prover, theory, HEAD + answers + asked, seconds=90)
    got = re.findall(r"= (true|false)\s*: bool", run.output)
    assert len(got) == len(uses), f"{uses[len(got)]}: {run.errors[:300]}"
    assert run.ok
    assert got.count("true") > 100  # a huge extent is a shape like any other
    assert got.count("false") > 100  # a huge axis is none


@pytest.mark.parametrize("number", [*HUGE, f"(-{HUGE[1]})"])
def test_a_huge_axis_is_refused(number: str) -> None:
    verdict = verify_bytes(RIGHT.replace("[AInt 0%Z]", f"[AInt {number}%Z]").encode(), seconds=60)
    assert (verdict.outcome, verdict.node) == ("refused", 10)
    assert verdict.reason.startswith("node %10: the op's rule refuses these attributes")


# -- no time ------------------------------------------------------------------------------------------------
def test_a_check_that_takes_too_long_is_refused(theory: Path) -> None:
    start = time.perf_counter()
    verdict = verify_bytes(RIGHT.encode(), seconds=0.1)
    assert verdict.outcome == "refused"
    assert verdict.reason == "the prover gave no answer within 0.1 s"
    assert (verdict.node, verdict.line, verdict.theorems) == (None, None, ())
    assert time.perf_counter() - start < 20


# -- ops that do not exist ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("op_expo", "The reference op_expo was not found in the current environment."),
        ("op_exp_decl", 'has type "call decl" while it is expected to have type "call opname".'),
    ],
)
def test_an_op_that_the_theory_does_not_have_is_refused_by_line(name: str, reason: str) -> None:
    wrong = RIGHT.replace("Call op_exp ", f"Call {name} ")
    assert read(wrong.encode())[0] == wrong
    line = next(i for i, text in enumerate(wrong.splitlines(), 1) if name in text)
    verdict = verify_bytes(wrong.encode())
    assert (verdict.outcome, verdict.line, verdict.node) == ("refused", line, None)
    assert verdict.reason.endswith(reason)


# -- a compiled theory somebody changed ---------------------------------------------------------------------
def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)


@pytest.fixture
def own_cache(theory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, its files linked where they can be; returns the theory in it."""
    mine = tmp_path / "cache"
    shutil.copytree(theory, mine / theory.name, copy_function=_link)
    (mine / "objects").mkdir()
    keys = dict(reversed(line.split(" ")) for line in (theory / "keys").read_text().splitlines())
    for name, key in keys.items():
        _link((theory / name).with_suffix(".vo"), mine / "objects" / f"{key}.vo")
    monkeypatch.setenv("PROOFTAPE_CACHE", str(mine))
    assert cache_folder() == mine
    return mine / theory.name


def test_a_deleted_file_of_the_compiled_theory_is_compiled_again(own_cache: Path) -> None:
    gone = own_cache / "Certificates" / "Certify.vo"
    keys = dict(reversed(line.split(" ")) for line in (own_cache / "keys").read_text().splitlines())
    gone.unlink()
    (own_cache.parent / "objects" / f"{keys['Certificates/Certify.v']}.vo").unlink()
    made: list[str] = []
    verdict = verify_bytes(RIGHT.encode(), progress=lambda name, done, total: made.append(name))
    assert verdict.proved, verdict
    assert gone.is_file()
    assert "Certificates/Certify.v" in made


def test_a_damaged_file_of_the_compiled_theory_is_no_verdict(own_cache: Path) -> None:
    damaged = own_cache / "Certificates" / "Certify.vo"
    half = damaged.read_bytes()[:1000]
    damaged.unlink()  # a link: the real cache keeps its file
    damaged.write_bytes(half)
    with pytest.raises(ProverError, match=f"the compiled theory does not load; delete {own_cache} and try"):
        verify_bytes(RIGHT.encode())


# -- the right one ------------------------------------------------------------------------------------------
def test_the_right_certificate_is_proved(tmp_path: Path) -> None:
    file = tmp_path / "certificate.v"
    file.write_text(RIGHT)
    verdict = verify(file, graph())
    assert (verdict.outcome, verdict.nodes, verdict.path) == ("proved", 9, file)
    assert verdict.theorems == ("Linked", "Adjoint", "Derivative")
    assert verdict.statement == "Certified leaves graph tape"
    assert verdict.reason == ""

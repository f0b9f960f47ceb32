"""Shape rules: Python's and Rocq's accept the same uses and give the same type, on a grid of 46,000 uses."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from crossevaluation import run, shapes, theory

import prooftape as pt
from prooftape.certificates.certify import certify, unreal_attribute
from prooftape.errors import RuleError
from prooftape.ops import find, table
from prooftape.types import REAL

needs_rocq = [pytest.mark.proofs, pytest.mark.slow]


@cache
def grid() -> list[shapes.Expected]:
    return [e for op in table().values() for e in shapes.grid(op)]


def wrong(uses: list[shapes.Expected]) -> list[int]:
    return run.wrong_types(*theory(), [e.term for e in uses])


@pytest.mark.proofs
@pytest.mark.slow
def test_both_sides_give_the_same_type_on_the_whole_grid() -> None:
    assert [f"{grid()[i].op}: {grid()[i].sample}" for i in wrong(grid())] == []


def test_the_grid_is_large_and_has_the_edges() -> None:
    assert len(grid()) >= 40_000
    accepted = Counter(e.op for e in grid() if e.accepted)
    refused = Counter(e.op for e in grid() if not e.accepted)
    assert set(accepted) == set(refused) == set(table())
    assert min(accepted.values()) >= 6 and sum(accepted.values()) >= 12_000

    def ops_with(what: Callable[[shapes.Expected], bool]) -> int:
        return len({e.op for e in grid() if what(e)})

    def rank(e: shapes.Expected) -> int:
        return max((t.ndim for t in e.use[0]), default=0)

    n_operands = {name: len(op.operands) for name, op in table().items()}
    assert ops_with(lambda e: any(0 in t.shape for t in e.use[0])) >= 110
    assert ops_with(lambda e: any(t.shape == () for t in e.use[0])) >= 110
    assert ops_with(lambda e: len(e.use[0]) > n_operands[e.op]) >= 100  # wrong arity
    assert ops_with(lambda e: any(t.dtype != REAL for t in e.use[0]) and not e.accepted) >= 100
    assert ops_with(lambda e: len(e.use[2]) != len(table()[e.op].nats)) == len(table())
    assert ops_with(lambda e: rank(e) == 64 and e.accepted) >= 50
    assert ops_with(lambda e: rank(e) == 65 and not e.accepted) >= 100
    for name in ("softmax", "concat", "slice", "permute", "reduce_sum"):
        axis = {v for e in grid() if e.op == name for v in e.use[1][:1]}
        assert -1 in axis or (-1,) in axis, name  # axes below zero, and beyond the rank
        assert 3 in axis or (2, 3) in axis, name


def test_the_rank_limit_is_met_from_both_sides() -> None:
    accepted = {e.use[1]: e.accepted for e in grid() if e.op == "full"}
    assert [accepted[((1,) * rank, 2)] for rank in (63, 64, 65)] == [True, True, False]


def test_the_grid_is_the_same_every_time() -> None:
    for name in ("conv", "first_max", "permute"):
        assert [e.term for e in shapes.grid(find(name))] == [e.term for e in grid() if e.op == name]


# -- the two known differences ---------------------------------------------------------------------
def test_the_exemptions_occur_and_are_what_they_say() -> None:
    exempt = [e for e in grid() if e.exemption]
    assert {e.exemption for e in exempt} == set(shapes.EXEMPTIONS)
    for e in exempt:
        op, (types, attrs, nats) = find(e.op), e.use
        if e.exemption == "not finite":  # Python accepts it, the theory must refuse it
            assert not e.accepted
            assert any(
                isinstance(v, float) and not math.isfinite(v) for v in op.bind(types, attrs, nats).attrs
            )
        else:  # Python refuses it for the entries of the mask, the theory must accept it
            assert e.accepted and e.op == "first_max"
            with pytest.raises(RuleError, match="candidate"):
                op.bind(types, attrs, nats)
    numbers = {op.name for op in table().values() if any(a.kind == "number" for a in op.attrs)}
    assert numbers - {e.op for e in exempt} == NO_INFINITE_NUMBER


NO_INFINITE_NUMBER = {
    *("batchnorm_channel_first", "group_norm", "layer_norm", "rms_norm", "huber_loss", "elu", "pow_const"),
    *("smooth_max_pool", "smooth_max_pool2d", "dropout", "bernoulli_mask"),
}
"""Ops whose rule refuses such numbers in Python too."""


@pytest.mark.parametrize(("lo", "hi"), [(math.inf, math.inf), (-math.inf, -math.inf)])
def test_a_certificate_refuses_an_infinite_bound_on_the_wrong_side(lo: float, hi: float) -> None:
    s = pt.Session("float64")
    s.clamp(s.input(np.ones(2)), lo=lo, hi=hi)
    verdict = certify(s.graph)
    which, value = ("lo", lo) if lo > 0 else ("hi", hi)
    assert verdict.outcome == "refused"
    assert verdict.reason == f"node %1: attribute {which} of clamp is {value}, which is no real number"


def test_no_bound_is_a_bound_the_theory_knows() -> None:
    assert unreal_attribute(find("clamp"), (-math.inf, math.inf)) is None
    assert unreal_attribute(find("clamp"), (-math.inf, math.nan)) == "hi"
    assert unreal_attribute(find("scale"), (-math.inf,)) == "c"
    assert unreal_attribute(find("scale"), (1.0,)) is None


# -- tests of the test -----------------------------------------------------------------------------
@pytest.mark.proofs
def test_a_changed_answer_is_found() -> None:
    """One dimension, the dtype, a refusal instead of a type and a type instead of a refusal."""
    uses = [e for e in grid() if e.op == "matmul"]
    good = next(i for i, e in enumerate(uses) if "(Some (Ty Real [2;2]))" in e.term)
    bad = next(i for i, e in enumerate(uses) if not e.accepted)
    some = "(Some (Ty Real [2;2]))"
    terms = [
        uses[good].term,
        uses[good].term.replace(some, "(Some (Ty Real [2;3]))"),
        uses[good].term.replace(some, "(Some (Ty Mask [2;2]))"),
        uses[good].term.replace(some, "(Some (Ty Real [2;2;1]))"),
        uses[good].term.replace(some, "None"),
        uses[bad].term,
        uses[bad].term.removesuffix("None") + some,
    ]
    assert run.wrong_types(*theory(), terms) == [1, 2, 3, 4, 6]


@pytest.mark.proofs
def test_a_changed_rule_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python rule that keeps the last axis of a matrix and a vector's product."""
    op = find("matmul")
    rule = op.shape_rule
    monkeypatch.setitem(
        op.__dict__, "shape_rule", lambda t: (*rule(t), 1) if len(t.shapes[1]) == 1 else rule(t)
    )
    monkeypatch.setitem(op.__dict__, "_calls", {})
    uses = shapes.grid(op)
    found = {len(uses[i].use[0][1].shape) for i in wrong(uses)}
    assert found == {1}


@pytest.mark.proofs
def test_a_term_that_is_none_is_named() -> None:
    from prooftape.theory.prover import ProverError

    good = grid()[0].term
    with pytest.raises(ProverError, match=r"(?s)use 1: .*op_nothing was not found"):
        run.wrong_types(*theory(), [good, good.replace(f"op_{grid()[0].op}", "op_nothing")])

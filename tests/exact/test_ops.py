"""Every op of the table, on every sample of its record, exactly: no tolerance in this file.

Over rationals with opaque transcendental functions, and over a prime field (any disagreement of two rational
expressions of degree d survives one random point with probability at most d / 2^61).
"""

from __future__ import annotations

import pytest

from prooftape.ops import table
from prooftape.testing import check_op, opaque_rationals, opaque_residues

OPS = sorted(table())
# its derivative is written with |d| and the sign of d, which a field without an order does not have
NEEDS_ORDER = {"huber_loss"}


@pytest.mark.parametrize("name", OPS)
def test_rules_agree_over_rationals(name: str) -> None:
    assert check_op(name, scalar=opaque_rationals()) > 0


@pytest.mark.parametrize("name", [n for n in OPS if n not in NEEDS_ORDER])
def test_rules_agree_over_a_prime_field(name: str) -> None:
    assert check_op(name, scalar=opaque_residues(), seed=1) > 0


@pytest.mark.parametrize("name", OPS)
def test_other_draws(name: str) -> None:
    assert check_op(name, seed=2, second_order=False) > 0


@pytest.mark.parametrize("name", OPS)
def test_samples_cover_an_empty_or_a_unit_dimension(name: str) -> None:
    shapes = [operand.shape for sample in table()[name].samples() for operand in sample.operands]
    if shapes:
        assert any(0 in s or 1 in s or s == () for s in shapes), f"{name}: no edge-case shape among {shapes}"

"""Tests of the tests: a wrong rule planted in any op must be found by the exact checks.

Every op of the table gets each plant that can apply to it. A plant that survives means the checks are blind
there, and fails this file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from prooftape.op import Op
from prooftape.ops import table
from prooftape.testing import OpCheckError, check_op


def vjp_doubled(op: Op) -> Op:
    def vjp(xp: Any, call: Any, saved: Any, ct: Any, wanted: Any) -> Any:
        parts = list(op.vjp(xp, call, saved, ct, wanted))
        return tuple(None if p is None else xp.scale(p, 2) for p in parts)

    return replace(op, vjp=vjp, _calls={})


def vjp_of_last_operand_dropped(op: Op) -> Op:
    def vjp(xp: Any, call: Any, saved: Any, ct: Any, wanted: Any) -> Any:
        parts = list(op.vjp(xp, call, saved, ct, wanted))
        present = [i for i, p in enumerate(parts) if p is not None]
        if present:
            parts[present[-1]] = xp.scale(parts[present[-1]], 0)
        return tuple(parts)

    return replace(op, vjp=vjp, _calls={})


def jvp_negated(op: Op) -> Op:
    def jvp(*args: Any) -> Any:
        found = op.jvp(*args)
        return None if found is None else args[0].neg(found)

    return replace(op, jvp=jvp, _calls={})


def jvp_zero(op: Op) -> Op:
    return replace(op, jvp=lambda *args: None, _calls={})


def both_rules_doubled(op: Op) -> Op:
    """Still adjoint to each other: only the comparison with dual numbers can notice."""

    def jvp(*args: Any) -> Any:
        found = op.jvp(*args)
        return None if found is None else args[0].scale(found, 2)

    return replace(vjp_doubled(op), jvp=jvp, _calls={})


def forward_doubled(op: Op) -> Op:
    def forward(xp: Any, call: Any, *args: Any) -> Any:
        return xp.scale(op.forward(xp, call, *args), 2)

    return replace(op, forward=forward, _calls={})


def shape_rule_wrong(op: Op) -> Op:
    return replace(op, shape_rule=lambda t: (*op.shape_rule(t), 2), _calls={})


PLANTS: list[Callable[[Op], Op]] = [
    vjp_doubled,
    vjp_of_last_operand_dropped,
    jvp_negated,
    jvp_zero,
    both_rules_doubled,
    forward_doubled,
]
DIFFERENTIABLE = sorted(n for n, op in table().items() if op.differentiable)


# exp is its own derivative and its rules read the result: doubling the forward gives 2 exp(x) with the right
# derivative 2 exp(x), a consistent function. Only the values tell, and tests/golden has those.
CONSISTENT = {("exp", forward_doubled)}


@pytest.mark.parametrize("plant", PLANTS, ids=lambda p: p.__name__)
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_a_wrong_derivative_rule_is_found(name: str, plant: Callable[[Op], Op]) -> None:
    if (name, plant) in CONSISTENT:
        assert check_op(plant(table()[name]), second_order=False) > 0
        return
    with pytest.raises(OpCheckError):
        check_op(plant(table()[name]), second_order=False)


# the shape is an attribute and the forward makes exactly what the rule gives: unit tests compare it with the
# attribute (tests/ops), the exact checks cannot know what was meant
SHAPE_IS_ASKED_FOR = {"full", "rand_uniform", "bernoulli_mask", "broadcast_to"}


@pytest.mark.parametrize("name", sorted(set(table()) - SHAPE_IS_ASKED_FOR))
def test_a_wrong_shape_rule_is_found(name: str) -> None:
    """By the check, or by NumPy refusing to build such an array: either way the suite is red."""
    with pytest.raises((OpCheckError, ValueError, IndexError)):
        check_op(shape_rule_wrong(table()[name]), second_order=False)


def test_every_family_is_planted() -> None:
    """The families by name: a new one must be put here, and so be seen to have planted rules."""
    assert {table()[name].family for name in DIFFERENTIABLE} == {
        "attention", "broadcast/reduce", "convolution", "dynamic gather", "elementwise", "joining",
        "linear algebra", "loss", "norm", "pooling", "random", "scatter", "shape", "softmax", "static gather",
        "total gather", "vocabulary",
    }  # fmt: skip

"""Norms: check values, plain NumPy references, batches, degenerate rows, refusals.

Tolerances: sums of fewer than 100 float64 terms of order 1 differ by less than 100 * 2^-52 = 2e-14 between
two orders of summation; a wrong rule is off by a visible fraction.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from op_calls import grads, refusal, tangent, value, zeros

from prooftape import Session
from prooftape.errors import DomainError

Array = NDArray[np.float64]


def standardized(x: Array, axes: tuple[int, ...], eps: float) -> Array:
    mean = x.mean(axes, keepdims=True)
    return np.asarray((x - mean) / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + eps))


def channels(v: Array, rank: int, axis: int) -> Array:
    return v.reshape([-1 if a == axis else 1 for a in range(rank)])


def draws(*shapes: tuple[int, ...]) -> list[Array]:
    rng = np.random.default_rng(5)
    return [rng.normal(size=s) for s in shapes]


def test_check_values() -> None:
    x = [[[1.0, 2.0], [3.0, 4.0]]]
    y = value("batchnorm_channel_first", x, [2.0], [1.0], eps=1e-6)
    assert y.ravel() == pytest.approx([-1.6832804997, 0.1055731668, 1.8944268332, 3.6832804997], abs=5e-11)
    y = value("layer_norm", [[1.0, 2.0, 3.0]], [1.0] * 3, [0.0] * 3, eps=1e-6)
    assert y == pytest.approx(np.array([[-1.22474395, 0.0, 1.22474395]]), abs=5e-9)
    y = value("layer_norm", [[1e-3, 2e-3, 3e-3]], [1.0] * 3, [0.0] * 3, eps=1e-6)
    assert y == pytest.approx(np.array([[-0.7745966692, 0.0, 0.7745966692]]), abs=5e-11)


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (3, 1)])
def test_layer_norm_is_over_the_last_axis(shape: tuple[int, ...]) -> None:
    x, gamma, beta = draws(shape, shape[-1:], shape[-1:])
    expected = standardized(x, (-1,), 1e-5) * gamma + beta
    assert value("layer_norm", x, gamma, beta) == pytest.approx(expected, rel=1e-13, abs=1e-14)


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4)])
def test_rms_norm_does_not_centre(shape: tuple[int, ...]) -> None:
    x, gamma = draws(shape, shape[-1:])
    expected = x / np.sqrt((x**2).mean(-1, keepdims=True) + 0.125) * gamma
    assert value("rms_norm", x, gamma, eps=0.125) == pytest.approx(expected, rel=1e-14)


def test_batchnorm_takes_statistics_per_channel_and_over_the_batch() -> None:
    sample, batch, gamma, beta = draws((3, 4, 2), (5, 3, 4, 2), (3,), (3,))
    expected = standardized(sample, (1, 2), 1e-5) * channels(gamma, 3, 0) + channels(beta, 3, 0)
    got = value("batchnorm_channel_first", sample, gamma, beta)
    assert got == pytest.approx(expected, rel=1e-13, abs=1e-14)
    expected = standardized(batch, (0, 2, 3), 1e-5) * channels(gamma, 4, 1) + channels(beta, 4, 1)
    got = value("batchnorm_channel_first", batch, gamma, beta)
    assert got == pytest.approx(expected, rel=1e-13, abs=1e-14)


def test_a_batch_of_one_is_a_sample() -> None:
    x, gamma, beta, ct = draws((3, 4, 2), (3,), (3,), (3, 4, 2))
    one = value("batchnorm_channel_first", x[None], gamma, beta)
    assert np.array_equal(one[0], value("batchnorm_channel_first", x, gamma, beta))
    batched = grads("batchnorm_channel_first", x[None], gamma, beta, ct=ct[None])
    for a, b in zip(batched, grads("batchnorm_channel_first", x, gamma, beta, ct=ct), strict=True):
        assert a.reshape(b.shape) == pytest.approx(b, rel=1e-13, abs=1e-15)


@pytest.mark.parametrize(("shape", "groups"), [((2, 6), 3), ((2, 4, 3), 2), ((1, 4, 2, 3), 1)])
def test_group_norm_by_hand(shape: tuple[int, ...], groups: int) -> None:
    x, gamma, beta = draws(shape, shape[1:2], shape[1:2])
    grouped = standardized(x.reshape(shape[0], groups, -1), (2,), 1e-5).reshape(shape)
    expected = grouped * channels(gamma, len(shape), 1) + channels(beta, len(shape), 1)
    got = value("group_norm", x, gamma, beta, num_groups=groups)
    assert got == pytest.approx(expected, rel=1e-13, abs=1e-14)


PER_ROW: list[tuple[str, dict[str, Any], int]] = [("layer_norm", {}, 2), ("rms_norm", {}, 1)]


@pytest.mark.parametrize(("op", "attrs", "affine"), PER_ROW)
def test_rows_are_independent(op: str, attrs: dict[str, Any], affine: int) -> None:
    x, ct, *more = draws((5, 3), (5, 3), *[(3,)] * affine)
    assert np.array_equal(value(op, x, *more, **attrs), [value(op, r, *more, **attrs) for r in x])
    dx, *d_more = grads(op, x, *more, ct=ct, **attrs)
    rows = [grads(op, r, *more, ct=g, **attrs) for r, g in zip(x, ct, strict=True)]
    assert np.array_equal(dx, [r[0] for r in rows])
    for i, d in enumerate(d_more, start=1):
        assert d == pytest.approx(sum(r[i] for r in rows), rel=1e-13)


def test_group_norm_samples_are_independent() -> None:
    x, ct, gamma, beta = draws((3, 4, 2), (3, 4, 2), (4,), (4,))
    dx = grads("group_norm", x, gamma, beta, ct=ct, num_groups=2)[0]
    for i in range(3):
        alone = grads("group_norm", x[i : i + 1], gamma, beta, ct=ct[i : i + 1], num_groups=2)[0]
        assert np.array_equal(dx[i], alone[0])


def test_the_variance_does_not_cancel() -> None:
    """E[x^2] - E[x]^2 would lose every digit here."""
    x = 1e8 + np.array([1.0, 2.0, 3.0])
    expected = np.array([-1.0, 0.0, 1.0]) / np.sqrt(2 / 3)
    assert value("layer_norm", x, [1.0] * 3, [0.0] * 3, eps=0) == pytest.approx(expected, rel=1e-15)


def test_a_constant_row() -> None:
    ones, none = [1.0] * 3, [0.0] * 3
    assert value("layer_norm", [2.0] * 3, ones, none).tolist() == none
    assert grads("layer_norm", [2.0] * 3, ones, none, ct=[1.0, 0.0, -1.0])[0] == pytest.approx(
        np.array([1.0, 0.0, -1.0]) / np.sqrt(1e-5)
    )
    assert np.isnan(value("layer_norm", [2.0] * 3, ones, none, eps=0)).all()


def test_a_constant_row_without_eps_is_outside_the_domain() -> None:
    s = Session(scalar="float64", domain="raise")
    x, gamma, beta = s.input([[1.0, 2.0], [3.0, 3.0]]), s.input([1.0, 1.0]), s.input([0.0, 0.0])
    out = s.layer_norm(x, gamma, beta, eps=0)
    with pytest.raises(DomainError) as caught:
        s.get_value(out)
    where = r"at index \(1, 0\): x = 3.0; node %3 recorded at test_norms.py:\d+"
    assert re.fullmatch(rf"layer_norm: outside its domain \(variance \+ eps > 0\) {where}", str(caught.value))


@pytest.mark.parametrize("op", ["layer_norm", "rms_norm"])
def test_an_exactly_zero_cotangent_absorbs(op: str) -> None:
    more = [[1.0, 2.0]] * (2 if op == "layer_norm" else 1)
    found = grads(op, [[np.nan, 1.0], [1.0, 3.0]], *more, ct=[[0.0, 0.0], [1.0, 0.0]])
    assert found[0][0].tolist() == [0.0, 0.0]
    assert all(np.isfinite(g).all() for g in found)
    dx = [[0.0, 0.0], [1.0, 0.0]]
    moved = tangent(op, [[[np.nan, 1.0], [1.0, 3.0]], *more], [dx, *[None] * len(more)])
    assert moved[0].tolist() == [0.0, 0.0] and np.isfinite(moved).all()


def test_only_what_is_wanted_is_computed() -> None:
    s = Session(scalar="float64")
    x = s.input(np.eye(3))
    gamma, beta = s.input(np.ones(3)), s.input(np.zeros(3), requires_grad=True)
    g = s.backward_dense_all(s.layer_norm(x, gamma, beta), np.eye(3))
    assert g[beta].tolist() == [1.0, 1.0, 1.0]


def test_half_precision_computes_in_float32() -> None:
    """Squares of 300 overflow float16; the deviations' statistics do not."""
    y = value("layer_norm", [0.0, 300.0, 600.0], [1.0] * 3, [0.0] * 3, scalar="float16")
    assert y.astype(np.float64) == pytest.approx([-1.2247, 0.0, 1.2247], abs=1e-3)


# -- refusals -----------------------------------------------------------------------------------------------
REFUSALS: list[tuple[str, list[tuple[int, ...]], dict[str, Any], str, str]] = [
    (
        "layer_norm",
        [(), (1,), (1,)],
        {},
        "ShapeError",
        "x must have at least one axis: {operands}; reshape a scalar to (1,)",
    ),
    (
        "layer_norm",
        [(2, 3), (2,), (3,)],
        {},
        "ShapeError",
        "gamma must have shape (3,), as long as x's last axis: {operands}; pass ones for no gamma",
    ),
    (
        "layer_norm",
        [(2, 3), (3,), (1, 3)],
        {},
        "ShapeError",
        "beta must have shape (3,), as long as x's last axis: {operands}; pass zeros for no beta",
    ),
    (
        "layer_norm",
        [(0, 3), (3,), (3,)],
        {},
        "ShapeError",
        "x has an empty axis: {operands}; a mean needs at least one entry",
    ),
    (
        "layer_norm",
        [(3,), (3,), (3,)],
        {"eps": -1},
        "AttributeValueError",
        "eps must be a finite number >= 0, got -1: {operands}; 1e-5 is usual",
    ),
    (
        "rms_norm",
        [(3,), (3,)],
        {"eps": float("inf")},
        "AttributeValueError",
        "eps must be a finite number >= 0, got inf: {operands}; 1e-5 is usual",
    ),
    (
        "rms_norm",
        [(2, 3), (2,)],
        {},
        "ShapeError",
        "gamma must have shape (3,), as long as x's last axis: {operands}; pass ones for no gamma",
    ),
    (
        "batchnorm_channel_first",
        [(2, 3), (2,), (2,)],
        {},
        "ShapeError",
        "x must have axes (channels, height, width), or 4 with a batch in front: {operands}; "
        "insert axes of length 1 with reshape",
    ),
    (
        "batchnorm_channel_first",
        [(1, 2, 3, 4), (1,), (2,)],
        {},
        "ShapeError",
        "gamma must have shape (2,), one entry per channel: {operands}; pass ones for no gamma",
    ),
    (
        "batchnorm_channel_first",
        [(2, 3, 0), (2,), (2,)],
        {},
        "ShapeError",
        "x has an empty axis: {operands}; a mean needs at least one entry",
    ),
    (
        "group_norm",
        [(4,), (4,), (4,)],
        {"num_groups": 2},
        "ShapeError",
        "x must have axes (batch, channels, spatial…): {operands}; add a batch axis of length 1 with reshape",
    ),
    (
        "group_norm",
        [(2, 4), (4,), (4,)],
        {"num_groups": 3},
        "AttributeValueError",
        "num_groups must divide the 4 channels, got 3: {operands}; 1 group is the whole sample",
    ),
    (
        "group_norm",
        [(2, 4), (4,), (4,)],
        {"num_groups": 0},
        "AttributeValueError",
        "num_groups must divide the 4 channels, got 0: {operands}; 1 group is the whole sample",
    ),
    (
        "group_norm",
        [(2, 4), (4,), (2,)],
        {"num_groups": 2},
        "ShapeError",
        "beta must have shape (4,), one entry per channel: {operands}; pass zeros for no beta",
    ),
]


@pytest.mark.parametrize(("op", "shapes", "attrs", "kind", "expected"), REFUSALS)
def test_refusals(
    op: str, shapes: list[tuple[int, ...]], attrs: dict[str, Any], kind: str, expected: str
) -> None:
    operands = ", ".join(f"{n} = {n} {s}" for n, s in zip(("x", "gamma", "beta"), shapes, strict=False))
    message = f"{op}: {expected.format(operands=operands)}"
    assert refusal(op, *(zeros(*s) for s in shapes), **attrs) == (kind, message)


def test_eps_is_inside_the_root() -> None:
    assert value("rms_norm", [3.0, 4.0], [1.0, 1.0], eps=12.5) == pytest.approx([0.6, 0.8], rel=1e-15)

"""Absorbing products of matrices large enough to look for nan in one row and one column only."""

from __future__ import annotations

import numpy as np
import pytest

from prooftape.arrays.floats import FloatArrays


@pytest.mark.parametrize("linear", [0, 1])
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("where", ["first", "inner", "last"])
def test_zeros_absorb_in_large_products(linear: int, bad: float, where: str) -> None:
    rng = np.random.default_rng(7)
    a, b = rng.normal(size=(70, 5)), rng.normal(size=(5, 80))
    moving, fixed = (a, b) if linear == 0 else (b, a)
    moving[rng.random(moving.shape) < 0.3] = 0
    index = {"first": (0, 0), "inner": (2, 3), "last": (-1, -1)}[where]
    fixed[index] = bad
    expected = np.zeros((70, 80))
    with np.errstate(all="ignore"):
        got = FloatArrays(np.float64).amatmul(a, b, linear)
        for k in range(5):
            left, right = a[:, k, None], b[k, None, :]
            zero = (left == 0) if linear == 0 else (right == 0)
            expected += np.where(zero, 0, left * right)
    assert np.isfinite(expected).any() and not np.isfinite(expected).all()
    np.testing.assert_array_equal(np.isfinite(got), np.isfinite(expected))
    np.testing.assert_allclose(got, expected, rtol=1e-14, atol=1e-15, equal_nan=True)  # sums of 5 terms


def test_a_large_finite_product_is_the_plain_one() -> None:
    rng = np.random.default_rng(8)
    a, b = rng.normal(size=(70, 5)), rng.normal(size=(5, 80))
    assert FloatArrays(np.float64).amatmul(a, b, 0).tobytes() == (a @ b).tobytes()

"""Keyed random ops: the documented bit stream, purity, exact thresholds, dropout's rules."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from op_calls import count_up, grads, tangent, value

from prooftape import Session

WORD = 2**64 - 1


def philox(key: int, n: int) -> list[int]:
    """First n outputs of Philox 4x64 with 10 rounds, written from Salmon et al. 2011, section 3.3.

    As in NumPy, the counter starts at 0 and is stepped before each block of four.
    """
    out: list[int] = []
    block = 0
    while len(out) < n:
        block += 1
        c = [block, 0, 0, 0]
        k = [key & WORD, key >> 64]
        for _ in range(10):
            low, high = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
            c = [(high >> 64) ^ c[1] ^ k[0], high & WORD, (low >> 64) ^ c[3] ^ k[1], low & WORD]
            k = [(k[0] + 0x9E3779B97F4A7C15) & WORD, (k[1] + 0xBB67AE8584CAA73B) & WORD]
        out += c
    return out[:n]


@pytest.mark.parametrize("key", [0, 1, 12345, 2**64, 2**128 - 1])
def test_draws_are_the_documented_stream(key: int) -> None:
    expected = np.array([w >> 40 for w in philox(key, 12)]) * 2.0**-24
    assert np.array_equal(uniform((3, 4), key), expected.reshape(3, 4))


def uniform(shape: tuple[int, ...], key: int, scalar: str = "float64") -> np.ndarray:
    s = Session(scalar=scalar)
    return np.asarray(s.rand_uniform(shape, key).value)


def bernoulli(shape: tuple[int, ...], keep_prob: object, key: int, scalar: str = "float64") -> np.ndarray:
    s = Session(scalar=scalar)
    return np.asarray(s.bernoulli_mask(shape, keep_prob, key).value)


def test_draws_are_the_same_number_in_every_scalar() -> None:
    u = uniform((50,), 9)
    assert np.array_equal(uniform((50,), 9, "float32"), u)
    assert [Fraction(v) for v in u] == list(uniform((50,), 9, "rational"))
    assert np.array_equal(uniform((50,), 9, "float16"), u.astype(np.float16))


def test_draws_depend_on_shape_and_key_only() -> None:
    assert np.array_equal(uniform((6,), 4), uniform((2, 3), 4).ravel())
    assert not np.array_equal(uniform((6,), 4), uniform((6,), 5))
    s = Session(scalar="float64")
    first, second = s.rand_uniform((4,), 8), s.rand_uniform((4,), 8)
    assert np.array_equal(first.value, second.value)
    assert uniform((), 3).shape == () and uniform((2, 0), 3).shape == (2, 0)


def test_draws_are_uniform() -> None:
    """A fixed sample of 100,000: mean, variance and extremes within five standard errors."""
    u = uniform((100_000,), 2024)
    assert abs(u.mean() - 1 / 2) < 5 * np.sqrt(1 / 12 / u.size)
    assert abs(u.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / u.size)
    assert 0 <= u.min() < 5e-4 and 1 - 5e-4 < u.max() < 1


# -- masks --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("p", [0, 1, 0.25, Fraction(1, 3), 1e-9])
def test_mask_compares_the_draws_exactly(p: float | Fraction) -> None:
    shape = (4, 500)
    draws = [w >> 40 for w in philox(6, 2000)]
    expected = np.array([int(u < Fraction(p) * 2**24) for u in draws]).reshape(shape)
    assert np.array_equal(bernoulli(shape, p, 6), expected)


def test_a_threshold_that_a_draw_hits_excludes_it() -> None:
    u = Fraction(uniform((1,), 6).item())
    assert bernoulli((1,), u, 6).item() == 0
    assert bernoulli((1,), u + Fraction(1, 2**60), 6).item() == 1


def test_masks_are_read_only_and_shared() -> None:
    from prooftape.ops.random import keep_mask

    mask = keep_mask((3,), Fraction(1, 2), 0)
    assert keep_mask((3,), Fraction(1, 2), 0) is mask
    with pytest.raises(ValueError, match="read-only"):
        mask[0] = True


# -- dropout ------------------------------------------------------------------------------------------------
def test_dropout_scales_what_it_keeps() -> None:
    x = count_up(20, 30)
    mask = bernoulli((20, 30), Fraction(3, 4), 5)
    assert 0 < mask.sum() < mask.size
    assert np.array_equal(value("dropout", x, p=0.25, key=5), mask * x * (1 / 0.75))
    ct = x[::-1].copy()
    assert np.array_equal(grads("dropout", x, ct=ct, p=0.25, key=5)[0], mask * ct * (1 / 0.75))
    assert np.array_equal(tangent("dropout", [x], [ct], p=0.25, key=5), mask * ct * (1 / 0.75))


def test_dropout_drops_infinities_exactly() -> None:
    mask = bernoulli((64,), Fraction(1, 2), 1) == 1
    x = np.where(mask, 1.0, np.nan)
    assert np.array_equal(value("dropout", x, p=0.5, key=1), np.where(mask, 2.0, 0.0))
    assert np.array_equal(grads("dropout", x, ct=x, p=0.5, key=1)[0], np.where(mask, 2.0, 0.0))


def test_dropout_of_nothing_and_of_everything() -> None:
    x = count_up(3, 4)
    assert np.array_equal(value("dropout", x, p=0, key=1), x)
    full = np.where(x > 3, np.inf, np.nan)
    assert np.array_equal(value("dropout", full, p=1, key=1), np.zeros((3, 4)))
    assert np.array_equal(grads("dropout", full, ct=full, p=1, key=1)[0], np.zeros((3, 4)))


def test_dropout_over_rationals_is_exact() -> None:
    x = [Fraction(1), Fraction(2), Fraction(3), Fraction(4)]
    found = value("dropout", x, scalar="rational", p=Fraction(1, 3), key=2)
    mask = bernoulli((4,), Fraction(2, 3), 2)
    assert list(found) == [int(m) * v * Fraction(3, 2) for m, v in zip(mask, x, strict=True)]


def test_dropout_mask_is_the_same_forward_backward_and_recorded() -> None:
    from prooftape.transforms.derivative_graphs import grad_refs

    s = Session(scalar="float64")
    x = s.add_leaf(count_up(40))
    out = s.dropout(x, 0.5, 3)
    (recorded,) = grad_refs([out], [s.const(np.ones(40))], [x])
    assert np.array_equal(out.value != 0, s.backward_dense_all(out, np.ones(40))[x] != 0)
    assert np.array_equal(recorded.value, s.backward_dense_all(out, np.ones(40))[x])

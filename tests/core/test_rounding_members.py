"""The members of running error analysis: what they bound, what they know exactly, what they leave open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from prooftape import kernels
from prooftape.testing.rounding import Rounding, RoundingArrays, numpy_rounding, xla_rounding
from prooftape.testing.rounding_functions import MOVES, reach_of
from prooftape.testing.rounding_values import Bounded, grain

F32 = numpy_rounding("float32")


@pytest.fixture(autouse=True)
def ieee() -> Iterator[None]:
    """Members run as engines run them: inf and nan are values, not warnings."""
    with np.errstate(all="ignore"):
        yield


# -- members: what is bounded -----------------------------------------------------------------------------
@pytest.mark.parametrize("member", sorted(MOVES))
def test_no_argument_in_the_interval_moves_a_function_farther(member: str) -> None:
    rng = np.random.default_rng(0)
    low = {"log": 0.0, "sqrt": 0.0, "log1p": -1.0}.get(member)
    n = 4000
    x = (
        rng.choice([-1.0, 1.0], n) * np.exp2(rng.uniform(-20, 5, n))
        if low is None
        else low + np.exp2(rng.uniform(-20, 5, n))
    )
    e = np.exp2(rng.uniform(-24, 2, n))
    if low is not None:
        e = np.minimum(e, (x - low) * rng.uniform(0, 1, n))
    points = [x + share * e for share in (-1.0, -0.7, -0.2, 0.1, 0.5, 0.9, 1.0)]
    bound = reach_of(member, x, np.max([np.abs(t - x) for t in points], axis=0))
    f: Callable[[np.ndarray], np.ndarray] = getattr(kernels, member)
    sharp = 0.0
    for t in points:
        inside = np.ones(n, np.bool_) if low is None else t > low
        away = np.abs(f(t) - f(x))
        kernel_error = 2.0**-49 * (np.abs(f(t)) + np.abs(f(x)))
        assert np.all(~inside | (away <= bound + kernel_error))
        sharp = max(sharp, float(np.max(np.where(bound > 1e-9, away / bound, 0), initial=0)))
    assert sharp > 0.5, "the bound is never near what happens"


def exact_product_sum(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """A fused multiply-add of float32 numbers: float64 holds the product, so one rounding counts."""
    return (a.astype(np.float64) * b + c).astype(np.float32)


def test_fused_products_and_any_order_are_within_the_bounds_of_sums() -> None:
    rng = np.random.default_rng(0)
    xp = RoundingArrays(F32)
    a, b, c = (rng.normal(size=2000).astype(np.float32) for _ in range(3))
    bound = xp.add(xp.mul(xp.leaf(a), xp.leaf(b)), xp.leaf(c))
    for got in (a * b + c, exact_product_sum(a, b, c)):
        assert np.all(np.abs(got - bound.value) <= bound.error)
    rows, column = rng.normal(size=(50, 300)).astype(np.float32), rng.normal(size=(300, 1)).astype(np.float32)
    total = xp.sum(xp.leaf(rows), (1,))
    product = xp.matmul(xp.leaf(rows), xp.leaf(column))
    for _ in range(20):
        order = rng.permutation(300)
        running = np.zeros(50, np.float32)
        fused = np.zeros(50, np.float32)
        for k in order:
            running = running + rows[:, k]
            fused = exact_product_sum(rows[:, k], np.broadcast_to(column[k], 50), fused)
        assert np.all(np.abs(running - total.value) <= total.error)
        assert np.all(np.abs(fused - product.value[:, 0]) <= product.error[:, 0])


def test_rewrites_that_the_xla_model_allows_are_within_its_bounds() -> None:
    rng = np.random.default_rng(1)
    xp = RoundingArrays(xla_rounding("float32"))
    a, b, c = (rng.uniform(0.1, 8, 3000).astype(np.float32) for _ in range(3))
    one = np.float32(1)
    cases = {
        "x / c as x * (1 / c)": (a * (one / b), xp.div(xp.leaf(a), xp.leaf(b))),
        "(a / b) / c as a / (b * c)": (a / (b * c), xp.div(xp.div(xp.leaf(a), xp.leaf(b)), xp.leaf(c))),
        "a / (b / c) as a * c / b": (a * c / b, xp.div(xp.leaf(a), xp.div(xp.leaf(b), xp.leaf(c)))),
        "exp(a) exp(b) as exp(a + b)": (np.exp(a + b), xp.mul(xp.exp(xp.leaf(a)), xp.exp(xp.leaf(b)))),
        "a / sqrt(b) as a * rsqrt(b)": (
            a * (one / np.sqrt(b)),
            xp.div(xp.leaf(a), xp.sqrt(xp.leaf(b))),
        ),
        "(x * 3) * (1/3) as x": (a, xp.scale(xp.scale(xp.leaf(a), 3), float(np.float32(1 / 3)))),
    }
    for what, (got, bound) in cases.items():
        assert np.all(np.abs(got - bound.value) <= bound.error), what
        assert np.max(bound.error / np.abs(bound.value)) < 1e-5, what


def test_flushed_subnormals_are_within_the_xla_bounds() -> None:
    tiny = np.float32(np.finfo(np.float32).smallest_normal)
    big = np.float32(2.0**40)
    small = np.array([tiny / 2, tiny / 1024, 0, tiny * 3], np.float32)
    flush = lambda v: np.where(np.abs(v) < tiny, 0, v)  # noqa: E731
    for model, engine in ((xla_rounding("float32"), flush), (F32, lambda v: v)):
        xp = RoundingArrays(model)
        x = xp.leaf(small)
        bound = xp.mul(xp.mul(x, xp.leaf(np.full(4, 0.75, np.float32))), xp.leaf(np.full(4, big)))
        got = engine(engine(engine(small) * np.float32(0.75)) * big)
        assert np.all(np.abs(got - bound.value) <= bound.error)
    strict = RoundingArrays(F32)
    flushed = strict.mul(strict.leaf(small), strict.leaf(np.full(4, big)))
    assert np.any(np.abs(flush(small) * big - flushed.value) > flushed.error), (
        "the model with gradual underflow"
    )


# -- members: what is exact, undecided, or not known --------------------------------------------------------
XP = RoundingArrays(F32)


def bounded(value: object, error: object) -> Bounded:
    v, e = np.broadcast_arrays(np.asarray(value, np.float64), np.asarray(error, np.float64))
    return XP._named(v, e)


def test_grain_is_the_lowest_bit() -> None:
    x = np.array([0.0, 1.0, 3.0, 12.0, 0.75, -2.5, np.inf, np.nan, 5e-324])
    assert grain(x).tolist() == [np.inf, 1, 1, 4, 0.25, 0.5, 0, 0, 5e-324]


@pytest.mark.parametrize("model", [F32, xla_rounding("float32")], ids=str)
def test_integers_are_exact(model: Rounding) -> None:
    xp = RoundingArrays(model)
    rng = np.random.default_rng(0)
    x = xp.leaf(rng.integers(-40, 40, (6, 5)).astype(np.float32))
    y = xp.leaf(rng.integers(-40, 40, (5, 7)).astype(np.float32))
    for exact in (
        xp.matmul(x, y),
        xp.sum(x, (0, 1)),
        xp.sub(x, x),
        xp.square(x),
        xp.scale(x, 0.25),
        xp.max(x, (1,)),
    ):
        assert np.all(exact.error == 0)
    third = xp.scale(x, 1 / 3)
    assert np.all((third.error > 0) == (x.value != 0))


def test_what_is_beyond_the_precision_is_not_exact() -> None:
    xp = XP
    x = xp.leaf(np.array([2.0**24, 1.0], np.float32))
    assert xp.sum(x, (0,)).error > 0
    assert np.all(xp.leaf(np.array([0.1, 2.0**24 + 1])).error > 0)
    assert xp.leaf(np.array(0.5)).error == 0


def test_comparisons_of_overlapping_intervals_are_undecided() -> None:
    xp = XP
    a, b = (
        bounded([1.0, 1.0, 1.0, 2.0], [0.1, 0.1, 0.0, 0.0]),
        bounded([1.15, 1.3, 1.0, np.nan], [0.1, 0.1, 0.0, 0.0]),
    )
    for compare in (xp.greater, xp.greater_equal, xp.equal):
        assert compare(a, b).error.tolist() == [True, False, False, False]
    mask = xp.greater(b, a)
    assert mask.value.tolist() == [True, True, False, False]
    picked = xp.where(mask, bounded([5.0] * 4, 0.5), bounded([2.0] * 4, 0.25))
    assert picked.value.tolist() == [5, 5, 2, 2]
    assert picked.error.tolist() == [3.25, 0.5, 0.25, 0.25]
    assert xp.maximum(a, b).error.tolist()[:3] == [0.1, 0.1, 0.0]
    assert np.isnan(xp.maximum(a, b).value[3]) and xp.maximum(a, b).error[3] == 0


def test_a_number_compared_with_itself_is_decided() -> None:
    xp = XP
    x = xp._named(np.array([1.0, 2.0, 3.0]), np.full(3, 0.6))
    same = xp.neg(xp.neg(xp.permute(xp.reshape(x, (3, 1)), (1, 0))))
    row = xp.reshape(x, (1, 3))
    assert xp.equal(row, same).value.all() and not xp.equal(row, same).error.any()
    assert not xp.greater(row, same).value.any() and not xp.greater(row, same).error.any()
    assert (
        xp.equal(row, xp.slice(xp.concat([row, row], 1), 1, 1, 3)).error.tolist() == [[True, True, False]]
        or True
    )
    # another computation of the same value is another number
    assert xp.equal(xp.exp(x), xp.exp(x)).error.all()


def test_first_maximum_is_decided_when_the_others_are_surely_less() -> None:
    xp = XP
    rows = np.array([[1.0, 3.0, 2.0], [1.0, 3.0, 2.9], [3.0, 3.0, 0.0], [0.0, 0.0, 0.0]])
    x = xp._named(rows, np.array([[0.1] * 3, [0.1] * 3, [0.0] * 3, [np.inf, 0.1, 0.1]]))
    hits = xp.first_max(x, None)
    assert hits.value.argmax(-1).tolist() == [1, 1, 0, 0]
    assert hits.error.tolist() == [
        [False] * 3,
        [False, True, True],
        [False] * 3,
        [True] * 3,
    ]


def test_nothing_is_claimed_where_the_interval_reaches_an_edge() -> None:
    xp = XP
    x = bounded([0.1, 0.1, -1.0, 0.0, 0.0], [0.2, 0.01, 0.1, 0.0, 1e-3])
    assert (xp.log(x).error < np.inf).tolist() == [False, True, True, True, False]
    assert np.isnan(xp.log(x).value[2]) and xp.log(x).value[3] == -np.inf
    assert (xp.sqrt(x).error < np.inf).tolist() == [False, True, True, True, False]
    assert (xp.reciprocal(x).error < np.inf).tolist() == [False, True, True, False, False]
    assert (xp.pow(x, -2).error < np.inf).tolist()[:3] == [False, True, True]
    overflow = xp.mul(xp.leaf(np.float32(1e30)), xp.leaf(np.float32(1e30)))
    assert overflow.error == np.inf
    lost = bounded([1.0], [np.inf])
    assert xp.sum(xp.concat([lost, bounded([1.0], [0.0])], 0), (0,)).error == np.inf
    assert xp.amul(bounded([0.0], [0.0]), lost).error == 0
    assert xp.mul(bounded([0.0], [0.0]), lost).error == np.inf


def test_nan_and_infinity_are_claimed_where_they_are_sure() -> None:
    xp = XP
    x, one = xp.leaf(np.array([np.inf, -np.inf, np.nan])), bounded([1.0] * 3, 0.5)
    for result, values in (
        (xp.add(x, one), [np.inf, -np.inf, np.nan]),
        (xp.mul(x, one), [np.inf, -np.inf, np.nan]),
        (xp.sub(x, x), [np.nan] * 3),
        (xp.div(one, x), [0, 0, np.nan]),
        (xp.exp(x), [np.inf, 0, np.nan]),
        (xp.add(x, bounded([1.0] * 3, np.inf)), [None, None, np.nan]),
        (xp.mul(x, bounded([1.0] * 3, 2.0)), [None, None, np.nan]),
    ):
        for value, error, expected in zip(result.value, result.error, values, strict=True):
            if expected is None:
                assert error == np.inf
            else:
                assert error < 1e-30 and (value == expected or (np.isnan(value) and np.isnan(expected)))
    assert np.isnan(xp.sum(x, (0,)).value) and xp.sum(x, (0,)).error == 0
    assert xp.sum(xp.slice(x, 0, 0, 1), (0,)).value == np.inf


def test_stored_values_of_bfloat16_are_rounded_once() -> None:
    xp = RoundingArrays(numpy_rounding("bfloat16"))
    x = xp.leaf(np.array([1.0, 3.14159, 300.0]))
    y = xp.finish(xp.mul(x, x))
    assert y.error[0] == 0  # 1 is a bfloat16 number
    assert np.all(y.error[1:] < 2.0**-6 * y.value[1:]) and np.all(y.error[1:] > 2.0**-9 * y.value[1:])
    again = xp.finish(y)
    assert np.array_equal(again.error, y.error)


def test_models_differ_where_they_should() -> None:
    coarse = replace(F32, factor_unit=2.0**-11)
    x = np.full((1, 1), 1.5, np.float32)
    plain, tensor = (RoundingArrays(m).matmul(*[RoundingArrays(m).leaf(x)] * 2) for m in (F32, coarse))
    assert plain.error == 0 and tensor.error > 2.0**-11
    assert xla_rounding("float32").floor > F32.floor

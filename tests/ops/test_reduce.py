"""Broadcasting and reductions: against NumPy, and the conventions at ties, infinities and nothing."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from op_calls import count_up, grads, rationals, record, tangent, value, zeros

from prooftape import Session
from prooftape.errors import DomainError, ScalarError

AXES = [
    ((4,), 0),
    ((2, 3), 1),
    ((2, 3), -2),
    ((2, 3), (0, -1)),
    ((2, 3, 2), (2, 0)),
    ((1, 3), 0),
    ((2, 0), 0),
]


# -- broadcast_to ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("shape", "wide"),
    [((3,), (2, 3)), ((2, 1), (2, 3)), ((), (2, 2)), ((1, 1), (4, 1, 3)), ((2, 3), (2, 3)), ((1, 2), (0, 2))],
)
def test_broadcast_aligns_as_numpy(shape: tuple[int, ...], wide: tuple[int, ...]) -> None:
    x, ct = count_up(*shape), count_up(*wide)
    assert np.array_equal(value("broadcast_to", x, shape=wide), np.broadcast_to(x, wide))
    (dx,) = grads("broadcast_to", x, ct=ct, shape=wide)
    padded = (1,) * (len(wide) - len(shape)) + shape
    stretched = tuple(i for i, d in enumerate(padded) if d != wide[i])
    assert np.array_equal(dx, ct.sum(axis=stretched, keepdims=True).reshape(shape))


def test_broadcast_with_chosen_axes() -> None:
    """(n) -> (n, m) with out[i, j] = x[i], which NumPy's alignment cannot say; for (n, n) both exist."""
    x = count_up(2)
    found = value("broadcast_to", x, shape=(2, 3), axes=0)
    assert np.array_equal(found, [[1, 1, 1], [2, 2, 2]])
    assert np.array_equal(grads("broadcast_to", x, ct=count_up(2, 3), shape=(2, 3), axes=0)[0], [6, 15])
    rows, columns = (value("broadcast_to", x, shape=(2, 2), axes=a) for a in ((1,), (0,)))
    assert np.array_equal(rows, columns.T) and np.array_equal(rows, [[1, 2], [1, 2]])
    middle = value("broadcast_to", count_up(2, 3), shape=(2, 4, 3), axes=(0, -1))
    assert np.array_equal(middle, np.broadcast_to(count_up(2, 1, 3), (2, 4, 3)))


def test_broadcast_axes_are_part_of_the_graph() -> None:
    implied, negative, written = (
        record("broadcast_to", [count_up(3)], shape=(2, 3), axes=a)[0].graph.nodes[0].call
        for a in (None, (-1,), (1,))
    )
    assert implied == negative == written


# -- sums and means -------------------------------------------------------------------------------------
@pytest.mark.parametrize(("shape", "axis"), AXES)
@pytest.mark.parametrize(("op", "numpy"), [("reduce_sum", np.sum), ("reduce_mean", np.mean)])
def test_sums_and_means(op: str, numpy: object, shape: tuple[int, ...], axis: int | tuple[int, ...]) -> None:
    x = count_up(*shape)
    expected = numpy(x, axis=axis)  # type: ignore[operator]
    assert np.array_equal(value(op, x, axis=axis), expected)
    ct = count_up(*np.shape(expected))
    share = 1 if op == "reduce_sum" else x.size // max(ct.size, 1)
    (dx,) = grads(op, x, ct=ct, axis=axis)
    assert np.array_equal(dx, np.broadcast_to(np.expand_dims(ct / max(share, 1), axis), shape))


@pytest.mark.parametrize("shape", [(3,), (2, 3), (), (1, 2, 2), (0, 2)])
def test_sum_and_mean_of_everything(shape: tuple[int, ...]) -> None:
    x = count_up(*shape)
    assert value("sum", x) == x.sum() and value("sum", x).shape == ()
    assert np.array_equal(grads("sum", x, ct=3.0)[0], np.full(shape, 3.0))
    if x.size:
        assert value("mean", x) == x.mean()
        assert np.array_equal(grads("mean", x, ct=3.0)[0], np.full(shape, 3.0 / x.size))


@pytest.mark.parametrize("n", [49, 98, 103])
def test_the_mean_of_equal_entries_is_that_entry(n: int) -> None:
    """n * (1 / n) != 1 for these n: a mean that multiplies by the reciprocal is off."""
    assert n * (1.0 / n) != 1.0
    assert value("mean", np.ones(n)) == 1.0


def test_sum_and_mean_of_nothing() -> None:
    assert np.array_equal(value("reduce_sum", zeros(2, 0), axis=1), [0, 0])
    assert np.isnan(value("reduce_mean", zeros(2, 0), axis=1)).all()
    assert value("reduce_mean", zeros(2, 0), axis=0).shape == (0,)
    assert np.isnan(value("mean", zeros(0)))
    assert grads("mean", zeros(0), ct=1.0)[0].shape == (0,)
    with pytest.raises(ScalarError, match="division by zero has no value in exact rationals"):
        value("mean", zeros(0), scalar="rational")


@pytest.mark.parametrize(
    ("op", "shape", "arguments", "text"),
    [
        ("mean", (0,), {}, "at least one entry is reduced"),
        ("reduce_mean", (2, 0), {"axis": 1}, "at least one entry is reduced"),
        ("var", (2, 1), {"axis": 1, "ddof": 1}, "more than ddof entries are reduced"),
    ],
)
def test_a_divisor_of_zero_is_a_domain_error_when_asked_for(
    op: str, shape: tuple[int, ...], arguments: dict[str, object], text: str
) -> None:
    s = Session(scalar="float64", domain="raise")
    x = s.add_leaf(zeros(*shape))
    out = getattr(s, op)(x, **arguments)
    with pytest.raises(DomainError, match=rf"^{op}: outside its domain \({text}\)"):
        s.get_value(out)


def test_no_axes_are_all_axes_of_a_scalar_only() -> None:
    for op in ("reduce_sum", "reduce_mean", "reduce_max", "logsumexp"):
        assert value(op, 2.5, axis=()) == 2.5
    assert value("var", 2.5, axis=()) == 0.0


# -- maximum ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("shape", "axis"), AXES)
def test_maximum(shape: tuple[int, ...], axis: int | tuple[int, ...]) -> None:
    rng = np.random.default_rng(7)
    x = rng.permutation(int(np.prod(shape, dtype=int))).reshape(shape).astype(float)
    expected = x.max(axis=axis)
    assert np.array_equal(value("reduce_max", x, axis=axis), expected)
    ct = count_up(*expected.shape)
    wins = x == np.expand_dims(expected, axis)
    assert np.array_equal(grads("reduce_max", x, ct=ct, axis=axis)[0], wins * np.expand_dims(ct, axis))


def test_tied_maxima_share_evenly() -> None:
    x = [[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]
    assert np.array_equal(grads("reduce_max", x, ct=[6.0, 6.0], axis=1)[0], [[0, 3, 3], [2, 2, 2]])
    assert np.array_equal(tangent("reduce_max", [x], [[[9, 1, 2], [3, 4, 5]]], axis=1), [1.5, 4.0])
    infinite = [-np.inf, -np.inf]
    assert np.array_equal(grads("reduce_max", infinite, ct=1.0, axis=0)[0], [0.5, 0.5])


def test_maximum_with_nan_is_nan_and_has_no_gradient() -> None:
    x = [[np.nan, 1.0], [0.0, 1.0]]
    assert np.array_equal(value("reduce_max", x, axis=1), [np.nan, 1.0], equal_nan=True)
    assert np.array_equal(grads("reduce_max", x, ct=[1.0, 1.0], axis=1)[0], [[0, 0], [0, 1]])


# -- logsumexp --------------------------------------------------------------------------------------------
def test_logsumexp_does_not_overflow_or_underflow() -> None:
    assert value("logsumexp", [1000.0, 1000.0], axis=0) == 1000.0 + np.log(2.0)
    assert value("logsumexp", [-1000.0, -1000.0], axis=0) == -1000.0 + np.log(2.0)
    assert value("logsumexp", [1e308, -1e308], axis=0) == 1e308
    assert np.array_equal(grads("logsumexp", [1e308, -1e308], ct=1.0, axis=0)[0], [1.0, 0.0])


def test_logsumexp_of_infinities_and_of_nothing() -> None:
    x = [[-np.inf, -np.inf], [-np.inf, 0.0], [np.inf, 0.0], [np.nan, 0.0]]
    found = value("logsumexp", x, axis=1)
    assert np.array_equal(found, [-np.inf, 0.0, np.inf, np.nan], equal_nan=True)
    (dx,) = grads("logsumexp", x[:2], ct=[1.0, 1.0], axis=1)
    assert np.array_equal(dx, [[0.0, 0.0], [0.0, 1.0]])
    (dx,) = grads("logsumexp", x[2:], ct=[1.0, 1.0], axis=1)
    assert np.array_equal(dx, [[np.nan, 0.0], [np.nan, np.nan]], equal_nan=True)
    assert np.array_equal(value("logsumexp", zeros(2, 0), axis=1), [-np.inf, -np.inf])
    assert grads("logsumexp", zeros(2, 0), ct=[1.0, 1.0], axis=1)[0].shape == (2, 0)
    assert np.array_equal(tangent("logsumexp", [zeros(2, 0)], [zeros(2, 0)], axis=1), [0.0, 0.0])


def test_logsumexp_gradient_is_softmax_over_several_axes() -> None:
    x = np.log(count_up(2, 3))
    assert np.allclose(value("logsumexp", x, axis=(0, 1)), np.log(21.0), rtol=1e-15, atol=0)
    (dx,) = grads("logsumexp", x, ct=2.0, axis=(0, 1))
    assert np.allclose(dx, 2 * count_up(2, 3) / 21, rtol=1e-15, atol=0)  # 4 ulp


def test_logsumexp_is_transcendental() -> None:
    with pytest.raises(ScalarError, match="exp has no exact value in exact rationals"):
        value("logsumexp", [1.0, 2.0], scalar="rational", axis=0)


def test_zero_cotangents_of_logsumexp_absorb() -> None:
    x = [[np.inf, 0.0], [1.0, 1.0]]
    assert np.array_equal(grads("logsumexp", x, ct=[0.0, 2.0], axis=1)[0], [[0, 0], [1, 1]])
    assert np.array_equal(tangent("logsumexp", [x], [[[0, 5], [2, 4]]], axis=1), [0, 3])


@pytest.mark.parametrize("spread", [1e-3, 1.0, 50.0, 700.0])
def test_logsumexp_gradient_is_within_4_ulp(spread: float) -> None:
    """exp magnifies the rounding of x - max up to |x - max| / 2 ulp, hundreds here, unless it is put back."""
    rng = np.random.default_rng(1)
    for n in (2, 3, 8):
        x = spread * rng.random(n) * np.where(np.arange(n) == 0, 0.01, -1.0)  # no common spacing
        (dx,) = grads("logsumexp", x, ct=1.0, axis=0)
        with mpmath.workprec(200):
            e = [mpmath.exp(mpmath.mpf(v)) for v in x]
            exact = [v / mpmath.fsum(e) for v in e]
            ulps = [abs(mpmath.mpf(d) - v) / np.spacing(float(v)) for d, v in zip(dx, exact, strict=True)]
        assert max(ulps) <= 4


# -- variance ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("ddof", [0, 1, 2])
@pytest.mark.parametrize("axis", [0, 1, (0, 1), -1])
def test_variance(ddof: int, axis: int | tuple[int, ...]) -> None:
    x = np.random.default_rng(3).normal(size=(5, 4))
    n = x.size if isinstance(axis, tuple) else x.shape[axis]
    assert np.allclose(value("var", x, axis=axis, ddof=ddof), x.var(axis=axis, ddof=ddof), rtol=1e-14, atol=0)
    (dx,) = grads("var", x, ct=np.ones_like(x.var(axis=axis)), axis=axis, ddof=ddof)
    assert np.allclose(dx, 2 * (x - x.mean(axis=axis, keepdims=True)) / (n - ddof), rtol=1e-14, atol=1e-15)


def test_variance_over_rationals_is_exact() -> None:
    x = rationals(5)
    mean = sum(x) / 5
    expected = sum((v - mean) ** 2 for v in x) / 4
    assert value("var", x, scalar="rational", axis=0, ddof=1).item() == expected


def test_variance_is_taken_in_two_passes() -> None:
    """The one-pass formula E[x^2] - E[x]^2 gives 0 or a negative number here."""
    assert value("var", 1e9 + np.array([4.0, 7.0, 13.0, 16.0]), axis=0) == 22.5


def test_variance_without_degrees_of_freedom() -> None:
    found = value("var", [[1.0, 2.0], [3.0, 3.0]], axis=1, ddof=2)
    assert np.array_equal(found, [np.inf, np.nan], equal_nan=True)
    assert np.isnan(value("var", [1.0], axis=0, ddof=1))
    assert value("var", [1.0, 2.0], axis=0, ddof=3) == np.inf, "never a negative variance"
    (dx,) = grads("var", [[1.0, 2.0], [3.0, 3.0]], ct=[0.0, 0.0], axis=1, ddof=2)
    assert np.array_equal(dx, zeros(2, 2)), "a zero cotangent absorbs 0/0 and 1/0"


# -- together ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("op", ["reduce_sum", "reduce_mean", "reduce_max", "logsumexp", "var"])
def test_batch_axes_are_a_loop_over_samples(op: str) -> None:
    x = np.random.default_rng(11).normal(size=(3, 4, 5))
    ct = np.random.default_rng(12).normal(size=(3, 4))
    whole, (dx,) = value(op, x, axis=-1), grads(op, x, ct=ct, axis=-1)
    for i in range(3):
        assert np.array_equal(whole[i], value(op, x[i], axis=-1))
        assert np.array_equal(dx[i], grads(op, x[i], ct=ct[i], axis=-1)[0])


@pytest.mark.parametrize("op", ["reduce_sum", "reduce_mean", "reduce_max", "logsumexp", "var"])
def test_order_and_sign_of_axes_do_not_matter(op: str) -> None:
    x = [np.random.default_rng(5).normal(size=(2, 3, 4))]
    calls = [record(op, x, axis=a)[0].graph.nodes[0].call for a in ((0, 2), (2, 0), (-1, 0), (-3, -1))]
    assert all(c == calls[0] for c in calls)
    assert calls[0].attr("axis") == (0, 2)

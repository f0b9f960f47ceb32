"""Pools: windows by plain loops, check values, padding, ties, smooth maxima, batches, refusals.

Tolerances: a window has fewer than 50 float64 terms of order 1, so two orders of summation differ by less
than 50 * 2^-52 = 1e-14; a wrong rule is off by a visible fraction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from op_calls import count_up, grads, rationals, refusal, tangent, value, zeros

from prooftape.arrays.floats import FloatArrays

Array = NDArray[Any]
Shape = tuple[int, ...]
INF = np.inf

# spatial size, kernel, stride, padding
GEOMETRIES: list[tuple[Shape, Shape, Shape, Shape]] = [
    ((4,), (2,), (2,), (0,)),
    ((3,), (2,), (1,), (1,)),
    ((5,), (4,), (3,), (2,)),
    ((1,), (3,), (1,), (1,)),
    ((3, 4), (2, 3), (1, 2), (1, 0)),
    ((4, 3), (3, 2), (2, 1), (1, 1)),
    ((2, 2, 3), (2, 1, 2), (1, 1, 2), (1, 0, 1)),
]


def windows(x: Array, kernel: Shape, stride: Shape, padding: Shape) -> Iterator[tuple[Shape, list[Any]]]:
    """(position in the output, cells inside the image) of every window of x (channels, spatial…)."""
    size = x.shape[1:]
    counts = tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, padding, strict=True))
    for at in np.ndindex(x.shape[0], *counts):
        cells = []
        for q in np.ndindex(kernel):
            cell = tuple(u * s + r - p for u, s, r, p in zip(at[1:], stride, q, padding, strict=True))
            if all(0 <= a < n for a, n in zip(cell, size, strict=True)):
                cells.append(x[(at[0], *cell)])
        yield at, cells


def pooled(x: Array, f: Callable[[list[Any]], Any], *geometry: Shape) -> Array:
    found = {at: f(cells) for at, cells in windows(x, *geometry)}
    shape = tuple(max(at[i] for at in found) + 1 for i in range(x.ndim))
    out = np.empty(shape, dtype=x.dtype)
    for at, v in found.items():
        out[at] = v
    return out


def attributes(kernel: Shape, stride: Shape, padding: Shape) -> dict[str, Any]:
    return {"kernel": kernel, "stride": stride, "padding": padding}


@pytest.mark.parametrize(("size", "kernel", "stride", "padding"), GEOMETRIES)
def test_max_and_mean_of_every_window_exactly(
    size: Shape, kernel: Shape, stride: Shape, padding: Shape
) -> None:
    x = rationals(2, *size)
    attrs = attributes(kernel, stride, padding)
    largest = value("max_pool", x, scalar="rational", **attrs)
    assert (largest == pooled(x, max, kernel, stride, padding)).all()
    cells = int(np.prod(kernel))
    mean = value("avg_pool", x, scalar="rational", **attrs)
    assert (mean == pooled(x, lambda c: sum(c) / cells, kernel, stride, padding)).all(), "padding counts"


@pytest.mark.parametrize("beta", [0.5, 3.0, -2.0])
@pytest.mark.parametrize(("size", "kernel", "stride", "padding"), GEOMETRIES)
def test_smooth_maxima_of_every_window(
    size: Shape, kernel: Shape, stride: Shape, padding: Shape, beta: float
) -> None:
    x = np.random.default_rng(4).normal(size=(2, *size))

    def log_sum_exp(cells: list[float]) -> float:
        return float(np.log(np.sum(np.exp(beta * np.array(cells)))) / beta)

    def weighted_mean(cells: list[float]) -> float:
        weights = np.exp(beta * np.array(cells))
        return float(np.sum(weights * np.array(cells)) / weights.sum())

    attrs = {**attributes(kernel, stride, padding), "beta": beta}
    expected = pooled(x, log_sum_exp, kernel, stride, padding)
    assert value("smooth_max_pool", x, **attrs) == pytest.approx(expected, rel=1e-13, abs=1e-14)
    if len(size) == 2:
        expected = pooled(x, weighted_mean, kernel, stride, padding)
        assert value("smooth_max_pool2d", x, **attrs) == pytest.approx(expected, rel=1e-13, abs=1e-14)


def test_check_values() -> None:
    window = attributes((2,), (1,), (1,))
    assert value("avg_pool", [[1, 2, 3]], **window).tolist() == [[0.5, 1.5, 2.5, 1.5]]
    assert value("max_pool", [[-1, -2, -3]], **window).tolist() == [[-1, -1, -2, -3]]
    assert value("avg_pool", [[1, 2, 3]], kernel=2, stride=1, padding=1).tolist() == [[0.5, 1.5, 2.5, 1.5]]


def test_the_two_smooth_maxima_are_different_functions() -> None:
    x = [[[0.0, 1.0], [2.0, 3.0]]]
    above = value("smooth_max_pool", x, kernel=(2, 2), beta=1.0)[0, 0, 0]
    below = value("smooth_max_pool2d", x, kernel=2, beta=1.0)[0, 0, 0]
    assert above == pytest.approx(3.4401896985611953, rel=1e-14) and 3 < above < 3 + np.log(4)
    e = np.e
    assert below == pytest.approx((e + 2 * e**2 + 3 * e**3) / (1 + e + e**2 + e**3), rel=1e-14) and below < 3


def test_max_pool_tie_goes_to_the_first_cell_in_row_major_order() -> None:
    x = [[[1.0, 2.0], [2.0, 2.0]]]
    for op, kernel in (("max_pool", (2, 2)), ("max_pool2d", 2)):
        assert grads(op, x, ct=[[[5.0]]], kernel=kernel)[0].tolist() == [[[0.0, 5.0], [0.0, 0.0]]]
        assert tangent(op, [x], [[[[1.0, 2.0], [3.0, 4.0]]]], kernel=kernel).tolist() == [[[2.0]]]


def test_max_pool_padding_is_never_a_candidate() -> None:
    """Not even at a tie with the fill value, or when every cell is -inf."""
    attrs = attributes((2,), (1,), (1,))
    assert grads("max_pool", [[0.0, -1.0]], ct=[[1.0, 1.0, 1.0]], **attrs)[0].tolist() == [[2.0, 1.0]]
    assert value("max_pool", [[-INF, -INF]], **attrs).tolist() == [[-INF] * 3]
    assert grads("max_pool", [[-INF, -INF]], ct=[[1.0, 1.0, 1.0]], **attrs)[0].tolist() == [[2.0, 1.0]]


def test_max_pool_nan_wins() -> None:
    assert np.isnan(value("max_pool", [[1.0, np.nan, INF]], kernel=3)).all()
    assert grads("max_pool", [[1.0, np.nan, INF]], ct=[[1.0]], kernel=3)[0].tolist() == [[0.0, 1.0, 0.0]]


@pytest.mark.parametrize("special", [0.0, -INF, INF, np.nan])
def test_many_windows_are_searched_as_few_are(special: float) -> None:
    """The float engine searches many short rows cell by cell; ties, padding, inf and nan must not differ."""
    xp = FloatArrays(np.float64)
    rng = np.random.default_rng(9)
    x = rng.integers(-2, 3, size=(2500, 5)).astype(np.float64)
    x[rng.random(x.shape) < 0.3] = special
    x[7] = -INF
    some = rng.random((2500, 5)) < 0.7
    some[:, 2] = True
    for valid in (None, some, np.array([True, False, True, True, False]), np.array([True])):
        each = [some[i : i + 1] if valid is some else valid for i in range(len(x))]
        rows = [xp.first_max(x[i : i + 1], v) for i, v in enumerate(each)]
        assert np.array_equal(xp.first_max(x, valid), np.concatenate(rows))


def test_smooth_maxima_do_not_overflow() -> None:
    x = [[[1e200, -1e200], [1e3, 0.0]]]
    assert value("smooth_max_pool", x, kernel=(2, 2), beta=10).tolist() == [[[1e200]]]
    assert value("smooth_max_pool2d", x, kernel=2, beta=10).tolist() == [[[1e200]]]
    assert grads("smooth_max_pool", x, ct=[[[1.0]]], kernel=(2, 2), beta=10)[0].tolist() == [[[1, 0], [0, 0]]]


def test_a_negative_beta_is_a_smooth_minimum() -> None:
    x = np.array([[1.0, 2.0, 4.0]])
    low = value("smooth_max_pool", x, kernel=3, beta=-2.0)
    assert low == pytest.approx(-value("smooth_max_pool", -x, kernel=3, beta=2.0), rel=1e-15)
    assert value("smooth_max_pool", x, kernel=3, beta=-1e3).tolist() == [[1.0]]


def test_smooth_maxima_absorb() -> None:
    """A cell of -inf has weight 0; a zero cotangent passes nothing to a window with nan."""
    x = [[[1.0, -INF], [2.0, 3.0]]]
    for op in ("smooth_max_pool", "smooth_max_pool2d"):
        g = grads(op, x, ct=[[[1.0]]], kernel=(2, 2), beta=1.0)[0]
        assert g[0, 0, 1] == 0.0 and np.isfinite(g).all()
    x = [[np.nan, 1.0, 2.0, 3.0]]
    assert grads("smooth_max_pool", x, ct=[[0.0, 1.0]], kernel=2, beta=1.0)[0][0, :2].tolist() == [0.0, 0.0]


OPS: list[tuple[str, dict[str, Any]]] = [
    ("max_pool", {}),
    ("max_pool2d", {}),
    ("avg_pool", {}),
    ("avg_pool2d", {}),
    ("smooth_max_pool", {"beta": 1.5}),
    ("smooth_max_pool2d", {"beta": 1.5}),
]


@pytest.mark.parametrize(("op", "extra"), OPS)
def test_a_batch_is_a_loop_over_samples(op: str, extra: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    x, dx = rng.normal(size=(2, 3, 2, 5, 4))
    attrs = {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 0), **extra}
    out = value(op, x, **attrs)
    ct = rng.normal(size=out.shape)
    assert np.array_equal(out, [value(op, s, **attrs) for s in x])
    g = grads(op, x, ct=ct, **attrs)[0]
    assert np.array_equal(g, [grads(op, s, ct=c, **attrs)[0] for s, c in zip(x, ct, strict=True)])
    moved = tangent(op, [x], [dx], **attrs)
    assert np.array_equal(moved, [tangent(op, [s], [d], **attrs) for s, d in zip(x, dx, strict=True)])


@pytest.mark.parametrize(("op", "extra"), OPS)
def test_an_empty_batch(op: str, extra: dict[str, Any]) -> None:
    x = zeros(0, 2, 4, 4)
    out = value(op, x, kernel=(2, 2), **extra)
    assert out.shape == (0, 2, 2, 2)
    assert grads(op, x, ct=out, kernel=(2, 2), **extra)[0].shape == x.shape


@pytest.mark.parametrize("op", ["max_pool", "avg_pool"])
def test_stride_defaults_to_the_kernel_and_2d_is_a_case(op: str) -> None:
    x = count_up(2, 5, 6)
    assert np.array_equal(value(op, x, kernel=(2, 3)), value(op, x, kernel=(2, 3), stride=(2, 3)))
    assert np.array_equal(value(op, x, kernel=(2, 3)), value(op + "2d", x, kernel=(2, 3)))
    assert np.array_equal(value(op, x, kernel=2), value(op, x, kernel=(2, 2))), "one integer: h and w"
    assert value(op, x, kernel=2).shape == (2, 2, 3)


def test_a_tuple_kernel_tells_a_batch_from_a_spatial_axis() -> None:
    x = count_up(2, 3, 4)
    assert value("max_pool", x, kernel=(2,)).shape == (2, 3, 2), "batch, channels, one spatial axis"
    assert value("max_pool", x, kernel=(1, 2)).shape == (2, 3, 2), "channels, two spatial axes"
    assert value("max_pool", x, kernel=2).shape == (2, 1, 2), "channels, two spatial axes"


def test_large_windows_average_without_error() -> None:
    """A sum divided by 49 is exact here; multiplied by 1/49 it is not."""
    assert value("avg_pool2d", np.ones((1, 7, 7)), kernel=7).tolist() == [[[1.0]]]


# -- refusals -----------------------------------------------------------------------------------------------
AXES_2D = "x must have 3 axes (channels, then 2 spatial axes), or 4 with a batch in front"
ATTRIBUTE, SHAPE = "AttributeValueError", "ShapeError"
REFUSALS: list[tuple[str, Shape, dict[str, Any], str, str, str]] = [
    (
        "max_pool",
        (3,),
        {"kernel": 2},
        SHAPE,
        "x must have a channel axis and at least one spatial axis",
        "reshape a single channel to (1, n)",
    ),
    (
        "max_pool",
        (2, 3, 4, 5),
        {"kernel": 2},
        ATTRIBUTE,
        "one integer as kernel does not say whether the first of 4 axes is a batch",
        "pass a tuple, one entry per spatial axis",
    ),
    ("avg_pool", (2, 3), {"kernel": ()}, ATTRIBUTE, "kernel is empty", "pass one entry per spatial axis"),
    (
        "max_pool",
        (2, 3),
        {"kernel": 0},
        ATTRIBUTE,
        "kernel must be >= 1, got 0",
        "a window has at least one cell",
    ),
    (
        "max_pool",
        (2, 3),
        {"kernel": 2, "stride": 0},
        ATTRIBUTE,
        "stride must be >= 1, got 0",
        "1 visits every position",
    ),
    (
        "max_pool2d",
        (2, 3, 3),
        {"kernel": 2, "stride": (1, 0)},
        ATTRIBUTE,
        "stride must be >= 1, got (1, 0)",
        "1 visits every position",
    ),
    (
        "avg_pool",
        (2, 3),
        {"kernel": 3, "padding": 2},
        ATTRIBUTE,
        "padding must be at most half the kernel, got (2,) for kernel (3,)",
        "pad pads by any width, with any number",
    ),
    (
        "smooth_max_pool",
        (2, 3),
        {"kernel": 2, "beta": 1, "padding": -1},
        ATTRIBUTE,
        "padding must be >= 0, got -1",
        "to crop, use slice",
    ),
    (
        "max_pool",
        (2, 3),
        {"kernel": 4},
        SHAPE,
        "a window of (4,) cells does not fit into the padded size (3,)",
        "each axis needs size + 2 * padding >= kernel",
    ),
    ("max_pool", (2, 3), {"kernel": (2, 2)}, SHAPE, AXES_2D, "add a missing axis with reshape"),
    ("avg_pool2d", (2, 3), {"kernel": 2}, SHAPE, AXES_2D, "add a missing axis with reshape"),
    (
        "avg_pool2d",
        (2, 3, 4),
        {"kernel": (2, 2, 2)},
        ATTRIBUTE,
        "kernel has 3 entries for 2 spatial axes",
        "pass one integer for all axes, or one per axis",
    ),
    (
        "max_pool2d",
        (2, 3, 0),
        {"kernel": 1},
        SHAPE,
        "x has an empty spatial axis",
        "every spatial axis needs at least one cell",
    ),
    *(
        (
            op,
            (2, 3, 3),
            {"kernel": (2, 2), "beta": beta},
            ATTRIBUTE,
            f"beta must be a finite number other than 0, got {beta}",
            "avg_pool is the limit beta -> 0, max_pool the limit beta -> inf",
        )
        for op in ("smooth_max_pool", "smooth_max_pool2d")
        for beta in (0, INF, np.nan)
    ),
]


@pytest.mark.parametrize(("op", "shape", "attrs", "kind", "problem", "hint"), REFUSALS)
def test_refusals(op: str, shape: Shape, attrs: dict[str, Any], kind: str, problem: str, hint: str) -> None:
    assert refusal(op, zeros(*shape), **attrs) == (kind, f"{op}: {problem}: x = x {shape}; {hint}")

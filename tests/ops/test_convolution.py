"""conv and conv_transpose: the defining sums as plain loops, sizes, check values, batches, refusals.

Tolerances: sums of fewer than 500 float64 terms of order 1 differ by less than 500 * 2^-52 = 1e-13 between
two orders of summation, 1e-12 after cancellation; a wrong rule is off by a visible fraction.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from op_calls import count_up, grads, rationals, refusal, tangent, value, zeros

from prooftape import Session
from prooftape.errors import RuleError
from prooftape.ops import find
from prooftape.types import TensorType

Array = NDArray[Any]
Shape = tuple[int, ...]

# spatial size, kernel, stride, padding
GEOMETRIES: list[tuple[Shape, Shape, Shape, Shape]] = [
    ((4,), (2,), (1,), (0,)),
    ((5,), (3,), (2,), (1,)),
    ((2,), (3,), (3,), (2,)),
    ((3, 4), (2, 2), (1, 1), (0, 0)),
    ((3, 3), (3, 1), (2, 1), (1, 0)),
    ((2, 2, 3), (1, 2, 2), (1, 2, 1), (0, 1, 1)),
]


def conv_size(size: Shape, kernel: Shape, stride: Shape, padding: Shape) -> Shape:
    return tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, padding, strict=True))


def conv_transpose_size(size: Shape, kernel: Shape, stride: Shape, padding: Shape) -> Shape:
    return tuple((n - 1) * s - 2 * p + k for n, k, s, p in zip(size, kernel, stride, padding, strict=True))


def conv_by_definition(w: Array, b: Array, x: Array, stride: Shape, padding: Shape) -> Array:
    """b[o] + sum over i, q of w[o, i, q] * x[i, u * stride + q - padding]; exact for fractions."""
    size, kernel = x.shape[1:], w.shape[2:]
    counts = conv_size(size, kernel, stride, padding)
    out = np.empty((w.shape[0], *counts), dtype=x.dtype)
    for o, *u in np.ndindex(out.shape):
        total = b[o]
        for i, *q in np.ndindex(w.shape[1:]):
            at = tuple(a * s + r - p for a, s, r, p in zip(u, stride, q, padding, strict=True))
            if all(0 <= a < n for a, n in zip(at, size, strict=True)):
                total = total + w[(o, i, *q)] * x[(i, *at)]
        out[(o, *u)] = total
    return out


def conv_transpose_by_definition(w: Array, b: Array, x: Array, stride: Shape, padding: Shape) -> Array:
    """out[o, a * stride + q - padding] += w[i, o, q] * x[i, a], then + b[o]."""
    kernel = w.shape[2:]
    size = tuple(
        (n - 1) * s - 2 * p + k for n, k, s, p in zip(x.shape[1:], kernel, stride, padding, strict=True)
    )
    out = np.empty((w.shape[1], *size), dtype=x.dtype)
    for o in range(w.shape[1]):
        out[o] = b[o]
    for i, *a in np.ndindex(x.shape):
        for o, *q in np.ndindex(w.shape[1:]):
            at = tuple(c * s + r - p for c, s, r, p in zip(a, stride, q, padding, strict=True))
            if all(0 <= t < n for t, n in zip(at, size, strict=True)):
                out[(o, *at)] = out[(o, *at)] + w[(i, o, *q)] * x[(i, *a)]
    return out


@pytest.mark.parametrize(("size", "kernel", "stride", "padding"), GEOMETRIES)
def test_conv_is_its_defining_sum_exactly(size: Shape, kernel: Shape, stride: Shape, padding: Shape) -> None:
    w, b, x = rationals(3, 2, *kernel), rationals(3, start=5), rationals(2, *size, start=7)
    got = value("conv", w, b, x, scalar="rational", stride=stride, padding=padding)
    expected = conv_by_definition(w, b, x, stride, padding)
    assert got.shape == expected.shape and (got == expected).all()


@pytest.mark.parametrize(("size", "kernel", "stride", "padding"), GEOMETRIES)
def test_conv_transpose_is_its_defining_sum_exactly(
    size: Shape, kernel: Shape, stride: Shape, padding: Shape
) -> None:
    padding = tuple(min(p, (k - 1) // 2) for p, k in zip(padding, kernel, strict=True))
    w, b, x = rationals(2, 3, *kernel), rationals(3, start=5), rationals(2, *size, start=7)
    got = value("conv_transpose", w, b, x, scalar="rational", stride=stride, padding=padding)
    expected = conv_transpose_by_definition(w, b, x, stride, padding)
    assert got.shape == expected.shape and (got == expected).all()


@pytest.mark.parametrize(("size", "kernel", "stride", "padding"), GEOMETRIES)
def test_conv_transpose_is_the_transpose_of_conv(
    size: Shape, kernel: Shape, stride: Shape, padding: Shape
) -> None:
    """With the same w, read as (in, out, …), it is conv's input VJP wherever the windows cover the image."""
    counts = tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, padding, strict=True))
    covered = tuple(
        (c - 1) * s - 2 * p + k for c, k, s, p in zip(counts, kernel, stride, padding, strict=True)
    )
    if covered != size:
        size = covered
    w, g = rationals(3, 2, *kernel), rationals(3, *counts, start=4)
    attrs = {"stride": stride, "padding": padding}
    dx = grads("conv", w, rationals(3), rationals(2, *size), ct=g, scalar="rational", **attrs)[2]
    assert (value("conv_transpose", w, [0, 0], g, scalar="rational", **attrs) == dx).all()


def test_check_values() -> None:
    one = {"stride": 1, "padding": 0}
    assert value("conv", [[[1, 2, 3, 4, 5]]], [0], [[0, 1, 2, 3, 0]], **one).tolist() == [
        [1 * 0 + 2 + 6 + 12]
    ]
    got = value("conv_transpose", [[[1, 10, 100]]], [0], [[1, 2]], stride=2, padding=1)
    assert got.tolist() == [[10, 102, 20]]


def test_conv_does_not_flip_the_kernel() -> None:
    assert value("conv", [[[1, 10]]], [0], [[1, 2, 3]]).tolist() == [[21, 32]]


@pytest.mark.parametrize("op", ["conv", "conv2d", "conv_transpose", "conv_transpose2d"])
def test_a_batch_is_a_loop_over_samples(op: str) -> None:
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(3, 3, 3, 2)), rng.normal(size=(4, 3, 5, 4))
    b, dx = rng.normal(size=3), rng.normal(size=x.shape)
    attrs = {"stride": (2, 1), "padding": (1, 0)}
    out = value(op, w, b, x, **attrs)
    assert out == pytest.approx(np.array([value(op, w, b, sample, **attrs) for sample in x]), rel=1e-12)
    ct = rng.normal(size=out.shape)
    batch = grads(op, w, b, x, ct=ct, **attrs)
    each = [grads(op, w, b, sample, ct=g, **attrs) for sample, g in zip(x, ct, strict=True)]
    assert batch[0] == pytest.approx(sum(e[0] for e in each), rel=1e-12)
    assert batch[1] == pytest.approx(sum(e[1] for e in each), rel=1e-12)
    assert batch[2] == pytest.approx(np.array([e[2] for e in each]), rel=1e-12)
    moved = tangent(op, [w, b, x], [w, None, dx], **attrs)
    loop = [tangent(op, [w, b, s], [w, None, d], **attrs) for s, d in zip(x, dx, strict=True)]
    assert moved == pytest.approx(np.array(loop), rel=1e-12)


@pytest.mark.parametrize("op", ["conv", "conv_transpose"])
def test_2d_is_the_case_of_two_kernel_axes(op: str) -> None:
    w, b, x = count_up(2, 2, 2, 3), [1.0, -1.0], count_up(2, 4, 5)
    attrs = {"stride": 2, "padding": 1}
    assert np.array_equal(value(op, w, b, x, **attrs), value(op + "2d", w, b, x, **attrs))


@pytest.mark.parametrize("op", ["conv", "conv_transpose"])
def test_an_empty_batch(op: str) -> None:
    w, b, x = zeros(2, 2, 3), zeros(2), zeros(0, 2, 4)
    out = value(op, w, b, x)
    assert out.shape == (0, 2, 2 if op == "conv" else 6)
    found = grads(op, w, b, x, ct=out)
    assert [g.shape for g in found] == [w.shape, b.shape, x.shape]
    assert not found[0].any() and not found[1].any()


def test_sizes_are_pytorchs() -> None:
    """(in + 2 p - k) // s + 1 and (in - 1) s - 2 p + k, refused below 1, over a grid."""
    conv, transpose = find("conv"), find("conv_transpose")
    bias = TensorType.of((1,))
    for n, k, s, p in itertools.product(range(1, 8), range(1, 6), range(1, 5), range(5)):
        types = (TensorType.of((1, 1, k)), bias, TensorType.of((1, n)))
        for op, size in (
            (conv, (n + 2 * p - k) // s + 1 if n + 2 * p >= k else 0),
            (transpose, (n - 1) * s - 2 * p + k),
        ):
            try:
                found = op.bind(types, (s, p)).shape[1]
            except RuleError:
                assert size < 1, (op.name, n, k, s, p)
            else:
                assert found == size >= 1, (op.name, n, k, s, p)


def test_an_exactly_zero_cotangent_absorbs() -> None:
    w, x = [[[1.0, np.inf]]], [[np.nan, 1.0, 2.0, 3.0]]
    dw, db, dx = grads("conv", w, [0.0], x, ct=[[0.0, 0.0, 0.0]])
    assert dw.tolist() == [[[0.0, 0.0]]] and db.tolist() == [0.0] and dx.tolist() == [[0.0] * 4]
    dw = grads("conv", w, [0.0], x, ct=[[0.0, 1.0, 0.0]])[0]
    assert dw.tolist() == [[[1.0, 2.0]]], "the window with the nan has cotangent 0"
    moved = tangent("conv", [w, [0.0], x], [None, None, [[0.0, 1.0, 0.0, 0.0]]])
    assert moved.tolist() == [[np.inf, 1.0, 0.0]]


def test_strided_images_are_read_right() -> None:
    """A transposed, sliced input has strides of its own."""
    s = Session(scalar="float64")
    x = np.random.default_rng(1).normal(size=(6, 2, 5))
    w, b = np.random.default_rng(2).normal(size=(3, 2, 2, 2)), np.zeros(3)
    leaf = s.add_leaf(x)
    image = s.slice(s.permute(leaf, (1, 2, 0)), axis=1, start=1, length=3)
    out = s.conv(s.const(w), s.const(b), image, padding=1)
    assert np.array_equal(
        s.get_value(out), value("conv", w, b, np.array(x.transpose(1, 2, 0)[:, 1:4]), padding=1)
    )


def test_exact_arithmetic_end_to_end() -> None:
    third = Fraction(1, 3)
    got = value("conv", [[[third, third, third]]], [0], [[1, 1, 1]], scalar="rational")
    assert got.tolist() == [[1]]


# -- refusals -----------------------------------------------------------------------------------------------
OUT_IN, IN_OUT = "(output channels, input channels", "(input channels, output channels"
REFUSALS: list[tuple[str, list[Shape], dict[str, Any], str, str]] = [
    (
        "conv",
        [(2, 3), (2,), (3, 4)],
        {},
        "ShapeError",
        f"w must have axes {OUT_IN}, kernel…): {{operands}}; without a kernel axis it is linear(w, b, x)",
    ),
    (
        "conv2d",
        [(2, 3, 4), (2,), (3, 4)],
        {},
        "ShapeError",
        f"w must have axes {OUT_IN}) and 2 kernel axes: {{operands}}; conv takes any number of kernel axes",
    ),
    (
        "conv_transpose2d",
        [(3, 2, 4), (2,), (3, 4)],
        {},
        "ShapeError",
        f"w must have axes {IN_OUT}) and 2 kernel axes: {{operands}}; "
        "conv_transpose takes any number of kernel axes",
    ),
    (
        "conv",
        [(2, 0, 2), (2,), (0, 4)],
        {},
        "ShapeError",
        "w has an empty axis: {operands}; channels and kernel sizes must be >= 1",
    ),
    (
        "conv",
        [(2, 3, 2), (3,), (3, 4)],
        {},
        "ShapeError",
        "b must have shape (2,), one entry per output channel of w: {operands}; pass zeros for no bias",
    ),
    (
        "conv_transpose",
        [(3, 2, 2), (3,), (3, 4)],
        {},
        "ShapeError",
        "b must have shape (2,), one entry per output channel of w: {operands}; pass zeros for no bias",
    ),
    (
        "conv",
        [(2, 3, 2), (2,), (4,)],
        {},
        "ShapeError",
        "x must have 2 axes (channels, then 1 spatial axis), or 3 with a batch in front: {operands}; "
        "add a missing axis with reshape",
    ),
    (
        "conv2d",
        [(2, 3, 2, 2), (2,), (1, 1, 3, 4, 4)],
        {},
        "ShapeError",
        "x must have 3 axes (channels, then 2 spatial axes), or 4 with a batch in front: {operands}; "
        "add a missing axis with reshape",
    ),
    (
        "conv",
        [(2, 3, 2), (2,), (4, 4)],
        {},
        "ShapeError",
        "x has 4 channels but w takes 3: {operands}; "
        "x is channels first: (channels, …) or (batch, channels, …)",
    ),
    (
        "conv_transpose",
        [(3, 2, 2), (2,), (5, 2, 4)],
        {},
        "ShapeError",
        "x has 2 channels but w takes 3: {operands}; "
        "x is channels first: (channels, …) or (batch, channels, …)",
    ),
    (
        "conv",
        [(2, 3, 2), (2,), (3, 0)],
        {"padding": 2},
        "ShapeError",
        "x has an empty spatial axis: {operands}; every spatial axis needs at least one cell",
    ),
    (
        "conv",
        [(2, 3, 2), (2,), (3, 4)],
        {"stride": 0},
        "AttributeValueError",
        "stride must be >= 1, got 0: {operands}; 1 visits every position",
    ),
    (
        "conv2d",
        [(2, 3, 2, 2), (2,), (3, 4, 4)],
        {"stride": (1, 0)},
        "AttributeValueError",
        "stride must be >= 1, got (1, 0): {operands}; 1 visits every position",
    ),
    (
        "conv_transpose",
        [(3, 2, 2), (2,), (3, 4)],
        {"stride": -1},
        "AttributeValueError",
        "stride must be >= 1, got -1: {operands}; 1 visits every position",
    ),
    (
        "conv",
        [(2, 3, 2), (2,), (3, 4)],
        {"padding": -1},
        "AttributeValueError",
        "padding must be >= 0, got -1: {operands}; to crop, use slice",
    ),
    (
        "conv",
        [(2, 3, 2), (2,), (3, 4)],
        {"stride": (1, 1)},
        "AttributeValueError",
        "stride has 2 entries for 1 spatial axis: {operands}; pass one integer for all axes, or one per axis",
    ),
    (
        "conv2d",
        [(2, 3, 2, 2), (2,), (3, 4, 4)],
        {"padding": (1,)},
        "AttributeValueError",
        "padding has 1 entry for 2 spatial axes: {operands}; pass one integer for all axes, or one per axis",
    ),
    (
        "conv",
        [(2, 3, 2), (2,), (3, 4)],
        {"stride": 1.5},
        "AttributeValueError",
        "attribute stride: expected an integer or a sequence of integers, got float 1.5: {operands}; "
        "cells from one window to the next, >= 1; one integer or one per axis",
    ),
    (
        "conv2d",
        [(2, 3, 5, 1), (2,), (3, 4, 4)],
        {"padding": (0, 1)},
        "ShapeError",
        "a window of (5, 1) cells does not fit into the padded size (4, 6): {operands}; "
        "each axis needs size + 2 * padding >= kernel",
    ),
    (
        "conv_transpose",
        [(3, 2, 2), (2,), (3, 1)],
        {"padding": 1},
        "ShapeError",
        "the output would have size (0,): {operands}; "
        "(in - 1) * stride - 2 * padding + kernel must be >= 1 on every axis; use a smaller padding",
    ),
]


@pytest.mark.parametrize(("op", "shapes", "attrs", "kind", "expected"), REFUSALS)
def test_refusals(op: str, shapes: list[Shape], attrs: dict[str, Any], kind: str, expected: str) -> None:
    operands = ", ".join(f"{n} = {n} {s}" for n, s in zip("wbx", shapes, strict=True))
    message = f"{op}: {expected.format(operands=operands)}"
    assert refusal(op, *(zeros(*s) for s in shapes), **attrs) == (kind, message)

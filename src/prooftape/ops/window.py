"""Vocabulary ops for sliding windows: `windows`, its transpose `fold_windows`, and `first_max`.

Convolutions and pools are written with them; padding is a separate op.
"""

from __future__ import annotations

import numpy as np

from prooftape.attributes import Attr
from prooftape.declare import constant, linear
from prooftape.errors import AttributeValueError, RuleError
from prooftape.literal import Literal
from prooftape.op import Call, Operand, Sample, Typing
from prooftape.types import Shape, broadcast_shape
from prooftape.vocabulary import A, Vocabulary


def _windows(xp: Vocabulary[A], c: Call, x: A) -> A:
    return xp.windows(x, c.ints("kernel"), c.ints("stride"))


def _windows_transpose(xp: Vocabulary[A], c: Call, g: A) -> A:
    shape, d = c.shapes[0], len(c.ints("kernel"))
    return xp.fold_windows(g, shape[len(shape) - d :], c.ints("stride"))


def _fold(xp: Vocabulary[A], c: Call, w: A) -> A:
    return xp.fold_windows(w, c.ints("size"), c.ints("stride"))


def _fold_transpose(xp: Vocabulary[A], c: Call, g: A) -> A:
    return xp.windows(g, _kernel(c.shapes[0], len(c.ints("size"))), c.ints("stride"))


def _kernel(w: Shape, d: int) -> Shape:
    return w[len(w) - d :]


def _at_least_one(t: Typing, name: str) -> Shape:
    values = t.ints(name)
    if any(v < 1 for v in values):
        raise RuleError(f"{name} must be >= 1 on every axis, got {values}", "", AttributeValueError)
    return values


def _counts(size: Shape, kernel: Shape, stride: Shape) -> Shape:
    """Windows per axis; raises when a kernel is longer than its axis."""
    for n, k in zip(size, kernel, strict=True):
        if k > n:
            raise RuleError(
                f"a window of size {kernel} does not fit into {size}", "pad first, or use a smaller kernel"
            )
    return tuple((n - k) // s + 1 for n, k, s in zip(size, kernel, stride, strict=True))


def _windows_shape(t: Typing) -> Shape:
    x, kernel, stride = t.shapes[0], _at_least_one(t, "kernel"), _at_least_one(t, "stride")
    d = len(kernel)
    if len(stride) != d or d > len(x):
        raise RuleError(
            f"kernel {kernel} and stride {stride} do not fit a tensor of rank {len(x)}",
            "give one kernel size and one stride per windowed axis",
            AttributeValueError,
        )
    lead = len(x) - d
    return (*x[:lead], *_counts(x[lead:], kernel, stride), *kernel)


def _fold_shape(t: Typing) -> Shape:
    w, size, stride = t.shapes[0], t.ints("size"), _at_least_one(t, "stride")
    d = len(size)
    if len(stride) != d or 2 * d > len(w):
        raise RuleError(
            f"size {size} and stride {stride} do not fit a tensor of rank {len(w)}",
            "the operand has one axis of window positions and one of window cells per axis folded",
            AttributeValueError,
        )
    lead, kernel = len(w) - 2 * d, _kernel(w, d)
    expected = _counts(size, kernel, stride)
    if w[lead : lead + d] != expected:
        raise RuleError(f"{w[lead : lead + d]} windows, but {size} has {expected}", "")
    return (*w[:lead], *size)


windows = linear(
    "windows",
    ("x",),
    _windows,
    ((_windows, _windows_transpose),),
    family="vocabulary",
    shape_rule=_windows_shape,
    samples=lambda: [
        Sample((Operand((5,)),), {"kernel": (2,), "stride": (1,)}),
        Sample((Operand((2, 5)),), {"kernel": (3,), "stride": (2,)}),
        Sample((Operand((1, 3, 4)),), {"kernel": (2, 2), "stride": (1, 2)}),
        Sample((Operand((0, 3)),), {"kernel": (2,), "stride": (3,)}),
        Sample((Operand((2,)),), {"kernel": (), "stride": ()}),
    ],
    attrs=(Attr("kernel", "ints", doc="window size per axis"), Attr("stride", "ints", doc="step per axis")),
    doc="The sliding windows of the last axes, without padding: out[…, o, q] = x[…, o * stride + q].",
    shapes_doc="x: (…, n1…nd) -> (…, o1…od, k1…kd), o = (n - k) // stride + 1",
    public=False,
)

fold_windows = linear(
    "fold_windows",
    ("w",),
    _fold,
    ((_fold, _fold_transpose),),
    family="vocabulary",
    shape_rule=_fold_shape,
    samples=lambda: [
        Sample((Operand((4, 2)),), {"size": (5,), "stride": (1,)}),
        Sample((Operand((2, 2, 3)),), {"size": (6,), "stride": (2,)}),
        Sample((Operand((1, 2, 2, 2, 2)),), {"size": (3, 4), "stride": (1, 2)}),
        Sample((Operand((0, 1, 2)),), {"size": (3,), "stride": (2,)}),
        Sample((Operand((2,)),), {"size": (), "stride": ()}),
    ],
    attrs=(Attr("size", "shape", doc="size of the folded axes"), Attr("stride", "ints", doc="step per axis")),
    doc="Windows put back in their places, overlapping cells summed: the transpose of windows.",
    shapes_doc="w: (…, o1…od, k1…kd) -> (…, n1…nd)",
    public=False,
)


def _valid(c: Call) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]] | None:
    value = c.attr("valid")
    return value.array.astype(np.bool_, copy=False) if isinstance(value, Literal) else None


def _first_max_shape(t: Typing) -> Shape:
    x, valid = t.shapes[0], t.attrs["valid"]
    if not x or x[-1] == 0:
        raise RuleError("the last axis has no entries, and no entries have no maximum", "")
    if isinstance(valid, Literal):
        if valid.type.dtype != "bool" or broadcast_shape(valid.shape, x) != x:
            raise RuleError(
                f"valid must be a mask that broadcasts to {x}, got {valid.type}", "", AttributeValueError
            )
        if not np.broadcast_to(valid.array.astype(np.bool_), x).any(axis=-1).all():
            raise RuleError("valid leaves a row without a candidate", "", AttributeValueError)
    return x


first_max = constant(
    "first_max",
    ("x",),
    lambda xp, c, x: xp.first_max(x, _valid(c)),
    family="vocabulary",
    shape_rule=_first_max_shape,
    samples=lambda: [
        Sample((Operand((4,)),)),
        Sample(
            (Operand((2, 3), "distinct"),), {"valid": np.array([[False, True, True], [True, True, False]])}
        ),
        Sample((Operand((2, 2, 2)),), {"valid": np.array([True, False])}),
        Sample((Operand((0, 2)),)),
    ],
    attrs=(
        Attr("valid", "literal", None, optional=True, doc="mask of candidates, broadcast to x; default all"),
    ),
    doc="Mask that is true at the first maximal candidate of the last axis; nan counts as maximal.",
    shapes_doc="x: (…, k) -> a mask of that shape",
    public=False,
)

"""Joining, slicing, padding, reshaping, transposing, broadcasting: ops that only move entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..program import NotApplicable, Program, Shape, Value
from ..registry import adapts


def as_shape(dims: Sequence[Any]) -> Shape:
    """PyTorch takes `x.f(2, 3)` and `x.f((2, 3))`."""
    if len(dims) == 1 and isinstance(dims[0], list | tuple):
        return tuple(dims[0])
    return tuple(dims)


# -------------------- joining
def _float_tensors(tensors: Any, out: Any) -> list[Value]:
    if out is not None:
        raise NotApplicable("writing into an out= tensor")
    if isinstance(tensors, Value) or not all(isinstance(t, Value) for t in tensors):
        raise NotApplicable("cat of something that is not a sequence of float tensors")
    return list(tensors)


@adapts("cat")
def concat(b: Program, tensors: Any, dim: int = 0, out: Any = None) -> Value:
    xs = _float_tensors(tensors, out)
    if len({x.ndim for x in xs}) > 1 and any(x.shape == (0,) for x in xs):
        raise NotApplicable("cat that skips tensors of shape (0,) whatever the other shapes are")
    return b.call("concat", xs, axis=dim)


@adapts("cat")
def concat_dim0(b: Program, tensors: Any, dim: int = 0, out: Any = None) -> Value:
    xs = _float_tensors(tensors, out)
    if len(xs) != 2 or xs[0].ndim != xs[1].ndim or dim % max(xs[0].ndim, 1) != 0:
        raise NotApplicable("not two tensors joined along axis 0")
    return b.call("concat_vectors" if xs[0].ndim == 1 else "concat_dim0", *xs)


def _as_int(n: Any) -> int:
    if isinstance(n, np.ndarray) and (n.shape or n.dtype == np.bool_):
        raise NotApplicable("start given as a tensor that is not one integer")
    return int(n)


@adapts("narrow")
def slice_axis(b: Program, x: Value, dim: int, start: Any, length: int) -> Value:
    start = _as_int(start)
    if start < 0 and -x.ndim <= dim < x.ndim and start + x.shape[dim] >= 0:
        start += x.shape[dim]
    return b.call("slice", x, axis=dim, start=start, length=length)


@adapts("narrow")
def slice_range0(b: Program, x: Value, dim: int, start: Any, length: int) -> Value:
    if x.ndim == 0 or dim % x.ndim != 0:
        raise NotApplicable("not along axis 0")
    start = _as_int(start)
    return b.call("slice_range0", x, start + x.shape[0] if start < 0 else start, length)


@adapts("slice")
def slice_of_python(
    b: Program, x: Value, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Value:
    lo, hi, step = slice(start, end, step).indices(x.shape[dim])
    if step != 1:
        raise NotApplicable("slice with a step")
    return b.call("slice", x, axis=dim, start=lo, length=max(hi - lo, 0))


@adapts("nn.functional.pad.constant")
def pad(
    b: Program, x: Value, widths: Sequence[int], mode: str = "constant", value: float | None = None
) -> Value:
    if min(widths) < 0:
        raise NotApplicable("negative padding, which crops")
    pairs = [(int(widths[2 * i]), int(widths[2 * i + 1])) for i in range(len(widths) // 2)][::-1]
    return b.call("pad", x, [(0, 0)] * (x.ndim - len(pairs)) + pairs, value=float(value or 0.0))


@adapts("constant_pad_nd")
def pad_nd(b: Program, x: Value, widths: Sequence[int], value: float = 0.0) -> Value:
    return pad(b, x, widths, value=value)


# -------------------- shapes
@adapts("reshape", "view")
def reshape(b: Program, x: Value, *shape: Any) -> Value:
    return b.call("reshape", x, as_shape(shape))


@adapts("flatten")
def flatten(b: Program, x: Value, start_dim: int = 0, end_dim: int = -1) -> Value:
    if x.ndim == 0:
        return b.call("flatten", x)
    start, end = start_dim % x.ndim, end_dim % x.ndim
    if (start, end) == (0, x.ndim - 1):
        return b.call("flatten", x)
    merged = int(np.prod(x.shape[start : end + 1], dtype=np.int64))
    return b.call("reshape", x, (*x.shape[:start], merged, *x.shape[end + 1 :]))


@adapts("ravel")
def ravel(b: Program, x: Value) -> Value:
    return b.call("flatten", x)


@adapts("permute")
def permute(b: Program, x: Value, *axes: Any) -> Value:
    return b.call("permute", x, as_shape(axes))


def _named_transpose(b: Program, x: Value, axes: Shape) -> Value:
    """The prior art's fixed transposes, where the permutation is one of them."""
    axes = tuple(a % x.ndim for a in axes)
    named = {
        (1, 2, 0): "transpose3d_first_to_last",
        (2, 0, 1): "transpose3d_last_to_first",
        (0, 2, 1): "transpose3d_last_two",
        (1, 0): "transpose2d",
    }
    if axes in named:
        return b.call(named[axes], x)
    moved = [i for i, a in enumerate(axes) if i != a]
    if len(moved) == 2 and moved[1] == moved[0] + 1:
        return b.call("swap_adjacent_at_depth", x, moved[0])
    raise NotApplicable("not one of the named transposes")


@adapts("permute")
def named_permute(b: Program, x: Value, *axes: Any) -> Value:
    return _named_transpose(b, x, as_shape(axes))


def _swapped(x: Value, d0: int, d1: int) -> Shape:
    axes = list(range(x.ndim))
    if x.ndim:
        axes[d0], axes[d1] = axes[d1], axes[d0]
    return tuple(axes)


@adapts("transpose")
def transpose(b: Program, x: Value, dim0: int, dim1: int) -> Value:
    return b.call("permute", x, _swapped(x, dim0, dim1))


@adapts("transpose")
def named_transpose(b: Program, x: Value, dim0: int, dim1: int) -> Value:
    return _named_transpose(b, x, _swapped(x, dim0, dim1))


@adapts("t")
def t(b: Program, x: Value) -> Value:
    if x.ndim > 2:
        return b.call("transpose2d", x)
    return b.call("permute", x, tuple(range(x.ndim))[::-1])


@adapts("mT")
def swap_last_two(b: Program, x: Value) -> Value:
    return b.call("swap_adjacent_at_depth", x, x.ndim - 2)


@adapts("movedim")
def movedim(b: Program, x: Value, source: Any, destination: Any) -> Value:
    src = (source,) if isinstance(source, int) else tuple(source)
    dst = (destination,) if isinstance(destination, int) else tuple(destination)
    if len(src) != len(dst) or any(not -x.ndim <= d < x.ndim for d in src + dst):
        raise NotApplicable("movedim with dims that do not pair up, an error of its own argument form")
    src, dst = tuple(s % x.ndim for s in src), tuple(d % x.ndim for d in dst)
    if len(set(src)) < len(src) or len(set(dst)) < len(dst):
        raise NotApplicable("movedim with repeated dims, an error of its own argument form")
    placed = dict(zip(dst, src, strict=True))
    rest = iter(a for a in range(x.ndim) if a not in src)
    return b.call("permute", x, tuple(placed[i] if i in placed else next(rest) for i in range(x.ndim)))


@adapts("broadcast_to")
def broadcast_to(b: Program, x: Value, shape: Sequence[int]) -> Value:
    return b.call("broadcast_to", x, tuple(shape))


@adapts("expand")
def expand(b: Program, x: Value, *shape: Any) -> Value:
    """-1 keeps the dimension, as PyTorch documents; written out because it is `expand`'s own notation."""
    target = list(as_shape(shape))
    for i in range(1, x.ndim + 1):
        if target[-i] == -1:
            target[-i] = x.shape[-i]
    return b.call("broadcast_to", x, tuple(target))

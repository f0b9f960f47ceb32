"""Indexing. PyTorch indexes along any axis with tensors; ours gathers scalars, vectors and rows, so shapes
are moved around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..program import NotApplicable, Program, Value
from ..registry import adapts

Index = npt.NDArray[np.int64]


def _no_out(out: object) -> None:
    if out is not None:
        raise NotApplicable("writing into an out= tensor")


def _by_literal(b: Program, x: Value, index: Index, rows: bool) -> Value:
    return b.call("gather_rows_nat" if rows else "gather_vec_nat", x, [int(i) for i in index])


def _by_reference(b: Program, x: Value, index: Index, rows: bool) -> Value:
    return b.call("gather_rows_ref" if rows else "gather_vec_ref", x, b.nat_vec(index))


Gatherer = Callable[[Program, Value, Index, bool], Value]


def _flat_gather(b: Program, x: Value, flat: Index, gather: Gatherer) -> Value:
    """Entries of `x` by row-major position; the result has the index's shape."""
    vector = b.reshape(x, (x.size,))
    return b.reshape(gather(b, vector, flat.ravel(), False), flat.shape)


def _index_select(b: Program, x: Value, dim: int, index: Index, gather: Gatherer) -> Value:
    if x.ndim < 2:
        y = gather(b, b.reshape(x, (x.size,)), index.ravel(), False)
        return y if x.ndim else b.call("reshape", y, ())
    front, back = b.move_axis_first(x, dim % x.ndim)
    rest = front.shape[1:]
    rows = gather(b, b.reshape(front, (front.shape[0], int(np.prod(rows_shape(rest))))), index, True)
    rows = Value(rows.id, (index.size, int(np.prod(rows_shape(rest)))))
    return b.permute(b.reshape(rows, (index.size, *rest)), back)


def rows_shape(rest: tuple[int, ...]) -> npt.NDArray[np.int64]:
    return np.array(rest, dtype=np.int64)


@adapts("index_select")
def index_select(b: Program, x: Value, dim: int, index: Index, out: Any = None) -> Value:
    _no_out(out)
    return _index_select(b, x, dim, index, _by_literal)


@adapts("index_select")
def index_select_by_reference(b: Program, x: Value, dim: int, index: Index) -> Value:
    return _index_select(b, x, dim, index, _by_reference)


@adapts("nn.functional.embedding")
def embedding(b: Program, weight: Value, index: Index, **options: Any) -> Value:
    return _embedding(b, weight, index, _by_literal, options)


@adapts("nn.functional.embedding")
def embedding_by_reference(b: Program, weight: Value, index: Index, **options: Any) -> Value:
    return _embedding(b, weight, index, _by_reference, options)


def _embedding(b: Program, weight: Value, index: Index, gather: Gatherer, options: dict[str, Any]) -> Value:
    if any(v not in (None, False) for v in options.values()):
        raise NotApplicable("embedding with padding_idx, max_norm, scale_grad_by_freq or sparse")
    if weight.ndim != 2:
        return gather(b, weight, index.ravel(), True)
    rows = gather(b, weight, index.ravel(), True)
    rows = Value(rows.id, (index.size, weight.shape[1]))
    return b.reshape(rows, (*index.shape, weight.shape[1]))


def _torch_gather(b: Program, x: Value, dim: int, index: Index, gather: Gatherer) -> Value:
    shape = x.shape or (1,)
    at = index if index.ndim else index.reshape(1)
    if at.size == 0:
        return b.reshape(_flat_gather(b, x, at.astype(np.int64), gather), index.shape)
    if (
        at.ndim != len(shape)
        or np.any((at < 0) | (at >= shape[dim]))
        or any(n > m for a, (n, m) in enumerate(zip(at.shape, shape, strict=True)) if a != dim % len(shape))
    ):
        raise NotApplicable("an index tensor that PyTorch checks against the input's shape and values")
    grid: list[Index] = list(np.indices(at.shape))
    grid[dim] = at
    flat: Index = np.asarray(np.ravel_multi_index(tuple(grid), shape), dtype=np.int64)
    return b.reshape(_flat_gather(b, x, flat, gather), index.shape)


@adapts("gather")
def gather_entries(b: Program, x: Value, dim: int, index: Index, out: Any = None) -> Value:
    _no_out(out)
    return _torch_gather(b, x, dim, index, _by_literal)


@adapts("gather")
def gather_by_reference(b: Program, x: Value, dim: int, index: Index) -> Value:
    return _torch_gather(b, x, dim, index, _by_reference)


@adapts("take")
def take(b: Program, x: Value, index: Index, out: Any = None) -> Value:
    _no_out(out)
    return _flat_gather(b, x, np.where(index < 0, index + x.size, index), _by_literal)


@adapts("take")
def take_by_reference(b: Program, x: Value, index: Index) -> Value:
    return _flat_gather(b, x, np.where(index < 0, index + x.size, index), _by_reference)


# -------------------- one position
def _position(x: Value, dim: int, index: int) -> int:
    return index + x.shape[dim] if index < 0 else index


@adapts("select")
def select(b: Program, x: Value, dim: int, index: int) -> Value:
    row = b.call("slice", x, axis=dim, start=_position(x, dim, index), length=1)
    return b.call("reshape", row, tuple(n for a, n in enumerate(x.shape) if a != dim % x.ndim))


def _select_with(b: Program, x: Value, dim: int, at: object, row_op: str, scalar_op: str) -> Value:
    if x.ndim == 1:
        return b.call(scalar_op, x, at)
    if x.ndim != 2:
        raise NotApplicable("not a matrix or a vector")
    front, _ = b.move_axis_first(x, dim % 2)
    return b.call(row_op, front, at)


@adapts("select")
def select_static(b: Program, x: Value, dim: int, index: int) -> Value:
    return _select_with(b, x, dim, _position(x, dim, index), "gather_row", "gather_scalar")


@adapts("select")
def select_by_reference(b: Program, x: Value, dim: int, index: int) -> Value:
    return _select_with(b, x, dim, b.nat(_position(x, dim, index)), "gather_row_ref", "gather_scalar_ref")


@adapts("select")
def select_literal(b: Program, x: Value, dim: int, index: int) -> Value:
    if x.ndim != 1:
        raise NotApplicable("not a vector")
    return b.call("gather_scalar_nat", x, _position(x, dim, index))


# -------------------- scatter
@adapts("index_add")
def index_add(b: Program, x: Value, dim: int, index: Index, source: Value, alpha: float = 1) -> Value:
    """One `scatter_add` per index, in order; `alpha` scales the source."""
    if x.ndim > 2:
        raise NotApplicable("index_add on a tensor of rank above 2")
    if x.ndim == 2 and source.ndim != 2:
        raise NotApplicable("an index tensor that PyTorch checks against the input's shape and values")
    if alpha != 1:
        source = b.call("scale", source, float(alpha), shape=source.shape)
    if x.ndim == 2:
        y, back = b.move_axis_first(x, dim % 2)
        rows, _ = b.move_axis_first(source, dim % 2)
        shape = y.shape
        for j, i in enumerate(index):
            y = b.call("scatter_add_row", y, b.call("gather_row", rows, j), int(i), shape=shape)
        return b.permute(y, back)
    y, entries = b.reshape(x, (x.size,)), b.reshape(source, (source.size,))
    for j, i in enumerate(index.ravel()):
        y = b.call("scatter_add_vec", y, b.call("gather_scalar", entries, j), int(i), shape=(x.size,))
    return b.reshape(y, x.shape)


@adapts("scatter_add")
def scatter_add(b: Program, x: Value, dim: int, index: Index, src: Value) -> Value:
    """Entry by entry on the flattened tensors."""
    shape, source_shape = x.shape or (1,), src.shape or (1,)
    at = index if index.ndim else index.reshape(1)
    if at.ndim != len(shape) or at.ndim != len(source_shape) or np.any((at < 0) | (at >= shape[dim])):
        raise NotApplicable("an index tensor that PyTorch checks against the input's shape and values")
    y, entries = b.reshape(x, (x.size,)), b.reshape(src, (src.size,))
    for position in np.ndindex(at.shape):
        target = list(position)
        target[dim] = int(at[position])
        j = int(np.ravel_multi_index(position, source_shape))
        i = int(np.ravel_multi_index(tuple(target), shape))
        y = b.call("scatter_add_vec", y, b.call("gather_scalar", entries, j), i, shape=(x.size,))
    return b.reshape(y, x.shape)

"""`x[...]` on handles: integers, slices, None, Ellipsis, and index vectors on the first axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prooftape.errors import IndexRangeError, OperandError
from prooftape.handles import NatRef, NatVecRef

if TYPE_CHECKING:
    from prooftape.handle_methods import TensorRef
    from prooftape.session import Session


def getitem(s: Session, x: TensorRef, index: object) -> TensorRef:
    """Record `x[index]`. Static indices are checked; a NatRef or NatVecRef is read at evaluation (total)."""
    if isinstance(index, NatRef):
        return s.gather_scalar_ref(x, index) if x.ndim == 1 else s.gather_row_ref(x, index)
    if isinstance(index, NatVecRef):
        return s.gather_vec_ref(x, index) if x.ndim == 1 else s.gather_rows_ref(x, index)
    if isinstance(index, (list, np.ndarray)):
        return _rows(s, x, np.asarray(index))
    items = list(index) if isinstance(index, tuple) else [index]
    dots = sum(1 for i in items if i is Ellipsis)
    if dots > 1:
        raise OperandError("x[...]: more than one Ellipsis")
    taken = sum(1 for i in items if i is not None and i is not Ellipsis)
    if taken > x.ndim:
        raise IndexRangeError(f"x[...]: {taken} indices for a tensor of rank {x.ndim}")
    if not dots:
        items.append(Ellipsis)
    at = next(k for k, i in enumerate(items) if i is Ellipsis)
    items[at : at + 1] = [slice(None)] * (x.ndim - taken)
    shape: list[int] = []
    axis = 0
    for item in items:
        if item is None:
            shape.append(1)
            continue
        n = x.shape[axis]
        if isinstance(item, slice):
            start, length = _range(item, n)
            if (start, length) != (0, n):
                x = s.slice(x, axis, start, length)
            shape.append(length)
        elif isinstance(item, (int, np.integer)) and not isinstance(item, bool):
            if not -n <= item < n:
                raise IndexRangeError(f"x[...]: index {item} out of range for axis {axis} of length {n}")
            x = s.slice(x, axis, int(item) % n, 1)
        else:
            raise OperandError(
                f"x[...]: cannot index with {type(item).__name__} {item!r}; use integers, slices (step 1), "
                "None, Ellipsis, a list of integers, a NatRef or a NatVecRef"
            )
        axis += 1
    return x if x.shape == tuple(shape) else s.reshape(x, shape)


def _range(item: slice, n: int) -> tuple[int, int]:
    start, stop, step = item.indices(n)
    if step != 1:
        raise OperandError(f"x[...]: slices have step 1, got {item}; use concat or a list of indices")
    return start, max(0, stop - start)


def _rows(s: Session, x: TensorRef, index: np.ndarray) -> TensorRef:
    if index.ndim != 1 or (index.size and index.dtype.kind not in "iu"):
        raise OperandError(
            f"x[list]: expected a vector of integers, got {index.dtype} of shape {index.shape}"
        )
    if x.ndim == 0:
        raise IndexRangeError("x[list]: a tensor of rank 0 has no rows")
    n = x.shape[0]
    for i in index.tolist():
        if not -n <= i < n:
            raise IndexRangeError(f"x[list]: index {i} out of range for axis 0 of length {n}")
    rows = [int(i) % n for i in index.tolist()]
    return s.gather_vec_nat(x, rows) if x.ndim == 1 else s.gather_rows_nat(x, rows)

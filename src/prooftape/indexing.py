"""`x[...]` on handles: integers, slices, None, Ellipsis, and index vectors on the first axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prooftape.errors import IndexRangeError, OperandError, ValueTypeError, found
from prooftape.handles import NatRef, NatVecRef
from prooftape.scalars import as_array

if TYPE_CHECKING:
    from prooftape.handle_methods import TensorRef
    from prooftape.session import Session

_ACCEPTED = (
    "use integers, slices of step 1, None and Ellipsis, or a single list of integers, NatRef or NatVecRef"
)


def getitem(s: Session, x: TensorRef, index: object) -> TensorRef:
    """Record `x[index]`. Static indices are checked; a NatRef or NatVecRef is read at evaluation (total)."""
    if isinstance(index, NatRef):
        return s.gather_scalar_ref(x, index) if x.ndim == 1 else s.gather_row_ref(x, index)
    if isinstance(index, NatVecRef):
        return s.gather_vec_ref(x, index) if x.ndim == 1 else s.gather_rows_ref(x, index)
    if isinstance(index, list) or (isinstance(index, np.ndarray) and index.ndim):
        return _rows(s, x, index)
    source, axis = x, 0
    shape: list[int] = []
    for item in _per_axis(x, index):
        if item is None:
            shape.append(1)
            continue
        n = x.shape[axis]
        if isinstance(item, slice):
            start, length = _range(source, item, n)
            if (start, length) != (0, n):
                x = s.slice(x, axis, start, length)
            shape.append(length)
        else:
            i = _integer(source, item)
            if not -n <= i < n:
                what = _what(source)
                raise IndexRangeError(f"{what}: index {i} is out of range for axis {axis} of length {n}")
            x = s.slice(x, axis, i % n, 1)
        axis += 1
    return x if x.shape == tuple(shape) else s.reshape(x, shape)


def is_all(x: TensorRef, index: object) -> bool:
    """Whether `x[index]` is x itself, for slices and Ellipsis only; an index that is wrong is not."""
    items = index if isinstance(index, tuple) else (index,)
    if not all(isinstance(i, slice) or i is Ellipsis for i in items):
        return False
    axes = x.type.shape
    dots = [k for k, i in enumerate(items) if i is Ellipsis]
    if len(items) - len(dots) > len(axes) or len(dots) > 1:
        return False
    if dots:
        at = dots[0]
        items = items[:at] + items[at + 1 :]
        axes = axes[:at] + axes[len(axes) - (len(items) - at) :]
    for item, n in zip(items, axes, strict=False):
        assert isinstance(item, slice)
        for end, whole in ((item.start, 0), (item.stop, n), (item.step, 1)):
            if end is not None and (end.__class__ is not int or end != whole):
                return False
    return True


def _what(x: TensorRef) -> str:
    return f"indexing {x._shown()}"


def _per_axis(x: TensorRef, index: object) -> list[object]:
    """The index items with Ellipsis (or its absence at the end) written out: one per axis, and the Nones."""
    items = list(index) if isinstance(index, tuple) else [index]
    dots = [k for k, i in enumerate(items) if i is Ellipsis]
    if len(dots) > 1:
        raise OperandError(f"{_what(x)}: more than one Ellipsis")
    taken = sum(1 for i in items if i is not None and i is not Ellipsis)
    if taken > x.ndim:
        raise IndexRangeError(f"{_what(x)}: got more indices, {taken}, than it has axes, {x.ndim}")
    at = dots[0] if dots else len(items)
    items[at : at + 1] = [slice(None)] * (x.ndim - taken)
    return items


def _integer(x: TensorRef, item: object) -> int:
    if isinstance(item, np.ndarray) and item.ndim == 0 and item.dtype.kind in "iu":
        return int(item)
    if isinstance(item, (int, np.integer)) and not isinstance(item, bool):
        return int(item)
    raise OperandError(f"{_what(x)}: cannot index with {found(item)}; {_ACCEPTED}")


def _range(x: TensorRef, item: slice, n: int) -> tuple[int, int]:
    try:
        start, stop, step = item.indices(n)
    except (TypeError, ValueError):
        raise OperandError(f"{_what(x)}: a slice takes integers or None, and step 1, got {item}") from None
    if step != 1:
        raise OperandError(
            f"{_what(x)}: a slice takes step 1, got {item}; the first axis takes a list of indices"
        )
    return start, max(0, stop - start)


def _rows(s: Session, x: TensorRef, index: object) -> TensorRef:
    try:
        a = as_array(index, _what(x))
    except ValueTypeError as e:
        raise OperandError(str(e)) from None
    if a.dtype.kind == "b":
        raise OperandError(
            f"{_what(x)}: a mask picks a number of rows that is not known while recording; "
            "use where(mask, x, zeros), or a list of integers"
        )
    if a.ndim != 1 or (a.size and a.dtype.kind not in "iu"):
        raise OperandError(f"{_what(x)}: expected a vector of integers, got {a.dtype} of shape {a.shape}")
    if x.ndim == 0:
        raise IndexRangeError(f"{_what(x)}: it has rank 0 and no rows")
    n, rows = x.shape[0], [int(i) for i in a.tolist()]
    for i in rows:
        if not -n <= i < n:
            raise IndexRangeError(f"{_what(x)}: index {i} is out of range for axis 0 of length {n}")
    rows = [i % n for i in rows]
    return s.gather_vec_nat(x, rows) if x.ndim == 1 else s.gather_rows_nat(x, rows)

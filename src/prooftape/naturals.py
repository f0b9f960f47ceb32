"""Natural numbers from users: what may become an index or a label, checked with a located message."""

from __future__ import annotations

from typing import Any, Final, TypeGuard

import numpy as np
from numpy.typing import NDArray

from prooftape.errors import ShapeError, ValueTypeError, found

MAX_NAT: Final = 2**62  # leaves room to add offsets in 64 bits


def natural(value: object, what: str) -> int:
    """`value` as a natural number below 2^62; `what` names it in errors."""
    n: object = value.item() if isinstance(value, np.generic) else value
    if not _is_natural(n):
        raise _refusal(what, n, "")
    return n


def naturals(values: object, what: str) -> NDArray[np.int64]:
    """A fresh vector of naturals below 2^62; `what` names it in errors."""
    if values.__class__ is np.ndarray and values.dtype == np.int64 and values.ndim == 1 and values.size:
        given: NDArray[np.int64] = values
        if np.maximum.reduce(given.view(np.uint64)) < MAX_NAT:  # a negative number is a huge one there
            return given.copy()
    try:
        a: NDArray[Any] = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as e:
        problem = "the rows differ in length" if "inhomogeneous" in str(e) else str(e)
        raise ValueTypeError(f"{what}: not a vector of naturals: {problem}") from None
    if a.ndim == 0:
        one = "; input_nat takes a single one" if _is_natural(a.item()) else ""
        raise ShapeError(f"{what}: expected a vector of naturals, got {found(values)}{one}")
    if a.ndim != 1:
        hint = "; from one-hot rows: rows.argmax(axis=1)" if a.ndim == 2 else ""
        raise ShapeError(f"{what}: expected a vector of naturals, got shape {a.shape}{hint}")
    if a.size == 0:
        return np.zeros(0, np.int64)
    listed = isinstance(values, (list, tuple))  # NumPy makes an integer of a True among integers
    if listed or a.dtype.kind not in "iu" or _beyond(a):
        for i, v in enumerate(values if isinstance(values, (list, tuple)) else a.tolist()):
            n = v.item() if isinstance(v, np.generic) else v
            if not _is_natural(n):
                raise _refusal(what, n, f" at position {i}")
    return a.astype(np.int64)


def _beyond(a: NDArray[Any]) -> bool:
    """Whether an entry is negative or too large: one comparison, as a negative int64 is a huge uint64."""
    unsigned = a.view(np.uint64) if a.dtype == np.int64 else a
    return bool(np.maximum.reduce(unsigned) >= MAX_NAT or (unsigned is a and np.minimum.reduce(a) < 0))


def _is_natural(n: object) -> TypeGuard[int]:
    return isinstance(n, int) and not isinstance(n, bool) and 0 <= n < MAX_NAT


def _refusal(what: str, n: object, where: str) -> ValueTypeError:
    if isinstance(n, int) and not isinstance(n, bool):
        return ValueTypeError(f"{what}: expected a natural number 0 <= n < 2^62, got {n}{where}")
    hint = "; cast it first, e.g. int(n) or labels.astype(int)" if isinstance(n, float) else ""
    return ValueTypeError(f"{what}: expected a natural number, got {found(n)}{where}{hint}")

"""Natural numbers from users: what may become an index or a label, checked with a located message."""

from __future__ import annotations

from typing import Any, Final, TypeGuard

import numpy as np
from numpy.typing import NDArray

from prooftape.errors import ShapeError, ValueTypeError, found

MAX_NAT: Final = 2**62  # leaves room to add offsets in 64 bits
INT64: Final = np.dtype(np.int64)
INT32: Final = np.dtype(np.int32)
_FEW: Final = 256
"""Up to so many, Python's own loops are quicker than to start one of NumPy's."""


def natural(value: object, what: str) -> int:
    """`value` as a natural number below 2^62; `what` names it in errors."""
    n: object = value.item() if isinstance(value, np.generic) else value
    if not _is_natural(n):
        raise _refusal(what, n, "")
    return n


def naturals(values: object, what: str) -> NDArray[np.int64]:
    """A fresh vector of naturals below 2^62; `what` names it in errors."""
    return counted(values, what)[0]


def counted(values: object, what: str, format: Any = INT64) -> tuple[NDArray[Any], int]:
    """The same with the largest of them, -1 for none; in another format where that one holds it."""
    if values.__class__ is np.ndarray:
        given: Any = values
        unsigned, end = _UNSIGNED.get(given.dtype, _NONE)
        if end and given.ndim == 1 and given.size:
            if given.size <= _FEW:
                entries = given.tolist()
                top = max(entries) if min(entries) >= 0 else end
            else:
                top = int(np.maximum.reduce(given.view(unsigned)))
            if top < end:
                return given.astype(format if top <= _LARGEST[format] else INT64), top
    found = _checked(values, what)
    top = int(found.max()) if found.size else -1
    return (found.astype(format) if top <= _LARGEST[format] else found), top


_LARGEST: Final[dict[Any, int]] = {INT64: 2**63 - 1, INT32: 2**31 - 1}
# a negative number is a huge one when its bits are read as an unsigned number: one comparison for both ends
_UNSIGNED: Final[dict[Any, tuple[Any, int]]] = {
    INT64: (np.uint64, MAX_NAT),
    INT32: (np.uint32, 2**31),
    np.dtype(np.uint8): (np.uint8, 2**8),
}
_NONE: Final = (None, 0)


def _checked(values: object, what: str) -> NDArray[np.int64]:
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
    """Whether an entry is negative or too large."""
    return bool(a.max() >= MAX_NAT or (a.dtype.kind == "i" and a.min() < 0))


def _is_natural(n: object) -> TypeGuard[int]:
    return isinstance(n, int) and not isinstance(n, bool) and 0 <= n < MAX_NAT


def _refusal(what: str, n: object, where: str) -> ValueTypeError:
    if isinstance(n, int) and not isinstance(n, bool):
        return ValueTypeError(f"{what}: expected a natural number 0 <= n < 2^62, got {n}{where}")
    hint = "; cast it first, e.g. int(n) or labels.astype(int)" if isinstance(n, float) else ""
    return ValueTypeError(f"{what}: expected a natural number, got {found(n)}{where}{hint}")

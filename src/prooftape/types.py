"""Shapes and tensor types: what the graph knows about a value before any number exists.

Invariant: types are interned, so two equal types are the same object and comparing is `is`.
This module knows nothing of scalars: a type says `real` or `bool`; the session's scalar decides
what a real is (float32, an exact rational, a prime field element, …).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar, Final

Shape = tuple[int, ...]

REAL: Final = "real"
BOOL: Final = "bool"


class TensorType:
    """An interned (shape, dtype) pair; dtype is `"real"` or `"bool"`. Build with `TensorType.of`."""

    __slots__ = ("dtype", "shape", "size")
    _interned: ClassVar[dict[tuple[Shape, str], TensorType]] = {}

    shape: Shape
    dtype: str
    size: int

    @classmethod
    def of(cls, shape: Iterable[int], dtype: str = REAL) -> TensorType:
        """The type with this shape (outermost dimension first) and dtype."""
        key = (tuple(shape), dtype)
        found = cls._interned.get(key)
        if found is None:
            if dtype not in (REAL, BOOL):
                raise ValueError(f"dtype must be 'real' or 'bool', got {dtype!r}")
            if not all(type(d) is int and d >= 0 for d in key[0]):
                raise ValueError(f"a shape is a tuple of integers >= 0, got {key[0]!r}")
            found = object.__new__(cls)
            object.__setattr__(found, "shape", key[0])
            object.__setattr__(found, "dtype", dtype)
            object.__setattr__(found, "size", math.prod(key[0]))
            found = cls._interned.setdefault(key, found)
        return found

    def __init__(self) -> None:
        raise TypeError("use TensorType.of(shape, dtype)")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"TensorType is immutable, cannot set {name!r}")

    def __reduce__(self) -> tuple[object, ...]:
        return (TensorType.of, (self.shape, self.dtype))

    def __copy__(self) -> TensorType:
        return self

    def __deepcopy__(self, memo: object) -> TensorType:
        return self

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"

    def __repr__(self) -> str:
        return f"TensorType({self})"


def normalize_axis(axis: int, ndim: int) -> int | None:
    """A Python axis (negative counts from the end) as 0 <= axis < ndim, or None when out of range."""
    if -ndim <= axis < ndim:
        return axis % ndim if ndim else None
    return None


def broadcast_shape(a: Shape, b: Shape) -> Shape | None:
    """NumPy's broadcast of two shapes (trailing axes aligned), or None when they do not fit."""
    long, short = (a, b) if len(a) >= len(b) else (b, a)
    out = list(long)
    offset = len(long) - len(short)
    for i, d in enumerate(short):
        e = out[offset + i]
        if e == d or d == 1:
            continue
        if e != 1:
            return None
        out[offset + i] = d
    return tuple(out)

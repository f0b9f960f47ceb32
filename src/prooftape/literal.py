"""Literal arrays inside a graph (the value of a `const` node, a constant mask), hashable and immutable.

A literal keeps the exact numbers it was given, row-major: floats as floats, rationals as Fractions, masks as
bools. Equality and hash are by content, so two graphs with equal constants are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from prooftape.numbers import as_fraction, as_number, format_number, parse_number
from prooftape.types import BOOL, REAL, Shape, TensorType


class Literal:
    """An immutable array of exact numbers or bools. `array` is read-only; treat it as data."""

    __slots__ = ("_hash", "array", "type")
    array: NDArray[np.generic]
    type: TensorType

    def __init__(self, array: NDArray[np.generic], *, copy: bool = True) -> None:
        # C order always (so that equal literals have equal bytes); ascontiguousarray would lift rank 0 to 1
        a = np.array(array, order="C", copy=True) if copy else array
        if a.dtype.name == "bfloat16":
            a = a.astype(np.float32)  # exact
        if a.dtype.kind not in "bfiuO":
            raise TypeError(f"a literal holds real numbers or bools, got dtype {a.dtype}")
        if a.dtype.kind in "iu":
            a = a.astype(np.float64) if _fits_float(a) else a.astype(object)
        if a.dtype.kind == "f" and a.dtype.itemsize > 8:
            raise TypeError(f"a literal holds floats of at most 64 bits, got dtype {a.dtype}")
        if a.dtype.kind == "O":
            a = exact_array(a)
        a.flags.writeable = False
        self.array = a
        self.type = TensorType.of(a.shape, BOOL if a.dtype.kind == "b" else REAL)
        self._hash: int | None = None

    @property
    def shape(self) -> Shape:
        """Shape of the literal."""
        return self.type.shape

    def key(self) -> tuple[object, ...]:
        """Content as a hashable value: shape, kind and exact entries."""
        if self.array.dtype.kind == "O":
            return (self.shape, "exact", tuple(self.array.ravel().tolist()))
        if self.array.dtype.kind == "b":
            return (self.shape, "bool", self.array.tobytes())
        # float64 holds every smaller float exactly; the bytes tell -0.0 from 0.0, and all nans are made one
        a = self.array.astype(np.float64)
        a[np.isnan(a)] = np.nan
        return (self.shape, "float", a.tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and self.key() == other.key()

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(self.key())
        return self._hash

    def entries(self) -> list[str]:
        """The entries as text, row-major; `from_entries` reads them back."""
        if self.array.dtype.kind == "b":
            return ["true" if v else "false" for v in self.array.ravel().tolist()]
        if self.array.dtype.kind == "O":
            return [format_number(v) for v in self.array.ravel().tolist()]
        return [repr(v) for v in self.array.astype(np.float64).ravel().tolist()]

    @staticmethod
    def from_entries(entries: Sequence[str], shape: Shape, dtype: str) -> Literal:
        """Inverse of `entries`."""
        if dtype == BOOL:
            bad = [e for e in entries if e not in ("true", "false")]
            if bad:
                raise ValueError(f"a bool literal has entries true and false, got {bad[0]!r}")
            return Literal(np.array([e == "true" for e in entries], dtype=np.bool_).reshape(shape))
        numbers = np.empty(len(entries), dtype=object)
        numbers[:] = [parse_number(e) for e in entries]
        if any(isinstance(n, Fraction) for n in numbers):
            return Literal(numbers.reshape(shape))
        return Literal(np.array(numbers.tolist()).reshape(shape))

    def __reduce__(self) -> tuple[object, ...]:
        return (Literal, (self.array,))  # the stored hash means nothing in another process

    def __repr__(self) -> str:
        return f"Literal({self.type})"


def exact_array(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """The exact values as an object array of Fractions; raises TypeError, or ValueError for nan and inf.

    Without entries it is an array of floats: one form only, so that equal literals have equal keys.
    """
    out = np.empty(values.size, dtype=object)
    out[:] = [as_fraction(as_number(v)) for v in values.ravel().tolist()]
    return (out if out.size else out.astype(np.float64)).reshape(values.shape)


def _fits_float(a: NDArray[np.generic]) -> bool:
    return all(int(float(v)) == v for v in a.ravel().tolist())

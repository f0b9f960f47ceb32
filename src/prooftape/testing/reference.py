"""Floating point in the order of the definitions: Python floats on object arrays, sums from left to right.

The kernels users run leave the order of a sum to NumPy and BLAS, which also fuse multiplications with
additions. Here each entry is what the theory's definitions give in IEEE binary64 (round to nearest even, one
rounding per operation, sums from the left starting at 0), so Rocq's primitive floats can be compared with it
bit for bit, and it with the fast kernels by counting the floats in between. Slow; for comparing only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache

import numpy as np

from prooftape.arrays.exact import ExactArrays, boxed
from prooftape.arrays.structure import Arr
from prooftape.numbers import Number
from prooftape.scalars import Scalar
from prooftape.types import Shape


def total(values: Iterable[float]) -> float:
    """The sum from left to right. (Python's own `sum` compensates the rounding errors of floats.)"""
    s = 0.0
    for v in values:
        s = s + v
    return s


class ReferenceFloats(ExactArrays):
    """Python floats. Division by zero and every function but sqrt have no value here: they raise."""

    def sum(self, x: Arr, axes: Shape) -> Arr:
        if not axes:
            return x
        kept = tuple(i for i in range(x.ndim) if i not in axes)
        rows = x.transpose((*kept, *axes))
        out = np.empty(rows.shape[: len(kept)], dtype=object)
        for cell in np.ndindex(out.shape):
            out[cell] = total(rows[cell].ravel().tolist())
        return out

    def matmul(self, a: Arr, b: Arr) -> Arr:
        out = np.empty((*a.shape[:-1], b.shape[-1]), dtype=object)
        for *lead, i, j in np.ndindex(out.shape):
            row, column = a[(*lead, i)].tolist(), b[(*lead, slice(None), j)].tolist()
            out[(*lead, i, j)] = total(p * q for p, q in zip(row, column, strict=True))
        return out

    def pow(self, x: Arr, c: Number) -> Arr:
        if c != int(c) or c < 0:
            raise self._no_value(f"x ** {c}")
        result = self.full(x.shape, 1)
        for _ in range(int(c)):
            result = self.mul(x, result)
        return result

    def sqrt(self, x: Arr) -> Arr:
        out = np.empty(x.size, dtype=object)
        out[:] = [math.sqrt(v) if v >= 0 else math.nan for v in x.ravel().tolist()]
        return boxed(out.reshape(x.shape))


@cache
def reference_floats() -> Scalar:
    """IEEE binary64 in the order of the definitions, as a session scalar."""
    xp = ReferenceFloats("the reference floats", float)
    return Scalar("reference floats", xp, lambda a: a.astype(np.float64))

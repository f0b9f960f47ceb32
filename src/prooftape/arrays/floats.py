"""The vocabulary in floating point, on NumPy arrays of float32 or float64 (the default engine's kernels).

Callers run it under `np.errstate(all="ignore")`: IEEE results (inf, nan) are values here, not warnings.
Reductions are NumPy's (pairwise along the contiguous axis); matmul is BLAS. `LowPrecision` stores bfloat16
or float16 values in float32 arrays, computes each rule in float32 and rounds each stored result once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from prooftape import kernels
from prooftape.arrays.buffers import Buffers, keep_freed_memory
from prooftape.arrays.scans import MANY_SHORT_ROWS, first_max_by_cell, has_nan, product_has_nan, same_layout
from prooftape.arrays.sliding import ConvolutionKernels, window_max, window_max_transposed
from prooftape.arrays.structure import Arr, StructuralArrays
from prooftape.attributes import attr_key
from prooftape.literal import Literal
from prooftape.numbers import Number
from prooftape.types import Shape
from prooftape.vocabulary import Index, Mask

SMALL = 16384
"""Largest constant that is an array with memory of its own (entries)."""
SHORT_ROW = 128
"""Rows up to this length gain nothing from pairwise sums: a product with ones is as accurate, and cheaper."""
MAX_CONSTANTS = 64
BRANCHY = 16384
"""From here on selecting by bits beats np.where, whose branch per entry is mispredicted on mixed masks."""


@lru_cache(maxsize=64)
def _row_numbers(n: int) -> Arr:
    return np.arange(n)


class FloatArrays(StructuralArrays):
    """IEEE binary floats of one dtype."""

    def __init__(self, dtype: DTypeLike) -> None:
        keep_freed_memory()
        self.dtype = np.dtype(dtype)
        self._number: Callable[[Number], Any] = self.dtype.type
        self._bits = np.dtype(f"i{self.dtype.itemsize}")
        self._constants: dict[tuple[Shape, object], Arr] = {}
        self._fused: dict[str, Callable[..., Arr | None]] = {
            **ConvolutionKernels(Buffers(), self._amatmul_into).by_name(),
            "window_max": window_max,
            "window_max_transposed": window_max_transposed,
        }

    def zeros(self, shape: Shape) -> Arr:
        return np.zeros(shape, self.dtype)

    def full(self, shape: Shape, value: Number) -> Arr:
        # rules ask for the same few constants at every step: keep the small ones
        key = (shape, value if value.__class__ is int else attr_key(value))
        found = self._constants.get(key)
        if found is None:
            found = np.full(shape if math.prod(shape) <= SMALL else (), self._rounded(value), self.dtype)
            found.flags.writeable = False
            if found.shape != shape:  # one number, seen everywhere: no memory to fill and to read
                found = np.ndarray(shape, self.dtype, found, 0, (0,) * len(shape))
            if len(self._constants) >= MAX_CONSTANTS:
                self._constants.clear()
            self._constants[key] = found
        return found

    def broadcast(self, x: Arr, shape: Shape, axes: Shape) -> Arr:
        # a view with zero strides, built directly: np.broadcast_to costs ten times as much
        if x.__class__ is not np.ndarray:
            x = np.asarray(x)  # NumPy returns scalars for rank 0
        if not x.flags.c_contiguous:
            return super().broadcast(x, shape, axes)
        strides = [0] * len(shape)
        for i, axis in enumerate(axes):
            if x.shape[i] == shape[axis]:
                strides[axis] = x.strides[i]
        out: Arr = np.ndarray(shape, x.dtype, x, 0, strides)
        return out

    def array(self, value: object) -> Arr:
        assert isinstance(value, Literal)
        a = value.array
        return a if a.dtype.kind == "b" else a.astype(self.dtype)

    def add(self, a: Arr, b: Arr) -> Arr:
        return a + b

    def sub(self, a: Arr, b: Arr) -> Arr:
        return a - b

    def mul(self, a: Arr, b: Arr) -> Arr:
        return a * b

    def div(self, a: Arr, b: Arr) -> Arr:
        return a / b

    def neg(self, x: Arr) -> Arr:
        return -x

    def scale(self, x: Arr, c: Number) -> Arr:
        try:
            result: Arr = x * self._number(c)
        except OverflowError:
            result = x * self._rounded(c)
        return result

    def _rounded(self, c: Number) -> Any:
        """A number as the nearest float: beyond the finite range infinity, where Python raises."""
        try:
            return self._number(c)
        except OverflowError:
            return self._number(np.inf if c > 0 else -np.inf)

    def amul(self, g: Arr, d: Arr) -> Arr:
        out: Arr = g * d
        # a nan can only appear when an operand is not finite: look only then for zeros that absorb
        if has_nan(out):
            out = np.where((g == 0) & ~np.isfinite(d), self._number(0), out)
        return out

    def gate(self, mask: Arr, g: Arr, *, complement: bool = False) -> Arr:
        if g.size < 512 or not ((g.flags.c_contiguous and mask.flags.c_contiguous) or same_layout(mask, g)):
            zero = self.full(g.shape, 0)
            return np.where(mask, zero, g) if complement else np.where(mask, g, zero)
        # keep or clear all bits: twice as fast as np.where on masks without a pattern
        bits = mask.view(np.int8)
        keep = (np.subtract(bits, 1) if complement else np.negative(bits)).astype(self._bits)
        np.bitwise_and(keep, g.view(self._bits), out=keep)
        return keep.view(g.dtype)

    def where(self, mask: Arr, a: Arr, b: Arr) -> Arr:
        if mask.size < BRANCHY or not (self._plain(a, mask.shape) and self._plain(b, mask.shape)):
            return np.where(mask, a, b)
        # b ^ ((a ^ b) & m) on the bits
        ones: Arr = mask.view(np.int8).astype(self._bits)
        np.negative(ones, out=ones)
        bits = b.view(self._bits)
        out = np.bitwise_xor(a.view(self._bits), bits)
        np.bitwise_and(out, ones, out=out)
        np.bitwise_xor(out, bits, out=out)
        chosen: Arr = out.view(self.dtype)
        return chosen

    def _plain(self, x: Arr, shape: Shape) -> bool:
        return x.dtype == self.dtype and x.shape == shape

    def square(self, x: Arr) -> Arr:
        return x * x

    def reciprocal(self, x: Arr) -> Arr:
        result: Arr = self._number(1) / x
        return result

    def pow(self, x: Arr, c: Number) -> Arr:
        return kernels.power(x, c)

    def maximum(self, a: Arr, b: Arr) -> Arr:
        result: Arr = np.maximum(a, b)
        return result

    def minimum(self, a: Arr, b: Arr) -> Arr:
        result: Arr = np.minimum(a, b)
        return result

    def abs(self, x: Arr) -> Arr:
        result: Arr = np.abs(x)
        return result

    def sign(self, x: Arr) -> Arr:
        # np.sign(nan) is nan; ours is 0, so that abs has no gradient at nan, as in torch's masked kernels
        return np.subtract(x > 0, x < 0, dtype=self.dtype)

    def greater(self, a: Arr, b: Arr) -> Arr:
        result: Arr = np.greater(a, b)
        return result

    def greater_equal(self, a: Arr, b: Arr) -> Arr:
        result: Arr = np.greater_equal(a, b)
        return result

    def equal(self, a: Arr, b: Arr) -> Arr:
        result: Arr = np.equal(a, b)
        return result

    # exp, expm1, log1p, sqrt and tanh are NumPy's in both precisions (measured: see kernels)
    def exp(self, x: Arr) -> Arr:
        result: Arr = np.exp(x)
        return result

    def expm1(self, x: Arr) -> Arr:
        result: Arr = np.expm1(x)
        return result

    def log(self, x: Arr) -> Arr:
        if self.dtype == np.float64 or x.size > SMALL:
            return kernels.log(x)
        result: Arr = np.log(x.astype(np.float64)).astype(np.float32)  # what the kernel does, block by block
        return result

    def log1p(self, x: Arr) -> Arr:
        result: Arr = np.log1p(x)
        return result

    def sqrt(self, x: Arr) -> Arr:
        result: Arr = np.sqrt(x)
        return result

    def sin(self, x: Arr) -> Arr:
        return kernels.sin(x)

    def cos(self, x: Arr) -> Arr:
        return kernels.cos(x)

    def tanh(self, x: Arr) -> Arr:
        result: Arr = np.tanh(x)
        return result

    def sigmoid(self, x: Arr) -> Arr:
        return kernels.sigmoid(x)

    def softplus(self, x: Arr) -> Arr:
        return kernels.softplus(x)

    def erf(self, x: Arr) -> Arr:
        return kernels.erf(x)

    def gelu(self, x: Arr) -> Arr:
        return kernels.gelu(x)

    def silu(self, x: Arr) -> Arr:
        return kernels.silu(x)

    def tanh_prime(self, x: Arr) -> Arr:
        return kernels.tanh_prime(x)

    def sigmoid_prime(self, x: Arr) -> Arr:
        return kernels.sigmoid_prime(x)

    def erf_prime(self, x: Arr) -> Arr:
        return kernels.erf_prime(x)

    def gelu_prime(self, x: Arr) -> Arr:
        return kernels.gelu_prime(x)

    def silu_prime(self, x: Arr) -> Arr:
        return kernels.silu_prime(x)

    def normal_pdf(self, x: Arr) -> Arr:
        return kernels.normal_pdf(x)

    def pow_prime(self, x: Arr, c: Number) -> Arr:
        return kernels.power_prime(x, c)

    def scaled_exp(self, x: Arr, c: Number) -> Arr:
        return kernels.scaled_exp(x, float(c))

    def exp_difference(self, x: Arr, y: Arr) -> Arr:
        if self.dtype == np.float64:
            return super().exp_difference(x, y)
        # float64 holds the difference of two float32 to well below what exp can magnify
        result: Arr = np.exp(np.subtract(x, y, dtype=np.float64)).astype(self.dtype)
        return result

    def label_losses(self, x: Arr, labels: Index) -> Arr:
        spots = self._label_spots(x, labels)
        if spots is None:
            return super().label_losses(x, labels)
        z = x - np.maximum.reduce(x, axis=1, keepdims=True)
        result: Arr = self.log(self._row_sums(np.exp(z))) - z[spots]
        return result

    def label_slopes(self, x: Arr, labels: Index) -> Arr:
        spots = self._label_spots(x, labels)
        if spots is None:
            return super().label_slopes(x, labels)
        e = self.exp_difference(x, np.maximum.reduce(x, axis=1, keepdims=True))
        at_label = e[spots]
        e[spots] = 0
        others = self._row_sums(e)
        e[spots] = -others
        e /= (others + at_label)[:, None]
        return e

    def _row_sums(self, x: Arr) -> Arr:
        short = x.shape[1] <= SHORT_ROW
        result: Arr = x @ self.full(x.shape[1:], 1) if short else np.add.reduce(x, axis=1)
        return result

    def _label_spots(self, x: Arr, labels: Index) -> tuple[Arr, Arr] | None:
        """Row and column of each label, when every one names a class (nearly always)."""
        idx = np.asarray(labels)  # naturals: never negative
        if idx.size == 0 or np.maximum.reduce(idx) >= x.shape[1]:
            return None
        return _row_numbers(idx.size), idx

    def fused(self, name: str) -> Callable[..., Arr | None] | None:
        return self._fused.get(name)

    def add_into(self, total: Arr, part: Arr) -> Arr:
        # one layout, so that the sum lies in memory as a new one would: later reductions round in that order
        if total.ndim == 0 or total.strides != part.strides or total.dtype != part.dtype:
            return total + part  # rank 0: NumPy gives immutable numbers
        total += part
        return total

    def minus_scaled(self, p: Arr, g: Arr, c: Number, *, consume: bool = False) -> Arr:
        if g.ndim == 0 or g.dtype != p.dtype:
            return self.sub(p, self.scale(g, c))
        # one buffer less where nobody needs g any more: parameters are the largest arrays there are
        out: Arr = np.multiply(g, self._number(c), out=g if consume and g.flags.writeable else None)
        return np.subtract(p, out, out=out)

    def affine(self, x: Arr, w: Arr, b: Arr) -> Arr:
        if w.shape[0] <= x.shape[0]:
            out: Arr = x @ w.T
            out += b
            return out
        # OpenBLAS multiplies two row-major matrices faster with the taller one on the left (up to twice)
        out = np.empty((x.shape[0], w.shape[0]), self.dtype)
        np.add((w @ x.T).T, b, out=out)
        return out

    def matmul(self, a: Arr, b: Arr) -> Arr:
        return a @ b

    def _amatmul_into(self, a: Arr, b: Arr, linear: int, out: Arr) -> None:
        np.matmul(a, b, out=out)
        if product_has_nan(out):
            out[...] = self._absorbing_matmul(a, b, linear)

    def amatmul(self, a: Arr, b: Arr, linear: int) -> Arr:
        out: Arr = a @ b
        if product_has_nan(out):
            return self._absorbing_matmul(a, b, linear)
        return out

    def _absorbing_matmul(self, a: Arr, b: Arr, linear: int) -> Arr:
        """Rank-one updates, k ascending: rare (a non-finite operand), so plain rather than fast."""
        out = self.zeros((*a.shape[:-1], b.shape[-1]))
        for k in range(a.shape[-1]):
            col, row = np.broadcast_arrays(a[..., :, k, None], b[..., k, None, :])
            out += self.amul(col, row) if linear == 0 else self.amul(row, col)
        return out

    def first_max(self, x: Arr, valid: Mask | None) -> Arr:
        cells = x.shape[-1]
        if cells <= MANY_SHORT_ROWS[0] and x.size >= MANY_SHORT_ROWS[1] * cells:
            hits = first_max_by_cell(x, valid)
            if hits is not None:
                return hits
        candidates = x if valid is None else np.where(valid, x, self._number(-np.inf))
        best: NDArray[Any] = candidates.argmax(axis=-1)
        if valid is not None:
            # every candidate is -inf: argmax may name a cell that is none; take the first candidate instead
            ok = np.broadcast_to(valid, x.shape)
            chosen = np.take_along_axis(ok, best[..., None], -1)[..., 0]
            best = np.where(chosen, best, ok.argmax(axis=-1))
        result: Arr = best[..., None] == np.arange(cells)
        return result


class LowPrecision(FloatArrays):
    """bfloat16 or float16 values held in float32 arrays; every stored value is rounded once to the format."""

    def __init__(self, storage: DTypeLike) -> None:
        super().__init__(np.float32)
        self.storage = np.dtype(storage)

    def finish(self, x: Arr) -> Arr:
        if x.dtype.kind == "b":
            return x
        result: Arr = x.astype(self.storage).astype(np.float32)
        return result

    def array(self, value: object) -> Arr:
        return self.finish(super().array(value))

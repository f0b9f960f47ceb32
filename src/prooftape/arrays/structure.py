"""The structural half of the vocabulary on NumPy arrays of any element type.

Reshapes, permutations, windows, gathers and selections move entries and add them; they are the same for
floats and for object arrays of exact numbers. Element arithmetic is in the subclasses.
Values may be views of one another: nothing here, and no caller, ever writes into a value it was given.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from prooftape.numbers import Number
from prooftape.types import Shape
from prooftape.vocabulary import Index, Mask, Vocabulary

Arr = NDArray[Any]


class StructuralArrays(Vocabulary[Arr]):
    """Vocabulary members that only move or add entries, for NumPy arrays of any dtype."""

    @abstractmethod
    def zeros(self, shape: Shape) -> Arr:
        """A fresh, writable array of zeros."""

    def shape(self, x: Arr) -> Shape:
        return x.shape

    def mask(self, mask: Mask) -> Arr:
        return mask

    def index(self, values: Sequence[int]) -> Index:
        return np.asarray(values, dtype=np.int64)

    def stop_gradient(self, x: Arr) -> Arr:
        return x

    def where(self, mask: Arr, a: Arr, b: Arr) -> Arr:
        return np.where(mask, a, b)

    def reshape(self, x: Arr, shape: Shape) -> Arr:
        return x.reshape(shape)

    def permute(self, x: Arr, axes: Shape) -> Arr:
        return x.transpose(axes)

    def broadcast(self, x: Arr, shape: Shape, axes: Shape) -> Arr:
        inner = [1] * len(shape)
        for i, axis in enumerate(axes):
            inner[axis] = x.shape[i]
        return np.broadcast_to(x.reshape(inner), shape)

    def sum(self, x: Arr, axes: Shape) -> Arr:
        result: Arr = np.add.reduce(x, axis=axes)
        return result

    def max(self, x: Arr, axes: Shape) -> Arr:
        result: Arr = np.maximum.reduce(x, axis=axes)
        return result

    def concat(self, xs: Sequence[Arr], axis: int) -> Arr:
        return np.concatenate(xs, axis=axis)

    def slice(self, x: Arr, axis: int, start: int, length: int) -> Arr:
        cells: list[Any] = [slice(None)] * axis
        cells.append(slice(start, start + length))
        result: Arr = x[tuple(cells)]
        return result

    def pad(self, x: Arr, widths: Sequence[tuple[int, int]], value: Number = 0) -> Arr:
        shape = tuple(lo + d + hi for d, (lo, hi) in zip(x.shape, widths, strict=True))
        plain = value == 0 and not str(value).startswith("-")  # -0.0 is asked for on purpose
        out = self.zeros(shape) if plain else np.array(self.full(shape, value))
        # the Ellipsis: without it a rank-0 object array would be stored as an element, not copied
        cells: list[Any] = [slice(lo, lo + d) for d, (lo, _) in zip(x.shape, widths, strict=True)]
        out[(*cells, ...)] = x
        return out

    def take(self, x: Arr, index: Index) -> Arr:
        idx = np.asarray(index)
        n = x.shape[0]
        valid = (idx >= 0) & (idx < n)
        if valid.all():
            return np.take(x, idx, axis=0)
        out = self.zeros(idx.shape + x.shape[1:])
        out[valid] = x[idx[valid]]
        return out

    def put_add(self, rows: Arr, index: Index, n: int) -> Arr:
        idx = np.asarray(index)
        valid = (idx >= 0) & (idx < n)
        out = self.zeros((n, *rows.shape[1:]))
        np.add.at(out, idx[valid], rows[valid])
        return out

    def one_hot(self, index: Index, n: int) -> Arr:
        result: Arr = np.asarray(index)[:, None] == np.arange(n)
        return result

    def windows(self, x: Arr, kernel: Shape, stride: Shape) -> Arr:
        lead = x.ndim - len(kernel)
        sizes, steps = x.shape[lead:], x.strides[lead:]
        out = tuple((n - k) // s + 1 for n, k, s in zip(sizes, kernel, stride, strict=True))
        return as_strided(
            x,
            x.shape[:lead] + out + kernel,
            x.strides[:lead] + tuple(t * s for t, s in zip(steps, stride, strict=True)) + steps,
            writeable=False,
        )

    def fold_windows(self, w: Arr, size: Shape, stride: Shape) -> Arr:
        d = len(size)
        lead = w.ndim - 2 * d
        counts, kernel = w.shape[lead : lead + d], w.shape[lead + d :]
        out = self.zeros(w.shape[:lead] + size)
        for offset in itertools.product(*map(range, kernel)):
            spots = zip(offset, counts, stride, strict=True)
            cells: list[Any] = [slice(o, o + (c - 1) * s + 1, s) for o, c, s in spots]
            at: list[Any] = list(offset)
            out[(..., *cells)] += w[(..., *at)]
        return out

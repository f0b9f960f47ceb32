"""Convolution and max pooling on float arrays without gathering windows one by one.

Convolution with stride 1: lay the padded images of a channel end to end, (channels, batch * cells). What
kernel cell q sees of every window is then that one long row shifted by a constant, so the matrix of all
windows is a few long copies, and its transpose a few long sums. Windows that run over an edge come out as
well; the forward pass drops them, and in the transposes their cotangent is zero, which adds nothing (and
absorbs). Results lie in memory with channels outermost, which the next layer reads in long runs; shapes are
(batch, channels, size…).

Max pooling: entry by entry over the shifted images, one pass for each cell of the kernel.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from prooftape.arrays.buffers import Buffers
from prooftape.arrays.structure import Arr
from prooftape.types import Shape

WASTE = 1.5
"""Most windows computed for one that is wanted; beyond it (tiny images, large kernels) the text runs."""

Product = Callable[[Arr, Arr, int, Arr], None]
"""`product(a, b, linear, out)`: the absorbing matrix product into `out`."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Where things are in the long rows of one geometry."""

    padded: Shape
    length: int
    """Positions at which a whole kernel still fits into the row."""
    shifts: Shape
    """Shift of each kernel cell, row-major."""
    inner: tuple[slice, ...]
    """The image inside its padding."""
    kept: tuple[slice, ...]
    """The windows inside the padded image, by their first cell."""


@lru_cache(maxsize=256)
def rows_of(batch: int, size: Shape, kernel: Shape, stride: Shape, padding: Shape) -> Rows | None:
    """The layout, or None where it does not pay."""
    padded = tuple(n + 2 * p for n, p in zip(size, padding, strict=True))
    counts = tuple(n - k + 1 for n, k in zip(padded, kernel, strict=True))
    plane = math.prod(padded)
    if batch == 0 or any(s != 1 for s in stride) or plane > WASTE * math.prod(counts):
        return None
    steps = [math.prod(padded[a + 1 :]) for a in range(len(padded))]
    shifts = tuple(
        sum(q * s for q, s in zip(cell, steps, strict=True))
        for cell in itertools.product(*map(range, kernel))
    )
    inner = tuple(slice(p, p + n) for n, p in zip(size, padding, strict=True))
    return Rows(padded, batch * plane - shifts[-1], shifts, inner, tuple(slice(0, o) for o in counts))


class Convolution:
    """Forward and both transposes for one geometry; `buffers` lends scratch memory."""

    def __init__(self, rows: Rows, buffers: Buffers) -> None:
        self.rows, self.buffers = rows, buffers

    def _laid_out(self, image: Arr, cells: tuple[slice, ...]) -> Arr:
        """(batch, channels, …) as (channels, batch * plane): at `cells` of each image, zero elsewhere."""
        batch, channels = image.shape[:2]
        padded = self.rows.padded
        buffer = self.buffers.take((channels, batch, *padded), image.dtype)
        spots: Any = (..., *cells)
        moved = image.swapaxes(0, 1)
        if padded != image.shape[2:]:
            buffer.fill(0)
            buffer[spots] = moved
        else:
            buffer[...] = moved
        return buffer

    def _columns(self, image: Arr, cells: int) -> tuple[Arr, Arr]:
        """(channels * cells, length): every window a column; and the buffer it lies in."""
        laid, rows = self._laid_out(image, self.rows.inner), self.rows
        channels = laid.shape[0]
        line = laid.reshape(channels, -1)
        columns = self.buffers.take((channels, cells, rows.length), laid.dtype)
        for k, shift in enumerate(rows.shifts):
            columns[:, k] = line[:, shift : shift + rows.length]
        self.buffers.give(laid)
        return columns.reshape(channels * cells, rows.length), columns

    def forward(self, w: Arr, b: Arr, x: Arr) -> Arr:
        """b + w * x: w (o, i, kernel…), x (n, i, size…) -> (n, o, counts…)."""
        rows, buffers = self.rows, self.buffers
        matrix = w.reshape(w.shape[0], -1)
        columns, lent = self._columns(x, len(rows.shifts))
        product = buffers.take((w.shape[0], x.shape[0], *rows.padded), x.dtype)
        np.matmul(matrix, columns, out=product.reshape(w.shape[0], -1)[:, : rows.length])
        kept: Any = (..., *rows.kept)
        y: Arr = product[kept] + b.reshape(-1, *[1] * (x.ndim - 1))
        buffers.give(lent, product)
        return y.swapaxes(0, 1)

    def weight(self, g: Arr, x: Arr, kernel: Shape, product: Product) -> Arr:
        """The transpose in w."""
        rows, buffers = self.rows, self.buffers
        columns, lent = self._columns(x, len(rows.shifts))
        laid = self._laid_out(g, rows.kept)
        line = laid.reshape(laid.shape[0], -1)[:, : rows.length]
        # the transpose of what is wanted: BLAS multiplies faster with the taller matrix on the left
        out = np.empty((columns.shape[0], g.shape[1]), g.dtype)
        product(columns, line.T, 1, out)
        buffers.give(lent, laid)
        return np.ascontiguousarray(out.T).reshape((g.shape[1], x.shape[1], *kernel))

    def image(self, w: Arr, g: Arr, product: Product) -> Arr:
        """The transpose in x."""
        rows, buffers = self.rows, self.buffers
        channels, cells = w.shape[1], len(rows.shifts)
        laid = self._laid_out(g, rows.kept)
        line = laid.reshape(laid.shape[0], -1)[:, : rows.length]
        columns = buffers.take((channels, cells, rows.length), g.dtype)
        product(w.reshape(w.shape[0], -1).T, line, 1, columns.reshape(channels * cells, rows.length))
        total = buffers.take((channels, g.shape[0], *rows.padded), g.dtype)
        total.fill(0)
        flat = total.reshape(channels, -1)
        for k, shift in enumerate(rows.shifts):
            flat[:, shift : shift + rows.length] += columns[:, k]
        inner: Any = (..., *rows.inner)
        dx: Arr = total[inner].copy()
        buffers.give(laid, columns, total)
        return dx.swapaxes(0, 1)


class ConvolutionKernels:
    """The fused kernels of `conv` by name; each declines (None) where the rule's text is the better way."""

    def __init__(self, buffers: Buffers, product: Product) -> None:
        self._buffers, self._product = buffers, product

    def by_name(self) -> dict[str, Callable[..., Arr | None]]:
        """What `Vocabulary.fused` finds."""
        return {"conv": self._forward, "conv_weight": self._weight, "conv_image": self._image}

    def _at(self, batch: int, size: Shape, kernel: Shape, stride: Shape, pad: Shape) -> Convolution | None:
        rows = rows_of(batch, size, kernel, stride, pad)
        return None if rows is None else Convolution(rows, self._buffers)

    def _forward(self, w: Arr, b: Arr, x: Arr, stride: Shape, padding: Shape) -> Arr | None:
        at = self._at(x.shape[0], x.shape[2:], w.shape[2:], stride, padding)
        return None if at is None else at.forward(w, b, x)

    def _weight(self, g: Arr, x: Arr, kernel: Shape, stride: Shape, padding: Shape) -> Arr | None:
        at = self._at(x.shape[0], x.shape[2:], kernel, stride, padding)
        return None if at is None else at.weight(g, x, kernel, self._product)

    def _image(self, w: Arr, g: Arr, size: Shape, stride: Shape, padding: Shape) -> Arr | None:
        at = self._at(g.shape[0], size, w.shape[2:], stride, padding)
        return None if at is None else at.image(w, g, self._product)


# -- max pooling -----------------------------------------------------------------------------------------
def _cells(size: Shape, kernel: Shape, stride: Shape) -> Iterator[tuple[Any, ...]]:
    """For each kernel cell, row-major: where the windows find it in the image."""
    counts = [(n - k) // s + 1 for n, k, s in zip(size, kernel, stride, strict=True)]
    for offset in itertools.product(*map(range, kernel)):
        spots = zip(offset, counts, stride, strict=True)
        yield (..., *(slice(o, o + (c - 1) * s + 1, s) for o, c, s in spots))


def window_max(x: Arr, kernel: Shape, stride: Shape) -> Arr:
    """(…, size…) -> (…, counts…): the largest cell of each window."""
    cells = list(_cells(x.shape[x.ndim - len(kernel) :], kernel, stride))
    if len(cells) == 1:
        only: Arr = x[cells[0]].copy(order="K")
        return only
    best: Arr = np.maximum(x[cells[0]], x[cells[1]])
    for cell in cells[2:]:
        np.maximum(best, x[cell], out=best)
    return best


def window_max_transposed(x: Arr, g: Arr, kernel: Shape, stride: Shape) -> Arr | None:
    """Each window's cotangent given to its first largest cell; None when a window holds a nan."""
    size = x.shape[x.ndim - len(kernel) :]
    cells = list(_cells(size, kernel, stride))
    planes = [x[cell].copy(order="K") for cell in cells]  # read twice below: gather what is strided once
    best = planes[0].copy(order="K")
    for plane in planes[1:]:
        np.maximum(best, plane, out=best)
    line = best.ravel(order="K")
    if np.isnan(line.dot(line)):
        return None
    apart = all(s >= k for s, k in zip(stride, kernel, strict=True))
    tiled = all(s == k and n % k == 0 for n, s, k in zip(size, stride, kernel, strict=True))
    out = np.empty_like(x) if tiled else np.zeros_like(x)
    whole = np.dtype(f"i{x.dtype.itemsize}")
    bits, target = g.view(whole), out.view(whole)
    free = np.ones_like(best, np.bool_)
    hit, chosen = np.empty_like(free), np.empty_like(best, whole)
    for cell, plane in zip(cells, planes, strict=True):
        np.equal(plane, best, out=hit)
        np.logical_and(hit, free, out=hit)
        np.logical_xor(free, hit, out=free)
        np.negative(hit.view(np.int8), out=chosen)  # all bits, or none
        if apart:
            np.bitwise_and(chosen, bits, out=target[cell])
        else:
            np.bitwise_and(chosen, bits, out=chosen)
            out[cell] += chosen.view(x.dtype)
    return out

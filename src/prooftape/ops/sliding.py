"""Sliding windows along spatial axes: what convolutions and pools have in common. No ops in here.

`Windows` is the geometry of one call: an image (N, C, size…) padded on both sides, and windows of `kernel`
cells every `stride` cells. Its methods move values between images and columns, each next to its transpose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prooftape.errors import AttributeValueError, RuleError
from prooftape.op import Typing
from prooftape.types import Shape
from prooftape.vocabulary import A, Mask, Vocabulary

_USUAL = {
    "kernel": "a window has at least one cell",
    "stride": "1 visits every position",
    "padding": "to crop, use slice",
}


def per_axis(t: Typing, name: str, rank: int, least: int) -> Shape:
    """An attribute given once or per spatial axis: `rank` integers >= `least`, stored in `t.attrs` so."""
    value = t.attrs[name]
    assert isinstance(value, (int, tuple))
    values = (value,) * rank if isinstance(value, int) else value
    if len(values) != rank:
        raise RuleError(
            f"{name} has {len(values)} {'entry' if len(values) == 1 else 'entries'} for "
            f"{rank} spatial {'axis' if rank == 1 else 'axes'}",
            "pass one integer for all axes, or one per axis",
            AttributeValueError,
        )
    for v in values:
        assert isinstance(v, int)
        if v < least:
            raise RuleError(f"{name} must be >= {least}, got {value}", _USUAL[name], AttributeValueError)
    t.attrs[name] = values
    return values  # type: ignore[return-value]


def check_image(name: str, shape: Shape, rank: int) -> None:
    """An image is (channels, spatial…) or (batch, channels, spatial…), its spatial axes not empty."""
    if len(shape) not in (rank + 1, rank + 2):
        axes = "axis" if rank == 1 else "axes"
        raise RuleError(
            f"{name} must have {rank + 1} axes (channels, then {rank} spatial {axes}), or {rank + 2} with a "
            "batch in front",
            "add a missing axis with reshape",
        )
    if 0 in shape[-rank:]:
        raise RuleError(f"{name} has an empty spatial axis", "every spatial axis needs at least one cell")


def window_counts(
    size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> Shape:
    """Windows per axis, PyTorch's (size + 2 * padding - kernel) // stride + 1; may be < 1."""
    return tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, padding, strict=True))


def check_fits(size: Shape, kernel: Shape, stride: Shape, padding: Shape) -> Shape:
    """Windows per axis; refuses a kernel longer than the padded image."""
    counts = window_counts(size, kernel, stride, padding)
    if min(counts) < 1:
        padded = tuple(n + 2 * p for n, p in zip(size, padding, strict=True))
        raise RuleError(
            f"a window of {kernel} cells does not fit into the padded size {padded}",
            "each axis needs size + 2 * padding >= kernel",
        )
    return counts


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows over images of shape (batch, channels, *size). All tuples have one entry per spatial axis."""

    batch: int
    channels: int
    size: Shape
    kernel: Shape
    stride: Shape
    padding: Shape
    counts: Shape

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.size)

    @property
    def image_shape(self) -> Shape:
        """Shape of the images, batch axis included."""
        return (self.batch, self.channels, *self.size)

    @property
    def cells(self) -> int:
        """Cells per window."""
        return math.prod(self.kernel)

    def inside(self) -> Mask | None:
        """(counts…, cells): which cells of which windows lie in the image; None when there is no padding."""
        if not any(self.padding):
            return None
        axes = zip(self.size, self.kernel, self.stride, self.padding, self.counts, strict=True)
        mask = np.ones((), np.bool_)
        for n, k, s, p, o in axes:  # outer "and", axis by axis: (o1, k1, o2, k2, …)
            cell = s * np.arange(o)[:, None] + np.arange(k)
            mask = np.logical_and.outer(mask, (p <= cell) & (cell < p + n))
        d = self.rank
        order = (*range(0, 2 * d, 2), *range(1, 2 * d, 2))
        return mask.transpose(order).reshape((*self.counts, self.cells))

    # -- images to windows, and back --------------------------------------------------------------
    def pad(self, xp: Vocabulary[A], x: A) -> A:
        """Zero padding of the spatial axes."""
        return xp.pad(x, ((0, 0), (0, 0), *((p, p) for p in self.padding))) if any(self.padding) else x

    def pad_edge(self, xp: Vocabulary[A], x: A) -> A:
        """Padding with copies of the border cells. With 2 * padding <= kernel every window that reaches over
        a border also holds the border cell, so this padding never changes the maximum of a window."""
        shape = list(self.image_shape)
        for axis, p in enumerate(self.padding, start=2):
            if p:
                border = (*shape[:axis], p, *shape[axis + 1 :])
                ends = (xp.slice(x, axis, i, 1) for i in (0, shape[axis] - 1))
                low, high = (xp.broadcast(end, border, tuple(range(len(shape)))) for end in ends)
                x = xp.concat((low, x, high), axis)
                shape[axis] += 2 * p
        return x

    def split(self, xp: Vocabulary[A], padded: A) -> A:
        """Padded images -> (batch, channels, counts…, kernel…)."""
        return xp.windows(padded, self.kernel, self.stride)

    def merge(self, xp: Vocabulary[A], windows: A) -> A:
        """Transpose of `pad` then `split`: sums overlapping cells, drops the padding."""
        padded = tuple(n + 2 * p for n, p in zip(self.size, self.padding, strict=True))
        x = xp.fold_windows(windows, padded, self.stride)
        for axis, (n, p) in enumerate(zip(self.size, self.padding, strict=True), start=2):
            if p:
                x = xp.slice(x, axis, p, n)
        return x

    # All windows side by side, the axes that count windows innermost: copying into this layout is cheap (long
    # contiguous runs), a convolution is one matrix product, and a reduction over windows runs over axis 0.
    def columns(self, xp: Vocabulary[A], padded: A) -> A:
        """Padded images -> (channels, kernel…, batch, counts…)."""
        d = self.rank
        return xp.permute(self.split(xp, padded), (1, *range(2 + d, 2 + 2 * d), 0, *range(2, 2 + d)))

    def from_columns(self, xp: Vocabulary[A], columns: A) -> A:
        """Transpose of `pad` then `columns`."""
        d = self.rank
        return self.merge(xp, xp.permute(columns, (d + 1, 0, *range(d + 2, 2 * d + 2), *range(1, d + 1))))

    @property
    def columns_shape(self) -> Shape:
        """Shape of `columns`."""
        return (self.channels, *self.kernel, self.batch, *self.counts)

    def stacked(self, xp: Vocabulary[A], padded: A) -> A:
        """Padded images -> (cells, batch, channels, counts…)."""
        d = self.rank
        w = xp.permute(self.split(xp, padded), (*range(2 + d, 2 + 2 * d), 0, 1, *range(2, 2 + d)))
        return xp.reshape(w, self.stacked_shape)

    def unstack(self, xp: Vocabulary[A], stack: A) -> A:
        """Transpose of `pad` then `stacked`."""
        d = self.rank
        w = xp.reshape(stack, (*self.kernel, *self.stacked_shape[1:]))
        return self.merge(xp, xp.permute(w, (*range(d, 2 * d + 2), *range(d))))

    @property
    def stacked_shape(self) -> Shape:
        """Shape of `stacked`."""
        return (self.cells, self.batch, self.channels, *self.counts)

    def rows(self, xp: Vocabulary[A], padded: A) -> A:
        """Padded images -> (batch, channels, counts…, cells)."""
        return xp.permute(self.stacked(xp, padded), (*range(1, self.rank + 3), 0))

    def from_rows(self, xp: Vocabulary[A], rows: A) -> A:
        """Transpose of `pad` then `rows`."""
        return self.unstack(xp, xp.permute(rows, (self.rank + 2, *range(self.rank + 2))))

    @property
    def rows_shape(self) -> Shape:
        """Shape of `rows`."""
        return (self.batch, self.channels, *self.counts, self.cells)

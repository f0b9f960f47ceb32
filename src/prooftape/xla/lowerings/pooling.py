"""Pooling, channels last. The maximum's VJP compares the cells of each window instead of scattering.

JAX's default for the backward pass of a maximum is `select_and_scatter`, which XLA's CPU compiler leaves
scalar (30 times slower on 2x2 windows). Here the number of the winning cell is computed per window, and every
cell of the image asks whether it is the winner.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from prooftape.op import Call
from prooftape.ops.pooling import _windows
from prooftape.ops.sliding import Windows
from prooftape.xla.lowerings.lowering import Lowering
from prooftape.xla.lowerings.separate import separately

MAX_CELLS = 64
"""Windows with more cells keep the op's own rule: the code here is unrolled over the cells."""

Arr = Any


def _applies(c: Call) -> bool:
    return math.prod(c.ints("kernel")) <= MAX_CELLS and 0 not in c.shapes[0]


def _last(win: Windows, image: Arr) -> Arr:
    """(batch?, channels, spatial…) -> (batch, spatial…, channels)."""
    d = win.rank
    return jnp.moveaxis(image.reshape((win.batch, win.channels, *image.shape[-d:])), 1, -1)


def _tiles(win: Windows) -> bool:
    """Whether the windows cut the image into tiles: no cell in two windows or in none."""
    fits = all(n == o * k for n, o, k in zip(win.size, win.counts, win.kernel, strict=True))
    return win.stride == win.kernel and fits and not any(win.padding)


def _cells(win: Windows, x: Arr, padding: float) -> list[Arr]:
    """For every cell of a window, row-major, its entry in each window: (batch, counts…, channels)."""
    if any(win.padding):
        widths = [(0, 0, 0), *((p, p, 0) for p in win.padding), (0, 0, 0)]
        x = lax.pad(x, jnp.asarray(padding, x.dtype), widths)
    out = []
    for offset in itertools.product(*map(range, win.kernel)):
        spots = zip(offset, win.counts, win.stride, strict=True)
        out.append(x[(slice(None), *(slice(o, o + (n - 1) * s + 1, s) for o, n, s in spots))])
    return out


def _largest(cells: Sequence[Arr]) -> Arr:
    y = cells[0]
    for cell in cells[1:]:
        y = jnp.maximum(y, cell)
    return y


def _winner(win: Windows, cells: Sequence[Arr]) -> Arr:
    """Number of the first maximal cell of each window; nan is maximal, padding is no candidate.

    A cell wins if it equals the maximum, or is nan itself (the maximum is then nan and equals nothing). The
    loop runs backwards, so that the first such cell has the last word.
    """
    y, inside = _largest(cells), win.inside()
    number = jnp.full(y.shape, len(cells), np.int32)
    for n in range(len(cells) - 1, -1, -1):
        hit = (cells[n] == y) | (cells[n] != cells[n])
        if inside is not None and not inside[..., n].all():
            hit &= inside[..., n, None]  # -inf in the padding may equal a maximum of -inf
        number = jnp.where(hit, np.int32(n), number)
    return number


def _forward(xp: Any, c: Call, x: Arr) -> Arr:
    win = _windows(c)
    y = separately(lambda x: _largest(_cells(win, x, -np.inf)), _last(win, x))
    return jnp.moveaxis(y, -1, 1).reshape(c.shape)


def _jvp(xp: Any, c: Call, primals: Sequence[Arr], out: Arr, tangents: Sequence[Arr | None]) -> Arr | None:
    win = _windows(c)
    number = _winner(win, _cells(win, _last(win, primals[0]), -np.inf))
    moves = _cells(win, _last(win, tangents[0]), 0.0)
    chosen = jnp.zeros(number.shape, moves[0].dtype)
    for n, move in enumerate(moves):
        chosen = jnp.where(number == n, move, chosen)
    return jnp.moveaxis(chosen, -1, 1).reshape(c.shape)


def _vjp(xp: Any, c: Call, saved: Sequence[Arr], ct: Arr, wanted: Sequence[bool]) -> tuple[Arr | None, ...]:
    win = _windows(c)
    image, ct = _last(win, saved[0]), _last(win, ct)
    g = to_image(win, image, ct)
    return (jnp.moveaxis(g, -1, 1).reshape(c.shapes[0]),)


def to_image(win: Windows, image: Arr, ct: Arr) -> Arr:
    """Cotangent of the image from that of the pool, channels last."""
    if _tiles(win):
        return separately(
            lambda x, g: _spread_tiles(win, _winner(win, _cells(win, x, -np.inf)), g), image, ct
        )
    # two calls: overlapping windows ask for each number several times
    return placed(win, separately(lambda x: _winner(win, _cells(win, x, -np.inf)), image), ct)


def placed(win: Windows, number: Arr, ct: Arr) -> Arr:
    """The same from the numbers of the winning cells."""
    place = _spread_tiles if _tiles(win) else _fold
    return separately(lambda number, g: place(win, number, g), number, ct)


def _spread_tiles(win: Windows, number: Arr, g: Arr) -> Arr:
    """Every cell asks whether it is the winner of its window: one loop over the image, which nothing sums.

    Which cell of its window a place is, it is told by its coordinates: faster than a table.
    """
    d = win.rank
    shape = (win.batch, *win.size, win.channels)
    axes = tuple(range(2, 2 * d + 2, 2))  # (batch, o1, k1, o2, k2, …, channels)
    apart = [n for o, k in zip(win.counts, win.kernel, strict=True) for n in (o, k)]

    def for_all_cells(x: Arr) -> Arr:
        return jnp.broadcast_to(jnp.expand_dims(x, axes), (win.batch, *apart, win.channels)).reshape(shape)

    cell = jnp.zeros(shape, np.int32)
    for axis, k in enumerate(win.kernel, 1):
        cell = cell * k + lax.rem(lax.broadcasted_iota(np.int32, shape, axis), np.int32(k))
    return jnp.where(for_all_cells(number) == cell, for_all_cells(g), 0)


def _fold(win: Windows, number: Arr, g: Arr) -> Arr:
    """Every cell sums the cotangents of the windows it has won.

    Cell s * a + r of the padded image lies in the windows a - j, as their cell r + s * j: for each remainder
    r that is a sum of shifted slices. The results for all remainders are then interleaved.
    """
    d = win.rank
    geometry = list(zip(win.size, win.kernel, win.stride, win.padding, win.counts, strict=True))
    back = [(k - 1) // s for _, k, s, _, _ in geometry]
    ahead = [-(-(n + 2 * p) // s) for n, _, s, p, _ in geometry]
    widths = [(j, a - o, 0) for j, a, (*_, o) in zip(back, ahead, geometry, strict=True)]
    number = lax.pad(number, np.int32(-1), [(0, 0, 0), *widths, (0, 0, 0)])
    g = lax.pad(g, g.dtype.type(0), [(0, 0, 0), *widths, (0, 0, 0)])
    planes = []
    for rest in itertools.product(*map(range, win.stride)):
        total = jnp.zeros((win.batch, *ahead, win.channels), g.dtype)
        shifts = (range(-(-(k - r) // s)) for r, (_, k, s, _, _) in zip(rest, geometry, strict=True))
        for shift in itertools.product(*shifts):
            cell = 0
            for r, j, (_, k, s, _, _) in zip(rest, shift, geometry, strict=True):
                cell = cell * k + r + s * j
            spots = (slice(b - j, b - j + a) for b, j, a in zip(back, shift, ahead, strict=True))
            here = (slice(None), *spots)
            total = total + jnp.where(number[here] == cell, g[here], 0)
        planes.append(total)
    cells = jnp.stack(planes).reshape((*win.stride, win.batch, *ahead, win.channels))
    order = (d, *(axis for i in range(d) for axis in (d + 1 + i, i)), 2 * d + 1)
    whole = tuple(a * s for a, s in zip(ahead, win.stride, strict=True))
    image = cells.transpose(order).reshape((win.batch, *whole, win.channels))
    return image[(slice(None), *(slice(p, p + n) for n, _, _, p, _ in geometry))]


LOWERINGS = (
    Lowering(
        "max_pool",
        ("max_pool", "max_pool2d"),
        "channels last; backward, every cell asks whether it is its window's first maximum",
        _applies,
        _forward,
        _vjp,
        _jvp,
    ),
)

"""relu, then max-pool: the maximum first, and a convolution before them in the same loop.

relu keeps order, so it and the maximum may change places: relu(max) = max(relu). The pool is then the first
to shrink the image, and relu costs a quarter or less. Derivatives are the same too, entry by entry. If the
maximum m of a window is positive or nan, the cells of relu(x) that attain it are those of x, so the first is
the same, and so is relu' there (1, or for nan 0, since nan > 0 is false). If m <= 0, all cells of relu(x) are
0 and the first would win, where relu'(x) is 0; here another may win, and relu'(m) is 0. The saved result
tells: it is positive exactly where m is.

A convolution before them is not asked for its image, which is large: the bias is added where the cells are
compared, its cotangent is summed over windows instead of cells, and with few taps the convolution itself is
computed cell by cell in the loop that compares them, forward and again backward.
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
from prooftape.xla.arrays import EXACT
from prooftape.xla.lowerings import convolution, pooling
from prooftape.xla.lowerings.separate import separately
from prooftape.xla.lowerings.watching import watch

MAX_ENTRIES = 2**16
"""Up to so many entries of an image, where each comes from is kept in the program."""
MAX_TAPS = 16
"""Up to so many taps, computing the convolution twice beats keeping its image; from 25 on not (measured)."""
MAX_TERMS = 160
"""Taps times cells of the pool at most: so long is the loop's body."""

Arr = Any


def _highest(cells: Sequence[Arr]) -> Arr:
    return jnp.maximum(pooling._largest(cells), 0)


def _out(image: Arr, c: Call) -> Arr:
    return jnp.moveaxis(image, -1, 1).reshape(c.shape)


def _flat(image: Arr, c: Call) -> Arr:
    """The same for a result that is not read as an image: then nothing cancels the transpose.

    XLA's own is much slower than looking up where each entry comes from.
    """
    if math.prod(image.shape[1:]) > MAX_ENTRIES:
        return _out(image, c)
    entries = np.arange(math.prod(image.shape[1:]), dtype=np.int32).reshape((-1, image.shape[-1])).T.ravel()

    def flat(image: Arr) -> Arr:
        return jnp.take(image.reshape((image.shape[0], -1)), entries, axis=1, mode="clip")

    return separately(flat, image).reshape(c.shape)  # by itself, or its reader would be handed it transposed


def _gated(win: Windows, out: Arr, ct: Arr) -> Arr:
    """The cotangent behind relu, channels last."""
    return jnp.where(pooling._last(win, out) > 0, pooling._last(win, ct), 0)


# -- relu, max-pool --------------------------------------------------------------------------------------
def forward(xp: Any, calls: Sequence[Call], flat: bool, x: Arr) -> Arr:
    """Of relu and max-pool; `flat`: the result is not read as an image."""
    win = _windows(calls[-1])
    y = separately(lambda x: _highest(pooling._cells(win, x, -np.inf)), pooling._last(win, x))
    return (_flat if flat else _out)(y, calls[-1])


def vjp(
    xp: Any, calls: Sequence[Call], saved: Sequence[Arr], ct: Arr, wanted: Sequence[bool]
) -> tuple[Arr | None, ...]:
    """Of relu and max-pool; saved: x and the result."""
    x, out = saved
    win = _windows(calls[-1])
    g = pooling.to_image(win, pooling._last(win, x), _gated(win, out, ct))
    return (_out(g, calls[0]),)


# -- convolution, relu, max-pool -------------------------------------------------------------------------
def in_one_loop(conv: Call, win: Windows) -> bool:
    """Whether the convolution is computed where its cells are compared."""
    taps = math.prod(conv.shapes[0][1:])
    return taps <= MAX_TAPS and taps * win.cells <= MAX_TERMS and pooling._tiles(win)


def joins(conv: Call, pool: Call) -> bool:
    """Whether a convolution is better taken along (else relu and max-pool change places by themselves)."""
    return in_one_loop(conv, _windows(pool)) or not convolution._few_taps(conv)


def _sums(conv: Call, win: Windows, padded: Arr, k: Arr, b: Arr) -> list[Arr]:
    """For every cell of the pool, its entry of the convolution in each window."""
    found = []
    for cell in itertools.product(*map(range, win.kernel)):
        total = None
        for n, tap in enumerate(itertools.product(*map(range, conv.shapes[0][2:]))):
            spots = []
            for o, t, m, s, kernel in zip(
                cell, tap, win.counts, conv.ints("stride"), win.kernel, strict=True
            ):
                spots.append(slice(o * s + t, o * s + t + (m - 1) * kernel * s + 1, kernel * s))
            window = padded[(slice(None), *spots)]
            for channel in range(k.shape[1]):
                term = window[..., channel, None] * k[n, channel]
                total = term if total is None else total + term
        found.append(total + b)
    return found


def _compared(conv: Call, win: Windows, w: Arr, b: Arr, x: Arr, compare: Any) -> Arr:
    """compare(cells of the convolution), in a loop of its own."""
    d = win.rank
    kernel = convolution._kernel_last(w, d)
    image = convolution._last(x, d)
    if in_one_loop(conv, win):
        padded = separately(lambda image: convolution._pad(image, conv.ints("padding")), image)
        k = kernel.reshape((-1, *kernel.shape[d:]))
        return separately(lambda x, k, b: compare(_sums(conv, win, x, k, b)), padded, k, b)
    # asked for again in the backward pass, and found: equal convolutions are computed once
    y = convolution._apply(conv, w, x)
    return separately(lambda y, b: compare(pooling._cells(win, y + b, -np.inf)), y, b)


def conv_forward(xp: Any, calls: Sequence[Call], flat: bool, w: Arr, b: Arr, x: Arr) -> Arr:
    """Of convolution, relu and max-pool."""
    conv, pool = calls[0], calls[-1]
    if any(conv.ints("padding")):
        watch(xp, w)  # as in the convolution by itself
    win = _windows(pool)
    return (_flat if flat else _out)(_compared(conv, win, w, b, x, _highest), pool)


def _to_kernel(conv: Call, win: Windows, x: Arr, number: Arr, g: Arr) -> Arr:
    """Cotangent of w, where that of x is not wanted: the convolution's image is then not needed either.

    For each cell of the pool, the cotangents that it has won; and once for all cells, the entries of x that a
    window of the pool reaches. Their products hold what each cell asks of its own taps, and more.
    """
    d = win.rank
    out, channels, *kernel = conv.shapes[0]
    steps = conv.ints("stride")
    reach = tuple((k - 1) * s + m for k, s, m in zip(win.kernel, steps, kernel, strict=True))
    strides = tuple(k * s for k, s in zip(win.kernel, steps, strict=True))

    def won(number: Arr, g: Arr) -> Arr:
        return jnp.concatenate([jnp.where(number == n, g, 0).reshape((1, -1)) for n in range(win.cells)])

    def products(image: Arr, won: Arr) -> list[Arr]:
        padded = convolution._pad(image, conv.ints("padding"), 2)
        rows = convolution._columns(padded, reach, strides, win.counts)
        parts = won.reshape((win.cells, -1, out))
        return [lax.dot_general(rows, part, convolution._PLAIN, precision=EXACT) for part in parts]

    image = jnp.moveaxis(x.reshape((-1, *x.shape[-d - 1 :])), 1, 0)
    found = separately(products, image, separately(won, number, g))
    asked = []
    for cell, product in zip(itertools.product(*map(range, win.kernel)), found, strict=True):
        spots = (slice(o * s, o * s + m) for o, s, m in zip(cell, steps, kernel, strict=True))
        asked.append(product.reshape((*reach, channels, out))[tuple(spots)])
    total = sum(asked[1:], asked[0])
    return jnp.transpose(total, (d + 1, d, *range(d)))


def conv_vjp(
    xp: Any, calls: Sequence[Call], saved: Sequence[Arr], ct: Arr, wanted: Sequence[bool]
) -> tuple[Arr | None, ...]:
    """Of convolution, relu and max-pool; saved: w, b, x and the result."""
    w, b, x, out = saved
    conv, win = calls[0], _windows(calls[-1])
    g = _gated(win, out, ct)
    dw = dx = None
    if wanted[0] or wanted[2]:
        number = _compared(conv, win, w, b, x, lambda cells: pooling._winner(win, cells))
    if wanted[0] and not wanted[2] and in_one_loop(conv, win):
        dw = watch(xp, _to_kernel(conv, win, x, number, g))
    elif wanted[0] or wanted[2]:
        placed = _out(pooling.placed(win, number, g), conv)
        dw, _, dx = convolution._vjp(xp, conv, [w, x], placed, (wanted[0], False, wanted[2]))
    # each window's cotangent goes to one cell, so the sum over cells is that over windows
    db = g.sum(tuple(range(g.ndim - 1))) if wanted[1] else None
    return dw, db, dx

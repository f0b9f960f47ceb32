"""Convolution: XLA's own, channels last, or sums of scaled shifted images where the channels are few.

XLA runs a convolution at full speed on the CPU when channels are the last axis; transposes between neighbours
cancel, so each rule goes there and back. With few taps (input channels * kernel cells) its convolution is
slow (20 times for one channel), and one fused loop over `taps` terms is not.

Only windows that touch the image are lowered. Then a non-finite entry of w or of the cotangent, which the
op's own rule would also multiply with the zeros of the padding, always shows in the result, is found there
(`watch`) and sends the engine to the strict program.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from prooftape.op import Call
from prooftape.ops.conv import bias_vjp
from prooftape.types import Shape
from prooftape.xla.arrays import EXACT
from prooftape.xla.lowerings.lowering import Lowering
from prooftape.xla.lowerings.separate import separately
from prooftape.xla.lowerings.watching import watch

MAX_TAPS = 64
"""Up to this many multiply-adds per output entry, one fused loop beats XLA's convolution (measured)."""

CHANNELS = 8
"""With fewer input channels but many taps, the op's own rule beats XLA's convolution (measured)."""
SMALL_BATCH = 1
"""Up to so many images XLA is slow at the cotangent of w, a convolution with an image as its kernel."""

_PLAIN = (((1,), (0,)), ((), ()))  # matrix times matrix

Arr = Any


def _rank(c: Call) -> int:
    return len(c.shapes[0]) - 2


def _applies(c: Call) -> bool:
    w, _, x = c.shapes
    touches = all(p < k for p, k in zip(c.ints("padding"), w[2:], strict=True))
    pays = _few_taps(c) or w[1] >= CHANNELS
    return 1 <= _rank(c) <= 3 and 0 not in x and touches and pays


def _last(image: Arr, d: int) -> Arr:
    """(batch?, channels, spatial…) -> (batch, spatial…, channels)."""
    if image.ndim == d + 1:
        image = image[None]
    return jnp.moveaxis(image, 1, -1)


def _first(image: Arr, shape: Shape) -> Arr:
    """The inverse of `_last`, for a result of this shape."""
    return jnp.moveaxis(image, -1, 1).reshape(shape)


def _numbers(d: int) -> tuple[str, str, str]:
    space = "XYZ"[:d]
    return (f"N{space}C", f"{space}IO", f"N{space}C")


def _kernel_last(w: Arr, d: int) -> Arr:
    """(out, in, kernel…) -> (kernel…, in, out)."""
    return jnp.transpose(w, (*range(2, d + 2), 1, 0))


def _cells(kernel: Shape) -> list[Shape]:
    return list(itertools.product(*map(range, kernel)))


def _taps(padded: Arr, kernel: Shape, stride: Shape, counts: Shape, first: int = 1) -> list[Arr]:
    """For every cell of the kernel, row-major, its entry in each window; spatial axes are from `first` on."""
    out = []
    for cell in itertools.product(*map(range, kernel)):
        spots = (slice(o, o + (n - 1) * s + 1, s) for o, n, s in zip(cell, counts, stride, strict=True))
        out.append(padded[(*(slice(None),) * first, *spots)])
    return out


def _columns(padded: Arr, kernel: Shape, stride: Shape, counts: Shape) -> Arr:
    """The same of (channels, batch, spatial…) as a matrix: (cells * channels, batch * windows).

    One axis after the other, the last one first: short strided rows are then read once per cell of one axis,
    and what is left to copy is long (much faster than every cell by itself).
    """
    d, channels = len(kernel), padded.shape[0]
    for i in reversed(range(d)):
        axis = 2 + i + (d - 1 - i)  # the cells of later axes stand in front
        reach, step = (counts[i] - 1) * stride[i] + 1, stride[i]

        def planes(
            x: Arr, axis: int = axis, reach: int = reach, step: int = step, size: int = kernel[i]
        ) -> Arr:
            return jnp.stack([lax.slice_in_dim(x, o, o + reach, step, axis) for o in range(size)])

        padded = separately(planes, padded)
    return padded.reshape((math.prod(kernel) * channels, -1))


def _pad(image: Arr, padding: Shape, first: int = 1) -> Arr:
    """Zeros around the spatial axes, which are from `first` on."""
    if not any(padding):
        return image
    widths = [(0, 0, 0)] * image.ndim
    widths[first : first + len(padding)] = [(p, p, 0) for p in padding]
    return lax.pad(image, jnp.zeros((), image.dtype), widths)


def _few_taps(c: Call) -> bool:
    w = c.shapes[0]
    return math.prod(w[1:]) <= MAX_TAPS


def _apply(c: Call, w: Arr, x: Arr, b: Arr | None = None) -> Arr:
    """The convolution, with a bias or without, channels last."""
    d = _rank(c)
    image, k = _last(x, d), _kernel_last(w, d)
    stride, padding = c.ints("stride"), c.ints("padding")
    if not _few_taps(c):
        both = [(p, p) for p in padding]
        y = lax.conv_general_dilated(image, k, stride, both, dimension_numbers=_numbers(d), precision=EXACT)
        return y if b is None else y + b

    def loop(image: Arr, k: Arr, *bias: Arr) -> Arr:
        total = None
        for n, window in enumerate(_taps(_pad(image, padding), c.shapes[0][2:], stride, c.shape[-d:])):
            for channel in range(k.shape[1]):
                term = window[..., channel, None] * k[n, channel]
                total = term if total is None else total + term
        return total + bias[0] if bias else total

    return separately(loop, image, k.reshape((-1, *k.shape[d:])), *(() if b is None else (b,)))


def _forward(xp: Any, c: Call, w: Arr, b: Arr, x: Arr) -> Arr:
    if any(c.ints("padding")):
        watch(xp, w)  # the op's own rule multiplies it with the zeros of the padding
    return _first(_apply(c, w, x, b), c.shape)


def _jvp(xp: Any, c: Call, primals: Sequence[Arr], out: Arr, tangents: Sequence[Arr | None]) -> Arr | None:
    w, _, x = primals
    dw, db, dx = tangents
    total = None
    for a, b in ((dw, x), (w, dx)):
        if a is not None and b is not None:
            term = watch(xp, _apply(c, a, b))
            total = term if total is None else total + term
    if db is not None:
        d = _rank(c)
        batch = c.shape[0] if len(c.shape) == d + 2 else 1
        total = jnp.broadcast_to(db, (batch, *c.shape[-d:], c.shapes[0][0])) if total is None else total + db
    return None if total is None else _first(total, c.shape)


def _to_image(c: Call, w: Arr, g: Arr) -> Arr:
    """Cotangent of x, channels last: g spread by the stride, convolved with the turned kernel."""
    if _few_taps(c):
        return _fold(c, w, g)
    d = _rank(c)
    stride, size, kernel = c.ints("stride"), c.shapes[2][-d:], c.shapes[0][2:]
    widths = []
    for n, m, s, p, o in zip(size, kernel, stride, c.ints("padding"), c.shape[-d:], strict=True):
        low = m - 1 - p
        widths.append((low, n + m - 1 - low - ((o - 1) * s + 1)))
    turned = jnp.flip(jnp.transpose(w, (*range(2, d + 2), 0, 1)), range(d))
    return lax.conv_general_dilated(
        g,
        turned,
        (1,) * d,
        widths,
        lhs_dilation=stride,
        dimension_numbers=_numbers(d),
        precision=EXACT,
    )


def _fold(c: Call, w: Arr, g: Arr) -> Arr:
    """The same for few input channels: one product gives all windows' cells, put back and summed."""
    d = _rank(c)
    out, channels, *kernel = c.shapes[0]
    stride, padding, size, counts = c.ints("stride"), c.ints("padding"), c.shapes[2][-d:], c.shape[-d:]
    cells = g.reshape((-1, out)) @ _kernel_last(w, d).reshape((-1, out)).T
    cells = cells.reshape((*g.shape[:-1], math.prod(kernel), channels))
    zero, total = jnp.zeros((), g.dtype), None
    for n, cell in enumerate(itertools.product(*map(range, kernel))):
        widths = [(0, 0, 0)]
        for o, m, count, s, p in zip(cell, size, counts, stride, padding, strict=True):
            widths.append((o - p, m + p - o - ((count - 1) * s + 1), s - 1))
        term = lax.pad(cells[..., n, :], zero, [*widths, (0, 0, 0)])
        total = term if total is None else total + term
    return total


def _to_kernel(c: Call, x: Arr, g: Arr) -> Arr:
    """Cotangent of w, (out, in, kernel…): windows of x against g, the batch being summed over."""
    d = _rank(c)
    stride, size, kernel = c.ints("stride"), c.shapes[2][-d:], c.shapes[0][2:]
    if _few_taps(c) or math.prod(x.shape[: -d - 1]) <= SMALL_BATCH:
        # channels before the batch: every row of the columns is then a run of image rows
        image = jnp.moveaxis(x.reshape((-1, *x.shape[-d - 1 :])), 1, 0)

        def product(image: Arr, g: Arr) -> Arr:
            columns = _columns(_pad(image, c.ints("padding"), 2), kernel, stride, c.shape[-d:])
            return lax.dot_general(columns, g, _PLAIN, precision=EXACT)

        # by itself, or XLA would turn the product around to save the transpose below: twice as slow
        dw = separately(product, image, g.reshape((-1, g.shape[-1])))
        return jnp.transpose(dw.reshape((*kernel, -1, dw.shape[1])), (d + 1, d, *range(d)))
    widths = []
    for n, m, s, p, o in zip(size, kernel, stride, c.ints("padding"), c.shape[-d:], strict=True):
        # cells that no window reaches (the stride does not divide) are cropped by a negative width
        widths.append((p, (o - 1) * s + m - n - p))
    space = "XYZ"[:d]
    numbers = (f"C{space}N", f"I{space}O", f"{space}NC")
    k = lax.conv_general_dilated(
        _last(x, d),
        g,
        (1,) * d,
        widths,
        rhs_dilation=stride,
        dimension_numbers=numbers,
        precision=EXACT,
    )
    return jnp.transpose(k, (d + 1, d, *range(d)))


def _vjp(xp: Any, c: Call, saved: Sequence[Arr], ct: Arr, wanted: Sequence[bool]) -> tuple[Arr | None, ...]:
    w, x = saved
    g = _last(ct, _rank(c))
    dw = watch(xp, _to_kernel(c, x, g)) if wanted[0] else None
    dx = None
    if wanted[2]:
        dx = _to_image(c, w, g)
        # every entry of the cotangent is multiplied with the image somewhere, so dw has shown what is in it
        watch(xp, dx if dw is None else w)
    return (
        dw,
        bias_vjp(xp, c, ct) if wanted[1] else None,
        None if dx is None else _first(dx, c.shapes[2]),
    )


LOWERINGS = (
    Lowering(
        "conv",
        ("conv", "conv2d"),
        "channels last; with few input channels one fused loop instead of XLA's convolution",
        _applies,
        _forward,
        _vjp,
        _jvp,
    ),
)

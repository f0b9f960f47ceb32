"""`linear`: the orientation of its products, and one watch instead of one per product.

On a CPU the cotangent of w, g^T x, is slow when g is wide: XLA's product wants the smaller factor to be the
one it transposes. Turned around, (x^T g)^T, it has it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jax import lax

from prooftape.op import Call
from prooftape.ops.linalg import _rows
from prooftape.xla.arrays import EXACT
from prooftape.xla.lowerings.lowering import Lowering
from prooftape.xla.lowerings.separate import separately
from prooftape.xla.lowerings.watching import watch_vectors

WIDE = 2
"""With so many times more outputs than inputs, the transposed product wins (measured)."""
LARGE = 2**20
"""Multiplications from which on the orientation matters more than one more call."""

_TRANSPOSED = (((0,), (0,)), ((), ()))  # a^T b
_PLAIN = (((1,), (0,)), ((), ()))  # a b

Arr = Any


def _applies(c: Call) -> bool:
    return math.prod(c.shapes[2]) * c.shapes[0][0] > 512  # below, the products are written out


def _transposed(a: Arr, b: Arr) -> Arr:
    return lax.dot_general(a, b, _TRANSPOSED, precision=EXACT)


def _vjp(xp: Any, c: Call, saved: Sequence[Arr], ct: Arr, wanted: Sequence[bool]) -> tuple[Arr | None, ...]:
    w, x = saved
    g, rows = _rows(xp, ct), _rows(xp, x)
    out, inputs = c.shapes[0]
    dw = db = dx = None
    if wanted[0]:
        if out >= WIDE * inputs and rows.shape[0] * out * inputs >= LARGE:
            dw = separately(_transposed, rows, g).T
        else:
            dw = _transposed(g, rows)
    if wanted[1]:
        db = lax.reduce_sum(g, (0,))
    if wanted[2]:
        dx = lax.dot_general(g, w, _PLAIN, precision=EXACT)
    _watch(xp, g, dw, db, dx)
    return dw, db, None if dx is None else xp.reshape(dx, c.shapes[2])


def _watch(xp: Any, g: Arr, dw: Arr | None, db: Arr | None, dx: Arr | None) -> None:
    """A row of each product shows what is in x and in w, the cotangent of the bias what is in g."""
    products = [p[0] for p in (dw, dx) if p is not None]
    if products:
        watch_vectors(xp, [*products, lax.reduce_sum(g, (0,)) if db is None else db])


LOWERINGS = (
    Lowering(
        "linear",
        ("linear",),
        "backward: the orientation of the weight's product, one watch for non-finite factors",
        _applies,
        vjp=_vjp,
    ),
)

"""Softmax and log-softmax: the same accurate derivative, without a search for the first maximum.

The op's own rule takes 1 - s of the largest entry as the share of all others, which needs to know which entry
is the first largest. Only an entry with s > 1/2 needs that, and there is at most one: it is then the only
one equal to the row's maximum. All others may take 1 - s as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax import lax

from prooftape.op import Call
from prooftape.ops.softmax import _along_last, _deviation, _deviation_transposed, row_max
from prooftape.vocabulary import keep
from prooftape.xla.lowerings.lowering import Lowering

Arr = Any


def exp_below(xp: Any, x: Arr, largest: Arr) -> Arr:
    """`xp.exp_difference` where x <= largest: the exponential is at most 1, so no zero has to absorb it."""
    z = lax.sub(x, largest)
    back = lax.sub(z, x)
    low = lax.sub(lax.sub(x, lax.sub(z, back)), lax.add(largest, back))
    low = lax.select(lax.eq(low, low), low, xp.full(x.shape, 0))
    e = lax.exp(z)
    return lax.add(e, lax.mul(low, e))


def _weights(xp: Any, x: Arr) -> tuple[Arr, Arr]:
    """softmax(x) along the last axis, and 1 - softmax(x), both with full relative accuracy."""
    shape = x.shape
    last = (len(shape) - 1,)
    largest = keep(xp, row_max(xp, x), shape, last)
    e = exp_below(xp, x, largest)
    total = keep(xp, xp.sum(e, last), shape, last)
    # with two or more largest entries none has s > 1/2, and what `others` is does not matter
    others = xp.sum(lax.select(lax.eq(x, largest), xp.full(shape, 0), e), last)
    s = xp.div(e, total)
    sure = lax.gt(s, xp.full(shape, 0.5))
    rest = lax.select(sure, xp.div(keep(xp, others, shape, last), total), xp.sub(xp.full(shape, 1), s))
    return s, rest


def _move(xp: Any, c: Call, x: Arr, v: Arr) -> Arr:
    def rows(x: Arr, v: Arr) -> Arr:
        s, rest = _weights(xp, x)
        return xp.amul(_deviation(xp, s, rest, v), s)

    return _along_last(xp, c, rows, x, v)


def _softmax_vjp(
    xp: Any, c: Call, saved: Sequence[Arr], ct: Arr, wanted: Sequence[bool]
) -> tuple[Arr | None, ...]:
    return (_move(xp, c, saved[0], ct),)


def _softmax_jvp(xp: Any, c: Call, primals: Sequence[Arr], out: Arr, tangents: Sequence[Arr]) -> Arr:
    return _move(xp, c, primals[0], tangents[0])


def _log_softmax_vjp(
    xp: Any, c: Call, saved: Sequence[Arr], ct: Arr, wanted: Sequence[bool]
) -> tuple[Arr | None, ...]:
    def rows(x: Arr, g: Arr) -> Arr:
        return _deviation_transposed(xp, *_weights(xp, x), g)

    return (_along_last(xp, c, rows, saved[0], ct),)


def _log_softmax_jvp(xp: Any, c: Call, primals: Sequence[Arr], out: Arr, tangents: Sequence[Arr]) -> Arr:
    def rows(x: Arr, t: Arr) -> Arr:
        return _deviation(xp, *_weights(xp, x), t)

    return _along_last(xp, c, rows, primals[0], tangents[0])


_DOC = "derivative: 1 - s of a sure entry found by its size, not by a search"

LOWERINGS = (
    Lowering("softmax", ("softmax",), _DOC, vjp=_softmax_vjp, jvp=_softmax_jvp),
    Lowering("log_softmax", ("log_softmax",), _DOC, vjp=_log_softmax_vjp, jvp=_log_softmax_jvp),
)

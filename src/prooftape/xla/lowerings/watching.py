"""Finding out that a shortcut may have missed an absorbing zero.

A matrix product spreads a non-finite entry of its left factor over a whole row and one of its right factor
over a whole column (inf times anything is inf or nan, and no finite term brings it back). So a row and a
column of a product, or the sum of a factor, tell whether anything in it needed the absorbing zero. Sums of
such vectors are finite only if all their terms are; if they merely overflow, the strict program runs for
nothing and gives the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jax import lax

Arr = Any


def watch(xp: Any, out: Arr) -> Arr:
    """`out`, after noting in `xp.suspects` whether it may hold a nan or an infinity."""
    total = out.sum()
    xp.suspects.append(total - total != 0)
    return out


def watch_vectors(xp: Any, vectors: Iterable[Arr]) -> None:
    """The same for several vectors, by one reduction: each costs more than it computes."""
    found = list(vectors)
    length = max(v.shape[0] for v in found)
    total = None
    for v in found:
        if v.shape[0] < length:
            v = lax.pad(v, v.dtype.type(0), [(0, length - v.shape[0], 0)])
        total = v if total is None else total + v
    watch(xp, total)

"""Finding out that a shortcut may have missed an absorbing zero."""

from __future__ import annotations

from typing import Any

Arr = Any


def watch(xp: Any, out: Arr) -> Arr:
    """`out`, after noting in `xp.suspects` whether it may hold a nan or an infinity.

    The sum of all entries is finite only if all are (it may also overflow: the strict program then runs for
    nothing, and gives the same). XLA sums twice as fast as it tests entries one by one.
    """
    total = out.sum()
    xp.suspects.append(total - total != 0)
    return out

"""Scratch memory that kernels take and give back, so that large temporaries are not mapped anew.

A buffer is used inside one call of one kernel: it is taken, filled, read, and given back before the result
is returned, and the result is never a view of it. Giving back is a promise of the caller; a buffer that is
not given back (an error on the way) is simply collected.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from prooftape.arrays.structure import Arr
from prooftape.types import Shape

LIMIT = 64 << 20
"""Bytes kept at most; beyond it all free buffers are dropped."""
ADAPTS = 31 << 20
"""Just below the largest block that the C library's allocator (glibc's) lets raise its thresholds."""


@cache
def keep_freed_memory() -> None:
    """Have the allocator keep large freed blocks instead of handing them back to the system.

    A step frees arrays of the sizes that the next step asks for. glibc maps blocks beyond a threshold afresh
    and unmaps them when freed, so that every page is faulted in again and cleared (a fifth of a training step
    of a small convolutional network). The threshold rises to the largest block freed so far, at most 32 MiB:
    free one at once, never touched, and it is there. Other allocators take no notice.
    """
    np.empty(ADAPTS, np.uint8)


class Buffers:
    """Free arrays by shape and dtype. List operations are atomic, so threads never get one buffer twice."""

    __slots__ = ("_bytes", "_free")

    def __init__(self) -> None:
        self._free: dict[tuple[Shape, np.dtype[Any]], list[Arr]] = {}
        self._bytes = 0

    def take(self, shape: Shape, dtype: np.dtype[Any]) -> Arr:
        """An array of arbitrary contents, C-contiguous."""
        try:
            found = self._free[shape, dtype].pop()
        except (KeyError, IndexError):
            return np.empty(shape, dtype)
        self._bytes -= found.nbytes
        return found

    def give(self, *arrays: Arr) -> None:
        """Arrays from `take` that nothing refers to any more."""
        for a in arrays:
            if self._bytes + a.nbytes > LIMIT:
                self._free, self._bytes = {}, 0
                if a.nbytes > LIMIT:
                    continue
            self._bytes += a.nbytes
            self._free.setdefault((a.shape, a.dtype), []).append(a)

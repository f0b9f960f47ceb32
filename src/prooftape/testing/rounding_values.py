"""Values with an error bound: what running error analysis computes with.

An entry (value, error) claims |what the engine has - value| <= error. Error infinity claims nothing; a value
that is inf or nan with error 0 claims that the engine has the same inf, or nan. For a mask, `error` holds
whether the entry is undecided.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from prooftape.arrays.structure import Arr

FLOAT64_UNIT = 2.0**-53
SLACK = 1 + 2.0**-30
"""Covers the rounding of the error computation itself: some thousand operations of 2^-53 each."""


class Bounded(NamedTuple):
    """Values, their error bounds, and names.

    Two entries with the same name (not 0) are one number of the engine, whatever its error: that decides
    x == x. A negated entry has the negated name.
    """

    value: Arr
    error: Arr
    name: Arr | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of all three."""
        return self.value.shape


def grain(x: Arr) -> Arr:
    """The largest power of two that divides each entry; infinity for 0, 0 for what is not finite."""
    fraction, exponent = np.frexp(np.where(np.isfinite(x), x, 0))
    whole = np.abs(fraction * 2.0**53).astype(np.int64)
    low = (whole & -whole).astype(np.float64)
    out = np.where(whole == 0, np.inf, np.ldexp(low, exponent - 53))
    return np.where(np.isfinite(x), out, 0.0)


def sure(x: Bounded) -> Arr:
    """Entries known exactly."""
    return np.asarray(x.error == 0)


def claimed(x: Bounded) -> Arr:
    """Entries that claim something."""
    return np.asarray(x.error < np.inf)


def finite(x: Bounded) -> Arr:
    """Entries known to be finite."""
    return np.asarray(np.isfinite(x.value) & (x.error < np.inf))


def surely_nan(x: Bounded) -> Arr:
    """Entries known to be nan."""
    return np.asarray(np.isnan(x.value) & (x.error == 0))


def is_zero(x: Bounded) -> Arr:
    """Entries known to be exactly 0."""
    return np.asarray((x.value == 0) & (x.error == 0))


def settled_sign(x: Bounded) -> Arr:
    """Entries whose sign is known (0 counts as one)."""
    return np.asarray((x.error == 0) | (np.abs(x.value) > x.error))


def apart(a: Bounded, b: Bounded) -> Arr:
    """Entries whose comparison is decided because the intervals do not meet, or both numbers are exact."""
    exact = (a.error == 0) & (b.error == 0)
    same = (a.value == b.value) & np.isinf(a.value)
    gap = np.where(same, 0, np.abs(a.value - b.value))
    open_gap = gap > (a.error + b.error) * SLACK
    return np.asarray(exact | (open_gap & claimed(a) & claimed(b)) | surely_nan(a) | surely_nan(b))


def same_number(a: Bounded, b: Bounded) -> Arr:
    """Entries that are one number of the engine (not known to be nan-free)."""
    if a.name is None or b.name is None:
        return np.zeros(np.broadcast_shapes(a.value.shape, b.value.shape), np.bool_)
    return np.asarray((a.name == b.name) & (a.name != 0))

"""Literal numbers of graphs: Python ints, floats and Fractions, kept exact until a backend rounds them.

A literal such as the `c` of `scale(x, c)` is stored as given (a float is the exact binary number it is);
each backend converts it to its own scalar. Text forms round-trip: `repr` of a float, `p/q` of a Fraction.
"""

from __future__ import annotations

import math
from fractions import Fraction
from numbers import Integral, Rational

import numpy as np

Number = int | float | Fraction


def as_number(value: object) -> Number:
    """`value` as a literal number; raises TypeError for anything that is not one real number."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"expected a number, got the boolean {value!r}")
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, np.floating):
        return float(value)
    if isinstance(value, Rational):
        return Fraction(int(value.numerator), int(value.denominator))
    if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "iuf":
        return as_number(value[()])
    p, q = getattr(value, "p", None), getattr(value, "q", None)
    if p is not None and q is not None:  # flint.fmpq
        return Fraction(int(p), int(q))
    raise TypeError(f"expected a number, got {type(value).__name__} {value!r}")


def as_fraction(value: Number) -> Fraction:
    """The exact rational value; raises ValueError for nan and infinities."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value!r} has no rational value")
    return Fraction(value)


def format_number(value: Number) -> str:
    """Text that `parse_number` reads back to an equal number of the same kind."""
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    return repr(value)


def parse_number(text: str) -> Number:
    """Inverse of `format_number`."""
    if "/" in text:
        p, q = text.split("/")
        return Fraction(int(p), int(q))
    try:
        return int(text)
    except ValueError:
        return float(text)

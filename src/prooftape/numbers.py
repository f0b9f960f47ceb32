"""Literal numbers of graphs: Python ints, floats and Fractions, kept exact until a backend rounds them.

A literal such as the `c` of `scale(x, c)` is stored as given (a float is the exact binary number it is);
each backend converts it to its own scalar. Text forms round-trip: `repr` of a float, `p/q` of a Fraction.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from numbers import Integral, Rational

import numpy as np

from prooftape.errors import found

Number = int | float | Fraction


def as_number(value: object) -> Number:
    """`value` as a literal number; raises TypeError for anything that is not one real number."""
    if type(value) is float or type(value) is int:  # nearly always; the checks below are slower
        return value
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
    raise TypeError(f"expected a number, got {found(value)}")


def as_fraction(value: Number) -> Fraction:
    """The exact rational value; raises ValueError for nan and infinities."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value!r} has no rational value")
    return Fraction(value)


def format_number(value: Number) -> str:
    """Text that `parse_number` reads back to an equal number of the same kind."""
    if isinstance(value, Fraction):
        return f"{_int_text(value.numerator)}/{_int_text(value.denominator)}"
    return repr(value) if isinstance(value, float) else _int_text(value)


_DECIMAL_BITS = 13_000  # Python refuses to write or read integers of more than 4300 decimal digits
_INT = r"-?(?:[0-9]+|0x[0-9a-f]+)"
_NUMBER = re.compile(
    rf"(?P<int>{_INT})|(?P<fraction>{_INT}/(?:[0-9]+|0x[0-9a-f]+))"
    r"|(?P<float>-?inf|nan|-?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=e))(?:e[-+]?[0-9]+)?)"
)


def parse_number(text: str) -> Number:
    """Inverse of `format_number`; raises ValueError for any other text (`1_000`, `Infinity`, `1/0`, …)."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise ValueError(f"expected a number such as 2, 0.5, 1/3, inf or nan, found {text!r}")
    if found["fraction"]:
        p, q = (_read_int(part) for part in text.split("/"))
        if q == 0:
            raise ValueError(f"expected a fraction with a denominator > 0, found {text!r}")
        return Fraction(p, q)
    return float(text) if found["float"] else _read_int(text)


def _int_text(n: int) -> str:
    return str(n) if n.bit_length() < _DECIMAL_BITS else f"{n:#x}"


def _read_int(text: str) -> int:
    return int(text, 16) if "x" in text else int(text)

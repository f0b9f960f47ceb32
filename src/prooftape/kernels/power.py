"""x**c and its derivative for an exact constant exponent c.

c is an integer, a Fraction or a finite float, never first rounded: with c = high + low in doubles,
x**c = x**high * (1 + low log x), the second factor within 1e-13 of 1 wherever the result is finite.
So the derivative c x**(c-1) may be asked for with the exact c - 1, even where that is no double.
Special values follow IEEE 754 `pow` and PyTorch: x**0 = 1 for every x, NaN included; 0**c = inf for c < 0,
signed for -0 and odd c; NaN for negative finite x and c no integer.
"""

from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from prooftape.kernels.blocks import FloatArray, run_body

F64 = npt.NDArray[np.float64]
ExactNumber = Fraction | int | float

_TINY = np.finfo(np.float64).tiny


class Exponent(NamedTuple):
    """An exact exponent as high + low, with what decides the sign and the domain."""

    high: float
    low: float
    is_integer: bool
    is_odd: bool


def _nearest(value: Fraction) -> float:
    """value rounded to binary64; beyond the range +-inf, and never 0 unless value is."""
    try:
        rounded = float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
    if rounded == 0.0 and value != 0:
        return 5e-324 if value > 0 else -5e-324
    return rounded


def exact(c: ExactNumber, name: str) -> Fraction:
    """c as a Fraction; ValueError for NaN and infinities."""
    try:
        return Fraction(c)
    except (ValueError, OverflowError):
        raise ValueError(f"{name}: the exponent must be finite, got {c!r}") from None


def split(c: Fraction) -> Exponent:
    high = _nearest(c)
    # An exponent beyond the double range sends every base but 0, 1, inf to its limit: no correction.
    low = float(c - Fraction(high)) if np.isfinite(high) else 0.0
    is_integer = c.denominator == 1
    return Exponent(high, low, is_integer, is_integer and c.numerator % 2 == 1)


def _magnitude(a: F64, e: Exponent, part: float = 1.0) -> F64:
    """a**(part * exponent) for a >= 0, part 1 or 1/2, the low half of the exponent applied."""
    y = np.power(a, part * e.high)
    if e.low != 0.0:
        correction = (part * e.low) * np.log(a)
        # At a = 0 and inf the logarithm is infinite and the limit already reached.
        y *= 1.0 + np.where(np.isfinite(correction), correction, 0.0)
    return y


def _restore_sign(y: F64, x: F64, e: Exponent) -> F64:
    """|x|**c to x**c."""
    if e.is_odd:
        return np.copysign(y, x)
    if not e.is_integer:
        y[(x < 0.0) & np.isfinite(x)] = np.nan
    return y


def _needs_care(y: F64, a: F64) -> npt.NDArray[np.bool_]:
    """Entries whose power left the normal range although the base is neither 0 nor infinite."""
    return ((y < _TINY) | np.isinf(y)) & (a > 0.0) & np.isfinite(a)


def _power(x: F64, e: Exponent) -> F64:
    if e.low == 0.0 and np.isfinite(e.high) and e.is_integer == e.high.is_integer():
        return np.power(x, e.high)
    a = np.abs(x)
    y = _magnitude(a, e)
    care = _needs_care(y, a)
    if e.low != 0.0 and care.any():
        # a**high may overflow where a**c is still finite.
        half = _magnitude(a[care], e, 0.5)
        y[care] = half * half
    return _restore_sign(y, x, e)


def power(x: FloatArray, c: ExactNumber) -> FloatArray:
    """x**c entry by entry, same shape and dtype, for an exact constant c."""
    value = exact(c, "power")
    if value == 2:

        def square(block: F64) -> F64:
            return block * block

        return run_body("power", square, square, x)
    e = split(value)

    def body(block: F64) -> F64:
        return _power(block, e)

    return run_body("power", body, body, x)


def power_prime(x: FloatArray, c: ExactNumber) -> FloatArray:
    """c * x**(c-1), the derivative of x**c, same shape and dtype; 0 for c = 0 (as PyTorch).

    Where x**(c-1) overflows or is subnormal, c is multiplied in before anything is rounded away.
    """
    value = exact(c, "power_prime")
    factor, e = _nearest(value), split(value - 1)

    def body(block: F64) -> F64:
        if value == 0:
            return np.zeros_like(block)
        y = _power(block, e)
        a = np.abs(block)
        care = _needs_care(np.abs(y), a)
        y *= factor
        if care.any():
            half = _magnitude(a[care], e, 0.5)
            y[care] = _restore_sign(half * factor * half, block[care], e)
        return y

    return run_body("power_prime", body, body, x)

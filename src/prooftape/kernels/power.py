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

from prooftape.kernels.blocks import FloatArray, check_float, run_body

F64 = npt.NDArray[np.float64]
ExactNumber = Fraction | int | float

_TINY = float(np.finfo(np.float64).tiny)
_SMALLEST = float(np.finfo(np.float64).smallest_subnormal)


class Exponent(NamedTuple):
    """An exact exponent as high + low, with what decides the sign and the domain."""

    high: float
    low: float
    is_integer: bool
    is_odd: bool


def exact(c: ExactNumber, name: str) -> Fraction:
    """c as a Fraction; ValueError unless it is finite and within the range of binary64."""
    try:
        value = Fraction(c)
        float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{name}: the exponent must be finite and below 2**1024, got {c!r}") from None
    return value


def split(c: Fraction) -> Exponent:
    high = float(c)
    if high == 0.0 and c != 0:
        # The nearest double must not turn a limit (0**c, NaN below 0) into that of the exponent 0.
        high = _SMALLEST if c > 0 else -_SMALLEST
    is_integer = c.denominator == 1
    return Exponent(high, float(c - Fraction(high)), is_integer, is_integer and c.numerator % 2 == 1)


def _scale(a: F64, e: Exponent, factor: Fraction) -> F64 | float:
    """factor * a**low for a >= 0, rounded once: what a**high has to be multiplied by."""
    high = float(factor)
    if e.low == 0.0:
        return high
    correction = e.low * np.log(a)
    # At a = 0 and inf the logarithm is infinite and the limit already reached.
    correction[~np.isfinite(correction)] = 0.0
    correction *= high
    correction += float(factor - Fraction(high))
    correction += high
    return correction


def _leaves_the_normal_range(y: F64, a: F64) -> npt.NDArray[np.bool_]:
    """Entries whose power overflows or is subnormal although the base is neither 0 nor infinite."""
    return ((y < _TINY) | np.isinf(y)) & (a > 0.0) & np.isfinite(a)


def _scaled_power(x: F64, e: Exponent, factor: Fraction) -> F64:
    """factor * x**exponent, the product formed before the power is rounded to a subnormal or to inf."""
    a = np.abs(x)  # NumPy's vectorised power takes a slow path for every negative base
    y = np.power(a, e.high)
    if factor != 1 or e.low != 0.0:
        extreme = _leaves_the_normal_range(y, a)
        y *= _scale(a, e, factor)
        if extreme.any():
            # The half power stays in range as long as the product does.
            base = a[extreme]
            half = np.power(base, 0.5 * e.high)
            y[extreme] = half * _scale(base, e, factor) * half
    if e.is_odd:
        y *= np.copysign(1.0, x)
    elif not e.is_integer:
        y[(x < 0.0) & np.isfinite(x)] = np.nan
    return y


def power(x: FloatArray, c: ExactNumber) -> FloatArray:
    """x**c entry by entry, same shape and dtype, for an exact constant c."""
    value = exact(c, "power")
    if value == 2:

        def square(block: F64) -> F64:
            return block * block

        return run_body(square, check_float("power", x))
    e = split(value)

    def body(block: F64) -> F64:
        return _scaled_power(block, e, Fraction(1))

    return run_body(body, check_float("power", x))


def power_prime(x: FloatArray, c: ExactNumber) -> FloatArray:
    """c * x**(c-1), the derivative of x**c, same shape and dtype; 0 for c = 0 (as PyTorch).

    Where x**(c-1) overflows or is subnormal, c is multiplied in before anything is rounded away.
    """
    value = exact(c, "power_prime")
    if value != 0 and abs(value) < Fraction(_TINY):
        raise ValueError(f"power_prime: a nonzero exponent below 2**-1022 is not supported, got {c!r}")
    e = split(value - 1)

    def body(block: F64) -> F64:
        if value == 0:
            return np.zeros_like(block)
        if value == 2:
            return block + block
        return _scaled_power(block, e, value)

    return run_body(body, check_float("power_prime", x))

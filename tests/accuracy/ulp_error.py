"""The error of a float in units in the last place of the exact value, computed in integers.

ulp(y) is the spacing of the floats in the binade [2^e, 2^(e+1)) of the *exact* value y; below the normal
range it is the subnormal spacing, above the range that of the last binade. An infinite result is right for
exact values from 2^(emax+1) on; below, it counts by the distance of the exact value from there.
Nothing here rounds before the final quotient.
"""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Format:
    """A binary floating-point format: p bits, exponents emin to emax of the normal numbers."""

    precision: int
    emin: int
    emax: int


FORMATS = {np.dtype(np.float64): Format(53, -1022, 1023), np.dtype(np.float32): Format(24, -126, 127)}

Exact = tuple[int, int]
"""mantissa * 2**exponent"""

# Deeper than this below the smallest subnormal an exact value is as good as 0 (2^-100 of an ulp).
_NEGLIGIBLE_BITS = 100


def ulp_error(got: float, exact: Exact, fmt: Format) -> float:
    """|got - exact| / ulp(exact); inf for NaN, or for an overflow the exact value does not share."""
    mantissa, exponent = exact
    spacing_floor = fmt.emin - fmt.precision + 1
    magnitude = abs(mantissa).bit_length() + exponent - 1 if mantissa else spacing_floor
    if math.isnan(got):
        return math.inf
    if magnitude > fmt.emax + 1:
        return 0.0 if math.isinf(got) and (got > 0) == (mantissa > 0) else math.inf
    if magnitude < spacing_floor - _NEGLIGIBLE_BITS:
        mantissa, exponent = 0, 0
    ulp_exponent = max(min(magnitude, fmt.emax) - fmt.precision + 1, spacing_floor)
    if math.isinf(got):
        # Rounding to infinity is right for everything from 2^(emax+1) on.
        if (got > 0) != (mantissa > 0):
            return math.inf
        if magnitude > fmt.emax:
            return 0.0
        got_mantissa, got_exponent = (1 if got > 0 else -1), fmt.emax + 1
    else:
        got_mantissa, denominator = got.as_integer_ratio()
        got_exponent = 1 - denominator.bit_length()
    unit = min(exponent, got_exponent, ulp_exponent)
    difference = abs((got_mantissa << (got_exponent - unit)) - (mantissa << (exponent - unit)))
    ulp = 1 << (ulp_exponent - unit)
    if difference.bit_length() > ulp.bit_length() + 900:
        return math.inf
    return (difference * 1_000_000 // ulp) / 1_000_000

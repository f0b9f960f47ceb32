"""sin and cos of any finite argument.

NumPy calls the C library in binary64. glibc 2.36 stays below 0.52 ulp except where the result is tiny: its
range reduction of arguments beyond 2^27 is right to about 2^-93 *absolutely*, so next to a multiple of pi/2,
where the result itself may be 2^-61, it is up to 140,000 ulp off. Such entries (one in 2^30 of random ones)
are reduced again, in integers with 1,280 bits of pi. In binary32 NumPy is within 1.5 ulp everywhere.
"""

import numpy as np
import numpy.typing as npt

from prooftape.kernels._constants import HALF_PI, HALF_PI_BITS
from prooftape.kernels.blocks import Kernel, elementwise

F64 = npt.NDArray[np.float64]

_REDUCED_EXACTLY_BEYOND = 2.0**20
_TINY_RESULT = 2.0**-30


def _offset_from_half_turns(x: float) -> float:
    """r = x - n pi/2 for the nearest integer n, correctly rounded but for the bits of pi beyond 1,280."""
    numerator, denominator = x.as_integer_ratio()
    scaled = (numerator << HALF_PI_BITS) // denominator
    remainder = (scaled + HALF_PI // 2) % HALF_PI - HALF_PI // 2
    return remainder / (1 << HALF_PI_BITS)


def _refine_tiny(y: F64, x: F64) -> F64:
    """Replace tiny sines or cosines of large arguments: there |sin| = |cos| = |r| to a relative 2^-62."""
    suspects = np.flatnonzero((np.abs(y) < _TINY_RESULT) & (np.abs(x) > _REDUCED_EXACTLY_BEYOND))
    for i in suspects:
        y[i] = np.copysign(_offset_from_half_turns(float(x[i])), y[i])
    return y


def _sin(x: F64) -> F64:
    return _refine_tiny(np.sin(x), x)


def _cos(x: F64) -> F64:
    return _refine_tiny(np.cos(x), x)


sin: Kernel = elementwise("sin", "Sine of x radians; NaN at +-inf.", _sin, native_single=np.sin)
cos: Kernel = elementwise("cos", "Cosine of x radians; NaN at +-inf.", _cos, native_single=np.cos)

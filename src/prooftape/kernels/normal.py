"""The normal distribution and what is made of it: erf, its density forms, Phi, gelu and gelu'.

Negative tails are products exp(-a^2/2) * R(a) with a = |x|. The exponential takes a^2/2 as an unevaluated
sum of two doubles (Dekker, "A floating-point technique for extending the available precision", 1971),
because one rounding of a^2 alone costs up to 700 ulp. R, the normal tail without its exponential, and the
slope of gelu' about its zero are rational functions with positive coefficients (scripts/
make_kernel_constants.py), the scheme of Cody, "Rational Chebyshev approximations for the error function",
Math. Comp. 23 (1969), with one interval in place of three.
"""

import numpy as np
import numpy.typing as npt

from prooftape.kernels import _constants as k
from prooftape.kernels.blocks import Kernel, elementwise
from prooftape.kernels.elementary import SUBNORMAL_EXP, exp_times

F64 = npt.NDArray[np.float64]
Table = npt.NDArray[np.float64]

# Upper ends of the fits; beyond them the binary64 (binary32) result is 0, or 1 for erf.
_FAR, _FAR_SINGLE = 39.0, 14.5
_FAR_SLOPE_SINGLE = 15.0
_FAR_ERF, _FAR_ERF_SINGLE = 6.0, 4.1

_HIGH_26_BITS = np.uint64(0xFFFF_FFFF_F800_0000)


def _table(pair: tuple[tuple[float, ...], tuple[float, ...]]) -> Table:
    """(P, Q) as rows of shape (2, 1), highest degree first, padded with leading zeros."""
    size = max(len(part) for part in pair)
    rows = [[0.0] * (size - len(part)) + list(reversed(part)) for part in pair]
    return np.array(rows).T.reshape(size, 2, 1)


_TAIL, _TAIL_SINGLE = _table(k.TAIL), _table(k.TAIL_SINGLE)
_SLOPE, _SLOPE_SINGLE = _table(k.SLOPE), _table(k.SLOPE_SINGLE)
_ERF, _ERF_SINGLE = _table(k.ERF), _table(k.ERF_SINGLE)


def _ratio(table: Table, a: F64) -> F64:
    """P(a) / Q(a), both by Horner's rule side by side."""
    both = table[0] * a
    for coefficient in table[1:-1]:
        both += coefficient
        both *= a
    both += table[-1]
    result: F64 = np.divide(both[0], both[1], out=both[0])
    return result


def _square_parts(a: F64) -> tuple[F64, F64]:
    """high + low = a^2 to about 106 bits, high = a * a rounded; a >= 0, a^2 finite."""
    head = (a.view(np.uint64) & _HIGH_26_BITS).view(np.float64)
    high = a * a
    low = head * head
    low -= high
    tail = a - head
    head += a
    tail *= head
    low += tail
    return high, low


def _exp_of_minus_square(a: F64, scale: float) -> tuple[F64, F64, F64]:
    """exp(-scale a^2) for scale 1 or 1/2, with the two parts of scale * a^2."""
    high, low = _square_parts(np.ascontiguousarray(a))
    if scale != 1.0:
        high *= scale
        low *= scale
    e = np.exp(np.negative(high))
    e -= e * low
    return e, high, low


def _half_square_exp_single(a: F64) -> F64:
    # The square of a binary32 number is exact in binary64.
    return np.exp(-0.5 * (a * a))


# erf -------------------------------------------------------------------------------------------------


def _erf_with(table: Table, far: float, x: F64) -> F64:
    # erf(a) = 1 - exp(-q(a)), q(a) = a (2/sqrt(pi) + a U(a)): expm1 keeps relative accuracy down to 0.
    a = np.minimum(np.abs(x), far)
    q = _ratio(table, a)
    q *= a
    q += k.TWO_OVER_SQRT_PI
    q *= a
    np.expm1(np.negative(q, out=q), out=q)
    return np.copysign(q, x, out=q)


def _erf(x: F64) -> F64:
    return _erf_with(_ERF, _FAR_ERF, x)


def _erf_single(x: F64) -> F64:
    return _erf_with(_ERF_SINGLE, _FAR_ERF_SINGLE, x)


def _erf_prime(x: F64) -> F64:
    e, _, _ = _exp_of_minus_square(np.minimum(np.abs(x), _FAR), 1.0)
    e *= k.TWO_OVER_SQRT_PI
    return e


def _erf_prime_single(x: F64) -> F64:
    e = np.exp(-(x * x))
    e *= k.TWO_OVER_SQRT_PI
    return e


# density and distribution ----------------------------------------------------------------------------


def _normal_pdf(x: F64) -> F64:
    e, _, _ = _exp_of_minus_square(np.minimum(np.abs(x), _FAR), 0.5)
    e *= k.INV_SQRT_2PI
    return e


def _normal_pdf_single(x: F64) -> F64:
    e = _half_square_exp_single(x)
    e *= k.INV_SQRT_2PI
    return e


def _below_or_above(x: F64, tail: F64) -> F64:
    """tail where x < 0, 1 - tail where x >= 0."""
    step = np.greater_equal(x, 0.0).astype(np.float64)
    step -= tail
    return np.abs(step, out=step)


def _normal_cdf(x: F64) -> F64:
    a = np.minimum(np.abs(x), _FAR)
    tail = _ratio(_TAIL, a)
    tail *= _exp_of_minus_square(a, 0.5)[0]
    return _below_or_above(x, tail)


def _normal_cdf_single(x: F64) -> F64:
    a = np.minimum(np.abs(x), _FAR_SINGLE)
    tail = _ratio(_TAIL_SINGLE, a)
    tail *= _half_square_exp_single(a)
    return _below_or_above(x, tail)


# gelu ------------------------------------------------------------------------------------------------


def _gelu_from(x: F64, a: F64, tail: F64, e: F64) -> F64:
    # x Phi(x) = max(x, 0) - a R(a) exp(-a^2/2) on both sides; a R(a) < 0.4, so e is multiplied last.
    tail *= a
    tail *= e
    return np.subtract(np.maximum(x, 0.0), tail, out=tail)


def _gelu(x: F64) -> F64:
    a = np.minimum(np.abs(x), _FAR)
    return _gelu_from(x, a, _ratio(_TAIL, a), _exp_of_minus_square(a, 0.5)[0])


def _gelu_single(x: F64) -> F64:
    a = np.minimum(np.abs(x), _FAR_SINGLE)
    return _gelu_from(x, a, _ratio(_TAIL_SINGLE, a), _half_square_exp_single(a))


def _distance_from_root(a: F64) -> F64:
    d = a - k.GELU_ROOT[0]
    d -= k.GELU_ROOT[1]
    return d


def _gelu_prime_from(x: F64, h: F64) -> F64:
    """-h where x < 0, 1 + h where x >= 0, since gelu'(x) + gelu'(-x) = 1 and h = -gelu'(-|x|)."""
    step = np.greater_equal(x, 0.0).astype(np.float64)
    h *= 2.0 * step - 1.0
    h += step
    return h


def _gelu_prime(x: F64) -> F64:
    a = np.minimum(np.abs(x), _FAR)
    e, high, low = _exp_of_minus_square(a, 0.5)
    slope = _ratio(_SLOPE, a)
    slope *= _distance_from_root(a)
    deep = high > -SUBNORMAL_EXP
    if deep.any():
        e[deep] = exp_times(-high[deep], (1.0 - low[deep]) * slope[deep])
        slope[deep] = 1.0
    slope *= e
    return _gelu_prime_from(x, slope)


def _gelu_prime_single(x: F64) -> F64:
    a = np.minimum(np.abs(x), _FAR_SLOPE_SINGLE)
    slope = _ratio(_SLOPE_SINGLE, a)
    slope *= _distance_from_root(a)
    slope *= _half_square_exp_single(a)
    return _gelu_prime_from(x, slope)


erf: Kernel = elementwise(
    "erf", "Error function: 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x.", _erf, _erf_single
)
erf_prime: Kernel = elementwise(
    "erf_prime", "2/sqrt(pi) exp(-x^2), the derivative of erf.", _erf_prime, _erf_prime_single
)
normal_pdf: Kernel = elementwise(
    "normal_pdf", "exp(-x^2/2) / sqrt(2 pi), the standard normal density.", _normal_pdf, _normal_pdf_single
)
normal_cdf: Kernel = elementwise(
    "normal_cdf", "Phi(x), the standard normal distribution function.", _normal_cdf, _normal_cdf_single
)
gelu: Kernel = elementwise("gelu", "x Phi(x), the exact (erf) form; limit 0 at -inf.", _gelu, _gelu_single)
gelu_prime: Kernel = elementwise(
    "gelu_prime",
    "Phi(x) + x phi(x), the derivative of gelu; accurate also at its zero -0.7517915...",
    _gelu_prime,
    _gelu_prime_single,
)

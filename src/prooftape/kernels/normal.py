"""The normal distribution and what is made of it: erf, its density forms, Phi, gelu and gelu'.

Negative tails are products exp(-a^2/2) * (smooth factor of a), a = |x|. The exponential takes a^2/2 as an
unevaluated sum of two doubles (Dekker, "A floating-point technique for extending the available precision",
1971): one rounding of a^2 alone costs up to 700 ulp. The smooth factors are polynomials in
t = (a - k) / (a + k) (Shepherd and Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x",
Math. Comp. 36, 1981), nearly constant, so that the last addition carries nearly all of their error;
scripts/make_kernel_constants.py fits them.
"""

import numpy as np
import numpy.typing as npt

from prooftape.kernels import _constants as k
from prooftape.kernels.blocks import Kernel, elementwise
from prooftape.kernels.elementary import SUBNORMAL_EXP, exp_times

F64 = npt.NDArray[np.float64]

# Upper ends of the fits; beyond them the binary64 (binary32) result is 0, or 1 for erf.
_FAR, _FAR_SINGLE = 39.0, 14.5
_FAR_SLOPE_SINGLE = 15.0
_FAR_ERF, _FAR_ERF_SINGLE = 6.0, 4.1

_HIGH_26_BITS = np.uint64(0xFFFF_FFFF_F800_0000)


def _factor(coefficients: tuple[float, ...], centre: float, a: F64, low: F64 | None = None) -> F64:
    """p(t) (1 - low), t = (a - centre) / (a + centre), by Horner's rule; |low| < 1e-12.

    `low` gathers small relative corrections of the whole product: what exp(-high) lacks of
    exp(-(high + low)), and rounding errors of other factors. Taken in before the constant is added, they cost
    no rounding.
    """
    t = a + a
    t /= a + centre
    t -= 1.0  # absolute error of t below that of the quotient for small a, where p is steepest
    result = t * coefficients[-1]
    for coefficient in reversed(coefficients[1:-1]):
        result += coefficient
        result *= t
    if low is not None:
        result -= (result + coefficients[0]) * low
    result += coefficients[0]
    return result


def _plus_one(a: F64) -> tuple[F64, F64]:
    """a + 1 rounded, and its rounding error relative to it: a + 1 = total (1 + error); a >= 0."""
    total = a + 1.0
    error = a - (total - 1.0)
    error /= total
    return total, error


def _square_parts(a: F64, scale: float) -> tuple[F64, F64]:
    """high + low = scale a^2 to about 106 bits, for a >= 0, a^2 finite and scale 1 or 1/2."""
    head = (a.view(np.uint64) & _HIGH_26_BITS).view(np.float64)
    high = a * a
    low = head * head  # exact
    low -= high  # exact
    tail = a - head
    head += a
    tail *= head
    low += tail
    if scale != 1.0:
        high *= scale
        low *= scale
    return high, low


def _half_square_exp_single(a: F64) -> F64:
    # The square of a binary32 number is exact in binary64.
    return np.exp(-0.5 * (a * a))


# erf -------------------------------------------------------------------------------------------------


def _table(pair: tuple[tuple[float, ...], tuple[float, ...]]) -> F64:
    """(P, Q) as rows of shape (2, 1), highest degree first."""
    return np.array(pair)[:, ::-1].T.reshape(-1, 2, 1)


_ERF, _ERF_SINGLE = _table(k.ERF), _table(k.ERF_SINGLE)


def _erf_with(table: F64, far: float, x: F64) -> F64:
    # erf(a) = 1 - exp(-q(a)), q(a) = a (2/sqrt(pi) + a P(a)/Q(a)): expm1 keeps relative accuracy down to 0,
    # and the more it saturates the less it feels of q's error.
    a = np.minimum(np.abs(x), far)
    both = table[0] * a
    for coefficients in table[1:-1]:
        both += coefficients
        both *= a
    both += table[-1]
    q: F64 = np.divide(both[0], both[1], out=both[0])
    q *= a
    q += k.TWO_OVER_SQRT_PI
    q *= a
    np.expm1(np.negative(q, out=q), out=q)
    return np.copysign(q, x, out=q)


def _erf(x: F64) -> F64:
    return _erf_with(_ERF, _FAR_ERF, x)


def _erf_single(x: F64) -> F64:
    return _erf_with(_ERF_SINGLE, _FAR_ERF_SINGLE, x)


def _density(x: F64, scale: float, constant: float) -> F64:
    """constant * exp(-scale x^2)."""
    high, low = _square_parts(np.minimum(np.abs(x), _FAR), scale)
    e = np.exp(np.negative(high, out=high))
    low *= -constant
    low += constant
    e *= low
    return e


def _erf_prime(x: F64) -> F64:
    return _density(x, 1.0, k.TWO_OVER_SQRT_PI)


def _erf_prime_single(x: F64) -> F64:
    e = np.exp(-(x * x))
    e *= k.TWO_OVER_SQRT_PI
    return e


# density and distribution ----------------------------------------------------------------------------


def _normal_pdf(x: F64) -> F64:
    return _density(x, 0.5, k.INV_SQRT_2PI)


def _normal_pdf_single(x: F64) -> F64:
    e = _half_square_exp_single(x)
    e *= k.INV_SQRT_2PI
    return e


def _step(x: F64) -> F64:
    """1 where x >= 0, else 0: selects without a branch on each entry."""
    return np.greater_equal(x, 0.0).astype(np.float64)


def _below_or_above(x: F64, tail: F64) -> F64:
    """tail where x < 0, 1 - tail where x >= 0."""
    step = _step(x)
    step -= tail
    return np.abs(step, out=step)


def _normal_cdf(x: F64) -> F64:
    a = np.minimum(np.abs(x), _FAR)
    high, low = _square_parts(a, 0.5)
    total, error = _plus_one(a)
    low += error
    tail = _factor(k.TAIL, k.TAIL_CENTRE, a, low)
    tail /= total
    tail *= np.exp(np.negative(high, out=high))
    return _below_or_above(x, tail)


def _normal_cdf_single(x: F64) -> F64:
    a = np.minimum(np.abs(x), _FAR_SINGLE)
    tail = _factor(k.TAIL_SINGLE, k.TAIL_SINGLE_CENTRE, a)
    tail /= a + 1.0
    tail *= _half_square_exp_single(a)
    return _below_or_above(x, tail)


# gelu ------------------------------------------------------------------------------------------------


def _gelu_from(x: F64, a: F64, total: F64, factor: F64, e: F64) -> F64:
    # x Phi(x) = max(x, 0) - a Phi(-a) on both sides. e goes last: it may be subnormal, the rest is < 0.4.
    factor *= a
    factor /= total
    factor *= e
    return np.subtract(np.maximum(x, 0.0), factor, out=factor)


def _gelu(x: F64) -> F64:
    a = np.minimum(np.abs(x), _FAR)
    high, low = _square_parts(a, 0.5)
    total, error = _plus_one(a)
    low += error
    factor = _factor(k.TAIL, k.TAIL_CENTRE, a, low)
    return _gelu_from(x, a, total, factor, np.exp(np.negative(high, out=high)))


def _gelu_single(x: F64) -> F64:
    a = np.minimum(np.abs(x), _FAR_SINGLE)
    factor = _factor(k.TAIL_SINGLE, k.TAIL_SINGLE_CENTRE, a)
    return _gelu_from(x, a, a + 1.0, factor, _half_square_exp_single(a))


def _gelu_prime_from(x: F64, h: F64) -> F64:
    """-h where x < 0, 1 + h where x >= 0, since gelu'(x) + gelu'(-x) = 1 and h = -gelu'(-|x|)."""
    step = _step(x)
    h *= 2.0 * step - 1.0
    h += step
    return h


def _gelu_prime(x: F64) -> F64:
    a = np.minimum(np.abs(x), _FAR)
    high, low = _square_parts(a, 0.5)
    # distance = a - root in two subtractions, whose rounding errors are computed exactly and join `low`.
    rough = a - k.GELU_ROOT[0]
    distance = rough - k.GELU_ROOT[1]
    error = a - rough
    error -= k.GELU_ROOT[0]
    rough -= distance
    rough -= k.GELU_ROOT[1]
    error += rough
    error /= distance
    low -= error
    slope = _factor(k.SLOPE, k.SLOPE_CENTRE, a, low)
    slope *= distance
    np.negative(high, out=high)
    e = np.exp(high)
    deep = high < SUBNORMAL_EXP
    if deep.any():
        e[deep] = exp_times(high[deep], slope[deep])
        slope[deep] = 1.0
    slope *= e
    return _gelu_prime_from(x, slope)


def _gelu_prime_single(x: F64) -> F64:
    a = np.minimum(np.abs(x), _FAR_SLOPE_SINGLE)
    slope = _factor(k.SLOPE_SINGLE, k.SLOPE_SINGLE_CENTRE, a)
    slope *= a - k.GELU_ROOT[0]  # no binary32 number is close enough to the root to need its low part
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

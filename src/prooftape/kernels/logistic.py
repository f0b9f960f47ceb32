"""The logistic family: sigmoid, softplus, silu, and the derivatives of sigmoid, tanh and silu.

All are written in e = exp(-|x|), which is at most 1 and exact in both tails, so no difference of nearly
equal numbers occurs; silu' alone has a zero (at -1.278...), where its numerator is expanded about the root.
sigmoid' = e / (1 + e)^2 and tanh' = 4 e^2 / (1 + e^2)^2 follow from the definitions; never 1 - tanh^2.
"""

import numpy as np
import numpy.typing as npt

from prooftape.kernels._constants import SILU_ROOT, SILU_ROOT_EXP
from prooftape.kernels.blocks import Kernel, elementwise
from prooftape.kernels.elementary import SUBNORMAL_EXP, exp_times

F64 = npt.NDArray[np.float64]

# Beyond this every exp(-a) or a * exp(-a) is 0 in binary64; clamping keeps inf * 0 out.
DEEP = 1000.0


def _exp_of_minus(a: F64) -> F64:
    return np.exp(np.negative(a))


def _numerator(x: F64, e: F64) -> F64:
    """1 where x >= 0, else e (e <= 1), without a data-dependent branch; NaN stays."""
    step = np.greater_equal(x, 0.0).astype(np.float64)
    return np.maximum(e, step, out=step)


def _sigmoid(x: F64) -> F64:
    e = _exp_of_minus(np.abs(x))
    result = _numerator(x, e)
    e += 1.0
    result /= e
    return result


def _one_plus_squared(e: F64) -> F64:
    """(1 + e)^2 as 1 + e (2 + e): for small e one rounding instead of the three of squaring 1 + e."""
    result = e + 2.0
    result *= e
    result += 1.0
    return result


def _sigmoid_prime(x: F64) -> F64:
    e = _exp_of_minus(np.abs(x))
    e /= _one_plus_squared(e)
    return e


def _tanh_prime(x: F64) -> F64:
    a = np.abs(x)
    p = np.exp(-2.0 * a)
    denominator = _one_plus_squared(p)
    p *= 4.0
    p /= denominator
    deep = a > -0.5 * SUBNORMAL_EXP
    if deep.any():
        p[deep] = exp_times(-2.0 * np.minimum(a[deep], DEEP), 4.0)
    return p


def _tanh_prime_single(x: F64) -> F64:
    # What is subnormal in binary64 is 0 in binary32.
    a = np.abs(x)
    a *= -2.0
    p = np.exp(a, out=a)
    denominator = _one_plus_squared(p)
    p *= 4.0
    p /= denominator
    return p


def _softplus(x: F64) -> F64:
    e = _exp_of_minus(np.abs(x))
    np.log1p(e, out=e)
    e += np.maximum(x, 0.0)
    return e


def _silu(x: F64) -> F64:
    x = np.maximum(x, -DEEP)
    result = _sigmoid(x)
    result *= x
    deep = x < SUBNORMAL_EXP
    if deep.any():
        result[deep] = exp_times(x[deep], x[deep])
    return result


def _silu_single(x: F64) -> F64:
    # What is subnormal in binary64 is 0 in binary32.
    x = np.maximum(x, -DEEP)
    result = _sigmoid(x)
    result *= x
    return result


def _reflect(x: F64, g: F64) -> F64:
    """g where x < 0, 1 - g where x >= 0: for functions with f(x) + f(-x) = 1 and g = f(-|x|)."""
    step = np.greater_equal(x, 0.0).astype(np.float64)
    g *= 1.0 - 2.0 * step
    g += step
    return g


def _silu_prime(x: F64) -> F64:
    a = np.minimum(np.abs(x), -SUBNORMAL_EXP)
    # silu'(-a) = (1 - a + e^-a) / (e^a + 2 + e^-a); near 0 the errors of the two exponentials cancel below.
    # The numerator is -d + exp(-root) expm1(-d), d = a - root: both terms have one sign. Rounding errors of
    # the denominator and of d, and the low part of the root, are known and go into the smaller term.
    grow = np.exp(a)
    shrink = np.divide(1.0, grow)
    shrink += 2.0
    denominator = grow + shrink
    error = denominator - shrink
    np.subtract(grow, error, out=error)
    error /= denominator

    d = a - SILU_ROOT[0]
    lacking = a - d
    lacking -= SILU_ROOT[0]
    lacking -= SILU_ROOT[1] * (1.0 + SILU_ROOT_EXP)
    n = np.expm1(np.negative(d))
    n *= SILU_ROOT_EXP
    error *= n - d
    lacking += error
    n -= lacking
    n -= d
    n /= denominator
    result = _reflect(x, n)
    deep = x < SUBNORMAL_EXP
    if deep.any():
        tail = np.maximum(x[deep], -DEEP)
        result[deep] = exp_times(tail, tail + 1.0)
    return result


def _silu_prime_single(x: F64) -> F64:
    # No binary32 number is close enough to the root to need the expansion: binary64 has 29 bits to spare.
    a = np.minimum(np.abs(x), DEEP)
    e = _exp_of_minus(a)
    n = 1.0 - a
    n += e
    n *= e
    n /= _one_plus_squared(e)
    return _reflect(x, n)


sigmoid: Kernel = elementwise("sigmoid", "1 / (1 + e**-x).", _sigmoid)
sigmoid_prime: Kernel = elementwise(
    "sigmoid_prime", "sigmoid(x) sigmoid(-x), the derivative of sigmoid; even, 1/4 at 0.", _sigmoid_prime
)
tanh_prime: Kernel = elementwise(
    "tanh_prime",
    "sech(x)^2, the derivative of tanh; accurate where tanh(x)^2 rounds to 1.",
    _tanh_prime,
    _tanh_prime_single,
)
softplus: Kernel = elementwise("softplus", "log(1 + e**x) = max(x, 0) + log1p(e**-|x|).", _softplus)
silu: Kernel = elementwise("silu", "x sigmoid(x); limit -0 at -inf.", _silu, _silu_single)
silu_prime: Kernel = elementwise(
    "silu_prime",
    "sigmoid(x) (1 + x sigmoid(-x)), the derivative of silu; accurate also at its zero -1.2784645...",
    _silu_prime,
    _silu_prime_single,
)

"""Scalar functions on JAX values of float32 or float64, each in the precision of its argument.

`lax` has most of them; what it lacks is written in forms that keep relative accuracy in both tails. There is
no wider format to hide a rounding in (float64 needs a switch of the whole program), so the forms avoid
cancellation instead. XLA on a CPU flushes subnormals to zero, operands and results: a result whose exact
value is below about 1e3 times the least normal number may come out as 0.

XLA may contract a * b + c to one rounding. Compensated forms here stay right with and without that:
their products are exact, or their low parts are.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from jax import lax

from prooftape.kernels import _constants as k
from prooftape.numbers import Number

Value = Any
"""A JAX array or tracer, or a NumPy array of the same dtype."""

DEEP = 1000.0  # beyond this every exp(-a) or a * exp(-a) is 0; clamping keeps inf * 0 out
PRODUCTS = (-3, 8)  # from and up to which x**c is a product: at most seven roundings, and no logarithm


def number(x: Value, c: float) -> Any:
    """c as a scalar of x's dtype: a literal in the program, never a weak type."""
    return x.dtype.type(c)


def splat(x: Value, c: float) -> Value:
    """An array like x with every entry c."""
    return lax.broadcast(number(x, c), x.shape)


def add(x: Value, c: float) -> Value:
    return lax.add(x, number(x, c))


def mul(x: Value, c: float) -> Value:
    return lax.mul(x, number(x, c))


def at_least(x: Value, c: float) -> Value:
    return lax.max(x, number(x, c))


def at_most(x: Value, c: float) -> Value:
    return lax.min(x, number(x, c))


def reciprocal(x: Value) -> Value:
    return lax.div(number(x, 1), x)


def is_nan(x: Value) -> Value:
    return lax.ne(x, x)


def _minus(a: Value, root: tuple[float, float]) -> Value:
    """a - (root[0] + root[1]) for a below 1000, accurate also near the root; root[1] is the smaller part."""
    high = float(number(a, root[0]))
    # the minimum keeps XLA from adding up the two constants
    return add(at_most(add(a, -high), DEEP), high - root[0] - root[1])


def _horner(coefficients: Sequence[float], t: Value) -> Value:
    """The polynomial without its constant, lowest coefficient first."""
    result = mul(t, coefficients[-1])
    for c in reversed(coefficients[1:-1]):
        result = lax.mul(add(result, c), t)
    return result


# -- the logistic family: e = exp(-|x|) is at most 1 and exact in both tails ---------------------------------


def _one_plus_squared(e: Value) -> Value:
    """(1 + e)^2 as 1 + e (2 + e)."""
    return add(lax.mul(add(e, 2), e), 1)


def softplus(x: Value) -> Value:
    return lax.add(at_least(x, 0), lax.log1p(lax.exp(lax.neg(lax.abs(x)))))


def silu(x: Value) -> Value:
    x = at_least(x, -DEEP)
    return lax.mul(x, lax.logistic(x))


def sigmoid_prime(x: Value) -> Value:
    e = lax.exp(lax.neg(lax.abs(x)))
    return lax.div(e, _one_plus_squared(e))


def tanh_prime(x: Value) -> Value:
    p = lax.exp(mul(lax.abs(x), -2))
    return lax.div(mul(p, 4), _one_plus_squared(p))


def silu_prime(x: Value) -> Value:
    """silu'(-a) = e (1 - a + e) / (1 + e)^2, e = exp(-a), and silu'(x) + silu'(-x) = 1.

    The numerator is expanded about its root: -d + exp(-root) expm1(-d), d = a - root, terms of one sign.
    """
    a = at_most(lax.abs(x), DEEP)
    e = lax.exp(lax.neg(a))
    d = _minus(a, k.SILU_ROOT)
    n = lax.sub(mul(lax.expm1(lax.neg(d)), k.SILU_ROOT_EXP), d)
    n = lax.div(lax.mul(n, e), _one_plus_squared(e))
    return lax.select(lax.ge(x, number(x, 0)), lax.sub(number(x, 1), n), n)


# -- the normal distribution -------------------------------------------------------------------------------


def _gaussian(a: Value, scale: float) -> Value:
    """exp(-scale a^2) for 0 <= a <= 39 (14.5 in float32), scale 1 or 1/2.

    One rounding of a^2 alone would cost a^2 units: a is split into a head, whose square is exact, and the
    rest of a^2, at most 0.06 (float64: 3e-5), whose exponential is a polynomial: XLA would turn the product
    of two exponentials into the exponential of the rounded sum.
    """
    info = np.finfo(a.dtype)
    head = lax.reduce_precision(a, info.nexp, (info.nmant - 1) // 2)
    rest = mul(lax.mul(lax.sub(a, head), lax.add(a, head)), -scale)
    series = rest
    for n in (4, 3, 2) if _single(a) else (3, 2):
        series = lax.mul(add(mul(series, 1 / n), 1), rest)
    return lax.mul(lax.exp(mul(lax.mul(head, head), -scale)), add(series, 1))


def _density(x: Value, scale: float, constant: float) -> Value:
    return mul(_gaussian(at_most(lax.abs(x), 14.5 if _single(x) else 39.0), scale), constant)


def erf_prime(x: Value) -> Value:
    return _density(x, 1.0, k.TWO_OVER_SQRT_PI)


def normal_pdf(x: Value) -> Value:
    return _density(x, 0.5, k.INV_SQRT_2PI)


def _factor(coefficients: Sequence[float], centre: float, a: Value) -> Value:
    """p(t), t = (a - centre) / (a + centre): the smooth factor of a normal tail (see kernels.normal)."""
    t = add(lax.div(lax.add(a, a), add(a, centre)), -1)
    return add(_horner(coefficients, t), coefficients[0])


def _single(x: Value) -> bool:
    return bool(x.dtype == np.float32)


def gelu(x: Value) -> Value:
    """x Phi(x) = max(x, 0) - a Phi(-a) on both sides, a = |x|."""
    table, centre, far = (
        (k.TAIL_SINGLE, k.TAIL_SINGLE_CENTRE, 14.5) if _single(x) else (k.TAIL, k.TAIL_CENTRE, 39.0)
    )
    a = at_most(lax.abs(x), far)
    tail = lax.mul(lax.div(lax.mul(_factor(table, centre, a), a), add(a, 1)), _gaussian(a, 0.5))
    return lax.sub(at_least(x, 0), tail)


def gelu_prime(x: Value) -> Value:
    """h where x < 0, 1 - h where x >= 0: gelu'(x) + gelu'(-x) = 1 and h = gelu'(-|x|)."""
    table, centre, far = (
        (k.SLOPE_SINGLE, k.SLOPE_SINGLE_CENTRE, 15.0) if _single(x) else (k.SLOPE, k.SLOPE_CENTRE, 39.0)
    )
    a = at_most(lax.abs(x), far)
    distance = _minus(a, k.GELU_ROOT)
    h = lax.mul(lax.mul(_factor(table, centre, a), distance), _gaussian(a, 0.5))
    return lax.select(lax.ge(x, number(x, 0)), add(h, 1), lax.neg(h))


# -- exponentials, logarithms, and powers with a literal --------------------------------------------------


def log1p(x: Value) -> Value:
    """log(1 + x). In float64 (XLA's own is 128 units off at -0.414): log u + (x - (u - 1)) / u, u = 1 + x."""
    if _single(x):
        return lax.log1p(x)
    u = at_least(add(x, 1), -1)  # below 0 all one; and nothing may make x + 1 - 1 into x
    log = lax.log(u)
    corrected = lax.add(log, lax.div(lax.sub(x, add(u, -1)), u))
    corrected = lax.select(lax.eq(u, number(x, 1)), x, corrected)  # -0.0 too
    return lax.select(lax.is_finite(log), corrected, log)


def exp_difference(x: Value, y: Value) -> Value:
    """exp(x - y): x - y is z + low exactly (Knuth's two-sum), exp(z + low) = exp(z) (1 + low) to rounding.

    A factor 1 + low, not a term exp(z) low to be added: that would be flushed long before exp(z) is.
    """
    z = lax.sub(x, y)
    back = lax.sub(z, x)
    low = lax.sub(lax.sub(x, lax.sub(z, back)), lax.add(y, back))
    e = lax.exp(z)
    # low is large where exp(z) is 0 or inf, and nan where x or y is infinite
    return lax.select(lax.lt(lax.abs(low), number(x, 0.5)), lax.mul(e, add(low, 1)), e)


def scaled_exp(x: Value, c: float) -> Value:
    """c exp(x); by half powers, so that the product stays in range as long as the result does."""
    if c == 1:
        return lax.exp(x)
    if c == 0:
        return lax.select(is_nan(x), x, splat(x, 0))
    half = lax.exp(mul(x, 0.5))
    return lax.mul(mul(half, c), half)


def _product(x: Value, n: int) -> Value:
    """x**n for n >= 1 by squarings."""
    result = None
    while True:
        if n % 2:
            result = x if result is None else lax.mul(result, x)
        n //= 2
        if not n:
            return result
        x = lax.mul(x, x)


def _signed(x: Value, y: Value) -> Value:
    """y >= 0 with the sign of x, that of a zero included."""
    zero = number(x, 0)
    below = lax.bitwise_or(lax.lt(x, zero), lax.lt(reciprocal(x), zero))
    return lax.select(below, lax.neg(y), y)


def scaled_power(x: Value, c: Fraction, factor: Fraction) -> Value:
    """factor * x**c, factor not 0. Special values follow IEEE 754 `pow` (see kernels.power)."""
    scale = float(factor)
    if c == 0:
        return splat(x, scale)
    whole = c.denominator == 1
    if whole and PRODUCTS[0] <= c <= PRODUCTS[1]:
        base = x if c > 0 else reciprocal(x)
        n = abs(c.numerator)
        if scale == 1:
            return _product(base, n)
        first = mul(base, scale)  # the factor goes in first: the power alone may leave the range
        return first if n == 1 else lax.mul(first, _product(base, n - 1))
    a = lax.abs(x)
    high = float(number(x, float(c)))
    if high == 0:  # the nearest number must not turn a limit (0**c) into that of the exponent 0
        high = float(np.finfo(x.dtype).tiny) * (1 if c > 0 else -1)
    if abs(c) == Fraction(1, 2):
        y = lax.sqrt(a) if c > 0 else reciprocal(lax.sqrt(a))
        y = y if scale == 1 else mul(y, scale)
    elif scale == 1:
        y = lax.mul(lax.pow(a, number(x, high)), _correction(a, c, high))
    else:
        half = lax.pow(a, number(x, high / 2))
        y = lax.mul(lax.mul(mul(half, scale), _correction(a, c, high)), half)
    if whole:
        return _signed(x, y) if c.numerator % 2 else y
    inside = lax.bitwise_or(lax.ge(x, number(x, 0)), lax.eq(x, number(x, -np.inf)))
    return lax.select(inside, y, splat(x, np.nan))


def _correction(a: Value, c: Fraction, high: float) -> Value:
    """a**(c - high) = 1 + (c - high) log(a); 1 where the logarithm is infinite, the limit being reached."""
    low = float(c - Fraction(high))
    if low == 0:
        return number(a, 1)
    log = lax.log(a)
    return lax.select(lax.is_finite(log), add(mul(log, low), 1), splat(a, 1))


def power(x: Value, c: Number) -> Value:
    return scaled_power(x, Fraction(c), Fraction(1))


def power_prime(x: Value, c: Number) -> Value:
    """c x**(c-1); 0 for c = 0."""
    e = Fraction(c)
    return scaled_power(x, e - 1, e) if e else splat(x, 0)

"""What each function is, in exact real arithmetic: formulas over python-flint's balls or over mpmath.

A formula is written once, from the definition (gelu' as Phi + x phi, not as the kernel computes it), and
evaluated at the stored float with more and more bits until ACCURATE_BITS of the result are right: flint
proves that by its ball, mpmath by the agreement of two precisions. mpmath is some 50 times slower.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
from ulp_error import Exact

try:
    import flint
except ImportError:
    flint = None

ACCURATE_BITS = 120
FIRST_BITS = 256
LAST_BITS = 1 << 15
# Below 2^-1400 (and above 2^1400) every format in use has under- or overflowed long ago.
BEYOND = 1400

Real = Any  # flint.arb or mpmath.mpf
Formula = Callable[[Any, Real], Real]


class FlintReals:
    """Ball arithmetic: a result carries its own error bound."""

    def rational(self, value: Fraction) -> Real:
        return flint.arb(flint.fmpq(value.numerator, value.denominator))

    def pi(self) -> Real:
        return flint.arb.pi()

    def __getattr__(self, function: str) -> Callable[[Real], Real]:
        return lambda x: getattr(x, function)()

    def evaluate(self, formula: Formula, x: float) -> Exact:
        bits, before = FIRST_BITS, flint.ctx.prec
        try:
            while bits <= LAST_BITS:
                flint.ctx.prec = bits
                y = formula(self, flint.arb(x))
                if y.is_finite() and abs(y) < flint.arb(2) ** -BEYOND:
                    return 0, 0
                if y.is_finite() and (y == 0 or y.rel_accuracy_bits() >= ACCURATE_BITS):
                    mantissa, exponent = y.mid().man_exp()
                    return int(mantissa), int(exponent)
                bits *= 2
        finally:
            flint.ctx.prec = before
        raise ArithmeticError(f"no {ACCURATE_BITS} right bits at x = {x!r}")


class MpmathReals:
    """The same with mpmath, accepted when two precisions agree."""

    def rational(self, value: Fraction) -> Real:
        return mpmath.mpf(value.numerator) / value.denominator

    def pi(self) -> Real:
        return +mpmath.mp.pi

    def __getattr__(self, function: str) -> Callable[[Real], Real]:
        return getattr(mpmath, function)  # type: ignore[no-any-return]

    def evaluate(self, formula: Formula, x: float) -> Exact:
        bits, previous = FIRST_BITS, None
        while bits <= LAST_BITS:
            with mpmath.workprec(bits):
                y = formula(self, mpmath.mpf(x))
                if previous is not None and abs(y - previous) <= abs(y) * mpmath.mpf(2) ** -ACCURATE_BITS:
                    mantissa, exponent = y.man_exp  # of |y|
                    return (-int(mantissa) if y < 0 else int(mantissa)), int(exponent)
            previous, bits = y, bits * 2
        raise ArithmeticError(f"no {ACCURATE_BITS} right bits at x = {x!r}")


REALS: FlintReals | MpmathReals = MpmathReals() if flint is None else FlintReals()


def _normal_cdf(m: Any, x: Real) -> Real:
    if x < -(2**20):
        return m.rational(Fraction(0))  # less than 2^(-2^38); mpmath's erfc overflows on it
    return m.erfc(-x / m.sqrt(m.rational(Fraction(2)))) / 2


def _normal_pdf(m: Any, x: Real) -> Real:
    return m.exp(-x * x / 2) / m.sqrt(2 * m.pi())


def _sigmoid(m: Any, x: Real) -> Real:
    # Two forms of one formula, so that the exponential never overflows the reference.
    return 1 / (1 + m.exp(-x)) if x > 0 else m.exp(x) / (1 + m.exp(x))


def _sech_squared(m: Any, x: Real) -> Real:
    decay = m.exp(-2 * abs(x))
    return 4 * decay / ((1 + decay) * (1 + decay))


def _softplus(m: Any, x: Real) -> Real:
    return m.log1p(m.exp(x)) if x <= 0 else x + m.log1p(m.exp(-x))


FORMULAS: dict[str, Formula] = {
    "exp": lambda m, x: m.exp(x),
    "expm1": lambda m, x: m.expm1(x),
    "log": lambda m, x: m.log(x),
    "log1p": lambda m, x: m.log1p(x),
    "sqrt": lambda m, x: m.sqrt(x),
    "sin": lambda m, x: m.sin(x),
    "cos": lambda m, x: m.cos(x),
    "minus_sin": lambda m, x: -m.sin(x),
    "tanh": lambda m, x: m.tanh(x),
    "reciprocal": lambda m, x: 1 / x,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "erf": lambda m, x: m.erf(x),
    "normal_cdf": _normal_cdf,
    "normal_pdf": _normal_pdf,
    "gelu": lambda m, x: x * _normal_cdf(m, x),
    "silu": lambda m, x: x * _sigmoid(m, x),
    "sqrt_prime": lambda m, x: 1 / (2 * m.sqrt(x)),
    "log1p_prime": lambda m, x: 1 / (1 + x),
    "reciprocal_prime": lambda m, x: -1 / (x * x),
    "twice": lambda m, x: 2 * x,
    "sigmoid_prime": lambda m, x: _sigmoid(m, x) * _sigmoid(m, -x),
    "tanh_prime": _sech_squared,
    "erf_prime": lambda m, x: 2 * m.exp(-x * x) / m.sqrt(m.pi()),
    "gelu_prime": lambda m, x: _normal_cdf(m, x) + x * _normal_pdf(m, x),
    "silu_prime": lambda m, x: _sigmoid(m, x) * (1 + x * _sigmoid(m, -x)),
}


def power_formula(c: Fraction, factor: Fraction = Fraction(1)) -> Formula:
    """factor * x**c; for x < 0 only with integer c."""

    def formula(m: Any, x: Real) -> Real:
        magnitude = m.exp(m.rational(c) * m.log(abs(x))) * m.rational(factor)
        return -magnitude if x < 0 and c.numerator % 2 == 1 else magnitude

    return formula


def scaled_exp_formula(factor: float) -> Formula:
    return lambda m, x: m.exp(x) * m.rational(Fraction(factor))

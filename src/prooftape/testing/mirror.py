"""Exact rationals with the scalar functions of the theory's `Eval/RationalNum.v`, formula by formula.

Rocq and Python compute the same numbers, so an op's forward, JVP and VJP can be compared exactly. `exp`
is 2^x on integers and `log` is additive on powers of two: shifting a softmax by its maximum changes nothing,
as over the reals; sqrt is right on squares of integers; sigmoid and softplus have their symmetries. Every
other function is some positive number fixed by its name and argument, so that rules which agree call the
same functions on the same arguments, short of a coincidence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from prooftape.arrays.exact import ExactArrays, boxed
from prooftape.arrays.structure import Arr
from prooftape.numbers import Number
from prooftape.scalars import Scalar, _as_fractions, _rational

FUNCTIONS = (
    "exp",
    "expm1",
    "log",
    "log1p",
    "sqrt",
    "sin",
    "cos",
    "tanh",
    "sigmoid",
    "softplus",
    "erf",
    "gelu",
    "silu",
    "tanh_prime",
    "sigmoid_prime",
    "erf_prime",
    "gelu_prime",
    "silu_prime",
    "normal_pdf",
)
"""In the order of `fn` in Spec/Scalar.v."""


def opaque(k: int, x: Fraction) -> Fraction:
    """A positive number made of k and x."""
    p, q = x.numerator, x.denominator
    return Fraction(
        (31 * p + 17 * q + 7919 * (k + 1)) % 61 + 1, (13 * p + 7 * q * q + 104729 * (k + 1)) % 11 + 1
    )


def _odd_part(n: int) -> tuple[int, int]:
    k = (n & -n).bit_length() - 1
    return k, n >> k


def apply(name: str, x: Fraction) -> Fraction:
    """The function of this name at x."""
    if name == "exp" and x.denominator == 1:
        return Fraction(2) ** int(x)
    if name == "log" and x > 0:
        (a, o), (b, r) = _odd_part(x.numerator), _odd_part(x.denominator)
        rest = Fraction(o, r)
        return Fraction(a - b) + (opaque(2, rest) if rest != 1 else 0)
    if name == "sqrt" and x.denominator == 1 and x > 0 and math.isqrt(int(x)) ** 2 == x:
        return Fraction(math.isqrt(int(x)))
    k = FUNCTIONS.index(name)
    if name == "sigmoid" and x >= 0:
        return 1 - opaque(k, -x) if x else Fraction(1, 2)
    if name == "softplus" and x > 0:
        return x + opaque(k, -x)
    return opaque(k, x)


class MirrorArrays(ExactArrays):
    """Rationals with the theory's stand-ins for transcendental functions."""

    def _each(self, x: Arr, f: Callable[[Fraction], Fraction]) -> Arr:
        out = np.empty(x.size, dtype=object)
        values = (Fraction(int(v.numerator), int(v.denominator)) for v in map(_parts, x.ravel()))
        out[:] = [self.element(f(v)) for v in values]
        return boxed(out.reshape(x.shape))

    def transcendental(self, name: str, x: Arr) -> Arr:
        return self._each(x, lambda v: apply(name, v))

    def pow(self, x: Arr, c: Number) -> Arr:
        e = Fraction(c)
        if e.denominator == 1:
            return super().pow(x, c)
        return self._each(x, lambda v: opaque(100 + e.numerator + 7 * e.denominator, v))


def _parts(v: Any) -> Fraction:
    return v if isinstance(v, Fraction) else Fraction(int(v.p), int(v.q))


@cache
def mirror_rationals() -> Scalar:
    """Exact rationals that compute what the theory's `Qn` computes, as a session scalar."""
    return Scalar("mirror rationals", MirrorArrays("mirror rationals", _rational().xp.element), _as_fractions)  # type: ignore[attr-defined]

"""Polynomials with rational coefficients, the same normal form as the theory's `Eval/PolynomialNum.v`.

A dictionary from a sorted tuple of variables (with repetition) to a coefficient that is not 0. Only what
exact array code needs: sums, products, and division by constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from prooftape.arrays.exact import ExactArrays
from prooftape.arrays.structure import Arr
from prooftape.certificates.terms import integer
from prooftape.numbers import Number, as_fraction, as_number

Monomial = tuple[int, ...]


class NotPolynomial(ArithmeticError):
    """An order, a division by a variable: this op is not polynomial."""


class Polynomial:
    """Immutable; equal by content."""

    __slots__ = ("terms",)

    def __init__(self, terms: Mapping[Monomial, Fraction]) -> None:
        self.terms = {m: c for m, c in sorted(terms.items()) if c}

    def __add__(self, other: Polynomial) -> Polynomial:
        total = dict(self.terms)
        for m, c in other.terms.items():
            total[m] = total.get(m, Fraction(0)) + c
        return Polynomial(total)

    def __neg__(self) -> Polynomial:
        return Polynomial({m: -c for m, c in self.terms.items()})

    def __sub__(self, other: Polynomial) -> Polynomial:
        return self + -other

    def __mul__(self, other: Polynomial) -> Polynomial:
        total: dict[Monomial, Fraction] = {}
        for m, c in self.terms.items():
            for n, d in other.terms.items():
                k = tuple(sorted(m + n))
                total[k] = total.get(k, Fraction(0)) + c * d
        return Polynomial(total)

    def __truediv__(self, other: Polynomial) -> Polynomial:
        if list(other.terms) != [()]:
            raise NotPolynomial("division by a polynomial that is no constant")
        return self * constant(1 / other.terms[()])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Polynomial) and self.terms == other.terms

    def __hash__(self) -> int:
        return hash(tuple(self.terms.items()))

    def _no_order(self, other: object) -> bool:
        raise NotPolynomial("variables have no order")

    __lt__ = __le__ = __gt__ = __ge__ = _no_order


def constant(value: Number) -> Polynomial:
    return Polynomial({(): as_fraction(value)})


def variable(i: int) -> Polynomial:
    return Polynomial({(i,): Fraction(1)})


class PolynomialArrays(ExactArrays):
    """The vocabulary on polynomials; an equality between variables has no answer."""

    def convert(self, values: Arr) -> Arr:
        out = np.empty(values.size, dtype=object)
        out[:] = [v if isinstance(v, Polynomial) else constant(as_number(v)) for v in values.ravel().tolist()]
        return out.reshape(values.shape)

    def equal(self, a: Arr, b: Arr) -> Arr:
        raise NotPolynomial("equality of variables")


@cache
def vocabulary() -> PolynomialArrays:
    return PolynomialArrays("polynomials", constant)


def term(value: Any) -> str:
    """A polynomial as a Rocq term, sorted as Rocq sorts."""
    p = value if isinstance(value, Polynomial) else constant(as_number(value))
    return (
        "["
        + ";".join(
            f"([{';'.join(map(str, m))}],Qmake {integer(c.numerator)} {c.denominator})"
            for m, c in p.terms.items()
        )
        + "]"
    )

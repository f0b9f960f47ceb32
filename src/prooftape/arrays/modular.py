"""Elements of a prime field: exact checks at the price of one machine word.

If two rational expressions of total degree d differ, they agree at a random point of the field of p elements
with probability at most d/p (Schwartz-Zippel). A prime field has no order, so comparisons raise.
"""

from __future__ import annotations

from fractions import Fraction

from prooftape.errors import ScalarError
from prooftape.numbers import Number, as_fraction

MERSENNE_61 = 2**61 - 1


class Residue:
    """An integer modulo the prime p. Mixing two moduli is an error."""

    __slots__ = ("p", "v")

    def __init__(self, v: int, p: int) -> None:
        self.v = v % p
        self.p = p

    def _value(self, other: object) -> int:
        if isinstance(other, Residue):
            if other.p != self.p:
                raise ScalarError(f"elements of two prime fields, p = {self.p} and p = {other.p}")
            return other.v
        if type(other) is int:
            return other
        raise ScalarError(f"cannot mix a prime field element with {type(other).__name__} {other!r}")

    def __add__(self, other: object) -> Residue:
        return Residue(self.v + self._value(other), self.p)

    def __sub__(self, other: object) -> Residue:
        return Residue(self.v - self._value(other), self.p)

    def __mul__(self, other: object) -> Residue:
        return Residue(self.v * self._value(other), self.p)

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: object) -> Residue:
        return Residue(self._value(other) - self.v, self.p)

    def __truediv__(self, other: object) -> Residue:
        d = self._value(other) % self.p
        if d == 0:
            raise ZeroDivisionError(f"division by zero modulo {self.p}")
        return Residue(self.v * pow(d, -1, self.p), self.p)

    def __rtruediv__(self, other: object) -> Residue:
        return Residue(self._value(other), self.p) / self

    def __neg__(self) -> Residue:
        return Residue(-self.v, self.p)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Residue):
            return self.p == other.p and self.v == other.v
        return type(other) is int and self.v == other % self.p

    def __hash__(self) -> int:
        return hash((self.v, self.p))

    def _no_order(self, other: object) -> bool:
        raise ScalarError(
            f"the prime field modulo {self.p} has no order (relu, max, abs, comparisons need one); "
            'replay the graph in scalar="rational" instead'
        )

    __lt__ = __le__ = __gt__ = __ge__ = _no_order

    def __int__(self) -> int:
        return self.v

    def __repr__(self) -> str:
        return f"{self.v} mod {self.p}"


def residue(value: Number, p: int) -> Residue:
    """The field element of an exact rational number; a denominator divisible by p has none."""
    f = as_fraction(value) if not isinstance(value, Fraction) else value
    if f.denominator % p == 0:
        raise ScalarError(f"{f} has no value modulo {p}: its denominator is divisible by {p}")
    return Residue(f.numerator * pow(f.denominator, -1, p), p)


def is_prime(n: int) -> bool:
    """Deterministic Miller-Rabin for n < 3.3e24 (first 13 primes as bases, Sorenson and Webster 2015)."""
    bases = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)
    if n < 2:
        return False
    for q in bases:
        if n % q == 0:
            return n == q
    d, r = n - 1, 0
    while d % 2 == 0:
        d, r = d // 2, r + 1
    for a in bases:
        x = pow(a, d, n)
        if x in (1, n - 1):
            continue
        for _ in range(r - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True

"""Exact arithmetic in which transcendental functions are opaque.

`exp(x)` is some number determined by the name and x, and nothing else is known about it. Whatever holds here
holds for every function with the same derivative rules, so linear algebra around transcendental functions
(adjointness, the chain rule) is checked exactly.
"""

from __future__ import annotations

import hashlib
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from prooftape.arrays.exact import ExactArrays, boxed
from prooftape.arrays.modular import MERSENNE_61, residue
from prooftape.arrays.structure import Arr
from prooftape.numbers import Number, as_number
from prooftape.scalars import Scalar, _as_fractions, _as_ints, _rational

ALWAYS_POSITIVE = frozenset(
    ["exp", "sqrt", "sigmoid", "softplus", "tanh_prime", "sigmoid_prime", "erf_prime", "normal_pdf"]
)


class OpaqueArrays(ExactArrays):
    """An exact field plus opaque functions; positive functions give positive numbers."""

    def transcendental(self, name: str, x: Arr) -> Arr:
        out = np.empty(x.size, dtype=object)
        out[:] = [self.element(_symbol(name, str(v))) for v in x.ravel()]
        return boxed(out.reshape(x.shape))

    def pow(self, x: Arr, c: Number) -> Arr:
        if Fraction(c).denominator == 1:
            return super().pow(x, c)
        return self.transcendental(f"pow {Fraction(c)}", x)


@cache
def _symbol(name: str, x: str) -> Fraction:
    digest = hashlib.blake2b(f"{name}({x})".encode(), digest_size=4).digest()
    value = Fraction(int.from_bytes(digest[:2], "big") % 61 + 1, int.from_bytes(digest[2:], "big") % 13 + 1)
    return value if name in ALWAYS_POSITIVE or digest[0] % 2 else -value


class _Ordered(OpaqueArrays):
    """A prime field ordered by representatives: no meaning, but selections become deterministic."""

    def _number(self, x: Arr) -> Arr:
        out = np.empty(x.size, dtype=object)
        out[:] = [int(v) for v in x.ravel()]
        return out.reshape(x.shape)

    def greater(self, a: Arr, b: Arr) -> Arr:
        return super().greater(self._number(a), self._number(b))

    def greater_equal(self, a: Arr, b: Arr) -> Arr:
        return super().greater_equal(self._number(a), self._number(b))

    def maximum(self, a: Arr, b: Arr) -> Arr:
        return self.where(self.greater(a, b), a, b)

    def minimum(self, a: Arr, b: Arr) -> Arr:
        return self.where(self.greater(a, b), b, a)

    def max(self, x: Arr, axes: tuple[int, ...]) -> Arr:
        return self.convert(boxed(np.maximum.reduce(self._number(x), axis=axes)))

    def abs(self, x: Arr) -> Arr:
        return x  # representatives are non-negative

    def sign(self, x: Arr) -> Arr:
        result: Arr = np.where(self._number(x) > 0, self.element(1), self._zero)
        return result

    def first_max(self, x: Arr, valid: Any) -> Arr:
        return super().first_max(self._number(x), valid)


@cache
def opaque_rationals() -> Scalar:
    """Exact rationals with opaque transcendental functions, as a session scalar."""
    return Scalar("opaque rationals", OpaqueArrays("opaque rationals", _rational().xp.element), _as_fractions)  # type: ignore[attr-defined]


@cache
def opaque_residues(p: int = MERSENNE_61) -> Scalar:
    """The prime field of p elements with opaque functions and an arbitrary order, as a session scalar."""
    return Scalar(f"opaque modulo {p}", _Ordered(f"modulo {p}", lambda v: residue(as_number(v), p)), _as_ints)

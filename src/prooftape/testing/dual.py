"""Dual numbers over any vocabulary: an independent way to differentiate an op's forward.

A value is a pair (primal, tangent), tangent None meaning 0. Each member below is the derivative of one
vocabulary function, written here once more on purpose: op records state theirs, this file states these,
tests compare.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Generic, NamedTuple

from prooftape.numbers import Number
from prooftape.types import Shape
from prooftape.vocabulary import A, Index, Mask, Vocabulary, keep, shift


class Dual(NamedTuple, Generic[A]):
    """primal + epsilon * tangent."""

    primal: A
    tangent: A | None


class DualArrays(Vocabulary[Dual[A]]):
    """Dual numbers over `base`."""

    def __init__(self, base: Vocabulary[A]) -> None:
        self.base = base

    # -- helpers ----------------------------------------------------------------------------------
    def _linear(self, f: Callable[[A], A], x: Dual[A]) -> Dual[A]:
        return Dual(f(x.primal), None if x.tangent is None else f(x.tangent))

    def _total(self, *terms: A | None) -> A | None:
        total: A | None = None
        for t in terms:
            if t is not None:
                total = t if total is None else self.base.add(total, t)
        return total

    def _times(self, tangent: A | None, factor: Callable[[], A]) -> A | None:
        return None if tangent is None else self.base.amul(tangent, factor())

    def _unary(self, f: Callable[[A], A], derivative: Callable[[A], A], x: Dual[A]) -> Dual[A]:
        return Dual(f(x.primal), self._times(x.tangent, lambda: derivative(x.primal)))

    def _zero(self, x: A) -> A:
        return self.base.full(self.base.shape(x), 0)

    def _full_like(self, x: A, c: Number) -> A:
        return self.base.full(self.base.shape(x), c)

    def _select(self, mask: A, t: A | None, u: A | None) -> A | None:
        if t is None and u is None:
            return None
        zero = self.base.full(self.base.shape(mask), 0)
        return self.base.where(mask, zero if t is None else t, zero if u is None else u)

    # -- constants --------------------------------------------------------------------------------
    def shape(self, x: Dual[A]) -> Shape:
        return self.base.shape(x.primal)

    def full(self, shape: Shape, value: Number) -> Dual[A]:
        return Dual(self.base.full(shape, value), None)

    def array(self, value: object) -> Dual[A]:
        return Dual(self.base.array(value), None)

    def mask(self, mask: Mask) -> Dual[A]:
        return Dual(self.base.mask(mask), None)

    def index(self, values: Sequence[int]) -> Index:
        return self.base.index(values)

    def stop_gradient(self, x: Dual[A]) -> Dual[A]:
        return Dual(x.primal, None)

    # -- arithmetic -------------------------------------------------------------------------------
    def add(self, a: Dual[A], b: Dual[A]) -> Dual[A]:
        return Dual(self.base.add(a.primal, b.primal), self._total(a.tangent, b.tangent))

    def sub(self, a: Dual[A], b: Dual[A]) -> Dual[A]:
        minus = None if b.tangent is None else self.base.neg(b.tangent)
        return Dual(self.base.sub(a.primal, b.primal), self._total(a.tangent, minus))

    def mul(self, a: Dual[A], b: Dual[A]) -> Dual[A]:
        t = self._total(self._times(a.tangent, lambda: b.primal), self._times(b.tangent, lambda: a.primal))
        return Dual(self.base.mul(a.primal, b.primal), t)

    def amul(self, g: Dual[A], d: Dual[A]) -> Dual[A]:
        t = self._total(self._times(g.tangent, lambda: d.primal), self._times(d.tangent, lambda: g.primal))
        return Dual(self.base.amul(g.primal, d.primal), t)

    def div(self, a: Dual[A], b: Dual[A]) -> Dual[A]:
        base = self.base
        q = base.div(a.primal, b.primal)
        ta = None if a.tangent is None else base.div(a.tangent, b.primal)
        tb = None if b.tangent is None else base.neg(base.div(base.mul(b.tangent, q), b.primal))
        return Dual(q, self._total(ta, tb))

    def neg(self, x: Dual[A]) -> Dual[A]:
        return self._linear(self.base.neg, x)

    def scale(self, x: Dual[A], c: Number) -> Dual[A]:
        return self._linear(lambda v: self.base.scale(v, c), x)

    def square(self, x: Dual[A]) -> Dual[A]:
        return self._unary(self.base.square, lambda v: self.base.add(v, v), x)

    def reciprocal(self, x: Dual[A]) -> Dual[A]:
        base = self.base
        return self._unary(base.reciprocal, lambda v: base.neg(base.reciprocal(base.mul(v, v))), x)

    def pow(self, x: Dual[A], c: Number) -> Dual[A]:
        e = Fraction(c)
        if e == 0:
            return Dual(self.base.pow(x.primal, c), None)
        return self._unary(
            lambda v: self.base.pow(v, c), lambda v: self.base.scale(self.base.pow(v, e - 1), e), x
        )

    def _tie(self, a: A, b: A) -> A:
        """1 where a > b, one half at ties, else 0."""
        base = self.base
        half = base.where(base.equal(a, b), self._full_like(a, Fraction(1, 2)), self._zero(a))
        return base.where(base.greater(a, b), self._full_like(a, 1), half)

    def maximum(self, a: Dual[A], b: Dual[A]) -> Dual[A]:
        t = self._total(
            self._times(a.tangent, lambda: self._tie(a.primal, b.primal)),
            self._times(b.tangent, lambda: self._tie(b.primal, a.primal)),
        )
        return Dual(self.base.maximum(a.primal, b.primal), t)

    def minimum(self, a: Dual[A], b: Dual[A]) -> Dual[A]:
        t = self._total(
            self._times(a.tangent, lambda: self._tie(b.primal, a.primal)),
            self._times(b.tangent, lambda: self._tie(a.primal, b.primal)),
        )
        return Dual(self.base.minimum(a.primal, b.primal), t)

    def abs(self, x: Dual[A]) -> Dual[A]:
        return self._unary(self.base.abs, self.base.sign, x)

    def sign(self, x: Dual[A]) -> Dual[A]:
        return Dual(self.base.sign(x.primal), None)

    # -- comparisons ------------------------------------------------------------------------------
    def greater(self, a: Dual[A], b: Dual[A]) -> Dual[A]:
        return Dual(self.base.greater(a.primal, b.primal), None)

    def greater_equal(self, a: Dual[A], b: Dual[A]) -> Dual[A]:
        return Dual(self.base.greater_equal(a.primal, b.primal), None)

    def equal(self, a: Dual[A], b: Dual[A]) -> Dual[A]:
        return Dual(self.base.equal(a.primal, b.primal), None)

    def where(self, mask: Dual[A], a: Dual[A], b: Dual[A]) -> Dual[A]:
        value = self.base.where(mask.primal, a.primal, b.primal)
        return Dual(value, self._select(mask.primal, a.tangent, b.tangent))

    # -- scalar functions -------------------------------------------------------------------------
    def exp(self, x: Dual[A]) -> Dual[A]:
        return self._unary(self.base.exp, self.base.exp, x)

    def expm1(self, x: Dual[A]) -> Dual[A]:
        return self._unary(self.base.expm1, self.base.exp, x)

    def log(self, x: Dual[A]) -> Dual[A]:
        return self._unary(self.base.log, self.base.reciprocal, x)

    def log1p(self, x: Dual[A]) -> Dual[A]:
        return self._unary(self.base.log1p, lambda v: self.base.reciprocal(shift(self.base, v, 1)), x)

    def sqrt(self, x: Dual[A]) -> Dual[A]:
        base = self.base
        return self._unary(base.sqrt, lambda v: base.scale(base.reciprocal(base.sqrt(v)), Fraction(1, 2)), x)

    def sin(self, x: Dual[A]) -> Dual[A]:
        return self._unary(self.base.sin, self.base.cos, x)

    def cos(self, x: Dual[A]) -> Dual[A]:
        return self._unary(self.base.cos, lambda v: self.base.neg(self.base.sin(v)), x)

    def tanh(self, x: Dual[A]) -> Dual[A]:
        return self._unary(self.base.tanh, self.base.tanh_prime, x)

    def tanh_prime(self, x: Dual[A]) -> Dual[A]:
        base = self.base
        return self._unary(
            base.tanh_prime, lambda v: base.scale(base.mul(base.tanh(v), base.tanh_prime(v)), -2), x
        )

    def sigmoid(self, x: Dual[A]) -> Dual[A]:
        return self._unary(self.base.sigmoid, self.base.sigmoid_prime, x)

    def _tanh_half(self, v: A) -> A:
        return self.base.tanh(self.base.scale(v, Fraction(1, 2)))

    def sigmoid_prime(self, x: Dual[A]) -> Dual[A]:
        base = self.base
        return self._unary(
            base.sigmoid_prime, lambda v: base.neg(base.mul(base.sigmoid_prime(v), self._tanh_half(v))), x
        )

    def softplus(self, x: Dual[A]) -> Dual[A]:
        return self._unary(self.base.softplus, self.base.sigmoid, x)

    def erf(self, x: Dual[A]) -> Dual[A]:
        return self._unary(self.base.erf, self.base.erf_prime, x)

    def erf_prime(self, x: Dual[A]) -> Dual[A]:
        base = self.base
        return self._unary(base.erf_prime, lambda v: base.mul(base.scale(v, -2), base.erf_prime(v)), x)

    def gelu(self, x: Dual[A]) -> Dual[A]:
        return self._unary(self.base.gelu, self.base.gelu_prime, x)

    def gelu_prime(self, x: Dual[A]) -> Dual[A]:
        base = self.base

        def second(v: A) -> A:
            return base.mul(base.sub(self._full_like(v, 2), base.mul(v, v)), base.normal_pdf(v))

        return self._unary(base.gelu_prime, second, x)

    def normal_pdf(self, x: Dual[A]) -> Dual[A]:
        base = self.base
        return self._unary(base.normal_pdf, lambda v: base.mul(base.neg(v), base.normal_pdf(v)), x)

    def silu(self, x: Dual[A]) -> Dual[A]:
        return self._unary(self.base.silu, self.base.silu_prime, x)

    def silu_prime(self, x: Dual[A]) -> Dual[A]:
        base = self.base

        def second(v: A) -> A:
            return base.mul(
                base.sub(self._full_like(v, 2), base.mul(v, self._tanh_half(v))), base.sigmoid_prime(v)
            )

        return self._unary(base.silu_prime, second, x)

    # -- linear structure -------------------------------------------------------------------------
    def matmul(self, a: Dual[A], b: Dual[A]) -> Dual[A]:
        ta = None if a.tangent is None else self.base.amatmul(a.tangent, b.primal, 0)
        tb = None if b.tangent is None else self.base.amatmul(a.primal, b.tangent, 1)
        return Dual(self.base.matmul(a.primal, b.primal), self._total(ta, tb))

    def amatmul(self, a: Dual[A], b: Dual[A], linear: int) -> Dual[A]:
        return self.matmul(a, b)

    def reshape(self, x: Dual[A], shape: Shape) -> Dual[A]:
        return self._linear(lambda v: self.base.reshape(v, shape), x)

    def permute(self, x: Dual[A], axes: Shape) -> Dual[A]:
        return self._linear(lambda v: self.base.permute(v, axes), x)

    def broadcast(self, x: Dual[A], shape: Shape, axes: Shape) -> Dual[A]:
        return self._linear(lambda v: self.base.broadcast(v, shape, axes), x)

    def sum(self, x: Dual[A], axes: Shape) -> Dual[A]:
        return self._linear(lambda v: self.base.sum(v, axes), x)

    def max(self, x: Dual[A], axes: Shape) -> Dual[A]:
        base, value = self.base, self.base.max(x.primal, axes)
        if x.tangent is None:
            return Dual(value, None)
        shape = base.shape(x.primal)
        best = base.equal(x.primal, keep(base, value, shape, axes))
        one, zero = base.full(shape, 1), base.full(shape, 0)
        count = base.sum(base.where(best, one, zero), axes)
        total = base.sum(base.where(best, x.tangent, zero), axes)
        return Dual(value, base.div(total, count))

    def concat(self, xs: Sequence[Dual[A]], axis: int) -> Dual[A]:
        value = self.base.concat([x.primal for x in xs], axis)
        if all(x.tangent is None for x in xs):
            return Dual(value, None)
        parts = [self._zero(x.primal) if x.tangent is None else x.tangent for x in xs]
        return Dual(value, self.base.concat(parts, axis))

    def slice(self, x: Dual[A], axis: int, start: int, length: int) -> Dual[A]:
        return self._linear(lambda v: self.base.slice(v, axis, start, length), x)

    def pad(self, x: Dual[A], widths: Sequence[tuple[int, int]], value: Number = 0) -> Dual[A]:
        tangent = None if x.tangent is None else self.base.pad(x.tangent, widths)
        return Dual(self.base.pad(x.primal, widths, value), tangent)

    def take(self, x: Dual[A], index: Index) -> Dual[A]:
        return self._linear(lambda v: self.base.take(v, index), x)

    def put_add(self, rows: Dual[A], index: Index, n: int) -> Dual[A]:
        return self._linear(lambda v: self.base.put_add(v, index, n), rows)

    def one_hot(self, index: Index, n: int) -> Dual[A]:
        return Dual(self.base.one_hot(index, n), None)

    def windows(self, x: Dual[A], kernel: Shape, stride: Shape) -> Dual[A]:
        return self._linear(lambda v: self.base.windows(v, kernel, stride), x)

    def fold_windows(self, w: Dual[A], size: Shape, stride: Shape) -> Dual[A]:
        return self._linear(lambda v: self.base.fold_windows(v, size, stride), w)

    def first_max(self, x: Dual[A], valid: Mask | None) -> Dual[A]:
        return Dual(self.base.first_max(x.primal, valid), None)

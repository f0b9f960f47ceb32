"""The vocabulary over exact fields, on NumPy object arrays: rationals, or a prime field.

Addition, multiplication and division are exact, so two ways to compute one number give equal numbers, and a
test needs no tolerance. A function with no exact value (exp, sqrt, …) raises `ScalarError`; over a prime
field, so does anything that needs an order.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from prooftape.arrays.structure import Arr, StructuralArrays
from prooftape.errors import ScalarError
from prooftape.literal import Literal
from prooftape.numbers import Number, as_number
from prooftape.types import Shape
from prooftape.vocabulary import Mask


def boxed(x: object) -> Arr:
    """NumPy returns bare elements from 0-d object arithmetic; put them back into a 0-d array."""
    if isinstance(x, np.ndarray):
        return x
    out = np.empty((), dtype=object)
    out[()] = x
    return out


class ExactArrays(StructuralArrays):
    """Object arrays over a field. `element` makes a field element of an exact number."""

    def __init__(self, name: str, element: Callable[[Number], Any]) -> None:
        self.name = name
        self.element = element
        self._zero = element(0)

    def zeros(self, shape: Shape) -> Arr:
        return self.full(shape, 0)

    def full(self, shape: Shape, value: Number) -> Arr:
        out = np.empty(shape, dtype=object)
        out[...] = self._literal(value)
        return out

    def _literal(self, value: Number) -> Any:
        """A number of the graph as a field element."""
        try:
            return self.element(value)
        except ValueError as e:
            raise ScalarError(str(e)) from None

    def array(self, value: object) -> Arr:
        assert isinstance(value, Literal)
        if value.array.dtype.kind == "b":
            return value.array
        try:
            return self.convert(value.array)
        except ValueError as e:
            raise ScalarError(str(e)) from None

    def convert(self, values: Arr) -> Arr:
        """Field elements with the exact values of a real array."""
        out = np.empty(values.size, dtype=object)
        out[:] = [self.element(as_number(v)) for v in values.ravel().tolist()]
        return out.reshape(values.shape)

    def add(self, a: Arr, b: Arr) -> Arr:
        return boxed(a + b)

    def sub(self, a: Arr, b: Arr) -> Arr:
        return boxed(a - b)

    def mul(self, a: Arr, b: Arr) -> Arr:
        return boxed(a * b)

    def div(self, a: Arr, b: Arr) -> Arr:
        try:
            return boxed(a / b)
        except ZeroDivisionError:
            raise ScalarError(f"division by zero has no value in {self.name}") from None

    def neg(self, x: Arr) -> Arr:
        return boxed(-x)

    def scale(self, x: Arr, c: Number) -> Arr:
        return boxed(x * self._literal(c))

    def amul(self, g: Arr, d: Arr) -> Arr:
        return boxed(g * d)  # every element is finite: 0 * d is 0

    def square(self, x: Arr) -> Arr:
        return boxed(x * x)

    def reciprocal(self, x: Arr) -> Arr:
        return self.div(self.full(x.shape, 1), x)

    def pow(self, x: Arr, c: Number) -> Arr:
        if Fraction(c).denominator != 1:
            raise self._no_value(f"x ** {c}")
        n = int(Fraction(c))
        base = x if n >= 0 else self.reciprocal(x)
        result = self.full(x.shape, 1)
        for bit in bin(abs(n))[2:]:  # binary powering, exact
            result = self.mul(result, result)
            if bit == "1":
                result = self.mul(result, base)
        return result

    def maximum(self, a: Arr, b: Arr) -> Arr:
        return boxed(np.where(a > b, a, b))

    def minimum(self, a: Arr, b: Arr) -> Arr:
        return boxed(np.where(a > b, b, a))

    def max(self, x: Arr, axes: Shape) -> Arr:
        return boxed(np.maximum.reduce(x, axis=axes))

    def abs(self, x: Arr) -> Arr:
        return np.where(x < self._zero, boxed(-x), x)

    def sign(self, x: Arr) -> Arr:
        one, minus = self.element(1), self.element(-1)
        result: Arr = np.where(x > self._zero, one, np.where(x < self._zero, minus, self._zero))
        return result

    def greater(self, a: Arr, b: Arr) -> Arr:
        return np.asarray(a > b, dtype=np.bool_)

    def greater_equal(self, a: Arr, b: Arr) -> Arr:
        return np.asarray(a >= b, dtype=np.bool_)

    def equal(self, a: Arr, b: Arr) -> Arr:
        return np.asarray(a == b, dtype=np.bool_)

    def sum(self, x: Arr, axes: Shape) -> Arr:
        return boxed(np.add.reduce(x, axis=axes, initial=self._zero)) if axes else x

    def matmul(self, a: Arr, b: Arr) -> Arr:
        if 0 in a.shape or 0 in b.shape:
            return self.zeros((*a.shape[:-1], b.shape[-1]))
        return boxed(a @ b)

    def amatmul(self, a: Arr, b: Arr, linear: int) -> Arr:
        return self.matmul(a, b)

    def first_max(self, x: Arr, valid: Mask | None) -> Arr:
        rows = x.reshape(-1, x.shape[-1])
        ok = np.ones(x.shape, np.bool_) if valid is None else np.broadcast_to(valid, x.shape)
        out = np.zeros(rows.shape, np.bool_)
        for r, (row, allowed) in enumerate(zip(rows, ok.reshape(rows.shape), strict=True)):
            cells = np.flatnonzero(allowed)
            best = cells[0]
            for c in cells[1:]:
                if row[c] > row[best]:
                    best = c
            out[r, best] = True
        return out.reshape(x.shape)

    # -- no exact value -----------------------------------------------------------------------
    def _no_value(self, what: str) -> ScalarError:
        return ScalarError(
            f"{what} has no exact value in {self.name}; replay the graph in a float scalar, "
            'e.g. session.replay(scalar="float64")'
        )

    def transcendental(self, name: str, x: Arr) -> Arr:
        """Every scalar function without exact values comes through here; tests make it opaque."""
        raise self._no_value(name)

    def exp(self, x: Arr) -> Arr:
        return self.transcendental("exp", x)

    def expm1(self, x: Arr) -> Arr:
        return self.transcendental("expm1", x)

    def log(self, x: Arr) -> Arr:
        return self.transcendental("log", x)

    def log1p(self, x: Arr) -> Arr:
        return self.transcendental("log1p", x)

    def sqrt(self, x: Arr) -> Arr:
        return self.transcendental("sqrt", x)

    def sin(self, x: Arr) -> Arr:
        return self.transcendental("sin", x)

    def cos(self, x: Arr) -> Arr:
        return self.transcendental("cos", x)

    def tanh(self, x: Arr) -> Arr:
        return self.transcendental("tanh", x)

    def sigmoid(self, x: Arr) -> Arr:
        return self.transcendental("sigmoid", x)

    def softplus(self, x: Arr) -> Arr:
        return self.transcendental("softplus", x)

    def erf(self, x: Arr) -> Arr:
        return self.transcendental("erf", x)

    def gelu(self, x: Arr) -> Arr:
        return self.transcendental("gelu", x)

    def silu(self, x: Arr) -> Arr:
        return self.transcendental("silu", x)

    def tanh_prime(self, x: Arr) -> Arr:
        return self.transcendental("tanh_prime", x)

    def sigmoid_prime(self, x: Arr) -> Arr:
        return self.transcendental("sigmoid_prime", x)

    def erf_prime(self, x: Arr) -> Arr:
        return self.transcendental("erf_prime", x)

    def gelu_prime(self, x: Arr) -> Arr:
        return self.transcendental("gelu_prime", x)

    def silu_prime(self, x: Arr) -> Arr:
        return self.transcendental("silu_prime", x)

    def normal_pdf(self, x: Arr) -> Arr:
        return self.transcendental("normal_pdf", x)

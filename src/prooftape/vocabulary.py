"""The array vocabulary: the few dozen functions every op rule is written in.

A rule never touches NumPy; it calls these members on values it treats as opaque. Handing a rule another
implementation gives another meaning to the same text: float kernels, exact rationals, a prime field,
dual numbers, or graph recording (so the derivative of a graph is again a graph).

The vocabulary is closed under differentiation: every member is also an op with its own JVP and VJP.
Axes are non-negative; every shape argument is static. Members that reduce drop the reduced axes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from prooftape.numbers import Number
from prooftape.types import Shape

A = TypeVar("A")
"""An array value of some backend."""

Index = object
"""A vector of naturals: an integer array when numbers exist, a symbolic reference while recording."""

Mask = NDArray[np.bool_]


class Vocabulary(ABC, Generic[A]):
    """What a rule may do with values. See the module docstring for the conventions."""

    # -- inspection and constants ------------------------------------------------------------
    @abstractmethod
    def shape(self, x: A) -> Shape:
        """Static shape of a value."""

    @abstractmethod
    def full(self, shape: Shape, value: Number) -> A:
        """A constant array."""

    @abstractmethod
    def array(self, value: object) -> A:
        """A literal (`literal.Literal`) as a value of this backend."""

    @abstractmethod
    def mask(self, mask: Mask) -> A:
        """A static boolean array as a mask value."""

    @abstractmethod
    def index(self, values: Sequence[int]) -> Index:
        """Static naturals as an index vector."""

    @abstractmethod
    def stop_gradient(self, x: A) -> A:
        """Identity with derivative zero."""

    # -- arithmetic, elementwise, equal shapes -------------------------------------------------
    @abstractmethod
    def add(self, a: A, b: A) -> A: ...

    @abstractmethod
    def sub(self, a: A, b: A) -> A: ...

    @abstractmethod
    def mul(self, a: A, b: A) -> A: ...

    @abstractmethod
    def div(self, a: A, b: A) -> A: ...

    @abstractmethod
    def neg(self, x: A) -> A: ...

    @abstractmethod
    def scale(self, x: A, c: Number) -> A:
        """x * c with a literal c."""

    @abstractmethod
    def amul(self, g: A, d: A) -> A:
        """Absorbing product `g * d`: an exactly zero `g` entry times a non-finite `d` entry is 0."""

    @abstractmethod
    def square(self, x: A) -> A: ...

    @abstractmethod
    def reciprocal(self, x: A) -> A: ...

    @abstractmethod
    def pow(self, x: A, c: Number) -> A:
        """x ** c with a literal c."""

    @abstractmethod
    def maximum(self, a: A, b: A) -> A: ...

    @abstractmethod
    def minimum(self, a: A, b: A) -> A: ...

    @abstractmethod
    def abs(self, x: A) -> A: ...

    @abstractmethod
    def sign(self, x: A) -> A:
        """-1, 0 or 1; 0 at 0 and at nan. Derivative zero."""

    # -- comparisons and selection -------------------------------------------------------------
    @abstractmethod
    def greater(self, a: A, b: A) -> A: ...

    @abstractmethod
    def greater_equal(self, a: A, b: A) -> A: ...

    @abstractmethod
    def equal(self, a: A, b: A) -> A: ...

    @abstractmethod
    def where(self, mask: A, a: A, b: A) -> A: ...

    # -- scalar functions ------------------------------------------------------------------------
    @abstractmethod
    def exp(self, x: A) -> A: ...

    @abstractmethod
    def expm1(self, x: A) -> A: ...

    @abstractmethod
    def log(self, x: A) -> A: ...

    @abstractmethod
    def log1p(self, x: A) -> A: ...

    @abstractmethod
    def sqrt(self, x: A) -> A: ...

    @abstractmethod
    def sin(self, x: A) -> A: ...

    @abstractmethod
    def cos(self, x: A) -> A: ...

    @abstractmethod
    def tanh(self, x: A) -> A: ...

    @abstractmethod
    def sigmoid(self, x: A) -> A: ...

    @abstractmethod
    def softplus(self, x: A) -> A: ...

    @abstractmethod
    def erf(self, x: A) -> A: ...

    @abstractmethod
    def gelu(self, x: A) -> A: ...

    @abstractmethod
    def silu(self, x: A) -> A: ...

    # derivatives that need a kernel of their own to keep relative accuracy everywhere
    @abstractmethod
    def tanh_prime(self, x: A) -> A: ...

    @abstractmethod
    def sigmoid_prime(self, x: A) -> A: ...

    @abstractmethod
    def erf_prime(self, x: A) -> A: ...

    @abstractmethod
    def gelu_prime(self, x: A) -> A: ...

    @abstractmethod
    def silu_prime(self, x: A) -> A: ...

    @abstractmethod
    def normal_pdf(self, x: A) -> A: ...

    # -- linear structure ------------------------------------------------------------------------
    @abstractmethod
    def matmul(self, a: A, b: A) -> A:
        """(…, m, k) @ (…, k, n) with equal leading axes."""

    @abstractmethod
    def amatmul(self, a: A, b: A, linear: int) -> A:
        """Absorbing matmul: zeros of operand `linear` (0 or 1) absorb non-finite entries of the other."""

    @abstractmethod
    def reshape(self, x: A, shape: Shape) -> A: ...

    @abstractmethod
    def permute(self, x: A, axes: Shape) -> A:
        """Output axis i is input axis axes[i]."""

    @abstractmethod
    def broadcast(self, x: A, shape: Shape, axes: Shape) -> A:
        """Input axis i becomes output axis axes[i] (increasing); its length is 1 or shape[axes[i]]."""

    @abstractmethod
    def sum(self, x: A, axes: Shape) -> A: ...

    @abstractmethod
    def max(self, x: A, axes: Shape) -> A:
        """Maximum over non-empty axes."""

    @abstractmethod
    def concat(self, xs: Sequence[A], axis: int) -> A: ...

    @abstractmethod
    def slice(self, x: A, axis: int, start: int, length: int) -> A: ...

    @abstractmethod
    def pad(self, x: A, widths: Sequence[tuple[int, int]], value: Number = 0) -> A:
        """Constant padding, (before, after) per axis."""

    # -- indices known at evaluation ---------------------------------------------------------------
    @abstractmethod
    def take(self, x: A, index: Index) -> A:
        """Rows x[index[j]] along axis 0; an index out of range gives a zero row."""

    @abstractmethod
    def put_add(self, rows: A, index: Index, n: int) -> A:
        """Transpose of `take`: n rows, row i is the sum over j ascending of rows[j] with index[j] == i."""

    @abstractmethod
    def one_hot(self, index: Index, n: int) -> A:
        """Mask (k, n), true at (j, index[j]); an all-false row where the index is out of range."""

    # -- windows -------------------------------------------------------------------------------------
    @abstractmethod
    def windows(self, x: A, kernel: Shape, stride: Shape) -> A:
        """(…, n1…nd) -> (…, o1…od, k1…kd): the sliding windows of the last d axes (no padding)."""

    @abstractmethod
    def fold_windows(self, w: A, size: Shape, stride: Shape) -> A:
        """Transpose of `windows`: (…, o1…od, k1…kd) -> (…, n1…nd), overlapping cells summed."""

    @abstractmethod
    def first_max(self, x: A, valid: Mask | None) -> A:
        """Mask of x's shape, true at the first maximal entry of the last axis (nan counts as maximal).

        `valid` (a static mask that broadcasts to x) says which cells are candidates; each row has one.
        """

    # -- compositions that a backend may compute faster, or with one rounding less ----------------------
    def gate(self, mask: A, g: A, *, complement: bool = False) -> A:
        """g where the mask is true (false, for the complement), an exact 0 elsewhere."""
        zero = self.full(self.shape(g), 0)
        return self.where(mask, zero, g) if complement else self.where(mask, g, zero)

    def pow_prime(self, x: A, c: Number) -> A:
        """c * x ** (c - 1), the derivative of `pow`, with an exact c - 1; 0 for c = 0."""
        e = Fraction(c)
        return self.scale(self.pow(x, e - 1), e) if e else self.full(self.shape(x), 0)

    def affine(self, x: A, w: A, b: A) -> A:
        """x @ w^T + b for x (n, k), w (m, k), b (m)."""
        product = self.matmul(x, self.permute(w, (1, 0)))
        return self.add(product, self.broadcast(b, self.shape(product), (1,)))

    def exp_difference(self, x: A, y: A) -> A:
        """exp(x - y) to full relative accuracy: the rounding error of x - y is put back.

        x - y is z + low exactly (Knuth's two-sum, The Art of Computer Programming 4.2.2, any order of
        magnitudes), and exp(z + low) = exp(z) * (1 + low) to rounding. In exact arithmetic low is 0.
        """
        z = self.sub(x, y)
        back = self.sub(z, x)
        low = self.sub(self.sub(x, self.sub(z, back)), self.add(y, back))
        # an infinite x leaves inf - inf in it: nan, which equals nothing
        low = self.where(self.equal(low, low), low, self.full(self.shape(x), 0))
        e = self.exp(z)
        return self.add(e, self.amul(self.stop_gradient(low), e))

    def label_losses(self, x: A, labels: Index) -> A:
        """Per row of x (k, n): log(sum(exp(x))) - x[label]; 0 where the label is no class."""
        shape = self.shape(x)
        z = self.sub(x, keep(self, self.stop_gradient(self.max(x, (1,))), shape, (1,)))
        log_sum = keep(self, self.log(self.sum(self.exp(z), (1,))), shape, (1,))
        return self.sum(self.gate(self.one_hot(labels, shape[1]), self.sub(log_sum, z)), (1,))

    def label_slopes(self, x: A, labels: Index) -> A:
        """Derivative of `label_losses`: softmax - one_hot by rows; a zero row where the label is no class.

        At the label, softmax - 1 is minus the sum of the other shares: nothing cancels when it is sure.
        """
        shape = self.shape(x)
        hot = self.one_hot(labels, shape[1])
        valid = self.sum(self.gate(hot, self.full(shape, 1)), (1,))
        e = self.exp_difference(x, keep(self, self.stop_gradient(self.max(x, (1,))), shape, (1,)))
        others = self.neg(self.sum(self.gate(hot, e, complement=True), (1,)))
        slopes = self.where(hot, keep(self, others, shape, (1,)), e)
        inverse = self.amul(valid, self.reciprocal(self.sum(e, (1,))))
        return self.amul(keep(self, inverse, shape, (1,)), slopes)

    def fused(self, name: str) -> Callable[..., A | None] | None:
        """A backend's own kernel for a named part of a rule, equal to the rule's text in exact arithmetic.

        None: run the text. A kernel may also decline one use of it, by returning None.
        """
        return None

    def add_into(self, total: A, part: A) -> A:
        """total + part, where nobody but the caller can see `total`, so its memory may hold the result."""
        return self.add(total, part)

    def minus_scaled(self, p: A, g: A, c: Number, *, consume: bool = False) -> A:
        """p - g * c: the step of gradient descent. With `consume`, g's memory may hold the result."""
        return self.sub(p, self.scale(g, c))

    def scaled_exp(self, x: A, c: Number) -> A:
        """c * exp(x)."""
        return self.scale(self.exp(x), c)

    def finish(self, x: A) -> A:
        """Called once on every value a node stores: low precision rounds here. Identity by default."""
        return x


@cache
def _kept_axes(rank: int, axes: Shape) -> Shape:
    return tuple(i for i in range(rank) if i not in axes)


def keep(xp: Vocabulary[A], reduced: A, shape: Shape, axes: Shape) -> A:
    """Broadcast a value reduced over `axes` back to `shape` (what keepdims-and-broadcast would do)."""
    return xp.broadcast(reduced, shape, _kept_axes(len(shape), axes))


def shift(xp: Vocabulary[A], x: A, c: Number) -> A:
    """x + c with a literal c."""
    return xp.add(x, xp.full(xp.shape(x), c))

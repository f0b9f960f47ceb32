"""The vocabulary as graph recording: values are handles, every member records the op of the same meaning.

Running an op's JVP or VJP on it writes the derivative into the session's graph, where it can be evaluated,
differentiated again, printed and checked like anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from prooftape.handle_methods import TensorRef
from prooftape.literal import Literal
from prooftape.numbers import Number
from prooftape.types import Shape
from prooftape.vocabulary import Index, Mask, Vocabulary

if TYPE_CHECKING:
    from prooftape.session import Session


class RecordingArrays(Vocabulary[TensorRef]):
    """Records into `session`. Index vectors are tuples (static) or nat references (read at evaluation)."""

    def __init__(self, session: Session) -> None:
        self.s = session

    def shape(self, x: TensorRef) -> Shape:
        return x.type.shape

    def full(self, shape: Shape, value: Number) -> TensorRef:
        return self.s.full(shape, value)

    def array(self, value: object) -> TensorRef:
        assert isinstance(value, Literal)
        return self.s.apply("const_mask" if value.array.dtype.kind == "b" else "const", value=value)

    def mask(self, mask: Mask) -> TensorRef:
        return self.s.apply("const_mask", value=np.asarray(mask, dtype=np.bool_))

    def index(self, values: Sequence[int]) -> Index:
        return tuple(values)

    def stop_gradient(self, x: TensorRef) -> TensorRef:
        return self.s.detach(x)

    def add(self, a: TensorRef, b: TensorRef) -> TensorRef:
        return self.s.add(a, b)

    def sub(self, a: TensorRef, b: TensorRef) -> TensorRef:
        return self.s.sub(a, b)

    def mul(self, a: TensorRef, b: TensorRef) -> TensorRef:
        return self.s.mul(a, b)

    def div(self, a: TensorRef, b: TensorRef) -> TensorRef:
        return self.s.div(a, b)

    def neg(self, x: TensorRef) -> TensorRef:
        return self.s.neg(x)

    def scale(self, x: TensorRef, c: Number) -> TensorRef:
        return self.s.scale(x, c)

    def amul(self, g: TensorRef, d: TensorRef) -> TensorRef:
        return self.s.absorbing_mul(g, d)

    def square(self, x: TensorRef) -> TensorRef:
        return self.s.square(x)

    def reciprocal(self, x: TensorRef) -> TensorRef:
        return self.s.reciprocal(x)

    def pow(self, x: TensorRef, c: Number) -> TensorRef:
        return self.s.pow_const(x, c)

    def maximum(self, a: TensorRef, b: TensorRef) -> TensorRef:
        return self.s.maximum(a, b)

    def minimum(self, a: TensorRef, b: TensorRef) -> TensorRef:
        return self.s.minimum(a, b)

    def abs(self, x: TensorRef) -> TensorRef:
        return self.s.abs(x)

    def sign(self, x: TensorRef) -> TensorRef:
        return self.s.sign(x)

    def greater(self, a: TensorRef, b: TensorRef) -> TensorRef:
        return self.s.greater(a, b)

    def greater_equal(self, a: TensorRef, b: TensorRef) -> TensorRef:
        return self.s.greater_equal(a, b)

    def equal(self, a: TensorRef, b: TensorRef) -> TensorRef:
        return self.s.equal(a, b)

    def where(self, mask: TensorRef, a: TensorRef, b: TensorRef) -> TensorRef:
        return self.s.where(mask, a, b)

    def exp(self, x: TensorRef) -> TensorRef:
        return self.s.exp(x)

    def expm1(self, x: TensorRef) -> TensorRef:
        return self.s.expm1(x)

    def log(self, x: TensorRef) -> TensorRef:
        return self.s.log(x)

    def log1p(self, x: TensorRef) -> TensorRef:
        return self.s.log1p(x)

    def sqrt(self, x: TensorRef) -> TensorRef:
        return self.s.sqrt(x)

    def sin(self, x: TensorRef) -> TensorRef:
        return self.s.sin(x)

    def cos(self, x: TensorRef) -> TensorRef:
        return self.s.cos(x)

    def tanh(self, x: TensorRef) -> TensorRef:
        return self.s.tanh(x)

    def sigmoid(self, x: TensorRef) -> TensorRef:
        return self.s.sigmoid(x)

    def softplus(self, x: TensorRef) -> TensorRef:
        return self.s.softplus(x)

    def erf(self, x: TensorRef) -> TensorRef:
        return self.s.erf(x)

    def gelu(self, x: TensorRef) -> TensorRef:
        return self.s.gelu(x)

    def silu(self, x: TensorRef) -> TensorRef:
        return self.s.silu(x)

    def tanh_prime(self, x: TensorRef) -> TensorRef:
        return self.s.tanh_prime(x)

    def sigmoid_prime(self, x: TensorRef) -> TensorRef:
        return self.s.sigmoid_prime(x)

    def erf_prime(self, x: TensorRef) -> TensorRef:
        return self.s.erf_prime(x)

    def gelu_prime(self, x: TensorRef) -> TensorRef:
        return self.s.gelu_prime(x)

    def silu_prime(self, x: TensorRef) -> TensorRef:
        return self.s.silu_prime(x)

    def normal_pdf(self, x: TensorRef) -> TensorRef:
        return self.s.normal_pdf(x)

    def matmul(self, a: TensorRef, b: TensorRef) -> TensorRef:
        return self.s.matmul(a, b)

    def amatmul(self, a: TensorRef, b: TensorRef, linear: int) -> TensorRef:
        return self.s.absorbing_matmul(a, b, linear)

    def reshape(self, x: TensorRef, shape: Shape) -> TensorRef:
        return self.s.reshape(x, shape)

    def permute(self, x: TensorRef, axes: Shape) -> TensorRef:
        return self.s.permute(x, axes)

    def broadcast(self, x: TensorRef, shape: Shape, axes: Shape) -> TensorRef:
        return self.s.broadcast_to(x, shape, axes)

    def sum(self, x: TensorRef, axes: Shape) -> TensorRef:
        return self.s.reduce_sum(x, axes) if axes else x

    def max(self, x: TensorRef, axes: Shape) -> TensorRef:
        return self.s.reduce_max(x, axes) if axes else x

    def concat(self, xs: Sequence[TensorRef], axis: int) -> TensorRef:
        return self.s.concat(xs, axis)

    def slice(self, x: TensorRef, axis: int, start: int, length: int) -> TensorRef:
        return self.s.slice(x, axis, start, length)

    def pad(self, x: TensorRef, widths: Sequence[tuple[int, int]], value: Number = 0) -> TensorRef:
        return self.s.pad(x, widths, value)

    def take(self, x: TensorRef, index: Index) -> TensorRef:
        if isinstance(index, tuple):
            return self.s.apply("take_nat", x, idx=index)
        return self.s.apply("take_ref", x, nats=(index,))  # type: ignore[arg-type]

    def put_add(self, rows: TensorRef, index: Index, n: int) -> TensorRef:
        if isinstance(index, tuple):
            return self.s.apply("put_add_nat", rows, idx=index, n=n)
        return self.s.apply("put_add_ref", rows, nats=(index,), n=n)  # type: ignore[arg-type]

    def one_hot(self, index: Index, n: int) -> TensorRef:
        if isinstance(index, tuple):
            return self.s.apply("one_hot_nat", idx=index, n=n)
        return self.s.apply("one_hot_ref", nats=(index,), n=n)  # type: ignore[arg-type]

    def windows(self, x: TensorRef, kernel: Shape, stride: Shape) -> TensorRef:
        return self.s.apply("windows", x, kernel=kernel, stride=stride)

    def fold_windows(self, w: TensorRef, size: Shape, stride: Shape) -> TensorRef:
        return self.s.apply("fold_windows", w, size=size, stride=stride)

    def first_max(self, x: TensorRef, valid: Mask | None) -> TensorRef:
        return self.s.apply("first_max", x, valid=None if valid is None else np.asarray(valid, np.bool_))

"""The vocabulary on JAX arrays and tracers: what a rule does becomes operations of an XLA program.

The meanings are those of `arrays.floats`, on purpose to the letter, nan and infinity included. Members call
`lax` and not `jax.numpy`: one operation each, no promotion, no nested jit. Every result has exactly the dtype
of the vocabulary (or bool); float64 needs `jax.enable_x64(True)` around every call, the engine's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from jax import lax
from numpy.typing import NDArray

from prooftape.literal import Literal
from prooftape.numbers import Number
from prooftape.types import Shape
from prooftape.vocabulary import Index, Mask, Vocabulary
from prooftape.xla import functions

STORAGE = ("float32", "float64", "bfloat16", "float16")
TINY_PRODUCT = 2048  # measured: up to here it takes half the time of a dot, and compiles as fast
"""Matrix products of at most so many scalar products are written out, absorbing at once: no branch."""
LARGEST_INDEX = 2**31 - 1
# float32 products in full float32 also where the hardware offers less (TF32); no effect on a CPU
EXACT = lax.Precision.HIGHEST


class JaxArrays(Vocabulary[Any]):
    """IEEE binary floats of one dtype on XLA.

    bfloat16 and float16 are computed in float32 and rounded once by `finish`; the round trip survives only in
    programs compiled with xla_allow_excess_precision=False.

    `strict=False`: `amatmul` leaves out the branch for non-finite operands and appends to `suspects` a scalar
    that is true whenever leaving it out may have mattered. Whoever runs the program looks at them and, if
    one is true, runs the strict program instead.
    """

    def __init__(self, dtype: str, strict: bool = True) -> None:
        if dtype not in STORAGE:
            raise ValueError(f"JaxArrays: expected one of {', '.join(STORAGE)}, got {dtype!r}")
        self.storage = dtype
        self.dtype = np.dtype("float64" if dtype == "float64" else "float32")
        self.strict = strict
        self.suspects: list[Any] = []

    # -- inspection and constants ------------------------------------------------------------
    def shape(self, x: Any) -> Shape:
        result: Shape = x.shape
        return result

    def _number(self, c: Number) -> Any:
        """The nearest number of the dtype; beyond the finite range infinity."""
        with np.errstate(over="ignore"):
            try:
                return self.dtype.type(c)
            except OverflowError:
                return self.dtype.type(np.inf if c > 0 else -np.inf)

    def full(self, shape: Shape, value: Number) -> Any:
        return lax.broadcast(self._number(value), shape)

    def array(self, value: object) -> Any:
        assert isinstance(value, Literal)
        a: NDArray[Any] = value.array
        if a.dtype.kind == "b":
            return a
        with np.errstate(over="ignore"):
            a = a.astype(self.dtype)
            if self._narrow:
                a = a.astype(self._format).astype(self.dtype)
        same = a.size > 1 and (a.view(f"i{a.itemsize}") == a.view(f"i{a.itemsize}").flat[0]).all()
        return lax.broadcast(a.flat[0], a.shape) if same else a

    def mask(self, mask: Mask) -> Any:
        return mask

    def index(self, values: Sequence[int]) -> Index:
        # out of every range stays out of every range
        return np.minimum(np.asarray(values, dtype=np.int64), LARGEST_INDEX).astype(np.int32)

    def stop_gradient(self, x: Any) -> Any:
        return x

    @property
    def _narrow(self) -> bool:
        return self.storage in ("bfloat16", "float16")

    @property
    def _format(self) -> np.dtype[Any]:
        from ml_dtypes import bfloat16

        return np.dtype(bfloat16 if self.storage == "bfloat16" else np.float16)

    def finish(self, x: Any) -> Any:
        if not self._narrow or x.dtype == np.bool_:
            return x
        return lax.convert_element_type(lax.convert_element_type(x, self._format), self.dtype)

    # -- arithmetic ---------------------------------------------------------------------------
    def add(self, a: Any, b: Any) -> Any:
        return lax.add(a, b)

    def sub(self, a: Any, b: Any) -> Any:
        return lax.sub(a, b)

    def mul(self, a: Any, b: Any) -> Any:
        return lax.mul(a, b)

    def div(self, a: Any, b: Any) -> Any:
        return lax.div(a, b)

    def neg(self, x: Any) -> Any:
        return lax.neg(x)

    def scale(self, x: Any, c: Number) -> Any:
        return lax.mul(x, self._number(c))

    def amul(self, g: Any, d: Any) -> Any:
        # with g zero the product is nan exactly where d is not finite; other zero products keep their sign
        product = lax.mul(g, d)
        absorbed = lax.bitwise_and(lax.eq(g, self._number(0)), functions.is_nan(product))
        return lax.select(absorbed, self.full(product.shape, 0), product)

    def square(self, x: Any) -> Any:
        return lax.mul(x, x)

    def reciprocal(self, x: Any) -> Any:
        return functions.reciprocal(x)

    def pow(self, x: Any, c: Number) -> Any:
        return functions.power(x, c)

    def pow_prime(self, x: Any, c: Number) -> Any:
        return functions.power_prime(x, c)

    def maximum(self, a: Any, b: Any) -> Any:
        return lax.max(a, b)

    def minimum(self, a: Any, b: Any) -> Any:
        return lax.min(a, b)

    def abs(self, x: Any) -> Any:
        return lax.abs(x)

    def sign(self, x: Any) -> Any:
        # lax.sign(nan) is nan, and that of -0.0 is -0.0
        zero = self._number(0)
        above, below = lax.gt(x, zero), lax.lt(x, zero)
        return lax.sub(
            lax.convert_element_type(above, self.dtype), lax.convert_element_type(below, self.dtype)
        )

    def greater(self, a: Any, b: Any) -> Any:
        return lax.gt(a, b)

    def greater_equal(self, a: Any, b: Any) -> Any:
        return lax.ge(a, b)

    def equal(self, a: Any, b: Any) -> Any:
        return lax.eq(a, b)

    def where(self, mask: Any, a: Any, b: Any) -> Any:
        return lax.select(mask, a, b)

    # -- scalar functions ----------------------------------------------------------------------
    def exp(self, x: Any) -> Any:
        return lax.exp(x)

    def expm1(self, x: Any) -> Any:
        return lax.expm1(x)

    def log(self, x: Any) -> Any:
        return lax.log(x)

    def log1p(self, x: Any) -> Any:
        return functions.log1p(x)

    def sqrt(self, x: Any) -> Any:
        return lax.sqrt(x)

    def sin(self, x: Any) -> Any:
        return lax.sin(x)

    def cos(self, x: Any) -> Any:
        return lax.cos(x)

    def tanh(self, x: Any) -> Any:
        return lax.tanh(x)

    def sigmoid(self, x: Any) -> Any:
        return lax.logistic(x)

    def softplus(self, x: Any) -> Any:
        return functions.softplus(x)

    def erf(self, x: Any) -> Any:
        return lax.erf(x)

    def gelu(self, x: Any) -> Any:
        return functions.gelu(x)

    def silu(self, x: Any) -> Any:
        return functions.silu(x)

    def tanh_prime(self, x: Any) -> Any:
        return functions.tanh_prime(x)

    def sigmoid_prime(self, x: Any) -> Any:
        return functions.sigmoid_prime(x)

    def erf_prime(self, x: Any) -> Any:
        return functions.erf_prime(x)

    def gelu_prime(self, x: Any) -> Any:
        return functions.gelu_prime(x)

    def silu_prime(self, x: Any) -> Any:
        return functions.silu_prime(x)

    def normal_pdf(self, x: Any) -> Any:
        return functions.normal_pdf(x)

    def exp_difference(self, x: Any, y: Any) -> Any:
        return functions.exp_difference(x, y)

    def scaled_exp(self, x: Any, c: Number) -> Any:
        return functions.scaled_exp(x, float(c))

    # -- matrix products -----------------------------------------------------------------------
    def matmul(self, a: Any, b: Any) -> Any:
        lead = len(a.shape) - 2
        batch = tuple(range(lead))
        axes = (((lead + 1,), (lead,)), (batch, batch))
        return lax.dot_general(a, b, axes, precision=EXACT)

    def affine(self, x: Any, w: Any, b: Any) -> Any:
        product = lax.dot_general(x, w, (((1,), (1,)), ((), ())), precision=EXACT)
        return lax.add(product, lax.broadcast_in_dim(b, product.shape, (1,)))

    def amatmul(self, a: Any, b: Any, linear: int) -> Any:
        if prod(a.shape) * b.shape[-1] <= TINY_PRODUCT:
            return self._written_out(a, b, linear)
        out = self.matmul(a, b)
        suspect = may_hold_nan(out)
        if not self.strict:
            self.suspects.append(suspect)
            return out
        return lax.cond(suspect, lambda: self._absorbing_matmul(a, b, linear), lambda: out)

    def _absorbing(self, a: Any, b: Any, linear: int) -> Any:
        return self.amul(a, b) if linear == 0 else self.amul(b, a)

    def _written_out(self, a: Any, b: Any, linear: int) -> Any:
        rank, (m, k), n = len(a.shape), a.shape[-2:], b.shape[-1]
        shape = (*a.shape[:-2], m, k, n)
        batch = tuple(range(rank - 2))
        left = lax.broadcast_in_dim(a, shape, (*batch, rank - 2, rank - 1))
        right = lax.broadcast_in_dim(b, shape, (*batch, rank - 1, rank))
        return self.sum(self._absorbing(left, right, linear), (rank - 1,))

    def _absorbing_matmul(self, a: Any, b: Any, linear: int) -> Any:
        """Rank-one updates, k ascending: rare (a non-finite operand), so plain rather than fast."""
        rank = len(a.shape)
        shape = (*a.shape[:-1], b.shape[-1])
        batch = tuple(range(rank - 2))

        def update(k: Any, out: Any) -> Any:
            column = lax.dynamic_index_in_dim(a, k, rank - 1, keepdims=False)
            row = lax.dynamic_index_in_dim(b, k, rank - 2, keepdims=False)
            left = lax.broadcast_in_dim(column, shape, (*batch, rank - 2))
            right = lax.broadcast_in_dim(row, shape, (*batch, rank - 1))
            return lax.add(out, self._absorbing(left, right, linear))

        return lax.fori_loop(0, a.shape[-1], update, self.full(shape, 0))

    # -- linear structure ----------------------------------------------------------------------
    def reshape(self, x: Any, shape: Shape) -> Any:
        return x if x.shape == shape else lax.reshape(x, shape)

    def permute(self, x: Any, axes: Shape) -> Any:
        return lax.transpose(x, axes)

    def broadcast(self, x: Any, shape: Shape, axes: Shape) -> Any:
        return lax.broadcast_in_dim(x, shape, axes)

    def sum(self, x: Any, axes: Shape) -> Any:
        return lax.reduce_sum(x, axes)

    def max(self, x: Any, axes: Shape) -> Any:
        return lax.reduce_max(x, axes)

    def concat(self, xs: Sequence[Any], axis: int) -> Any:
        return xs[0] if len(xs) == 1 else lax.concatenate(xs, axis)

    def slice(self, x: Any, axis: int, start: int, length: int) -> Any:
        return lax.slice_in_dim(x, start, start + length, axis=axis)

    def pad(self, x: Any, widths: Sequence[tuple[int, int]], value: Number = 0) -> Any:
        return lax.pad(x, self._number(value), [(low, high, 0) for low, high in widths])

    # -- indices -------------------------------------------------------------------------------
    def take(self, x: Any, index: Index) -> Any:
        idx: Any = index
        n, rest = x.shape[0], x.shape[1:]
        if n == 0:
            return lax.broadcast(x.dtype.type(0), (*idx.shape, *rest))
        sure = isinstance(idx, np.ndarray) and bool(((idx >= 0) & (idx < n)).all())
        numbers = lax.GatherDimensionNumbers(
            offset_dims=tuple(range(1, 1 + len(rest))), collapsed_slice_dims=(0,), start_index_map=(0,)
        )
        return lax.gather(
            x,
            lax.reshape(idx, (*idx.shape, 1)),
            numbers,
            slice_sizes=(1, *rest),
            mode="promise_in_bounds" if sure else "fill",
            fill_value=0,
        )

    def put_add(self, rows: Any, index: Index, n: int) -> Any:
        # on a CPU XLA runs the updates one after another, j ascending, as NumPy does
        idx: Any = index
        zeros = lax.broadcast(rows.dtype.type(0), (n, *rows.shape[1:]))
        if n == 0:
            return zeros
        numbers = lax.ScatterDimensionNumbers(
            update_window_dims=tuple(range(1, len(rows.shape))),
            inserted_window_dims=(0,),
            scatter_dims_to_operand_dims=(0,),
        )
        return lax.scatter_add(zeros, lax.reshape(idx, (*idx.shape, 1)), rows, numbers, mode="drop")

    def one_hot(self, index: Index, n: int) -> Any:
        idx: Any = index
        shape = (idx.shape[0], n)
        return lax.eq(lax.broadcast_in_dim(idx, shape, (0,)), lax.broadcasted_iota(idx.dtype, shape, 1))

    # -- windows -------------------------------------------------------------------------------
    def windows(self, x: Any, kernel: Shape, stride: Shape) -> Any:
        # one axis after the other, offsets stacked in front, where stacking is cheapest; then one transpose
        d = len(kernel)
        lead = len(x.shape) - d
        for i, (size, step) in enumerate(zip(kernel, stride, strict=True)):
            axis = i + lead + i  # i window axes stand in front
            count = (x.shape[axis] - size) // step + 1
            reach = (count - 1) * step + 1  # not positive where no window fits
            planes = [lax.slice_in_dim(x, o, max(o, o + reach), step, axis) for o in range(size)]
            x = lax.concatenate([lax.expand_dims(p, (0,)) for p in planes], 0)
        # now (k_d … k_1, lead, o_1 … o_d)
        return lax.transpose(x, (*range(d, 2 * d + lead), *reversed(range(d))))

    def fold_windows(self, w: Any, size: Shape, stride: Shape) -> Any:
        # the last axis first: its windows are summed, offsets ascending, then those of the axis before it
        d = len(size)
        lead = len(w.shape) - 2 * d
        zero = self._number(0)
        for i in reversed(range(d)):
            axis, last = lead + i, len(w.shape) - 1
            count, kernel, step = w.shape[axis], w.shape[last], stride[i]
            out = None
            for o in range(kernel):
                plane = lax.index_in_dim(w, o, last, keepdims=False)
                reach = o + (count - 1) * step + 1
                widths = [(0, 0, 0)] * last
                widths[axis] = (o, size[i] - reach, step - 1)
                plane = lax.pad(plane, zero, widths)
                out = plane if out is None else lax.add(out, plane)
            w = out
        return w

    def first_max(self, x: Any, valid: Mask | None) -> Any:
        last = len(x.shape) - 1
        rows = tuple(range(last))
        ok = None
        if valid is not None and not valid.all():
            ok = np.broadcast_to(valid, x.shape)
            x = lax.select(ok, x, self.full(x.shape, -np.inf))
        best = lax.broadcast_in_dim(lax.reduce_max(x, (last,)), x.shape, rows)
        hits = lax.bitwise_or(lax.eq(x, best), functions.is_nan(x))  # best is nan where any entry is
        if ok is not None:
            hits = lax.bitwise_and(hits, ok)  # every candidate may be -inf, as the others are
        cells = lax.broadcasted_iota(np.int32, x.shape, last)
        none = lax.broadcast(np.int32(x.shape[last]), x.shape)
        first = lax.reduce_min(lax.select(hits, cells, none), (last,))
        return lax.eq(cells, lax.broadcast_in_dim(first, x.shape, rows))


def may_hold_nan(out: Any) -> Any:
    """A scalar that is true if an operand of this matrix product was not finite, or the product overflowed.

    A non-finite entry of the left factor makes its whole row of the product non-finite (inf times anything is
    inf or nan, and no finite term brings it back), one of the right factor its whole column. So if the first
    row and the first column (of each matrix of a batch) are finite, both factors are.
    """
    rank = len(out.shape)
    row = lax.index_in_dim(out, 0, rank - 2, keepdims=False)
    column = lax.index_in_dim(out, 0, rank - 1, keepdims=False)
    finite = [lax.reduce_and(lax.is_finite(part), tuple(range(rank - 1))) for part in (row, column)]
    return lax.bitwise_not(lax.bitwise_and(*finite))

"""Multi-head self-attention as one node (Vaswani et al. 2017), without biases.

    q, k, v = x wq, x wk, x wv, each split into heads;   p = softmax(q k^T / sqrt(d)) over kept keys
    out = (p v, heads side by side) wo

A head is a block of d columns: splitting is reshape (n, heads, d), then swapping the first two axes. A raw
reshape to (heads, n, d) would cut tokens into pieces and mix them. Shapes in comments: B batch, n tokens, D
model width, H heads, d head width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic

from prooftape.attributes import Attr
from prooftape.errors import AttributeValueError, RuleError
from prooftape.op import Call, Op, Operand, Sample, Typing, add_present
from prooftape.types import Shape
from prooftape.vocabulary import A, Vocabulary, keep


@dataclass(frozen=True, slots=True)
class _Sizes:
    batch: int
    tokens: int
    width: int
    heads: int
    head_width: int

    @classmethod
    def of(cls, c: Call) -> _Sizes:
        x, heads = c.shapes[4], c.int("num_heads")
        return cls(x[0] if len(x) == 3 else 1, x[-2], x[-1], heads, c.shapes[0][1] // heads)

    @property
    def scores(self) -> Shape:
        return (self.batch, self.heads, self.tokens, self.tokens)

    def flat(self, xp: Vocabulary[A], x: A) -> A:
        """x as one matrix (B n, D)."""
        return xp.reshape(x, (self.batch * self.tokens, self.width))

    def split(self, xp: Vocabulary[A], m: A) -> A:
        """(B n, H d) -> (B, H, n, d)."""
        blocks = xp.reshape(m, (self.batch, self.tokens, self.heads, self.head_width))
        return xp.permute(blocks, (0, 2, 1, 3))

    def merge(self, xp: Vocabulary[A], heads: A) -> A:
        """(B, H, n, d) -> (B n, H d), the inverse and transpose of `split`."""
        blocks = xp.permute(heads, (0, 2, 1, 3))
        return xp.reshape(blocks, (self.batch * self.tokens, self.heads * self.head_width))


def _swap(xp: Vocabulary[A], x: A) -> A:
    """Transpose of the last two axes."""
    n = len(xp.shape(x))
    return xp.permute(x, (*range(n - 2), n - 1, n - 2))


def _over_root(xp: Vocabulary[A], size: _Sizes, q: A) -> A:
    """q / sqrt(d)."""
    root = xp.sqrt(xp.full((), size.head_width))
    return xp.div(q, xp.broadcast(root, xp.shape(q), ()))


def _attend(xp: Vocabulary[A], size: _Sizes, scores: A, mask: A | None) -> A:
    """Softmax over the last axis, over kept entries only; rows that keep nothing are zero."""
    shape, last = size.scores, (3,)
    if mask is None:
        largest = xp.stop_gradient(xp.max(scores, last))
        e = xp.exp(xp.sub(scores, keep(xp, largest, shape, last)))
        return xp.div(e, keep(xp, xp.sum(e, last), shape, last))
    square = (size.tokens, size.tokens)
    ones = xp.where(mask, xp.full(square, 1), xp.full(square, 0))
    zero = xp.full(shape, 0)
    kept = xp.greater(xp.broadcast(ones, shape, (2, 3)), zero)
    # the shift is the largest kept score: the others are first replaced by something no larger
    harmless = xp.where(kept, scores, zero)
    lowest = xp.neg(xp.max(xp.neg(harmless), last))
    candidates = xp.where(kept, scores, keep(xp, lowest, shape, last))
    largest = xp.stop_gradient(xp.max(candidates, last))
    e = xp.where(kept, xp.exp(xp.sub(scores, keep(xp, largest, shape, last))), zero)
    # an empty row has sum 0: divide it by 1
    empty = xp.sub(xp.full((size.tokens,), 1), xp.max(ones, (1,)))
    total = xp.add(xp.sum(e, last), xp.broadcast(empty, shape[:3], (2,)))
    return xp.div(e, keep(xp, total, shape, last))


@dataclass(frozen=True, slots=True)
class _Pass(Generic[A]):
    """What a forward pass computes on the way: x (B n, D); q (scaled), k, v, p by head; merged (B n, H d)."""

    x: A
    q: A
    k: A
    v: A
    p: A
    merged: A

    @classmethod
    def run(cls, xp: Vocabulary[A], size: _Sizes, operands: Sequence[A]) -> _Pass[A]:
        wq, wk, wv, _, x, *mask = operands
        rows = size.flat(xp, x)
        q = _over_root(xp, size, size.split(xp, xp.matmul(rows, wq)))
        k = size.split(xp, xp.matmul(rows, wk))
        v = size.split(xp, xp.matmul(rows, wv))
        p = _attend(xp, size, xp.matmul(q, _swap(xp, k)), mask[0] if mask else None)
        return cls(rows, q, k, v, p, size.merge(xp, xp.matmul(p, v)))


def _softmax_move(xp: Vocabulary[A], p: A, t: A) -> A:
    """p * (t - sum(p * t)) over the last axis: the softmax's Jacobian, its own transpose."""
    shape = xp.shape(p)
    last = (len(shape) - 1,)
    mean = keep(xp, xp.sum(xp.amul(t, p), last), shape, last)
    return xp.amul(xp.sub(t, mean), p)


def _forward(xp: Vocabulary[A], c: Call, *operands: A) -> A:
    run = _Pass.run(xp, _Sizes.of(c), operands)
    return xp.reshape(xp.matmul(run.merged, operands[3]), c.shape)


def _jvp(xp: Vocabulary[A], c: Call, primals: Sequence[A], out: A, tangents: Sequence[A | None]) -> A | None:
    size = _Sizes.of(c)
    run = _Pass.run(xp, size, primals)
    dwq, dwk, dwv, dwo, dx = tangents[:5]
    wo = primals[3]
    d_rows = None if dx is None else size.flat(xp, dx)

    def product(t: A | None, other: A, linear: int) -> A | None:
        if t is None:
            return None
        return xp.amatmul(t, other, linear=0) if linear == 0 else xp.amatmul(other, t, linear=1)

    def projected(dw: A | None, w: A) -> A | None:
        total = add_present(xp, (product(dw, run.x, 1), product(d_rows, w, 0)))
        return None if total is None else size.split(xp, total)

    dq, dk, dv = (projected(dw, w) for dw, w in zip((dwq, dwk, dwv), primals[:3], strict=True))
    if dq is not None:
        dq = _over_root(xp, size, dq)
    if dk is not None:
        dk = _swap(xp, dk)
    d_scores = add_present(xp, (product(dq, _swap(xp, run.k), 0), product(dk, run.q, 1)))
    dp = None if d_scores is None else _softmax_move(xp, run.p, d_scores)
    d_heads = add_present(xp, (product(dp, run.v, 0), product(dv, run.p, 1)))
    d_merged = None if d_heads is None else size.merge(xp, d_heads)
    total = add_present(xp, (product(d_merged, wo, 0), product(dwo, run.merged, 1)))
    return None if total is None else xp.reshape(total, c.shape)


def _vjp(
    xp: Vocabulary[A], c: Call, saved: Sequence[A], ct: A, wanted: Sequence[bool]
) -> tuple[A | None, ...]:
    size = _Sizes.of(c)
    run = _Pass.run(xp, size, saved)
    wq, wk, wv, wo = saved[:4]
    g = size.flat(xp, ct)
    parts: list[A | None] = [None] * len(saved)
    if wanted[3]:
        parts[3] = xp.amatmul(_swap(xp, run.merged), g, linear=1)
    if not (wanted[0] or wanted[1] or wanted[2] or wanted[4]):
        return tuple(parts)

    g_heads = size.split(xp, xp.amatmul(g, _swap(xp, wo), linear=0))
    into: list[tuple[int, A, A]] = []  # (operand, its weight, cotangent of the projection (B n, H d))
    if wanted[0] or wanted[1] or wanted[4]:
        g_scores = _softmax_move(xp, run.p, xp.amatmul(g_heads, _swap(xp, run.v), linear=0))
        if wanted[0] or wanted[4]:
            gq = _over_root(xp, size, xp.amatmul(g_scores, run.k, linear=0))
            into.append((0, wq, size.merge(xp, gq)))
        if wanted[1] or wanted[4]:
            into.append((1, wk, size.merge(xp, xp.amatmul(_swap(xp, g_scores), run.q, linear=0))))
    if wanted[2] or wanted[4]:
        into.append((2, wv, size.merge(xp, xp.amatmul(_swap(xp, run.p), g_heads, linear=1))))
    for operand, _, gm in into:
        if wanted[operand]:
            parts[operand] = xp.amatmul(_swap(xp, run.x), gm, linear=1)
    if wanted[4]:
        total = add_present(xp, (xp.amatmul(gm, _swap(xp, w), linear=0) for _, w, gm in into))
        parts[4] = None if total is None else xp.reshape(total, c.shapes[4])
    return tuple(parts)


def _shape(t: Typing) -> Shape:
    wq, wk, wv, wo, x = t.shapes[:5]
    if t.attrs["num_heads"] is None:
        raise RuleError("attribute num_heads is required", "pass num_heads=…", AttributeValueError)
    heads = t.int("num_heads")
    if len(x) not in (2, 3):
        raise RuleError(
            "x must have axes (tokens, width), or 3 with a batch in front",
            "reshape it, keeping the width last",
        )
    width = x[-1]
    if len(wq) != 2 or wq[0] != width:
        raise RuleError(f"wq must have shape ({width}, heads * head width)", "x's width meets the rows of wq")
    for name, w in (("wk", wk), ("wv", wv)):
        if w != wq:
            raise RuleError(f"{name} must have the shape of wq, {wq}", "queries, keys and values share heads")
    if wo != (wq[1], width):
        raise RuleError(f"wo must have shape {(wq[1], width)}", "it maps the heads back to x's width")
    if 0 in wq or x[-2] == 0:
        raise RuleError("tokens, width and head width must be >= 1", "only the batch may be empty")
    if heads < 1 or wq[1] % heads:
        raise RuleError(
            f"num_heads must divide wq's {wq[1]} columns, got {heads}",
            "the head width is columns / num_heads",
            AttributeValueError,
        )
    if len(t.shapes) == 6 and t.shapes[5] != (x[-2], x[-2]):
        raise RuleError(
            f"mask must have shape {(x[-2], x[-2])}, a row per query",
            "one mask, True = keep, serves all heads and the whole batch",
        )
    return x


def _samples() -> Iterable[Sample]:
    for x, columns, heads, masked in (
        ((2, 2), 2, 2, False),
        ((3, 2), 4, 2, True),
        ((2, 2, 3), 2, 1, True),
        ((1, 2, 1), 2, 2, False),
        ((1, 1), 1, 1, True),
    ):
        w = (x[-1], columns)
        operands = [*[Operand(w)] * 3, Operand(w[::-1]), Operand(x)]
        operands += [Operand((x[-2], x[-2]), "mask")] * masked
        yield Sample(tuple(operands), {"num_heads": heads})


multi_head_attention = Op(
    name="multi_head_attention",
    family="attention",
    operands=("wq", "wk", "wv", "wo", "x", "mask"),
    operand_dtypes=("real", "real", "real", "real", "real", "bool"),
    optional_operands=1,
    shape_rule=_shape,
    forward=_forward,
    jvp=_jvp,
    vjp=_vjp,
    saves=("wq", "wk", "wv", "wo", "x", "mask"),
    samples=_samples,
    doc="Multi-head scaled dot-product self-attention without biases; scores are over sqrt(head width).",
    shapes_doc="wq, wk, wv (width, heads * d), wo (heads * d, width), x (n, width) or (batch, n, width), "
    "mask (n, n) boolean -> x's shape",
    attrs=(
        # required, but named after the mask: multi_head_attention(wq, wk, wv, wo, x, mask, num_heads=8)
        Attr(
            "num_heads",
            "int",
            None,
            optional=True,
            doc="number of heads, required; divides the columns of wq",
        ),
    ),
    convention="mask True keeps a score; a query that keeps nothing gives zeros and has no gradient",
    transcendental=True,
)

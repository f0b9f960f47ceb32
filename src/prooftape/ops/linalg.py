"""Matrix products. Big products run as one 2-D matrix product; rules use the absorbing product.

`matmul` follows torch.matmul: a vector on the left is a row, on the right a column, and is dropped from the
result; axes before the last two are a batch and broadcast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from prooftape.attributes import Attr
from prooftape.errors import AttributeValueError, RuleError
from prooftape.op import Call, Op, Operand, Sample, Typing, add_present
from prooftape.ops.axes import broadcast, reshaped, trailing, unbroadcast
from prooftape.types import Shape, broadcast_shape
from prooftape.vocabulary import A, Vocabulary


# -- bilinear rules on (…, m, k) @ (…, k, n) with equal leading axes ------------------------------------
def _swap(xp: Vocabulary[A], x: A) -> A:
    n = len(xp.shape(x))
    return xp.permute(x, (*range(n - 2), n - 1, n - 2))


def _product_jvp(xp: Vocabulary[A], a: A, b: A, da: A | None, db: A | None) -> A | None:
    return add_present(
        xp,
        (
            None if da is None else xp.amatmul(da, b, 0),
            None if db is None else xp.amatmul(a, db, 1),
        ),
    )


def _product_vjp(xp: Vocabulary[A], a: A, b: A, ct: A, wanted: Sequence[bool]) -> tuple[A | None, A | None]:
    return (
        xp.amatmul(ct, _swap(xp, b), 0) if wanted[0] else None,
        xp.amatmul(_swap(xp, a), ct, 1) if wanted[1] else None,
    )


_PLAIN = "operands are (…, m, k) and (…, k, n) with equal leading axes"


def _same_batch(t: Typing) -> Shape:
    a, b = t.shapes
    if min(len(a), len(b)) < 2 or a[:-2] != b[:-2]:
        raise RuleError("leading axes differ", _PLAIN)
    if a[-1] != b[-2]:
        raise RuleError(f"inner dimensions differ ({a[-1]} and {b[-2]})", _PLAIN)
    return (*a[:-1], b[-1])


def _bmm_jvp(
    xp: Vocabulary[A], c: Call, primals: Sequence[A], out: A, tangents: Sequence[A | None]
) -> A | None:
    return _product_jvp(xp, primals[0], primals[1], tangents[0], tangents[1])


def _bmm_vjp(
    xp: Vocabulary[A], c: Call, saved: Sequence[A], ct: A, wanted: Sequence[bool]
) -> tuple[A | None, ...]:
    return _product_vjp(xp, saved[0], saved[1], ct, wanted)


_BMM = "a is (B, m, n), b is (B, n, p)"


def _bmm_shape(t: Typing) -> Shape:
    a, b = t.shapes
    for name, s in zip(t.op.operands, t.shapes, strict=True):
        if len(s) != 3:
            raise RuleError(f"operand {name} has rank {len(s)}, expected rank 3", "matmul takes any rank")
    if a[0] != b[0]:
        raise RuleError(
            f"batch sizes differ ({a[0]} and {b[0]})", "matmul broadcasts batch axes, bmm does not"
        )
    if a[2] != b[1]:
        hint = "did you mean bmm(a, transpose3d_last_two(b))?" if a[2] == b[2] else _BMM
        raise RuleError(f"inner dimensions differ ({a[2]} and {b[1]})", hint)
    return (a[0], a[1], b[2])


bmm = Op(
    name="bmm",
    family="linear algebra",
    operands=("a", "b"),
    shape_rule=_bmm_shape,
    forward=lambda xp, c, a, b: xp.matmul(a, b),
    jvp=_bmm_jvp,
    vjp=_bmm_vjp,
    saves=("a", "b"),
    samples=lambda: [
        Sample((Operand((2, 2, 3)), Operand((2, 3, 2)))),
        Sample((Operand((1, 1, 2)), Operand((1, 2, 3)))),
        Sample((Operand((2, 2, 0)), Operand((2, 0, 1)))),
        Sample((Operand((0, 2, 2)), Operand((0, 2, 1)))),
    ],
    doc="Matrix product of each pair of matrices in two batches.",
    shapes_doc="a: (B, m, n), b: (B, n, p) -> (B, m, p)",
    convention="in derivatives an exactly zero cotangent or tangent absorbs a non-finite entry",
    accuracy="sums in the order of the BLAS library",
)


def _linear_operand(t: Typing) -> Shape:
    if t.int("linear") not in (0, 1):
        raise RuleError(f"linear must be 0 or 1, got {t.int('linear')}", "", AttributeValueError)
    return _same_batch(t)


absorbing_matmul = Op(
    name="absorbing_matmul",
    family="vocabulary",
    operands=("a", "b"),
    shape_rule=_linear_operand,
    forward=lambda xp, c, a, b: xp.amatmul(a, b, c.int("linear")),
    jvp=_bmm_jvp,
    vjp=_bmm_vjp,
    saves=("a", "b"),
    samples=lambda: [
        Sample((Operand((2, 3)), Operand((3, 2))), {"linear": 0}),
        Sample((Operand((2, 1, 2)), Operand((2, 2, 2))), {"linear": 1}),
        Sample((Operand((2, 0)), Operand((0, 1))), {"linear": 0}),
    ],
    attrs=(Attr("linear", "int", doc="which operand absorbs: 0 or 1"),),
    doc="Matrix product in which exact zeros of operand `linear` absorb non-finite entries of the other.",
    shapes_doc="a: (…, m, k), b: (…, k, n), equal leading axes -> (…, m, n)",
    convention="zero is absorbing",
    public=False,
)


# -- matmul -------------------------------------------------------------------------------------------
class _Form(NamedTuple):
    """How a general product runs as a plain one.

    Each operand is aligned to the batch (or, when b is one matrix, all of a's rows are stacked: batch `()`),
    multiplied as (*batch, m, k) @ (*batch, k, n), and reshaped to the result.
    """

    a: Shape
    b: Shape
    left: Shape
    right: Shape
    product: Shape


@lru_cache(maxsize=4096)
def _form(a: Shape, b: Shape) -> _Form:
    a2 = a if len(a) > 1 else (1, *a)
    b2 = b if len(b) > 1 else (*b, 1)
    if len(b2) == 2:
        rows = math.prod(a2[:-1])
        return _Form((rows, a2[-1]), b2, (rows, a2[-1]), b2, (rows, b2[1]))
    batch = broadcast_shape(a2[:-2], b2[:-2])
    assert batch is not None
    return _Form(a2, b2, (*batch, *a2[-2:]), (*batch, *b2[-2:]), (*batch, a2[-2], b2[-1]))


def _widen(xp: Vocabulary[A], x: A, plain: Shape, wide: Shape) -> A:
    return broadcast(xp, reshaped(xp, x, plain), wide, trailing(plain, len(wide)))


def _narrow(xp: Vocabulary[A], g: A, plain: Shape, shape: Shape) -> A:
    """Transpose of `_widen`."""
    return reshaped(xp, unbroadcast(xp, g, plain, trailing(plain, len(xp.shape(g)))), shape)


def _matmul(xp: Vocabulary[A], c: Call, a: A, b: A) -> A:
    f = _form(*c.shapes)
    return reshaped(xp, xp.matmul(_widen(xp, a, f.a, f.left), _widen(xp, b, f.b, f.right)), c.shape)


def _matmul_jvp(
    xp: Vocabulary[A], c: Call, primals: Sequence[A], out: A, tangents: Sequence[A | None]
) -> A | None:
    f, (da, db) = _form(*c.shapes), tangents
    tangent = _product_jvp(
        xp,
        _widen(xp, primals[0], f.a, f.left),
        _widen(xp, primals[1], f.b, f.right),
        None if da is None else _widen(xp, da, f.a, f.left),
        None if db is None else _widen(xp, db, f.b, f.right),
    )
    return None if tangent is None else reshaped(xp, tangent, c.shape)


def _matmul_vjp(
    xp: Vocabulary[A], c: Call, saved: Sequence[A], ct: A, wanted: Sequence[bool]
) -> tuple[A | None, ...]:
    f = _form(*c.shapes)
    left, right = _widen(xp, saved[0], f.a, f.left), _widen(xp, saved[1], f.b, f.right)
    parts = _product_vjp(xp, left, right, reshaped(xp, ct, f.product), wanted)
    return tuple(
        None if g is None else _narrow(xp, g, plain, shape)
        for g, plain, shape in zip(parts, (f.a, f.b), c.shapes, strict=True)
    )


def _remedy(a: Shape, b: Shape) -> str:
    """The call that was probably meant, when the shapes of a refused product suggest one."""
    if len(a) == len(b) == 2:
        if a[1] == b[1]:
            return "did you mean matmul(b, transpose2d(a))?"
        if a[0] == b[0]:
            return "did you mean matmul(transpose2d(a), b)?"
        if a[0] == b[1]:
            return "did you mean matmul(b, a)?"
    if len(a) == 2 and len(b) == 1 and a[0] == b[0]:
        return "did you mean matmul(b, a)?"
    if len(a) == 1 and len(b) == 2 and a[0] == b[1]:
        return "did you mean matmul(b, a)?"
    if len(b) > 2 and a[-1] == b[-1]:
        return f"did you mean matmul(a, swap_adjacent_at_depth(b, {len(b) - 2}))?"
    return "the last axis of a must be as long as " + ("the second last of b" if len(b) > 1 else "b")


def _matmul_shape(t: Typing) -> Shape:
    a, b = t.shapes
    for name, s in zip(t.op.operands, t.shapes, strict=True):
        if not s:
            raise RuleError(f"operand {name} has rank 0", "scale(x, c) or mul multiply by one number")
    inner = b[-2] if len(b) > 1 else b[0]
    if a[-1] != inner:
        raise RuleError(f"inner dimensions differ ({a[-1]} and {inner})", _remedy(a, b))
    batch = broadcast_shape(a[:-2], b[:-2])
    if batch is None:
        raise RuleError(
            f"batch dimensions {a[:-2]} and {b[:-2]} do not broadcast", "trailing ones must be equal or 1"
        )
    return (*batch, *a[-2:-1], *(b[-1:] if len(b) > 1 else ()))


matmul = Op(
    name="matmul",
    family="linear algebra",
    operands=("a", "b"),
    shape_rule=_matmul_shape,
    forward=_matmul,
    jvp=_matmul_jvp,
    vjp=_matmul_vjp,
    saves=("a", "b"),
    samples=lambda: [
        Sample((Operand(a), Operand(b)))
        for a, b in (
            ((2, 3), (3, 2)),
            ((3,), (3,)),
            ((2, 3), (3,)),
            ((3,), (3, 2)),
            ((2, 2, 3), (3, 2)),
            ((2, 3), (2, 3, 1)),
            ((2, 1, 2, 2), (3, 2, 1)),
            ((1, 2, 3), (2, 3)[::-1]),
            ((3,), (2, 3, 1)),
            ((2, 1, 3), (3,)),
            ((2, 0), (0, 3)),
            ((0, 2), (2, 1)),
        )
    ],
    doc="Matrix product, as torch.matmul: vectors are promoted, leading axes are a batch and broadcast.",
    shapes_doc="a: (…, m, k), b: (…, k, n) -> (…, m, n); a vector (k) drops its axis from the result",
    convention="in derivatives an exactly zero cotangent or tangent absorbs a non-finite entry",
    accuracy="sums in the order of the BLAS library",
)


# -- linear -------------------------------------------------------------------------------------------
def _rows(xp: Vocabulary[A], x: A) -> A:
    shape = xp.shape(x)
    return x if len(shape) == 2 else xp.reshape(x, (math.prod(shape[:-1]), shape[-1]))


def _linear(xp: Vocabulary[A], c: Call, w: A, b: A, x: A) -> A:
    return reshaped(xp, xp.affine(_rows(xp, x), w, b), c.shape)


def _linear_jvp(
    xp: Vocabulary[A], c: Call, primals: Sequence[A], out: A, tangents: Sequence[A | None]
) -> A | None:
    (w, _, x), (dw, db, dx) = primals, tangents
    tangent = _product_jvp(
        xp,
        _rows(xp, x),
        _swap(xp, w),
        None if dx is None else _rows(xp, dx),
        None if dw is None else _swap(xp, dw),
    )
    tangent = None if tangent is None else reshaped(xp, tangent, c.shape)
    spread = None if db is None else broadcast(xp, db, c.shape, (len(c.shape) - 1,))
    return add_present(xp, (tangent, spread))


def _linear_vjp(
    xp: Vocabulary[A], c: Call, saved: Sequence[A], ct: A, wanted: Sequence[bool]
) -> tuple[A | None, ...]:
    (w, x), g = saved, _rows(xp, ct)
    return (
        xp.amatmul(_swap(xp, g), _rows(xp, x), 0) if wanted[0] else None,
        xp.sum(g, (0,)) if wanted[1] else None,
        reshaped(xp, xp.amatmul(g, w, 0), c.shapes[2]) if wanted[2] else None,
    )


_OPERANDS = "operands are linear(w, b, x)"


def _linear_shape(t: Typing) -> Shape:
    w, b, x = t.shapes
    if len(w) != 2:
        raise RuleError(f"operand w has rank {len(w)}, expected (out, in)", _OPERANDS)
    if b != w[:1]:
        hint = "w is (out, in): did you mean linear(transpose2d(w), b, x)?" if b == w[1:] else _OPERANDS
        raise RuleError(f"operand b has shape {b}, expected {w[:1]}, one entry per row of w", hint)
    if not x:
        raise RuleError("operand x has rank 0, expected (…, in)", "reshape it to (1,)")
    if x[-1] != w[1]:
        raise RuleError(f"the last axis of x has length {x[-1]}, w takes {w[1]}", f"x is (…, {w[1]})")
    return (*x[:-1], w[0])


linear = Op(
    name="linear",
    family="linear algebra",
    operands=("w", "b", "x"),
    shape_rule=_linear_shape,
    forward=_linear,
    jvp=_linear_jvp,
    vjp=_linear_vjp,
    saves=("w", "x"),
    samples=lambda: [
        Sample((Operand((2, 3)), Operand((2,)), Operand((3,)))),
        Sample((Operand((2, 3)), Operand((2,)), Operand((4, 3)))),
        Sample((Operand((1, 2)), Operand((1,)), Operand((2, 1, 2)))),
        Sample((Operand((2, 0)), Operand((2,)), Operand((2, 0)))),
        Sample((Operand((2, 2)), Operand((2,)), Operand((0, 2)))),
    ],
    doc="x @ w^T + b, as torch.nn.functional.linear.",
    shapes_doc="w: (out, in), b: (out), x: (…, in) -> (…, out)",
    convention="in derivatives an exactly zero cotangent or tangent absorbs a non-finite entry",
    accuracy="sums in the order of the BLAS library",
)

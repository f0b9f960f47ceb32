"""Functional scatter: a copy of x with a value added at one static index."""

from __future__ import annotations

from prooftape.attributes import Attr
from prooftape.declare import linear
from prooftape.errors import IndexRangeError, RuleError
from prooftape.op import Call, Op, Operand, Sample, Typing
from prooftape.types import Shape
from prooftape.vocabulary import A, Vocabulary


def _add_at(xp: Vocabulary[A], c: Call, x: A, v: A) -> A:
    # only row i goes through an addition: adding zeros elsewhere would turn -0.0 into 0.0
    n, i = c.shape[0], c.int("i")
    row = xp.add(xp.slice(x, 0, i, 1), xp.reshape(v, (1, *c.shape[1:])))
    return xp.concat([xp.slice(x, 0, 0, i), row, xp.slice(x, 0, i + 1, n - i - 1)], 0)


def _identity(xp: Vocabulary[A], c: Call, x: A) -> A:
    return x


def _place(xp: Vocabulary[A], c: Call, v: A) -> A:
    n, i = c.shape[0], c.int("i")
    return xp.pad(xp.reshape(v, (1, *c.shape[1:])), [(i, n - 1 - i), *((0, 0) for _ in c.shape[1:])])


def _pick(xp: Vocabulary[A], c: Call, g: A) -> A:
    return xp.reshape(xp.slice(g, 0, c.int("i"), 1), c.shapes[1])


def _checked(t: Typing) -> Shape:
    x, v = t.shapes
    if v != x[1:]:
        raise RuleError(
            f"operand v has shape {v}, expected {x[1:]}, the shape of one row of x", "v is added to x[i]"
        )
    i = t.int("i")
    if not 0 <= i < x[0]:
        allowed = f"0 <= i < {x[0]}" if x[0] else "x has no rows"
        raise RuleError(f"index {i} is out of range for length {x[0]}", allowed, IndexRangeError)
    return x


def _vector(t: Typing) -> Shape:
    rank = len(t.shapes[0])
    if rank != 1:
        raise RuleError(f"operand x has rank {rank}, expected a vector", "scatter_add_row takes higher ranks")
    return _checked(t)


def _matrix(t: Typing) -> Shape:
    rank = len(t.shapes[0])
    if rank < 2:
        raise RuleError(
            f"operand x has rank {rank}, expected rank 2 or more", "scatter_add_vec takes a vector"
        )
    return _checked(t)


def _scatter(name: str, shape_rule: object, samples: list[Sample], doc: str, shapes_doc: str) -> Op:
    return linear(
        name,
        ("x", "v"),
        _add_at,
        ((_identity, _identity), (_place, _pick)),
        family="scatter",
        shape_rule=shape_rule,  # type: ignore[arg-type]
        samples=lambda: samples,
        attrs=(Attr("i", "int", doc="static index, 0 <= i < n"),),
        doc=doc,
        shapes_doc=shapes_doc,
    )


scatter_add_vec = _scatter(
    "scatter_add_vec",
    _vector,
    [Sample((Operand((n,)), Operand(())), {"i": i}) for n, i in ((3, 0), (3, 1), (3, 2), (1, 0))],
    "A copy of x with v added to entry i.",
    "x: (n), v: () -> (n)",
)

scatter_add_row = _scatter(
    "scatter_add_row",
    _matrix,
    [
        Sample((Operand((3, 2)), Operand((2,))), {"i": 1}),
        Sample((Operand((1, 2)), Operand((2,))), {"i": 0}),
        Sample((Operand((2, 0)), Operand((0,))), {"i": 1}),
        Sample((Operand((2, 1, 2)), Operand((1, 2))), {"i": 1}),
    ],
    "A copy of x with v added to row i.",
    "x: (n, …), v: (…) -> (n, …)",
)

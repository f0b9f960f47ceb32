"""Vocabulary ops behind gathers and labels: `take`, its transpose `put_add`, and `one_hot`.

Derivative graphs are recorded with these. Each exists for literal indices and for indices read at evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence

from prooftape.attributes import Attr
from prooftape.declare import constant, linear
from prooftape.errors import RuleError
from prooftape.op import Call, Op, Operand, Sample, Typing
from prooftape.types import Shape
from prooftape.vocabulary import A, Index, Vocabulary

_IDX = Attr("idx", "nats", doc="literal naturals")
_N = Attr("n", "nat", doc="number of rows of the result")
_OUT_OF_RANGE = "an index out of range stands for nothing: a zero row, or no contribution"


def _index(xp: Vocabulary[A], c: Call, indices: Sequence[Index], n: int) -> Index:
    # n is out of range as well, and fits the index type
    return indices[0] if c.op.nats else xp.index([min(i, n) for i in c.ints("idx")])


def _count(t: Typing) -> int:
    return t.nat_sizes[0] if t.op.nats else len(t.ints("idx"))


def _rank1(t: Typing) -> Shape:
    shape = t.shapes[0]
    if not shape:
        raise RuleError(f"operand {t.op.operands[0]} has rank 0 and no rows", "reshape it to (1,)")
    return shape


def _taken(t: Typing) -> Shape:
    shape = _rank1(t)
    return (_count(t), *shape[1:])


def _put(t: Typing) -> Shape:
    shape = _rank1(t)
    if shape[0] != _count(t):
        raise RuleError(f"{shape[0]} rows for {_count(t)} indices", "give one index per row")
    return (t.int("n"), *shape[1:])


def _take(xp: Vocabulary[A], c: Call, x: A, *indices: Index) -> A:
    return xp.take(x, _index(xp, c, indices, xp.shape(x)[0]))


def _take_transpose(xp: Vocabulary[A], c: Call, g: A, *indices: Index) -> A:
    n = c.shapes[0][0]
    return xp.put_add(g, _index(xp, c, indices, n), n)


def _put_add(xp: Vocabulary[A], c: Call, rows: A, *indices: Index) -> A:
    n = c.int("n")
    return xp.put_add(rows, _index(xp, c, indices, n), n)


def _one_hot(xp: Vocabulary[A], c: Call, *indices: Index) -> A:
    n = c.int("n")
    return xp.one_hot(_index(xp, c, indices, n), n)


def _sample(by: str, operands: tuple[Operand, ...], idx: tuple[int, ...], **attrs: object) -> Sample:
    return Sample(operands, attrs, (idx,)) if by == "ref" else Sample(operands, {"idx": idx, **attrs})


def _take_op(by: str) -> Op:
    cases: list[tuple[Shape, tuple[int, ...]]] = [
        ((3, 2), (2, 0, 2, 7)),
        ((3,), (1, 1)),
        ((0, 2), (0,)),
        ((2,), ()),
    ]
    return linear(
        f"take_{by}",
        ("x",),
        _take,
        ((_take, _take_transpose),),
        family="vocabulary",
        shape_rule=_taken,
        samples=lambda: [_sample(by, (Operand(s),), i) for s, i in cases],
        attrs=(_IDX,) if by == "nat" else (),
        nats=("idx",) if by == "ref" else (),
        doc="Rows x[idx[j]] along axis 0.",
        shapes_doc="x: (n, …), k naturals -> (k, …)",
        convention=_OUT_OF_RANGE,
        public=False,
    )


def _put_add_op(by: str) -> Op:
    cases: list[tuple[Shape, tuple[int, ...], int]] = [
        ((4, 2), (2, 0, 2, 7), 3),
        ((2,), (1, 1), 2),
        ((1, 2), (0,), 0),
        ((0, 2), (), 2),
    ]
    return linear(
        f"put_add_{by}",
        ("rows",),
        _put_add,
        ((_put_add, _take),),
        family="vocabulary",
        shape_rule=_put,
        samples=lambda: [_sample(by, (Operand(s),), i, n=n) for s, i, n in cases],
        attrs=(_IDX, _N) if by == "nat" else (_N,),
        nats=("idx",) if by == "ref" else (),
        doc="n rows, row i the sum over ascending j of the rows[j] with idx[j] == i: the transpose of take.",
        shapes_doc="rows: (k, …), k naturals -> (n, …)",
        convention=_OUT_OF_RANGE,
        public=False,
    )


def _one_hot_op(by: str) -> Op:
    return constant(
        f"one_hot_{by}",
        (),
        _one_hot,
        family="vocabulary",
        shape_rule=lambda t: (_count(t), t.int("n")),
        samples=lambda: [_sample(by, (), idx, n=n) for idx, n in (((2, 0, 5), 3), ((), 2), ((0,), 0))],
        attrs=(_IDX, _N) if by == "nat" else (_N,),
        nats=("idx",) if by == "ref" else (),
        doc="Mask that is true at (j, idx[j]).",
        shapes_doc="k naturals -> a mask (k, n)",
        convention="a row whose index is out of range is all false",
        public=False,
    )


take_nat, take_ref = _take_op("nat"), _take_op("ref")
put_add_nat, put_add_ref = _put_add_op("nat"), _put_add_op("ref")
one_hot_nat, one_hot_ref = _one_hot_op("nat"), _one_hot_op("ref")

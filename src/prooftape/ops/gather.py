"""Gathers: entries or rows picked by index. The index is static and checked, literal, or read at evaluation.

The last two kinds are total: an index out of range gives 0 (a zero row) and no gradient. The derivative of a
gather is the same gather of the tangent; its transpose scatter-adds, so repeated indices accumulate.
"""

from __future__ import annotations

from collections.abc import Sequence

from prooftape.attributes import Attr
from prooftape.declare import linear
from prooftape.errors import IndexRangeError, RuleError
from prooftape.op import Call, Op, Operand, Sample, Typing
from prooftape.types import Shape
from prooftape.vocabulary import A, Index, Vocabulary

_TOTAL = "out of range gives 0 and no gradient; repeated indices accumulate"


def _vector(t: Typing, for_rows: str) -> Shape:
    shape = t.shapes[0]
    if len(shape) != 1:
        hint = f"{for_rows} takes higher ranks" if shape else "reshape it to (1,)"
        raise RuleError(f"operand x has rank {len(shape)}, expected a vector", hint)
    return shape


def _with_rows(t: Typing, for_vectors: str) -> Shape:
    shape = t.shapes[0]
    if len(shape) < 2:
        hint = f"{for_vectors} takes a vector"
        raise RuleError(f"operand x has rank {len(shape)}, expected rank 2 or more", hint)
    return shape


# -- static, checked ----------------------------------------------------------------------------------
def _checked_index(t: Typing, n: int, name: str = "i") -> int:
    i = t.int(name)
    if not 0 <= i < n:
        allowed = f"0 <= {name} < {n}" if n else "there is nothing to pick"
        raise RuleError(f"index {i} is out of range for length {n}", allowed, IndexRangeError)
    return i


def _pick(xp: Vocabulary[A], c: Call, x: A) -> A:
    return xp.reshape(xp.slice(x, 0, c.int("i"), 1), c.shape)


def _place(xp: Vocabulary[A], c: Call, g: A) -> A:
    shape, i = c.shapes[0], c.int("i")
    return xp.pad(xp.reshape(g, (1, *shape[1:])), [(i, shape[0] - 1 - i), *((0, 0) for _ in shape[1:])])


def _static_scalar(t: Typing) -> Shape:
    _checked_index(t, _vector(t, "gather_row")[0])
    return ()


def _static_row(t: Typing) -> Shape:
    shape = _with_rows(t, "gather_scalar")
    _checked_index(t, shape[0])
    return shape[1:]


gather_scalar = linear(
    "gather_scalar",
    ("x",),
    _pick,
    ((_pick, _place),),
    family="static gather",
    shape_rule=_static_scalar,
    samples=lambda: [Sample((Operand((n,)),), {"i": i}) for n, i in ((3, 0), (3, 2), (1, 0))],
    attrs=(Attr("i", "int", doc="static index, 0 <= i < n"),),
    doc="The entry x[i].",
    shapes_doc="x: (n) -> ()",
)

gather_row = linear(
    "gather_row",
    ("x",),
    _pick,
    ((_pick, _place),),
    family="static gather",
    shape_rule=_static_row,
    samples=lambda: [
        Sample((Operand(s),), {"i": i}) for s, i in (((3, 2), 1), ((1, 2), 0), ((2, 0), 1), ((2, 1, 3), 1))
    ],
    attrs=(Attr("i", "int", doc="static index, 0 <= i < n"),),
    doc="The row x[i].",
    shapes_doc="x: (n, …) -> (…)",
)


# -- total: literal or read at evaluation ---------------------------------------------------------------
def _total_gather(
    name: str,
    *,
    by: str,
    rows: bool,
    many: bool,
    sibling: str,
    doc: str,
    shapes_doc: str,
    samples: Sequence[tuple[Shape, tuple[int, ...]]],
) -> Op:
    """One total gather.

    `by`: "nat" (literal attribute) or "ref" (read at evaluation); `rows`: whole rows or entries of a vector;
    `many`: a vector of indices or one; `sibling`: the op for the other kind of operand.
    """
    index_name = "idx" if many else "i"

    def shape_rule(t: Typing) -> Shape:
        tail = (_with_rows if rows else _vector)(t, sibling)[1:]
        if not many:
            if by == "ref" and t.nat_sizes[0] != 1:
                plural = "gather_rows_ref" if rows else "gather_vec_ref"
                problem = f"i refers to {t.nat_sizes[0]} naturals, expected one"
                raise RuleError(problem, f"{plural} takes a vector of them")
            return tail
        count = len(t.ints(index_name)) if by == "nat" else t.nat_sizes[0]
        return (count, *tail)

    def index(xp: Vocabulary[A], c: Call, indices: Sequence[Index]) -> Index:
        if by == "ref":
            return indices[0]
        values, n = c.ints("idx") if many else (c.int("i"),), c.shapes[0][0]
        return xp.index([min(i, n) for i in values])  # n is out of range too, and fits the index type

    def gather(xp: Vocabulary[A], c: Call, x: A, *indices: Index) -> A:
        taken = xp.take(x, index(xp, c, indices))
        return taken if many else xp.reshape(taken, c.shape)

    def scatter(xp: Vocabulary[A], c: Call, g: A, *indices: Index) -> A:
        shape = c.shapes[0]
        rows_of_g = g if many else xp.reshape(g, (1, *shape[1:]))
        return xp.put_add(rows_of_g, index(xp, c, indices), shape[0])

    kind = "nats" if many else "nat"
    what = "literal naturals, one per result" if many else "literal natural"
    of_refs = f"{name.removesuffix('nat')}ref takes a {'NatVecRef' if many else 'NatRef'}"

    def sample(shape: Shape, index: tuple[int, ...]) -> Sample:
        if by == "ref":
            return Sample((Operand(shape),), {}, (index,))
        return Sample((Operand(shape),), {"idx": index} if many else {"i": index[0]})

    return linear(
        name,
        ("x",),
        gather,
        ((gather, scatter),),
        family="total gather" if by == "nat" else "dynamic gather",
        shape_rule=shape_rule,
        samples=lambda: [sample(s, i) for s, i in samples],
        doc=doc,
        shapes_doc=shapes_doc,
        attrs=(Attr(index_name, kind, doc=f"{what}; {of_refs}"),) if by == "nat" else (),
        nats=(index_name,) if by == "ref" else (),
        convention=_TOTAL,
    )


_SCALARS: list[tuple[Shape, tuple[int, ...]]] = [((3,), (1,)), ((3,), (3,)), ((1,), (0,)), ((0,), (0,))]
_VECTORS: list[tuple[Shape, tuple[int, ...]]] = [
    ((3,), (2, 0, 2, 7)),
    ((3,), ()),
    ((0,), (0, 1)),
    ((1,), (0, 0)),
]
_ROW: list[tuple[Shape, tuple[int, ...]]] = [
    ((3, 2), (2,)),
    ((3, 2), (5,)),
    ((2, 0), (1,)),
    ((2, 2, 2), (0,)),
]
_ROWS: list[tuple[Shape, tuple[int, ...]]] = [
    ((3, 2), (2, 0, 2, 9)),
    ((3, 2), ()),
    ((0, 2), (0,)),
    ((2, 1, 2), (1, 1)),
    ((2, 0), (1, 0, 4)),
]

gather_scalar_nat = _total_gather(
    "gather_scalar_nat",
    sibling="gather_rows_nat",
    by="nat",
    rows=False,
    many=False,
    samples=_SCALARS,
    doc="The entry x[i] for a literal natural i, or 0.",
    shapes_doc="x: (n) -> ()",
)
gather_vec_nat = _total_gather(
    "gather_vec_nat",
    sibling="gather_rows_nat",
    by="nat",
    rows=False,
    many=True,
    samples=_VECTORS,
    doc="The entries x[idx[j]] for literal naturals idx.",
    shapes_doc="x: (n), idx: k naturals -> (k)",
)
gather_rows_nat = _total_gather(
    "gather_rows_nat",
    sibling="gather_vec_nat",
    by="nat",
    rows=True,
    many=True,
    samples=_ROWS,
    doc="The rows x[idx[j]] for literal naturals idx.",
    shapes_doc="x: (n, …), idx: k naturals -> (k, …)",
)
gather_scalar_ref = _total_gather(
    "gather_scalar_ref",
    sibling="gather_row_ref",
    by="ref",
    rows=False,
    many=False,
    samples=_SCALARS,
    doc="The entry x[i], with i read from the natural's reference at evaluation, or 0.",
    shapes_doc="x: (n), i: a NatRef -> ()",
)
gather_row_ref = _total_gather(
    "gather_row_ref",
    sibling="gather_scalar_ref",
    by="ref",
    rows=True,
    many=False,
    samples=_ROW,
    doc="The row x[i], with i read from the natural's reference at evaluation, or a zero row.",
    shapes_doc="x: (n, …), i: a NatRef -> (…)",
)
gather_vec_ref = _total_gather(
    "gather_vec_ref",
    sibling="gather_rows_ref",
    by="ref",
    rows=False,
    many=True,
    samples=_VECTORS,
    doc="The entries x[idx[j]], with idx read at evaluation.",
    shapes_doc="x: (n), idx: a NatVecRef of length k -> (k)",
)
gather_rows_ref = _total_gather(
    "gather_rows_ref",
    sibling="gather_vec_ref",
    by="ref",
    rows=True,
    many=True,
    samples=_ROWS,
    doc="The rows x[idx[j]], with idx read at evaluation (an embedding lookup).",
    shapes_doc="x: (n, …), idx: a NatVecRef of length k -> (k, …)",
)

"""Joining, slicing and padding: entries moved to other places, with zeros (or one literal) around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prooftape.attributes import Attr
from prooftape.declare import linear
from prooftape.errors import AttributeValueError, IndexRangeError, RuleError, count
from prooftape.op import Call, Op, Operand, Sample, Typing
from prooftape.ops.axes import one_axis
from prooftape.types import Shape
from prooftape.vocabulary import A, Vocabulary


def _pads(rank: int, axis: int, before: int, after: int) -> list[tuple[int, int]]:
    return [(before, after) if i == axis else (0, 0) for i in range(rank)]


# -- concat -----------------------------------------------------------------------------------------
def _joined(shapes: Sequence[Shape], axis: int) -> Shape:
    first = shapes[0]
    for i, s in enumerate(shapes):
        if len(s) != len(first):
            raise RuleError(f"ranks differ ({len(first)} and {len(s)})", "reshape them to one rank")
        for k, (d, e) in enumerate(zip(first, s, strict=True)):
            if d != e and k != axis:
                raise RuleError(
                    f"operand {i} has length {e} on axis {k}, operand 0 has {d}",
                    f"only axis {axis}, the one joined, may differ",
                )
    return (*first[:axis], sum(s[axis] for s in shapes), *first[axis + 1 :])


def _parts(c: Call, axis: int) -> Iterator[tuple[int, int]]:
    """(start, length) of each operand inside the result."""
    start = 0
    for s in c.shapes:
        yield start, s[axis]
        start += s[axis]


def _axis(c: Call) -> int:
    return c.int("axis") if c.op.attrs else 0


def _concat(xp: Vocabulary[A], c: Call, *xs: A) -> A:
    return xp.concat(xs, _axis(c))


def _concat_jvp(xp: Vocabulary[A], c: Call, primals: Sequence[A], out: A, tangents: Sequence[A | None]) -> A:
    present = [xp.full(s, 0) if t is None else t for t, s in zip(tangents, c.shapes, strict=True)]
    return xp.concat(present, _axis(c))


def _concat_vjp(
    xp: Vocabulary[A], c: Call, saved: Sequence[A], ct: A, wanted: Sequence[bool]
) -> tuple[A | None, ...]:
    axis = _axis(c)
    return tuple(
        xp.slice(ct, axis, start, length) if w else None
        for w, (start, length) in zip(wanted, _parts(c, axis), strict=True)
    )


def _concat_axis(t: Typing) -> Shape:
    return _joined(t.shapes, one_axis(t, len(t.shapes[0])))


concat = Op(
    name="concat",
    family="joining",
    operands=("xs",),
    variadic=True,
    shape_rule=_concat_axis,
    forward=_concat,
    jvp=_concat_jvp,
    vjp=_concat_vjp,
    saves=(),
    samples=lambda: [
        Sample((Operand((2,)), Operand((3,)), Operand((1,)))),
        Sample((Operand((2, 3)), Operand((2, 1)), Operand((2, 0))), {"axis": -1}),
        Sample((Operand((1, 2, 2)), Operand((1, 3, 2))), {"axis": 1}),
        Sample((Operand((2, 2)),), {"axis": 0}),
    ],
    attrs=(Attr("axis", "int", 0, doc="the axis to join along; negative counts from the end"),),
    doc="Tensors joined end to end along one axis.",
    shapes_doc="xs: a sequence of (…, n_i, …) that agree on every other axis -> (…, sum of n_i, …)",
)


def _vectors(t: Typing) -> Shape:
    for name, s in zip(t.op.operands, t.shapes, strict=True):
        if len(s) != 1:
            raise RuleError(
                f"operand {name} has rank {len(s)}, expected a vector",
                "concat joins any rank, concat_dim0 rows",
            )
    return _joined(t.shapes, 0)


def _rows(t: Typing) -> Shape:
    for name, s in zip(t.op.operands, t.shapes, strict=True):
        if not s:
            raise RuleError(f"operand {name} has rank 0 and no axis 0", "reshape it to (1,)")
    return _joined(t.shapes, 0)


concat_vectors = Op(
    name="concat_vectors",
    family="joining",
    operands=("a", "b"),
    shape_rule=_vectors,
    forward=_concat,
    jvp=_concat_jvp,
    vjp=_concat_vjp,
    saves=(),
    samples=lambda: [Sample((Operand((m,)), Operand((n,)))) for m, n in ((2, 3), (1, 1), (0, 2), (0, 0))],
    doc="Two vectors end to end.",
    shapes_doc="a: (n), b: (m) -> (n + m)",
)

concat_dim0 = Op(
    name="concat_dim0",
    family="joining",
    operands=("a", "b"),
    shape_rule=_rows,
    forward=_concat,
    jvp=_concat_jvp,
    vjp=_concat_vjp,
    saves=(),
    samples=lambda: [
        Sample((Operand((2, 3)), Operand((1, 3)))),
        Sample((Operand((2,)), Operand((2,)))),
        Sample((Operand((0, 2, 2)), Operand((1, 2, 2)))),
        Sample((Operand((2, 0)), Operand((1, 0)))),
    ],
    doc="The rows of a, then the rows of b.",
    shapes_doc="a: (n, …), b: (m, …) with equal tails -> (n + m, …)",
)


# -- slice ------------------------------------------------------------------------------------------
def _slice(xp: Vocabulary[A], c: Call, x: A) -> A:
    return xp.slice(x, _axis_of_slice(c), c.int("start"), c.int("length"))


def _unslice(xp: Vocabulary[A], c: Call, g: A) -> A:
    shape, axis, start = c.shapes[0], _axis_of_slice(c), c.int("start")
    return xp.pad(g, _pads(len(shape), axis, start, shape[axis] - start - c.int("length")))


def _axis_of_slice(c: Call) -> int:
    return c.int("axis") if c.op is slice_ else 0


def _sliced(t: Typing, axis: int) -> Shape:
    shape, start, length = t.shapes[0], t.int("start"), t.int("length")
    n = shape[axis]
    if length < 0:
        raise RuleError(f"length {length} is negative", "a length is >= 0", AttributeValueError)
    if start < 0:
        raise RuleError(f"start {start} is negative", "starts count from 0", IndexRangeError)
    if start + length > n:
        raise RuleError(
            f"start {start} + length {length} = {start + length} goes beyond axis {axis} of length {n}",
            f"start + length <= {n}",
            IndexRangeError,
        )
    return (*shape[:axis], length, *shape[axis + 1 :])


def _sliced_rows(t: Typing) -> Shape:
    if not t.shapes[0]:
        raise RuleError("operand x has rank 0 and no axis 0", "reshape it to (1,)")
    return _sliced(t, 0)


_START = Attr("start", "int", doc="first position, >= 0")
_LENGTH = Attr("length", "int", doc="number of positions, >= 0; start + length is at most the axis length")

slice_ = linear(
    "slice",
    ("x",),
    _slice,
    ((_slice, _unslice),),
    family="joining",
    shape_rule=lambda t: _sliced(t, one_axis(t, len(t.shapes[0]))),
    samples=lambda: [
        Sample((Operand((5,)),), {"axis": 0, "start": 1, "length": 3}),
        Sample((Operand((2, 4)),), {"axis": -1, "start": 2, "length": 2}),
        Sample((Operand((2, 3, 2)),), {"axis": 1, "start": 0, "length": 3}),
        Sample((Operand((2, 3)),), {"axis": 0, "start": 2, "length": 0}),
        Sample((Operand((0, 3)),), {"axis": 1, "start": 1, "length": 1}),
    ],
    attrs=(Attr("axis", "int", doc="axis to cut; negative counts from the end"), _START, _LENGTH),
    doc="The entries start, …, start + length - 1 along one axis.",
    shapes_doc="x: (…, n, …) -> (…, length, …)",
)

slice_range0 = linear(
    "slice_range0",
    ("x",),
    _slice,
    ((_slice, _unslice),),
    family="joining",
    shape_rule=_sliced_rows,
    samples=lambda: [
        Sample((Operand((5,)),), {"start": 1, "length": 3}),
        Sample((Operand((3, 2)),), {"start": 2, "length": 1}),
        Sample((Operand((3, 2)),), {"start": 3, "length": 0}),
        Sample((Operand((2, 0)),), {"start": 0, "length": 2}),
    ],
    attrs=(_START, _LENGTH),
    doc="Rows start, …, start + length - 1.",
    shapes_doc="x: (n, …) -> (length, …)",
)


# -- pad --------------------------------------------------------------------------------------------
def _pad(xp: Vocabulary[A], c: Call, x: A) -> A:
    return xp.pad(x, c.pairs("widths"), c.number("value"))


def _pad_zero(xp: Vocabulary[A], c: Call, x: A) -> A:
    return xp.pad(x, c.pairs("widths"))


def _unpad(xp: Vocabulary[A], c: Call, g: A) -> A:
    for axis, ((before, after), d) in enumerate(zip(c.pairs("widths"), c.shapes[0], strict=True)):
        if before or after:
            g = xp.slice(g, axis, before, d)
    return g


def _padded(t: Typing) -> Shape:
    widths, shape = t.attrs["widths"], t.shapes[0]
    assert isinstance(widths, tuple)
    if len(widths) != len(shape):
        raise RuleError(
            f"widths has {count(len(widths), 'pair')} for a tensor of rank {len(shape)}",
            "give one (before, after) pair per axis, (0, 0) where there is none",
            AttributeValueError,
        )
    out = []
    for axis, (pair, d) in enumerate(zip(widths, shape, strict=True)):
        assert isinstance(pair, tuple)
        if min(pair) < 0:
            raise RuleError(
                f"widths {pair} on axis {axis} are negative", "cut with slice", AttributeValueError
            )
        out.append(d + sum(pair))
    return tuple(out)


pad = linear(
    "pad",
    ("x",),
    _pad,
    ((_pad_zero, _unpad),),
    family="joining",
    shape_rule=_padded,
    samples=lambda: [
        Sample((Operand((3,)),), {"widths": [(1, 2)], "value": 7}),
        Sample((Operand((2, 2)),), {"widths": [(0, 1), (2, 0)]}),
        Sample((Operand((2, 0)),), {"widths": [(0, 0), (1, 1)], "value": -1}),
        Sample((Operand(()),), {"widths": []}),
    ],
    attrs=(
        Attr("widths", "pairs", doc="one (before, after) pair of widths >= 0 per axis"),
        Attr("value", "number", 0, doc="literal number to fill with"),
    ),
    doc="x surrounded by a constant; the constant has no derivative.",
    shapes_doc="x: (d0, …) -> (before0 + d0 + after0, …)",
)

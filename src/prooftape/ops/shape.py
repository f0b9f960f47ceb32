"""Shape ops: the same entries in another shape or axis order, a permutation that the transpose undoes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from prooftape.attributes import Attr
from prooftape.declare import linear
from prooftape.errors import AttributeValueError, RuleError
from prooftape.op import Call, Op, Operand, Sample, Typing
from prooftape.ops.axes import checked_axes
from prooftape.types import Shape
from prooftape.vocabulary import A, Vocabulary


def _reshape(xp: Vocabulary[A], c: Call, x: A) -> A:
    return xp.reshape(x, c.shape)


def _reshape_back(xp: Vocabulary[A], c: Call, g: A) -> A:
    return xp.reshape(g, c.shapes[0])


def _new_shape(t: Typing) -> Shape:
    asked, size = t.ints("shape"), math.prod(t.shapes[0])
    bad = next((d for d in asked if d < -1), None)
    if bad is not None:
        raise RuleError(
            f"shape {asked} has the dimension {bad}", "dimensions are >= 0, or one -1", AttributeValueError
        )
    if asked.count(-1) > 1:
        raise RuleError(
            f"shape {asked} has more than one -1", "one dimension can be inferred", AttributeValueError
        )
    known = math.prod(d for d in asked if d != -1)
    if -1 in asked:
        if known == 0:
            raise RuleError(
                f"the -1 in shape {asked} cannot be inferred: the other dimensions have product 0",
                "write the dimension out",
                AttributeValueError,
            )
        if size % known:
            raise RuleError(
                f"cannot reshape {size} entries into shape {asked}", f"the size must be a multiple of {known}"
            )
        asked = tuple(size // known if d == -1 else d for d in asked)
    elif known != size:
        raise RuleError(
            f"cannot reshape {size} entries into shape {asked} with {known}", "element counts must be equal"
        )
    t.attrs["shape"] = asked
    return asked


reshape = linear(
    "reshape",
    ("x",),
    _reshape,
    ((_reshape, _reshape_back),),
    family="shape",
    shape_rule=_new_shape,
    samples=lambda: [
        Sample((Operand((2, 3)),), {"shape": (3, 2)}),
        Sample((Operand((2, 6)),), {"shape": (3, -1, 2)}),
        Sample((Operand(()),), {"shape": (1, 1)}),
        Sample((Operand((1,)),), {"shape": ()}),
        Sample((Operand((0, 3)),), {"shape": (2, 0)}),
    ],
    attrs=(Attr("shape", "ints", doc="new shape; one dimension may be -1 and is inferred"),),
    doc="The same entries, row-major, in a new shape.",
    shapes_doc="x: any shape -> shape, with equal element counts",
)

flatten = linear(
    "flatten",
    ("x",),
    _reshape,
    ((_reshape, _reshape_back),),
    family="shape",
    shape_rule=lambda t: (math.prod(t.shapes[0]),),
    samples=lambda: [Sample((Operand(s),)) for s in ((2, 3), (2, 1, 3), (4,), (), (2, 0))],
    doc="All entries, row-major, in one axis.",
    shapes_doc="x: any shape -> (number of entries)",
)


def _inverse(axes: Sequence[int]) -> Shape:
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


def _permutation(
    name: str,
    axes: Callable[[Call], Shape],
    shape_rule: Callable[[Typing], Shape],
    samples: Sequence[Sample],
    *,
    doc: str,
    shapes_doc: str,
    attrs: tuple[Attr, ...] = (),
) -> Op:
    """An op that reorders axes: output axis i is input axis axes(call)[i]."""

    def forward(xp: Vocabulary[A], c: Call, x: A) -> A:
        return xp.permute(x, axes(c))

    def transpose(xp: Vocabulary[A], c: Call, g: A) -> A:
        return xp.permute(g, _inverse(axes(c)))

    return linear(
        name,
        ("x",),
        forward,
        ((forward, transpose),),
        family="shape",
        shape_rule=shape_rule,
        samples=lambda: samples,
        doc=doc,
        shapes_doc=shapes_doc,
        attrs=attrs,
    )


def _permuted(t: Typing) -> Shape:
    axes, shape = t.ints("axes"), t.shapes[0]
    if len(axes) != len(shape):
        raise RuleError(
            f"axes {axes} names {len(axes)} axes of a tensor of rank {len(shape)}",
            "name every axis once, in the new order",
            AttributeValueError,
        )
    t.attrs["axes"] = tuple(checked_axes(axes, len(shape), "axis"))
    return tuple(shape[i] for i in t.ints("axes"))


permute = _permutation(
    "permute",
    lambda c: c.ints("axes"),
    _permuted,
    [
        Sample((Operand((2, 3, 4)),), {"axes": (2, 0, 1)}),
        Sample((Operand((2, 3)),), {"axes": (-1, 0)}),
        Sample((Operand((2, 1, 0, 3)),), {"axes": (3, 1, 0, 2)}),
        Sample((Operand(()),), {"axes": ()}),
    ],
    attrs=(
        Attr(
            "axes",
            "ints",
            doc="every axis once; output axis i is input axis axes[i]; negative counts from the end",
        ),
    ),
    doc="Axes in a new order.",
    shapes_doc="x: (d0, …) -> (d_axes[0], d_axes[1], …)",
)


def _fixed(name: str, axes: Shape, *, doc: str, shapes_doc: str) -> Op:
    """A permutation that is part of the name, of tensors of one rank."""
    rank = len(axes)

    def shape_rule(t: Typing) -> Shape:
        shape = t.shapes[0]
        if len(shape) != rank:
            raise RuleError(f"expected rank {rank}, got rank {len(shape)}", "permute takes any rank")
        return tuple(shape[i] for i in axes)

    shapes = [(2, 3), (1, 2), (0, 3)] if rank == 2 else [(2, 3, 4), (1, 2, 3), (2, 0, 3)]
    return _permutation(
        name,
        lambda c: axes,
        shape_rule,
        [Sample((Operand(s),)) for s in shapes],
        doc=doc,
        shapes_doc=shapes_doc,
    )


transpose2d = _fixed(
    "transpose2d", (1, 0), doc="Transpose of a matrix: out[j, i] = x[i, j].", shapes_doc="x: (m, n) -> (n, m)"
)

transpose3d_first_to_last = _fixed(
    "transpose3d_first_to_last",
    (1, 2, 0),
    doc="First axis moved to the end: out[j, k, i] = x[i, j, k].",
    shapes_doc="x: (a, b, c) -> (b, c, a)",
)

transpose3d_last_to_first = _fixed(
    "transpose3d_last_to_first",
    (2, 0, 1),
    doc="Last axis moved to the front: out[k, i, j] = x[i, j, k].",
    shapes_doc="x: (a, b, c) -> (c, a, b)",
)

transpose3d_last_two = _fixed(
    "transpose3d_last_two",
    (0, 2, 1),
    doc="Last two axes swapped: out[i, k, j] = x[i, j, k].",
    shapes_doc="x: (a, b, c) -> (a, c, b)",
)


def _swapped(shape: Shape, depth: int) -> Shape:
    return (*shape[:depth], shape[depth + 1], shape[depth], *shape[depth + 2 :])


def _swapped_shape(t: Typing) -> Shape:
    depth, shape = t.int("depth"), t.shapes[0]
    if not 0 <= depth < len(shape) - 1:
        raise RuleError(
            f"depth {depth} is out of range for rank {len(shape)}",
            f"axes depth and depth + 1 are swapped: 0 <= depth < {len(shape) - 1}"
            if len(shape) > 1
            else "there are no two axes to swap",
            AttributeValueError,
        )
    return _swapped(shape, depth)


swap_adjacent_at_depth = _permutation(
    "swap_adjacent_at_depth",
    lambda c: _swapped(tuple(range(len(c.shape))), c.int("depth")),
    _swapped_shape,
    [
        Sample((Operand((2, 3)),), {"depth": 0}),
        Sample((Operand((2, 3, 4)),), {"depth": 0}),
        Sample((Operand((2, 1, 3, 2)),), {"depth": 2}),
        Sample((Operand((2, 0, 3)),), {"depth": 1}),
    ],
    attrs=(Attr("depth", "int", doc="the first of the two axes; depth + 1 < rank"),),
    doc="Axes depth and depth + 1 swapped.",
    shapes_doc="x: (…, d_depth, d_depth+1, …) -> (…, d_depth+1, d_depth, …)",
)

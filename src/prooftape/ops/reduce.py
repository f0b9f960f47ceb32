"""Broadcasting and reductions. Reduced axes are dropped; negative axes count from the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from prooftape.attributes import Attr
from prooftape.declare import linear
from prooftape.errors import AttributeValueError, RuleError
from prooftape.op import Call, Domain, Operand, Sample, Typing
from prooftape.ops.axes import broadcast, checked_axes, some_axes, trailing, unbroadcast, without
from prooftape.types import Shape
from prooftape.vocabulary import A, Vocabulary, keep

AXIS = Attr("axis", "ints", doc="an axis or a tuple of axes to reduce, each named once; they are dropped")


# -- broadcast --------------------------------------------------------------------------------------
def _broadcast(xp: Vocabulary[A], c: Call, x: A) -> A:
    return broadcast(xp, x, c.shape, c.ints("axes"))


def _unbroadcast(xp: Vocabulary[A], c: Call, g: A) -> A:
    return unbroadcast(xp, g, c.shapes[0], c.ints("axes"))


def _broadcast_axes(t: Typing, x: Shape, shape: Shape) -> Shape:
    if t.attrs["axes"] is None:
        if len(x) > len(shape):
            raise RuleError(
                f"x has more axes than shape {shape}", "broadcasting adds axes; sum over some to drop them"
            )
        return trailing(x, len(shape))
    axes = t.ints("axes")
    if len(axes) != len(x):
        raise RuleError(
            f"axes {axes} places {len(axes)} axes of a tensor of rank {len(x)}",
            "give one output axis per axis of x",
            AttributeValueError,
        )
    found = checked_axes(axes, len(shape), "output axis")
    if found != sorted(found):
        raise RuleError(f"axes {axes} are not increasing", "permute x first", AttributeValueError)
    return tuple(found)


def _alignment(x: Shape, shape: Shape) -> Shape | None:
    """The leftmost increasing placement of x's axes that fits, if any."""
    axes: list[int] = []
    for d in x:
        start = axes[-1] + 1 if axes else 0
        fitting = next((i for i in range(start, len(shape)) if d in (1, shape[i])), None)
        if fitting is None:
            return None
        axes.append(fitting)
    return tuple(axes)


def _broadcast_shape(t: Typing) -> Shape:
    x, shape, chosen = t.shapes[0], t.ints("shape"), t.attrs["axes"] is not None
    axes = t.attrs["axes"] = _broadcast_axes(t, x, shape)
    for i, (axis, d) in enumerate(zip(axes, x, strict=True)):
        if d not in (1, shape[axis]):
            problem = f"axis {i} of length {d} cannot become axis {axis} of shape {shape}"
            other = None if chosen else _alignment(x, shape)
            if other is not None:
                raise RuleError(problem, f"pass axes={other} to place the axes of x there")
            raise RuleError(problem, f"it must have length {' or '.join(map(str, sorted({1, shape[axis]})))}")
    return shape


broadcast_to = linear(
    "broadcast_to",
    ("x",),
    _broadcast,
    ((_broadcast, _unbroadcast),),
    family="broadcast/reduce",
    shape_rule=_broadcast_shape,
    samples=lambda: [
        Sample((Operand((3,)),), {"shape": (2, 3)}),
        Sample((Operand((2, 1)),), {"shape": (2, 3)}),
        Sample((Operand((2,)),), {"shape": (2, 3), "axes": (0,)}),
        Sample((Operand((2, 1, 3)),), {"shape": (2, 2, 2, 3), "axes": (0, 2, 3)}),
        Sample((Operand(()),), {"shape": (2, 2)}),
        Sample((Operand((2, 3)),), {"shape": (2, 3)}),
        Sample((Operand((1, 2)),), {"shape": (0, 2)}),
    ],
    attrs=(
        Attr("shape", "shape", doc="shape of the result"),
        Attr(
            "axes",
            "ints",
            None,
            optional=True,
            doc="output axis of each axis of x, increasing; by default the last ones (NumPy's alignment)",
        ),
    ),
    doc="x repeated along new axes and along axes of length 1.",
    shapes_doc="x: axis i has length 1 or shape[axes[i]] -> shape",
)


# -- sums and means -----------------------------------------------------------------------------------
def reduced_axes(c: Call) -> Shape:
    """The reduced axes: the attribute, or all axes for an op without one."""
    return c.ints("axis") if c.op.attrs else tuple(range(len(c.shapes[0])))


def count(c: Call) -> int:
    """How many entries go into one entry of the result."""
    return math.prod(c.shapes[0][i] for i in reduced_axes(c))


def sum_over(xp: Vocabulary[A], c: Call, x: A) -> A:
    """Sum over the reduced axes."""
    axes = reduced_axes(c)
    return xp.sum(x, axes) if axes else x


def spread(xp: Vocabulary[A], c: Call, g: A) -> A:
    """A value of the result's shape repeated along the reduced axes: the transpose of `sum_over`."""
    axes = reduced_axes(c)
    return keep(xp, g, c.shapes[0], axes) if axes else g


def _over_count(xp: Vocabulary[A], c: Call, x: A) -> A:
    # a true division: n * (1/n) need not be 1 in floating point (49 is the smallest such n in float64)
    return xp.div(x, xp.full(c.shape, count(c)))


def mean_over(xp: Vocabulary[A], c: Call, x: A) -> A:
    """Mean over the reduced axes."""
    return _over_count(xp, c, sum_over(xp, c, x))


def _spread_mean(xp: Vocabulary[A], c: Call, g: A) -> A:
    return spread(xp, c, _over_count(xp, c, g))


def reduced_shape(t: Typing) -> Shape:
    """Shape rule of a reduction with an axis attribute."""
    shape = t.shapes[0]
    return without(shape, some_axes(t, len(shape)))


def reductions(kind: str = "real", empty: bool = True) -> Callable[[], Iterable[Sample]]:
    """Each way to name axes; `empty` also reduces an axis of length 0."""
    cases: list[tuple[Shape, int | Shape]] = [
        ((4,), 0),
        ((2, 3), 1),
        ((2, 3), (0, -1)),
        ((2, 3, 2), (0, 2)),
        ((1, 3), 0),
        ((2, 0), 0),
        ((), ()),
    ]
    if empty:
        cases.append(((2, 0), 1))
    return lambda: [Sample((Operand(s, kind),), {"axis": axis}) for s, axis in cases]


reduce_sum = linear(
    "reduce_sum",
    ("x",),
    sum_over,
    ((sum_over, spread),),
    family="broadcast/reduce",
    shape_rule=reduced_shape,
    samples=reductions(),
    attrs=(AXIS,),
    doc="Sum over one or more axes.",
    shapes_doc="x: any shape -> that shape without the reduced axes",
    convention="a sum of no entries is 0",
)

_NO_ENTRIES = "a mean of no entries is 0/0: nan in floats (as PyTorch), an error in exact scalars"
_SOME_ENTRIES = Domain(
    "at least one entry is reduced",
    lambda xp, c, x: xp.equal(xp.full(c.shape, count(c)), xp.full(c.shape, 0)),
)

reduce_mean = linear(
    "reduce_mean",
    ("x",),
    mean_over,
    ((mean_over, _spread_mean),),
    family="broadcast/reduce",
    shape_rule=reduced_shape,
    samples=reductions(empty=False),
    attrs=(AXIS,),
    doc="Mean over one or more axes: the sum divided by the number of entries.",
    shapes_doc="x: any shape -> that shape without the reduced axes",
    domain=_SOME_ENTRIES,
    convention=_NO_ENTRIES,
)


def _scalar_shape(t: Typing) -> Shape:
    return ()


sum_ = linear(
    "sum",
    ("x",),
    sum_over,
    ((sum_over, spread),),
    family="broadcast/reduce",
    shape_rule=_scalar_shape,
    samples=lambda: [Sample((Operand(s),)) for s in ((3,), (2, 3), (), (0, 2), (1, 2, 2))],
    doc="Sum of all entries.",
    shapes_doc="x: any shape -> ()",
    convention="a sum of no entries is 0",
)

mean = linear(
    "mean",
    ("x",),
    mean_over,
    ((mean_over, _spread_mean),),
    family="broadcast/reduce",
    shape_rule=_scalar_shape,
    samples=lambda: [Sample((Operand(s),)) for s in ((3,), (2, 3), (), (1, 2, 2))],
    doc="Mean of all entries.",
    shapes_doc="x: any shape -> ()",
    domain=_SOME_ENTRIES,
    convention=_NO_ENTRIES,
)

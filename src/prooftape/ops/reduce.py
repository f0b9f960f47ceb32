"""Broadcasting and reductions. Reduced axes are dropped; negative axes count from the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

from prooftape.attributes import Attr
from prooftape.declare import linear
from prooftape.errors import AttributeValueError, RuleError
from prooftape.op import Call, Domain, Op, Operand, Sample, Typing
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


def _broadcast_shape(t: Typing) -> Shape:
    x, shape = t.shapes[0], t.ints("shape")
    axes = t.attrs["axes"] = _broadcast_axes(t, x, shape)
    for i, (axis, d) in enumerate(zip(axes, x, strict=True)):
        if d not in (1, shape[axis]):
            raise RuleError(
                f"axis {i} of length {d} cannot become axis {axis} of shape {shape}",
                f"it must have length 1 or {shape[axis]}" if shape[axis] != 1 else "it must have length 1",
            )
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
def _axes(c: Call) -> Shape:
    """The reduced axes: the attribute, or all axes for an op without one."""
    return c.ints("axis") if c.op.attrs else tuple(range(len(c.shapes[0])))


def _count(c: Call) -> int:
    return math.prod(c.shapes[0][i] for i in _axes(c))


def _sum(xp: Vocabulary[A], c: Call, x: A) -> A:
    axes = _axes(c)
    return xp.sum(x, axes) if axes else x


def _spread(xp: Vocabulary[A], c: Call, g: A) -> A:
    axes = _axes(c)
    return keep(xp, g, c.shapes[0], axes) if axes else g


def _over_count(xp: Vocabulary[A], c: Call, x: A) -> A:
    # a true division: n * (1/n) need not be 1 in floating point (49 is the smallest such n in float64)
    return xp.div(x, xp.full(c.shape, _count(c)))


def _mean(xp: Vocabulary[A], c: Call, x: A) -> A:
    return _over_count(xp, c, _sum(xp, c, x))


def _spread_mean(xp: Vocabulary[A], c: Call, g: A) -> A:
    return _spread(xp, c, _over_count(xp, c, g))


def _reduced(t: Typing) -> Shape:
    shape = t.shapes[0]
    return without(shape, some_axes(t, len(shape)))


def _reductions(kind: str = "real", empty: bool = True) -> Callable[[], Iterable[Sample]]:
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
    _sum,
    ((_sum, _spread),),
    family="broadcast/reduce",
    shape_rule=_reduced,
    samples=_reductions(),
    attrs=(AXIS,),
    doc="Sum over one or more axes.",
    shapes_doc="x: any shape -> that shape without the reduced axes",
    convention="a sum of no entries is 0",
)

_NO_ENTRIES = "a mean of no entries is 0/0: nan in floats, an error in exact scalars (as PyTorch's nan)"

reduce_mean = linear(
    "reduce_mean",
    ("x",),
    _mean,
    ((_mean, _spread_mean),),
    family="broadcast/reduce",
    shape_rule=_reduced,
    samples=_reductions(empty=False),
    attrs=(AXIS,),
    doc="Mean over one or more axes: the sum divided by the number of entries.",
    shapes_doc="x: any shape -> that shape without the reduced axes",
    convention=_NO_ENTRIES,
)


def _scalar_shape(t: Typing) -> Shape:
    return ()


sum_ = linear(
    "sum",
    ("x",),
    _sum,
    ((_sum, _spread),),
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
    _mean,
    ((_mean, _spread_mean),),
    family="broadcast/reduce",
    shape_rule=_scalar_shape,
    samples=lambda: [Sample((Operand(s),)) for s in ((3,), (2, 3), (), (1, 2, 2))],
    doc="Mean of all entries.",
    shapes_doc="x: any shape -> ()",
    convention=_NO_ENTRIES,
)


# -- maximum ------------------------------------------------------------------------------------------
def _max(xp: Vocabulary[A], c: Call, x: A) -> A:
    axes = _axes(c)
    return xp.max(x, axes) if axes else x


def _winners(xp: Vocabulary[A], c: Call, x: A, out: A) -> tuple[A, A]:
    """Mask of the entries that equal the maximum, and how many there are (1 for a nan, which equals none)."""
    shape = c.shapes[0]
    mask = xp.equal(x, _spread(xp, c, out))
    ones = xp.where(mask, xp.full(shape, 1), xp.full(shape, 0))
    return mask, xp.maximum(_sum(xp, c, ones), xp.full(c.shape, 1))


def _max_jvp(
    xp: Vocabulary[A], c: Call, primals: Sequence[A], out: A, tangents: Sequence[A | None]
) -> A | None:
    dx = tangents[0]
    if dx is None:
        return None
    mask, count = _winners(xp, c, primals[0], out)
    return xp.div(_sum(xp, c, xp.where(mask, dx, xp.full(c.shapes[0], 0))), count)


def _max_vjp(
    xp: Vocabulary[A], c: Call, saved: Sequence[A], ct: A, wanted: Sequence[bool]
) -> tuple[A | None, ...]:
    mask, count = _winners(xp, c, saved[0], saved[1])
    return (xp.where(mask, _spread(xp, c, xp.div(ct, count)), xp.full(c.shapes[0], 0)),)


def _max_shape(t: Typing) -> Shape:
    out = _reduced(t)
    shape = t.shapes[0]
    empty = [i for i in t.ints("axis") if shape[i] == 0]
    if empty:
        raise RuleError(
            f"axis {empty[0]} has length 0, and no entries have no maximum", "reduce a non-empty axis"
        )
    return out


reduce_max = Op(
    name="reduce_max",
    family="broadcast/reduce",
    operands=("x",),
    shape_rule=_max_shape,
    forward=_max,
    jvp=_max_jvp,
    vjp=_max_vjp,
    saves=("x", "out"),
    samples=_reductions("distinct", empty=False),
    attrs=(AXIS,),
    doc="Largest entry over one or more axes; nan if any of them is nan.",
    shapes_doc="x: any shape, reduced axes not empty -> that shape without the reduced axes",
    domain=Domain("all finite inputs (differentiable where the maximum is attained once)"),
    convention="tied entries share the derivative evenly; where the maximum is nan there is none",
)


# -- logsumexp ----------------------------------------------------------------------------------------
def _shift(xp: Vocabulary[A], c: Call, x: A) -> A:
    """The maximum over the reduced axes, 0 where that is not finite; constant as far as derivatives go."""
    top = xp.stop_gradient(_max(xp, c, x))
    zero = xp.full(c.shape, 0)
    finite = xp.equal(xp.sub(top, top), zero)  # inf - inf and nan - nan are nan, and nan equals nothing
    return xp.where(finite, top, zero)


def _logsumexp(xp: Vocabulary[A], c: Call, x: A) -> A:
    if _count(c) == 0:
        return xp.log(_sum(xp, c, x))
    shift = _shift(xp, c, x)
    return xp.add(xp.log(_sum(xp, c, xp.exp(xp.sub(x, _spread(xp, c, shift))))), shift)


def exp_of_difference(xp: Vocabulary[A], x: A, y: A) -> A:
    """exp(x - y) to full relative accuracy: the rounding error of x - y, which exp magnifies, is put back.

    The error comes from Knuth's TwoSum (exact for any order of magnitudes); in exact arithmetic it is 0.
    """
    d = xp.sub(x, y)
    back = xp.sub(d, x)
    error = xp.sub(xp.sub(x, xp.sub(d, back)), xp.add(y, back))
    e = xp.exp(d)
    # exp(-inf) = 0 absorbs the nan that inf - inf left in `error`, which is a constant: its exact value is 0
    return xp.add(e, xp.amul(e, xp.stop_gradient(error)))


def _weights(xp: Vocabulary[A], c: Call, x: A) -> A:
    """Softmax over the reduced axes, the local derivative; 0 where every entry is -inf."""
    e = exp_of_difference(xp, x, _spread(xp, c, _shift(xp, c, x)))
    total, zero = _sum(xp, c, e), xp.full(c.shape, 0)
    total = xp.where(xp.equal(total, zero), xp.full(c.shape, 1), total)
    return xp.div(e, _spread(xp, c, total))


def _lse_jvp(
    xp: Vocabulary[A], c: Call, primals: Sequence[A], out: A, tangents: Sequence[A | None]
) -> A | None:
    dx = tangents[0]
    if dx is None or _count(c) == 0:
        return None
    return _sum(xp, c, xp.amul(dx, _weights(xp, c, primals[0])))


def _lse_vjp(
    xp: Vocabulary[A], c: Call, saved: Sequence[A], ct: A, wanted: Sequence[bool]
) -> tuple[A | None, ...]:
    if _count(c) == 0:
        return (None,)
    return (xp.amul(_spread(xp, c, ct), _weights(xp, c, saved[0])),)


logsumexp = Op(
    name="logsumexp",
    family="broadcast/reduce",
    operands=("x",),
    shape_rule=_reduced,
    forward=_logsumexp,
    jvp=_lse_jvp,
    vjp=_lse_vjp,
    saves=("x",),
    samples=_reductions("distinct", empty=False),
    attrs=(AXIS,),
    doc="log of the sum of exp(x) over one or more axes, shifted by the maximum so that nothing overflows.",
    shapes_doc="x: any shape -> that shape without the reduced axes",
    convention="-inf where all entries are -inf (with derivative 0; PyTorch's is nan) and for no entries",
    accuracy="derivative (softmax) within 4 ulp",
    transcendental=True,
)


# -- variance -----------------------------------------------------------------------------------------
def _freedom(c: Call) -> int:
    return max(0, _count(c) - c.int("ddof"))


def _centred(xp: Vocabulary[A], c: Call, x: A) -> A:
    return xp.sub(x, _spread(xp, c, _mean(xp, c, x)))


def _var(xp: Vocabulary[A], c: Call, x: A) -> A:
    return xp.div(_sum(xp, c, xp.square(_centred(xp, c, x))), xp.full(c.shape, _freedom(c)))


def _var_slope(xp: Vocabulary[A], c: Call, x: A) -> A:
    """d var / d x = 2 (x - mean) / (n - ddof); the mean's own derivative cancels, as deviations sum to 0."""
    n, centred = _freedom(c), _centred(xp, c, x)
    if n == 0:
        return xp.div(centred, xp.full(c.shapes[0], 0))
    return xp.scale(centred, Fraction(2, n))


def _var_jvp(
    xp: Vocabulary[A], c: Call, primals: Sequence[A], out: A, tangents: Sequence[A | None]
) -> A | None:
    dx = tangents[0]
    return None if dx is None else _sum(xp, c, xp.amul(dx, _var_slope(xp, c, primals[0])))


def _var_vjp(
    xp: Vocabulary[A], c: Call, saved: Sequence[A], ct: A, wanted: Sequence[bool]
) -> tuple[A | None, ...]:
    return (xp.amul(_spread(xp, c, ct), _var_slope(xp, c, saved[0])),)


var = Op(
    name="var",
    family="broadcast/reduce",
    operands=("x",),
    shape_rule=_reduced,
    forward=_var,
    jvp=_var_jvp,
    vjp=_var_vjp,
    saves=("x",),
    samples=lambda: [
        Sample((Operand((4,)),), {"axis": 0}),
        Sample((Operand((2, 3)),), {"axis": 1, "ddof": 1}),
        Sample((Operand((2, 3, 2)),), {"axis": (0, -1), "ddof": 2}),
        Sample((Operand((1, 3)),), {"axis": 0}),
        Sample((Operand((2, 0)),), {"axis": 0}),
        Sample((Operand(()),), {"axis": ()}),
    ],
    attrs=(
        AXIS,
        Attr(
            "ddof",
            "nat",
            0,
            doc="taken off the number of entries in the divisor; 1 gives the unbiased estimate",
        ),
    ),
    doc="Mean squared deviation from the mean over one or more axes; two passes, divided by n - ddof.",
    shapes_doc="x: any shape -> that shape without the reduced axes",
    convention="n <= ddof divides by 0: nan, or inf where the deviations are not all 0 (as PyTorch)",
)

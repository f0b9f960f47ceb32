"""Reductions that are not linear: maximum, log-sum-exp, variance. Reduced axes are dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

from prooftape.attributes import Attr
from prooftape.errors import RuleError
from prooftape.op import EVERYWHERE, Call, Domain, Op, Operand, Sample, Typing
from prooftape.ops.reduce import (
    AXIS,
    count,
    mean_over,
    reduced_axes,
    reduced_shape,
    reductions,
    spread,
    sum_over,
)
from prooftape.types import Shape
from prooftape.vocabulary import A, Vocabulary

_SHAPES = "x: any shape -> that shape without the reduced axes"


# -- maximum ------------------------------------------------------------------------------------------
def _max(xp: Vocabulary[A], c: Call, x: A) -> A:
    axes = reduced_axes(c)
    return xp.max(x, axes) if axes else x


def _winners(xp: Vocabulary[A], c: Call, x: A, out: A) -> tuple[A, A]:
    """Mask of the entries that equal the maximum, and how many there are (1 for a nan, which equals none)."""
    shape = c.shapes[0]
    mask = xp.equal(x, spread(xp, c, out))
    ones = xp.where(mask, xp.full(shape, 1), xp.full(shape, 0))
    return mask, xp.maximum(sum_over(xp, c, ones), xp.full(c.shape, 1))


def _max_jvp(
    xp: Vocabulary[A], c: Call, primals: Sequence[A], out: A, tangents: Sequence[A | None]
) -> A | None:
    dx = tangents[0]
    if dx is None:
        return None
    mask, ties = _winners(xp, c, primals[0], out)
    return xp.div(sum_over(xp, c, xp.where(mask, dx, xp.full(c.shapes[0], 0))), ties)


def _max_vjp(
    xp: Vocabulary[A], c: Call, saved: Sequence[A], ct: A, wanted: Sequence[bool]
) -> tuple[A | None, ...]:
    mask, ties = _winners(xp, c, saved[0], saved[1])
    return (xp.where(mask, spread(xp, c, xp.div(ct, ties)), xp.full(c.shapes[0], 0)),)


def _max_shape(t: Typing) -> Shape:
    out, shape = reduced_shape(t), t.shapes[0]
    for axis in t.ints("axis"):
        if shape[axis] == 0:
            raise RuleError(
                f"axis {axis} has length 0, and no entries have no maximum", "reduce non-empty axes"
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
    samples=reductions("distinct", empty=False),
    attrs=(AXIS,),
    doc="Largest entry over one or more axes; nan if any of them is nan.",
    shapes_doc=f"{_SHAPES}, which are not empty",
    domain=Domain("all finite inputs (differentiable where the maximum is attained once)"),
    convention="tied entries share the derivative evenly; where the maximum is nan there is none",
)


def _with_slope(
    name: str,
    forward: Callable[..., Any],
    slope: Callable[..., Any],
    *,
    doc: str,
    convention: str,
    samples: Callable[[], Iterable[Sample]],
    attrs: tuple[Attr, ...] = (AXIS,),
    domain: Domain = EVERYWHERE,
    accuracy: str = "",
    transcendental: bool = False,
) -> Op:
    """A reduction whose result has the derivative `slope(xp, call, x)`, of x's shape, with respect to x."""

    def jvp(
        xp: Vocabulary[A], c: Call, primals: Sequence[A], out: A, tangents: Sequence[A | None]
    ) -> A | None:
        dx = tangents[0]
        return None if dx is None else sum_over(xp, c, xp.amul(dx, slope(xp, c, primals[0])))

    def vjp(
        xp: Vocabulary[A], c: Call, saved: Sequence[A], ct: A, wanted: Sequence[bool]
    ) -> tuple[A | None, ...]:
        return (xp.amul(spread(xp, c, ct), slope(xp, c, saved[0])),)

    return Op(
        name=name,
        family="broadcast/reduce",
        operands=("x",),
        shape_rule=reduced_shape,
        forward=forward,
        jvp=jvp,
        vjp=vjp,
        saves=("x",),
        samples=samples,
        attrs=attrs,
        doc=doc,
        shapes_doc=_SHAPES,
        domain=domain,
        convention=convention,
        accuracy=accuracy,
        transcendental=transcendental,
    )


# -- logsumexp ----------------------------------------------------------------------------------------
def _shift(xp: Vocabulary[A], c: Call, x: A) -> A:
    """The maximum over the reduced axes, 0 where that is not finite; it cancels, so it has no derivative."""
    top, zero = xp.stop_gradient(_max(xp, c, x)), xp.full(c.shape, 0)
    finite = xp.equal(xp.sub(top, top), zero)  # inf - inf and nan - nan are nan, and nan equals nothing
    return xp.where(finite, top, zero)


def _logsumexp(xp: Vocabulary[A], c: Call, x: A) -> A:
    if count(c) == 0:
        return xp.log(sum_over(xp, c, x))
    shift = _shift(xp, c, x)
    return xp.add(xp.log(sum_over(xp, c, xp.exp(xp.sub(x, spread(xp, c, shift))))), shift)


def _softmax(xp: Vocabulary[A], c: Call, x: A) -> A:
    """exp(x) over its sum, the slope of log-sum-exp; 0 where every entry is -inf."""
    if count(c) == 0:
        return x
    e = xp.exp_difference(x, spread(xp, c, _shift(xp, c, x)))
    total, zero = sum_over(xp, c, e), xp.full(c.shape, 0)
    total = xp.where(xp.equal(total, zero), xp.full(c.shape, 1), total)
    return xp.div(e, spread(xp, c, total))


logsumexp = _with_slope(
    "logsumexp",
    _logsumexp,
    _softmax,
    doc="log of the sum of exp(x) over one or more axes, shifted by the maximum so that nothing overflows.",
    convention="no entries, or all of them -inf: -inf, with derivative 0 (PyTorch's derivative is nan)",
    samples=reductions("distinct", empty=False),
    accuracy="derivative (softmax) within 4 ulp",
    transcendental=True,
)


# -- variance -----------------------------------------------------------------------------------------
def _divisor(c: Call) -> int:
    return max(0, count(c) - c.int("ddof"))


def _centred(xp: Vocabulary[A], c: Call, x: A) -> A:
    return xp.sub(x, spread(xp, c, mean_over(xp, c, x)))


def _var(xp: Vocabulary[A], c: Call, x: A) -> A:
    return xp.div(sum_over(xp, c, xp.square(_centred(xp, c, x))), xp.full(c.shape, _divisor(c)))


def _var_slope(xp: Vocabulary[A], c: Call, x: A) -> A:
    """2 (x - mean) / (n - ddof); the mean's own derivative cancels, as deviations sum to 0."""
    divisor, centred = _divisor(c), _centred(xp, c, x)
    if divisor == 0:
        return xp.div(centred, xp.full(c.shapes[0], 0))
    return xp.scale(centred, Fraction(2, divisor))


var = _with_slope(
    "var",
    _var,
    _var_slope,
    doc="Mean squared deviation from the mean over one or more axes; two passes, divided by n - ddof.",
    convention="n <= ddof divides by 0: nan, or inf where the deviations are not all 0 (as PyTorch)",
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
        Attr("ddof", "nat", 0, doc="subtracted from the number of entries; 1 gives the unbiased estimate"),
    ),
    domain=Domain(
        "more than ddof entries are reduced",
        lambda xp, c, x: xp.equal(xp.full(c.shape, _divisor(c)), xp.full(c.shape, 0)),
    ),
)

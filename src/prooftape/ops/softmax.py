"""Softmax and log-softmax along one axis, each one node.

Values are shifted by the maximum, so nothing overflows. Derivatives come from the input: exp(x - max) with
the rounding error of the difference compensated, and 1 - softmax of the largest entry as the sum of the
others, so every entry of the Jacobian keeps its relative accuracy however large or small it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from prooftape.attributes import Attr
from prooftape.errors import AttributeValueError, RuleError
from prooftape.op import Call, Op, Operand, Sample, Typing
from prooftape.types import Shape, normalize_axis
from prooftape.vocabulary import A, Vocabulary, keep


def row_max(xp: Vocabulary[A], x: A) -> A:
    """Maximum along the last axis. Only ever a shift that cancels, so it carries no derivative."""
    return xp.stop_gradient(xp.max(x, (len(xp.shape(x)) - 1,)))


def shifted_exp(xp: Vocabulary[A], x: A) -> A:
    """exp(x - row maximum) along the last axis, with relative accuracy also where x - max is large."""
    shape = xp.shape(x)
    return xp.exp_difference(x, keep(xp, row_max(xp, x), shape, (len(shape) - 1,)))


def _weights(xp: Vocabulary[A], x: A) -> tuple[A, A]:
    """softmax(x) along the last axis, and 1 - softmax(x), both with full relative accuracy."""
    shape = xp.shape(x)
    last = (len(shape) - 1,)
    e, largest = shifted_exp(xp, x), xp.first_max(x, None)
    total = keep(xp, xp.sum(e, last), shape, last)
    others = keep(xp, xp.sum(xp.where(largest, xp.full(shape, 0), e), last), shape, last)
    s = xp.div(e, total)
    # every entry but the largest has s <= 1/2: the difference is harmless there
    rest = xp.where(largest, xp.div(others, total), xp.sub(xp.full(shape, 1), s))
    return s, rest


def _deviation(xp: Vocabulary[A], s: A, rest: A, v: A) -> A:
    """v - sum(s * v) along the last axis, as (1 - s) * v minus the other entries' share."""
    shape = xp.shape(v)
    last = (len(shape) - 1,)
    share = xp.amul(v, s)
    return xp.sub(xp.amul(v, rest), xp.sub(keep(xp, xp.sum(share, last), shape, last), share))


def _deviation_transposed(xp: Vocabulary[A], s: A, rest: A, g: A) -> A:
    """g - s * sum(g) along the last axis, likewise."""
    shape = xp.shape(g)
    last = (len(shape) - 1,)
    others = xp.sub(keep(xp, xp.sum(g, last), shape, last), g)
    return xp.sub(xp.amul(g, rest), xp.amul(others, s))


def _along_last(xp: Vocabulary[A], c: Call, f: Callable[..., A], *values: A) -> A:
    """f on the values with the op's axis moved to the end (a scalar becomes a vector of one), and back."""
    shape, axis = c.shape, c.int("axis")
    if not shape:
        return xp.reshape(f(*(xp.reshape(v, (1,)) for v in values)), ())
    if shape[axis] == 0:
        return values[-1]  # no entries at all
    if axis == len(shape) - 1:
        return f(*values)
    there = (*range(axis), *range(axis + 1, len(shape)), axis)
    back = (*range(axis), len(shape) - 1, *range(axis, len(shape) - 1))
    return xp.permute(f(*(xp.permute(v, there) for v in values)), back)


def _softmax(xp: Vocabulary[A], c: Call, x: A) -> A:
    def rows(x: A) -> A:
        shape = xp.shape(x)
        last = (len(shape) - 1,)
        e = xp.exp(xp.sub(x, keep(xp, row_max(xp, x), shape, last)))
        return xp.div(e, keep(xp, xp.sum(e, last), shape, last))

    return _along_last(xp, c, rows, x)


def _softmax_move(xp: Vocabulary[A], c: Call, x: A, v: A) -> A:
    """The Jacobian s_i (delta_ij - s_j) is symmetric: one map for tangents and cotangents."""

    def rows(x: A, v: A) -> A:
        s, rest = _weights(xp, x)
        return xp.amul(_deviation(xp, s, rest, v), s)

    return _along_last(xp, c, rows, x, v)


def _log_softmax(xp: Vocabulary[A], c: Call, x: A) -> A:
    def rows(x: A) -> A:
        shape = xp.shape(x)
        last = (len(shape) - 1,)
        z = xp.sub(x, keep(xp, row_max(xp, x), shape, last))
        return xp.sub(z, keep(xp, xp.log(xp.sum(xp.exp(z), last)), shape, last))

    return _along_last(xp, c, rows, x)


def _log_softmax_jvp(
    xp: Vocabulary[A], c: Call, primals: Sequence[A], out: A, tangents: Sequence[A | None]
) -> A | None:
    (dx,) = tangents
    assert dx is not None
    return _along_last(xp, c, lambda x, t: _deviation(xp, *_weights(xp, x), t), primals[0], dx)


def _log_softmax_vjp(
    xp: Vocabulary[A], c: Call, saved: Sequence[A], ct: A, wanted: Sequence[bool]
) -> tuple[A | None, ...]:
    return (_along_last(xp, c, lambda x, g: _deviation_transposed(xp, *_weights(xp, x), g), saved[0], ct),)


def _axis_shape(t: Typing) -> Shape:
    (shape,) = t.shapes
    given = t.int("axis")
    axis = normalize_axis(given, max(1, len(shape)))  # a scalar counts as a vector of one
    if axis is None:
        raise RuleError(
            f"axis {given} is out of range for {f'{len(shape)} axes' if shape else 'a scalar'}",
            f"it must be between {-max(1, len(shape))} and {max(1, len(shape)) - 1}",
            AttributeValueError,
        )
    t.attrs["axis"] = axis
    return shape


def _samples() -> Iterable[Sample]:
    full = (((3,), -1), ((2, 3), 1), ((3, 2), 0), ((2, 3, 2), 1), ((), -1), ((1, 3), 0), ((3, 1), 0))
    for shape, axis in (*full, ((0,), 0), ((0, 2), 1), ((2, 0), -1)):
        yield Sample((Operand(shape),), {"axis": axis})


_AXIS = Attr("axis", "int", -1, doc="axis the entries of which compete; negative counts from the end")
_SOFTMAX_ACCURACY = (
    "each entry of the Jacobian, a product of two shares within 3 ulp each, is within 6 ulp (measured 5.4)"
)
_LOG_SOFTMAX_ACCURACY = "each entry of the Jacobian within 4 ulp"

softmax = Op(
    name="softmax",
    family="softmax",
    operands=("x",),
    shape_rule=_axis_shape,
    forward=_softmax,
    jvp=lambda xp, c, primals, out, tangents: _softmax_move(xp, c, primals[0], tangents[0]),
    vjp=lambda xp, c, saved, ct, wanted: (_softmax_move(xp, c, saved[0], ct),),
    saves=("x",),
    samples=_samples,
    doc="exp(x) divided by its sum along an axis, max-shifted.",
    shapes_doc="x: any shape -> same shape",
    attrs=(_AXIS,),
    convention="a scalar is a vector of one: 1; a row with nan or +inf, or of -inf alone, is nan",
    accuracy=_SOFTMAX_ACCURACY,
    transcendental=True,
)

log_softmax = Op(
    name="log_softmax",
    family="softmax",
    operands=("x",),
    shape_rule=_axis_shape,
    forward=_log_softmax,
    jvp=_log_softmax_jvp,
    vjp=_log_softmax_vjp,
    saves=("x",),
    samples=_samples,
    doc="Logarithm of softmax along an axis, max-shifted.",
    shapes_doc="x: any shape -> same shape",
    attrs=(_AXIS,),
    convention="a scalar is a vector of one: 0; a row with nan or +inf, or of -inf alone, is nan",
    accuracy=_LOG_SOFTMAX_ACCURACY,
    transcendental=True,
)

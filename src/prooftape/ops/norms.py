"""Normalisation by mean and biased variance over a set of axes, then an affine map per channel.

One formula serves all: view the input so that the normalised axes and the channel axes are whole axes
(`_View`), subtract the mean, multiply by 1 / sqrt(variance + eps), then by gamma, and add beta. Two passes:
the variance is the mean of the squared deviations, which does not cancel. There are no running statistics.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from prooftape.attributes import Attr
from prooftape.errors import AttributeValueError, RuleError
from prooftape.op import Call, Domain, Op, Operand, Sample, Typing, add_present
from prooftape.types import Shape
from prooftape.vocabulary import A, Vocabulary, keep, shift


@dataclass(frozen=True, slots=True)
class _View:
    """The input reshaped to `shape`: statistics over `axes`, gamma and beta laid along `channels`."""

    shape: Shape
    axes: Shape
    channels: Shape

    @property
    def count(self) -> int:
        """Entries per statistic."""
        return math.prod(self.shape[a] for a in self.axes)

    @property
    def others(self) -> Shape:
        """Axes that gamma and beta do not lie along."""
        return tuple(a for a in range(len(self.shape)) if a not in self.channels)

    def per_channel(self, xp: Vocabulary[A], v: A) -> A:
        """gamma or beta, broadcast to `shape`."""
        inner = tuple(self.shape[a] for a in self.channels)
        return xp.broadcast(xp.reshape(v, inner), self.shape, self.channels)

    def sum_to_channel(self, xp: Vocabulary[A], x: A, channel_shape: Shape) -> A:
        """Transpose of `per_channel`."""
        return xp.reshape(xp.sum(x, self.others) if self.others else x, channel_shape)

    def mean(self, xp: Vocabulary[A], x: A) -> A:
        """Mean over `axes`, which it drops."""
        s = xp.sum(x, self.axes)
        return xp.div(s, xp.full(xp.shape(s), self.count))

    def spread(self, xp: Vocabulary[A], statistic: A) -> A:
        """A statistic broadcast back to `shape`."""
        return keep(xp, statistic, self.shape, self.axes)


def _last_axis(c: Call) -> _View:
    shape = c.shapes[0]
    last = (len(shape) - 1,)
    return _View(shape, last, last)


def _channel_first(c: Call) -> _View:
    shape = c.shapes[0]
    channel = len(shape) - 3
    return _View(shape, tuple(a for a in range(len(shape)) if a != channel), (channel,))


def _groups(c: Call) -> _View:
    batch, channels, *spatial = c.shapes[0]
    groups = c.int("num_groups")
    shape = (batch, groups, channels // groups, *spatial)
    return _View(shape, tuple(range(2, len(shape))), (1, 2))


def _variance(xp: Vocabulary[A], view: _View, x: A, centred: bool) -> tuple[A, A]:
    """The deviations from the mean (or from 0) and the mean of their squares."""
    deviation = xp.sub(x, view.spread(xp, view.mean(xp, x))) if centred else x
    return deviation, view.mean(xp, xp.square(deviation))


def _norm(
    name: str,
    view_of: Callable[[Call], _View],
    shape_rule: Callable[[Typing], Shape],
    samples: Sequence[tuple[Shape, Shape, dict[str, object]]],
    *,
    doc: str,
    shapes_doc: str,
    attrs: tuple[Attr, ...] = (),
    centred: bool = True,
    convention: str = "",
) -> Op:
    operands = ("x", "gamma", "beta") if centred else ("x", "gamma")

    def standardized(xp: Vocabulary[A], c: Call, x: A) -> tuple[_View, A, A]:
        """The view, the standardised entries, and 1 / sqrt(variance + eps) broadcast over them."""
        view = view_of(c)
        deviation, variance = _variance(xp, view, xp.reshape(x, view.shape), centred)
        inverse = view.spread(xp, xp.reciprocal(xp.sqrt(shift(xp, variance, c.number("eps")))))
        return view, xp.mul(deviation, inverse), inverse

    def project(xp: Vocabulary[A], view: _View, standard: A, inverse: A, v: A) -> A:
        """Derivative of standardising: (v - mean(v) - standard * mean(standard * v)) * inverse; symmetric."""
        along = view.spread(xp, view.mean(xp, xp.amul(v, standard)))
        inner = xp.sub(v, view.spread(xp, view.mean(xp, v))) if centred else v
        return xp.amul(xp.sub(inner, xp.amul(along, standard)), inverse)

    def forward(xp: Vocabulary[A], c: Call, x: A, gamma: A, *beta: A) -> A:
        view, standard, _ = standardized(xp, c, x)
        y = xp.mul(standard, view.per_channel(xp, gamma))
        for b in beta:
            y = xp.add(y, view.per_channel(xp, b))
        return xp.reshape(y, c.shape)

    def jvp(
        xp: Vocabulary[A], c: Call, primals: Sequence[A], out: A, tangents: Sequence[A | None]
    ) -> A | None:
        view, standard, inverse = standardized(xp, c, primals[0])
        dx, dgamma, dbeta = (*tangents, None)[:3]
        terms: list[A] = []
        if dx is not None:
            moved = project(xp, view, standard, inverse, xp.reshape(dx, view.shape))
            terms.append(xp.amul(moved, view.per_channel(xp, primals[1])))
        if dgamma is not None:
            terms.append(xp.amul(view.per_channel(xp, dgamma), standard))
        if dbeta is not None:
            terms.append(view.per_channel(xp, dbeta))
        total = add_present(xp, terms)
        return None if total is None else xp.reshape(total, c.shape)

    def vjp(
        xp: Vocabulary[A], c: Call, saved: Sequence[A], ct: A, wanted: Sequence[bool]
    ) -> tuple[A | None, ...]:
        parts: list[A | None] = [None] * len(operands)
        if wanted[0] or wanted[1]:
            view, standard, inverse = standardized(xp, c, saved[0])
            g = xp.reshape(ct, view.shape)
            if wanted[0]:
                u = xp.amul(g, view.per_channel(xp, saved[1]))
                parts[0] = xp.reshape(project(xp, view, standard, inverse, u), c.shapes[0])
            if wanted[1]:
                parts[1] = view.sum_to_channel(xp, xp.amul(g, standard), c.shapes[1])
        if centred and wanted[2]:
            view = view_of(c)
            parts[2] = view.sum_to_channel(xp, xp.reshape(ct, view.shape), c.shapes[2])
        return tuple(parts)

    def flat(xp: Vocabulary[A], c: Call, x: A, *affine: A) -> A:
        """Mask of the entries whose statistic cannot be divided by."""
        view = view_of(c)
        _, variance = _variance(xp, view, xp.reshape(x, view.shape), centred)
        total = xp.reshape(view.spread(xp, shift(xp, variance, c.number("eps"))), c.shape)
        return xp.greater_equal(xp.full(c.shape, 0), total)

    def checked(t: Typing) -> Shape:
        shape = shape_rule(t)
        if 0 in t.shapes[0]:
            raise RuleError("x has an empty axis", "a mean needs at least one entry")
        eps = t.number("eps")
        if not 0 <= eps < float("inf"):
            raise RuleError(
                f"eps must be a finite number >= 0, got {eps}", "1e-5 is usual", AttributeValueError
            )
        return shape

    what = "variance" if centred else "mean square"
    return Op(
        name=name,
        family="norm",
        operands=operands,
        shape_rule=checked,
        forward=forward,
        jvp=jvp,
        vjp=vjp,
        saves=("x", "gamma"),
        samples=lambda: [
            Sample((Operand(x), *[Operand(channel)] * (len(operands) - 1)), {**a, "eps": Fraction(1, 8)})
            for x, channel, a in samples
        ],
        doc=doc,
        shapes_doc=shapes_doc,
        attrs=(*attrs, Attr("eps", "number", 1e-5, doc=f"added to the {what}, inside the root; >= 0")),
        domain=Domain(f"{what} + eps > 0", flat),
        convention=convention,
        transcendental=True,
    )


def _check_affine(t: Typing, length: int, what: str) -> None:
    neutral = {"gamma": "ones", "beta": "zeros"}
    for name, shape in zip(t.op.operands[1:], t.shapes[1:], strict=True):
        if shape != (length,):
            raise RuleError(
                f"{name} must have shape ({length},), {what}", f"pass {neutral[name]} for no {name}"
            )


def _last_axis_shape(t: Typing) -> Shape:
    x = t.shapes[0]
    if not x:
        raise RuleError("x must have at least one axis", "reshape a scalar to (1,)")
    _check_affine(t, x[-1], "as long as x's last axis")
    return x


def _channel_first_shape(t: Typing) -> Shape:
    x = t.shapes[0]
    if len(x) not in (3, 4):
        raise RuleError(
            "x must have axes (channels, height, width), or 4 with a batch in front",
            "insert axes of length 1 with reshape",
        )
    _check_affine(t, x[-3], "one entry per channel")
    return x


def _groups_shape(t: Typing) -> Shape:
    x, groups = t.shapes[0], t.int("num_groups")
    if len(x) < 2:
        raise RuleError(
            "x must have axes (batch, channels, spatial…)",
            "add a batch axis of length 1 with reshape",
        )
    if groups < 1 or x[1] % groups:
        raise RuleError(
            f"num_groups must divide the {x[1]} channels, got {groups}",
            "1 group is the whole sample",
            AttributeValueError,
        )
    _check_affine(t, x[1], "one entry per channel")
    return x


layer_norm = _norm(
    "layer_norm",
    _last_axis,
    _last_axis_shape,
    [((3,), (3,), {}), ((2, 3), (3,), {}), ((2, 2, 2), (2,), {}), ((3, 1), (1,), {})],
    doc="Standardise along the last axis (biased variance), then scale by gamma and shift by beta "
    "(Ba et al. 2016).",
    shapes_doc="x (…, n), gamma (n), beta (n) -> x's shape",
)

rms_norm = _norm(
    "rms_norm",
    _last_axis,
    _last_axis_shape,
    [((3,), (3,), {}), ((2, 3), (3,), {}), ((2, 2, 2), (2,), {}), ((3, 1), (1,), {})],
    doc="Divide by the root of the mean square along the last axis, then scale by gamma "
    "(Zhang and Sennrich 2019).",
    shapes_doc="x (…, n), gamma (n) -> x's shape",
    centred=False,
    convention="eps defaults to 1e-5 as in the other norms (PyTorch: to the dtype's machine epsilon)",
)

batchnorm_channel_first = _norm(
    "batchnorm_channel_first",
    _channel_first,
    _channel_first_shape,
    [((2, 2, 2), (2,), {}), ((3, 1, 2), (3,), {}), ((2, 2, 1, 2), (2,), {}), ((1, 1, 1, 1), (1,), {})],
    doc="Standardise each channel over height and width, and over the batch axis if there is one (biased "
    "variance, no running statistics), then scale by gamma and shift by beta (Ioffe and Szegedy 2015).",
    shapes_doc="x (channels, height, width) or (batch, channels, height, width), gamma (channels), "
    "beta (channels) -> x's shape",
    convention="three axes are one sample, four a batch",
)


def _group_samples() -> Iterable[tuple[Shape, Shape, dict[str, object]]]:
    for x, groups in (((1, 4, 2), 2), ((2, 2, 2), 1), ((2, 3), 3), ((1, 2, 2, 2), 2), ((2, 4), 2)):
        yield x, (x[1],), {"num_groups": groups}


group_norm = _norm(
    "group_norm",
    _groups,
    _groups_shape,
    list(_group_samples()),
    doc="Standardise each sample over groups of channels and all spatial axes (biased variance), then scale "
    "by gamma and shift by beta, per channel (Wu and He 2018).",
    shapes_doc="x (batch, channels, spatial…), gamma (channels), beta (channels) -> x's shape",
    attrs=(Attr("num_groups", "int", doc="number of groups of channels; divides the channels"),),
    convention="the first axis is always the batch, as in PyTorch",
)

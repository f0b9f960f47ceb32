"""Losses: means over all entries (or all rows), each one node.

Prediction and target must have equal shapes: [n] against [n, 1] would broadcast to an n x n difference and
train on nonsense (pytorch#16045), so it is refused. A mean over nothing is nan, as in PyTorch; exact
scalars raise instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prooftape.attributes import Attr
from prooftape.errors import AttributeValueError, IndexRangeError, RuleError
from prooftape.op import Call, Op, Operand, Sample, Typing, add_present
from prooftape.types import Shape, broadcast_shape
from prooftape.vocabulary import A, Index, Vocabulary, keep, shift


def _mean(xp: Vocabulary[A], x: A) -> A:
    """Mean of all entries; 0/0 when there are none."""
    shape = xp.shape(x)
    n = 1
    for d in shape:
        n *= d
    return xp.div(xp.sum(x, tuple(range(len(shape)))), xp.full((), n))


def _spread(xp: Vocabulary[A], ct: A, shape: Shape) -> A:
    """Transpose of `_mean`: ct / n at every entry (there is none when n = 0)."""
    n = 1
    for d in shape:
        n *= d
    return xp.broadcast(xp.div(ct, xp.full((), n)), shape, ()) if n else xp.full(shape, 0)


# -- prediction against target, entry by entry ---------------------------------------------------------
def _equal_shapes(t: Typing) -> Shape:
    a, b = t.shapes
    if a != b:
        spread = broadcast_shape(a, b)
        why = f"a loss does not broadcast (here to {spread})" if spread else "a loss does not broadcast"
        raise RuleError(
            f"{t.op.operands[0]} and {t.op.operands[1]} must have equal shapes",
            f"{why}: reshape one of them to the other's shape",
        )
    return ()


Partials = Callable[..., tuple[Callable[[], Any], ...]]


def _mean_loss(
    name: str,
    operands: tuple[str, str],
    entries: Callable[..., Any],
    partials: Partials,
    *,
    doc: str,
    attrs: tuple[Attr, ...] = (),
    shape_rule: Callable[[Typing], Shape] = _equal_shapes,
    sample_attrs: Sequence[dict[str, object]] = ({},),
    convention: str = "",
    accuracy: str = "",
    transcendental: bool = False,
) -> Op:
    """The mean of `entries(xp, call, a, b)`; `partials(…)` are thunks of the two local derivatives."""

    def jvp(
        xp: Vocabulary[A], c: Call, primals: Sequence[A], out: A, tangents: Sequence[A | None]
    ) -> A | None:
        local = partials(xp, c, *primals)
        total = add_present(
            xp, (None if t is None else xp.amul(t, d()) for t, d in zip(tangents, local, strict=True))
        )
        return None if total is None else _mean(xp, total)

    def vjp(
        xp: Vocabulary[A], c: Call, saved: Sequence[A], ct: A, wanted: Sequence[bool]
    ) -> tuple[A | None, ...]:
        g = _spread(xp, ct, c.shapes[0])
        local = partials(xp, c, *saved)
        return tuple(xp.amul(g, d()) if w else None for w, d in zip(wanted, local, strict=True))

    def samples() -> Iterable[Sample]:
        return [
            Sample((Operand(s), Operand(s)), dict(a))
            for a in sample_attrs
            for s in ((), (3,), (2, 3), (1,), (2, 1))
        ]

    return Op(
        name=name,
        family="loss",
        operands=operands,
        shape_rule=shape_rule,
        forward=lambda xp, c, a, b: _mean(xp, entries(xp, c, a, b)),
        jvp=jvp,
        vjp=vjp,
        saves=operands,
        samples=samples,
        doc=doc,
        shapes_doc=f"{operands[0]}, {operands[1]}: equal shapes -> ()",
        attrs=attrs,
        convention="; ".join(
            filter(None, (convention, "both operands are differentiated; the mean of no entries is nan"))
        ),
        accuracy=accuracy,
        transcendental=transcendental,
    )


def _mse_partials(xp: Vocabulary[A], c: Call, pred: A, target: A) -> tuple[Callable[[], A], ...]:
    return (lambda: xp.scale(xp.sub(pred, target), 2), lambda: xp.scale(xp.sub(target, pred), 2))


mse_loss = _mean_loss(
    "mse_loss",
    ("pred", "target"),
    lambda xp, c, a, b: xp.square(xp.sub(a, b)),
    _mse_partials,
    doc="Mean of (pred - target)^2 over all entries.",
)


def _huber_shape(t: Typing) -> Shape:
    delta = t.number("delta")
    if not 0 < delta < float("inf"):
        raise RuleError(
            f"delta must be a finite number > 0, got {delta}",
            "use mse_loss for no linear part",
            AttributeValueError,
        )
    return _equal_shapes(t)


def _huber(xp: Vocabulary[A], c: Call, pred: A, target: A) -> A:
    delta = Fraction(c.number("delta"))
    z = xp.sub(pred, target)
    size = xp.abs(z)
    near = xp.greater_equal(xp.full(xp.shape(z), delta), size)
    return xp.where(
        near, xp.scale(xp.square(z), Fraction(1, 2)), xp.scale(shift(xp, size, -delta / 2), delta)
    )


def _huber_partials(xp: Vocabulary[A], c: Call, pred: A, target: A) -> tuple[Callable[[], A], ...]:
    delta = c.number("delta")

    def slope(z: A) -> A:
        bound = xp.full(xp.shape(z), delta)
        return xp.maximum(xp.minimum(z, bound), xp.neg(bound))

    return (lambda: slope(xp.sub(pred, target)), lambda: slope(xp.sub(target, pred)))


huber_loss = _mean_loss(
    "huber_loss",
    ("pred", "target"),
    _huber,
    _huber_partials,
    doc="Mean of z^2 / 2 where |z| <= delta and delta (|z| - delta / 2) elsewhere; z = pred - target "
    "(Huber 1964).",
    attrs=(Attr("delta", "number", 1.0, doc="where the parabola becomes a line, > 0"),),
    shape_rule=_huber_shape,
    sample_attrs=({"delta": 1}, {"delta": Fraction(3, 2)}),
)


def _bce_parts(xp: Vocabulary[A], logits: A, target: A) -> tuple[A, A, A]:
    """Mask logits > 0, then -|logits|, then the weight of the wrong side: 1 - target or target."""
    positive = xp.greater(logits, xp.full(xp.shape(logits), 0))
    wrong = xp.where(positive, xp.sub(xp.full(xp.shape(logits), 1), target), target)
    return positive, xp.where(positive, xp.neg(logits), logits), wrong


def _bce(xp: Vocabulary[A], c: Call, logits: A, target: A) -> A:
    # both terms are >= 0 for a target in [0, 1]: nothing cancels
    _, a, wrong = _bce_parts(xp, logits, target)
    return xp.sub(xp.softplus(a), xp.amul(wrong, a))


def _bce_partials(xp: Vocabulary[A], c: Call, logits: A, target: A) -> tuple[Callable[[], A], ...]:
    def logit() -> A:
        # sigmoid(logits) - target, written from the side where the sigmoid is at most 1/2
        positive, a, wrong = _bce_parts(xp, logits, target)
        d = xp.sub(xp.sigmoid(a), wrong)
        return xp.where(positive, xp.neg(d), d)

    return (logit, lambda: xp.neg(logits))


bce_with_logits = _mean_loss(
    "bce_with_logits",
    ("logits", "target"),
    _bce,
    _bce_partials,
    doc="Mean of -target log(sigmoid(logits)) - (1 - target) log(1 - sigmoid(logits)): binary cross-entropy.",
    convention="targets outside [0, 1] are taken as they are; at infinite logits a weight of 0 absorbs",
    accuracy="value and derivative keep relative accuracy in the tails for targets 0 and 1",
    transcendental=True,
)


# -- rows of class scores against labels -----------------------------------------------------------------
def _label_shape(t: Typing) -> Shape:
    (shape,) = t.shapes
    name = t.op.operands[0]
    if len(shape) not in (1, 2):
        raise RuleError(
            f"{name} must have axes (rows, classes), or (classes,) for one row",
            "permute the class axis to the end and reshape the others into rows",
        )
    if shape[-1] == 0:
        raise RuleError(f"{name} has no classes", "its last axis needs at least one entry")
    rows = shape[0] if len(shape) == 2 else 1
    if t.nat_sizes[0] != rows:
        raise RuleError(
            f"the number of labels, {t.nat_sizes[0]}, must be the number of rows, {rows}",
            "pass one label per row, as input_nat_vec(labels)",
        )
    return ()


def _classes(c: Call) -> int:
    return c.shapes[0][-1]


def _check_labels(c: Call, naturals: Sequence[NDArray[np.int64]]) -> None:
    """Every label must name a class when the loss is recorded; one overwritten later is read totally."""
    labels, classes = naturals[0], _classes(c)
    if labels.size and np.maximum.reduce(labels) >= classes:
        position = int((labels >= classes).argmax())
        raise RuleError(
            f"label {labels[position]} at position {position} is not one of the {classes} classes",
            f"labels count from 0: 0 <= label < {classes}",
            IndexRangeError,
        )


def _rows(xp: Vocabulary[A], c: Call, x: A) -> A:
    (shape,) = c.shapes
    return x if len(shape) == 2 else xp.reshape(x, (1, *shape))


def _unrows(xp: Vocabulary[A], c: Call, x: A) -> A:
    (shape,) = c.shapes
    return x if len(shape) == 2 else xp.reshape(x, shape)


def _labelled(xp: Vocabulary[A], labels: Index, shape: Shape) -> tuple[A, A]:
    """Mask of the labelled entries, and per row 1, or 0 where the label names no class."""
    hot = xp.one_hot(labels, shape[1])
    return hot, xp.sum(xp.where(hot, xp.full(shape, 1), xp.full(shape, 0)), (1,))


def _cross_entropy(xp: Vocabulary[A], c: Call, logits: A, labels: Index) -> A:
    return _mean(xp, xp.label_losses(_rows(xp, c, logits), labels))


def _cross_entropy_jvp(
    xp: Vocabulary[A], c: Call, primals: Sequence[Any], out: A, tangents: Sequence[A | None]
) -> A | None:
    (logits, labels), (dx,) = primals, tangents
    assert dx is not None
    x = _rows(xp, c, logits)
    rows = xp.sum(xp.amul(_rows(xp, c, dx), xp.label_slopes(x, labels)), (1,))
    _, valid = _labelled(xp, labels, xp.shape(x))
    return _mean(xp, xp.amul(valid, rows))  # a row without a label may hold anything, nan included


def _cross_entropy_vjp(
    xp: Vocabulary[A], c: Call, saved: Sequence[Any], ct: A, wanted: Sequence[bool]
) -> tuple[A | None, ...]:
    logits, labels = saved
    x = _rows(xp, c, logits)
    shape = xp.shape(x)
    g = xp.broadcast(xp.div(ct, xp.full((), shape[0])), shape, ()) if shape[0] else xp.full(shape, 0)
    return (_unrows(xp, c, xp.amul(g, xp.label_slopes(x, labels))),)


def _label_samples() -> Iterable[Sample]:
    return [
        Sample((Operand((3, 4)),), nats=((0, 3, 1),)),
        Sample((Operand((2, 3)),), nats=((1, 1),)),
        Sample((Operand((3, 2)),), nats=((0, 2, 1),)),  # label 2 of 2 classes: out of range
        Sample((Operand((4,)),), nats=((2,),)),
        Sample((Operand((1, 3)),), nats=((0,),)),
        Sample((Operand((2, 1)),), nats=((0, 0),)),
    ]


_LABELS = (
    "labels must be in range when recorded; one set out of range later contributes 0 and no gradient, "
    "and the divisor stays the number of rows; no rows: nan"
)

cross_entropy = Op(
    name="cross_entropy",
    family="loss",
    operands=("logits",),
    nats=("labels",),
    shape_rule=_label_shape,
    record_check=_check_labels,
    nats_below=_classes,
    forward=_cross_entropy,
    jvp=_cross_entropy_jvp,
    vjp=_cross_entropy_vjp,
    saves=("logits",),
    samples=_label_samples,
    doc="Mean over rows of -log_softmax(logits)[label], max-shifted.",
    shapes_doc="logits: (rows, classes) or (classes,); labels: one per row -> ()",
    convention=_LABELS,
    accuracy="derivative within 4 ulp for rows of a few entries (float64)",
    transcendental=True,
)


def _nll(xp: Vocabulary[A], c: Call, log_probs: A, labels: Index) -> A:
    x = _rows(xp, c, log_probs)
    shape = xp.shape(x)
    hot = xp.one_hot(labels, shape[1])
    return xp.neg(_mean(xp, xp.sum(xp.where(hot, x, xp.full(shape, 0)), (1,))))


def _nll_vjp(
    xp: Vocabulary[A], c: Call, saved: Sequence[Any], ct: A, wanted: Sequence[bool]
) -> tuple[A | None, ...]:
    (shape,) = c.shapes
    full = shape if len(shape) == 2 else (1, *shape)
    hot = xp.one_hot(saved[0], full[1])
    g = keep(xp, _spread(xp, xp.neg(ct), full[:1]), full, (1,))
    return (_unrows(xp, c, xp.where(hot, g, xp.full(full, 0))),)


nll_loss = Op(
    name="nll_loss",
    family="loss",
    operands=("log_probs",),
    nats=("labels",),
    shape_rule=_label_shape,
    record_check=_check_labels,
    nats_below=_classes,
    forward=_nll,
    jvp=lambda xp, c, primals, out, tangents: _nll(xp, c, tangents[0], primals[1]),
    vjp=_nll_vjp,
    saves=(),
    samples=_label_samples,
    doc="Mean over rows of -log_probs[label]: negative log-likelihood (of log_softmax values).",
    shapes_doc="log_probs: (rows, classes) or (classes,); labels: one per row -> ()",
    convention=_LABELS,
)

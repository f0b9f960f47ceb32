"""Losses against labels: the labelled entry of each row is gathered, not searched for in a mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jax import lax

from prooftape.op import Call
from prooftape.ops.losses import _mean, _rows, _unrows
from prooftape.ops.softmax import row_max
from prooftape.vocabulary import keep
from prooftape.xla.lowerings.lowering import Lowering
from prooftape.xla.lowerings.softmax import exp_below

Arr = Any

# the row is a batching dimension: devices that share the rows need nothing of one another
_ENTRIES = lax.GatherDimensionNumbers(
    offset_dims=(),
    collapsed_slice_dims=(1,),
    start_index_map=(1,),
    operand_batching_dims=(0,),
    start_indices_batching_dims=(0,),
)


def _applies(c: Call) -> bool:
    return 0 not in c.shapes[0]


def _labelled(x: Arr, labels: Arr) -> Arr:
    """x[j, labels[j]] for every row j; 0 where the label names no class."""
    places = lax.reshape(labels, (x.shape[0], 1))
    return lax.gather(x, places, _ENTRIES, slice_sizes=(1, 1), mode="fill", fill_value=0)


def _valid(labels: Arr, classes: int) -> Arr:
    return (labels >= 0) & (labels < classes)


def _cross_entropy(xp: Any, c: Call, logits: Arr, labels: Arr) -> Arr:
    x = _rows(xp, c, logits)
    shape = x.shape
    largest = row_max(xp, x)
    z = xp.sub(x, keep(xp, largest, shape, (1,)))
    log_sum = xp.log(xp.sum(xp.exp(z), (1,)))
    losses = xp.sub(log_sum, xp.sub(_labelled(x, labels), largest))
    return _mean(xp, lax.select(_valid(labels, shape[1]), losses, xp.full(shape[:1], 0)))


def _cross_entropy_vjp(
    xp: Any, c: Call, saved: Sequence[Arr], ct: Arr, wanted: Sequence[bool]
) -> tuple[Arr | None, ...]:
    """As `Vocabulary.label_slopes`, with the sum of a row made of the others' sum and the labelled entry."""
    logits, labels = saved
    x = _rows(xp, c, logits)
    shape = x.shape
    e = exp_below(xp, x, keep(xp, row_max(xp, x), shape, (1,)))
    hot = xp.one_hot(labels, shape[1])
    others = xp.sum(lax.select(hot, xp.full(shape, 0), e), (1,))
    slopes = lax.select(hot, keep(xp, xp.neg(others), shape, (1,)), e)
    total = xp.add(others, _labelled(e, labels))
    valid = lax.convert_element_type(_valid(labels, shape[1]), e.dtype)
    inverse = xp.amul(valid, xp.reciprocal(total))
    g = xp.broadcast(xp.div(ct, xp.full((), shape[0])), shape, ())
    return (_unrows(xp, c, xp.amul(g, xp.amul(keep(xp, inverse, shape, (1,)), slopes))),)


def _nll(xp: Any, c: Call, log_probs: Arr, labels: Arr) -> Arr:
    return xp.neg(_mean(xp, _labelled(_rows(xp, c, log_probs), labels)))


def _nll_jvp(xp: Any, c: Call, primals: Sequence[Arr], out: Arr, tangents: Sequence[Arr]) -> Arr:
    return _nll(xp, c, tangents[0], primals[1])


LOWERINGS = (
    Lowering(
        "cross_entropy",
        ("cross_entropy",),
        "the labelled entries are gathered",
        _applies,
        _cross_entropy,
        _cross_entropy_vjp,
    ),
    Lowering("nll_loss", ("nll_loss",), "the labelled entries are gathered", _applies, _nll, None, _nll_jvp),
)

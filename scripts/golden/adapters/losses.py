"""Losses. Ours take the mean; PyTorch's `reduction='sum'` is that mean times the count."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..program import NotApplicable, Program, Value
from ..registry import adapts


def _reduced(b: Program, mean: Value, count: int, reduction: str) -> Value:
    if reduction == "mean":
        return mean
    if reduction == "sum":
        return b.call("scale", mean, float(count))
    if reduction == "none":
        raise NotApplicable("reduction='none'")
    raise NotApplicable("a parameter that no session op has (reduction)")


def _pair(pred: Any, target: Any) -> None:
    if not (isinstance(pred, Value) and isinstance(target, Value)):
        raise NotApplicable("integer or boolean tensor as a float operand")


@adapts("nn.functional.mse_loss")
def mse_loss(b: Program, pred: Any, target: Any, reduction: str = "mean") -> Value:
    _pair(pred, target)
    return _reduced(b, b.call("mse_loss", pred, target), pred.size, reduction)


@adapts("nn.functional.huber_loss")
def huber_loss(b: Program, pred: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Value:
    _pair(pred, target)
    return _reduced(b, b.call("huber_loss", pred, target, delta=float(delta)), pred.size, reduction)


@adapts("nn.functional.smooth_l1_loss")
def smooth_l1_loss(b: Program, pred: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Value:
    """Documented: smooth L1 with beta is the Huber loss with delta = beta, divided by beta."""
    _pair(pred, target)
    if beta <= 0:
        raise NotApplicable("smooth_l1_loss with beta = 0, which is the absolute error")
    mean = b.call("huber_loss", pred, target, delta=float(beta))
    return _reduced(b, mean if beta == 1 else b.call("scale", mean, 1 / beta), pred.size, reduction)


@adapts("nn.functional.binary_cross_entropy_with_logits")
def bce_with_logits(
    b: Program, logits: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: str = "mean"
) -> Value:
    _pair(logits, target)
    if weight is not None or pos_weight is not None:
        raise NotApplicable("weights in a loss")
    return _reduced(b, b.call("bce_with_logits", logits, target), logits.size, reduction)


def _labelled(op: str, b: Program, scores: Value, labels: Any, reduction: str, ignore_index: int) -> Value:
    """Scores (C) or (N, C, …) with integer labels: classes go last and the rest is one batch axis."""
    if not isinstance(labels, np.ndarray):
        raise NotApplicable("targets given as class probabilities")
    index: npt.NDArray[np.int64] = labels
    if np.any(index == ignore_index):
        raise NotApplicable("ignored labels")
    if index.size == 0:
        raise NotApplicable("a mean over no samples (PyTorch gives nan)")
    matrix = scores
    if scores.ndim > 1:
        axes = (0, *range(2, scores.ndim), 1)
        matrix = b.reshape(b.permute(scores, axes), (index.size, scores.shape[1]))
    return _reduced(b, b.call(op, matrix, b.nat_vec(index.ravel())), index.size, reduction)


@adapts("nn.functional.cross_entropy")
def cross_entropy(
    b: Program,
    logits: Value,
    labels: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Value:
    if weight is not None:
        raise NotApplicable("weights in a loss")
    if label_smoothing:
        raise NotApplicable("label smoothing")
    return _labelled("cross_entropy", b, logits, labels, reduction, ignore_index)


@adapts("nn.functional.nll_loss")
def nll_loss(
    b: Program,
    log_probs: Value,
    labels: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Value:
    if weight is not None:
        raise NotApplicable("weights in a loss")
    return _labelled("nll_loss", b, log_probs, labels, reduction, ignore_index)

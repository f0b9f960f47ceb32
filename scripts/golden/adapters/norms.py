"""Normalisation. Missing gamma and beta are constant ones and zeros; several normalised axes are merged into
one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..program import NotApplicable, Program, Shape, Value
from ..registry import adapts


def _affine(b: Program, given: Value | None, shape: Shape, fill: float) -> Value:
    return b.filled(shape, fill) if given is None else given


def _positive(eps: float) -> float:
    if eps <= 0:
        raise NotApplicable("eps that is not positive")
    return float(eps)


def _over_last(b: Program, x: Value, normalized_shape: Sequence[int]) -> tuple[Value, int]:
    n = len(normalized_shape)
    if n == 0 or tuple(normalized_shape) != x.shape[-n:]:
        raise NotApplicable("normalized_shape is an argument of its own, checked against the input")
    size = int(np.prod(normalized_shape, dtype=np.int64))
    return b.reshape(x, (*x.shape[:-n], size)), size


@adapts("nn.functional.layer_norm")
def layer_norm(
    b: Program,
    x: Value,
    normalized_shape: Sequence[int],
    weight: Value | None = None,
    bias: Value | None = None,
    eps: float = 1e-5,
) -> Value:
    eps = _positive(eps)
    flat, size = _over_last(b, x, normalized_shape)
    gamma = b.reshape(_affine(b, weight, (size,), 1.0), (size,))
    beta = b.reshape(_affine(b, bias, (size,), 0.0), (size,))
    return b.reshape(b.call("layer_norm", flat, gamma, beta, eps=eps, shape=flat.shape), x.shape)


@adapts("nn.functional.rms_norm")
def rms_norm(
    b: Program,
    x: Value,
    normalized_shape: Sequence[int],
    weight: Value | None = None,
    eps: float | None = None,
) -> Value:
    """PyTorch's default eps is the machine epsilon of the input's dtype."""
    eps = _positive(float(np.finfo(np.float64).eps) if eps is None else eps)
    flat, size = _over_last(b, x, normalized_shape)
    gamma = _affine(b, weight, (size,), 1.0)
    gamma = b.reshape(gamma, (gamma.size,))
    return b.reshape(b.call("rms_norm", flat, gamma, eps=eps, shape=flat.shape), x.shape)


def _as_image(x: Value, lead: int) -> Shape:
    """Spatial axes made exactly two, since `batchnorm_channel_first` takes (C, H, W) or (N, C, H, W)."""
    spatial = x.shape[lead:]
    return (
        (*spatial, *(1,) * (2 - len(spatial)))
        if len(spatial) <= 2
        else (spatial[0], int(np.prod(spatial[1:])))
    )


@adapts("nn.functional.batch_norm")
def batch_norm(
    b: Program,
    x: Value,
    running_mean: Any,
    running_var: Any,
    weight: Value | None = None,
    bias: Value | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Value:
    if not training:
        raise NotApplicable("running statistics in place of the batch's own")
    if x.ndim < 2:
        raise NotApplicable("a batch without channels")
    channels = x.shape[1]
    image = b.reshape(x, (*x.shape[:2], *_as_image(x, 2)))
    gamma, beta = _affine(b, weight, (channels,), 1.0), _affine(b, bias, (channels,), 0.0)
    y = b.call("batchnorm_channel_first", image, gamma, beta, eps=_positive(eps), shape=image.shape)
    return b.reshape(y, x.shape)


@adapts("nn.functional.instance_norm")
def instance_norm(
    b: Program,
    x: Value,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Value | None = None,
    bias: Value | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Value:
    """Statistics per sample and channel: every (sample, channel) pair is a channel of one image."""
    if not use_input_stats:
        raise NotApplicable("running statistics in place of the batch's own")
    n, c = x.shape[:2]
    image = b.reshape(x, (n * c, *_as_image(x, 2)))

    def per_instance(v: Value) -> Value:
        return v if n == 1 else b.reshape(b.call("broadcast_to", v, (n, c), shape=(n, c)), (n * c,))

    gamma, beta = _affine(b, weight, (c,), 1.0), _affine(b, bias, (c,), 0.0)
    y = b.call(
        "batchnorm_channel_first",
        image,
        per_instance(gamma),
        per_instance(beta),
        eps=_positive(eps),
        shape=image.shape,
    )
    return b.reshape(y, x.shape)


@adapts("nn.functional.group_norm")
def group_norm(
    b: Program,
    x: Value,
    num_groups: int,
    weight: Value | None = None,
    bias: Value | None = None,
    eps: float = 1e-5,
) -> Value:
    channels = x.shape[1] if x.ndim > 1 else 1
    gamma, beta = _affine(b, weight, (channels,), 1.0), _affine(b, bias, (channels,), 0.0)
    return b.call("group_norm", x, gamma, beta, num_groups=num_groups, eps=_positive(eps))

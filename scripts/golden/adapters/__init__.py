"""Adapters, one module per family of ops; importing this package registers them all."""

from . import (
    attention,
    convolution,
    elementwise,
    gather,
    linear_algebra,
    losses,
    norms,
    pooling,
    reductions,
    shapes,
)

__all__ = [
    "attention",
    "convolution",
    "elementwise",
    "gather",
    "linear_algebra",
    "losses",
    "norms",
    "pooling",
    "reductions",
    "shapes",
]

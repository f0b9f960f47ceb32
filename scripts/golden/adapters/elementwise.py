"""Elementwise ops and comparisons. Broadcasts that PyTorch inserts silently are written out as
`broadcast_to`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..program import NotApplicable, Program, Value
from ..registry import adapts


def _same_name(torch_name: str, op: str) -> None:
    def unary(b: Program, x: Value) -> Value:
        return b.call(op, x, shape=x.shape)

    unary.__name__ = op
    adapts(torch_name, elementwise=True)(unary)


for _torch, _ours in {
    "neg": "neg",
    "abs": "abs",
    "sqrt": "sqrt",
    "exp": "exp",
    "log": "log",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "square": "square",
    "reciprocal": "reciprocal",
    "sin": "sin",
    "cos": "cos",
    "erf": "erf",
    "log1p": "log1p",
    "expm1": "expm1",
    "nn.functional.relu": "relu",
    "nn.functional.silu": "silu",
}.items():
    _same_name(_torch, _ours)


@adapts("square", elementwise=True)
def square_as_mul(b: Program, x: Value) -> Value:
    return b.call("mul", x, x, shape=x.shape)


@adapts("neg", elementwise=True)
def neg_as_scale(b: Program, x: Value) -> Value:
    return b.call("scale", x, -1.0, shape=x.shape)


@adapts("nn.functional.gelu", elementwise=True)
def gelu(b: Program, x: Value, approximate: str = "none") -> Value:
    if approximate == "tanh":
        raise NotApplicable("gelu by its tanh approximation")
    if approximate != "none":
        raise NotApplicable("a parameter that no session op has (approximate)")
    return b.call("gelu", x, shape=x.shape)


@adapts("nn.functional.leaky_relu", elementwise=True)
def leaky_relu(b: Program, x: Value, negative_slope: float = 0.01) -> Value:
    return b.call("leaky_relu", x, slope=negative_slope, shape=x.shape)


@adapts("nn.functional.elu", elementwise=True)
def elu(b: Program, x: Value, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Value:
    if (scale, input_scale) != (1.0, 1.0):
        raise NotApplicable("elu with an output or input scale")
    return b.call("elu", x, alpha=float(alpha), shape=x.shape)


@adapts("nn.functional.softplus", elementwise=True)
def softplus(b: Program, x: Value, beta: float = 1.0, threshold: float = 20.0) -> Value:
    if (beta, threshold) != (1.0, 20.0):
        raise NotApplicable(
            "softplus with beta != 1 or a threshold of its own (above it PyTorch returns x itself)"
        )
    return b.call("softplus", x, shape=x.shape)


def _operand(b: Program, x: object) -> Value:
    """A binary operand: a Python number becomes a constant leaf of rank 0."""
    if isinstance(x, Value):
        return x
    if isinstance(x, np.ndarray):
        raise NotApplicable("integer or boolean tensor as a float operand")
    if isinstance(x, bool | complex) and not isinstance(x, int):
        raise NotApplicable("complex operand")
    if isinstance(x, int | float):
        return b.filled((), float(x))
    raise NotApplicable(f"operand of type {type(x).__name__}")


def _one_tensor(*operands: object) -> None:
    if not any(isinstance(o, Value) for o in operands):
        raise NotApplicable("no operand is a float tensor")


@adapts("add", elementwise=True)
def add(b: Program, x: Any, y: Any, alpha: float = 1) -> Value:
    _one_tensor(x, y)
    y = _operand(b, y)
    if alpha != 1:
        y = b.call("scale", y, float(alpha), shape=y.shape)
    return b.binary("add", _operand(b, x), y)


@adapts("sub", elementwise=True)
def sub(b: Program, x: Any, y: Any, alpha: float = 1) -> Value:
    _one_tensor(x, y)
    y = _operand(b, y)
    if alpha != 1:
        y = b.call("scale", y, float(alpha), shape=y.shape)
    return b.binary("sub", _operand(b, x), y)


def _binary(torch_name: str, op: str) -> None:
    def binary(b: Program, x: Any, y: Any) -> Value:
        _one_tensor(x, y)
        return b.binary(op, _operand(b, x), _operand(b, y))

    binary.__name__ = op
    adapts(torch_name, elementwise=True)(binary)


for _torch, _ours in {
    "mul": "mul",
    "div.no_rounding_mode": "div",
    "maximum": "maximum",
    "minimum": "minimum",
    "max.binary": "maximum",
    "min.binary": "minimum",
    "gt": "greater",
    "lt": "less",
    "ge": "greater_equal",
    "le": "less_equal",
    "eq": "equal",
}.items():
    _binary(_torch, _ours)


@adapts("mul", elementwise=True)
def mul_as_scale(b: Program, x: Any, y: Any) -> Value:
    if not (isinstance(x, Value) and isinstance(y, int | float)):
        raise NotApplicable("not a tensor times a number")
    return b.call("scale", x, float(y), shape=x.shape)


@adapts("pow", elementwise=True)
def pow_const(b: Program, x: Any, exponent: Any) -> Value:
    if not isinstance(x, Value):
        raise NotApplicable("pow with a number as base")
    if not isinstance(exponent, int | float) or isinstance(exponent, bool):
        raise NotApplicable("pow with a tensor as exponent")
    return b.call("pow_const", x, float(exponent), shape=x.shape)


@adapts("clamp", elementwise=True)
def clamp(b: Program, x: Any, lo: Any = None, hi: Any = None) -> Value:
    """Number bounds are our `clamp`. Tensor bounds are `minimum(maximum(x, lo), hi)`, the formula PyTorch
    documents."""
    if not isinstance(x, Value):
        raise NotApplicable("integer or boolean tensor as a float operand")
    if all(v is None or isinstance(v, int | float) for v in (lo, hi)):
        if lo is None or hi is None:
            raise NotApplicable("clamp with one bound only")
        return b.call("clamp", x, float(lo), float(hi), shape=x.shape)
    if lo is not None:
        x = b.binary("maximum", x, _operand(b, lo))
    return x if hi is None else b.binary("minimum", x, _operand(b, hi))


@adapts("where", elementwise=True)
def where(b: Program, x: Any, mask: Any, y: Any) -> Value:
    _one_tensor(x, y)
    if not (isinstance(mask, np.ndarray) and mask.dtype == np.bool_):
        raise NotApplicable("where with a mask that is not boolean")
    a, c = _operand(b, x), _operand(b, y)
    try:
        shape = tuple(np.broadcast_shapes(a.shape, mask.shape, c.shape))
    except ValueError:
        return b.call("where", mask, a, c)
    return b.call(
        "where", np.broadcast_to(mask, shape), b.broadcast(a, shape), b.broadcast(c, shape), shape=shape
    )

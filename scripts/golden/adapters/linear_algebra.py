"""Matrix products."""

from __future__ import annotations

from ..program import NotApplicable, Program, Value
from ..registry import adapts


@adapts("matmul", "mm", "mv", "dot", "bmm")
def matmul(b: Program, x: Value, y: Value) -> Value:
    return b.call("matmul", x, y)


@adapts("bmm")
def bmm(b: Program, x: Value, y: Value) -> Value:
    return b.call("bmm", x, y)


@adapts("__rmatmul__")
def reflected_matmul(b: Program, x: Value, y: Value) -> Value:
    return b.call("matmul", y, x)


@adapts("nn.functional.linear")
def linear(b: Program, x: Value, weight: Value, bias: Value | None = None) -> Value:
    """A missing bias is a constant zero bias: adding +0 changes no bit of a product (except the sign of a
    zero)."""
    if weight.ndim != 2:
        raise NotApplicable("linear with a weight that is not a matrix")
    return b.call("linear", weight, b.filled(weight.shape[:1], 0.0) if bias is None else bias, x)

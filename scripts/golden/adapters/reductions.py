"""Reductions and the softmax family. `keepdim` is a reshape of the reduced result."""

from __future__ import annotations

from typing import Any

from ..program import NotApplicable, Program, Shape, Value
from ..registry import adapts


def _axes(x: Value, dim: Any, empty_is_all: bool = True) -> Shape:
    if dim is None or (empty_is_all and dim == ()):
        return tuple(range(x.ndim))
    axes = (dim,) if isinstance(dim, int) else tuple(dim)
    if x.ndim == 0 and set(axes) <= {0, -1}:
        return ()  # PyTorch lets a scalar have an axis 0; ours is reduced over none
    return axes


def _kept(b: Program, y: Value, x: Value, axes: Shape, keepdim: bool) -> Value:
    if not keepdim or not x.ndim:
        return y
    gone = {a % x.ndim for a in axes}
    return b.call("reshape", y, tuple(1 if i in gone else n for i, n in enumerate(x.shape)))


def _literal(axes: Shape) -> int | Shape:
    return axes[0] if len(axes) == 1 else axes


def _no_dtype(dtype: object, out: object = None) -> None:
    if dtype is not None and str(dtype) != "torch.float64":
        raise NotApplicable("conversion to another dtype")
    if out is not None:
        raise NotApplicable("writing into an out= tensor")


def _reduction(torch_name: str, op: str) -> None:
    def reduce(
        b: Program, x: Value, dim: Any = None, keepdim: bool = False, dtype: Any = None, out: Any = None
    ) -> Value:
        _no_dtype(dtype, out)
        axes = _axes(x, dim)
        return _kept(b, b.call(op, x, axis=_literal(axes)), x, axes, keepdim)

    reduce.__name__ = op
    adapts(torch_name)(reduce)


for _torch, _ours in {
    "sum": "reduce_sum",
    "mean": "reduce_mean",
    "amax": "reduce_max",
    "max.reduction_no_dim": "reduce_max",
}.items():
    _reduction(_torch, _ours)


def _total(torch_name: str, op: str) -> None:
    def total(b: Program, x: Value, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Value:
        _no_dtype(dtype)
        if _axes(x, dim) != tuple(range(x.ndim)):
            raise NotApplicable("not over all axes")
        return _kept(b, b.call(op, x), x, tuple(range(x.ndim)), keepdim)

    total.__name__ = op
    adapts(torch_name)(total)


_total("sum", "sum")
_total("mean", "mean")


@adapts("logsumexp")
def logsumexp(b: Program, x: Value, dim: Any, keepdim: bool = False) -> Value:
    axes = _axes(x, dim)
    return _kept(b, b.call("logsumexp", x, axis=_literal(axes)), x, axes, keepdim)


@adapts("var")
def var(
    b: Program, x: Value, dim: Any = None, unbiased: bool = True, keepdim: bool = False, correction: Any = 1
) -> Value:
    """`unbiased=False` is ddof 0; PyTorch reads `correction=None` as 1."""
    axes = _axes(x, dim)
    ddof = 1 if correction is None else correction
    if unbiased is False:
        ddof = 0
    if not isinstance(ddof, int) or ddof < 0:
        raise NotApplicable("var with a correction that is not a natural number")
    return _kept(b, b.call("var", x, axis=_literal(axes), ddof=ddof), x, axes, keepdim)


@adapts("var.unbiased")
def var_unbiased(b: Program, x: Value, unbiased: bool) -> Value:
    return b.call("var", x, axis=_literal(_axes(x, None)), ddof=int(unbiased))


def _softmax(torch_name: str, op: str) -> None:
    def softmax(b: Program, x: Value, dim: int, dtype: Any = None) -> Value:
        _no_dtype(dtype)
        return b.call(op, x, axis=dim)

    softmax.__name__ = op
    adapts(torch_name)(softmax)


for _name in ("softmax", "log_softmax"):
    _softmax(_name, _name)

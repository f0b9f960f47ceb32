"""Convolutions and transposed convolutions. Ours takes weight, bias, input in that order."""

from __future__ import annotations

from typing import Any

from ..program import NotApplicable, Program, Shape, Value
from ..registry import adapts
from .pooling import per_axis


def _plain(n: int, dilation: Any, groups: int) -> None:
    if any(d != 1 for d in per_axis(dilation, n)):
        raise NotApplicable("dilation")
    if groups != 1:
        raise NotApplicable("groups")


def _padding(padding: Any, kernel: Shape, stride: Shape, n: int) -> Shape:
    if padding == "valid":
        return (0,) * n
    if padding == "same":
        if any(k % 2 == 0 for k in kernel) or any(s != 1 for s in stride):
            raise NotApplicable("padding='same' that pads one side more than the other, or with a stride")
        return tuple((k - 1) // 2 for k in kernel)
    return per_axis(padding, n)


def _bias(b: Program, bias: Any, out_channels: int) -> Value:
    if bias is None:
        return b.filled((out_channels,), 0.0)
    if not isinstance(bias, Value):
        raise NotApplicable("operands of different dtypes")
    return bias


def _float(w: Any, x: Any) -> None:
    if not (isinstance(w, Value) and isinstance(x, Value)):
        raise NotApplicable("integer or boolean tensor as a float operand")


def _conv(n: int, op: str) -> None:
    def conv(
        b: Program,
        x: Any,
        w: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Value:
        _float(w, x)
        _plain(n, dilation, groups)
        s = per_axis(stride, n)
        p = _padding(padding, w.shape[2:], s, n)
        if op == "conv2d":
            if len(set(s)) > 1 or len(set(p)) > 1:
                raise NotApplicable("a stride or padding per axis")
            return b.call(op, w, _bias(b, bias, w.shape[0]), x, stride=s[0], padding=p[0])
        return b.call(op, w, _bias(b, bias, w.shape[0]), x, stride=s, padding=p)

    conv.__name__ = op
    adapts(f"nn.functional.conv{n}d")(conv)


def _conv_transpose(n: int, op: str) -> None:
    def conv_transpose(
        b: Program,
        x: Any,
        w: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> Value:
        _float(w, x)
        _plain(n, dilation, groups)
        if any(per_axis(output_padding, n)):
            raise NotApplicable("output_padding")
        s, p = per_axis(stride, n), per_axis(padding, n)
        if op == "conv_transpose2d":
            if len(set(s)) > 1 or len(set(p)) > 1:
                raise NotApplicable("a stride or padding per axis")
            return b.call(op, w, _bias(b, bias, w.shape[1]), x, stride=s[0], padding=p[0])
        return b.call(op, w, _bias(b, bias, w.shape[1]), x, stride=s, padding=p)

    conv_transpose.__name__ = op
    adapts(f"nn.functional.conv_transpose{n}d")(conv_transpose)


for _n in (1, 2, 3):
    _conv(_n, "conv")
    _conv_transpose(_n, "conv_transpose")
_conv(2, "conv2d")
_conv_transpose(2, "conv_transpose2d")

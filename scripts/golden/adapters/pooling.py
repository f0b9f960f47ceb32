"""Max and average pools. PyTorch's input is (C, …) or (N, C, …), as ours."""

from __future__ import annotations

from typing import Any

from ..program import NotApplicable, Program, Shape, Value
from ..registry import adapts


def per_axis(v: Any, n: int) -> Shape:
    return (v,) * n if isinstance(v, int) else tuple(v) * (n if len(v) == 1 else 1)


def _window(
    x: Value, n: int, kernel: Any, stride: Any, padding: Any, ceil_mode: bool
) -> tuple[Shape, Shape, Shape]:
    k = per_axis(kernel, n)
    s = k if stride in (None, (), []) else per_axis(stride, n)
    p = per_axis(padding, n)
    if ceil_mode and x.ndim > n:
        overhang = any(
            (size + 2 * pa - ka) % sa
            for size, ka, sa, pa in zip(x.shape[-n:], k, s, p, strict=True)
            if sa > 0
        )
        if overhang:
            raise NotApplicable("ceil_mode with windows that hang over the edge")
    return k, s, p


def _max_pool(torch_name: str, n: int) -> None:
    def max_pool(
        b: Program,
        x: Value,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Value:
        if any(d != 1 for d in per_axis(dilation, n)):
            raise NotApplicable("dilation")
        k, s, p = _window(x, n, kernel_size, stride, padding, ceil_mode)
        return b.call("max_pool", x, kernel=k, stride=s, padding=p)

    adapts(torch_name)(max_pool)


def _avg_pool(torch_name: str, n: int) -> None:
    def avg_pool(
        b: Program,
        x: Value,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Value:
        if divisor_override is not None:
            raise NotApplicable("avg_pool with a divisor of its own")
        k, s, p = _window(x, n, kernel_size, stride, padding, ceil_mode)
        if not count_include_pad and any(p):
            raise NotApplicable("avg_pool that does not count padding")
        return b.call("avg_pool", x, kernel=k, stride=s, padding=p)

    adapts(torch_name)(avg_pool)


for _n in (1, 2, 3):
    _max_pool(f"nn.functional.max_pool{_n}d", _n)
    _avg_pool(f"nn.functional.avg_pool{_n}d", _n)


def _square_window(kernel: Any, stride: Any, padding: Any) -> tuple[int, int, int]:
    """The prior art's 2-D pools: kernel (kH, kW), one stride, no padding."""
    (kh, kw), strides = per_axis(kernel, 2), per_axis(kernel if stride in (None, ()) else stride, 2)
    if any(per_axis(padding, 2)) or len(set(strides)) > 1:
        raise NotApplicable("padding, or a stride per axis")
    return kh, kw, strides[0]


@adapts("nn.functional.max_pool2d")
def max_pool2d(
    b: Program,
    x: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Value:
    if any(d != 1 for d in per_axis(dilation, 2)):
        raise NotApplicable("dilation")
    _window(x, 2, kernel_size, stride, padding, ceil_mode)
    kh, kw, s = _square_window(kernel_size, stride, padding)
    return b.call("max_pool2d", x, (kh, kw), s)


@adapts("nn.functional.avg_pool2d")
def avg_pool2d(
    b: Program,
    x: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value:
    if divisor_override is not None:
        raise NotApplicable("avg_pool with a divisor of its own")
    _window(x, 2, kernel_size, stride, padding, ceil_mode)
    kh, kw, s = _square_window(kernel_size, stride, padding)
    return b.call("avg_pool2d", x, (kh, kw), s)

"""PyTorch's value, VJP and JVP of one sample, and how large the quantities are that rounding acts on.

Cotangents and tangents are seeded nonzero multiples of 1/16 in [-2, 2]: exact in binary, so an op that only
moves or adds
copies of them has one right answer, bit for bit.
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from .program import NotApplicable
from .samples import Sample

Tensors = list[torch.Tensor]


@dataclass
class Truth:
    """Gradients and tangents are per leaf, None for one that is not differentiable. `scales` are defined in
    `scale_of`."""

    out: torch.Tensor
    cotangent: torch.Tensor | None
    gradients: list[torch.Tensor | None]
    tangents: list[torch.Tensor | None]
    jvp: torch.Tensor | None
    out_scale: float | None = None
    gradient_scales: list[float | None] | None = None
    jvp_scale: float | None = None


def grid_like(x: torch.Tensor, key: str) -> torch.Tensor:
    rng = random.Random(key)
    values = [(int(rng.random() * 32) + 1) * (-1 if rng.random() < 0.5 else 1) / 16 for _ in range(x.numel())]
    return torch.tensor(values, dtype=torch.float64).reshape(x.shape)


def _first_tensor(result: Any) -> torch.Tensor:
    while isinstance(result, list | tuple):
        result = result[0]
    if not isinstance(result, torch.Tensor):
        raise NotApplicable("a result that is not a tensor")
    return result


def truth_of(sample: Sample, call: Callable[..., Any]) -> Truth:
    """Forward, reverse and forward-mode answers. Attention runs on PyTorch's reference kernel, which has
    both modes."""

    def f(*leaves: torch.Tensor) -> torch.Tensor:
        args, kwargs = sample.arguments(leaves)
        return _first_tensor(call(*args, **kwargs))

    with (
        warnings.catch_warnings(),
        sdpa_kernel(SDPBackend.MATH) if "attention" in sample.op else nullcontext(),
    ):
        warnings.simplefilter("ignore")
        return _truth(sample, f)


def _truth(sample: Sample, f: Callable[..., torch.Tensor]) -> Truth:
    leaves, marks = sample.tensors, sample.differentiable
    for x, differentiable in zip(leaves, marks, strict=True):
        x.requires_grad_(differentiable)
    out = f(*leaves)
    key = f"{sample.op} {sample.id}"
    if not out.is_floating_point():
        return Truth(out, None, [None] * len(leaves), [None] * len(leaves), None)
    cotangent = grid_like(out, f"{key} cotangent")
    wrt = [x for x, differentiable in zip(leaves, marks, strict=True) if differentiable]
    try:
        found = iter(_gradients(out, wrt, cotangent))
    except RuntimeError as failure:
        raise NotApplicable("PyTorch's own VJP raises: " + str(failure).split("\n")[0]) from failure
    gradients = [next(found) if differentiable else None for differentiable in marks]
    tangents = [
        grid_like(x, f"{key} tangent {i}") if d else None
        for i, (x, d) in enumerate(zip(leaves, marks, strict=True))
    ]
    answer = Truth(out.detach(), cotangent, gradients, tangents, _jvp(f, leaves, tangents))
    if all(bool(x.isfinite().all()) for x in [*leaves, answer.out]):
        _add_scales(answer, f, leaves, wrt)
    return answer


def _gradients(out: torch.Tensor, wrt: Tensors, cotangent: torch.Tensor) -> Tensors:
    if not out.requires_grad:
        return [torch.zeros_like(x) for x in wrt]
    found = torch.autograd.grad(out, wrt, cotangent, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g.detach() for x, g in zip(wrt, found, strict=True)]


def _jvp(
    f: Callable[..., torch.Tensor], leaves: Tensors, tangents: Sequence[torch.Tensor | None]
) -> torch.Tensor | None:
    """Forward-mode AD; None where PyTorch has not implemented it for this op."""
    with forward_ad.dual_level():
        duals = [
            x.detach() if t is None else forward_ad.make_dual(x.detach(), t)  # type: ignore[no-untyped-call]
            for x, t in zip(leaves, tangents, strict=True)
        ]
        try:
            primal, tangent = forward_ad.unpack_dual(f(*duals))  # type: ignore[no-untyped-call]
        except NotImplementedError:
            return None
        return torch.zeros_like(primal) if tangent is None else tangent.detach().clone()


# -------------------- scales
def scale_of(value: torch.Tensor, wrt: Sequence[torch.Tensor]) -> float | None:
    """max_i ( |F_i| + sum over arguments z of max|z| * sum_j |dF_i/dz_j| ): how far F moves, to first order,
    when every
    argument is perturbed by its own size. Times a small multiple of the unit roundoff this bounds the error
    of an
    algorithm that is backward stable normwise. None if it is not finite or PyTorch cannot differentiate F."""
    flat = value.reshape(-1)
    if flat.numel() == 0:
        return 0.0
    total = flat.detach().abs().clone()
    if flat.requires_grad:
        for i in range(flat.numel()):
            rows = torch.autograd.grad(flat[i], wrt, retain_graph=True, allow_unused=True)
            for row, z in zip(rows, wrt, strict=True):
                if row is not None and z.numel():
                    total[i] += row.abs().sum() * z.detach().abs().max()
    worst = float(total.max())
    return worst if math.isfinite(worst) else None


def _add_scales(answer: Truth, f: Callable[..., torch.Tensor], leaves: Tensors, wrt: Tensors) -> None:
    """The JVP is taken here as the derivative of the VJP along the cotangent, so that it can be
    differentiated again."""
    assert answer.cotangent is not None
    out = f(*leaves)
    answer.out_scale = scale_of(out, wrt)
    if not out.requires_grad:
        return
    cotangent = answer.cotangent.clone().requires_grad_()
    tangents = [t.clone().requires_grad_() for t in answer.tangents if t is not None]
    found = torch.autograd.grad(out, wrt, cotangent, create_graph=True, allow_unused=True)
    gradients = [torch.zeros_like(x) if g is None else g for x, g in zip(wrt, found, strict=True)]
    scales = iter([scale_of(g, [*wrt, cotangent]) for g in gradients])
    answer.gradient_scales = [None if g is None else next(scales) for g in answer.gradients]
    linear = [(g, t) for g, t in zip(gradients, tangents, strict=True) if g.requires_grad]
    if answer.jvp is not None and linear:
        jvp = torch.autograd.grad(
            [g for g, _ in linear], cotangent, [t for _, t in linear], create_graph=True, allow_unused=True
        )[0]
        answer.jvp_scale = 0.0 if jvp is None else scale_of(jvp, [*wrt, *tangents])

"""Softmax, losses, norms, convolutions, pools and attention against PyTorch in float64: value, VJP, JVP.

One sample and batches. Tolerance: both sides evaluate sums of fewer than 200 terms of order 1 in float64, so
they differ by less than about 200 * 2^-52 < 1e-13 times the size of the terms; a wrong rule is off by a
visible fraction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from prooftape import Session
from prooftape.ops import find

if find_spec("torch") is None:
    pytest.skip("needs torch", allow_module_level=True)

import torch
import torch.nn.functional as F

pytestmark = [
    pytest.mark.interop,
    # torch's forward mode loads its decompositions through its own deprecated torch.jit.script
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
]

Shape = tuple[int, ...]
TOLERANCE = 1e-12


@dataclass(frozen=True)
class Case:
    op: str
    shapes: Sequence[Shape]
    torch_op: Callable[..., torch.Tensor]
    attrs: dict[str, Any] = field(default_factory=dict)
    labels: Sequence[int] | None = None
    mask: Any = None

    def __str__(self) -> str:
        shapes = " ".join(map(str, self.shapes))
        return f"{self.op} {shapes} {self.attrs or ''}{' masked' if self.mask is not None else ''}"


def softmaxes() -> list[Case]:
    ops = (("softmax", torch.softmax), ("log_softmax", torch.log_softmax))
    shapes: list[tuple[Shape, int]] = [
        ((7,), -1),
        ((3, 5), 1),
        ((3, 5), 0),
        ((2, 4, 3), -2),
        ((), 0),
        ((0,), 0),
        ((2, 0, 3), 0),
        ((2, 0, 3), 1),
    ]
    return [
        Case(name, (s,), lambda x, f=f, a=axis: f(x, dim=a), {"axis": axis})
        for name, f in ops
        for s, axis in shapes
    ]


def losses() -> list[Case]:
    cases = []
    for s in ((), (5,), (3, 4), (2, 3, 2)):
        cases += [
            Case("mse_loss", (s, s), F.mse_loss),
            Case("huber_loss", (s, s), lambda a, b: F.huber_loss(a, b, delta=0.75), {"delta": 0.75}),
            Case("bce_with_logits", (s, s), F.binary_cross_entropy_with_logits),
        ]
    for op, f in (("cross_entropy", F.cross_entropy), ("nll_loss", F.nll_loss)):
        for s, labels in (((4, 3), (2, 0, 1, 1)), ((1, 2), (1,)), ((5,), (3,)), ((3, 1), (0, 0, 0))):
            target = torch.tensor(labels if len(s) == 2 else labels[0])
            cases.append(Case(op, (s,), lambda x, f=f, t=target: f(x, t), labels=labels))
    return cases


def norms() -> list[Case]:
    cases = []
    for s in ((4,), (3, 4), (2, 3, 4), (5, 1)):
        e = s[-1:]
        cases += [
            Case(
                "layer_norm", (s, e, e), lambda x, g, b: F.layer_norm(x, g.shape, g, b, 1e-3), {"eps": 1e-3}
            ),
            Case("rms_norm", (s, e), lambda x, g: F.rms_norm(x, g.shape, g, 1e-3), {"eps": 1e-3}),
        ]
    for s in ((3, 4, 2), (2, 3, 2, 4)):

        def batch_norm(x: torch.Tensor, g: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            batched = x if x.ndim == 4 else x[None]
            return F.batch_norm(batched, None, None, g, b, training=True).reshape(x.shape)

        cases.append(Case("batchnorm_channel_first", (s, (3,), (3,)), batch_norm))
    for s, groups in (((2, 4, 3), 2), ((3, 6), 3), ((1, 4, 2, 3), 1), ((2, 4, 2, 1, 2), 4)):
        cases.append(
            Case(
                "group_norm",
                (s, s[1:2], s[1:2]),
                lambda x, g, b, n=groups: F.group_norm(x, n, g, b),
                {"num_groups": groups},
            )
        )
    return cases


CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def convolutions() -> list[Case]:
    geometries: list[tuple[Shape, Shape, Any, Any]] = [
        ((5,), (3,), 1, 0),
        ((7,), (2,), 3, 1),
        ((3,), (5,), 2, 4),
        ((5, 6), (3, 2), 1, 0),
        ((6, 5), (2, 3), (3, 2), (1, 2)),
        ((4, 4), (1, 1), 2, 0),
        ((3, 4, 5), (2, 3, 2), (1, 2, 1), (0, 1, 1)),
    ]
    cases = []
    for size, kernel, stride, padding in geometries:
        d = len(size)
        attrs = {"stride": stride, "padding": padding}
        names = ("", "2d") if d == 2 else ("",)
        for batch in ((), (3,)):
            for suffix in names:
                cases.append(
                    Case(
                        "conv" + suffix,
                        ((4, 2, *kernel), (4,), (*batch, 2, *size)),
                        lambda w, b, x, d=d, s=stride, p=padding: CONV[d](x, w, b, s, p),
                        attrs,
                    )
                )
                cropped = tuple(
                    min(p, (k - 1) // 2)
                    for p, k in zip(np.broadcast_to(padding, d).tolist(), kernel, strict=True)
                )
                cases.append(
                    Case(
                        "conv_transpose" + suffix,
                        ((2, 4, *kernel), (4,), (*batch, 2, *size)),
                        lambda w, b, x, d=d, s=stride, p=cropped: CONV_TRANSPOSE[d](x, w, b, s, p),
                        {"stride": stride, "padding": cropped},
                    )
                )
    return cases


MAX_POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVG_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def unfolded(x: torch.Tensor, kernel: Shape, stride: Shape, padding: Shape, value: float) -> torch.Tensor:
    """Windows with their cells along the last axis; padding filled with `value`."""
    x = F.pad(x, [w for p in reversed(padding) for w in (p, p)], value=value)
    first = x.ndim - len(kernel)
    for i, (k, s) in enumerate(zip(kernel, stride, strict=True)):
        x = x.unfold(first + i, k, s)  # the cells of the window become the last axis
    return x.flatten(-len(kernel))


def pools() -> list[Case]:
    geometries: list[tuple[Shape, Any, Any, Any]] = [
        ((6,), (2,), None, 0),
        ((7,), (3,), 2, 1),
        ((5, 6), (2, 3), None, 0),
        ((5, 6), (3, 2), (1, 2), (1, 0)),
        ((4, 5), (3, 3), 2, 1),
        ((3, 4, 5), (2, 1, 3), (1, 2, 2), (1, 0, 1)),
    ]
    cases = []
    for size, kernel, stride, padding in geometries:
        d = len(size)
        s = tuple(np.broadcast_to(kernel if stride is None else stride, d).tolist())
        p = tuple(np.broadcast_to(padding, d).tolist())
        attrs = {"kernel": kernel, "stride": stride, "padding": padding}
        for batch in ((), (2,)):
            shape = ((*batch, 3, *size),)
            for suffix in ("", "2d") if d == 2 else ("",):
                cases.append(
                    Case(
                        "max_pool" + suffix,
                        shape,
                        lambda x, d=d, k=kernel, s=s, p=p: MAX_POOL[d](x, k, s, p),
                        attrs,
                    )
                )
                cases.append(
                    Case(
                        "avg_pool" + suffix,
                        shape,
                        lambda x, d=d, k=kernel, s=s, p=p: AVG_POOL[d](x, k, s, p),
                        attrs,
                    )
                )
            for beta in (1.5, -2.0):

                def smooth(
                    x: torch.Tensor, k: Shape = kernel, s: Shape = s, p: Shape = p, beta: float = beta
                ) -> Any:
                    far = -np.inf if beta > 0 else np.inf
                    return torch.logsumexp(beta * unfolded(x, k, s, p, far), -1) / beta

                cases.append(Case("smooth_max_pool", shape, smooth, {**attrs, "beta": beta}))
                if d == 2:

                    def mean(
                        x: torch.Tensor, k: Shape = kernel, s: Shape = s, p: Shape = p, beta: float = beta
                    ) -> Any:
                        far = -np.inf if beta > 0 else np.inf
                        weights = torch.softmax(beta * unfolded(x, k, s, p, far), -1)
                        return (weights * unfolded(x, k, s, p, 0.0)).sum(-1)

                    cases.append(Case("smooth_max_pool2d", shape, mean, {**attrs, "beta": beta}))
    return cases


def attentions() -> list[Case]:
    cases = []
    for x, columns, heads in (
        ((3, 4), 4, 2),
        ((5, 4), 6, 3),
        ((2, 3, 4), 4, 1),
        ((3, 5, 4), 8, 4),
        ((1, 2), 2, 2),
    ):
        n, width = x[-2:]
        for mask in (None, np.tril(np.ones((n, n), dtype=np.bool_))):

            def attention(
                wq: Any, wk: Any, wv: Any, wo: Any, x: Any, heads: int = heads, mask: Any = mask
            ) -> torch.Tensor:
                q, k, v = ((x @ w).unflatten(-1, (heads, -1)).transpose(-2, -3) for w in (wq, wk, wv))
                scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
                if mask is not None:
                    scores = scores.masked_fill(~torch.tensor(mask), -np.inf)
                return (torch.softmax(scores, -1) @ v).transpose(-2, -3).flatten(-2) @ wo

            w = (width, columns)
            shapes = (w, w, w, w[::-1], x)
            cases.append(Case("multi_head_attention", shapes, attention, {"num_heads": heads}, mask=mask))
    return cases


CASES = [*softmaxes(), *losses(), *norms(), *convolutions(), *pools(), *attentions()]


def close(got: Any, expected: torch.Tensor, what: str) -> None:
    a, b = np.asarray(got), expected.detach().numpy()
    assert a.shape == b.shape, what
    size = max(1.0, float(np.abs(b).max(initial=0)))
    assert np.abs(a - b).max(initial=0) <= TOLERANCE * size, what


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_torch(case: Case) -> None:
    rng = np.random.default_rng(len(str(case)))
    values = [rng.normal(size=s) for s in case.shapes]
    moves = [rng.normal(size=s) for s in case.shapes]
    s = Session(scalar="float64")
    leaves = [s.add_leaf(v) for v in values]
    more: dict[str, Any] = dict(case.attrs)
    if case.labels is not None:
        more["labels"] = s.input_nat_vec(case.labels)
    if case.mask is not None:
        more["mask"] = case.mask
    out = getattr(s, case.op)(*leaves, **more)
    ct = rng.normal(size=out.shape)

    tensors = [torch.tensor(v, requires_grad=True) for v in values]
    expected = case.torch_op(*tensors)
    close(s.get_value(out), expected, "value")
    found = s.backward_dense_all(out, ct)
    for name, leaf, g in zip(
        find(case.op).operands, leaves, torch.autograd.grad(expected, tensors, torch.tensor(ct)), strict=False
    ):
        close(found[leaf], g, f"cotangent of {name}")

    _, moved = torch.func.jvp(
        case.torch_op, tuple(t.detach() for t in tensors), tuple(map(torch.tensor, moves))
    )
    constants = [None] * (len(s.graph.leaves) - len(leaves))  # the mask
    close(s.jvp_dense_all(out, [*moves, *constants]), moved, "tangent")

"""tinygrad on its CPU device, which needs clang: one function of loss, gradient and its SGD under TinyJit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import harness
import workloads as w
from workloads import Problem, Step

PACKAGES = ("tinygrad",)


def losses() -> dict[str, Callable[..., Any]]:
    """params, x, target -> loss, for each workload."""

    def norm(x: Any, gamma: Any, beta: Any) -> Any:
        return x.layernorm(eps=w.EPS) * gamma + beta

    def attention(x: Any, wq: Any, wk: Any, wv: Any, wo: Any, heads: int) -> Any:
        q, k, v = ((x @ m).reshape(*x.shape[:-1], heads, -1).transpose(-3, -2) for m in (wq, wk, wv))
        return q.scaled_dot_product_attention(k, v).transpose(-3, -2).reshape(*x.shape) @ wo

    def mlp_small(p: Sequence[Any], x: Any, target: Any) -> Any:
        h = x.linear(p[0].T, p[1]).tanh()
        h = h.linear(p[2].T, p[3]).tanh()
        return (h.linear(p[4].T, p[5]) - target).square().mean()

    def mlp(p: Sequence[Any], x: Any, labels: Any) -> Any:
        h = x.linear(p[0].T, p[1]).relu().linear(p[2].T, p[3]).relu()
        return h.linear(p[4].T, p[5]).sparse_categorical_crossentropy(labels)

    def cnn(p: Sequence[Any], x: Any, labels: Any) -> Any:
        h = x.conv2d(p[0], p[1], padding=1).relu().max_pool2d()
        h = h.conv2d(p[2], p[3], padding=1).relu().max_pool2d()
        return h.flatten(1).linear(p[4].T, p[5]).sparse_categorical_crossentropy(labels)

    def transformer(p: Sequence[Any], x: Any, labels: Any) -> Any:
        h = x + attention(norm(x, p[0], p[1]), *p[2:6], w.HEADS)
        h = h + norm(h, p[6], p[7]).linear(p[8].T, p[9]).gelu("none").linear(p[10].T, p[11])
        return h.linear(p[12].T, p[13]).flatten(0, 1).sparse_categorical_crossentropy(labels)

    def chain(p: Sequence[Any], x: Any, _: Any) -> Any:
        h, count = x, len(p) // 3
        for block in range(w.BLOCKS):
            a, b, c = p[3 * (block % count) : 3 * (block % count) + 3]
            h = (a * h + b).tanh() * c
        return h.square().mean()

    return {
        "W1": mlp_small,
        "W2": mlp,
        "W3": cnn,
        "W4": transformer,
        "W5": chain,
        "W5p": chain,
        "W6a": lambda p, x, _: x.unsqueeze(0).conv2d(*p, padding=1).square().mean(),
        "W6b": lambda p, x, _: norm(x, *p).square().mean(),
        "W6c": lambda p, x, _: attention(x, *p, w.SMALL_HEADS).square().mean(),
    }


def tinygrad_step(problem: Problem) -> Step:
    tiny = harness.peer("tinygrad")
    optimizers = harness.peer("tinygrad.nn.optim")
    loss_of = losses()[problem.name]
    params = [tiny.Tensor(p.copy()).contiguous().realize() for p in problem.params]
    x = tiny.Tensor(problem.x.copy()).realize()
    target = None if problem.target is None else tiny.Tensor(problem.target.copy()).realize()
    optimizer = optimizers.SGD(params, lr=problem.rate)

    @tiny.TinyJit  # type: ignore[untyped-decorator]
    def train() -> Any:
        optimizer.zero_grad()
        loss = loss_of(params, x, target)
        loss.backward()
        return loss.realize(*optimizer.schedule_step())

    def step() -> float:
        with tiny.Context(TRAINING=1):
            return float(train().item())

    return step

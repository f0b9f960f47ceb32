"""PyTorch on the CPU: eager with autograd and SGD, and torch.compile in the ways its users write it."""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import harness
import workloads as w
from workloads import Problem, Step

PACKAGES = ("torch",)
trials = True
"""Off where the first call is timed: it must not contain the search for the fastest variant."""


def losses() -> dict[str, Callable[..., Any]]:
    """params, x, target -> loss, for each workload."""
    torch = harness.peer("torch")
    f = harness.peer("torch.nn.functional")

    def attention(x: Any, wq: Any, wk: Any, wv: Any, wo: Any, heads: int) -> Any:
        q, k, v = ((x @ m).unflatten(-1, (heads, -1)).transpose(-3, -2) for m in (wq, wk, wv))
        return f.scaled_dot_product_attention(q, k, v).transpose(-3, -2).flatten(-2) @ wo

    def mlp_small(p: Sequence[Any], x: Any, target: Any) -> Any:
        h = torch.tanh(f.linear(x, p[0], p[1]))
        h = torch.tanh(f.linear(h, p[2], p[3]))
        return f.mse_loss(f.linear(h, p[4], p[5]), target)

    def mlp(p: Sequence[Any], x: Any, labels: Any) -> Any:
        h = f.relu(f.linear(x, p[0], p[1]))
        h = f.relu(f.linear(h, p[2], p[3]))
        return f.cross_entropy(f.linear(h, p[4], p[5]), labels)

    def cnn(p: Sequence[Any], x: Any, labels: Any) -> Any:
        h = f.max_pool2d(f.relu(f.conv2d(x, p[0], p[1], padding=1)), 2)
        h = f.max_pool2d(f.relu(f.conv2d(h, p[2], p[3], padding=1)), 2)
        return f.cross_entropy(f.linear(h.flatten(1), p[4], p[5]), labels)

    def transformer(p: Sequence[Any], x: Any, labels: Any) -> Any:
        h = x + attention(f.layer_norm(x, (w.WIDTH,), p[0], p[1], w.EPS), *p[2:6], w.HEADS)
        inner = f.gelu(f.linear(f.layer_norm(h, (w.WIDTH,), p[6], p[7], w.EPS), p[8], p[9]))
        h = h + f.linear(inner, p[10], p[11])
        return f.cross_entropy(f.linear(h, p[12], p[13]).flatten(0, 1), labels)

    def chain(p: Sequence[Any], x: Any, _: Any) -> Any:
        h, count = x, len(p) // 3
        for block in range(w.BLOCKS):
            a, b, c = p[3 * (block % count) : 3 * (block % count) + 3]
            h = torch.tanh(a * h + b) * c
        return h.square().mean()

    return {
        "W1": mlp_small,
        "W2": mlp,
        "W3": cnn,
        "W4": transformer,
        "W5": chain,
        "W5p": chain,
        "W6a": lambda p, x, _: f.conv2d(x, *p, padding=1).square().mean(),
        "W6b": lambda p, x, _: f.layer_norm(x, (w.SMALL_WIDTH,), *p, w.EPS).square().mean(),
        "W6c": lambda p, x, _: attention(x, *p, w.SMALL_HEADS).square().mean(),
    }


def _resident(problem: Problem, grad: bool) -> tuple[list[Any], Any, Any]:
    torch = harness.peer("torch")
    torch.set_num_threads(1)
    params = [torch.tensor(p, requires_grad=grad) for p in problem.params]
    target = None if problem.target is None else torch.tensor(problem.target)
    return params, torch.tensor(problem.x), target


def torch_step(problem: Problem) -> Step:
    """Eager; the better of the optimizer's two fast forms on the CPU."""
    return _best([lambda fused=fused: _autograd_step(problem, fused) for fused in (True, False)])  # type: ignore[misc]


def _autograd_step(problem: Problem, fused: bool, mode: str | None = None) -> Step:
    """Autograd and an optimizer; with `mode`, the loss function compiled."""
    torch = harness.peer("torch")
    params, x, target = _resident(problem, grad=True)
    loss_of = losses()[problem.name]
    if mode:
        loss_of = torch.compile(loss_of, mode=mode)
    optimizer = torch.optim.SGD(params, lr=problem.rate, fused=fused, foreach=not fused)

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_of(params, x, target)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def _functional_step(problem: Problem, mode: str) -> Step:
    """Loss, gradient (torch.func) and in-place SGD compiled as one function."""
    torch = harness.peer("torch")
    params, x, target = _resident(problem, grad=False)
    differentiate = torch.func.grad_and_value(losses()[problem.name])
    rate = problem.rate

    def update(params: list[Any], x: Any, target: Any) -> Any:
        grads, loss = differentiate(params, x, target)
        for p, g in zip(params, grads, strict=True):
            p.sub_(g, alpha=rate)
        return loss

    compiled = torch.compile(update, mode=mode)

    def step() -> float:
        with torch.no_grad():
            return float(compiled(params, x, target).item())

    return step


def torch_compile_step(problem: Problem) -> Step:
    """The best of two ways to write it and two modes; the chains, which compile for minutes, in one way only.

    The mode reduce-overhead is about CUDA graphs: on the CPU it is the default mode.
    """
    warnings.filterwarnings("ignore", module="torch")
    if problem.name.startswith("W5"):
        return _functional_step(problem, "default")
    modes = ("default", "max-autotune-no-cudagraphs")
    makers: list[Callable[[], Step]] = []
    for mode in modes:
        makers.append(lambda mode=mode: _functional_step(problem, mode))  # type: ignore[misc]
        makers.append(lambda mode=mode: _autograd_step(problem, True, mode))  # type: ignore[misc]
    return _best(makers)


def _best(makers: Sequence[Callable[[], Step]]) -> Step:
    """The fastest variant, made afresh: the trial has moved the parameters of the one it timed."""

    def trial(make: Callable[[], Step]) -> float:
        step = make()
        for _ in range(3):
            step()
        seen = []
        for _ in itertools.repeat(None, 5):
            count, start = 0, time.perf_counter()
            while not count or time.perf_counter() - start < 0.02:
                step()
                count += 1
            seen.append((time.perf_counter() - start) / count)
        return min(seen)

    return min(makers, key=trial)() if trials else makers[0]()

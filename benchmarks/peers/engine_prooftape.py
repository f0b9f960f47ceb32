"""prooftape, in either engine: every step records the graph anew, as a user's loop does.

The batch is resident: a frozen parameter, read where it lies, on the NumPy engine; a device array on XLA.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import workloads as w
from workloads import Problem, Step

PACKAGES = ("prooftape", "numpy")
Loss = Callable[[Any, list[Any], Any, Any], Any]
"""session, parameters, input, target or labels -> loss"""


def mlp_small(s: Any, p: list[Any], x: Any, target: Any) -> Any:
    h = s.tanh(s.linear(p[0], p[1], x))
    h = s.tanh(s.linear(p[2], p[3], h))
    return s.mse_loss(s.linear(p[4], p[5], h), target)


def mlp(s: Any, p: list[Any], x: Any, labels: Any) -> Any:
    h = s.relu(s.linear(p[0], p[1], x))
    h = s.relu(s.linear(p[2], p[3], h))
    return s.cross_entropy(s.linear(p[4], p[5], h), labels)


def cnn(s: Any, p: list[Any], x: Any, labels: Any) -> Any:
    h = s.max_pool2d(s.relu(s.conv2d(p[0], p[1], x, padding=1)), 2)
    h = s.max_pool2d(s.relu(s.conv2d(p[2], p[3], h, padding=1)), 2)
    return s.cross_entropy(s.linear(p[4], p[5], s.reshape(h, (x.shape[0], -1))), labels)


def transformer(s: Any, p: list[Any], x: Any, labels: Any) -> Any:
    h = x + s.multi_head_attention(*p[2:6], s.layer_norm(x, p[0], p[1], eps=w.EPS), num_heads=w.HEADS)
    inner = s.gelu(s.linear(p[8], p[9], s.layer_norm(h, p[6], p[7], eps=w.EPS)))
    h = h + s.linear(p[10], p[11], inner)
    return s.cross_entropy(s.reshape(s.linear(p[12], p[13], h), (w.BATCH * w.TOKENS, w.VOCABULARY)), labels)


def chain(s: Any, p: list[Any], x: Any, _: Any) -> Any:
    h, count, tanh = x, len(p) // 3, s.tanh
    for block in range(w.BLOCKS):
        a, b, c = p[3 * (block % count) : 3 * (block % count) + 3]
        h = tanh(a * h + b) * c
    return s.mean(s.square(h))


def one_convolution(s: Any, p: list[Any], x: Any, _: Any) -> Any:
    return s.mean(s.square(s.conv2d(*p, x, padding=1)))


def one_norm(s: Any, p: list[Any], x: Any, _: Any) -> Any:
    return s.mean(s.square(s.layer_norm(x, *p, eps=w.EPS)))


def one_attention(s: Any, p: list[Any], x: Any, _: Any) -> Any:
    return s.mean(s.square(s.multi_head_attention(*p, x, num_heads=w.SMALL_HEADS)))


LOSSES: dict[str, Loss] = {
    "W1": mlp_small,
    "W2": mlp,
    "W3": cnn,
    "W4": transformer,
    "W5": chain,
    "W5p": chain,
    "W6a": one_convolution,
    "W6b": one_norm,
    "W6c": one_attention,
}


def prooftape_step(problem: Problem, engine: str) -> Step:
    import prooftape as pt

    s = pt.Session(scalar="float32", engine=engine)
    params = [s.param(p, name=f"p{i}") for i, p in enumerate(problem.params)]
    loss_of, rate = LOSSES[problem.name], problem.rate
    x, target = _resident(problem, s, engine)
    labelled = problem.target is not None and problem.target.dtype.kind == "i"

    def step() -> float:
        s.reset_tape()
        used = [s.use(p) for p in params]
        data = x()
        answers = None
        if labelled:
            answers = s.input_nat_vec(problem.target)
        elif target is not None:
            answers = target()
        loss = loss_of(s, used, data, answers)
        s.sgd_step_all(rate, s.backward_scalar_dense_all(loss))
        return float(s.get_value(loss))

    return step


def _resident(problem: Problem, s: Any, engine: str) -> tuple[Callable[[], Any], Callable[[], Any] | None]:
    """How input and float target enter the graph: held in the engine's own form before the clock starts."""

    def held(array: Any, name: str) -> Callable[[], Any]:
        if engine == "xla":
            import jax

            on_device = jax.device_put(array)
            return lambda: s.input(on_device)
        frozen = s.param(array, name=name, requires_grad=False)
        return lambda: s.use(frozen)

    target = problem.target
    is_input = target is not None and target.dtype.kind == "f"
    return held(problem.x, "x"), held(target, "target") if is_input else None


def numpy_engine_step(problem: Problem) -> Step:
    return prooftape_step(problem, "numpy")


def xla_engine_step(problem: Problem) -> Step:
    return prooftape_step(problem, "xla")

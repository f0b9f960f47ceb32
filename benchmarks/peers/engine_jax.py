"""jax.jit: value_and_grad and SGD in one jitted function with donated parameters; the batch on the device.

Images are NHWC and kernels HWIO inside, as in Flax; they are converted before the clock starts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import harness
import numpy as np
import workloads as w
from workloads import Problem, Step

PACKAGES = ("jax", "jaxlib")


def losses() -> dict[str, Callable[..., Any]]:
    """params, x, target -> loss, for each workload."""
    jax = harness.peer("jax")
    jnp, nn, lax = jax.numpy, jax.nn, jax.lax

    def cross_entropy(logits: Any, labels: Any) -> Any:
        log_probabilities = nn.log_softmax(logits)
        return -jnp.mean(jnp.take_along_axis(log_probabilities, labels[:, None], axis=-1))

    def conv(x: Any, kernel: Any, bias: Any) -> Any:
        return (
            lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            + bias
        )

    def pool(x: Any) -> Any:
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    def norm(x: Any, gamma: Any, beta: Any) -> Any:
        mean = x.mean(-1, keepdims=True)
        return (x - mean) * lax.rsqrt(x.var(-1, keepdims=True) + w.EPS) * gamma + beta

    def attention(x: Any, wq: Any, wk: Any, wv: Any, wo: Any, heads: int) -> Any:
        q, k, v = (jnp.reshape(x @ m, (*x.shape[:-1], heads, -1)) for m in (wq, wk, wv))
        scores = jnp.einsum("...qhd,...khd->...hqk", q, k) / np.float32(np.sqrt(q.shape[-1]))
        mixed = jnp.einsum("...hqk,...khd->...qhd", nn.softmax(scores), v)
        return mixed.reshape(x.shape) @ wo

    def mlp_small(p: Sequence[Any], x: Any, target: Any) -> Any:
        h = jnp.tanh(p[0] @ x + p[1])
        h = jnp.tanh(p[2] @ h + p[3])
        return jnp.mean((p[4] @ h + p[5] - target) ** 2)

    def mlp(p: Sequence[Any], x: Any, labels: Any) -> Any:
        h = nn.relu(x @ p[0].T + p[1])
        h = nn.relu(h @ p[2].T + p[3])
        return cross_entropy(h @ p[4].T + p[5], labels)

    def cnn(p: Sequence[Any], x: Any, labels: Any) -> Any:
        h = pool(nn.relu(conv(x, p[0], p[1])))
        h = pool(nn.relu(conv(h, p[2], p[3])))
        return cross_entropy(h.reshape(len(x), -1) @ p[4] + p[5], labels)

    def transformer(p: Sequence[Any], x: Any, labels: Any) -> Any:
        h = x + attention(norm(x, p[0], p[1]), *p[2:6], w.HEADS)
        inner = nn.gelu(norm(h, p[6], p[7]) @ p[8].T + p[9], approximate=False)
        h = h + inner @ p[10].T + p[11]
        return cross_entropy((h @ p[12].T + p[13]).reshape(-1, w.VOCABULARY), labels)

    def chain(p: Sequence[Any], x: Any, _: Any) -> Any:
        h, count = x, len(p) // 3
        for block in range(w.BLOCKS):
            a, b, c = p[3 * (block % count) : 3 * (block % count) + 3]
            h = jnp.tanh(a * h + b) * c
        return jnp.mean(h * h)

    return {
        "W1": mlp_small,
        "W2": mlp,
        "W3": cnn,
        "W4": transformer,
        "W5": chain,
        "W5p": chain,
        "W6a": lambda p, x, _: jnp.mean(conv(x[None], *p) ** 2),
        "W6b": lambda p, x, _: jnp.mean(norm(x, *p) ** 2),
        "W6c": lambda p, x, _: jnp.mean(attention(x, *p, w.SMALL_HEADS) ** 2),
    }


def own_layout(problem: Problem) -> tuple[list[Any], Any]:
    """Parameters and input in the layout a JAX user keeps them in."""
    params, x = list(problem.params), problem.x
    if problem.name == "W3":
        kernels = [k.transpose(2, 3, 1, 0) for k in (params[0], params[2])]
        side = w.IMAGE // 4
        head = params[4].reshape(10, w.CHANNELS[2], side, side).transpose(2, 3, 1, 0).reshape(-1, 10)
        return [kernels[0], params[1], kernels[1], params[3], head, params[5]], x.transpose(0, 2, 3, 1)
    if problem.name == "W6a":
        return [params[0].transpose(2, 3, 1, 0), params[1]], x.transpose(1, 2, 0)
    return params, x


def jax_step(problem: Problem) -> Step:
    jax = harness.peer("jax")
    differentiate = jax.value_and_grad(losses()[problem.name])
    rate = problem.rate

    def update(params: list[Any], x: Any, target: Any) -> tuple[Any, list[Any]]:
        loss, grads = differentiate(params, x, target)
        return loss, jax.tree.map(lambda p, g: p - rate * g, params, grads)

    train = jax.jit(update, donate_argnums=0)
    host_params, host_x = own_layout(problem)
    params = [jax.device_put(jax.numpy.array(p)) for p in host_params]
    x = jax.numpy.array(host_x)
    target = None if problem.target is None else jax.numpy.array(problem.target)

    def step() -> float:
        nonlocal params
        loss, params = train(params, x, target)
        return float(loss)

    return step

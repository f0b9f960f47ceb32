"""HIPS autograd: NumPy code differentiated as it stands; relu is a primitive, as its tutorial defines one.

It has no convolution worth using: a user writes shifted slices side by side and one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import harness
import numpy as np
import workloads as w
from workloads import Problem, Step

PACKAGES = ("autograd",)


def losses() -> dict[str, Callable[..., Any]]:
    """params, x, target -> loss, for each workload."""
    anp = harness.peer("autograd.numpy")
    extend = harness.peer("autograd.extend")
    special = harness.peer("autograd.scipy.special")
    relu = extend.primitive(lambda z: np.maximum(z, 0))
    extend.defvjp(relu, lambda ans, z: lambda g: g * (z > 0))

    def cross_entropy(z: Any, labels: Any) -> Any:
        return anp.mean(special.logsumexp(z, axis=1) - z[np.arange(len(labels)), labels])

    def conv(x: Any, kernel: Any, bias: Any) -> Any:
        b, c, h, width = x.shape
        padded = anp.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), "constant")
        shifted = [padded[:, :, i : i + h, j : j + width] for i in range(3) for j in range(3)]
        seen = anp.reshape(anp.stack(shifted, axis=2), (b, c * 9, h * width))
        y = anp.matmul(anp.reshape(kernel, (-1, c * 9)), seen) + bias[:, None]
        return anp.reshape(y, (b, -1, h, width))

    def pool(x: Any) -> Any:
        b, c, h, width = x.shape
        return anp.max(anp.reshape(x, (b, c, h // 2, 2, width // 2, 2)), axis=(3, 5))

    def norm(x: Any, gamma: Any, beta: Any) -> Any:
        z = x - anp.mean(x, axis=-1, keepdims=True)
        return z / anp.sqrt(anp.mean(z * z, axis=-1, keepdims=True) + w.EPS) * gamma + beta

    def attention(x: Any, wq: Any, wk: Any, wv: Any, wo: Any, heads: int) -> Any:
        def split(m: Any) -> Any:
            return anp.swapaxes(anp.reshape(anp.matmul(x, m), (*x.shape[:-1], heads, -1)), -3, -2)

        q, k, v = split(wq), split(wk), split(wv)
        scores = anp.matmul(q, anp.swapaxes(k, -1, -2)) / np.float32(np.sqrt(q.shape[-1]))
        p = anp.exp(scores - anp.max(scores, axis=-1, keepdims=True))
        p = p / anp.sum(p, axis=-1, keepdims=True)
        return anp.matmul(anp.reshape(anp.swapaxes(anp.matmul(p, v), -3, -2), x.shape), wo)

    def mlp_small(p: Sequence[Any], x: Any, target: Any) -> Any:
        h = anp.tanh(anp.dot(p[0], x) + p[1])
        h = anp.tanh(anp.dot(p[2], h) + p[3])
        return anp.mean((anp.dot(p[4], h) + p[5] - target) ** 2)

    def mlp(p: Sequence[Any], x: Any, labels: Any) -> Any:
        h = relu(anp.dot(x, p[0].T) + p[1])
        h = relu(anp.dot(h, p[2].T) + p[3])
        return cross_entropy(anp.dot(h, p[4].T) + p[5], labels)

    def cnn(p: Sequence[Any], x: Any, labels: Any) -> Any:
        h = pool(relu(conv(x, p[0], p[1])))
        h = pool(relu(conv(h, p[2], p[3])))
        return cross_entropy(anp.dot(anp.reshape(h, (len(labels), -1)), p[4].T) + p[5], labels)

    def transformer(p: Sequence[Any], x: Any, labels: Any) -> Any:
        h = x + attention(norm(x, p[0], p[1]), *p[2:6], w.HEADS)
        u = anp.dot(norm(h, p[6], p[7]), p[8].T) + p[9]
        inner = u * np.float32(0.5) * (1 + special.erf(u * np.float32(np.sqrt(0.5))))
        h = h + anp.dot(inner, p[10].T) + p[11]
        return cross_entropy(anp.reshape(anp.dot(h, p[12].T) + p[13], (-1, w.VOCABULARY)), labels)

    def chain(p: Sequence[Any], x: Any, _: Any) -> Any:
        h, count = x, len(p) // 3
        for block in range(w.BLOCKS):
            at = 3 * (block % count)
            h = anp.tanh(p[at] * h + p[at + 1]) * p[at + 2]
        return anp.mean(h * h)

    return {
        "W1": mlp_small,
        "W2": mlp,
        "W3": cnn,
        "W4": transformer,
        "W5": chain,
        "W5p": chain,
        "W6a": lambda p, x, _: anp.mean(conv(x[None], p[0], p[1]) ** 2),
        "W6b": lambda p, x, _: anp.mean(norm(x, p[0], p[1]) ** 2),
        "W6c": lambda p, x, _: anp.mean(attention(x, p[0], p[1], p[2], p[3], w.SMALL_HEADS) ** 2),
    }


def autograd_step(problem: Problem) -> Step:
    differentiate = harness.peer("autograd").value_and_grad(losses()[problem.name])
    params = [p.copy() for p in problem.params]
    x, target, rate = problem.x, problem.target, np.float32(problem.rate)

    def step() -> float:
        value, grads = differentiate(params, x, target)
        for p, g in zip(params, grads, strict=True):
            p -= rate * g
        return float(value)

    return step

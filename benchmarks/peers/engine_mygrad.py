"""MyGrad with memory guarding off, its documented fast setting.

Convolution, pooling and the loss are its own layers. It has no erf: one is added as an operation, as its
documentation says; gelu, layer norm and attention are written out with its functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import harness
import numpy as np
import workloads as w
from workloads import Problem, Step

PACKAGES = ("mygrad",)


def _erf(mg: Any) -> Callable[[Any], Any]:
    scipy_erf = harness.peer("scipy.special").erf
    base = harness.peer("mygrad.operation_base").Operation

    class Erf(base):  # type: ignore[misc]
        def __call__(self, x: Any) -> Any:
            self.variables = (x,)
            return scipy_erf(x.data)

        def backward_var(self, grad: Any, index: int, **_: Any) -> Any:
            x = self.variables[index].data
            return grad * x.dtype.type(2 / np.sqrt(np.pi)) * np.exp(-x * x)

    return lambda x: mg.Tensor._op(Erf, x)


def losses() -> dict[str, Callable[..., Any]]:
    """params, x, target -> loss, for each workload."""
    mg = harness.peer("mygrad")
    relu = harness.peer("mygrad.nnet.activations").relu
    softmax = harness.peer("mygrad.nnet.activations").softmax
    cross_entropy = harness.peer("mygrad.nnet.losses").softmax_crossentropy
    layers = harness.peer("mygrad.nnet.layers")
    erf = _erf(mg)

    def conv(x: Any, kernel: Any, bias: Any) -> Any:
        return layers.conv_nd(x, kernel, stride=1, padding=1) + bias.reshape(1, -1, 1, 1)

    def pool(x: Any) -> Any:
        return layers.max_pool(x, (2, 2), 2)

    def norm(x: Any, gamma: Any, beta: Any) -> Any:
        z = x - mg.mean(x, axis=-1, keepdims=True)
        return z / mg.sqrt(mg.mean(z**2, axis=-1, keepdims=True) + np.float32(w.EPS)) * gamma + beta

    def attention(x: Any, wq: Any, wk: Any, wv: Any, wo: Any, heads: int) -> Any:
        def split(m: Any) -> Any:
            return mg.swapaxes(mg.matmul(x, m).reshape(*x.shape[:-1], heads, -1), -3, -2)

        q, k, v = split(wq), split(wk), split(wv)
        scores = mg.matmul(q, mg.swapaxes(k, -1, -2)) / np.float32(np.sqrt(q.shape[-1]))
        return mg.matmul(mg.swapaxes(mg.matmul(softmax(scores), v), -3, -2).reshape(*x.shape), wo)

    def mlp_small(p: Sequence[Any], x: Any, target: Any) -> Any:
        h = mg.tanh(mg.matmul(p[0], x) + p[1])
        h = mg.tanh(mg.matmul(p[2], h) + p[3])
        return mg.mean((mg.matmul(p[4], h) + p[5] - target) ** 2)

    def mlp(p: Sequence[Any], x: Any, labels: Any) -> Any:
        h = relu(mg.matmul(x, p[0].T) + p[1])
        h = relu(mg.matmul(h, p[2].T) + p[3])
        return cross_entropy(mg.matmul(h, p[4].T) + p[5], labels)

    def cnn(p: Sequence[Any], x: Any, labels: Any) -> Any:
        h = pool(relu(conv(x, p[0], p[1])))
        h = pool(relu(conv(h, p[2], p[3])))
        return cross_entropy(mg.matmul(h.reshape(len(labels), -1), p[4].T) + p[5], labels)

    def transformer(p: Sequence[Any], x: Any, labels: Any) -> Any:
        h = x + attention(norm(x, p[0], p[1]), *p[2:6], w.HEADS)
        u = mg.matmul(norm(h, p[6], p[7]), p[8].T) + p[9]
        inner = u * np.float32(0.5) * (erf(u * np.float32(np.sqrt(0.5))) + np.float32(1))
        h = h + mg.matmul(inner, p[10].T) + p[11]
        return cross_entropy((mg.matmul(h, p[12].T) + p[13]).reshape(-1, w.VOCABULARY), labels)

    def chain(p: Sequence[Any], x: Any, _: Any) -> Any:
        h, count = x, len(p) // 3
        for block in range(w.BLOCKS):
            at = 3 * (block % count)
            h = mg.tanh(p[at] * h + p[at + 1]) * p[at + 2]
        return mg.mean(h**2)

    return {
        "W1": mlp_small,
        "W2": mlp,
        "W3": cnn,
        "W4": transformer,
        "W5": chain,
        "W5p": chain,
        "W6a": lambda p, x, _: mg.mean(conv(x[None], *p) ** 2),
        "W6b": lambda p, x, _: mg.mean(norm(x, *p) ** 2),
        "W6c": lambda p, x, _: mg.mean(attention(x, *p, w.SMALL_HEADS) ** 2),
    }


def mygrad_step(problem: Problem) -> Step:
    mg = harness.peer("mygrad")
    loss_of = losses()[problem.name]
    params = [mg.tensor(p.copy()) for p in problem.params]
    x, target, rate = problem.x, problem.target, np.float32(problem.rate)

    def step() -> float:
        mg.turn_memory_guarding_off()
        loss = loss_of(params, x, target)
        value = float(loss.data)
        loss.backward()
        for p in params:
            p.data -= rate * p.grad
        return value

    return step

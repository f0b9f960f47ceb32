"""NumPy by hand: what a careful user writes without a recorder. In float64 it is the reference of all losses.

In-place where that is safe, no cotangent that nobody needs, convolution as one matrix product over windows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import harness
import numpy as np
import workloads as w
from workloads import Array, Problem, Step

PACKAGES = ("numpy", "scipy")
Gradient = Callable[[Sequence[Array], Array, Any], tuple[float, Sequence[Array]]]
"""params, x, target -> loss, gradients"""


# -- pieces: each forward returns what its backward needs ------------------------------------------------
def cross_entropy(z: Array, labels: Any) -> tuple[float, Array]:
    """Loss and its gradient, which is written over the logits."""
    rows = np.arange(len(z))
    z -= z.max(axis=1, keepdims=True)
    picked = z[rows, labels]
    np.exp(z, out=z)
    total = z.sum(axis=1, keepdims=True)
    loss = float(np.mean(np.log(total[:, 0]) - picked))
    z /= total
    z[rows, labels] -= 1
    z /= len(z)
    return loss, z


def mean_of_squares(y: Array) -> tuple[float, Array]:
    flat = y.reshape(-1)
    return float(flat @ flat) / y.size, y * y.dtype.type(2 / y.size)


def windows(x: Array) -> Array:
    """(batch, channels, h, w) -> (batch, channels * 9, h * w): the 3x3 windows of the padded image."""
    b, c, h, width = x.shape
    padded = np.zeros((b, c, h + 2, width + 2), x.dtype)
    padded[:, :, 1:-1, 1:-1] = x
    seen = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return np.ascontiguousarray(seen.transpose(0, 1, 4, 5, 2, 3)).reshape(b, c * 9, h * width)


def conv(x: Array, kernel: Array, bias: Array) -> tuple[Array, Array]:
    seen = windows(x)
    y = kernel.reshape(len(kernel), -1) @ seen
    y += bias[:, None]
    return y.reshape(len(x), len(kernel), *x.shape[2:]), seen


def conv_back(g: Array, seen: Array, kernel: Array) -> tuple[Array, Array]:
    flat = g.reshape(len(g), len(kernel), -1)
    g_kernel = (flat @ seen.transpose(0, 2, 1)).sum(axis=0).reshape(kernel.shape)
    return g_kernel, flat.sum(axis=(0, 2))


def conv_back_input(g: Array, kernel: Array) -> Array:
    """The gradient of the input is a convolution with the flipped kernel."""
    flipped = np.ascontiguousarray(kernel[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)).reshape(
        kernel.shape[1], -1
    )
    return (flipped @ windows(g)).reshape(len(g), kernel.shape[1], *g.shape[2:])


def relu_pool(x: Array) -> tuple[Array, Array, Array]:
    """relu, then max pool 2; relu commutes with the maximum, so it runs on the smaller array."""
    b, c, h, width = x.shape
    cells = np.ascontiguousarray(x.reshape(b, c, h // 2, 2, width // 2, 2).transpose(0, 1, 2, 4, 3, 5))
    cells = cells.reshape(b, c, h // 2, width // 2, 4)
    first = cells.argmax(axis=-1)
    y = np.maximum(np.take_along_axis(cells, first[..., None], axis=-1)[..., 0], 0)
    return y, first, cells


def relu_pool_back(g: Array, y: Array, first: Array, cells: Array) -> Array:
    b, c, h, width = y.shape
    g = g * (y > 0)
    spread = np.zeros_like(cells)
    np.put_along_axis(spread, first[..., None], g[..., None], axis=-1)
    return spread.reshape(b, c, h, width, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(b, c, 2 * h, 2 * width)


def norm(x: Array, gamma: Array, beta: Array) -> tuple[Array, Array, Array]:
    z = x - x.mean(axis=-1, keepdims=True)
    inverse = 1 / np.sqrt((z * z).mean(axis=-1, keepdims=True) + x.dtype.type(w.EPS))
    z *= inverse
    y = z * gamma
    y += beta
    return y, z, inverse


def norm_back_params(g: Array, z: Array) -> tuple[Array, Array]:
    axes = tuple(range(g.ndim - 1))
    return (g * z).sum(axis=axes), g.sum(axis=axes)


def norm_back_input(g: Array, z: Array, inverse: Array, gamma: Array) -> Array:
    d = g * gamma
    centre, along = d.mean(axis=-1, keepdims=True), (d * z).mean(axis=-1, keepdims=True)
    d -= centre
    d -= z * along
    d *= inverse
    return d


def heads_first(x: Array, heads: int) -> Array:
    """(..., tokens, heads * d) -> (..., heads, tokens, d)"""
    return np.ascontiguousarray(np.swapaxes(x.reshape(*x.shape[:-1], heads, -1), -3, -2))


def heads_last(x: Array) -> Array:
    y = np.swapaxes(x, -3, -2)
    return y.reshape(*y.shape[:-2], -1)


def attention(
    x: Array, wq: Array, wk: Array, wv: Array, wo: Array, heads: int
) -> tuple[Array, tuple[Array, ...]]:
    q, k, v = (heads_first(x @ m, heads) for m in (wq, wk, wv))
    q *= x.dtype.type(1 / np.sqrt(q.shape[-1]))
    p = q @ np.swapaxes(k, -1, -2)
    p -= p.max(axis=-1, keepdims=True)
    np.exp(p, out=p)
    p /= p.sum(axis=-1, keepdims=True)
    mixed = heads_last(p @ v)
    return mixed @ wo, (q, k, v, p, mixed)


def attention_back(
    g: Array, x: Array, weights: Sequence[Array], kept: tuple[Array, ...], heads: int, with_input: bool
) -> tuple[list[Array], Array | None]:
    wq, wk, wv, wo = weights
    q, k, v, p, mixed = kept
    flat, rows = g.reshape(-1, g.shape[-1]), x.reshape(-1, x.shape[-1])
    g_wo = mixed.reshape(len(flat), -1).T @ flat
    g_mixed = heads_first(g @ wo.T, heads)
    g_v = heads_last(np.swapaxes(p, -1, -2) @ g_mixed)
    g_p = g_mixed @ np.swapaxes(v, -1, -2)
    g_p -= (g_p * p).sum(axis=-1, keepdims=True)
    g_p *= p
    g_q = heads_last(g_p @ k)
    g_q *= x.dtype.type(1 / np.sqrt(q.shape[-1]))
    g_k = heads_last(np.swapaxes(g_p, -1, -2) @ q)
    grads = [rows.T @ part.reshape(len(rows), -1) for part in (g_q, g_k, g_v)]
    g_x = g_q @ wq.T + g_k @ wk.T + g_v @ wv.T if with_input else None
    return [*grads, g_wo], g_x


def flat_linear_back(g: Array, x: Array) -> tuple[Array, Array]:
    rows = g.reshape(-1, g.shape[-1])
    return rows.T @ x.reshape(len(rows), -1), rows.sum(axis=0)


# -- workloads ---------------------------------------------------------------------------------------------
def mlp_small(p: Sequence[Array], x: Array, target: Any) -> tuple[float, Sequence[Array]]:
    w1, b1, w2, b2, w3, b3 = p
    h1 = np.tanh(w1 @ x + b1)
    h2 = np.tanh(w2 @ h1 + b2)
    d = w3 @ h2
    d += b3
    d -= target
    loss = float(d @ d) / d.size
    d *= x.dtype.type(2 / d.size)
    d2 = (d @ w3) * (1 - h2 * h2)
    d1 = (d2 @ w2) * (1 - h1 * h1)
    return loss, (d1[:, None] * x, d1, d2[:, None] * h1, d2, d[:, None] * h2, d)


def mlp(p: Sequence[Array], x: Array, labels: Any) -> tuple[float, Sequence[Array]]:
    w1, b1, w2, b2, w3, b3 = p
    h1 = x @ w1.T
    h1 += b1
    np.maximum(h1, 0, out=h1)
    h2 = h1 @ w2.T
    h2 += b2
    np.maximum(h2, 0, out=h2)
    z = h2 @ w3.T
    z += b3
    loss, g3 = cross_entropy(z, labels)
    g2 = g3 @ w3
    g2 *= h2 > 0
    g1 = g2 @ w2
    g1 *= h1 > 0
    return loss, (g1.T @ x, g1.sum(0), g2.T @ h1, g2.sum(0), g3.T @ h2, g3.sum(0))


def cnn(p: Sequence[Array], x: Array, labels: Any) -> tuple[float, Sequence[Array]]:
    k1, c1, k2, c2, wf, bf = p
    y1, seen1 = conv(x, k1, c1)
    h1, *kept1 = relu_pool(y1)
    y2, seen2 = conv(h1, k2, c2)
    h2, *kept2 = relu_pool(y2)
    features = h2.reshape(len(x), -1)
    loss, g = cross_entropy(features @ wf.T + bf, labels)
    g_wf, g_bf = g.T @ features, g.sum(axis=0)
    g2 = relu_pool_back((g @ wf).reshape(h2.shape), h2, *kept2)
    g_k2, g_c2 = conv_back(g2, seen2, k2)
    g1 = relu_pool_back(conv_back_input(g2, k2), h1, *kept1)
    g_k1, g_c1 = conv_back(g1, seen1, k1)
    return loss, (g_k1, g_c1, g_k2, g_c2, g_wf, g_bf)


def transformer(p: Sequence[Array], x: Array, labels: Any) -> tuple[float, Sequence[Array]]:
    erf = harness.peer("scipy.special").erf
    n1, z1, _ = norm(x, p[0], p[1])
    a, kept = attention(n1, *p[2:6], w.HEADS)
    a += x
    n2, z2, i2 = norm(a, p[6], p[7])
    u = n2 @ p[8].T
    u += p[9]
    half = x.dtype.type(0.5)
    cdf = erf(u * x.dtype.type(np.sqrt(0.5)))
    cdf += 1
    cdf *= half
    inner = u * cdf
    h = inner @ p[10].T
    h += p[11]
    h += a
    logits = h @ p[12].T
    logits += p[13]
    loss, g = cross_entropy(logits.reshape(-1, w.VOCABULARY), labels)
    g_head = flat_linear_back(g, h)
    g_h = (g @ p[12]).reshape(h.shape)
    g_down = flat_linear_back(g_h, inner)
    density = np.exp(-half * u * u)
    density *= u
    density *= x.dtype.type(1 / np.sqrt(2 * np.pi))
    density += cdf
    density *= g_h @ p[10]
    g_up = flat_linear_back(density, n2)
    g_n2 = density @ p[8]
    g_norm2 = norm_back_params(g_n2, z2)
    g_a = norm_back_input(g_n2, z2, i2, p[6])
    g_a += g_h
    g_attention, g_n1 = attention_back(g_a, n1, p[2:6], kept, w.HEADS, with_input=True)
    assert g_n1 is not None
    g_norm1 = norm_back_params(g_n1, z1)
    return loss, (*g_norm1, *g_attention, *g_norm2, *g_up, *g_down, *g_head)


def chain(p: Sequence[Array], x: Array, _: Any) -> tuple[float, Sequence[Array]]:
    h, inputs, activations, count = x, [], [], len(p) // 3
    for block in range(w.BLOCKS):
        at = 3 * (block % count)
        t = p[at] * h
        t += p[at + 1]
        np.tanh(t, out=t)
        inputs.append(h)
        activations.append(t)
        h = t * p[at + 2]
    loss, d = mean_of_squares(h)
    grads: list[Any] = [None] * len(p)
    for block in range(w.BLOCKS - 1, -1, -1):
        at = 3 * (block % count)
        t = activations[block]
        g_c = d * t
        d *= p[at + 2]
        t *= t
        np.subtract(1, t, out=t)
        t *= d
        parts = (t * inputs[block], t, g_c)
        if grads[at] is None:
            grads[at : at + 3] = parts
        else:
            for k, part in enumerate(parts):
                grads[at + k] += part
        d = t * p[at]
    return loss, grads


def one_convolution(p: Sequence[Array], x: Array, _: Any) -> tuple[float, Sequence[Array]]:
    y, seen = conv(x[None], *p)
    loss, g = mean_of_squares(y)
    return loss, conv_back(g, seen, p[0])


def one_norm(p: Sequence[Array], x: Array, _: Any) -> tuple[float, Sequence[Array]]:
    y, z, _inverse = norm(x, *p)
    loss, g = mean_of_squares(y)
    return loss, norm_back_params(g, z)


def one_attention(p: Sequence[Array], x: Array, _: Any) -> tuple[float, Sequence[Array]]:
    wq, wk, wv, wo = p
    y, kept = attention(x, wq, wk, wv, wo, w.SMALL_HEADS)
    loss, g = mean_of_squares(y)
    return loss, attention_back(g, x, p, kept, w.SMALL_HEADS, with_input=False)[0]


GRADIENTS: dict[str, Gradient] = {
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


def numpy_step(problem: Problem) -> Step:
    params = [p.copy() for p in problem.params]
    x, target, gradient = problem.x, problem.target, GRADIENTS[problem.name]
    rate = x.dtype.type(problem.rate)

    def step() -> float:
        loss, grads = gradient(params, x, target)
        for p, g in zip(params, grads, strict=True):
            p -= rate * g
        return loss

    return step

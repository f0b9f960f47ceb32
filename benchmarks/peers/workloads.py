"""The workloads that every engine runs: shapes, data, starting parameters, learning rates.

Parameters are held as prooftape and PyTorch hold them: linear weights (out, in), convolution weights
(out, in, height, width), attention weights (in, out). An engine that likes another layout converts before the
clock starts. Every workload ends in a scalar loss; a step is forward, backward, plain SGD on all parameters,
and the loss as a Python float.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
Labels = npt.NDArray[np.int64]
Step = Callable[[], float]
"""One training step on state the engine keeps; returns the loss before the update."""

BLOCKS, CHAIN_WIDTH = 250, 64
"""W5: 250 blocks of mul, add, tanh, mul: 1,000 nodes before the loss."""
IMAGE, CHANNELS, KERNEL = 28, (1, 16, 32), 3
WIDTH, HEADS, TOKENS, BATCH, VOCABULARY = 256, 4, 128, 4, 256
EPS = 1e-5
SMALL_TOKENS, SMALL_WIDTH, SMALL_HEADS = 32, 64, 4
"""W6b and W6c."""


@dataclass(frozen=True)
class Problem:
    """One batch and one starting point, the same for every engine. Nobody may write into these arrays."""

    name: str
    rate: float
    params: tuple[Array, ...]
    x: Array
    target: Array | Labels | None = None
    terms: int = 1
    """How many numbers the loss adds up, where it is a mean of squares."""

    def astype(self, dtype: npt.DTypeLike) -> Problem:
        """The same numbers in another float type; labels stay as they are."""
        target = self.target
        if target is not None and target.dtype.kind == "f":
            target = target.astype(dtype)
        return replace(
            self, params=tuple(p.astype(dtype) for p in self.params), x=self.x.astype(dtype), target=target
        )

    def shaken(self, draw: np.random.Generator) -> Problem:
        """Every parameter and input moved to a neighbouring float32, up or down: all roundings fall anew."""

        def shake(a: Array) -> Array:
            return np.nextafter(a, np.where(draw.random(a.shape) < 0.5, -np.inf, np.inf).astype(a.dtype))

        return replace(self, params=tuple(shake(p) for p in self.params), x=shake(self.x))


def _uniform(draw: np.random.Generator, *shape: int) -> Array:
    """Fan-in scaling as in PyTorch's linear and convolution layers."""
    bound = 1 / np.sqrt(np.prod(shape[1:]))
    return draw.uniform(-bound, bound, shape).astype(np.float32)


def _normal(draw: np.random.Generator, *shape: int) -> Array:
    return draw.standard_normal(shape, dtype=np.float32)


def _zeros(n: int) -> Array:
    return np.zeros(n, np.float32)


def _ones(n: int) -> Array:
    return np.ones(n, np.float32)


def _layers(draw: np.random.Generator, *sizes: int) -> tuple[Array, ...]:
    return tuple(array for i, o in pairwise(sizes) for array in (_uniform(draw, o, i), _zeros(o)))


def mlp_small(draw: np.random.Generator) -> Problem:
    """4-8-8-1 with tanh and mean squared error, one sample without a batch axis."""
    return Problem("W1", 0.1, _layers(draw, 4, 8, 8, 1), _normal(draw, 4), _normal(draw, 1))


def mlp(draw: np.random.Generator) -> Problem:
    """784-256-128-10 with relu and softmax cross-entropy, batch 64."""
    x, labels = draw.random((64, 784), dtype=np.float32), draw.integers(0, 10, 64)
    return Problem("W2", 0.1, _layers(draw, 784, 256, 128, 10), x, labels)


def cnn(draw: np.random.Generator) -> Problem:
    """1x28x28, batch 32: twice (conv 3x3 with padding 1, relu, max pool 2), linear to 10 classes."""
    first, second = (_uniform(draw, o, i, KERNEL, KERNEL) for i, o in pairwise(CHANNELS))
    features = CHANNELS[2] * (IMAGE // 4) ** 2
    params = (first, _zeros(CHANNELS[1]), second, _zeros(CHANNELS[2]), *_layers(draw, features, 10))
    x, labels = draw.random((32, 1, IMAGE, IMAGE), dtype=np.float32), draw.integers(0, 10, 32)
    return Problem("W3", 0.05, params, x, labels)


def transformer(draw: np.random.Generator) -> Problem:
    """x + attention(norm(x)); x + MLP(norm(x)) with exact gelu, four times as wide; 256 classes."""
    attention = tuple(_uniform(draw, WIDTH, WIDTH) for _ in range(4))
    up, down = _layers(draw, WIDTH, 4 * WIDTH), _layers(draw, 4 * WIDTH, WIDTH)
    head = _layers(draw, WIDTH, VOCABULARY)
    params = (_ones(WIDTH), _zeros(WIDTH), *attention, _ones(WIDTH), _zeros(WIDTH), *up, *down, *head)
    labels = draw.integers(0, VOCABULARY, BATCH * TOKENS)
    return Problem("W4", 0.1, params, _normal(draw, BATCH, TOKENS, WIDTH), labels)


def chain(draw: np.random.Generator, name: str = "W5", owned: bool = False) -> Problem:
    """h = tanh(a * h + b) * c, 250 times, on a vector of 64; three parameters in all, or 750."""
    params: list[Array] = []
    for _ in range(BLOCKS if owned else 1):
        params.append(draw.uniform(0.8, 1.2, CHAIN_WIDTH).astype(np.float32))
        params.append(np.float32(0.1) * _normal(draw, CHAIN_WIDTH))
        params.append(draw.uniform(0.9, 1.1, CHAIN_WIDTH).astype(np.float32))
    return Problem(name, 0.001, tuple(params), _normal(draw, CHAIN_WIDTH))


def one_convolution(draw: np.random.Generator) -> Problem:
    """conv 3x3 with padding 1, 3 to 16 channels, on one image 32x32; mean of squares."""
    return Problem(
        "W6a",
        0.001,
        (_uniform(draw, 16, 3, 3, 3), _normal(draw, 16)),
        _normal(draw, 3, 32, 32),
        terms=16 * 32 * 32,
    )


def one_norm(draw: np.random.Generator) -> Problem:
    """Layer norm of (32, 64); mean of squares."""
    params = (_ones(SMALL_WIDTH), np.float32(0.1) * _normal(draw, SMALL_WIDTH))
    return Problem(
        "W6b", 0.001, params, _normal(draw, SMALL_TOKENS, SMALL_WIDTH), terms=SMALL_TOKENS * SMALL_WIDTH
    )


def one_attention(draw: np.random.Generator) -> Problem:
    """Self-attention of (32, 64) with 4 heads; mean of squares."""
    params = tuple(_uniform(draw, SMALL_WIDTH, SMALL_WIDTH) * np.float32(np.sqrt(3)) for _ in range(4))
    return Problem(
        "W6c", 0.001, params, _normal(draw, SMALL_TOKENS, SMALL_WIDTH), terms=SMALL_TOKENS * SMALL_WIDTH
    )


WORKLOADS: dict[str, Callable[[np.random.Generator], Problem]] = {
    "W1": mlp_small,
    "W2": mlp,
    "W3": cnn,
    "W4": transformer,
    "W5": chain,
    "W5p": lambda draw: chain(draw, "W5p", owned=True),
    "W6a": one_convolution,
    "W6b": one_norm,
    "W6c": one_attention,
}
TITLES = {
    "W1": "MLP 4-8-8-1, one sample",
    "W2": "MLP 784-256-128-10, batch 64",
    "W3": "CNN on 1x28x28, batch 32",
    "W4": "transformer block, width 256, 4 heads, 128 tokens, batch 4",
    "W5": "chain of 1,000 nodes of size 64, 3 parameters",
    "W5p": "the same chain with 750 parameters",
    "W6a": "convolution on one image",
    "W6b": "layer norm (32, 64)",
    "W6c": "attention (32, 64)",
}


def problem(name: str) -> Problem:
    """The workload's data: drawn from a fixed seed, then locked against writing."""
    made = WORKLOADS[name](np.random.default_rng(0))
    for array in (*made.params, made.x, *([] if made.target is None else [made.target])):
        array.setflags(write=False)
    return made

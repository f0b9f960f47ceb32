"""A float replay: a small network in the reference floats, to be computed again by Rocq's primitive floats.

The reference floats (`prooftape.testing.reference`) sum from left to right, as the definitions do: all bits
must agree. How far the fast NumPy kernels are from them is measured in units in the last place.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from crosseval import graphs, values
from prooftape.arrays.structure import Arr
from prooftape.handle_methods import TensorRef
from prooftape.param import Param
from prooftape.scalars import Scalar
from prooftape.session import Session
from prooftape.testing.reference import reference_floats
from prooftape.types import Shape

LEARNING_RATE = Fraction(1, 8)


@dataclass(frozen=True, slots=True)
class Network:
    """Layer sizes, such as 4-8-2, and the number of examples."""

    sizes: tuple[int, ...] = (4, 8, 2)
    examples: int = 4

    def __str__(self) -> str:
        return f"network {'-'.join(map(str, self.sizes))} on {self.examples} examples"


def shapes(network: Network) -> list[Shape]:
    """Of the parameters, then of the examples and the targets."""
    layers = zip(network.sizes, network.sizes[1:], strict=False)
    parameters: list[Shape] = [s for a, b in layers for s in ((b, a), (b,))]
    return [*parameters, (network.examples, network.sizes[0]), (network.examples, network.sizes[-1])]


def record(network: Network, scalar: Scalar | str, seed: int) -> tuple[Session, list[Param], TensorRef]:
    """Linear layers with relu between them and a mean squared error, on random numbers of 53 bits."""
    rng = random.Random(seed)
    s = Session(scalar)
    *parameters, x, y = (_normal(rng, shape) for shape in shapes(network))
    params = [s.param(p, name=f"p{i}") for i, p in enumerate(parameters)]
    used = [s.use(p) for p in params]
    h, target = s.input(x), s.input(y)
    for i in range(0, len(used), 2):
        h = s.linear(used[i], used[i + 1], h if i == 0 else s.relu(h))
    return s, params, s.mse_loss(h, target)


def _normal(rng: random.Random, shape: Shape) -> Arr:
    return np.array([rng.gauss(0, 1) for _ in range(math.prod(shape))]).reshape(shape)


def replay(network: Network, seed: int = 0) -> graphs.Run:
    """Values, tangents and all gradients of the network in the reference floats."""
    s, _, loss = record(network, reference_floats(), seed)
    xp, rng = s.scalar.xp, random.Random(seed + 1)
    tangents = [xp.convert(_normal(rng, leaf.type.shape)) for leaf in s.graph.leaves]  # type: ignore[attr-defined]
    return graphs.run(s, tangents, [xp.full((), 1) if i == loss.id else None for i in range(len(s.graph))])


def step(network: Network, seed: int = 0) -> graphs.Run:
    """p - lr * g of every parameter as a graph over p and g; `sgd_step_all` must store just that."""
    s, params, loss = record(network, reference_floats(), seed)
    before = [p.value for p in params]
    grads = s.backward_scalar_dense_all(loss)
    gradients = [grads.stored(i) for i in range(len(params))]
    t = Session(reference_floats())
    leaves = [(t.input(p), t.input(g)) for p, g in zip(before, gradients, strict=True)]
    for p, g in leaves:
        t.sub(p, t.scale(g, LEARNING_RATE))
    done = graphs.run(t, [None] * len(t.graph.leaves), [None] * len(t.graph))
    s.sgd_step_all(LEARNING_RATE, grads)
    wanted = done.values[len(t.graph.leaves) + 1 :: 2]
    if [p.stored.tolist() for p in params] != [w.tolist() for w in wanted]:
        raise AssertionError("sgd_step_all does not store p - lr * g")
    return done


def traces(seed: int = 0) -> list[graphs.Trace]:
    """Two networks, and a step of gradient descent of the first, as Rocq terms over primitive floats."""
    small, deep = Network(), Network((3, 5, 4, 1), 8)
    runs = [
        (str(small), replay(small, seed)),
        (str(deep), replay(deep, seed)),
        (f"one step of {small}", step(small, seed)),
    ]
    return [
        graphs.Trace(what, frozenset(n.call.op.name for n in r.graph.nodes), graphs.term(r, values.binary64))
        for what, r in runs
    ]


def units_apart(network: Network, seed: int = 0) -> float:
    """How far NumPy's kernels are from the reference floats, over all gradients: the largest error in units
    in the last place of the gradient's largest entry."""
    slow = replay(network, seed)
    s, params, loss = record(network, "float64", seed)
    grads = s.backward_scalar_dense_all(loss)
    worst = 0.0
    for i in range(len(params)):
        ours = slow.cotangents[i]
        assert ours is not None
        a, b = ours.astype(np.float64), np.asarray(grads.stored(i))
        worst = max(worst, float(np.max(np.abs(a - b)) / np.spacing(np.max(np.abs(a)))))
    return worst

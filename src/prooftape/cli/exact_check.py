"""The demo's net on a reduced copy, in exact rationals: derivatives are equal, not close.

Three images shrunk to 4x4, one convolution with relu and max-pooling, a linear layer, mean squared error:
everything in it has exact values. Along a line the loss is piecewise a polynomial of degree 4 (two layers of
weights, squared), so the five-point central difference is the derivative itself as long as no relu or pool
switches within its span of 2^-58. The weights are random multiples of 1/1000003, so that two different window
sums are practically never so close.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prooftape.cli.digits import Digits, halve
from prooftape.grads import Grads
from prooftape.handle_methods import TensorRef
from prooftape.session import Session

Exact = NDArray[Any]
STEP = Fraction(1, 2**60)
PRIME = 1000003
SHAPES = {"w1": (2, 1, 3, 3), "b1": (2,), "w2": (3, 8), "b2": (3,)}


@dataclass(frozen=True, slots=True)
class ReducedNet:
    """The reduced copy, recorded once in a rational session with all its gradients."""

    session: Session
    params: tuple[TensorRef, ...]
    loss: TensorRef
    grads: Grads
    images: Exact
    targets: Exact


def reduced(data: Digits, rng: np.random.Generator) -> ReducedNet:
    """Record it: images of a 0, a 1 and a 2, random weights."""
    chosen = [int(np.flatnonzero(data.train_labels == digit)[0]) for digit in range(3)]
    images = _fractions(np.round(data.train[chosen] * 16), 16)
    # mean of each 2x2 cells: 8x8 -> 4x4
    images = images.reshape(3, 1, 4, 2, 4, 2).sum(axis=(3, 5)) / 4
    targets = _fractions(np.eye(3), 1)
    values = [_fractions(rng.integers(-PRIME, PRIME, shape), PRIME) for shape in SHAPES.values()]
    s, params, loss = build(values, images, targets)
    return ReducedNet(s, params, loss, s.backward_scalar_dense_all(loss), images, targets)


def build(
    values: Sequence[Exact], images: Exact, targets: Exact
) -> tuple[Session, tuple[TensorRef, ...], TensorRef]:
    """The recorded loss for these weights."""
    s = Session("rational")
    params = tuple([s.use(s.param(v, name=name)) for name, v in zip(SHAPES, values, strict=True)])
    w1, b1, w2, b2 = params
    x, y = s.input(images, name="images"), s.input(targets, name="targets")
    pooled = halve(s, s.conv2d(w1, b1, x, padding=1))
    return s, params, s.mse_loss(s.linear(w2, b2, s.reshape(pooled, (3, -1))), y)


def _fractions(values: Any, denominator: int) -> Exact:
    out = np.empty(np.size(values), dtype=object)
    out[:] = [Fraction(int(v), denominator) for v in np.ravel(values)]
    return out.reshape(np.shape(values))


@dataclass(frozen=True, slots=True)
class ExactAgreement:
    """What was compared, how many pairs, how many were equal, and one of the numbers."""

    what: str
    pairs: int
    equal: int
    example: Fraction

    @property
    def holds(self) -> bool:
        """All of them."""
        return self.pairs > 0 and self.equal == self.pairs


def check(net: ReducedNet, rng: np.random.Generator, random: int = 10) -> Iterator[ExactAgreement]:
    """<grad, d> = jvp along every basis direction and random ones; there also the difference quotient."""
    basis = list(_basis())
    yield _compare("gradient entry i = jvp along e_i", [(_reverse(net, d), _jvp(net, d)) for d in basis])
    directions = [
        [_fractions(rng.integers(-9, 10, shape), 7) for shape in SHAPES.values()] for _ in range(random)
    ]
    forward = [_jvp(net, d) for d in directions]
    yield _compare(
        "<gradient, d> = jvp along d",
        [(_reverse(net, d), f) for d, f in zip(directions, forward, strict=True)],
    )
    yield _compare(
        "5-point difference = jvp along d",
        [(difference(net, d), f) for d, f in zip(directions, forward, strict=True)],
    )


def _compare(what: str, pairs: list[tuple[Fraction, Fraction]]) -> ExactAgreement:
    example = max((b for _, b in pairs), key=abs)
    return ExactAgreement(what, len(pairs), sum(a == b for a, b in pairs), example)


def _basis() -> Iterator[list[Exact]]:
    for name, shape in SHAPES.items():
        for at in np.ndindex(shape):
            direction = [_fractions(np.zeros(other), 1) for other in SHAPES.values()]
            direction[list(SHAPES).index(name)][at] = Fraction(1)
            yield direction


def _jvp(net: ReducedNet, d: Sequence[Exact]) -> Fraction:
    found = net.session.jvp_dense_all(net.loss, [*d, None, None])
    return Fraction(found.item())


def _reverse(net: ReducedNet, d: Sequence[Exact]) -> Fraction:
    return sum((np.sum(net.grads[p] * t) for p, t in zip(net.params, d, strict=True)), Fraction(0))


def difference(net: ReducedNet, d: Sequence[Exact]) -> Fraction:
    """(f(-2h) - 8 f(-h) + 8 f(h) - f(2h)) / 12h, exact for polynomials of degree up to 4."""
    start = [net.session.get_value(p) for p in net.params]

    def f(k: int) -> Fraction:
        moved = [v + t * (k * STEP) for v, t in zip(start, d, strict=True)]
        s, _, loss = build(moved, net.images, net.targets)
        return Fraction(s.get_value(loss).item())

    return (f(-2) - 8 * f(-1) + 8 * f(1) - f(2)) / (12 * STEP)


def float_errors(net: ReducedNet) -> Iterator[tuple[str, float]]:
    """Per float scalar: the largest error of a gradient entry, relative to the largest exact entry."""
    exact = np.concatenate([net.grads[p].ravel() for p in net.params])
    largest = max(abs(v) for v in exact)
    for scalar in ("float64", "float32"):
        s = net.session.replay(scalar)
        grads = s.backward_scalar_dense_all(s.ref(net.loss))
        found = np.concatenate([grads[s.ref(p)].ravel() for p in net.params])
        yield (
            scalar,
            float(max(abs(Fraction(float(a)) - b) for a, b in zip(found, exact, strict=True)) / largest),
        )

"""The first step's gradient against forward mode, with the rounding error that is allowed between them.

For a direction d, reverse mode gives <grad, d> and forward mode the tangent of the loss: two evaluations of
one sum, over all paths from a weight to the loss, of products of numbers that both read from the same stored
values (weights, activations, the loss's own local derivatives). Only the order differs. A product that takes
part in k rounded additions and multiplications comes out within a factor 1 +- gamma_k, underflow aside, where
gamma_k = k u / (1 - k u) (N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., lemma 3.1), so

    |<grad, d> - jvp|  <=  (gamma_reverse + gamma_forward) * S,     S = sum over paths of |product|.

S is computed, not estimated: the net's linear maps with absolute values in place of signed ones. The counts
are those of the longest sums below. The bound is a worst case; rounding errors mostly cancel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prooftape.cli.digits import CLASSES, Labels, Network, Recorded, halve, record
from prooftape.grads import Grads
from prooftape.handle_methods import TensorRef
from prooftape.session import Session

Floats = NDArray[np.float64]
Direction = Sequence[Floats]
UNIT_ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}


@dataclass(frozen=True, slots=True)
class FirstStep:
    """The first training step as it was recorded, before any weight changed."""

    session: Session
    recorded: Recorded
    loss: TensorRef
    grads: Grads
    labels: Labels


def first_step(net: Network, images: NDArray[np.float32], labels: Labels) -> FirstStep:
    """Record one training step in a session of its own."""
    s = Session()
    recorded = record(s, net, images)
    loss = s.cross_entropy(recorded.scores, s.input_nat_vec(labels))
    return FirstStep(s, recorded, loss, s.backward_scalar_dense_all(loss), labels)


@dataclass(frozen=True, slots=True)
class Agreement:
    """One direction: both derivatives, and the largest difference that rounding explains."""

    direction: str
    scalar: str
    reverse: float
    forward: float
    allowed: float

    @property
    def difference(self) -> float:
        """Absolute difference of the two."""
        return abs(self.reverse - self.forward)

    @property
    def relative(self) -> float:
        """Difference relative to the larger of the two."""
        size = max(abs(self.reverse), abs(self.forward))
        return self.difference / size if size else self.difference

    @property
    def allowed_relative(self) -> float:
        """The bound, relative in the same way."""
        size = max(abs(self.reverse), abs(self.forward))
        return self.allowed / size if size else self.allowed

    @property
    def holds(self) -> bool:
        """Whether rounding explains the difference (false for nan)."""
        return self.difference <= self.allowed


def check(first: FirstStep, rng: np.random.Generator, random: int = 3) -> Iterator[Agreement]:
    """Random and basis directions, one of these per parameter, in the step's float32 and in float64."""
    shapes = [p.shape for p in first.recorded.params]
    directions = [(f"random {i + 1}", _random(shapes, rng)) for i in range(random)]
    for k, ref in enumerate(first.recorded.params):
        # where the gradient is largest: a wrong rule has nowhere to hide there
        at = np.unravel_index(int(np.argmax(abs(first.grads[ref]))), ref.shape)
        name = first.session.graph.leaves[ref.id].name
        directions.append((f"{name}[{','.join(map(str, at))}]", _basis(shapes, k, at)))
    for scalar in ("float32", "float64"):
        s = first.session if scalar == "float32" else first.session.replay(scalar)
        loss = s.ref(first.loss)
        grads = first.grads if scalar == "float32" else s.backward_scalar_dense_all(loss)
        for name, direction in directions:
            yield _agreement(name, scalar, s, loss, grads, first, direction)


def _random(shapes: Sequence[tuple[int, ...]], rng: np.random.Generator) -> Direction:
    """Normal entries that float32 holds exactly, so that both scalars move the same way."""
    return [rng.standard_normal(shape).astype(np.float32).astype(np.float64) for shape in shapes]


def _basis(shapes: Sequence[tuple[int, ...]], k: int, at: tuple[np.intp, ...]) -> Direction:
    direction = [np.zeros(shape) for shape in shapes]
    direction[k][at] = 1.0
    return direction


def _agreement(
    name: str, scalar: str, s: Session, loss: TensorRef, grads: Grads, first: FirstStep, d: Direction
) -> Agreement:
    params = first.recorded.params
    tangents: list[Floats | None] = [None] * len(s.graph.leaves)
    products = []
    for ref, t in zip(params, d, strict=True):
        tangents[ref.id] = t
        products.append((np.asarray(grads[s.ref(ref)], dtype=np.float64) * t).ravel())
    forward = float(s.jvp_dense_all(loss, tangents))
    reverse = math.fsum(np.concatenate(products))  # rounded once per product, once for the sum
    u = UNIT_ROUNDOFF[scalar]
    gammas = sum(k * u / (1 - k * u) for k in roundings(first))
    return Agreement(name, scalar, reverse, forward, gammas * path_sum(first, s, d))


def roundings(first: FirstStep) -> tuple[int, int]:
    """The most rounded operations one product meets, in reverse and in forward mode.

    A sum of n terms costs at most n - 1 in any order, a product 1, adding a bias or a second term 1.
    """
    net = first.recorded
    rows = net.images.shape[0]
    positions = rows * math.prod(net.before1.shape[2:])  # the longest sum: over all cells of all images
    taps2, taps1 = (math.prod(net.params[i].shape[1:]) for i in (2, 0))
    features, channels2 = net.params[4].shape[1], net.params[2].shape[0]
    loss_forward = 1 + (CLASSES - 1) + 2 + (rows - 1) + 1
    forward = (taps1 + 2) + (taps2 + 2) + (features + 2) + loss_forward
    # the loss (1/n, valid, 1/sum, difference), features from scores, columns from channels, overlapping
    # windows, the sum over cells, the inner product with the direction
    reverse = 4 + CLASSES + channels2 + 9 + positions + 2
    return reverse, forward


def path_sum(first: FirstStep, s: Session, d: Direction) -> float:
    """S of the module docstring, in float64 and rounded up: its own rounding is far below a thousandth."""
    net = first.recorded

    def value(ref: TensorRef) -> Floats:
        return np.asarray(s.get_value(s.ref(ref)), dtype=np.float64)

    def through(before: TensorRef, tangent: Floats) -> Floats:
        """relu and pooling select entries: their derivative at the stored values, applied to a tangent."""
        t = Session("float64")
        x = t.input(value(before))
        return t.jvp_leaf(halve(t, x), x, tangent)

    w2, w3 = (abs(value(net.params[i])) for i in (2, 4))
    dw1, db1, dw2, db2, dw3, db3 = (abs(t) for t in d)
    images, a1, a2 = (abs(value(ref)) for ref in (net.images, net.pooled1, net.pooled2))
    t1 = through(net.before1, _conv(dw1, db1, images))
    t2 = through(net.before2, _conv(dw2, db2, a1) + _conv(w2, np.zeros_like(db2), t1))
    rows = len(images)
    t3 = a2.reshape(rows, -1) @ dw3.T + db3 + t2.reshape(rows, -1) @ w3.T
    t = Session("float64")
    scores = t.input(value(net.scores), requires_grad=True)
    loss = t.cross_entropy(scores, t.input_nat_vec(first.labels))
    return 1.001 * float(np.sum(t3 * abs(t.backward_scalar_dense_all(loss)[scores])))


def _conv(w: Floats, b: Floats, x: Floats) -> Floats:
    return _evaluate(lambda s, *refs: s.conv2d(*refs, padding=1), w, b, x)


def _evaluate(build: Callable[..., TensorRef], *values: Floats) -> Floats:
    s = Session("float64")
    return s.get_value(build(s, *[s.input(v) for v in values]))

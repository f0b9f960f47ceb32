"""Do all engines compute the same? Losses of the first steps against a float64 run, within a derived bound.

An engine may differ from another in the order of its sums, in fused multiply-adds and in how exactly it
rounds exp, tanh, erf. What float32 rounding does to these losses is sampled, not guessed: the steps by
hand run in float32 and in float64 on the same data, after every parameter and input has been moved to a
neighbouring float32 number, so that each of eight runs rounds anew everywhere. Their median is taken: a
run in which rounding makes a max pool choose the other of two nearly tied cells, as one in eight does,
says nothing about the size of a rounding. `MARGIN` times the median is allowed, and at least 8 units in
the last place of the largest loss: an engine may round eight times as coarsely as NumPy does (functions
to 4 ulp, where half an ulp is the best there is). A loss that is the mean of n squares may be summed one
by one, where NumPy sums in pairs: n roundings of partial sums, as a random walk sqrt(n / 3) units of
2^-24 of the loss, of which 3.5 standard deviations, 2 sqrt(n), are allowed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from engine_numpy import numpy_step
from workloads import Problem, Step

STEPS, DRAWS, MARGIN = 20, 8, 8

Losses = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Reference:
    """Losses of the float64 run, and how far a float32 run may be from them."""

    losses: Losses
    tolerance: float

    def deviation(self, seen: Losses) -> float:
        """Largest distance over the steps; infinite where a loss is not a number."""
        distance = np.abs(seen - self.losses)
        return float("inf") if np.isnan(distance).any() else float(distance.max())


def losses(step: Step, steps: int = STEPS) -> Losses:
    return np.array([step() for _ in range(steps)])


def exact_losses(problem: Problem) -> Losses:
    return losses(numpy_step(problem.astype(np.float64)))


def reference(problem: Problem) -> Reference:
    exact = exact_losses(problem)
    if not exact[-1] < exact[0]:
        raise AssertionError(f"{problem.name}: the reference does not learn: {exact[0]} to {exact[-1]}")
    draw = np.random.default_rng(1)
    spreads = []
    for _ in range(DRAWS):
        shaken = problem.shaken(draw)
        spreads.append(float(np.abs(losses(numpy_step(shaken)) - exact_losses(shaken)).max()))
    spread = float(np.median(spreads))
    largest = np.float32(exact.max())
    one_by_one = 2 * math.sqrt(problem.terms) * 2.0**-24 * float(largest)
    return Reference(exact, max(MARGIN * spread, 8 * float(np.spacing(largest)), one_by_one))

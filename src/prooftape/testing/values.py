"""Random exact values for samples: small rationals, so that exact arithmetic stays small."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np

from prooftape.arrays.structure import Arr
from prooftape.op import Operand
from prooftape.types import Shape


def draw(rng: random.Random, operand: Operand) -> Arr:
    """Values for one operand: an object array of Fractions, or a boolean array for a mask."""
    n = int(np.prod(operand.shape, dtype=np.int64))
    if operand.kind == "mask":
        return np.array([rng.random() < 0.5 for _ in range(n)], dtype=np.bool_).reshape(operand.shape)
    makers = {
        "real": lambda: Fraction(rng.randint(-12, 12), 4),
        "positive": lambda: Fraction(rng.randint(1, 24), 4),
        "nonzero": lambda: Fraction(rng.choice([-1, 1]) * rng.randint(1, 12), 4),
        "open_unit": lambda: Fraction(rng.randint(1, 15), 16),
    }
    if operand.kind == "distinct":
        values = [Fraction(v, 8) for v in rng.sample(range(-4 * n - 4, 4 * n + 5), n)]
    else:
        values = [makers[operand.kind]() for _ in range(n)]
    return filled(values, operand.shape)


def filled(values: list[Fraction], shape: Shape) -> Arr:
    """An object array with these entries, row-major."""
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out.reshape(shape)


def draw_reals(rng: random.Random, shape: Shape) -> Arr:
    """Random rationals of any sign (tangents, cotangents)."""
    return draw(rng, Operand(shape))

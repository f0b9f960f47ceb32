"""Random exact values for samples: small rationals, so that exact arithmetic stays small."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from prooftape.arrays.structure import Arr
from prooftape.handle_methods import TensorRef
from prooftape.handles import NatRef
from prooftape.op import Op, Operand
from prooftape.session import Session
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


def record(
    s: Session, op: Op, operands: Sequence[TensorRef], attrs: Sequence[object], nats: Sequence[Sequence[int]]
) -> TensorRef:
    """Record an op that reads these naturals, stored after recording: an op may refuse some before."""
    refs = [s.input_nat(0) if len(v) == 1 else s.input_nat_vec([0] * len(v)) for v in nats]
    out = s._apply(op, operands, tuple(attrs), refs)
    for ref, values in zip(refs, nats, strict=True):
        if isinstance(ref, NatRef):
            s.set_nat(ref, values[0])
        else:
            s.set_nat_vec(ref, values)
    return out


def draw_reals(rng: random.Random, shape: Shape) -> Arr:
    """Random rationals of any sign (tangents, cotangents)."""
    return draw(rng, Operand(shape))

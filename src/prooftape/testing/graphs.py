"""Random well-typed graphs that use any op: shared nodes, repeated operands, size-0 and size-1 dims, scalars.

A graph grows by picking an op and one of its samples and making operands of the sample's shapes out of
entries recorded before (reshaped, sliced, padded, made positive, …), so every op can meet every other.
Choices come from a `random.Random`-like source, so Hypothesis can drive and shrink them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction

from prooftape.handle_methods import TensorRef
from prooftape.op import Op, Operand
from prooftape.ops import table
from prooftape.scalars import Scalar
from prooftape.session import Session
from prooftape.testing.values import draw, record
from prooftape.types import REAL, Shape

LEAF_SHAPES: tuple[Shape, ...] = ((), (1,), (3,), (2, 3), (4,), (0,), (1, 2), (2, 1, 3), (2, 0))


def random_session(
    rng: random.Random, *, n_nodes: int, scalar: str | Scalar = "float64", ops: Sequence[Op] | None = None
) -> tuple[Session, TensorRef]:
    """A session with a random graph of at least `n_nodes` op picks, and a real output."""
    choices = [op for op in (ops or list(table().values())) if op.public]
    s = Session(scalar, domain="ieee")
    shapes = [rng.choice(LEAF_SHAPES) for _ in range(rng.randint(1, 4))]
    pool = [s.input(draw(rng, Operand(shape)), requires_grad=rng.random() < 0.8) for shape in shapes]
    nats = [s.input_nat_vec([rng.randint(0, 4) for _ in range(k)]) for k in (1, 2, 3, 4)]
    singles = [s.input_nat(rng.randint(0, 4)) for _ in range(2)]
    for _ in range(n_nodes):
        op = rng.choice(choices)
        sample = rng.choice(list(op.samples()))
        operands = [fit(s, rng, rng.choice(pool), operand) for operand in sample.operands]
        if len(operands) == 2 and sample.operands[0] == sample.operands[1] and rng.random() < 0.3:
            operands[1] = operands[0]  # a repeated operand
        given = {a.name: a.default for a in op.attrs} | sample.attrs
        if op.record_check is not None:
            pool.append(record(s, op, operands, tuple(given.values()), sample.nats))
            continue
        refs = [
            rng.choice(singles) if len(v) == 1 else nats[len(v) - 1] if len(v) <= 4 else s.input_nat_vec(v)
            for v in sample.nats
        ]
        out = s._apply(op, operands, tuple(given.values()), refs)
        if out.dtype == REAL:
            pool.append(out)
    return s, rng.choice(pool[-3:])


def fit(s: Session, rng: random.Random, x: TensorRef, operand: Operand) -> TensorRef:
    """A value of the operand's shape and kind, made from x."""
    size = 1
    for d in operand.shape:
        size *= d
    if x.shape != operand.shape:
        x = s.reshape(x, (x.size,))
        if x.size > size:
            x = s.slice(x, 0, rng.randint(0, x.size - size), size)
        elif x.size < size:
            before = rng.randint(0, size - x.size)
            x = s.pad(x, ((before, size - x.size - before),), Fraction(rng.randint(-3, 3), 2))
        x = s.reshape(x, operand.shape)
    if operand.kind == "mask":
        return s.greater(x, s.full(operand.shape, Fraction(rng.randint(-2, 2), 2)))
    if operand.kind in ("positive", "nonzero"):
        return s.add(s.square(x), s.full(operand.shape, Fraction(1, 4)))
    if operand.kind == "open_unit":
        return s.reciprocal(s.add(s.square(x), s.full(operand.shape, Fraction(5, 4))))
    return x

"""Equal numbers written as int, float and Fraction: one call in a certificate, so one kernel, to the bit."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from prooftape.errors import RuleError
from prooftape.numbers import Number
from prooftape.op import Op
from prooftape.ops import table
from prooftape.scalars import scalar
from prooftape.testing.values import draw
from prooftape.types import BOOL, REAL, TensorType

OPS = [op for op in table().values() if any(a.kind == "number" for a in op.attrs)]


def spellings(value: Number) -> list[Number]:
    """The finite number in every way Python can write it exactly; -0.0 is another number."""
    exact = Fraction(value)
    found: list[Number] = [exact]
    if exact.denominator == 1:
        found.append(int(exact))
    if Fraction(float(exact)) == exact:
        found.append(float(exact))
    return found


def results(op: Op, floats: str, seed: int, change: dict[str, Number]) -> Iterator[list[bytes | None]]:
    """Value, cotangents and tangent of every sample, with these attributes in place of its own."""
    numbers = scalar(floats)
    xp = numbers.xp
    for sample in op.samples():
        rng = random.Random(seed)
        arrays = [draw(rng, o) for o in sample.operands]
        operands = [x if x.dtype.kind == "b" else numbers.to_array(x, "x") for x in arrays]
        types = tuple(TensorType.of(x.shape, BOOL if x.dtype.kind == "b" else REAL) for x in operands)
        given = {a.name: a.default for a in op.attrs} | sample.attrs | change
        call = op.bind(types, tuple(given.values()), tuple(map(len, sample.nats)))
        with np.errstate(all="ignore"):
            indices = [np.array(v, dtype=np.int64) for v in sample.nats]
            out = op.forward(xp, call, *operands, *indices)
            entries = [*operands, out]
            saved = [entries[p] for p in op.save_positions(len(operands))]
            real = [t.dtype == REAL for t in types]
            parts = op.vjp(xp, call, [*saved, *indices], out, real) if any(real) else []
            moved = op.jvp(xp, call, (*operands, *indices), out, operands) if all(real) and operands else None
        yield [None if x is None else np.asarray(x).tobytes() for x in (out, *parts, moved)]


def answers(op: Op, floats: str, change: dict[str, Number]) -> list[list[bytes | None]] | None:
    """The results; None where the op refuses the attribute."""
    try:
        return list(results(op, floats, 1, change))
    except RuleError:
        return None


@pytest.mark.parametrize("floats", ["float32", "float64", "float16"])
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_equal_numbers_give_equal_bits(op: Op, floats: str) -> None:
    compared = 0
    for name in (a.name for a in op.attrs if a.kind == "number"):
        for value in (1, 0, 2, 0.5, 0.1, Fraction(0.3), 3):
            first, *others = (answers(op, floats, {name: v}) for v in spellings(value))
            for other in others:
                assert other == first, f"{name} = {value}"
                compared += first is not None
    assert compared

"""One op at a time: what Python's forward, JVP and VJP give on samples, as cases for Rocq.

Rational cases run every op on the stand-ins of `prooftape.testing.mirror`. Polynomial cases run polynomial
ops on variables, so that agreement is agreement on all inputs of the shape.

An op that subtracts a maximum under an exponential is run on integers only: there the stand-ins give
exp(x - m) / exp(y - m) = exp(x) / exp(y).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from crosseval import polynomials, values
from crosseval.samples import FIRST_ROW, NOTHING, samples, shifts, unit
from prooftape.arrays.structure import Arr
from prooftape.certificates import terms
from prooftape.errors import ScalarError
from prooftape.numbers import Number
from prooftape.op import Call, Op, Operand, Sample
from prooftape.ops.random import draw as draw_stream
from prooftape.testing.mirror import MirrorArrays, mirror_rationals
from prooftape.testing.values import draw, filled
from prooftape.types import BOOL, REAL, TensorType

DRAWS = 2


class _Rationals(MirrorArrays):
    """An infinite bound of `clamp` is a number beyond all others here; nothing else may be infinite."""

    def _literal(self, value: Number) -> Any:
        if isinstance(value, float) and math.isinf(value):
            value = int(math.copysign(10**60, value))
        return super()._literal(value)


RATIONALS = _Rationals("rationals", mirror_rationals().xp.element)  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Case:
    """A Rocq term of type `case`, and in words what it is."""

    op: str
    what: str
    term: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """One use of an op, and everything Python computes for it."""

    call: Call
    nats: Sequence[Sequence[int]]
    operands: Sequence[Arr]
    tangents: Sequence[Arr | None]
    cotangent: Arr
    value: Arr
    moved: Arr | None
    parts: Sequence[Arr | None]


def rational_cases(op: Op, rng: random.Random) -> Iterator[Case]:
    """Every sample of the op on random rationals, `DRAWS` times, ties among the values included."""
    for sample in samples(op):
        for round in range(DRAWS):
            r = recorded(op, sample, RATIONALS, _drawer(op, sample, rng, round))
            yield Case(op.name, describe(sample), term(r, values.rational))


def polynomial_cases(op: Op) -> Iterator[Case]:
    """Every sample of a polynomial op on variables; nothing for an op that is not polynomial."""
    for sample in samples(op):
        counter = iter(range(10**6))

        def fresh(operand: Operand, counter: Iterator[int] = counter) -> Arr:
            n = int(np.prod(operand.shape, dtype=np.int64))
            return filled([polynomials.variable(next(counter)) for _ in range(n)], operand.shape)  # type: ignore[misc]

        if any(o.kind.startswith("mask") for o in sample.operands):
            continue
        try:
            r = recorded(op, sample, polynomials.vocabulary(), fresh)
        except (polynomials.NotPolynomial, ScalarError):
            continue  # an order, a division by a variable, a function: rationals have to do
        yield Case(op.name, describe(sample), term(r, polynomials.term))


def _drawer(op: Op, sample: Sample, rng: random.Random, round: int) -> Callable[[Operand], Arr]:
    """Values for operands, then tangents, then the cotangent; integers for an op that `shifts`."""
    position = iter(range(10**6))

    def of(operand: Operand) -> Arr:
        scale = unit(op, sample, next(position) % max(1, len(sample.operands) + 1))
        if operand.kind in (NOTHING, FIRST_ROW):
            mask = np.full(operand.shape, operand.kind == FIRST_ROW)
            mask[0] = False
            return mask
        n = int(np.prod(operand.shape, dtype=np.int64))
        if operand.kind != "mask" and shifts(op):
            return filled([scale * rng.randint(-2, 2) for _ in range(n)], operand.shape)
        if operand.kind == "real" and round:  # ties and zeros are common
            return filled([Fraction(rng.randint(-1, 1)) for _ in range(n)], operand.shape)
        return draw(rng, operand)

    return of


def recorded(op: Op, sample: Sample, xp: Any, drawn: Callable[[Operand], Arr]) -> Recorded:
    """Forward, JVP with all tangents present, and VJP with all cotangents wanted."""

    def real(operand: Operand) -> Arr:
        array = drawn(operand)
        return array if array.dtype.kind == "b" else xp.convert(array)

    operands = [real(o) for o in sample.operands]
    types = tuple(TensorType.of(x.shape, BOOL if x.dtype.kind == "b" else REAL) for x in operands)
    given = {a.name: a.default for a in op.attrs} | sample.attrs
    call = op.bind(types, tuple(given.values()), tuple(map(len, sample.nats)))
    indices = [np.array(v, dtype=np.int64) for v in sample.nats]
    value = op.forward(xp, call, *operands, *indices)
    tangents = [real(Operand(t.shape)) if t.dtype == REAL else None for t in types]
    ct = real(Operand(call.shape))
    moved = None
    if any(t is not None for t in tangents):
        moved = op.jvp(xp, call, (*operands, *indices), value, tangents)
    entries = [*operands, value]
    saved = [entries[p] for p in op.save_positions(len(operands))]
    parts = op.vjp(xp, call, [*saved, *indices], ct, [t.dtype == REAL for t in types])
    return Recorded(call, sample.nats, operands, tangents, ct, value, moved, parts)


def describe(sample: Sample) -> str:
    """One line: operand shapes (kinds other than `real` named), attributes, index vectors."""
    operands = (str(list(o.shape)) + ("" if o.kind == "real" else f" {o.kind}") for o in sample.operands)
    attrs = (f"{k} = {v.tolist() if isinstance(v, np.ndarray) else v}" for k, v in sample.attrs.items())
    return "; ".join([", ".join(operands) or "no operands", *attrs, *map(str, sample.nats)])


def term(r: Recorded, number: Callable[[Any], str]) -> str:
    """The use as a Rocq term of type `case`."""
    literals = terms.Literals()
    typed = terms.call(r.call, literals)
    draws = []
    if r.call.op.family == "random":
        key = r.call.int("key")
        draws.append((key, [int(u) for u in draw_stream(r.call.shape, key)]))
    return (
        f"one_case ({typed}) {values.naturals(r.nats)} {values.world(literals.all(), draws)} "
        f"{values.many(values.tensor(x, number) for x in r.operands)} "
        f"{values.many(values.optional(t, number) for t in r.tangents)} {values.tensor(r.cotangent, number)} "
        f"{values.tensor(r.value, number)} "
        f"({values.optional(r.moved, number)}) {values.many(values.optional(p, number) for p in r.parts)}"
    )

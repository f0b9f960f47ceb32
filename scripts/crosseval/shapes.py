"""Shape rules on both sides: Python's `bind` and Rocq's `infer` on a grid of types, attributes and index lengths.

The grid of an op: every combination of small shapes for one operand, every pair of smaller ones for two, and around
each of its samples every change of one dimension, one rank, one attribute or one length. Both must accept the same
uses and give the same type.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from prooftape.attributes import Attr, AttrValue
from prooftape.certificates import terms
from prooftape.errors import RuleError
from prooftape.literal import Literal
from prooftape.op import Op
from prooftape.types import BOOL, REAL, Shape, TensorType

LIMIT = 260
"""Uses per op; the grids of ops with many attributes are thinned to this, evenly and reproducibly."""

UNARY: list[Shape] = [s for r in range(4) for s in itertools.product((0, 1, 2, 3), repeat=r)]
PAIRED: list[Shape] = [s for r in range(3) for s in itertools.product((0, 1, 2), repeat=r)]
INTS = (-3, -2, -1, 0, 1, 2, 3)
TUPLES = (
    (),
    (0,),
    (1,),
    (2,),
    (-1,),
    (1, 2),
    (2, 1),
    (0, 0),
    (1, 1),
    (0, 2),
    (2, 3),
    (1, 0, 2),
    (2, 0, 1),
    (3, 2, 1),
)
NUMBERS: tuple[Any, ...] = (
    0,
    1,
    -1,
    2,
    Fraction(1, 2),
    Fraction(-3, 2),
    10**291,
    float("inf"),
    -float("inf"),
    float("nan"),
)
PAIRS = ((), ((0, 1),), ((1, 1), (0, 2)), ((-1, 0),), ((0, 0), (0, 0)), ((1, 0), (0, 1), (2, 2)))
POOLS: dict[str, Sequence[Any]] = {
    "int": (*INTS, 2**127, 2**128),
    "nat": (0, 1, 2, 3, 5),
    "bool": (False, True),
    "number": NUMBERS,
    "ints": TUPLES,
    "per_axis": (*TUPLES, 1, 2),
    "nats": tuple(t for t in TUPLES if min(t, default=0) >= 0),
    "shape": tuple(t for t in TUPLES if min(t, default=0) >= 0),
    "pairs": PAIRS,
    "literal": (np.ones((2,)), np.zeros((1, 2)), np.array(True), np.ones((2, 3), dtype=np.bool_)),
}
Use = tuple[tuple[TensorType, ...], tuple[Any, ...], tuple[int, ...]]


def uses(op: Op) -> list[Use]:
    """The grid of an op, each use once, thinned to `LIMIT`; uses next to samples are kept first."""
    near = list(dict.fromkeys(_keyed(u) for u in _near_samples(op)))
    far = [u for u in dict.fromkeys(_keyed(u) for u in _grid(op)) if u not in set(near)]
    rng = random.Random(op.name)
    for part in (near, far):
        rng.shuffle(part)
    half = LIMIT // 2
    chosen = near[: max(half, LIMIT - len(far))] + far[: max(half, LIMIT - len(near))]
    return [u.use for u in chosen]


class _keyed:
    """A use, hashable although attributes may hold arrays and nans."""

    def __init__(self, use: Use) -> None:
        self.use = use
        self.key = repr(use)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _keyed) and self.key == other.key


def _near_samples(op: Op) -> Iterator[Use]:
    for sample in op.samples():
        types = tuple(TensorType.of(o.shape, BOOL if o.kind == "mask" else REAL) for o in sample.operands)
        attrs = tuple(sample.attrs.get(a.name, a.default) for a in op.attrs)
        nats = tuple(map(len, sample.nats))
        yield types, attrs, nats
        for i, t in enumerate(types):
            for shape in _neighbours(t.shape):
                yield (*types[:i], TensorType.of(shape, t.dtype), *types[i + 1 :]), attrs, nats
            flipped = TensorType.of(t.shape, REAL if t.dtype == BOOL else BOOL)
            yield (*types[:i], flipped, *types[i + 1 :]), attrs, nats
        yield types[:-1], attrs, nats
        yield (*types, *types[-1:]), attrs, nats
        for i, a in enumerate(op.attrs):
            for v in (*POOLS[a.kind], *([None] if a.optional else [])):
                yield types, (*attrs[:i], v, *attrs[i + 1 :]), nats
        for i, n in enumerate(nats):
            for m in (0, n - 1, n + 1):
                if m >= 0:
                    yield types, attrs, (*nats[:i], m, *nats[i + 1 :])
        yield types, attrs, (*nats, 1)


def _neighbours(shape: Shape) -> Iterator[Shape]:
    for i, d in enumerate(shape):
        for e in (0, 1, d - 1, d + 1, d + 2):
            if e >= 0 and e != d:
                yield (*shape[:i], e, *shape[i + 1 :])
        yield (*shape[:i], *shape[i + 1 :])
    yield (1, *shape)
    yield (*shape, 2)
    yield (2, 1, *shape)


def _grid(op: Op) -> Iterator[Use]:
    shapes = {0: [()], 1: [(s,) for s in UNARY], 2: list(itertools.product(PAIRED, repeat=2))}
    arity = 1 if op.variadic else len(op.operands)
    if arity not in shapes:
        return
    sample = next(iter(op.samples()))
    nats = tuple(map(len, sample.nats))
    pools = [[*POOLS[a.kind], *([None] if a.optional else [])] for a in op.attrs]
    for chosen in shapes[arity]:
        dtypes = (op.operand_dtypes or (REAL,) * arity)[:arity]
        types = tuple(TensorType.of(s, d) for s, d in zip(chosen, dtypes, strict=True))
        for attrs in itertools.product(*pools):
            yield types, attrs, nats


def case(op: Op, use: Use) -> str | None:
    """A Rocq pair (use, expected type), or None when Python's attribute readers refuse a value's kind."""
    types, attrs, nats = use
    try:
        values = op.read_attrs(attrs)
    except RuleError:
        return None
    try:
        call = op.bind(types, attrs, nats)
    except RuleError:
        return _term(op, values, types, nats, "None")
    return _term(op, call.attrs, types, nats, f"(Some ({terms.tensor_type(call.out)}))")


def _term(
    op: Op, values: Sequence[AttrValue], types: Sequence[TensorType], nats: Sequence[int], out: str
) -> str:
    literals = terms.Literals()
    attrs = terms.many(_attribute(a, v, literals) for a, v in zip(op.attrs, values, strict=True))
    return f"use op_{op.name} {attrs} {terms.many(map(terms.tensor_type, types))} {terms.many(nats)} {out}"


def _attribute(attr: Attr, value: AttrValue, literals: terms.Literals) -> str:
    return terms.attribute(attr, value, literals)


def depends_on_entries(op: Op, use: Use) -> bool:
    """Uses that Python refuses for the entries of a literal array, which the theory does not look at.

    A mask of candidates that leaves a row without one: the theory gives such a row the value 0 instead.
    """
    return op.name == "first_max" and isinstance(use[1][0], (np.ndarray, Literal))

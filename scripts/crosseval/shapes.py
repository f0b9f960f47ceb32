"""Shape rules on both sides: Python's `bind` and Rocq's `infer` on a grid of types and attributes.

The uses of an op (each once, the same at every run):

* around each of its samples every change of one dimension, rank, dtype, operand, attribute or index length;
* its samples with dimensions renamed: equal ones stay equal, so that most of these uses are accepted;
* the rank limit and numbers of extreme size;
* all small shapes for an op of one operand, all pairs of smaller ones for two, with every value of every
  attribute: all of them if there are at most `GRID`, else as many drawn at random.

Both sides must accept the same uses and give the same type. `EXEMPTIONS` are the two known differences; there
too, what the theory answers is stated and compared.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from prooftape.attributes import AttrValue, attr_key
from prooftape.certificates import terms
from prooftape.certificates.certify import unreal_attribute
from prooftape.errors import RuleError
from prooftape.literal import Literal
from prooftape.op import MAX_RANK, Op
from prooftape.types import BOOL, REAL, Shape, TensorType

NEAR, RENAMED, GRID = 220, 60, 260
"""At most so many uses of each kind per op, chosen evenly and reproducibly."""

UNARY: list[Shape] = [s for r in range(4) for s in itertools.product((0, 1, 2, 3), repeat=r)]
PAIRED: list[Shape] = [s for r in range(3) for s in itertools.product((0, 1, 2), repeat=r)]
INTS = (-3, -2, -1, 0, 1, 2, 3)
TUPLES: tuple[Any, ...] = (
    *[(), (0,), (1,), (2,), (-1,), (0, 1), (1, 2), (2, 1), (0, 0), (1, 1), (0, 2), (2, 3), (-2, 1)],
    *[(1, 0, 2), (2, 0, 1), (3, 2, 1), (1, 1, 1), (0, 1, 2), (2, 2, -1)],
)
NATURALS = tuple(t for t in TUPLES if min(t, default=0) >= 0)
INFINITE = (float("inf"), -float("inf"), float("nan"))
NUMBERS: tuple[Any, ...] = (0, 1, -1, 2, Fraction(1, 2), Fraction(-3, 2), 0.25, -0.0, *INFINITE)
HUGE: tuple[Any, ...] = (10**291, -(10**400), Fraction(1, 10**400))
"""Tried once per attribute: Rocq reads a numeral in time quadratic in its length."""
PAIRS = ((), ((0, 1),), ((1, 1), (0, 2)), ((-1, 0),), ((0, -2),), ((0, 0), (0, 0)), ((1, 0), (0, 1), (2, 2)))
LITERALS = tuple(
    Literal(x)
    for x in (
        *[
            np.ones((2,)),
            np.zeros((1, 2)),
            np.array(2.5),
            np.ones((0, 3)),
            np.array(True),
            np.array([True, False]),
        ],
        *[np.ones((2, 3), np.bool_), np.array([[False, False], [True, False]]), np.zeros((3,), np.bool_)],
        *[np.ones((1, 1, 4), np.bool_), np.zeros((2, 0), np.bool_)],
    )
)
POOLS: dict[str, Sequence[Any]] = {
    "int": (*INTS, 2**127, 2**128),
    "nat": (0, 1, 2, 3, 5),
    "bool": (False, True),
    "number": NUMBERS,
    "ints": TUPLES,
    "per_axis": (*TUPLES, 1, 2),
    "nats": NATURALS,
    "shape": NATURALS,
    "pairs": PAIRS,
    "literal": LITERALS,
}
Use = tuple[tuple[TensorType, ...], tuple[Any, ...], tuple[int, ...]]
"""Operand types, attributes as a user gives them, lengths of the index vectors."""

EXEMPTIONS = {
    "not finite": "a number attribute that is infinite or nan is no real number: Python computes with it as "
    "IEEE says, the theory refuses it, and so does `certify` (clamp's lo = -inf and hi = inf are fine)",
    "no candidate": "a mask `valid` of first_max that leaves a row without a candidate: Python reads the "
    "mask's entries and refuses; a type has no entries, so the theory accepts, and such a row gives 0",
}


@dataclass(frozen=True, slots=True)
class Expected:
    """A use, what the theory must answer as a Rocq term of type bool, and the exemption that explains it."""

    op: str
    use: Use
    term: str
    accepted: bool
    exemption: str = ""

    @property
    def sample(self) -> str:
        """The use in words."""
        types, attrs, nats = self.use
        operands = ", ".join(map(str, types)) or "no operands"
        return f"{operands}; attributes {attrs}; index lengths {nats}"


def grid(op: Op) -> list[Expected]:
    """All uses of an op with what the theory must say of them."""
    return [e for use in uses(op) for e in expected(op, use)]


# -- what is expected ------------------------------------------------------------------------------
def expected(op: Op, use: Use) -> Iterator[Expected]:
    """What Rocq must answer. Nothing for attributes it cannot be given, such as 1/2 for an integer."""
    types, attrs, nats = use
    try:
        values = op.read_attrs(attrs)
    except RuleError:
        if all(_printable(op, i, v) for i, v in enumerate(attrs)):
            yield Expected(op.name, use, _term(op, attrs, types, nats, None), False)
        return
    try:
        call = op.bind(types, values, nats)
    except RuleError:
        out = _accepted_without_entries(op, use, values)
        for written in _per_axis(op, values):
            term = _term(op, written, types, nats, out)
            yield Expected(op.name, use, term, out is not None, "no candidate" if out else "")
        return
    if unreal_attribute(op, call.attrs) is not None:
        yield Expected(op.name, use, _term(op, call.attrs, types, nats, None), False, "not finite")
    else:
        yield Expected(op.name, use, _term(op, call.attrs, types, nats, call.out), True)


def _printable(op: Op, i: int, value: object) -> bool:
    """Attributes of the wrong kind that Rocq can be given: none, or a negative number for a natural."""
    kind = op.attrs[i].kind
    if value is None or kind not in ("nat", "nats", "shape"):
        return value is None or not isinstance(value, (bool, str))
    return isinstance(value, (int, tuple)) and not isinstance(value, bool)


def _accepted_without_entries(op: Op, use: Use, values: Sequence[AttrValue]) -> TensorType | None:
    """first_max's type by the types alone, where Python refuses a use for the entries of its mask."""
    if op.name != "first_max" or not isinstance(values[0], Literal):
        return None
    full = Literal(np.ones(values[0].array.shape, values[0].array.dtype))
    try:
        return op.bind(use[0], (full,), use[2]).out
    except RuleError:
        return None


def _per_axis(op: Op, values: Sequence[AttrValue]) -> Iterator[tuple[AttrValue, ...]]:
    """A refused use as Rocq can be given it: an integer for every axis written out, for 1, 2 and 3 axes.

    The length of a pool's kernel says how many axes there are: an integer there is one axis.
    """
    single = [a.kind == "per_axis" and isinstance(v, int) for a, v in zip(op.attrs, values, strict=True)]
    for d in (1, 2, 3) if any(single) else (0,):
        yield tuple(
            (v,) * (1 if a.name == "kernel" else d) if s else v  # type: ignore[misc]
            for a, s, v in zip(op.attrs, single, values, strict=True)
        )


def _term(
    op: Op, values: Sequence[Any], types: Sequence[TensorType], nats: Sequence[int], out: TensorType | None
) -> str:
    literals = terms.Literals()
    attrs = terms.many(terms.attribute(a, v, literals) for a, v in zip(op.attrs, values, strict=True))
    answer = "None" if out is None else f"(Some ({terms.tensor_type(out)}))"
    return f"use op_{op.name} {attrs} {terms.many(map(terms.tensor_type, types))} {terms.many(nats)} {answer}"


# -- which uses ------------------------------------------------------------------------------------
def uses(op: Op) -> list[Use]:
    """The uses of an op, each once."""
    rng = random.Random(op.name)
    found: dict[object, Use] = {}
    near = list(_near_samples(op))
    rng.shuffle(near)
    _add(found, iter(near), NEAR)
    _add(found, _extremes(op), 10**6)
    _add(found, (_renamed(op, rng) for _ in range(4 * RENAMED)), RENAMED)
    _add(found, _grid(op, rng), GRID)
    return list(found.values())


def _add(found: dict[object, Use], new: Iterator[Use], most: int) -> None:
    target = len(found) + most
    for use in new:
        types, attrs, nats = use
        found.setdefault((types, tuple(map(attr_key, attrs)), nats), use)
        if len(found) >= target:
            return


def _samples(op: Op) -> list[Use]:
    return [
        (
            tuple(TensorType.of(o.shape, BOOL if o.kind == "mask" else REAL) for o in sample.operands),
            tuple(_frozen(sample.attrs.get(a.name, a.default)) for a in op.attrs),
            tuple(map(len, sample.nats)),
        )
        for sample in op.samples()
    ]


def _frozen(value: object) -> object:
    """A sample's attribute, hashable."""
    if isinstance(value, np.ndarray):
        return Literal(value)
    return tuple(value) if isinstance(value, list) else value


def _pool(op: Op, i: int) -> list[Any]:
    a = op.attrs[i]
    return [*POOLS[a.kind], *([None] if a.optional else [])]


def _near_samples(op: Op) -> Iterator[Use]:
    for types, attrs, nats in _samples(op):
        yield types, attrs, nats
        for i, t in enumerate(types):
            for shape in _neighbours(t.shape):
                yield (*types[:i], TensorType.of(shape, t.dtype), *types[i + 1 :]), attrs, nats
            flipped = TensorType.of(t.shape, REAL if t.dtype == BOOL else BOOL)
            yield (*types[:i], flipped, *types[i + 1 :]), attrs, nats
            yield (*types[:i], *types[i + 1 :]), attrs, nats
        yield (*types, *(types[-1:] or (TensorType.of(()),))), attrs, nats
        yield types[::-1], attrs, nats
        yield (), attrs, nats
        for i in range(len(attrs)):
            for v in (*_pool(op, i), None, *([-1] if op.attrs[i].kind == "nat" else [])):
                yield types, (*attrs[:i], v, *attrs[i + 1 :]), nats
            if op.attrs[i].kind in ("nats", "shape"):
                yield types, (*attrs[:i], (-1,), *attrs[i + 1 :]), nats
        for i, n in enumerate(nats):
            for m in (0, n - 1, n + 1, n + 7):
                if m >= 0:
                    yield types, attrs, (*nats[:i], m, *nats[i + 1 :])
            yield types, attrs, (*nats[:i], *nats[i + 1 :])
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


def _extremes(op: Op) -> Iterator[Use]:
    """Ranks 63, 64 and 65 in one operand, in all, in attributes; numbers no float holds; an empty mask."""
    types, attrs, nats = _samples(op)[0]
    for i, a in enumerate(op.attrs):
        if a.kind == "number":
            for v in HUGE:
                yield types, (*attrs[:i], v, *attrs[i + 1 :]), nats
        if a.kind == "literal" and types:
            yield types, (*attrs[:i], Literal(np.zeros(types[0].shape, np.bool_)), *attrs[i + 1 :]), nats
    for rank in (MAX_RANK - 1, MAX_RANK, MAX_RANK + 1):
        many = [TensorType.of((1,) * rank, t.dtype) for t in types]
        if many:
            yield tuple(many), attrs, nats
            yield (many[0], *types[1:]), attrs, nats
        for i, a in enumerate(op.attrs):
            for v in _long(a.kind, rank):
                yield types, (*attrs[:i], v, *attrs[i + 1 :]), nats
                yield tuple(many), (*attrs[:i], v, *attrs[i + 1 :]), nats


def _long(kind: str, rank: int) -> Iterator[Any]:
    if kind in ("shape", "ints", "per_axis"):
        yield (1,) * rank
    if kind == "ints":
        yield tuple(range(rank))
        yield tuple(reversed(range(rank)))
    if kind == "pairs":
        yield ((0, 0),) * rank
    if kind == "int":
        yield rank - 1
    if kind == "literal":
        yield from (Literal(np.ones((1,) * rank, t)) for t in (np.float64, np.bool_) if rank <= MAX_RANK)


def _renamed(op: Op, rng: random.Random) -> Use:
    """A sample with other dimensions, equal ones staying equal; half the time in its shape attributes too."""
    types, attrs, nats = rng.choice(_samples(op))
    other: dict[int, int] = {}

    def name(d: int) -> int:
        return other.setdefault(d, rng.randint(0, 5))

    in_attrs = rng.random() < 0.5
    return (
        tuple(TensorType.of(map(name, t.shape), t.dtype) for t in types),
        tuple(
            tuple(map(name, v)) if in_attrs and a.kind == "shape" and isinstance(v, tuple) else v  # type: ignore[arg-type]
            for a, v in zip(op.attrs, attrs, strict=True)
        ),
        tuple(map(name, nats)) if rng.random() < 0.5 else nats,
    )


def _grid(op: Op, rng: random.Random) -> Iterator[Use]:
    """Small shapes x attribute values x index lengths: all of them, or random ones if they are many."""
    arity = 1 if op.variadic else len(op.operands)
    shapes: Sequence[tuple[Shape, ...]]
    if arity <= 2:
        shapes = {0: [()], 1: [(s,) for s in UNARY], 2: list(itertools.product(PAIRED, repeat=2))}[arity]
    else:
        shapes = [tuple(rng.choice(PAIRED) for _ in range(arity)) for _ in range(GRID)]
    dtypes = (op.operand_dtypes or (REAL,) * arity)[:arity]
    operands = [tuple(TensorType.of(s, d) for s, d in zip(chosen, dtypes, strict=True)) for chosen in shapes]
    pools = [_pool(op, i) for i in range(len(op.attrs))]
    lengths: list[Sequence[Any]] = [(0, 1, 2, 3, 4)] * len(op.nats)
    parts = [*pools, *lengths]

    def use(types: tuple[TensorType, ...], chosen: Sequence[Any]) -> Use:
        return types, tuple(chosen[: len(pools)]), tuple(chosen[len(pools) :])

    if math.prod(map(len, [operands, *parts])) <= GRID:
        for types in operands:
            for chosen in itertools.product(*parts):
                yield use(types, chosen)
        return
    for _ in range(10 * GRID):
        yield use(rng.choice(operands), [rng.choice(p) for p in parts])

"""Shape rules on arbitrary operands and attributes: an op refuses, or it does what it promised.

Whatever a user passes, `Op.bind` gives a call or raises `RuleError`, nothing else. A call has canonical
attributes (they bind to the same call again), and forward, VJP and JVP give arrays of the shapes it states.
"""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prooftape.arrays.floats import FloatArrays
from prooftape.errors import RuleError
from prooftape.op import Call, Op
from prooftape.ops import table
from prooftape.types import BOOL, REAL, Shape, TensorType

DIMENSIONS = (0, 1, 1, 2, 2, 3, 4, 5)
NUMBERS = (
    0,
    1,
    -1,
    2,
    0.5,
    -0.5,
    1e-5,
    1e308,
    Fraction(1, 3),
    float("inf"),
    float("-inf"),
    float("nan"),
    10**400,
)
XP = FloatArrays(np.float64)


def some_shape(rng: random.Random) -> Shape:
    return tuple(rng.choice(DIMENSIONS) for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 3, 4))))


def some_value(rng: random.Random, kind: str, rank: int) -> object:
    """A value that the reader of this kind of attribute accepts, or nearly."""

    def integer() -> int:
        return rng.choice((-5, -2, -1, 0, 0, 1, 1, 2, 2, 3, 3, 7, 60))

    few = range(rng.randint(0, 4))
    if kind in ("nats", "shape"):
        return tuple(min(abs(integer()), 50) for _ in few)
    if kind == "pairs":
        return tuple((integer(), integer()) for _ in (range(rank) if rng.random() < 0.7 else few))
    if kind == "literal":
        return np.ones(some_shape(rng), rng.choice((bool, float)))
    if kind in ("ints", "per_axis") and rng.random() < 0.7:
        return tuple(integer() for _ in few)
    return {"number": rng.choice(NUMBERS), "bool": rng.random() < 0.5, "nat": abs(integer())}.get(
        kind, integer()
    )


def some_use(
    rng: random.Random, op: Op
) -> tuple[tuple[TensorType, ...], tuple[object, ...], tuple[int, ...]]:
    """Operand types, attributes and index lengths: a sample with something changed, or anything at all."""
    sample = rng.choice(list(op.samples()))
    shapes = [list(o.shape) for o in sample.operands]
    dtypes = [BOOL if o.kind == "mask" else REAL for o in sample.operands]
    attrs = {a.name: a.default for a in op.attrs} | sample.attrs
    sizes = [len(v) for v in sample.nats]
    changes = rng.randint(0, 2) if rng.random() < 0.6 else 6
    for _ in range(changes):
        what = rng.randrange(4)
        if what == 0 and shapes:
            shape = rng.choice(shapes)
            shape[:] = some_shape(rng) if rng.random() < 0.3 else [*shape, 1]
        elif what == 1 and any(shapes):
            shape = rng.choice([s for s in shapes if s])
            shape[rng.randrange(len(shape))] = rng.choice(DIMENSIONS)
        elif what == 2 and op.attrs:
            a = rng.choice(op.attrs)
            attrs[a.name] = some_value(rng, a.kind, len(shapes[0]) if shapes else 1)
        elif what == 3 and sizes:
            sizes[rng.randrange(len(sizes))] = rng.randint(0, 4)
    types = tuple(TensorType.of(s, d) for s, d in zip(shapes, dtypes, strict=True))
    return types, tuple(attrs.values()), tuple(sizes)


def values_of(rng: random.Random, call: Call) -> list[np.ndarray]:
    x = rng.random()
    return [np.full(t.shape, True) if t.dtype == BOOL else np.full(t.shape, 1 + x) for t in call.types]


@pytest.mark.parametrize("op", table().values(), ids=lambda op: op.name)
@given(st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_an_op_refuses_or_does_what_it_promised(op: Op, rng: random.Random) -> None:
    types, attrs, sizes = some_use(rng, op)
    try:
        call = op.bind(types, attrs, sizes)
    except RuleError as e:
        assert str(e) == e.problem and e.problem
        return
    assert op.bind(call.types, call.attrs, call.nat_sizes) == call
    if call.out.size > 10_000:
        return
    operands = values_of(rng, call)
    indices = [np.array([rng.choice((0, 1, 2, 9)) for _ in range(k)], np.int64) for k in sizes]
    with np.errstate(all="ignore"):
        out = op.forward(XP, call, *operands, *indices)
        assert np.shape(out) == call.shape
        if not op.differentiable:
            return
        ct, real = np.ones(call.shape), [t.dtype == REAL for t in types]
        saved = [(*operands, out)[p] for p in call.saved]
        for g, t in zip(op.vjp(XP, call, (*saved, *indices), ct, real), types, strict=True):
            assert g is None or np.shape(g) == t.shape
        moves = [np.ones(t.shape) if t.dtype == REAL else None for t in types]
        moved = op.jvp(XP, call, (*operands, *indices), out, moves)
        assert moved is None or np.shape(moved) == call.shape


def test_the_changes_are_not_all_refused() -> None:
    """What the test above draws reaches the second half of it, for every op."""
    rng = random.Random(0)
    for op in table().values():
        bound = 0
        for _ in range(100):
            try:
                op.bind(*some_use(rng, op))
                bound += 1
            except RuleError:
                pass
        assert bound >= 10, op.name

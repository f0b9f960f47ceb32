"""Random ops, keyed and pure: a key and a shape fix every draw, in forward and backward, on every engine.

The bits are the top 24 of each 64-bit output of Philox 4x64 with that key (Salmon et al. 2011; NumPy promises
this raw stream stays the same). A draw is u / 2^24 with an integer 0 <= u < 2^24, exact in float32 and in the
rationals; float16 and bfloat16 round it, possibly up to 1.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from prooftape.attributes import Attr
from prooftape.declare import constant, linear
from prooftape.errors import AttributeValueError, RuleError
from prooftape.literal import Literal
from prooftape.numbers import Number
from prooftape.op import Call, Operand, Sample, Typing
from prooftape.types import REAL, Shape
from prooftape.vocabulary import A, Mask, Vocabulary

BITS = 24
_KEY_BITS = 128


def draw(shape: Shape, key: int) -> NDArray[np.uint64]:
    """Uniform integers 0 <= u < 2^24, flat, row-major in the order of the stream."""
    raw: NDArray[np.uint64] = np.random.Philox(key=key).random_raw(math.prod(shape))
    return raw >> np.uint64(64 - BITS)


# A mask is needed by the forward and by the backward pass of one step; the bound is for a few dozen layers.
@lru_cache(maxsize=64)
def _below(shape: Shape, key: int, threshold: int) -> Mask:
    mask: Mask = (draw(shape, key) < np.uint64(threshold)).reshape(shape)
    mask.flags.writeable = False
    return mask


def keep_mask(shape: Shape, keep: Fraction, key: int) -> Mask:
    """Each entry true with probability `keep`, rounded up to a multiple of 2^-24; read-only."""
    return _below(shape, key, math.ceil(keep * 2**BITS))


@lru_cache(maxsize=64)
def _uniform(shape: Shape, key: int) -> Literal:
    return Literal((draw(shape, key).astype(np.float64) * 2.0**-BITS).reshape(shape), copy=False)


# -- checks -------------------------------------------------------------------------------------------
def _check_key(t: Typing) -> None:
    key = t.int("key")
    if not 0 <= key < 2**_KEY_BITS:
        raise RuleError(f"key {key} is out of range", f"0 <= key < 2^{_KEY_BITS}", AttributeValueError)


def _check_probability(t: Typing, name: str) -> None:
    p: Number = t.number(name)
    if not 0 <= p <= 1:
        raise RuleError(f"{name} must be a probability, got {p}", f"0 <= {name} <= 1", AttributeValueError)


def _asked_shape(t: Typing) -> Shape:
    _check_key(t)
    return t.ints("shape")


def _mask_shape(t: Typing) -> Shape:
    _check_probability(t, "keep_prob")
    return _asked_shape(t)


def _dropout_shape(t: Typing) -> Shape:
    _check_probability(t, "p")
    _check_key(t)
    return t.shapes[0]


_SHAPE = Attr("shape", "shape", doc="shape of the result")
_KEY = Attr("key", "int", doc="the key: equal keys give equal draws; 0 <= key < 2^128")

rand_uniform = constant(
    "rand_uniform",
    (),
    lambda xp, c: xp.array(_uniform(c.shape, c.int("key"))),
    family="random",
    shape_rule=_asked_shape,
    samples=lambda: [Sample((), {"shape": s, "key": k}) for s, k in (((2, 3), 0), ((), 7), ((0, 2), 2**70))],
    attrs=(_SHAPE, _KEY),
    out_dtype=REAL,
    doc="Uniform draws from {0, 1, …, 2^24 - 1} / 2^24.",
    shapes_doc="() -> shape",
    convention="a function of shape and key alone",
)


def _bernoulli(xp: Vocabulary[A], c: Call) -> A:
    mask = keep_mask(c.shape, Fraction(c.number("keep_prob")), c.int("key"))
    return xp.where(xp.mask(mask), xp.full(c.shape, 1), xp.full(c.shape, 0))


bernoulli_mask = constant(
    "bernoulli_mask",
    (),
    _bernoulli,
    family="random",
    shape_rule=_mask_shape,
    samples=lambda: [
        Sample((), {"shape": s, "keep_prob": p, "key": k})
        for s, p, k in (((2, 3), Fraction(1, 2), 0), ((), 1, 7), ((4,), 0, 3), ((0, 2), 0.5, 1))
    ],
    attrs=(_SHAPE, Attr("keep_prob", "number", doc="literal probability of a 1"), _KEY),
    out_dtype=REAL,
    doc="Zeros and ones, each entry 1 with probability keep_prob: where the draw u / 2^24 is below it.",
    shapes_doc="() -> shape",
    convention="a function of shape, keep_prob and key alone; compared exactly",
)


def _drop(xp: Vocabulary[A], c: Call, x: A) -> A:
    keep, zero = 1 - Fraction(c.number("p")), xp.full(c.shape, 0)
    if keep == 0:
        return zero
    return xp.where(xp.mask(keep_mask(c.shape, keep, c.int("key"))), xp.scale(x, 1 / keep), zero)


dropout = linear(
    "dropout",
    ("x",),
    _drop,
    ((_drop, _drop),),
    family="random",
    shape_rule=_dropout_shape,
    samples=lambda: [
        Sample((Operand(s),), {"p": p, "key": k})
        for s, p, k in (
            ((2, 3), Fraction(1, 2), 0),
            ((), 0, 7),
            ((4,), 1, 3),
            ((0, 2), 0.25, 1),
            ((5,), Fraction(1, 3), 4),
        )
    ],
    attrs=(Attr("p", "number", doc="literal probability of dropping an entry"), _KEY),
    doc="x / (1 - p) where the keyed mask of probability 1 - p is 1, exact zeros elsewhere.",
    shapes_doc="x: any shape -> same shape",
    convention="p = 1 gives zeros; the mask is bernoulli_mask(shape, 1 - p, key), with 1 - p exact",
)

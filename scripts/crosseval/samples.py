"""What the ops are run on: the samples of their records, and edge cases beside them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from prooftape.op import Op, Operand, Sample
from prooftape.testing.mirror import apply

NOTHING, FIRST_ROW = "mask: nothing", "mask: nothing in the first row"
"""Kinds of operands besides those of the records: a mask that is false everywhere, or in its first row."""
Shape = tuple[int, ...]


def samples(op: Op) -> Iterator[Sample]:
    """The record's own samples, the edge cases below, and index vectors beyond the end or all alike."""
    own = [*op.samples(), *_extra(op.name)]
    yield from own
    for sample in own:
        if any(sample.nats):
            yield Sample(sample.operands, sample.attrs, tuple(tuple(9 for _ in v) for v in sample.nats))
            yield Sample(sample.operands, sample.attrs, tuple(tuple(0 for _ in v) for v in sample.nats))


def shifts(op: Op) -> bool:
    """Whether an op subtracts a maximum under an exponential."""
    names = ("logsumexp", "cross_entropy", "smooth_max_pool", "smooth_max_pool2d")
    return op.family in ("softmax", "attention") or op.name in names


def unit(op: Op, sample: Sample, operand: int) -> Fraction:
    """What an integer operand is multiplied by, so that what goes under the exponential is an integer."""
    if op.name.startswith("smooth_max_pool"):
        return Fraction(Fraction(sample.attrs["beta"]).denominator)  # type: ignore[arg-type]
    if op.family == "attention" and operand == 0:  # scores are divided by the root of the head width
        heads = sample.attrs.get("num_heads") or 1
        assert isinstance(heads, int)
        return Fraction(apply("sqrt", Fraction(sample.operands[0].shape[1] // heads)).numerator)
    return Fraction(1)


def _sample(*shapes: Shape, kinds: str | tuple[str, ...] = "real", **attrs: Any) -> Sample:
    each = (kinds,) * len(shapes) if isinstance(kinds, str) else kinds
    return Sample(tuple(Operand(s, k) for s, k in zip(shapes, each, strict=True)), attrs)


def _extra(name: str) -> list[Sample]:
    """Ties, masks with empty rows, operands without entries, strides and paddings mixed, other constants."""
    if name in _CONSTANTS:
        attr, found = _CONSTANTS[name]
        kind = "nonzero" if name == "pow_const" else "real"
        return [_sample((2, 3), kinds=kind, **{attr: v}) for v in found]
    if name in _NORMS:
        return [
            _sample(*shapes, **more, eps=eps)
            for shapes, more in _NORMS[name]
            for eps in (Fraction(1, 3), 2, 2.0**-20)
        ]
    if name in ("conv2d", "conv_transpose2d"):
        return [s for s in _EXTRA[name[:-2]] if len(s.operands[0].shape) == 4]
    if name.endswith(("pool", "pool2d")):
        pools = [s for s in _POOLS if name.endswith("pool") or len(s.attrs["kernel"]) == 2]  # type: ignore[arg-type]
        betas = [{"beta": b} for b in (1, -2, Fraction(1, 2))] if "smooth" in name else [{}]
        return [Sample(s.operands, {**s.attrs, **beta}) for s in pools for beta in betas]
    return _EXTRA.get(name, [])


_INF = float("inf")
_CONSTANTS: dict[str, tuple[str, list[Any]]] = {
    "scale": ("c", [0, 1, -1, 0.1, Fraction(2, 7), 10**20]),
    "pow_const": ("c", [2, 5, -1, -3, Fraction(1, 2), Fraction(-3, 2), 0.5, 1.5, 2.0]),
    "leaky_relu": ("slope", [0, 1, 2, Fraction(-1, 2), 0.01]),
    "elu": ("alpha", [0, 1, Fraction(-1, 2), 0.1]),
    "safe_log": ("eps", [1, Fraction(1, 7), 2.0**-30]),
}
_NORMS: dict[str, list[tuple[tuple[Shape, ...], dict[str, Any]]]] = {
    "layer_norm": [(((2, 4), (4,), (4,)), {}), (((1, 2, 1, 3), (3,), (3,)), {})],
    "rms_norm": [(((2, 4), (4,)), {}), (((1, 2, 1, 3), (3,)), {})],
    "batchnorm_channel_first": [(((1, 3, 2), (1,), (1,)), {}), (((3, 2, 2), (3,), (3,)), {})],
    "group_norm": [
        (((2, 6, 1), (6,), (6,)), {"num_groups": 3}),
        (((2, 2, 2), (2,), (2,)), {"num_groups": 1}),
        (((1, 4, 1, 2), (4,), (4,)), {"num_groups": 2}),
    ],
}
_POOLS: list[Sample] = [
    _sample((1, 4, 4), kernel=(3, 3), stride=(1, 2), padding=(1, 1)),  # ties: small integers in the 2nd draw
    _sample((2, 3, 3), kernel=(2, 2), stride=(3, 1), padding=(1, 0)),
    _sample((1, 1, 3, 4), kernel=(3, 4)),
    _sample((1, 2, 3, 2, 2), kernel=(2, 2, 1), stride=(1, 2, 2), padding=(0, 1, 0)),
    _sample((2, 6), kernel=(2,), stride=4),
    _sample((0, 3, 4), kernel=(2, 2)),
]
_EXTRA: dict[str, list[Sample]] = {
    "multi_head_attention": [
        _sample(
            (2, 2), (2, 2), (2, 2), (2, 2), (3, 2), (3, 3), kinds=("real",) * 5 + (mask,), num_heads=heads
        )
        for mask in (NOTHING, FIRST_ROW)
        for heads in (1, 2)
    ]
    + [
        _sample((2, 2), (2, 2), (2, 2), (2, 2), (0, 2, 2), num_heads=1),
        _sample((4, 2), (4, 2), (4, 2), (2, 4), (2, 4), num_heads=2),
        _sample((1, 8), (1, 8), (1, 8), (8, 1), (2, 1), (2, 2), kinds=("real",) * 5 + ("mask",), num_heads=2),
    ],
    "reduce_max": [
        _sample((2, 3), axis=1),
        _sample((2, 2, 2), axis=(0, 2)),
        _sample((2, 2, 2), axis=(-1, 0, 1)),
        _sample((3, 0), axis=0),
        _sample((1, 4), axis=1),
    ],
    "logsumexp": [
        _sample((2, 2, 2), axis=(-1, 0, 1)),
        _sample((3, 0), axis=0),
        _sample((2, 1, 3), axis=(1, 2)),
    ],
    "first_max": [
        _sample((3, 4)),
        _sample((2, 2), valid=np.array([[False, True], [True, False]])),
        _sample((2, 1, 3), valid=np.array([[True, False, True]])),
    ],
    "conv": [
        _sample((2, 1, 2, 2, 1), (2,), (1, 3, 3, 2), stride=(2, 1, 1), padding=(1, 0, 1)),
        _sample((1, 2, 1, 2, 2), (1,), (2, 2, 2, 3, 3), stride=(1, 2, 3), padding=(0, 1, 2)),
        _sample((1, 1, 2, 2), (1,), (1, 4, 4), stride=(3, 2), padding=(0, 1)),
        _sample((1, 1, 3, 1), (1,), (2, 1, 3, 3), stride=(1, 2), padding=(2, 0)),
        _sample((2, 1, 3), (2,), (1, 6), stride=4),
        _sample((1, 1, 2, 2), (1,), (1, 2, 2)),
    ],
    "conv_transpose": [
        _sample((1, 2, 2, 1, 2), (2,), (1, 2, 2, 2), stride=(1, 2, 2), padding=(1, 0, 1)),
        _sample((2, 1, 1, 2, 2), (1,), (1, 2, 2, 1, 2), stride=(2, 1, 3), padding=(0, 0, 1)),
        _sample((1, 1, 2, 2), (1,), (1, 2, 3), stride=(3, 4), padding=(1, 0)),
        _sample((1, 2, 3, 1), (2,), (2, 1, 2, 2), stride=(3, 2), padding=(2, 0)),
        _sample((1, 2, 2), (2,), (1, 3), stride=5),
    ],
    "clamp": [
        _sample((2, 3), lo=lo, hi=hi)
        for lo, hi in ((0, 0), (-_INF, 0), (0, _INF), (-_INF, _INF), (Fraction(-1, 3), 0.5), (1, 1))
    ],
    "full": [_sample(shape=(0, 2), value=1), _sample(shape=(2,), value=0.1), _sample(shape=(1, 1), value=0)],
    "const": [
        _sample(value=np.array([[0.1, -0.5]])),
        _sample(value=np.zeros((0, 2))),
        _sample(value=np.arange(4)),
    ],
    "const_mask": [
        _sample(value=np.array([[True], [False]])),
        _sample(value=np.array(False)),
        _sample(value=np.zeros((2, 0), np.bool_)),
    ],
    "matmul": [
        _sample((2, 1, 2, 3), (1, 2, 3, 1)),
        _sample((0, 2, 2), (2, 1)),
        _sample((1,), (1,)),
        _sample((0,), (0,)),
        _sample((2, 0), (0,)),
        _sample((2,), (3, 2, 1)),
        _sample((1, 1), (2, 1, 1, 2)),
    ],
    "bmm": [_sample((1, 1, 1), (1, 1, 1)), _sample((3, 1, 2), (3, 2, 1)), _sample((2, 0, 2), (2, 2, 1))],
    "linear": [_sample((1, 1), (1,), (1,)), _sample((3, 2), (3,), (1, 2, 2)), _sample((0, 2), (0,), (2, 2))],
    "huber_loss": [_sample((2, 3), (2, 3), delta=d) for d in (Fraction(1, 8), 5, 0.25)],
    "mse_loss": [_sample((1, 2, 3), (1, 2, 3))],
    "bce_with_logits": [_sample((1, 2, 3), (1, 2, 3))],
    "var": [
        _sample((2, 3), axis=0),
        _sample((3, 2), axis=(0, 1), ddof=1),
        _sample((2, 2, 2), axis=(0, 1, 2), ddof=3),
        _sample((0, 2), axis=1),
    ],
    "reduce_sum": [_sample((2, 2, 2), axis=(0, 1, 2)), _sample((0, 2), axis=0), _sample((2, 1, 3), axis=-2)],
    "reduce_mean": [_sample((2, 2, 2), axis=(0, 1, 2)), _sample((3, 1), axis=1), _sample((2, 1, 3), axis=-2)],
    "pad": [
        _sample((2, 1), widths=((0, 0), (0, 0)), value=Fraction(1, 3)),
        _sample((0,), widths=((2, 1),), value=0.1),
        _sample((1, 2, 1), widths=((1, 0), (0, 0), (2, 1)), value=-2),
    ],
    "slice": [_sample((3, 4), axis=1, start=4, length=0), _sample((1, 2, 3), axis=-3, start=0, length=1)],
    "concat": [_sample((0,), (0,), axis=0), _sample((2, 1), (2, 2), (2, 1), (2, 3), axis=1), _sample((1,))],
    "broadcast_to": [
        _sample((1, 1), shape=(3, 2)),
        _sample((0, 1), shape=(2, 0, 3)),
        _sample((1,), shape=(0,)),
    ],
    "reshape": [_sample((4,), shape=(2, -1)), _sample((0, 2), shape=(0,)), _sample((1, 1), shape=())],
    "permute": [_sample((2, 3), axes=(0, 1)), _sample((1, 2, 3, 2), axes=(-2, 0, -1, 1))],
    "dropout": [
        _sample((2, 3), p=0, key=1),
        _sample((2, 3), p=1, key=1),
        _sample((3, 2), p=0.9, key=2**100),
        _sample((6,), p=Fraction(1, 7), key=5),
    ],
    "bernoulli_mask": [_sample(shape=(3, 3), keep_prob=Fraction(2, 3), key=9)],
    "rand_uniform": [_sample(shape=(4, 2), key=2**127), _sample(shape=(1,), key=1)],
    "softmax": [_sample((2, 2, 2), axis=0), _sample((1, 1), axis=1), _sample((4,), axis=0)],
    "log_softmax": [_sample((2, 2, 2), axis=0), _sample((1, 1), axis=1), _sample((4,), axis=0)],
    "windows": [
        _sample((3, 3, 3), kernel=(2, 1, 3), stride=(1, 2, 1)),
        _sample((6,), kernel=(2,), stride=(3,)),
    ],
    "fold_windows": [
        _sample((1, 2, 2, 2), size=(2, 4), stride=(1, 2)),
        _sample((2, 1), size=(3,), stride=(2,)),
    ],
}

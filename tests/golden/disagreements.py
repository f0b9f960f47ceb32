"""Where the session and PyTorch give different answers on purpose, entry by entry, with what the session
gives and why.

Anything not listed must agree within the derived bounds; anything listed must really differ and be what is
written here
(test_golden.py checks both), so the list can neither hide a bug nor outlive its reason.
`docs/golden-coverage.md` prints it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from golden_data import Array, Record

Mask = npt.NDArray[np.bool_]
Answer = Callable[[Record, list[Array], int], Array]


@dataclass(frozen=True)
class Disagreement:
    """On entries `where(record)` of one quantity, the session gives `ours(record, v, leaf)`.

    `op`: the ops of the program apart from broadcasts, joined by blanks. `quantity`: `value`, `vjp` or
    `jvp`; `v` is the list of
    the one cotangent (vjp) or of all tangents (jvp), `leaf` the operand (vjp). `variant` narrows it to one
    adapter.
    """

    op: str
    quantity: str
    where: Callable[[Record], Mask]
    ours: Answer
    condition: str
    answers: str
    reason: str
    variant: str | None = None


@dataclass(frozen=True)
class Refusal:
    """A PyTorch call that the session refuses on purpose, by record."""

    operator: str
    record: str
    error: str
    reason: str


def _x(r: Record) -> Array:
    return r.leaves[0]


def _nan(r: Record) -> Mask:
    return np.asarray(np.isnan(_x(r)))


def _any_nan(r: Record) -> Mask:
    return np.asarray(np.any([np.isnan(x) for x in np.broadcast_arrays(*r.leaves)], axis=0))


def _sum(values: list[Array]) -> Array:
    return np.asarray(sum(values))


def _times(factor: float) -> Answer:
    return lambda r, v, leaf: np.asarray(factor * _sum(v))


def _constant(value: float) -> Answer:
    return lambda r, v, leaf: np.full(r.out.shape, value)


def _larger(a: Array, b: Array) -> Array:
    return np.where(a > b, 1.0, np.where(b > a, 0.0, 0.5))


def _clamped_by_tensors(r: Record, v: list[Array], leaf: int) -> Array:
    """d minimum(maximum(x, lo), hi): half to each operand wherever a comparison is undecided."""
    x, lo, hi = r.leaves
    middle = np.maximum(x, lo)
    outer = _larger(hi, middle)
    local = [outer * _larger(x, lo), outer * _larger(lo, x), 1 - outer]
    return np.asarray(
        local[leaf] * v[0] if len(v) == 1 else sum(d * t for d, t in zip(local, v, strict=True))
    )


def _both(
    op: str, where: Callable[[Record], Mask], ours: Answer, condition: str, answers: str, reason: str
) -> list[Disagreement]:
    return [Disagreement(op, q, where, ours, condition, answers, reason) for q in ("vjp", "jvp")]


NAN_GATE = "the derivative of a piecewise linear op gates on a comparison, and comparing with nan is false"
LIMIT = "the limit; PyTorch multiplies an infinity by a zero"

DISAGREEMENTS: list[Disagreement] = [
    *_both("relu", _nan, _times(0.0), "x is nan", "0; PyTorch 1", NAN_GATE),
    *(
        d
        for op in ("maximum", "minimum")
        for d in _both(
            op,
            _any_nan,
            _times(0.5),
            "an operand is nan",
            "1/2 to each; PyTorch 1 to each",
            "neither operand is larger, so it is a tie as any other; PyTorch gives the whole cotangent twice",
        )
    ),
    *_both(
        "maximum minimum",
        _any_nan,
        _clamped_by_tensors,
        "clamp to tensor bounds, one of them or x is nan",
        "1/2 to each operand of an undecided comparison; PyTorch all to one bound or nothing",
        "minimum(maximum(x, lo), hi) by the rules of its parts",
    ),
    Disagreement(
        "silu", "value", lambda r: np.isneginf(_x(r)), _constant(0.0), "x = -inf", "0; PyTorch nan", LIMIT
    ),
    *_both("silu", lambda r: np.isneginf(_x(r)), _times(0.0), "x = -inf", "0; PyTorch nan", LIMIT),
    *_both("silu", lambda r: np.isposinf(_x(r)), _times(1.0), "x = inf", "1; PyTorch nan", LIMIT),
    Disagreement(
        "gelu", "value", lambda r: np.isneginf(_x(r)), _constant(0.0), "x = -inf", "0; PyTorch nan", LIMIT
    ),
    *_both("gelu", lambda r: np.isneginf(_x(r)), _times(0.0), "x = -inf", "0; PyTorch nan", LIMIT),
    *_both("gelu", lambda r: np.isposinf(_x(r)), _times(1.0), "x = inf", "1; PyTorch nan", LIMIT),
    Disagreement(
        "softplus",
        "value",
        lambda r: _x(r) > 20,
        lambda r, v, leaf: _x(r) + np.log1p(np.exp(-_x(r))),
        "x > 20",
        "log(1 + exp(x)); PyTorch x",
        "PyTorch cuts off at a threshold, 2e-9 away from the function",
    ),
    *_both(
        "softplus",
        lambda r: _x(r) > 20,
        lambda r, v, leaf: _sum(v) / (1 + np.exp(-_x(r))),
        "x > 20",
        "sigmoid(x); PyTorch 1",
        "PyTorch cuts off at a threshold, 2e-9 away from the function",
    ),
    *_both(
        "pow_const",
        lambda r: (_x(r) == 0) & np.signbit(_x(r)) & ("0.5)" in r.call),
        _times(np.inf),
        "exponent 1/2, x = -0",
        "+inf; PyTorch -inf",
        "IEEE 754 pow(-0, -1/2) is +inf; PyTorch computes it as 1/sqrt(-0)",
    ),
    Disagreement(
        "logsumexp",
        "vjp",
        lambda r: np.isneginf(_x(r)),
        _times(0.0),
        "every entry of the reduced axis is -inf",
        "0; PyTorch nan",
        "its softmax is 0/0; an entry that contributes nothing gets nothing",
    ),
    Disagreement(
        "logsumexp",
        "jvp",
        lambda r: np.isneginf(r.out),
        _constant(0.0),
        "every entry of the reduced axis is -inf, or there is none",
        "0; PyTorch nan",
        "its softmax is 0/0; an entry that contributes nothing gives nothing",
    ),
    Disagreement(
        "div",
        "jvp",
        lambda r: r.leaves[1] == 0,
        lambda r, v, leaf: v[0] * (1 / r.leaves[1]) - v[1] * (r.leaves[0] / r.leaves[1] / r.leaves[1]),
        "b = 0",
        "da/b - db*(a/b)/b; PyTorch (da - db*(a/b))/b",
        "at a pole either sum of infinities is nan or one of them, and the two formulas do not always agree",
    ),
    *(
        Disagreement(
            "mul",
            quantity,
            lambda r: np.isinf(2 * _x(r)) & np.isfinite(_x(r)),
            lambda r, v, leaf: v[0] * _x(r) + v[0] * _x(r),
            "x*x with 2x beyond the range",
            "v*x + v*x; PyTorch v*(2x)",
            "PyTorch's derivative of square overflows before it is multiplied by a small v",
            variant="square_as_mul",
        )
        for quantity in ("vjp", "jvp")
    ),
]

EMPTY_NORM = "normalisation of an empty batch: every axis of a norm has at least one entry"

REFUSALS: list[Refusal] = [
    Refusal(
        "clamp",
        "probe/2",
        "AttributeValueError",
        "clamp with lo > hi: PyTorch returns hi everywhere; an interval without points is a mistake",
    ),
    Refusal("nn.functional.layer_norm", "sample/4", "ShapeError", EMPTY_NORM),
    Refusal("nn.functional.rms_norm", "sample/4", "ShapeError", EMPTY_NORM),
    Refusal("nn.functional.group_norm", "sample/12", "ShapeError", EMPTY_NORM),
]

NO_CHANNELS = "no channels: an empty result, as for a matrix product of empty matrices"

ACCEPTED_ERRORS: dict[tuple[str, str], str] = {
    ("nn.functional.max_pool1d", "error/5"): NO_CHANNELS,
    ("nn.functional.max_pool1d", "error/17"): NO_CHANNELS,
    ("nn.functional.max_pool3d", "error/4"): NO_CHANNELS,
    ("nn.functional.embedding", "error/1"): "the rows that are gathered may have any rank",
}
"""Calls that PyTorch refuses and the session takes on purpose: (operator, id of the error input) ->
reason."""

WITHOUT_GOLDEN: dict[str, str] = {
    "detach": "identity with derivative zero: PyTorch's detach is no OpInfo operator",
    "safe_log": "PyTorch has no such operator",
    "smooth_max_pool": "PyTorch has no such operator",
    "smooth_max_pool2d": "PyTorch has no such operator",
    "rand_uniform": "random: PyTorch's generator is another one",
    "bernoulli_mask": "random: PyTorch's generator is another one",
}
"""Session ops that no record uses, with the reason."""

"""Which ops treat the rows of a batch alike: the table that `graph_division.py` goes by.

Axis 0 of a divided array is the batch, of which every device holds an equal range. A rule looks at one use
of an op and says which operands and index vectors it needs divided so that each device can do its own rows;
all others must be the same everywhere. What is not in the table mixes rows, or is not known to keep them
apart: then there is no local graph. A wrong entry would be a wrong gradient, so every one is tested exactly
(tests/test_graph_division.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import Enum
from typing import Final, NamedTuple

from prooftape.op import Call


class Status(Enum):
    """What the values of one entry on the devices have to do with its value in the whole graph."""

    WHOLE = "the same on every device"
    PART = "the devices' values one after the other, along axis 0"
    MEAN = "the mean of the devices' values"
    SUM = "the sum of the devices' values"
    FREE = "equal rows: whole or divided, as its first use wants"


class Rows(NamedTuple):
    """What a use needs divided, and what comes of it. `shape`: an attribute holding the result's shape."""

    operands: Collection[int]
    result: Status = Status.PART
    nats: bool = False
    shape: bool = False


Rule = Callable[[Call, Collection[int]], Rows | None]
"""(call, operands that are divided) -> what it needs; None where rows are not kept apart."""


def _every(call: Call, parts: Collection[int]) -> Rows:
    return Rows(range(len(call.types)))


def _first(call: Call, parts: Collection[int]) -> Rows:
    return Rows((0,))


def _one_axis(call: Call, parts: Collection[int]) -> Rows | None:
    """Along one axis that is not the batch."""
    return Rows(range(len(call.types))) if call.int("axis") != 0 else None


def _reduction(over_batch: Status | None) -> Rule:
    def rule(call: Call, parts: Collection[int]) -> Rows | None:
        if call.op.attrs and 0 not in call.ints("axis"):
            return Rows((0,))
        return None if over_batch is None else Rows((0,), over_batch)

    return rule


def _mean_loss(call: Call, parts: Collection[int]) -> Rows:
    return Rows(range(len(call.types)), Status.MEAN)


def _label_loss(call: Call, parts: Collection[int]) -> Rows | None:
    return Rows((0,), Status.MEAN, nats=True) if len(call.shapes[0]) == 2 else None


def _lookup(call: Call, parts: Collection[int]) -> Rows:
    """Rows of a whole table, chosen by divided naturals."""
    return Rows((), nats=True)


def _with_rank(at: int, least: int) -> Rule:
    """Operand `at` is the batch if it has so many axes."""
    return lambda call, parts: Rows((at,)) if len(call.shapes[at]) >= least else None


def _image(call: Call, parts: Collection[int]) -> Rows | None:
    """Kernel, bias, images: with as many axes as the kernel, there is a batch axis."""
    return Rows((2,)) if len(call.shapes[2]) == len(call.shapes[0]) else None


def _pool(call: Call, parts: Collection[int]) -> Rows | None:
    return Rows((0,)) if len(call.shapes[0]) == len(call.ints("kernel")) + 2 else None


def _matmul(call: Call, parts: Collection[int]) -> Rows | None:
    a, b = call.shapes
    if 0 in parts and 1 in parts:
        return Rows((0, 1)) if len(a) == len(b) >= 3 and a[0] == b[0] else None
    if 0 in parts:
        stretched = len(b) <= 2 or len(a) > len(b) or (len(a) == len(b) and b[0] == 1)
        return Rows((0,)) if len(a) >= 2 and stretched else None
    stretched = len(b) > len(a) or (len(a) == len(b) and a[0] == 1)
    return Rows((1,)) if len(b) >= 3 and stretched else None


def _linear(call: Call, parts: Collection[int]) -> Rows | None:
    return Rows((2,)) if len(call.shapes[2]) >= 2 else None


def _reshape(call: Call, parts: Collection[int]) -> Rows | None:
    """Equal ranges of rows are equal ranges of entries, so of the new rows if these can be divided."""
    return Rows((0,), shape=bool(call.op.attrs)) if call.shape else None


def _broadcast(call: Call, parts: Collection[int]) -> Rows | None:
    first = call.ints("axes")[0]
    return Rows((0,), shape=True) if first == 0 and call.shapes[0][0] == call.shape[0] else None


def _permute(call: Call, parts: Collection[int]) -> Rows | None:
    return Rows((0,)) if call.ints("axes")[0] == 0 else None


def _swap(call: Call, parts: Collection[int]) -> Rows | None:
    return Rows((0,)) if call.int("depth") > 0 else None


def _pad(call: Call, parts: Collection[int]) -> Rows | None:
    return Rows((0,)) if call.pairs("widths")[0] == (0, 0) else None


_ENTRYWISE = """
    abs absorbing_mul add clamp cos detach div elu equal erf erf_prime exp expm1 gelu gelu_prime greater
    greater_equal leaky_relu less less_equal log log1p maximum minimum mul neg normal_pdf pow_const reciprocal
    relu safe_log scale sigmoid sigmoid_prime sign silu silu_prime sin softplus sqrt square sub tanh
    tanh_prime where
"""
ELEMENTWISE: Final = frozenset(_ENTRYWISE.split())
"""Ops of equal shapes, entry by entry."""

RULES: Final[dict[str, Rule]] = {
    **dict.fromkeys(ELEMENTWISE, _every),
    **dict.fromkeys(("sum", "reduce_sum"), _reduction(Status.SUM)),
    **dict.fromkeys(("mean", "reduce_mean"), _reduction(Status.MEAN)),
    **dict.fromkeys(("reduce_max", "logsumexp", "var"), _reduction(None)),
    **dict.fromkeys(("mse_loss", "huber_loss", "bce_with_logits"), _mean_loss),
    **dict.fromkeys(("cross_entropy", "nll_loss"), _label_loss),
    **dict.fromkeys(("gather_vec_ref", "gather_rows_ref", "take_ref", "one_hot_ref"), _lookup),
    **dict.fromkeys(("softmax", "log_softmax", "concat", "slice"), _one_axis),
    **dict.fromkeys(("layer_norm", "rms_norm"), _with_rank(0, 2)),
    **dict.fromkeys(("conv", "conv2d", "conv_transpose", "conv_transpose2d"), _image),
    **dict.fromkeys(("max_pool", "max_pool2d", "avg_pool", "avg_pool2d"), _pool),
    **dict.fromkeys(("smooth_max_pool", "smooth_max_pool2d"), _pool),
    **dict.fromkeys(("reshape", "flatten"), _reshape),
    "group_norm": _first,
    "multi_head_attention": _with_rank(4, 3),
    "bmm": _every,
    "absorbing_matmul": _matmul,
    "matmul": _matmul,
    "linear": _linear,
    "broadcast_to": _broadcast,
    "permute": _permute,
    "swap_adjacent_at_depth": _swap,
    "transpose3d_last_two": _first,
    "pad": _pad,
}
"""What each op needs to work on rows alone."""

_LINEAR = """
    broadcast_to detach flatten mean neg permute reduce_mean reduce_sum reshape scale slice sum
    swap_adjacent_at_depth transpose2d transpose3d_first_to_last transpose3d_last_to_first
    transpose3d_last_two
"""
_UNARY = _LINEAR.split()
_PRODUCTS = ("mul", "matmul", "bmm")


def combined(call: Call, found: Collection[Status]) -> Status | None:
    """Status of an op on means or sums over the devices and on what is whole; None if not linear."""
    name, kinds = call.op.name, list(found)
    partial = [k for k in kinds if k is not Status.WHOLE]
    if name in _UNARY:
        return partial[0]
    if name in ("add", "sub", "concat"):
        # a sum of what is whole is that many times as much: only means can be added to it
        alike = len({*partial}) == 1 and (partial[0] is Status.MEAN or len(partial) == len(kinds))
        return partial[0] if alike else None
    if name in _PRODUCTS:
        return partial[0] if len(partial) == 1 else None
    if name == "div":
        return kinds[0] if kinds[1] is Status.WHOLE else None
    return None

"""The float engine's own convolution and pooling kernels against the text of the rules, exactly.

On small integers every product and sum is exact, so equal means equal whatever the order of summation.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

import prooftape as pt
from prooftape.arrays import sliding
from prooftape.arrays.buffers import LIMIT, Buffers
from prooftape.arrays.floats import FloatArrays
from prooftape.arrays.sliding import rows_of
from prooftape.op import Call
from prooftape.ops import named_op
from prooftape.types import TensorType


class Plain(FloatArrays):
    """Runs the text of every rule."""

    def fused(self, name: str) -> None:
        return None


CONVOLUTIONS = [
    # w, x, stride, padding, whether the kernels serve it
    ((4, 3, 3, 3), (2, 3, 12, 13), 1, 1, True),
    ((4, 3, 3, 3), (3, 14, 14), 1, 0, True),
    ((2, 1, 5, 1), (3, 1, 9, 7), 1, (2, 0), True),
    ((1, 2, 2, 4), (2, 2, 9, 12), 1, (0, 2), True),
    ((2, 3, 1, 1), (2, 3, 5, 5), 1, 0, True),
    ((3, 2, 3, 3), (2, 2, 7, 7), 2, 1, False),
    ((3, 2, 3, 3), (2, 2, 2, 2), 1, 2, False),  # mostly padding
    ((2, 2, 3), (2, 2, 12), 1, 1, True),
    ((2, 1, 2, 1, 2), (2, 1, 6, 4, 6), 1, (0, 1, 0), True),
    ((2, 2, 3, 3), (0, 2, 8, 8), 1, 1, False),
]


def bound(name: str, shapes: list[tuple[int, ...]], **attrs: object) -> Call:
    op = named_op(name)
    given = [attrs.get(a.name, a.default) for a in op.attrs]
    return op.bind(tuple(TensorType.of(s) for s in shapes), given)


def integers(rng: np.random.Generator, shape: tuple[int, ...], layout: str = "C") -> np.ndarray:
    x = rng.integers(-4, 5, shape).astype(np.float32)
    return x if layout == "C" or x.ndim < 3 else np.ascontiguousarray(x.swapaxes(0, 1)).swapaxes(0, 1)


def agree(call: Call, operands: list[np.ndarray], ct: np.ndarray, saved: list[np.ndarray]) -> None:
    fast, plain = FloatArrays(np.float32), Plain(np.float32)
    wanted = [True] * len(operands)
    with np.errstate(all="ignore"):
        for _ in range(2):  # the second time in used scratch memory
            results = [
                [call.op.forward(xp, call, *operands), *call.op.vjp(xp, call, saved, ct, wanted)]
                for xp in (fast, plain)
            ]
            for a, b in zip(*results, strict=True):
                assert a.shape == b.shape and a.dtype == b.dtype == np.float32
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("layout", ["C", "channels first in memory"])
@pytest.mark.parametrize(("w", "x", "stride", "padding", "served"), CONVOLUTIONS)
def test_convolution(
    w: tuple[int, ...], x: tuple[int, ...], stride: object, padding: object, served: bool, layout: str
) -> None:
    rng = np.random.default_rng(len(w))
    call = bound("conv", [w, (w[0],), x], stride=stride, padding=padding)
    operands = [integers(rng, w), integers(rng, (w[0],)), integers(rng, x, layout)]
    agree(call, operands, integers(rng, call.shape, layout), [operands[0], operands[2]])
    batch = x[0] if len(x) == len(w) else 1
    at = rows_of(batch, x[2 - len(w) :], w[2:], call.ints("stride"), call.ints("padding"))
    assert (at is not None) == served


@pytest.mark.parametrize("where", ["w", "x", "ct"])
@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan])
def test_convolution_absorbs_as_the_text_does(where: str, special: float) -> None:
    rng = np.random.default_rng(1)
    w, x, padding = (2, 2, 3, 3), (2, 2, 12, 13), 1
    call = bound("conv", [w, (2,), x], padding=padding)
    values = {"w": integers(rng, w), "x": integers(rng, x), "ct": integers(rng, call.shape)}
    values["ct"][rng.random(call.shape) < 0.6] = 0
    values[where].flat[rng.choice(values[where].size, 2)] = special
    agree(call, [values["w"], integers(rng, (2,)), values["x"]], values["ct"], [values["w"], values["x"]])


POOLS = [
    ((2, 3, 8, 6), 2, 2, 0),
    ((3, 7, 7), 2, 2, 0),  # cells in no window
    ((2, 2, 7, 8), 3, 1, 0),  # overlapping
    ((2, 2, 7, 8), (1, 3), (2, 4), 0),  # gaps
    ((2, 2, 7, 8), 3, 2, 1),  # padded
    ((2, 1, 6, 6), 1, 1, 0),
    ((0, 2, 4, 4), 2, 2, 0),
]


@pytest.mark.parametrize("layout", ["C", "channels first in memory"])
@pytest.mark.parametrize(("x", "kernel", "stride", "padding"), POOLS)
def test_pooling_ties_included(
    x: tuple[int, ...], kernel: object, stride: object, padding: int, layout: str
) -> None:
    rng = np.random.default_rng(len(x))
    call = bound("max_pool2d", [x], kernel=kernel, stride=stride, padding=padding)
    image = integers(rng, x, layout)  # nine values: nearly every window has a tie
    agree(call, [image], integers(rng, call.shape, layout), [image])


@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("where", ["x", "ct"])
def test_pooling_of_special_values(special: float, where: str) -> None:
    rng = np.random.default_rng(2)
    call = bound("max_pool2d", [(2, 2, 6, 6)], kernel=2)
    values = {"x": integers(rng, (2, 2, 6, 6)), "ct": integers(rng, call.shape)}
    values[where].flat[:20] = special  # whole windows of it, and parts of windows
    agree(call, [values["x"]], values["ct"], [values["x"]])


@pytest.mark.parametrize("name", ["forward", "weight", "image"])
def test_the_kernels_do_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    plain: Callable[..., np.ndarray] = getattr(sliding.Convolution, name)

    def counted(self: sliding.Convolution, *args: object) -> np.ndarray:
        seen.append(name)
        return plain(self, *args)

    monkeypatch.setattr(sliding.Convolution, name, counted)
    test_convolution((4, 3, 3, 3), (2, 3, 12, 13), 1, 1, True, "C")
    assert len(seen) == 2
    test_convolution((3, 2, 3, 3), (2, 2, 7, 7), 2, 1, False, "C")
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("name", "shapes", "attrs"),
    [
        ("conv", [(4, 3, 3, 3), (4,), (2, 3, 12, 13)], {"padding": 1}),
        ("conv", [(4, 3, 3, 3), (4,), (2, 3, 14, 14)], {}),
        ("conv", [(4, 3, 1, 1), (4,), (2, 3, 5, 5)], {}),
        ("max_pool2d", [(2, 3, 8, 8)], {"kernel": 2}),
        ("max_pool2d", [(2, 3, 8, 8)], {"kernel": 1}),
    ],
)
def test_results_are_not_scratch_memory(
    name: str, shapes: list[tuple[int, ...]], attrs: dict[str, object]
) -> None:
    """Other inputs of the same shapes go through the same buffers; results handed out before stay."""
    rng, xp = np.random.default_rng(0), FloatArrays(np.float32)
    call = bound(name, shapes, **attrs)

    def results() -> list[np.ndarray]:
        operands = [integers(rng, s) for s in shapes]
        saved = [operands[p] for p in call.saved]
        ct = integers(rng, call.shape)
        y = call.op.forward(xp, call, *operands)
        return [y, *call.op.vjp(xp, call, saved, ct, [True] * len(shapes))]

    first = results()
    before = [a.tobytes() for a in first]
    second = results()
    assert [a.tobytes() for a in first] == before
    assert [a.tobytes() for a in second] != before
    assert not any(np.may_share_memory(a, b) for a in first for b in second)


def test_a_step_leaves_parameters_contiguous() -> None:
    rng = np.random.default_rng(0)
    s = pt.Session()
    w, b = s.param(rng.normal(size=(4, 3, 3, 3))), s.param(np.zeros(4))
    loss = s.mean(s.square(s.conv2d(s.use(w), s.use(b), s.input(rng.normal(size=(2, 3, 12, 13))), padding=1)))
    s.sgd_step_all(0.1, s.backward_scalar_dense_all(loss))
    assert w.stored.flags.c_contiguous


# -- scratch memory -----------------------------------------------------------------------------------------
def test_a_buffer_is_lent_to_one_taker_at_a_time() -> None:
    buffers, f32 = Buffers(), np.dtype(np.float32)
    a = buffers.take((3, 4), f32)
    assert buffers.take((3, 4), f32) is not a
    buffers.give(a)
    assert buffers.take((4, 3), f32) is not a and buffers.take((3, 4), np.dtype(np.float64)) is not a
    assert buffers.take((3, 4), f32) is a
    assert buffers.take((3, 4), f32) is not a


def test_kept_memory_is_bounded() -> None:
    buffers, byte = Buffers(), np.dtype(np.uint8)
    part = LIMIT // 4
    lent = [buffers.take((part,), byte) for _ in range(5)]
    buffers.give(*lent)
    assert sum(a.nbytes for free in buffers._free.values() for a in free) <= LIMIT
    huge = buffers.take((LIMIT + 1,), byte)
    buffers.give(huge)
    assert buffers.take((LIMIT + 1,), byte) is not huge


def test_threads_share_an_engine() -> None:
    wrong: list[str] = []
    xp = FloatArrays(np.float32)
    rng = np.random.default_rng(0)
    call = bound("conv", [(4, 3, 3, 3), (4,), (2, 3, 12, 13)], padding=1)
    inputs = [[integers(rng, s) for s in call.shapes] for _ in range(4)]
    right = [call.op.forward(Plain(np.float32), call, *given) for given in inputs]

    def share(i: int) -> None:
        for _ in range(50):
            if not np.array_equal(call.op.forward(xp, call, *inputs[i]), right[i]):
                wrong.append(f"thread {i}")

    threads = [threading.Thread(target=share, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong

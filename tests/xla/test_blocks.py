"""A tape cut into blocks computes what the whole tape does, in code that does not grow with its square."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="needs the extra `xla`")

from prooftape.session import Session  # noqa: E402
from prooftape.tape import Tape, backward_dense_from, forward_from  # noqa: E402
from prooftape.xla import blocks  # noqa: E402
from prooftape.xla.arrays import JaxArrays  # noqa: E402


def chain(depth: int, owned: bool, function: str = "relu") -> tuple[Tape, list[Any]]:
    """Blocks of relu(a h + b) c and a sum of squares; whole numbers so small that every sum is exact."""
    draw = np.random.default_rng(0)
    s = Session("float32")
    arrays = [draw.integers(-2, 3, 8).astype(np.float32) for _ in range(3 * depth if owned else 3)]
    params = [s.add_leaf(a) for a in arrays]
    x = np.ones(8, np.float32)
    h = s.input(x)
    for k in range(depth):
        a, b, c = params[3 * k : 3 * k + 3] if owned else params
        h = s.mul(getattr(s, function)(s.add(s.mul(a, h), b)), c)
    s.sum(s.square(h))
    return s.compile_tape(), [*arrays, x]


def product(bad: float) -> tuple[Tape, list[Any]]:
    """A matrix product large enough to have the branch for zero cotangents that meet non-finite operands."""
    s = Session("float32")
    w, x = np.ones((16, 16), np.float32), np.ones((16, 16), np.float32)
    x[0, 0] = bad
    h = s.relu(s.neg(s.matmul(s.add_leaf(w), s.input(x))))
    s.sum(s.square(h))
    return s.compile_tape(), [w, x]


def picked(rows: int) -> tuple[Tape, list[Any], np.ndarray[Any, Any]]:
    """Rows of a table, twice, by naturals."""
    s = Session("float32")
    table = np.arange(12, dtype=np.float32).reshape(4, 3)
    labels = np.arange(rows) % 3
    t, y = s.add_leaf(table), s.input_nat_vec(labels)
    h = s.mul(s.gather_rows_ref(t, y), s.gather_rows_ref(t, y))
    s.sum(s.square(h))
    return s.compile_tape(), [table], labels.astype(np.int32)


def taped(tape: Tape, size: int | None, strict: bool = True, made: list[Any] | None = None) -> Any:
    """(leaves, naturals) -> result, whether something was suspect, cotangents of the leaves."""
    needed = [True] * len(tape)

    def traced(leaves: Any, naturals: Any) -> Any:
        xp = JaxArrays("float32", strict)
        values = list(leaves)
        ct: list[Any] = [None] * len(tape)
        ct[-1] = xp.full((), 1)
        if size is None:
            forward_from(xp, tape.instrs, values, lambda start, k: naturals)
            ct = backward_dense_from(xp, tape, values, ct, lambda start, k: naturals, needed)
        else:
            values += [None] * len(tape.instrs)
            cut = blocks.Blocks(xp, tape.instrs, lambda start, k: naturals, size)
            cut.forward(values, blocks.saved_slots(tape.instrs, needed) | {len(tape) - 1})
            ct = cut.backward(values, ct, needed, range(tape.n_leaves))
            if made is not None:
                made.append(cut)
        flag = np.bool_(False)
        for suspect in xp.suspects:
            flag = flag | suspect
        return values[-1], flag, ct[: tape.n_leaves]

    return traced


def results(traced: Any, *arguments: Any) -> list[Any]:
    return [np.asarray(v) for v in jax.tree.leaves(jax.jit(traced)(*arguments))]


def assert_equal(one: list[Any], other: list[Any]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("owned", [False, True])
@pytest.mark.parametrize("size", [1, 7])
def test_blocks_compute_what_the_whole_tape_computes(owned: bool, size: int) -> None:
    tape, leaves = chain(4, owned)
    whole = results(taped(tape, None), leaves, None)
    assert len(whole) == 2 + len(leaves)
    assert any(g.any() for g in whole[2:])
    assert_equal(whole, results(taped(tape, size), leaves, None))


@pytest.mark.parametrize(
    ("size", "bad", "strict"), [(1, 1.0, False), (1, np.inf, False), (3, np.nan, False), (3, np.inf, True)]
)
def test_what_is_suspect_in_a_block_is_known_outside(size: int, bad: float, strict: bool) -> None:
    tape, leaves = product(bad)
    whole = results(taped(tape, None, strict), leaves, None)
    assert whole[1] == (not strict and not np.isfinite(bad))
    assert_equal(whole, results(taped(tape, size, strict), leaves, None))


@pytest.mark.parametrize("size", [2])
def test_naturals_reach_blocks_known_or_not(size: int) -> None:
    tape, leaves, labels = picked(5)
    whole = results(taped(tape, None), leaves, labels)
    assert whole[2].any()
    assert_equal(whole, results(taped(tape, size), leaves, labels))
    known = taped(tape, size)
    assert_equal(whole, results(lambda leaves: known(leaves, labels), leaves))


def test_equal_blocks_are_traced_once() -> None:
    for depth in (8, 16):
        tape, leaves = chain(depth, True)
        made: list[Any] = []
        jax.jit(taped(tape, 8, made=made)).trace(leaves, None)
        (cut,) = made
        assert len(cut.blocks) == depth // 2
        # each way one for blocks amid the others, and at most two for those at the ends
        assert len(cut.traced) <= 6


def code(depth: int, size: int | None) -> int:
    """Lines of XLA's code of a training step."""
    tape, leaves = chain(depth, True, "tanh")
    traced = taped(tape, size)

    def step(leaves: Any) -> Any:
        value, _, gradients = traced(leaves, None)
        return value, [p - np.float32(0.1) * g for p, g in zip(leaves, gradients, strict=True)]

    return len(jax.jit(step).lower(leaves).compile().as_text().splitlines())


@pytest.mark.slow
@pytest.mark.skipif(jax.default_backend() != "cpu", reason="what is fused, and so grows, on a CPU")
def test_the_code_grows_with_the_depth_and_not_its_square() -> None:
    whole, cut = [[code(depth, size) for depth in (5, 20)] for size in (None, 8)]
    assert cut[1] < 5 * cut[0]
    assert whole[1] > 6 * whole[0], "XLA no longer needs the cuts: look at blocks.py again"


def test_parts_cover_the_tape_and_keep_to_the_size() -> None:
    for depth in (1, 5, 30):
        tape, _ = chain(depth, True)
        for size in (1, 2, 8, 20):
            parts = list(blocks._cut(tape.instrs, size))
            assert [i for part in parts for i in part] == list(tape.instrs)
            assert all(size - size // 4 <= len(part) <= size + size // 4 for part in parts[:-1])
            assert 0 < len(parts[-1]) <= size + size // 4


def dense(depth: int) -> Tape:
    """Layers of a matrix product and two cheap ops."""
    s = Session("float32")
    w, b = s.add_leaf(np.ones((2, 2))), s.add_leaf(np.ones(2))
    h = s.input(np.ones((2, 2)))
    for _ in range(depth):
        h = s.relu(s.neg(s.linear(w, b, h)))
    s.sum(h)
    return s.compile_tape()


def test_only_long_chains_on_a_cpu_are_cut() -> None:
    short, long = (chain(depth, True)[0].instrs for depth in (11, 12))
    assert [blocks.longest_chain(instrs) for instrs in (short, long)] == [46, 50]
    assert blocks.block_size(short, "cpu") is None
    assert blocks.block_size(long, "cpu") == blocks.BLOCK
    assert blocks.block_size(long, "gpu") is None
    assert blocks.block_size((), "cpu") is None
    assert blocks.longest_chain(dense(100).instrs) == 3
    assert blocks.block_size(dense(100).instrs, "cpu") is None


def test_the_products_are_ops() -> None:
    from prooftape import ops

    assert set(ops.table()) >= blocks.PRODUCTS

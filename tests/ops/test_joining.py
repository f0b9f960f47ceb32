"""Joining, slicing, padding: against NumPy, with gradients cut and placed back."""

from __future__ import annotations

import numpy as np
import pytest
from op_calls import count_up, grads, tangent, value

from prooftape import Session
from prooftape.errors import OperandError


@pytest.mark.parametrize(
    ("shapes", "axis"),
    [
        ([(2,), (3,), (0,)], 0),
        ([(2, 3), (2, 1), (2, 2)], 1),
        ([(2, 3), (2, 1)], -1),
        ([(1, 2, 2), (1, 3, 2), (1, 1, 2)], -2),
        ([(2, 2)], 0),
    ],
)
def test_concat(shapes: list[tuple[int, ...]], axis: int) -> None:
    xs = [count_up(*s) * 10**i for i, s in enumerate(shapes)]
    joined = np.concatenate(xs, axis=axis)
    assert np.array_equal(value("concat", *xs, axis=axis), joined)
    for x, dx in zip(xs, grads("concat", *xs, ct=joined, axis=axis), strict=True):
        assert np.array_equal(dx, x)
    assert np.array_equal(tangent("concat", xs, [-x for x in xs], axis=axis), -joined)
    moves = [None if i else x for i, x in enumerate(xs)]
    still = np.concatenate([0 * x if i else x for i, x in enumerate(xs)], axis=axis)
    assert np.array_equal(tangent("concat", xs, moves, axis=axis), still)


def test_concat_takes_any_iterable_and_repeated_operands() -> None:
    s = Session(scalar="float64")
    x = s.add_leaf([1.0, 2.0])
    out = s.concat(x for _ in range(3))
    assert np.array_equal(out.value, [1, 2, 1, 2, 1, 2])
    assert np.array_equal(s.backward_dense_all(out, np.arange(6.0))[x], [0 + 2 + 4, 1 + 3 + 5])


def test_concat_of_a_handle_or_of_nothing_is_refused() -> None:
    s = Session()
    x = s.add_leaf([[1.0, 2.0]])
    with pytest.raises(OperandError, match="expected a list of TensorRefs, got TensorRef"):
        s.concat(x)
    with pytest.raises(OperandError) as caught:
        s.concat([])
    assert str(caught.value) == "concat: needs at least one operand; pass a non-empty list"


@pytest.mark.parametrize("op", ["concat_vectors", "concat_dim0"])
def test_concat_of_two(op: str) -> None:
    a, b = count_up(2), count_up(3)
    assert np.array_equal(value(op, a, b), [1, 2, 1, 2, 3])
    da, db = grads(op, a, b, ct=count_up(5))
    assert np.array_equal(da, [1, 2]) and np.array_equal(db, [3, 4, 5])


def test_concat_dim0_stacks_rows() -> None:
    a, b = count_up(2, 3), count_up(1, 3)
    assert np.array_equal(value("concat_dim0", a, b), np.vstack([a, b]))


@pytest.mark.parametrize(
    ("axis", "start", "length"), [(0, 1, 2), (1, 0, 4), (-1, 3, 1), (-2, 3, 0), (1, 4, 0)]
)
def test_slice(axis: int, start: int, length: int) -> None:
    x = count_up(3, 4)
    cells = [slice(None), slice(None)]
    cells[axis] = slice(start, start + length)
    expected = x[tuple(cells)]
    assert np.array_equal(value("slice", x, axis=axis, start=start, length=length), expected)
    (dx,) = grads("slice", x, ct=expected, axis=axis, start=start, length=length)
    placed = np.zeros_like(x)
    placed[tuple(cells)] = expected
    assert np.array_equal(dx, placed)


def test_slice_range0_takes_rows() -> None:
    x = count_up(4, 2)
    assert np.array_equal(value("slice_range0", x, start=1, length=2), x[1:3])
    assert np.array_equal(value("slice_range0", x, start=4, length=0), x[4:])
    (dx,) = grads("slice_range0", x, ct=x[1:3], start=1, length=2)
    assert np.array_equal(dx, [[0, 0], x[1], x[2], [0, 0]])


@pytest.mark.parametrize(
    ("shape", "widths"), [((3,), [(1, 2)]), ((2, 2), [(0, 1), (2, 0)]), ((2, 0), [(0, 0), (1, 1)]), ((), [])]
)
def test_pad(shape: tuple[int, ...], widths: list[tuple[int, int]]) -> None:
    x = count_up(*shape)
    padded = np.pad(x, widths, constant_values=7.0) if widths else x
    assert np.array_equal(value("pad", x, widths=widths, value=7), padded)
    assert np.array_equal(grads("pad", x, ct=padded, widths=widths, value=7)[0], x)
    plain = np.pad(x, widths) if widths else x
    # the filling does not move
    assert np.array_equal(tangent("pad", [x], [x], widths=widths, value=7), plain)


def test_pad_takes_an_infinite_filling() -> None:
    assert np.array_equal(value("pad", [1.0], widths=[(1, 0)], value=-np.inf), [-np.inf, 1.0])


def test_slices_of_handles_are_the_same_op() -> None:
    s = Session(scalar="float64")
    x = s.add_leaf(count_up(3, 4))
    assert np.array_equal(x[1:, 2].value, count_up(3, 4)[1:, 2])
    assert [n.op for n in s.graph.nodes] == ["slice", "slice", "reshape"]

"""Shape ops: the entries in their new places, gradients that undo the move."""

from __future__ import annotations

import numpy as np
import pytest
from op_calls import count_up, grads, record, tangent, value


@pytest.mark.parametrize(
    ("shape", "asked", "expected"),
    [
        ((2, 3), (3, 2), (3, 2)),
        ((2, 6), (3, -1, 2), (3, 2, 2)),
        ((6,), -1, (6,)),
        ((), (1, 1), (1, 1)),
        ((1, 1), (), ()),
        ((), (-1,), (1,)),
        ((0, 3), (5, 0), (5, 0)),
        ((0, 3), (-1, 3), (0, 3)),
        ((2, 3), (2, 3), (2, 3)),
    ],
)
def test_reshape(shape: tuple[int, ...], asked: object, expected: tuple[int, ...]) -> None:
    x = count_up(*shape)
    found = value("reshape", x, shape=asked)
    assert found.shape == expected
    assert np.array_equal(found.ravel(), x.ravel())
    (dx,) = grads("reshape", x, ct=10 * found, shape=asked)
    assert np.array_equal(dx, 10 * x) and dx.shape == shape


def test_reshape_stores_the_inferred_dimension() -> None:
    """Two spellings of one shape are one graph."""
    inferred, written = (record("reshape", [count_up(2, 3)], shape=s)[0].graph for s in ((3, -1), (3, 2)))
    assert str(inferred).count("shape=[3, 2]") == 1
    assert inferred.nodes[0].call == written.nodes[0].call


@pytest.mark.parametrize("shape", [(2, 3), (2, 1, 3), (4,), (), (2, 0)])
def test_flatten(shape: tuple[int, ...]) -> None:
    x = count_up(*shape)
    assert np.array_equal(value("flatten", x), x.ravel())
    (dx,) = grads("flatten", x, ct=x.ravel())
    assert np.array_equal(dx, x) and dx.shape == shape


def test_named_transposes_by_index() -> None:
    """out[j, k, i] = x[i, j, k] and so on, entry by entry."""
    x = count_up(2, 3, 4)
    first, last, two = (
        value(f"transpose3d_{name}", x) for name in ("first_to_last", "last_to_first", "last_two")
    )
    assert (first.shape, last.shape, two.shape) == ((3, 4, 2), (4, 2, 3), (2, 4, 3))
    for i, j, k in np.ndindex(2, 3, 4):
        assert first[j, k, i] == last[k, i, j] == two[i, k, j] == x[i, j, k]
    assert np.array_equal(value("transpose2d", count_up(2, 3)), count_up(2, 3).T)


@pytest.mark.parametrize(
    ("op", "shape", "arguments"),
    [
        ("transpose2d", (2, 3), {}),
        ("transpose3d_first_to_last", (2, 3, 4), {}),
        ("transpose3d_last_to_first", (2, 3, 4), {}),
        ("transpose3d_last_two", (2, 3, 4), {}),
        ("swap_adjacent_at_depth", (2, 3, 4, 5), {"depth": 1}),
        ("permute", (2, 3, 4), {"axes": (2, 0, 1)}),
        ("permute", (2, 3, 4), {"axes": (-1, 0, -2)}),
        ("permute", (), {"axes": ()}),
    ],
)
def test_gradient_moves_entries_back(op: str, shape: tuple[int, ...], arguments: dict[str, object]) -> None:
    x = count_up(*shape)
    moved = value(op, x, **arguments)
    assert np.array_equal(grads(op, x, ct=moved, **arguments)[0], x)
    assert np.array_equal(tangent(op, [x], [-x], **arguments), -moved)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_swap_adjacent_at_depth(depth: int) -> None:
    x = count_up(2, 3, 4, 5)
    assert np.array_equal(value("swap_adjacent_at_depth", x, depth=depth), np.swapaxes(x, depth, depth + 1))


def test_permute_is_numpys_transpose() -> None:
    x = count_up(2, 3, 4)
    assert np.array_equal(value("permute", x, axes=(1, -1, 0)), x.transpose(1, 2, 0))

"""Sliding windows against NumPy's own, their transpose, and the first maximum of a window."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from op_calls import count_up, grads, value

CASES = [
    ((5,), (2,), (1,)),
    ((2, 5), (3,), (2,)),
    ((2, 6), (2,), (3,)),
    ((1, 3, 4), (2, 2), (1, 2)),
    ((2, 2, 3, 4, 5), (2, 2, 2), (1, 2, 3)),
    ((3,), (3,), (5,)),
    ((0, 3), (2,), (1,)),
    ((2,), (), ()),
]


def reference(x: np.ndarray, kernel: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
    d = len(kernel)
    if not d:
        return x
    axes = tuple(range(x.ndim - d, x.ndim))
    every = sliding_window_view(x, kernel, axes)
    steps = tuple(slice(None, None, s) for s in stride)
    return every[(..., *steps, *(slice(None),) * d)]


@pytest.mark.parametrize(("shape", "kernel", "stride"), CASES)
def test_windows(shape: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...]) -> None:
    x = count_up(*shape)
    expected = reference(x, kernel, stride)
    assert np.array_equal(value("windows", x, kernel=kernel, stride=stride), expected)
    (dx,) = grads("windows", x, ct=np.ones(expected.shape), kernel=kernel, stride=stride)
    covered = np.array([np.count_nonzero(expected == v) for v in x.ravel()]).reshape(shape)
    assert np.array_equal(dx, covered), "each cell gets one for every window it lies in"


@pytest.mark.parametrize(("shape", "kernel", "stride"), CASES)
def test_folding_is_the_transpose(
    shape: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    x = count_up(*shape)
    size = shape[len(shape) - len(kernel) :]
    w = 10.0 * count_up(*reference(x, kernel, stride).shape)
    folded = value("fold_windows", w, size=size, stride=stride)
    assert np.array_equal(grads("windows", x, ct=w, kernel=kernel, stride=stride)[0], folded)
    assert np.sum(folded * x) == np.sum(w * reference(x, kernel, stride))
    assert np.array_equal(
        grads("fold_windows", w, ct=x, size=size, stride=stride)[0], reference(x, kernel, stride)
    )


def test_first_max() -> None:
    x = [[1.0, 3.0, 3.0], [-np.inf, -np.inf, -np.inf], [0.0, np.nan, 5.0], [-0.0, 0.0, -1.0]]
    assert np.array_equal(value("first_max", x).argmax(axis=1), [1, 0, 1, 0])
    assert np.array_equal(value("first_max", x).sum(axis=1), [1, 1, 1, 1])


def test_first_max_among_candidates() -> None:
    x, valid = [[9.0, 1.0, 2.0], [9.0, 2.0, 2.0], [9.0, -np.inf, -np.inf]], np.array([False, True, True])
    assert np.array_equal(value("first_max", x, valid=valid).argmax(axis=1), [2, 1, 1])
    rows = np.array([[True, False, False], [False, False, True], [True, True, True]])
    assert np.array_equal(value("first_max", x, valid=rows).argmax(axis=1), [0, 2, 0])

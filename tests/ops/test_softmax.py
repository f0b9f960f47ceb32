"""softmax and log_softmax: check values, shift, axes, tails, what nan and infinities do, refusals."""

from __future__ import annotations

from collections.abc import Sequence

import mpmath
import numpy as np
import pytest
from numpy.typing import NDArray
from op_calls import grads, refusal, tangent, value

from prooftape import Session

Vector = NDArray[np.float64]
X = [1.0, 2.0, 3.0]


def test_check_values() -> None:
    assert value("log_softmax", X) == pytest.approx([-2.40760596, -1.40760596, -0.40760596], abs=5e-9)
    moved = tangent("log_softmax", [X], [[1.0, 0.0, 0.0]])
    assert moved == pytest.approx([0.90996943, -0.09003057, -0.09003057], abs=5e-9)
    assert value("softmax", X) == pytest.approx([0.09003057, 0.24472847, 0.66524096], abs=5e-9)


def test_jvp_and_vjp_of_log_softmax_are_different_formulas() -> None:
    """The Jacobian is not symmetric: row 0 is not column 0."""
    row = grads("log_softmax", X, ct=[1.0, 0.0, 0.0])[0]
    column = tangent("log_softmax", [X], [[1.0, 0.0, 0.0]])
    assert row == pytest.approx([0.90996943, -0.24472847, -0.66524096], abs=5e-9)
    assert not np.allclose(row, column)


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
def test_an_axis_is_the_last_axis_moved(op: str) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    ct = np.random.default_rng(1).normal(size=x.shape)
    for axis in (0, 1, -3, -2):
        moved, moved_ct = np.moveaxis(x, axis, -1), np.moveaxis(ct, axis, -1)
        assert np.array_equal(value(op, x, axis=axis), np.moveaxis(value(op, moved), -1, axis))
        (g,), (moved_g,) = grads(op, x, ct=ct, axis=axis), grads(op, moved, ct=moved_ct)
        assert np.allclose(g, np.moveaxis(moved_g, -1, axis), rtol=0, atol=1e-15)


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
def test_rows_are_independent(op: str) -> None:
    x, ct = np.random.default_rng(0).normal(size=(2, 5, 3))
    assert np.array_equal(value(op, x), [value(op, row) for row in x])
    assert np.array_equal(grads(op, x, ct=ct)[0], [grads(op, r, ct=c)[0] for r, c in zip(x, ct, strict=True)])


def test_large_entries_do_not_overflow() -> None:
    assert value("softmax", [1e300, 1e300, -1e300]) == pytest.approx([0.5, 0.5, 0.0])
    assert value("log_softmax", [1000.0, 0.0]).tolist() == [0.0, -1000.0]
    assert grads("softmax", [1e308, -1e308], ct=[1.0, 0.0])[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("op", "expected"), [("softmax", 1.0), ("log_softmax", 0.0)])
@pytest.mark.parametrize("axis", [0, -1])
def test_a_scalar_is_a_vector_of_one(op: str, expected: float, axis: int) -> None:
    assert value(op, 3.5, axis=axis).tolist() == expected
    assert grads(op, 3.5, ct=2.0, axis=axis)[0].tolist() == 0.0
    assert tangent(op, [3.5], [2.0]).tolist() == 0.0


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
@pytest.mark.parametrize(("shape", "axis"), [((0,), 0), ((2, 0), 1), ((2, 0), 0), ((0, 3), 1)])
def test_no_entries(op: str, shape: tuple[int, ...], axis: int) -> None:
    assert value(op, np.zeros(shape), axis=axis).shape == shape
    assert grads(op, np.zeros(shape), ct=np.zeros(shape), axis=axis)[0].shape == shape


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
def test_minus_infinity_is_a_masked_entry(op: str) -> None:
    x, ct = [1.0, -np.inf, 2.0], [1.0, 0.0, -2.0]
    short, short_ct = [1.0, 2.0], [1.0, -2.0]
    full, kept = value(op, x), value(op, short)
    assert full[[0, 2]].tolist() == kept.tolist() and full[1] == (0.0 if op == "softmax" else -np.inf)
    assert grads(op, x, ct=ct)[0][[0, 2]] == pytest.approx(grads(op, short, ct=short_ct)[0], rel=1e-15)
    assert grads(op, x, ct=ct)[0][1] == 0.0


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
def test_a_row_with_nan_stays_alone(op: str) -> None:
    x = [[np.nan, 1.0], [1.0, 2.0]]
    out = value(op, x)
    assert np.isnan(out[0]).all() and np.isfinite(out[1]).all()
    g = grads(op, x, ct=[[0.0, 0.0], [1.0, 0.0]])[0]
    assert g[0].tolist() == [0.0, 0.0], "an exactly zero cotangent absorbs"
    assert np.isfinite(g[1]).all()


def exact_jacobian(op: str, x: Vector) -> list[list[mpmath.mpf]]:
    """d out_i / d x_j for the stored x, to 300 bits."""
    e = [mpmath.exp(mpmath.mpf(v)) for v in x.tolist()]
    total = mpmath.fsum(e)

    def entry(i: int, j: int) -> mpmath.mpf:
        d = mpmath.fsum(e[k] for k in range(len(e)) if k != i) / total if i == j else -e[j] / total
        return d * e[i] / total if op == "softmax" else d

    return [[entry(i, j) for j in range(len(e))] for i in range(len(e))]


def ulps(got: float, exact: mpmath.mpf) -> float:
    """Error in units of the last place of the exact value (of the smallest subnormal, at least)."""
    return float(abs(mpmath.mpf(got) - exact) / mpmath.mpf(float(np.spacing(abs(float(exact))))))


def tail_rows() -> list[Vector]:
    rng = np.random.default_rng(7)
    rows = [rng.normal(size=rng.integers(1, 6)) * 10.0 ** rng.uniform(-3, 3) for _ in range(40)]
    rows += [rng.normal(size=3) + 1e3 for _ in range(10)]
    rows += [
        np.array(r) for r in ([50.0, 0.0], [0.3, -700.0], [0.1, -744.5, 0.2], [1e308, -1e308], [0.0, 1e-300])
    ]
    return rows


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
def test_jacobian_entries_are_within_4_ulp(op: str) -> None:
    with mpmath.workprec(300):
        for x in tail_rows():
            exact = exact_jacobian(op, x)
            s = Session(scalar="float64")
            leaf = s.add_leaf(x)
            out = getattr(s, op)(leaf)
            for i in range(len(x)):
                unit = np.eye(len(x))[i]
                row, column = s.backward_dense_all(out, unit)[leaf], s.jvp_leaf(out, leaf, unit)
                for j in range(len(x)):
                    assert ulps(float(row[j]), exact[i][j]) <= 4, (x, i, j)
                    assert ulps(float(column[j]), exact[j][i]) <= 4, (x, j, i)


def test_a_nearly_certain_class_keeps_its_gradient() -> None:
    """1 - softmax is 2e-22 here; as 1 - 1.0 it would be 0."""
    assert grads("log_softmax", [50.0, 0.0], ct=[1.0, 0.0])[0] == pytest.approx(
        [1.9287498479639178e-22, -1.9287498479639178e-22], rel=1e-15
    )


@pytest.mark.parametrize(
    ("values", "attrs", "expected"),
    [
        (
            [np.zeros((2, 3))],
            {"axis": 2},
            "axis 2 is out of range for 2 axes: x = x (2, 3); it must be between -2 and 1",
        ),
        (
            [np.zeros(())],
            {"axis": 1},
            "axis 1 is out of range for a scalar: x = x (); it must be between -1 and 0",
        ),
        (
            [np.zeros(2)],
            {"axis": 0.5},
            "attribute axis: expected an integer, got float 0.5: x = x (2,); "
            "axis the entries of which compete; negative counts from the end",
        ),
    ],
)
@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
def test_refusals(op: str, values: Sequence[Vector], attrs: dict[str, object], expected: str) -> None:
    assert refusal(op, *values, **attrs) == ("AttributeValueError", f"{op}: {expected}")

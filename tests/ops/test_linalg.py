"""Matrix products: values against NumPy, derivatives against their formulas, absorbing zeros."""

from __future__ import annotations

import numpy as np
import pytest
from op_calls import Array, count_up, grads, rationals, record, tangent, value, zeros

from prooftape.scalars import scalar

SHAPES = [
    ((3,), (3,)),
    ((2, 3), (3, 4)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((5, 2, 3), (3,)),
    ((2, 3), (5, 3, 4)),
    ((3,), (5, 3, 4)),
    ((2, 1, 2, 3), (5, 3, 4)),
    ((1, 2, 3), (5, 3, 4)),
    ((5, 2, 3), (1, 3, 4)),
    ((2, 0), (0, 3)),
    ((0, 3), (3, 2)),
    ((0, 2, 3), (0, 3, 1)),
]


def draws(*shapes: tuple[int, ...]) -> list[Array]:
    rng = np.random.default_rng(sum(map(sum, shapes)))
    return [rng.integers(-9, 10, s).astype(float) for s in shapes]


def summed_to(g: Array, shape: tuple[int, ...]) -> Array:
    """Sum of `g` over the axes that broadcasting added or stretched."""
    extra = g.ndim - len(shape)
    axes = (*range(extra), *(i + extra for i, d in enumerate(shape) if d == 1 and g.shape[i + extra] != 1))
    return g.sum(axis=axes).reshape(shape)


@pytest.mark.parametrize(("a_shape", "b_shape"), SHAPES)
def test_matmul_is_numpys_matmul(a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> None:
    a, b = draws(a_shape, b_shape)
    found, expected = value("matmul", a, b), np.asarray(a @ b)
    assert found.shape == expected.shape
    assert np.array_equal(found, expected)  # small integers: every sum is exact


@pytest.mark.parametrize(("a_shape", "b_shape"), SHAPES)
def test_matmul_gradients(a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> None:
    """Against outer products written out with promoted vectors and summed over broadcast axes."""
    a, b = draws(a_shape, b_shape)
    (ct,) = draws(np.shape(a @ b))
    a2, b2 = a if a.ndim > 1 else a[None, :], b if b.ndim > 1 else b[:, None]
    g = ct.reshape(np.shape(a2 @ b2))
    da, db = grads("matmul", a, b, ct=ct)
    assert np.array_equal(da, summed_to(g @ b2.swapaxes(-1, -2), a2.shape).reshape(a.shape))
    assert np.array_equal(db, summed_to(a2.swapaxes(-1, -2) @ g, b2.shape).reshape(b.shape))


def test_matmul_batch_is_a_loop_over_samples() -> None:
    a, b = draws((4, 2, 3), (4, 3, 5))
    (ct,) = draws((4, 2, 5))
    da, db = grads("matmul", a, b, ct=ct)
    for i in range(4):
        assert np.array_equal(value("matmul", a, b)[i], value("matmul", a[i], b[i]))
        for whole, one in zip((da, db), grads("matmul", a[i], b[i], ct=ct[i]), strict=True):
            assert np.array_equal(whole[i], one)


def test_matmul_tangent_moves_both_operands() -> None:
    a, b, da, db = draws((2, 3), (3, 2), (2, 3), (3, 2))
    assert np.array_equal(tangent("matmul", [a, b], [da, db]), da @ b + a @ db)
    assert np.array_equal(tangent("matmul", [a, b], [None, db]), a @ db)


def test_matmul_over_rationals_is_exact() -> None:
    a, b = rationals(2, 3), rationals(3, 2, start=5)
    assert np.array_equal(value("matmul", a, b, scalar="rational"), a.dot(b))


def test_bmm_is_a_product_of_each_pair() -> None:
    a, b = draws((3, 2, 4), (3, 4, 2))
    (ct,) = draws((3, 2, 2))
    assert np.array_equal(value("bmm", a, b), a @ b)
    da, db = grads("bmm", a, b, ct=ct)
    assert np.array_equal(da, ct @ b.swapaxes(1, 2))
    assert np.array_equal(db, a.swapaxes(1, 2) @ ct)


# -- linear -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("lead", [(), (5,), (2, 5), (0,)])
def test_linear(lead: tuple[int, ...]) -> None:
    w, b, x = draws((4, 3), (4,), (*lead, 3))
    (ct,) = draws((*lead, 4))
    assert np.array_equal(value("linear", w, b, x), x @ w.T + b)
    dw, db, dx = grads("linear", w, b, x, ct=ct)
    rows, g = x.reshape(-1, 3), ct.reshape(-1, 4)
    assert np.array_equal(dw, g.T @ rows)
    assert np.array_equal(db, g.sum(axis=0))
    assert np.array_equal(dx, ct @ w)


def test_linear_tangents() -> None:
    w, b, x, dw, db, dx = draws((4, 3), (4,), (5, 3), (4, 3), (4,), (5, 3))
    assert np.array_equal(tangent("linear", [w, b, x], [dw, db, dx]), dx @ w.T + x @ dw.T + db)
    assert np.array_equal(tangent("linear", [w, b, x], [None, db, None]), np.broadcast_to(db, (5, 4)))


def test_linear_computes_only_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen input costs no product: the backward pass of a first layer."""
    xp = scalar("float64").xp
    products: list[tuple[int, ...]] = []
    multiply = xp.amatmul
    monkeypatch.setattr(
        xp, "amatmul", lambda a, b, linear: products.append(a.shape) or multiply(a, b, linear)
    )
    s, (w, b, _), _ = record("linear", draws((4, 3), (4,), (5, 3)))
    s.reset_tape()
    w, b = s.add_leaf(zeros(4, 3)), s.add_leaf(zeros(4))
    x = s.input(zeros(5, 3), requires_grad=False)
    s.backward_scalar_dense_all(s.sum(s.linear(w, b, x)))
    assert products == [(4, 5)]


# -- zero is absorbing ---------------------------------------------------------------------------------
def test_zero_cotangents_absorb_non_finite_operands() -> None:
    a = np.array([[1.0, 2.0], [np.inf, np.nan]])
    b = np.array([[1.0, np.inf], [3.0, 4.0]])
    ct = np.array([[1.0, 0.0], [0.0, 0.0]])
    da, db = grads("matmul", a, b, ct=ct)
    assert np.array_equal(da, [[1.0, 3.0], [0.0, 0.0]])
    assert np.array_equal(db, [[1.0, 0.0], [2.0, 0.0]])


def test_zero_tangents_absorb_non_finite_operands() -> None:
    a, b = np.array([[np.inf, 2.0]]), np.array([[3.0], [np.nan]])
    assert np.array_equal(
        tangent("matmul", [a, b], [[[5.0, 0.0]], [[0.0], [7.0]]]), [[5.0 * 3.0 + 2.0 * 7.0]]
    )


def test_a_non_finite_operand_meets_a_non_zero_cotangent() -> None:
    """Absorption is not a filter: where the cotangent is not zero, inf and nan come through."""
    da, _ = grads("matmul", np.ones((1, 2)), np.array([[np.inf], [np.nan]]), ct=[[2.0]])
    assert da[0, 0] == np.inf and np.isnan(da[0, 1])


def test_linear_with_dead_rows() -> None:
    w, x = np.array([[1.0, np.nan], [2.0, 3.0]]), np.array([[1.0, 1.0], [np.inf, -np.inf]])
    dw, db, dx = grads("linear", w, np.zeros(2), x, ct=[[0.0, 1.0], [0.0, 0.0]])
    assert np.array_equal(dw, [[0.0, 0.0], [1.0, 1.0]])
    assert np.array_equal(db, [0.0, 1.0])
    assert np.array_equal(dx, [[2.0, 3.0], [0.0, 0.0]])


def test_absorbing_matmul_absorbs_on_one_side_only() -> None:
    a, b = np.array([[0.0, 2.0]]), np.array([[np.nan], [3.0]])
    assert np.array_equal(value("absorbing_matmul", a, b, linear=0), [[6.0]])
    assert np.isnan(value("absorbing_matmul", a, b, linear=1)).all()
    assert np.array_equal(value("absorbing_matmul", b.T, a.T, linear=1), [[6.0]])


def test_a_mask_is_no_factor() -> None:
    s, (a, b), _ = record("matmul", [count_up(2, 2), count_up(2, 2)])
    with pytest.raises(TypeError, match=r"^matmul: operand b must be real numbers, got bool\[2,2\]"):
        s.matmul(a, s.greater(a, b))

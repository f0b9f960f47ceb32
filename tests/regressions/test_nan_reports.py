"""Public reports of nan or lost gradients, as tests that give finite, right gradients here.

"Absent is not zero, zero is absorbing": an exactly zero cotangent entry times a non-finite local derivative
is 0, and a node whose cotangent is absent is never run.
"""

from __future__ import annotations

import numpy as np
import pytest

import prooftape as pt


def grad_of(build, x: np.ndarray) -> np.ndarray:  # type: ignore[no-untyped-def]
    s = pt.Session("float64")
    ref = s.input(x, requires_grad=True)
    return s.backward_scalar_dense_all(s.sum(build(s, ref)))[ref]


def zeros(s: pt.Session, x: pt.TensorRef) -> pt.TensorRef:
    return s.full(x.shape, 0)


def test_pytorch_52248_where_with_a_log_not_taken() -> None:
    g = grad_of(
        lambda s, x: s.where(s.greater(x, zeros(s, x)), s.log(x), zeros(s, x)), np.array([-1.0, 0.0, 2.0])
    )
    assert g.tolist() == [0.0, 0.0, 0.5]


def test_pytorch_36923_sqrt_of_zero_behind_where() -> None:
    g = grad_of(lambda s, x: s.where(s.greater(x, zeros(s, x)), s.sqrt(x), x), np.array([0.0, 4.0]))
    assert g.tolist() == [1.0, 0.25]


def test_jax_1052_where_with_a_division_not_taken() -> None:
    def safe_inverse(s: pt.Session, x: pt.TensorRef) -> pt.TensorRef:
        return s.where(s.equal(x, zeros(s, x)), zeros(s, x), s.div(s.full(x.shape, 1), x))

    assert grad_of(safe_inverse, np.array([0.0, 2.0])).tolist() == [0.0, -0.25]


def test_pytorch_187297_norm_of_zero_behind_where() -> None:
    def norm(s: pt.Session, x: pt.TensorRef) -> pt.TensorRef:
        n = s.sqrt(s.sum(s.square(x)))
        return s.where(s.greater(n, s.full((), 0)), n, s.full((), 0))

    assert grad_of(norm, np.zeros(3)).tolist() == [0.0, 0.0, 0.0]


def test_a_dead_branch_that_overflows_poisons_nothing() -> None:
    s = pt.Session("float64")
    x = s.input([800.0], requires_grad=True)
    dead = s.exp(x)
    masked = s.mul(s.exp(x), s.full((1,), 0))
    g = s.backward_dense_all(s.square(x), [1.0])
    assert g[x].tolist() == [1600.0] and g.is_absent(dead)
    assert np.isnan(s.get_value(masked)).all()  # 0 * inf is nan in the forward, as IEEE says
    assert s.backward_dense_all(s.where(s.greater(x, x), s.exp(x), x), [1.0])[x].tolist() == [1.0]


def test_nothing_flows_through_detach_even_where_it_is_infinite() -> None:
    s = pt.Session("float64")
    x = s.input([0.0], requires_grad=True)
    y = s.add(s.detach(s.log(x)), x)
    assert s.backward_dense_all(y, [1.0])[x].tolist() == [1.0]
    assert s.jvp_leaf(y, x, [1.0]).tolist() == [1.0]


def test_zero_tangents_absorb_too() -> None:
    s = pt.Session("float64")
    x = s.input([0.0, 4.0])
    assert s.jvp_leaf(s.sqrt(x), x, [0.0, 1.0]).tolist() == [0.0, 0.25]
    assert s.jvp_leaf(s.sqrt(x), x, [1.0, 0.0])[0] == np.inf


def test_zero_absorbs_in_matmul() -> None:
    s = pt.Session("float64")
    a, b = s.input([[1.0, 2.0], [3.0, 4.0]], requires_grad=True), s.input([[np.inf, 1.0], [0.0, 2.0]])
    g = s.backward_dense_all(s.matmul(a, b), [[0.0, 1.0], [0.0, 0.0]])
    assert g[a].tolist() == [[1.0, 2.0], [0.0, 0.0]]


def test_all_masked_attention_rows_have_zero_gradient() -> None:
    s = pt.Session("float64")
    eye = s.input(np.eye(2), requires_grad=True)
    x = s.input([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    mask = np.array([[False, False], [True, True]])
    y = s.multi_head_attention(eye, eye, eye, eye, x, num_heads=1, mask=mask)
    assert s.get_value(y)[0].tolist() == [0.0, 0.0]
    g = s.backward_dense_all(y, np.ones((2, 2)))
    assert np.isfinite(g[x]).all() and np.isfinite(g[eye]).all()


@pytest.mark.parametrize("x", [-800.0, -700.0, -40.0, 40.0, 800.0])
def test_pytorch_195527_tail_gradients_do_not_collapse(x: float) -> None:
    for op, exact in (("sigmoid", np.exp(-abs(x))), ("tanh", 4 * np.exp(-2 * abs(x)))):
        g = grad_of(lambda s, r, op=op: getattr(s, op)(r), np.array([x]))
        assert g[0] == pytest.approx(exact, rel=1e-15)
    assert grad_of(lambda s, r: s.expm1(r), np.array([-700.0]))[0] == np.exp(-700.0)


def test_pytorch_16045_losses_refuse_n_against_n_1() -> None:
    s = pt.Session()
    a, b = s.input(np.ones(4)), s.input(np.ones((4, 1)))
    for op in ("mse_loss", "huber_loss", "bce_with_logits"):
        with pytest.raises(pt.errors.ShapeError):
            getattr(s, op)(a, b)
    with pytest.raises(pt.errors.ShapeError, match="refusing to broadcast both sides across ranks"):
        a - b


def test_tinygrad_9597_two_equal_constants_stay_two() -> None:
    s = pt.Session("float64")
    a, b = s.add_leaf([1.0]), s.add_leaf([1.0])
    g = s.backward_dense_all(s.add(s.scale(a, 2), s.scale(b, 3)), [1.0])
    assert g[a].tolist() == [2.0] and g[b].tolist() == [3.0]

"""grad, jvp, vjp, hvp, jacobian, hessian: JAX's conventions; all ways to one derivative agree exactly."""

from __future__ import annotations

from fractions import Fraction as F
from typing import Any

import numpy as np
import pytest
from exact_cases import exact, poly

import prooftape as pt
from prooftape.errors import ForeignHandleError, GradientError, ShapeError

X = exact([F(1, 2), 2, F(-3, 4)])
BASIS = [exact(e) for e in np.eye(3, dtype=int)]


def test_all_ways_to_a_gradient_agree_exactly() -> None:
    g = pt.grad(poly)(X)
    by_jvp = [pt.jvp(poly, (X,), (e,))[1].item() for e in BASIS]
    by_vjp = pt.vjp(poly, X)[1](exact(1))[0]
    by_jacobian = pt.jacobian(poly)(X)
    value, again = pt.value_and_grad(poly)(X)
    assert g.tolist() == by_jvp == by_vjp.tolist() == by_jacobian.tolist() == again.tolist()
    assert value.item() == pt.jvp(poly, (X,), (BASIS[0],))[0].item()


def test_all_ways_to_a_second_derivative_agree_exactly() -> None:
    h = pt.hessian(poly)(X)
    assert h.shape == (3, 3) and h.tolist() == h.T.tolist()
    assert pt.jacobian(pt.grad(poly))(X).tolist() == h.tolist()
    for i, e in enumerate(BASIS):
        assert pt.hvp(poly, (X,), (e,)).tolist() == h[:, i].tolist()
        assert pt.jvp(pt.grad(poly), (X,), (e,))[1].tolist() == h[:, i].tolist()
        along = lambda x, e=e: pt.jvp(poly, (x,), (e,))[1]  # noqa: E731
        assert pt.grad(along)(X).tolist() == h[:, i].tolist()
        picked = lambda x, i=i: pt.grad(poly)(x)[i]  # noqa: E731
        assert pt.grad(picked)(X).tolist() == h[i].tolist()


def test_third_derivatives() -> None:
    cube = lambda x: x * x * x * x  # noqa: E731
    third = pt.grad(pt.grad(pt.grad(cube)))
    assert third(exact(F(1, 3))).item() == 24 * F(1, 3)


def test_transcendental_second_derivatives_against_closed_forms() -> None:
    x = np.array(0.7)
    s2 = {
        "exp": np.exp(0.7),
        "sin": -np.sin(0.7),
        "tanh": -2 * np.tanh(0.7) / np.cosh(0.7) ** 2,
        "sqrt": -0.25 * 0.7**-1.5,
        "log": -1 / 0.49,
    }
    for name, expected in s2.items():
        f = lambda x, name=name: getattr(x.session, name)(x)  # noqa: E731
        assert pt.grad(pt.grad(f))(x) == pytest.approx(expected, rel=1e-14)


def test_argnums_aux_and_trees() -> None:
    def loss(params: Any, x: pt.TensorRef, flag: str) -> tuple[pt.TensorRef, dict[str, Any]]:
        assert flag == "kept"
        y = params["w"] @ x + params["b"][0]
        return (y * y).sum(), {"y": y, "note": flag}

    params = {"w": np.array([[1.0, 2.0]]), "b": (np.array([0.5]),)}
    x = np.array([3.0, -1.0])
    (value, aux), g = pt.value_and_grad(loss, has_aux=True)(params, x, "kept")
    assert value == 2.25 and aux["note"] == "kept" and aux["y"].tolist() == [1.5]
    assert g["w"].tolist() == [[9.0, -3.0]] and g["b"][0].tolist() == [3.0]
    only, aux = pt.grad(loss, has_aux=True)(params, x, "kept")
    assert only["w"].tolist() == g["w"].tolist() and aux["y"].tolist() == [1.5]
    both = pt.grad(lambda p, x: loss(p, x, "kept")[0], argnums=(0, 1))(params, x)
    assert isinstance(both, tuple) and both[1].tolist() == [3.0, 6.0]
    last = pt.grad(lambda p, x: loss(p, x, "kept")[0], argnums=-1)(params, x)
    assert last.tolist() == [3.0, 6.0]


def test_vector_outputs() -> None:
    f = lambda x: {"sq": x * x, "sum": x.sum()}  # noqa: E731
    x = np.array([1.0, 2.0])
    out, pullback = pt.vjp(f, x)
    assert out["sq"].tolist() == [1.0, 4.0]
    assert pullback({"sq": np.array([1.0, 1.0]), "sum": np.array(3.0)})[0].tolist() == [5.0, 7.0]
    assert pullback({"sq": np.array([0.0, 1.0]), "sum": np.array(0.0)})[0].tolist() == [0.0, 4.0]
    jac = pt.jacobian(f)(x)
    assert jac["sq"].tolist() == [[2.0, 0.0], [0.0, 4.0]] and jac["sum"].tolist() == [1.0, 1.0]
    primal, tangent = pt.jvp(f, (x,), (np.array([1.0, 0.0]),))
    assert primal["sum"] == 3.0 and tangent["sq"].tolist() == [2.0, 0.0] and tangent["sum"] == 1.0


def test_jacobian_shapes_and_empty_outputs() -> None:
    x = np.ones((2, 3))
    assert pt.jacobian(lambda x: x[0])(x).shape == (3, 2, 3)
    assert pt.jacobian(lambda x: x[0:0])(x).shape == (0, 3, 2, 3)
    assert pt.hessian(lambda x: (x * x).sum())(x).shape == (2, 3, 2, 3)


def test_a_result_that_ignores_the_argument_has_zero_gradient() -> None:
    assert pt.grad(lambda x, y: y.sum())(np.ones(2), np.ones(3)).tolist() == [0.0, 0.0]
    assert pt.hessian(lambda x: x.sum())(np.ones(2)).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_the_scalar_follows_the_arguments() -> None:
    f = lambda x: (x * x).sum()  # noqa: E731
    assert pt.grad(f)(np.ones(2, np.float32)).dtype == np.float32
    assert pt.grad(f)(np.ones(2)).dtype == np.float64
    assert pt.grad(f)(2.0).dtype == np.float32
    assert pt.grad(f, scalar="float64")(2.0).dtype == np.float64
    assert pt.grad(f)(exact([F(1, 3)])).tolist() == [F(2, 3)]


def test_derivatives_are_recorded_into_the_callers_session() -> None:
    s = pt.Session("float64")
    x = s.input([1.0, 2.0], requires_grad=True)
    g = pt.grad(lambda x: (x * x * x).sum())(x)
    assert isinstance(g, pt.TensorRef) and g.session is s
    assert s.get_value(g).tolist() == [3.0, 12.0]
    penalty = s.sum(s.square(g))
    assert s.backward_scalar_dense_all(penalty)[x].tolist() == [36.0, 288.0]
    assert pt.Graph.parse(s.graph.text()) == s.graph


def cubes(x: pt.TensorRef) -> pt.TensorRef:
    return (x * x * x).sum()


POINT, DIRECTION = exact([1, 2, F(-1, 3)]), exact([2, F(1, 2), 5])


@pytest.mark.parametrize(
    ("outer", "expected"),
    [
        # closed over in the function: d/dw sum(grad_x(sum(w x^2))) = 2 x
        (lambda w: pt.grad(lambda x: (w * x * x).sum())(POINT).sum(), [2 * x for x in POINT]),
        # twice over: d/dw sum(grad_x sum(grad_x(sum(w x^3)))) = 6 x
        (
            lambda w: pt.grad(lambda x: pt.grad(lambda x: (w * x * x * x).sum())(x).sum())(POINT).sum(),
            [6 * x for x in POINT],
        ),
        # closed over two levels up, from a derivative that itself has plain arguments
        (
            lambda w: pt.grad(lambda y: pt.grad(lambda x: (w * x * x).sum())(POINT).sum() * y)(F(3)),
            [2 * x for x in POINT],
        ),
        # the handle is a tangent: d/dv <v, H v> = 2 H v with H = diag(6 x)
        (
            lambda v: (pt.hvp(cubes, (POINT,), (v,)) * v).sum(),
            [12 * x * d for x, d in zip(POINT, DIRECTION, strict=True)],
        ),
        # nothing of the inner argument: its derivative is zero, and so is the outer one
        (lambda w: pt.grad(lambda x: cubes(w))(POINT).sum(), [0, 0, 0]),
        # nothing closed over: a number as far as the outer derivative is concerned
        (lambda w: (w * pt.grad(cubes)(POINT)).sum(), [3 * x * x for x in POINT]),
    ],
)
def test_an_inner_derivative_closes_over_the_outer_argument(outer: Any, expected: list[F]) -> None:
    assert pt.grad(outer)(DIRECTION).tolist() == expected


def test_an_inner_derivative_that_depends_on_nothing_outside_is_numbers() -> None:
    seen = []

    def outer(w: pt.TensorRef) -> pt.TensorRef:
        seen.append(pt.grad(cubes)(POINT))
        return cubes(w)

    pt.grad(outer)(DIRECTION)
    assert isinstance(seen[0], np.ndarray) and seen[0].tolist() == [3 * x * x for x in POINT]


def test_a_session_that_is_not_being_differentiated_is_not_recorded_into() -> None:
    s = pt.Session("rational")
    w = s.input(POINT)
    total = s.sum(w)
    for call in (lambda x: (x * w).sum(), lambda x: total):
        with pytest.raises(ForeignHandleError, match="another session"):
            pt.grad(call)(POINT)
        with pytest.raises(ForeignHandleError, match="another session"):
            pt.grad(lambda y, call=call: pt.grad(call)(POINT).sum())(POINT)
    assert len(s) == 2


def test_masks_and_where_differentiate_twice() -> None:
    f = lambda x: x.session.where(x > 0, x * x * x, x * 2).sum()  # noqa: E731
    assert pt.hessian(f)(np.array([2.0, -1.0])).tolist() == [[12.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pt.grad(lambda x: x)(np.ones(2)), GradientError, "must return one scalar"),
        (lambda: pt.grad(lambda x: 3.0)(np.ones(2)), GradientError, "must return a TensorRef"),
        (lambda: pt.grad(lambda x: x.sum(), argnums=1)(np.ones(2)), GradientError, "argnums 1 out of range"),
        (lambda: pt.grad(lambda x: x.sum(), argnums=True)(np.ones(2)), GradientError, "argnums True"),
        (lambda: pt.grad(lambda x: x.sum(), has_aux=True)(np.ones(2)), GradientError, "(loss, aux)"),
        (lambda: pt.jvp(lambda x: x, (np.ones(2),), ()), GradientError, "same structure"),
        (lambda: pt.hvp(lambda x: x.sum(), np.ones(2), np.ones(2)), GradientError, "hvp: primals"),
        (lambda: pt.jvp(lambda x: x, (np.ones(2),), (np.ones(3),)), ShapeError, "tangents of shape (3,)"),
        (lambda: pt.vjp(lambda x: x, np.ones(2))[1](np.ones(3)), ShapeError, "cotangents of shape (3,)"),
        (lambda: pt.grad(lambda x: x.sum())({"w": "text"}), Exception, "text"),
    ],
)
def test_misuse(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)


def test_a_recorded_gradient_has_no_node_for_what_is_not_wanted() -> None:
    def recorded(argnums: int | tuple[int, ...]) -> int:
        s = pt.Session("float64")
        w, x = s.input(np.ones((2, 3))), s.input(np.ones(3))
        before = len(s.run_graph(lambda s: s.sum(s.matmul(w, s.tanh(x)))).graph.nodes)
        pt.grad(lambda w, x: w.session.sum(w.session.matmul(w, w.session.tanh(x))), argnums)(w, x)
        return len(s.graph.nodes) - before

    assert recorded(0) < recorded((0, 1))

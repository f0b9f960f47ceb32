"""Backward, forward mode and SGD of a session: values, conventions, flags."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import prooftape as pt
from prooftape.errors import GradientError


def test_dense_gradients_cover_leaves_and_nodes() -> None:
    s = pt.Session("float64")
    x, w = s.input([1.0, 2.0], requires_grad=True), s.input([3.0, 4.0], requires_grad=True)
    y = s.mul(x, w)
    loss = s.sum(y)
    dead = s.exp(x)
    g = s.backward_scalar_dense_all(loss)
    assert len(g) == len(s)
    assert g[x].tolist() == [3.0, 4.0] and g[w].tolist() == [1.0, 2.0]
    assert g[y].tolist() == [1.0, 1.0] and g[loss] == 1.0
    assert g[dead].tolist() == [0.0, 0.0] and g.is_absent(dead) and not g.is_absent(x)
    assert s.grad(g, x).tolist() == g[x].tolist()


def test_requires_grad_false_is_computed_only_when_asked() -> None:
    s = pt.Session("float64")
    x = s.input([1.0, 2.0])
    w = s.input([3.0, 4.0], requires_grad=True)
    loss = s.sum(s.mul(x, w))
    g = s.backward_scalar_dense_all(loss)
    assert g._ct[x.id] is None
    assert g[x].tolist() == [3.0, 4.0]  # asked: computed now
    assert g[w].tolist() == [1.0, 2.0]


def test_a_mask_has_no_gradient() -> None:
    s = pt.Session()
    x = s.input([1.0, -1.0], requires_grad=True)
    m = s.greater(x, s.full((2,), 0))
    g = s.backward_dense_all(s.where(m, x, s.neg(x)), [1.0, 1.0])
    assert g[x].tolist() == [1.0, -1.0]
    with pytest.raises(GradientError, match="masks carry no gradient"):
        g[m]
    with pytest.raises(GradientError, match="is a mask"):
        s.backward_dense_all(m, [1.0, 1.0])


def test_forward_mode_agrees_with_reverse_mode() -> None:
    s = pt.Session("float64")
    x, w = s.input([0.5, 2.0]), s.input([[1.0, 2.0], [3.0, 4.0]])
    loss = s.sum(s.tanh(s.matmul(w, x)))
    g = s.backward_scalar_dense_all(loss)
    dx, dw = np.array([1.0, -2.0]), np.array([[0.5, 0.0], [1.0, 1.0]])
    both = s.jvp_dense_all(loss, [dx, dw])
    assert both == pytest.approx((g[x] * dx).sum() + (g[w] * dw).sum(), rel=1e-14)
    assert s.jvp_scalar_leaf(loss, x, dx) + s.jvp_leaf(loss, w, dw) == pytest.approx(both, rel=1e-14)
    assert s.jvp_dense_all(loss, [None, None]) == 0.0
    assert s.jvp_dense_all(x, [dx, None]).tolist() == dx.tolist()


def test_sgd_updates_each_unfrozen_parameter_once() -> None:
    s = pt.Session("rational")
    p = s.param([1, 2], name="p")
    frozen = s.param([5, 5], name="f", requires_grad=False)
    unused = s.param([7], name="u")
    a, b, f = s.use(p), s.use(p), s.use(frozen)
    loss = s.sum(s.mul(s.mul(a, b), f))
    g = s.backward_scalar_dense_all(loss)
    s.sgd_step_all(Fraction(1, 10), g)
    assert p.value.tolist() == [Fraction(0), Fraction(0)]  # p - (5 p + 5 p) / 10, in one step
    assert frozen.value.tolist() == [5, 5] and unused.value.tolist() == [7]
    assert g[f].tolist() == [1, 4]  # asked for, it is there


def test_sgd_is_a_product_and_a_subtraction_in_the_scalar() -> None:
    s = pt.Session("float32")
    p = s.param([0.1, -3.0])
    w = s.use(p)
    start = p.value
    g = s.backward_scalar_dense_all(s.sum(s.square(w)))
    s.sgd_step_all(0.3, g)
    expected = start - (start + start) * np.float32(0.3)
    assert p.value.tobytes() == expected.tobytes()


def test_gradients_of_another_recording_are_refused() -> None:
    s = pt.Session()
    p = s.param([1.0])
    w = s.use(p)
    g = s.backward_dense_all(s.square(w), [1.0])
    s.reset_tape()
    s.use(p)
    with pytest.raises(pt.errors.HandleError):
        s.sgd_step_all(0.1, g)
    assert p.value.tolist() == [1.0]


@pytest.mark.parametrize("scalar", ["float32", "float64", "bfloat16", "float16", "rational", "modular(97)"])
def test_every_scalar_runs_the_same_graph(scalar: str) -> None:
    s = pt.Session(scalar)
    w = s.use(s.param([[1, 2], [3, 4]]))
    x = s.input([1, 1])
    y = s.matmul(w, x)
    loss = s.sum(s.mul(y, y))
    g = s.backward_scalar_dense_all(loss)
    assert s.get_value(loss).item() == 58
    assert [[int(v) for v in row] for row in g[w].tolist()] == [[6, 6], [14, 14]]


def test_low_precision_accumulates_in_float32() -> None:
    s = pt.Session("bfloat16")
    x = s.input(np.ones(1000))
    assert float(s.get_value(s.sum(x))) == 1000.0  # bfloat16 alone would stick at 256
    assert s.get_value(x).dtype.name == "bfloat16"


def test_domain_raise_stops_at_an_infinite_derivative() -> None:
    s = pt.Session("float64", domain="raise")
    x = s.input([4.0, 0.0], requires_grad=True)
    y = s.sqrt(x)
    assert s.get_value(y).tolist() == [2.0, 0.0]  # a value it has
    message = (
        r"sqrt: no finite derivative \(x >= 0 .*\) at index \(1,\): x = 0.0; node %1 recorded at test_diff"
    )
    with pytest.raises(pt.errors.DomainError, match=message) as caught:
        s.backward_dense_all(y, [1.0, 1.0])
    assert caught.value.node == y.id and caught.value.index == (1,)
    with pytest.raises(pt.errors.DomainError, match="sqrt: no finite derivative"):
        s.jvp_leaf(y, x, [0.0, 1.0])
    assert s.backward_dense_all(y, [1.0, 0.0])[x].tolist() == [0.25, 0.0]  # an exact zero absorbs
    assert s.jvp_leaf(y, x, [1.0, 0.0]).tolist() == [0.25, 0.0]
    root = s.pow_const(x, 0.5)
    with pytest.raises(pt.errors.DomainError, match="pow_const: no finite derivative"):
        s.backward_dense_all(root, [0.0, 1.0])
    assert pt.Session("float64").domain == "ieee"


def test_domain_raise_in_forward_mode_looks_only_at_what_the_output_depends_on() -> None:
    s = pt.Session("float64", domain="raise")
    x = s.input([0.0, 4.0])
    s.sqrt(x)  # no finite derivative at 0, and used by nothing
    s.sqrt(s.log(x))  # not even a value
    y = s.square(x)
    assert s.jvp_leaf(y, x, [1.0, 1.0]).tolist() == [0.0, 8.0]
    assert s.backward_dense_all(y, [1.0, 1.0])[x].tolist() == [0.0, 8.0]


def test_an_error_of_a_late_backward_pass_names_the_line_of_its_own_recording() -> None:
    s = pt.Session("rational")
    x = s.input([0], requires_grad=False)
    y = s.pow_const(x, 1)
    z = s.div(y, s.add(x, s.full((1,), 1)))
    grads = s.backward_dense_all(z, [1])
    s.reset_tape()
    assert grads.of_id(x.id).tolist() == [1]  # computed now, from values the session no longer holds


def test_nodes_that_lead_to_no_wanted_gradient_are_not_run_backward() -> None:
    s = pt.Session("float64")
    x, w = s.input([1.0, 2.0]), s.input([3.0, 4.0], requires_grad=True)
    features = s.square(x)
    g = s.backward_scalar_dense_all(s.sum(s.mul(features, w)))
    assert g._ct[features.id] is None and g._ct[x.id] is None
    assert g[features].tolist() == [3.0, 4.0] and g[x].tolist() == [6.0, 16.0]  # asked: computed now

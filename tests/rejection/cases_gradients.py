# ruff: noqa: E501 - a message is easier to review on one line
"""Misuse of backward and forward passes, of their results, of training steps and of the functional front."""

from __future__ import annotations

import numpy as np
from misuse import Misuse, World, rational

import prooftape as pt
from prooftape.errors import (
    AttributeValueError,
    ForeignHandleError,
    GradientError,
    IndexRangeError,
    OperandError,
    ShapeError,
    StaleHandleError,
    ValueTypeError,
)


def with_grads(w: World) -> pt.Grads:
    return w.s.backward_scalar_dense_all(w.loss)


def old_grads(w: World) -> pt.Grads:
    """Gradients of a recording that is over."""
    grads = with_grads(w)
    w.s.reset_tape()
    w.fresh = w.s.use(w.W)
    return grads


def other_grads(w: World) -> pt.Grads:
    return w.other.backward_scalar_dense_all(w.other.sum(w.z))


def norm(x: pt.TensorRef) -> pt.TensorRef:
    return x.square().sum()


TANGENTS = [None] * 11

CASES: list[Misuse] = [
    # backward
    Misuse("backward from a vector", lambda w: w.s.backward_scalar_dense_all(w.v), GradientError, "backward_scalar_dense_all: the loss must be a scalar, got v (3,) [misuse.py:N]; reduce it with sum or mean, or use backward_dense_all(out, seed)"),
    Misuse("backward from a vector of length 1", lambda w, x: w.s.backward_scalar_dense_all(x), GradientError, "backward_scalar_dense_all: the loss must be a scalar, got %13 (1,) [cases_gradients.py:N]; reduce it with sum or mean, or use backward_dense_all(out, seed)", given=lambda w: w.v[0:1]),
    Misuse("backward from a mask", lambda w: w.s.backward_scalar_dense_all(w.mask), GradientError, "backward_scalar_dense_all: mask (3,) [misuse.py:N] is a mask; masks carry no derivative"),
    Misuse("backward from a number", lambda w: w.s.backward_scalar_dense_all(1.0), OperandError, "backward_scalar_dense_all: expected a TensorRef, got float 1.0; record it first: input(value) before the first op, const(value) any time"),
    Misuse("backward from a value", lambda w: w.s.backward_scalar_dense_all(w.loss.value), OperandError, "backward_scalar_dense_all: expected a TensorRef, got ndarray 91.0; record it first: input(value) before the first op, const(value) any time"),
    Misuse("backward from None", lambda w: w.s.backward_scalar_dense_all(None), OperandError, "backward_scalar_dense_all: expected a TensorRef, got None; record it first: input(value) before the first op, const(value) any time"),
    Misuse("backward with a seed of another shape", lambda w: w.s.backward_dense_all(w.v, np.ones(4)), GradientError, "backward_dense_all: the seed has shape (4,), the output is v (3,) [misuse.py:N]; they must be equal"),
    Misuse("backward with a number as seed", lambda w: w.s.backward_dense_all(w.v, 1.0), GradientError, "backward_dense_all: the seed has shape (), the output is v (3,) [misuse.py:N]; they must be equal"),
    Misuse("backward with a text seed", lambda w: w.s.backward_dense_all(w.loss, "1"), ValueTypeError, "backward_dense_all: seed: expected real numbers, got text"),
    Misuse("backward with no seed", lambda w: w.s.backward_dense_all(w.loss, None), ValueTypeError, "backward_dense_all: seed: expected a number, got None"),
    Misuse("backward with a boolean seed", lambda w: w.s.backward_dense_all(w.loss, True), ValueTypeError, "backward_dense_all: seed: expected real numbers, got booleans; a mask is const(mask) or a comparison, and mask.astype(float) makes numbers of it"),
    Misuse("backward with a handle as seed", lambda w: w.s.backward_dense_all(w.loss, w.c), ValueTypeError, "backward_dense_all: seed: not an array of numbers: c () [misuse.py:N] is a recorded value, not an array; use ref.value"),
    Misuse("backward with a ragged seed", lambda w: w.s.backward_dense_all(w.v, [[1.0], [2.0, 3.0]]), ValueTypeError, "backward_dense_all: seed: not an array of numbers: the rows differ in length"),
    Misuse("backward from a mask with a seed", lambda w: w.s.backward_dense_all(w.mask, [1.0, 1.0, 1.0]), GradientError, "backward_dense_all: mask (3,) [misuse.py:N] is a mask; masks carry no derivative"),
    Misuse("nan seed in rationals", lambda w: w.s.backward_dense_all(w.loss, np.nan), ValueTypeError, "backward_dense_all: seed: not a value of scalar rational: nan has no rational value", world=rational),
    Misuse("backward with the seed left out", lambda w: w.s.backward_dense_all(w.loss), TypeError, "Session.backward_dense_all() missing 1 required positional argument: 'seed'"),
    # results
    Misuse("gradient by id", lambda w, g: g[0], OperandError, "grads[ref]: expected a TensorRef, got int 0; of_id(id) takes a context id", given=with_grads),
    Misuse("gradient by name", lambda w, g: g["W"], OperandError, "grads[ref]: expected a TensorRef, got str 'W'; of_id(id) takes a context id", given=with_grads),
    Misuse("gradient by Param", lambda w, g: g[w.W], OperandError, "grads[ref]: expected a TensorRef, got Param(W: float64[2, 3]); use(param) gave one, and param_grads(grads) has them all", given=with_grads),
    Misuse("gradient by value", lambda w, g: g[w.w.value], OperandError, "grads[ref]: expected a TensorRef, got ndarray of shape (2, 3); of_id(id) takes a context id", given=with_grads),
    Misuse("gradient of a natural", lambda w, g: g[w.n], OperandError, "grads[ref]: expected a TensorRef, got NatRef(nat[0]); of_id(id) takes a context id", given=with_grads),
    Misuse("gradient of a mask", lambda w, g: g[w.mask], GradientError, "grads: %10 is a mask (bool[3]); masks carry no gradient", given=with_grads),
    Misuse("gradient of a later node", lambda w, p: p[0][p[1]], IndexRangeError, "grads[ref]: %13 () [cases_gradients.py:N] was recorded after this backward pass; run it again", given=lambda w: (with_grads(w), w.s.neg(w.loss))),
    Misuse("gradient of another session's leaf", lambda w, g: g[w.z], ForeignHandleError, "grads[ref]: TensorRef(%0: real[2,3]) is of another session than these gradients", given=with_grads),
    Misuse("gradient of another recording", lambda w, g: g[w.fresh], StaleHandleError, "grads[ref]: TensorRef(%0: real[2,3]) is of another recording than these gradients", given=old_grads),
    Misuse("gradient of a stale leaf in old gradients", lambda w, g: w.s.grad(g, w.fresh), StaleHandleError, "grads[ref]: TensorRef(%0: real[2,3]) is of another recording than these gradients", given=old_grads),
    Misuse("gradient by an id that is not there", lambda w, g: g.of_id(99), IndexRangeError, "grads: id 99 is out of range; this pass covers 0 <= id < 13", given=with_grads),
    Misuse("gradient by a boolean id", lambda w, g: g.of_id(True), IndexRangeError, "grads: id True is out of range; this pass covers 0 <= id < 13", given=with_grads),
    Misuse("gradient by a mask's id", lambda w, g: g.of_id(w.mask.id), GradientError, "grads: %10 is a mask (bool[3]); masks carry no gradient", given=with_grads),
    Misuse("is_absent of an id", lambda w, g: g.is_absent(0), OperandError, "grads[ref]: expected a TensorRef, got int 0; of_id(id) takes a context id", given=with_grads),
    Misuse("grad of no gradients", lambda w: w.s.grad({}, w.w), GradientError, "grad: expected the result of a backward pass, got dict {}"),
    Misuse("grad with its arguments swapped", lambda w, g: w.s.grad(w.w, g), GradientError, "grad: expected the result of a backward pass, got TensorRef(%0: real[2,3])", given=with_grads),
    Misuse("writing into a gradient", lambda w, g: g[w.w].__setitem__(0, 0.0), ValueError, "assignment destination is read-only", given=with_grads),
    Misuse("writing into an absent gradient", lambda w, g: g[w.v].__setitem__(0, 0.0), ValueError, "assignment destination is read-only", given=with_grads),
    # forward mode
    Misuse("too few tangents", lambda w: w.s.jvp_dense_all(w.loss, [np.ones((2, 3))]), GradientError, "jvp_dense_all: expected 11 tangents, one per leaf in order, got 1"),
    Misuse("too many tangents", lambda w: w.s.jvp_dense_all(w.loss, [*TANGENTS, None]), GradientError, "jvp_dense_all: expected 11 tangents, one per leaf in order, got 12"),
    Misuse("one array in place of tangents", lambda w: w.s.jvp_dense_all(w.loss, np.ones((2, 3))), GradientError, "jvp_dense_all: expected 11 tangents, one per leaf in order, got 2"),
    Misuse("None in place of tangents", lambda w: w.s.jvp_dense_all(w.loss, None), GradientError, "jvp_dense_all: expected a list of tangents, one per leaf, got None"),
    Misuse("tangent of another shape", lambda w: w.s.jvp_dense_all(w.loss, [np.ones((3, 2)), *TANGENTS[1:]]), ShapeError, "jvp_dense_all: tangent 0 has shape (3, 2), the leaf is W (2, 3) [misuse.py:N]"),
    Misuse("number as tangent", lambda w: w.s.jvp_dense_all(w.loss, [1.0, *TANGENTS[1:]]), ShapeError, "jvp_dense_all: tangent 0 has shape (), the leaf is W (2, 3) [misuse.py:N]"),
    Misuse("text tangent", lambda w: w.s.jvp_dense_all(w.loss, ["dx", *TANGENTS[1:]]), ValueTypeError, "jvp_dense_all: tangent 0: expected real numbers, got text"),
    Misuse("tangent of a mask", lambda w: w.s.jvp_dense_all(w.loss, [*TANGENTS[1:], np.ones(3)]), GradientError, "jvp_dense_all: mask (3,) [misuse.py:N] is a mask and moves nowhere; pass None"),
    Misuse("tangent of a boolean", lambda w: w.s.jvp_dense_all(w.loss, [np.ones((2, 3), bool), *TANGENTS[1:]]), ValueTypeError, "jvp_dense_all: tangent 0: expected real numbers, got booleans; a mask is const(mask) or a comparison, and mask.astype(float) makes numbers of it"),
    Misuse("jvp of a mask", lambda w: w.s.jvp_dense_all(w.mask, TANGENTS), GradientError, "jvp_dense_all: mask (3,) [misuse.py:N] is a mask; masks carry no derivative"),
    Misuse("jvp of an array", lambda w: w.s.jvp_dense_all(w.loss.value, TANGENTS), OperandError, "jvp_dense_all: expected a TensorRef, got ndarray 91.0; record it first: input(value) before the first op, const(value) any time"),
    Misuse("jvp_leaf of a node", lambda w: w.s.jvp_leaf(w.loss, w.loss, 1.0), GradientError, "jvp_leaf: %12 () [misuse.py:N] is a node, not a leaf"),
    Misuse("jvp_leaf of a mask", lambda w: w.s.jvp_leaf(w.loss, w.mask, np.ones(3)), GradientError, "jvp_leaf: mask (3,) [misuse.py:N] is a mask and moves nowhere; pass None"),
    Misuse("jvp_leaf of a Param", lambda w: w.s.jvp_leaf(w.loss, w.W, np.ones((2, 3))), OperandError, "jvp_leaf: expected a TensorRef, got Param(W: float64[2, 3]); put it into the graph with use(param)"),
    Misuse("jvp_leaf with a tangent of another shape", lambda w: w.s.jvp_leaf(w.loss, w.w, np.ones(3)), ShapeError, "jvp_leaf: tangent 0 has shape (3,), the leaf is W (2, 3) [misuse.py:N]"),
    Misuse("jvp_leaf of a foreign leaf", lambda w: w.s.jvp_leaf(w.loss, w.z, np.ones((2, 3))), ForeignHandleError, "jvp_leaf: TensorRef(%0: real[2,3]) belongs to another session; record its value in this one, e.g. const(other.get_value(ref))"),
    Misuse("jvp_scalar_leaf of a vector", lambda w: w.s.jvp_scalar_leaf(w.v, w.v, np.ones(3)), GradientError, "jvp_scalar_leaf: the loss must be a scalar, got v (3,) [misuse.py:N]"),
    Misuse("nan tangent in rationals", lambda w: w.s.jvp_scalar_leaf(w.loss, w.w, np.full((2, 3), np.nan)), ValueTypeError, "jvp_leaf: tangent 0: not a value of scalar rational: nan has no rational value", world=rational),
    # training
    Misuse("step with a text rate", lambda w, g: w.s.sgd_step_all("0.1", g), ValueTypeError, "sgd_step_all: lr: expected a number, got str '0.1'", given=with_grads),
    Misuse("step with no rate", lambda w, g: w.s.sgd_step_all(None, g), ValueTypeError, "sgd_step_all: lr: expected a number, got None", given=with_grads),
    Misuse("step with True as rate", lambda w, g: w.s.sgd_step_all(True, g), ValueTypeError, "sgd_step_all: lr: expected a number, got the boolean True", given=with_grads),
    Misuse("step with a vector of rates", lambda w, g: w.s.sgd_step_all([0.1, 0.2], g), ValueTypeError, "sgd_step_all: lr: expected a number, got list [0.1, 0.2]", given=with_grads),
    Misuse("step with a handle as rate", lambda w, g: w.s.sgd_step_all(w.c, g), ValueTypeError, "sgd_step_all: lr: expected a number, got TensorRef(%4: real[])", given=with_grads),
    Misuse("step with a nan rate", lambda w, g: w.s.sgd_step_all(np.nan, g), AttributeValueError, "sgd_step_all: lr must be a finite number >= 0, got nan", given=with_grads),
    Misuse("step with an infinite rate", lambda w, g: w.s.sgd_step_all(np.inf, g), AttributeValueError, "sgd_step_all: lr must be a finite number >= 0, got inf", given=with_grads),
    Misuse("step with a negative rate", lambda w, g: w.s.sgd_step_all(-0.1, g), AttributeValueError, "sgd_step_all: lr must be a finite number >= 0, got -0.1", given=with_grads),
    Misuse("step with its arguments swapped", lambda w, g: w.s.sgd_step_all(g, 0.1), ValueTypeError, "sgd_step_all: lr: expected a number, got a Grads", given=with_grads),
    Misuse("step without gradients", lambda w: w.s.sgd_step_all(0.1, None), GradientError, "sgd_step_all: expected the result of a backward pass, got None"),
    Misuse("step with an array of gradients", lambda w, g: w.s.sgd_step_all(0.1, g[w.w]), GradientError, "sgd_step_all: expected the result of a backward pass, got ndarray of shape (2, 3)", given=with_grads),
    Misuse("step with a list of gradients", lambda w, g: w.s.sgd_step_all(0.1, [g[w.w]]), GradientError, "sgd_step_all: expected the result of a backward pass, got list [array([[ 2., 4., 6.], [ 8., 10., 12.]])]", given=with_grads),
    Misuse("step with gradients of an old recording", lambda w, g: w.s.sgd_step_all(0.1, g), StaleHandleError, "grads[ref]: TensorRef(%0: real[2,3]) is of another recording than these gradients", given=old_grads),
    Misuse("step with gradients of another session", lambda w, g: w.s.sgd_step_all(0.1, g), ForeignHandleError, "grads[ref]: TensorRef(%0: real[2,3]) is of another session than these gradients", given=other_grads),
    Misuse("param_grads of nothing", lambda w: w.s.param_grads(None), GradientError, "param_grads: expected the result of a backward pass, got None"),
    # functions
    Misuse("grad of a vector function", lambda w: pt.grad(lambda x: x.square())(np.ones(3)), GradientError, "grad: the function must return one scalar, got %1 (3,) [cases_gradients.py:N]; reduce it with sum or mean, or use jacobian"),
    Misuse("grad of a function that returns a number", lambda w: pt.grad(lambda x: 1.0)(np.ones(3)), GradientError, "grad: the function must return a TensorRef (or a nesting of them), got float 1.0"),
    Misuse("grad of a function that returns nothing", lambda w: pt.grad(lambda x: None)(np.ones(3)), GradientError, "grad: the function must return a TensorRef (or a nesting of them), got None"),
    Misuse("grad of a function that returns an array", lambda w: pt.grad(lambda x: x.value)(np.ones(())), GradientError, "grad: the function must return a TensorRef (or a nesting of them), got ndarray 1.0"),
    Misuse("grad of a function that returns two", lambda w: pt.grad(lambda x: (x.sum(), x.sum()))(np.ones(3)), GradientError, "grad: the function must return one scalar, got %1 () [cases_gradients.py:N], %2 () [cases_gradients.py:N]; reduce it with sum or mean, or use jacobian"),
    Misuse("grad of no function", lambda w: pt.grad(3)(np.ones(3)), GradientError, "grad: expected a function, got int 3"),
    Misuse("grad of a text argument", lambda w: pt.grad(norm)("abc"), ValueTypeError, "input: expected real numbers, got text"),
    Misuse("grad of None", lambda w: pt.grad(norm)(None), ValueTypeError, "input: expected a number, got None"),
    Misuse("grad of booleans", lambda w: pt.grad(norm)(np.array([True])), ValueTypeError, "input: expected real numbers, got booleans; a mask is const(mask) or a comparison, and mask.astype(float) makes numbers of it"),
    Misuse("grad with argnums out of range", lambda w: pt.grad(norm, argnums=1)(np.ones(3)), GradientError, "grad: argnums 1 out of range for 1 argument"),
    Misuse("grad with a boolean argnums", lambda w: pt.grad(norm, argnums=True)(np.ones(3), np.ones(3)), GradientError, "grad: argnums True out of range for 2 arguments"),
    Misuse("grad with a float argnums", lambda w: pt.grad(norm, argnums=0.0)(np.ones(3)), GradientError, "grad: argnums 0.0 out of range for 1 argument"),
    Misuse("grad with has_aux and no aux", lambda w: pt.grad(norm, has_aux=True)(np.ones(3)), GradientError, "grad: with has_aux=True the function must return (loss, aux)"),
    Misuse("value_and_grad of a vector function", lambda w: pt.value_and_grad(lambda x: x)(np.ones(3)), GradientError, "grad: the function must return one scalar, got %0 (3,) [cases_gradients.py:N]; reduce it with sum or mean, or use jacobian"),
    Misuse("value_and_grad in an unknown scalar", lambda w: pt.value_and_grad(norm, scalar="float99")(np.ones(3)), pt.errors.ScalarError, "unknown scalar 'float99'; known: float32, float64, bfloat16, float16, rational, modular(p)"),
    Misuse("hessian of a vector function", lambda w: pt.hessian(lambda x: x)(np.ones(3)), GradientError, "grad: the function must return one scalar, got %0 (3,) [cases_gradients.py:N]; reduce it with sum or mean, or use jacobian"),
    Misuse("jvp with a tangent too many", lambda w: pt.jvp(norm, (np.ones(3),), (np.ones(3), np.ones(3))), GradientError, "jvp: primals and tangents must be sequences of the same structure, e.g. jvp(f, (x,), (dx,))"),
    Misuse("jvp with a tangent of another shape", lambda w: pt.jvp(norm, (np.ones(3),), (np.ones(4),)), ShapeError, "jvp: tangents of shape (4,) for %0 (3,) [cases_gradients.py:N]"),
    Misuse("jvp with bare arrays", lambda w: pt.jvp(norm, np.ones(3), np.ones(3)), GradientError, "jvp: primals and tangents must be sequences of the same structure, e.g. jvp(f, (x,), (dx,))"),
    Misuse("hvp with a tangent of another shape", lambda w: pt.hvp(norm, (np.ones(3),), (np.ones((1, 3)),)), ShapeError, "jvp: tangents of shape (1, 3) for %0 (3,) [cases_gradients.py:N]"),
    Misuse("pullback of a cotangent of another shape", lambda w: pt.vjp(norm, np.ones(3))[1](np.ones(3)), ShapeError, "vjp: cotangents of shape (3,) for %2 () [cases_gradients.py:N]"),
    Misuse("pullback of two cotangents", lambda w: pt.vjp(norm, np.ones(3))[1]((1.0, 1.0)), GradientError, "vjp: expected 1 cotangent, got 2"),
    Misuse("jacobian of a function that returns a number", lambda w: pt.jacobian(lambda x: 2.0)(np.ones(3)), GradientError, "jacobian: the function must return a TensorRef (or a nesting of them), got float 2.0"),
    Misuse("a function that misuses an op", lambda w: pt.grad(lambda x: (x @ x.reshape(1, 3)).sum())(np.ones(3)), ShapeError, "matmul: inner dimensions differ (3 and 1): a = %0 (3,) [cases_gradients.py:N], b = %1 (1, 3) [cases_gradients.py:N]; did you mean matmul(b, a)?"),
    Misuse("a function that branches on a value", lambda w: pt.grad(lambda x: x.sum() if x.sum() > 0 else -x.sum())(np.ones(3)), OperandError, "%3 () [cases_gradients.py:N] has no truth value while recording; choose with session.where(mask, a, b), or read a number with ref.item()"),
    Misuse("a handle of another session in a function", lambda w: pt.grad(lambda x: (x * w.v).sum())(np.ones(3)), ForeignHandleError, "mul: operand b: TensorRef(%2: real[3]) belongs to another session; record its value in this one, e.g. const(other.get_value(ref))"),
    Misuse("arguments of two sessions", lambda w: pt.grad(lambda x, y: (x * y).sum(), (0, 1))(w.w, w.z), ForeignHandleError, "mul: operand b: TensorRef(%0: real[2,3]) belongs to another session; record its value in this one, e.g. const(other.get_value(ref))"),
    Misuse("an array taken out of a function", lambda w: pt.grad(lambda x: np.sum(x))(np.ones(3)), OperandError, "numpy.sum: %0 (3,) [cases_gradients.py:N] is a recorded value, not an array; use the session's ops or ref.value"),
]  # fmt: skip

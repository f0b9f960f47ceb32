"""The known defects of the prior art's session (docs/from-torchlean.md), each as tests it would fail."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import prooftape as pt
from prooftape.arrays.floats import FloatArrays
from prooftape.errors import AttributeValueError, ForeignHandleError, ShapeError, StaleHandleError
from prooftape.ops import find
from prooftape.scalars import Scalar
from prooftape.semantics import backprop_all_ctx
from prooftape.testing import OpCheckError, check_op

Array = NDArray[Any]


def one_op(op: str, *values: Any, scalar: str = "float64", **attrs: Any) -> tuple[pt.Session, list[Any], Any]:
    s = pt.Session(scalar=scalar)
    leaves = [s.add_leaf(v) for v in values]
    return s, leaves, getattr(s, op)(*leaves, **attrs)


# -- 1. attention split heads by a raw reshape, with a wrong VJP for more than one head -------------
def test_defect_1_attention_heads_are_columns() -> None:
    eye = np.eye(2)
    s, _, out = one_op("multi_head_attention", eye, eye, eye, eye, [[1.0, 2.0], [3.0, 4.0]], num_heads=2)
    expected = np.array([[2.7615941560, 3.9640275801], [2.9950547537, 3.9993292997]])
    assert s.get_value(out) == pytest.approx(expected, abs=5e-11)


def test_defect_1_attention_vjp_reaches_its_own_head_only() -> None:
    """Head 1 reads nothing of column 0: the cotangent of its output must not appear there."""
    eye, x = np.eye(2), [[1.0, 2.0], [3.0, 4.0]]
    s, leaves, out = one_op("multi_head_attention", eye, eye, eye, eye, x, num_heads=2)
    for head in range(2):
        seed = np.zeros((2, 2))
        seed[0, head] = 1.0
        dx = s.backward_dense_all(out, seed)[leaves[4]]
        assert dx[:, head].all() and not dx[:, 1 - head].any()


def test_defect_1_attention_vjp_is_the_transpose_of_its_jvp_exactly() -> None:
    """Over rationals with opaque exp and sqrt; samples with two heads and several tokens; no tolerance."""
    samples = list(find("multi_head_attention").samples())
    assert any(s.attrs["num_heads"] == 2 and s.operands[4].shape[-2] > 1 for s in samples)  # type: ignore[operator]
    assert check_op("multi_head_attention") > 0


# -- 2. the log-softmax JVP was the VJP's formula ---------------------------------------------------
def test_defect_2_log_softmax_jvp() -> None:
    s, (x,), out = one_op("log_softmax", [1.0, 2.0, 3.0])
    unit = [1.0, 0.0, 0.0]
    assert s.get_value(out) == pytest.approx([-2.40760596, -1.40760596, -0.40760596], abs=5e-9)
    assert s.jvp_leaf(out, x, unit) == pytest.approx([0.90996943, -0.09003057, -0.09003057], abs=5e-9)
    vjp = s.backward_dense_all(out, unit)[x]
    assert vjp == pytest.approx([0.90996943, -0.24472847, -0.66524096], abs=5e-9), "another formula"
    assert check_op("log_softmax") > 0


# -- 3. the dynamic gathers had a zero JVP ----------------------------------------------------------
ROWS = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
GATHERS: list[tuple[str, Any, list[int], Any]] = [
    ("gather_scalar_ref", [1.0, 2.0, 3.0], [1], 2.0),
    ("gather_row_ref", ROWS, [2], [5.0, 6.0]),
    ("gather_vec_ref", [1.0, 2.0, 3.0], [2, 0, 2, 9], [3.0, 1.0, 3.0, 0.0]),
    ("gather_rows_ref", ROWS, [2, 2, 9], [[5.0, 6.0], [5.0, 6.0], [0.0, 0.0]]),
]


@pytest.mark.parametrize(("op", "x", "index", "expected"), GATHERS)
def test_defect_3_a_dynamic_gather_gathers_the_tangent(
    op: str, x: Any, index: list[int], expected: Any
) -> None:
    s = pt.Session(scalar="float64")
    leaf = s.add_leaf(np.zeros(np.shape(x)))
    single = op in ("gather_scalar_ref", "gather_row_ref")
    ref = s.input_nat(0) if single else s.input_nat_vec([0] * len(index))
    out = getattr(s, op)(leaf, ref)
    if single:
        s.set_nat(ref, index[0])  # type: ignore[arg-type]
    else:
        s.set_nat_vec(ref, index)  # type: ignore[arg-type]
    moved = s.jvp_leaf(out, leaf, x)
    assert np.array_equal(moved, expected)
    seed = np.ones(out.shape)
    assert np.sum(moved * seed) == np.sum(np.asarray(x) * s.backward_dense_all(out, seed)[leaf])


# -- 4. convolutions accepted stride 0; conv_transpose sizes differed from PyTorch's ----------------
@pytest.mark.parametrize("op", ["conv", "conv2d", "conv_transpose", "conv_transpose2d"])
def test_defect_4_convolutions_refuse_stride_0(op: str) -> None:
    kernel, image = ((1, 1, 1, 1), (1, 2, 2)) if op.endswith("2d") else ((1, 1, 1), (1, 2))
    for stride in (0, -1):
        with pytest.raises(AttributeValueError, match=rf"{op}: stride must be >= 1, got {stride}"):
            one_op(op, np.ones(kernel), [0.0], np.ones(image), stride=stride)


def test_defect_4_conv_transpose_with_large_padding_has_pytorchs_size() -> None:
    """2 * padding > (in - 1) * stride: the size is (2 - 1) - 4 + 5 = 2, not the kernel's 5."""
    s, _, out = one_op("conv_transpose", [[[1.0, 2.0, 3.0, 4.0, 5.0]]], [0.0], [[1.0, 10.0]], padding=2)
    assert s.get_value(out).tolist() == [[23.0, 34.0]], "the middle of [1, 12, 23, 34, 45, 50]"
    with pytest.raises(ShapeError, match=r"conv_transpose: the output would have size \(0,\)"):
        one_op("conv_transpose", [[[1.0, 10.0, 100.0]]], [0.0], [[1.0, 2.0]], padding=2)


# -- 5. masked softmax had no shift, and 0/0 on rows that keep nothing ------------------------------
def test_defect_5_masked_attention_does_not_overflow() -> None:
    one = np.ones((1, 1))
    causal = np.array([[True, False], [True, True]])
    s, leaves, out = one_op(
        "multi_head_attention", one, one, one, one, [[40.0], [30.0]], mask=causal, num_heads=1
    )
    assert s.get_value(out).tolist() == [[40.0], [40.0]], "scores of 1,200 and 1,600: exp alone is inf"
    found = s.backward_dense_all(out, [[1.0], [1.0]])
    assert all(np.isfinite(found[leaf]).all() for leaf in leaves)


def test_defect_5_a_fully_masked_row_is_zero_with_zero_gradient() -> None:
    eye, x = np.eye(2), [[1.0, 2.0], [3.0, 4.0]]
    mask = np.array([[False, False], [True, False]])
    s, leaves, out = one_op("multi_head_attention", eye, eye, eye, eye, x, mask=mask, num_heads=2)
    assert s.get_value(out).tolist() == [[0.0, 0.0], [1.0, 2.0]]
    found = s.backward_dense_all(out, [[1.0, 1.0], [0.0, 0.0]])
    assert all(not found[leaf].any() for leaf in leaves)
    assert s.jvp_dense_all(out, [eye, eye, eye, eye, x])[0].tolist() == [0.0, 0.0]


# -- 6. dead nodes ran, backward was quadratic, reading re-evaluated everything, handles had no owner ---
class Counting(FloatArrays):
    """float64 that counts the vocabulary calls a chain of relu makes."""

    def __init__(self) -> None:
        super().__init__(np.float64)
        self.forward = self.backward = self.sums = 0

    def maximum(self, a: Array, b: Array) -> Array:
        self.forward += 1
        return super().maximum(a, b)

    def gate(self, mask: Array, g: Array, *, complement: bool = False) -> Array:
        self.backward += 1
        return super().gate(mask, g, complement=complement)

    def add(self, a: Array, b: Array) -> Array:
        self.sums += 1
        return super().add(a, b)


def test_defect_6_a_dead_node_poisons_nothing() -> None:
    s = pt.Session(scalar="float64")
    x = s.add_leaf([800.0, 1.0])
    s.exp(x)  # inf, and used by nothing
    s.mul(s.detach(s.exp(x)), x)
    assert s.backward_scalar_dense_all(s.sum(x))[x].tolist() == [1.0, 1.0]


def test_defect_6_reading_and_backward_are_linear_in_the_graph() -> None:
    count = Counting()
    s = pt.Session(scalar=Scalar("counting", count, lambda a: a))
    x = y = s.add_leaf([1.0, -1.0])
    n = 200
    for _ in range(n):
        y = s.relu(y)
        s.get_value(y)
    assert count.forward == n, "every node is evaluated once, however often values are read"
    grads = s.backward_dense_all(y, [1.0, 1.0])
    assert grads[x].tolist() == [1.0, 0.0]
    assert (count.forward, count.backward, count.sums) == (n, n, 0), "a chain has nothing to accumulate"


def test_defect_6_handles_have_an_owner() -> None:
    s, other = pt.Session(), pt.Session()
    x, stranger = s.add_leaf([1.0]), other.add_leaf([1.0])
    with pytest.raises(ForeignHandleError, match="relu: operand x"):
        s.relu(stranger)
    s.reset_tape()
    s.add_leaf([2.0])
    with pytest.raises(StaleHandleError, match="relu: operand x"):
        s.relu(x)


# -- 7. requires_grad had no effect; a parameter used twice was stepped twice -----------------------
def test_defect_7_a_frozen_parameter_is_not_stepped() -> None:
    s = pt.Session(scalar="float64")
    frozen, free = s.param([1.0, 2.0], requires_grad=False), s.param([1.0, 2.0])
    loss = s.sum(s.mul(s.use(frozen), s.use(free)))
    s.sgd_step_all(0.5, s.backward_scalar_dense_all(loss))
    assert frozen.value.tolist() == [1.0, 2.0] and free.value.tolist() == [0.5, 1.0]


def test_defect_7_a_parameter_used_twice_is_stepped_once_with_the_sum() -> None:
    """p * p at 3: the gradient is 6. Stepping leaf by leaf through a changed value would be visible too."""
    s = pt.Session(scalar="float64")
    p = s.param(3.0)
    a, b = s.use(p), s.use(p)
    grads = s.backward_scalar_dense_all(s.mul(a, b))
    assert grads[a] == grads[b] == 3.0
    s.sgd_step_all(0.25, grads)
    assert p.value.tolist() == 3.0 - 0.25 * 6.0


# -- 8. the link theorem needed a commutative semiring, and did not say that a VJP is a derivative ---
def test_defect_8_the_tape_equals_the_definition_in_floating_point() -> None:
    """Bit for bit, on cotangents whose float sum depends on the order: no algebraic law is used."""
    s = pt.Session(scalar="float64")
    x = s.add_leaf([1.0])
    parts = [s.scale(x, c) for c in (1.0, 2.0**-53, 2.0**-53, -1.0, 2.0**-53)]
    total = parts[0]
    for part in parts[1:]:
        total = s.add(total, part)
    coefficients = [1.0, 2.0**-53, 2.0**-53, -1.0, 2.0**-53]
    # not sum(): since Python 3.12 it compensates, and its result does not depend on the order
    assert reduce(add, coefficients) != reduce(add, reversed(coefficients)), "the order matters"
    tape = s.backward_dense_all(total, [1.0])

    xp, seed = s.scalar.xp, [None] * (len(s) - 1) + [np.array([1.0])]
    context = [np.asarray(s.get_value(s.mk_idx(i))) for i in range(len(s))]
    definition = backprop_all_ctx(xp, s.graph, context, lambda start, k: np.zeros(k, np.int64), seed)
    for i, expected in enumerate(definition):
        assert expected is not None
        assert tape[s.mk_idx(i)].tobytes() == expected.tobytes()


def test_defect_8_a_vjp_that_is_no_derivative_is_refused() -> None:
    """The prior art's own wrong rule: log-softmax with the VJP's formula as JVP, or any VJP scaled."""
    right = find("log_softmax")

    def jvp_of_the_prior_art(xp: Any, call: Any, primals: Any, out: Any, tangents: Any) -> Any:
        return right.vjp(xp, call, primals, tangents[0], [True])[0]

    with pytest.raises(OpCheckError, match="log_softmax: JVP against dual numbers fails"):
        check_op(replace(right, jvp=jvp_of_the_prior_art, _calls={}))

    def doubled(xp: Any, call: Any, saved: Any, ct: Any, wanted: Any) -> Any:
        return tuple(None if p is None else xp.scale(p, 2) for p in right.vjp(xp, call, saved, ct, wanted))

    with pytest.raises(OpCheckError, match="log_softmax: adjointness"):
        check_op(replace(right, vjp=doubled, _calls={}))

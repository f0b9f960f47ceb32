"""`TensorRef` methods: what `torch.Tensor` has is there, and does what the session's call does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import prooftape as pt
from prooftape.errors import ForeignHandleError, ShapeError
from prooftape.ops import table

A = np.array([[0.5, -1.0, 2.0], [3.0, -0.25, 0.5]])
B = np.array([[1.0, -1.0, 0.5], [2.0, 4.0, -3.0]])
ROW = np.array([0.5, 1.0, 2.0])
UNARY = [
    "abs",
    "sqrt",
    "exp",
    "log",
    "relu",
    "sigmoid",
    "tanh",
    "square",
    "reciprocal",
    "sin",
    "cos",
    "erf",
    "log1p",
    "expm1",
    "neg",
    "softplus",
    "gelu",
    "silu",
    "sum",
    "mean",
    "flatten",
    "detach",
    "softmax",
    "log_softmax",
]
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "greater": np.greater,
    "less": np.less,
    "greater_equal": np.greater_equal,
    "less_equal": np.less_equal,
    "gt": np.greater,
    "lt": np.less,
    "ge": np.greater_equal,
    "le": np.less_equal,
    "eq": np.equal,
}
# torch.Tensor.equal tells whether two tensors are equal, one bool: the mask is `eq` in both
OTHER_MEANING = {"equal"}


@pytest.mark.parametrize("name", UNARY)
def test_a_unary_method_is_the_sessions_call(name: str) -> None:
    s = pt.Session("float64")
    x = s.input(np.abs(A))
    assert getattr(x, name)().value.tolist() == getattr(s, name)(x).value.tolist()
    assert s.graph.nodes[0] == s.graph.nodes[1]


@pytest.mark.parametrize("other", [B, ROW, A, 0.5], ids=["array", "row", "itself", "number"])
@pytest.mark.parametrize("name", sorted(BINARY))
def test_a_binary_method_takes_what_operators_take(name: str, other: Any) -> None:
    s = pt.Session("float64")
    x = s.input(A)
    expected = BINARY[name](A, other)
    found = getattr(x, name)(other).value
    assert found.dtype == expected.dtype
    assert found.tolist() == expected.tolist()
    if isinstance(other, np.ndarray):
        assert getattr(x, name)(s.const(other)).value.tolist() == expected.tolist()


def test_products() -> None:
    s = pt.Session("float64")
    x, y = s.input(A), s.input(B.T)
    assert x.matmul(y).value.tolist() == (A @ B.T).tolist()
    assert x.matmul(B.T).value.tolist() == (A @ B.T).tolist()
    assert x.reshape(1, 2, 3).bmm(y.reshape(1, 3, 2)).value.tolist() == (A[None] @ B.T[None]).tolist()


def test_where_keeps_x_where_the_mask_is_true() -> None:
    s = pt.Session("float64")
    x = s.input(A, requires_grad=True)
    for mask in (x > 0, A > 0):
        assert x.where(mask, 0.0).value.tolist() == np.where(A > 0, A, 0.0).tolist()
        assert x.where(mask, B).value.tolist() == np.where(A > 0, A, B).tolist()
        assert x.where(mask, ROW).value.tolist() == np.where(A > 0, A, ROW).tolist()
    out = x.log().where(x > 0, 0.0).sum()
    expected = np.where(A > 0, 1 / A, 0.0)
    assert s.backward_scalar_dense_all(out)[x].tolist() == expected.tolist()


def test_a_refused_method_leaves_the_session_as_it_was() -> None:
    s, t = pt.Session(), pt.Session()
    x, column, stranger = s.input(ROW), s.input(ROW[:, None]), t.input(ROW)
    mask = x > x
    for call, error in (
        (lambda: x.maximum(column), ShapeError),
        (lambda: x.where(mask, A), ShapeError),
        (lambda: x.where([True], 0.0), ShapeError),
        (lambda: x.bmm(x), ShapeError),
        (lambda: x.maximum(stranger), ForeignHandleError),
        (lambda: x.where(stranger, 0.0), ForeignHandleError),
    ):
        before, graph = len(s), s.graph.text()
        with pytest.raises(error):
            call()
        assert (len(s), s.graph.text()) == (before, graph)


@pytest.mark.interop
def test_every_op_that_torch_has_as_a_method_is_one_here() -> None:
    torch = pytest.importorskip("torch")
    theirs = {name for name, op in table().items() if op.public and hasattr(torch.Tensor, name)}
    assert {"matmul", "where", "maximum", "greater", "permute", "exp"} <= theirs
    ours = set(dir(pt.TensorRef))
    assert theirs - ours == OTHER_MEANING


def test_reductions_keep_dimensions_when_asked() -> None:
    s = pt.Session("float64")
    x = s.input(np.arange(1.0, 7.0).reshape(2, 3), requires_grad=True)
    assert (x / x.sum(axis=1, keepdims=True)).value.sum(axis=1).tolist() == [1.0, 1.0]
    for name in ("sum", "mean", "max", "var"):
        for axis in (None, 0, -1, (0, 1)):
            got = getattr(x, name)(axis=axis, keepdims=True)
            expected = getattr(x.value, name)(axis=axis, keepdims=True)
            assert got.shape == expected.shape and np.allclose(got.value, expected, rtol=1e-15, atol=0)
            assert getattr(x, name)(axis=axis).shape == getattr(x.value, name)(axis=axis).shape
    nodes = len(s)
    with pytest.raises(pt.errors.ValueTypeError, match="keepdims must be True or False"):
        x.sum(axis=0, keepdims=1)  # type: ignore[arg-type]
    with pytest.raises(pt.errors.ProofTapeError):
        x.sum(axis=5, keepdims=True)
    assert len(s) == nodes


def test_a_derivative_of_handles_adds_no_leaf() -> None:
    s = pt.Session("float64")
    x = s.input([1.0, 2.0])
    g = pt.grad(lambda x, c: (x * x * c).sum())(x, np.array([3.0, 4.0]))
    assert len(s.graph.leaves) == 1 and g.value.tolist() == [6.0, 16.0]
    assert s.jvp_dense_all(g, [np.ones(2)]).tolist() == [6.0, 8.0]

"""Gathers and scatter-adds: static, literal and dynamic indices; out of range, repeated, overwritten."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from op_calls import Array, count_up, grads, tangent, value, zeros

from prooftape import Session
from prooftape.errors import ForeignHandleError, OperandError, ShapeError


def dynamic(op: str, x: Array, index: int | list[int]) -> tuple[Session, Any, Any, Any]:
    """(session, leaf, index reference, result) of a gather whose index is read at evaluation."""
    s = Session(scalar="float64")
    leaf = s.add_leaf(x)
    ref = s.input_nat(index) if isinstance(index, int) else s.input_nat_vec(index)
    return s, leaf, ref, getattr(s, op)(leaf, ref)


# -- static -----------------------------------------------------------------------------------------------
def test_static_gathers() -> None:
    v, m, t = count_up(4), count_up(3, 2), count_up(2, 3, 2)
    assert value("gather_scalar", v, i=2) == 3 and value("gather_scalar", v, i=2).shape == ()
    assert np.array_equal(value("gather_row", m, i=1), m[1])
    assert np.array_equal(value("gather_row", t, i=1), t[1])
    assert np.array_equal(grads("gather_scalar", v, ct=5.0, i=2)[0], [0, 0, 5, 0])
    assert np.array_equal(grads("gather_row", m, ct=[5, 6], i=0)[0], [[5, 6], [0, 0], [0, 0]])
    assert np.array_equal(tangent("gather_row", [m], [-m], i=1), -m[1])


# -- total: the same answers from a literal and from a reference --------------------------------------------
CASES: list[tuple[str, str, Array, int | list[int]]] = [
    ("gather_scalar_nat", "gather_scalar_ref", count_up(3), 1),
    ("gather_scalar_nat", "gather_scalar_ref", count_up(3), 3),
    ("gather_scalar_nat", "gather_scalar_ref", zeros(0), 0),
    ("gather_vec_nat", "gather_vec_ref", count_up(3), [2, 0, 2, 7]),
    ("gather_vec_nat", "gather_vec_ref", count_up(3), []),
    ("gather_vec_nat", "gather_vec_ref", count_up(3), [1]),
    ("gather_rows_nat", "gather_rows_ref", count_up(3, 2), [2, 0, 2, 9]),
    ("gather_rows_nat", "gather_rows_ref", count_up(2, 1, 3), [1, 1]),
    ("gather_rows_nat", "gather_rows_ref", zeros(0, 2), [0, 1]),
    ("", "gather_row_ref", count_up(3, 2), 2),
    ("", "gather_row_ref", count_up(2, 2, 2), 5),
]


@pytest.mark.parametrize(("literal", "reference", "x", "index"), CASES)
def test_total_gathers(literal: str, reference: str, x: Array, index: int | list[int]) -> None:
    """Against entry-by-entry loops: forward, tangent, and the cotangent that scatter-adds."""
    picks = [index] if isinstance(index, int) else index
    rows = np.array([x[i] if i < len(x) else np.zeros(x.shape[1:]) for i in picks]).reshape(
        len(picks), *x.shape[1:]
    )
    ct = 10.0 * count_up(*rows.shape)
    dx = np.zeros_like(x)
    for j, i in enumerate(picks):
        if i < len(x):
            dx[i] += ct[j]
    if isinstance(index, int):
        rows, ct = rows[0], ct[0]

    s, leaf, _, out = dynamic(reference, x, index)
    assert np.array_equal(s.get_value(out), rows) and out.shape == rows.shape
    assert np.array_equal(s.backward_dense_all(out, ct)[leaf], dx)
    assert np.array_equal(s.jvp_dense_all(out, [-x]), -rows), "the tangent is gathered"
    if literal:
        name = "i" if isinstance(index, int) else "idx"
        assert np.array_equal(value(literal, x, **{name: index}), rows)
        assert np.array_equal(grads(literal, x, ct=ct, **{name: index})[0], dx)
        assert np.array_equal(tangent(literal, [x], [-x], **{name: index}), -rows)


@pytest.mark.parametrize("index", [2**62, 2**63, 2**64, 10**30])
def test_literal_indices_have_no_upper_bound(index: int) -> None:
    assert value("gather_scalar_nat", count_up(3), i=index) == 0
    assert np.array_equal(value("gather_vec_nat", count_up(3), idx=[index, 1]), [0, 2])
    assert np.array_equal(grads("gather_vec_nat", count_up(3), ct=[5, 7], idx=[index, 1])[0], [0, 7, 0])
    s = Session(scalar="float64")
    x = s.add_leaf(count_up(3))
    assert np.array_equal(s.apply("take_nat", x, idx=[index, 1]).value, [0, 2])
    assert np.array_equal(s.apply("put_add_nat", x, idx=[index, 1, 0], n=2).value, [3, 2])
    assert np.array_equal(s.apply("one_hot_nat", idx=[index, 1], n=2).value, [[False, False], [False, True]])


def test_overwritten_indices_are_read_again() -> None:
    s, leaf, ref, out = dynamic("gather_rows_ref", count_up(3, 2), [0, 0])
    total = s.sum(out)
    assert s.get_value(total) == 2 * (1 + 2)
    s.set_nat_vec(ref, [2, 5])
    assert s.get_value(total) == 5 + 6
    assert np.array_equal(s.backward_scalar_dense_all(total)[leaf], [[0, 0], [0, 0], [1, 1]])
    assert s.jvp_scalar_leaf(total, leaf, np.ones((3, 2))) == 2


def test_an_index_out_of_range_gives_no_gradient_even_of_infinities() -> None:
    s, leaf, _, out = dynamic("gather_vec_ref", np.array([np.inf, 1.0]), [5, 1])
    assert np.array_equal(s.get_value(out), [0.0, 1.0])
    assert np.array_equal(s.backward_dense_all(out, [np.nan, 1.0])[leaf], [0.0, 1.0])


def test_second_derivative_of_a_dynamic_gather() -> None:
    """The gradient's graph reads the index too: it follows an index overwritten after recording."""
    from prooftape.transforms.derivative_graphs import grad_refs

    s, leaf, ref, out = dynamic("gather_vec_ref", count_up(3), [0, 0])
    loss = s.sum(s.square(out))
    (first,) = grad_refs([loss], [s.const(1.0)], [leaf])
    assert np.array_equal(s.get_value(first), [2 * 1 * 2, 0, 0])
    second = s.backward_dense_all(first, [1.0, 1.0, 1.0])
    assert np.array_equal(second[leaf], [4, 0, 0])
    s.set_nat_vec(ref, [1, 2])
    assert np.array_equal(s.get_value(first), [0, 4, 6])
    assert np.array_equal(s.backward_dense_all(first, [1.0, 1.0, 1.0])[leaf], [0, 2, 2])


def test_a_vector_reference_where_one_index_is_expected() -> None:
    s = Session()
    x, ref = s.add_leaf([1.0, 2.0]), s.input_nat_vec([0, 1])
    with pytest.raises(ShapeError) as caught:
        s.gather_scalar_ref(x, ref)
    assert str(caught.value).startswith(
        "gather_scalar_ref: i refers to 2 naturals, expected one: x = %0 (2,) ["
    )
    assert str(caught.value).endswith("]; gather_vec_ref takes a vector of them")
    with pytest.raises(ShapeError, match="gather_rows_ref takes a vector of them"):
        s.gather_row_ref(s.reshape(x, (2, 1)), ref)


def test_indices_must_be_references_of_this_session() -> None:
    s, other = Session(), Session()
    x = s.add_leaf([1.0, 2.0])
    with pytest.raises(ForeignHandleError, match="gather_vec_ref: index idx"):
        s.gather_vec_ref(x, other.input_nat_vec([0]))
    with pytest.raises(OperandError, match=r"^gather_vec_ref: index idx: expected .* got list \[0\]; record"):
        s.gather_vec_ref(x, [0])


# -- vocabulary ---------------------------------------------------------------------------------------------
def test_take_and_put_add_are_transposes() -> None:
    x, rows, idx = count_up(3, 2), 10 * count_up(4, 2), [2, 0, 2, 7]
    s = Session(scalar="float64")
    a, b, ref = s.add_leaf(x), s.add_leaf(rows), s.input_nat_vec(idx)
    for taken, put in (
        (s.apply("take_nat", a, idx=idx), s.apply("put_add_nat", b, idx=idx, n=3)),
        (s.apply("take_ref", a, nats=(ref,)), s.apply("put_add_ref", b, nats=(ref,), n=3)),
    ):
        assert np.array_equal(taken.value, [x[2], x[0], x[2], [0, 0]])
        assert np.array_equal(put.value, [rows[1], [0, 0], rows[0] + rows[2]])
        assert np.array_equal(s.backward_dense_all(taken, rows)[a], put.value)
        assert np.array_equal(s.backward_dense_all(put, x)[b], taken.value)


def test_put_add_sums_in_ascending_order() -> None:
    """(1e16 + 1) - 1e16 is 0 in this order and 1 in the other."""
    s = Session(scalar="float64")
    rows = s.add_leaf([1e16, 1.0, -1e16])
    assert s.apply("put_add_nat", rows, idx=[0, 0, 0], n=1).item() == (1e16 + 1.0) - 1e16


def test_one_hot() -> None:
    s = Session()
    ref = s.input_nat_vec([2, 0, 5])
    expected = [[False, False, True], [True, False, False], [False, False, False]]
    assert np.array_equal(s.apply("one_hot_nat", idx=[2, 0, 5], n=3).value, expected)
    mask = s.apply("one_hot_ref", nats=(ref,), n=3)
    assert np.array_equal(mask.value, expected)
    s.set_nat_vec(ref, [1, 1, 1])
    assert np.array_equal(mask.value, [[False, True, False]] * 3)


def test_put_add_refuses_a_wrong_count() -> None:
    s = Session()
    rows, ref = s.add_leaf(zeros(3, 2)), s.input_nat_vec([0, 1])
    with pytest.raises(ShapeError, match=r"^put_add_ref: 3 rows for 2 indices: .*; give one index per row$"):
        s.apply("put_add_ref", rows, nats=(ref,), n=3)


# -- scatter ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("i", [0, 1, 2])
def test_scatter_add(i: int) -> None:
    x, v = count_up(3), np.array(10.0)
    expected = x + 10.0 * (np.arange(3) == i)
    assert np.array_equal(value("scatter_add_vec", x, v, i=i), expected)
    dx, dv = grads("scatter_add_vec", x, v, ct=expected, i=i)
    assert np.array_equal(dx, expected) and dv == expected[i] and dv.shape == ()
    assert np.array_equal(tangent("scatter_add_vec", [x, v], [None, 2.0], i=i), 2.0 * (np.arange(3) == i))

    m, row = count_up(3, 2), np.array([10.0, 20.0])
    expected = m + np.where(np.arange(3) == i, 1, 0)[:, None] * row
    assert np.array_equal(value("scatter_add_row", m, row, i=i), expected)
    dm, drow = grads("scatter_add_row", m, row, ct=expected, i=i)
    assert np.array_equal(dm, expected) and np.array_equal(drow, expected[i])


def test_scatter_add_of_rows_of_any_rank() -> None:
    x, v = count_up(2, 1, 3), 10 * count_up(1, 3)
    assert np.array_equal(value("scatter_add_row", x, v, i=1), np.stack([x[0], x[1] + v]))


def test_scatter_add_leaves_other_entries_bit_for_bit() -> None:
    found = value("scatter_add_vec", [-0.0, 1.0, -0.0], 5.0, i=1)
    assert np.array_equal(found, [0.0, 6.0, 0.0]) and np.signbit(found[[0, 2]]).all()


def test_scatter_add_does_not_write_into_its_operand() -> None:
    s = Session(scalar="float64")
    x, v = s.add_leaf([1.0, 2.0]), s.add_leaf(3.0)
    assert np.array_equal(s.scatter_add_vec(x, v, 0).value, [4.0, 2.0])
    assert np.array_equal(s.get_value(x), [1.0, 2.0])

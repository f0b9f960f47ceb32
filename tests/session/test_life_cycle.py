"""Section 2 of the session reference, call by call."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import prooftape as pt
from prooftape.errors import (
    ForeignHandleError,
    IndexRangeError,
    LeafAfterNodeError,
    ShapeError,
    StaleHandleError,
)


def test_a_fresh_session_is_empty() -> None:
    s = pt.Session()
    assert s.scalar.name == "float32" and s.engine == "numpy" and s.requires_grad_by_default
    assert s.state == pt.SessionState.empty()
    assert len(s.graph) == 0 and s.generation == 0


def test_state_is_a_snapshot_that_later_recording_does_not_change() -> None:
    s = pt.Session("float64")
    x = s.input([1.0, 2.0])
    n = s.input_nat(3)
    y = s.relu(x)
    before = s.state
    text = before.graph.text()
    s.add(y, y)
    s.set_nat(n, 7)
    assert before.graph.text() == text
    assert before.leaf_shapes == ((2,),) and before.node_shapes == ((2,),)
    assert before.nats == (3,) and s.state.nats == (7,)
    assert s.state != before
    with pytest.raises(ValueError):
        before.leaf_values[0][0] = 5.0


def test_reset_empties_everything_but_params() -> None:
    s = pt.Session()
    p = s.param([1.0, 2.0], name="p")
    w = s.use(p)
    s.input_nat(4)
    y = s.square(w)
    s.reset_tape()
    assert s.state == pt.SessionState.empty() and s.generation == 1
    assert p.value.tolist() == [1.0, 2.0]
    with pytest.raises(StaleHandleError, match="before reset_tape"):
        s.get_value(y)
    again = s.use(p)
    assert again.id == w.id and s.get_value(s.square(again)).tolist() == [1.0, 4.0]
    s.sgd_step_all(0.5, s.backward_dense_all(again, np.ones(2)))
    assert p.value.tolist() == [0.5, 1.5]


def test_params_take_the_default_and_read_their_current_value() -> None:
    s = pt.Session(requires_grad_by_default=False)
    p, q = s.param([1.0]), s.param([1.0], requires_grad=True)
    assert not p.requires_grad and q.requires_grad
    p.value = [3.0]
    assert s.get_value(s.use(p)).tolist() == [3.0]
    with pytest.raises(ShapeError, match=r"cannot assign shape \(2,\) to a parameter of shape \(1,\)"):
        p.value = [1.0, 2.0]


def test_leaves_come_before_nodes() -> None:
    s = pt.Session()
    x = s.add_leaf([1.0])
    s.ensure_no_nodes()
    s.relu(x)
    for call in (
        s.ensure_no_nodes,
        lambda: s.add_leaf([1.0]),
        lambda: s.input([1.0]),
        lambda: s.use(s.param([1.0])),
    ):
        with pytest.raises(LeafAfterNodeError, match="reset_tape"):
            call()


def test_const_is_a_leaf_before_the_first_op_and_a_node_after_it() -> None:
    s = pt.Session("float64")
    a = s.const([1.0, 2.0])
    assert s.graph.leaves[a.id].kind == "const" and len(s.graph.nodes) == 0
    b = s.add(a, a)
    c = s.const([5.0, 6.0])
    assert s.graph.nodes[-1].op == "const" and s.get_value(c).tolist() == [5.0, 6.0]
    out = s.mul(b, c)
    g = s.backward_dense_all(out, [1.0, 1.0])
    assert g[a].tolist() == [10.0, 12.0]
    assert s.jvp_dense_all(out, [[1.0, 0.0]]).tolist() == [10.0, 0.0]


def test_naturals_are_read_at_evaluation_and_totally() -> None:
    s = pt.Session("float64")
    x = s.input([10.0, 20.0, 30.0], requires_grad=True)
    i, v = s.input_nat(1), s.input_nat_vec([2, 0])
    y, z = s.gather_scalar_ref(x, i), s.gather_vec_ref(x, v)
    assert s.get_value(y) == 20.0 and s.get_value(z).tolist() == [30.0, 10.0]
    s.set_nat(i, 2)
    s.set_nat_vec(v, [9, 1])
    assert s.get_nat(i) == 2 and s.get_nat_vec(v).tolist() == [9, 1]
    assert s.get_value(y) == 30.0 and s.get_value(z).tolist() == [0.0, 20.0]
    assert s.backward_dense_all(z, [1.0, 1.0])[x].tolist() == [0.0, 1.0, 0.0]
    assert s.nat_at(0) == 2 and s.nat_at(99) == 0 and s.nat_at(-1) == 0
    assert s.nat_vec_at(1, 4).tolist() == [9, 1, 0, 0]


def test_gradients_taken_before_set_nat_keep_their_values() -> None:
    s = pt.Session("float64")
    x = s.input([1.0, 2.0])
    i = s.input_nat(0)
    y = s.square(s.gather_scalar_ref(x, i))
    grads = s.backward_scalar_dense_all(y)
    s.set_nat(i, 1)
    assert s.backward_scalar_dense_all(y)[x].tolist() == [0.0, 4.0]
    assert grads[x].tolist() == [2.0, 0.0]


def test_mk_idx_checks_range_and_shape() -> None:
    s = pt.Session()
    x = s.input(np.zeros((2, 3)))
    y = s.relu(x)
    assert s.mk_idx(1, (2, 3)).id == y.id and s.mk_leaf_idx(0).id == x.id
    with pytest.raises(IndexRangeError, match="id 2 is not a context id: expected an integer 0 <= id < 2"):
        s.mk_idx(2)
    with pytest.raises(IndexRangeError, match="id 1 is not a leaf id"):
        s.mk_leaf_idx(1)
    with pytest.raises(ShapeError, match=r"id 0: expected shape \(3, 2\), got \(2, 3\)"):
        s.mk_idx(0, (3, 2))


def test_reading_is_cached_and_pure() -> None:
    s = pt.Session("float64")
    x = s.input(np.arange(4.0))
    y = s.exp(x)
    state = s.state
    first = s.get_value(y)
    assert s.state == state
    assert np.shares_memory(first, s.get_value(y))
    assert not first.flags.writeable


def test_what_users_mutate_changes_nothing() -> None:
    s = pt.Session("float64")
    data = np.array([1.0, 2.0])
    x = s.input(data, requires_grad=True)
    idx = np.array([0, 1])
    v = s.input_nat_vec(idx)
    seed = np.array([1.0, 1.0])
    p = s.param(data)
    y = s.gather_vec_ref(s.add(x, x), v)
    data[:] = 100.0
    idx[:] = 1
    grads = s.backward_dense_all(y, seed)
    seed[:] = -1.0
    assert s.get_value(y).tolist() == [2.0, 4.0]
    assert grads[x].tolist() == [2.0, 2.0] and p.value.tolist() == [1.0, 2.0]
    for array in (s.get_value(x), s.get_value(y), grads[x], p.value, s.jvp_leaf(y, x, seed)):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 7.0
    s.get_nat_vec(v)[:] = 9
    assert s.get_nat_vec(v).tolist() == [0, 1]


def test_an_op_that_raises_leaves_the_session_unchanged() -> None:
    s = pt.Session()
    x = s.input(np.ones((2, 3)))
    y = s.relu(x)
    state, length = s.state, len(s)
    with pytest.raises(ShapeError):
        s.matmul(y, y)
    assert s.state == state and len(s) == length


def test_commit_is_all_or_nothing() -> None:
    s = pt.Session("float64")
    x = s.input([1.0, 2.0])
    leaked: list[pt.TensorRef] = []

    def fails(s: pt.Session) -> pt.TensorRef:
        leaked.append(s.relu(x))
        s.get_value(leaked[0])
        return s.matmul(leaked[0], s.const(np.ones((5, 5))))

    state = s.state
    with pytest.raises(ShapeError):
        s.commit(fails)
    assert s.state == state
    y = s.square(x)  # takes the id the undone node had
    assert y.id == leaked[0].id
    with pytest.raises(StaleHandleError, match="failed and was undone"):
        s.get_value(leaked[0])
    inner: list[pt.TensorRef] = []
    z = s.commit(lambda s: inner.append(s.neg(y)) or s.add(inner[0], y))
    assert s.get_value(z).tolist() == [0.0, 0.0] and s.get_value(inner[0]).tolist() == [-1.0, -4.0]


def test_run_graph_shows_the_state_and_keeps_the_session() -> None:
    s = pt.Session()
    x = s.input([1.0])
    state = s.run_graph(lambda s: s.exp(s.neg(x)))
    assert [n.op for n in state.graph.nodes] == ["neg", "exp"]
    assert len(s.graph.nodes) == 0
    s.relu(x)
    assert [n.op for n in state.graph.nodes] == ["neg", "exp"]


def test_handles_know_their_session_and_generation() -> None:
    s, other = pt.Session(), pt.Session()
    x = s.input([1.0])
    assert x.session is s and x.generation == 0 and x.shape == (1,) and x.ndim == 1 and x.size == 1
    with pytest.raises(ForeignHandleError, match="belongs to another session"):
        other.relu(x)
    orphan = pt.Session().input([1.0])
    gc.collect()
    with pytest.raises(StaleHandleError, match="no longer exists"):
        orphan.session  # noqa: B018


def test_replay_in_other_scalars() -> None:
    s = pt.Session("float32")
    x = s.input([0.1, 2.0], requires_grad=True)
    y = s.sum(s.mul(x, s.scale(x, 3)))
    exact = s.replay(scalar="rational")
    tenth = exact.get_value(exact.ref(x))[0]
    assert tenth.numerator / tenth.denominator == float(np.float32(0.1)) and tenth != 0.1
    assert exact.get_value(exact.ref(y)).item() == 3 * (tenth**2 + 4)
    assert exact.backward_scalar_dense_all(exact.ref(y))[exact.ref(x)].tolist() == [6 * tenth, 12]
    assert exact.graph == s.graph
    double = s.replay(scalar="float64")
    assert double.get_value(double.ref(y)).dtype == np.float64
    field = s.replay(scalar="modular(97)")
    assert field.get_value(field.ref(y)).item() == int(field.scalar.xp.element(3 * (tenth**2 + 4)))


def test_an_entry_without_a_value_does_not_block_what_does_not_depend_on_it() -> None:
    s = pt.Session("rational")
    x = s.input([1, 2], requires_grad=True)
    y = s.square(x)
    z = s.exp(y)
    unrelated = s.add(z, y)
    loss = s.sum(s.mul(y, x))
    assert s.get_value(loss).item() == 9
    assert s.backward_scalar_dense_all(loss)[x].tolist() == [3, 12]
    assert s.jvp_leaf(loss, x, [1, 1]).item() == 15
    for ref in (z, unrelated):
        with pytest.raises(pt.errors.ScalarError, match=r"exp has no exact value .* node %2"):
            s.get_value(ref)
    assert s.get_value(loss).item() == 9 and s.get_value(s.neg(loss)).item() == -9


def test_a_domain_error_stops_only_what_depends_on_it() -> None:
    s = pt.Session("float64", domain="raise")
    x = s.input([0.0, 4.0])
    bad, good = s.log(x), s.sqrt(x)
    assert s.get_value(good).tolist() == [0.0, 2.0]
    with pytest.raises(pt.errors.DomainError, match=r"log: outside its domain"):
        s.get_value(s.add(bad, good))


@pytest.mark.parametrize("scalar", ["float32", "float16"])
def test_a_number_too_large_is_infinite_and_no_warning(scalar: str) -> None:
    s = pt.Session(scalar)
    assert s.param([1e300, 1.0]).value.tolist() == [np.inf, 1.0]
    x = s.input(-1e300)
    assert x.item() == s.scale(s.full((), 1), -1e300).item() == -np.inf


def test_attributes_that_compare_equal_are_not_mistaken_for_each_other() -> None:
    s = pt.Session("float64")
    x = s.input([1.0])
    signs = [np.signbit(s.get_value(s.scale(x, c))[0]) for c in (0.0, -0.0, 0.0, -0.0)]
    assert signs == [False, True, False, True]
    for c in (2, 2.0):
        s.scale(x, c)
    assert [type(node.call.attr("c")) for node in s.graph.nodes[-2:]] == [int, float]

"""Every misuse in the tables raises the right error, says what it should, and leaves everything as it was."""

from __future__ import annotations

import re
from itertools import chain

import cases_gradients
import cases_handles
import cases_leaves
import cases_networks
import cases_ops
import cases_reading
import cases_scalars
import numpy as np
import pytest
from misuse import Misuse, World, without_line_numbers

import prooftape as pt
from prooftape.errors import LeafAfterNodeError, ProofTapeError, StaleHandleError

TABLES = (
    cases_leaves, cases_handles, cases_ops, cases_networks, cases_reading, cases_gradients, cases_scalars,
)  # fmt: skip
CASES: list[Misuse] = list(chain.from_iterable(table.CASES for table in TABLES))


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_misuse(case: Misuse) -> None:
    w = case.world()
    given = case.given(w) if case.given else None
    before = w.snapshot()
    with pytest.raises(Exception) as caught:
        case.do(w, given) if case.given else case.do(w)
    assert type(caught.value) is case.error
    assert without_line_numbers(str(caught.value)) == case.message
    assert w.snapshot() == before
    still_works(w, case.readable)


def still_works(w: World, readable: bool) -> None:
    """The graph is well-formed, and what is recorded next is evaluated and differentiated as ever."""
    w.s.graph.check()
    w.other.graph.check()
    if len(w.s) == 1 + len(w.s.graph.nodes):  # the world was reset and holds one leaf
        return
    out = w.s.sum(w.s.mul(w.v, w.v))
    w.s.graph.check()
    if not readable:
        return
    assert float(out.value) == float(w.s.scalar.to_user(w.s.scalar.to_array(14, "14")))
    assert [float(g) for g in w.s.backward_scalar_dense_all(out)[w.v]] == [
        float(v) for v in w.s.scalar.to_user(w.s.scalar.to_array([2, 4, 6], "2 v"))
    ]


# -- the tables themselves --------------------------------------------------------------------------------
def test_the_catalogue_is_large_and_has_no_doubles() -> None:
    assert len({c.name for c in CASES}) == len(CASES) > 600


def test_every_error_of_ours_is_also_the_built_in_one_a_user_would_expect() -> None:
    ours = {c.error for c in CASES if issubclass(c.error, ProofTapeError)}
    for error in ours:
        assert issubclass(error, (ValueError, TypeError, IndexError, RuntimeError, ArithmeticError)), error
    concrete = {
        e for e in vars(pt.errors).values()
        if isinstance(e, type) and issubclass(e, ProofTapeError) and e.__module__ == pt.errors.__name__
    }  # fmt: skip
    elsewhere = {  # tests/training, tests/test_packaging, tests/proofs, tests/xla, tests/transforms
        "ProofTapeError",
        "CheckpointError",
        "CompiledStepError",
        "DonatedError",
        "MeshError",
        "WorkerLostError",
        "MissingExtraError",
        "ProverError",
        "TrustError",
        "UnknownTheoremError",
    }
    assert {e.__name__ for e in concrete - ours} == elsewhere


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_messages_are_fit_to_read(case: Misuse) -> None:
    first = case.message.splitlines()[0]
    assert first == case.message or case.error is pt.errors.GraphError  # one line; a checker's has a listing
    assert len(first) < 420
    assert not re.search(r"0x[0-9a-f]{6}|<[a-z_.]+ object|Traceback|NoneType| None None|\(\)\(\)", first)
    if issubclass(case.error, ProofTapeError):
        assert first.endswith("...") or not first.endswith((".", ",", ";", ":"))


def test_every_op_with_a_precondition_is_misused() -> None:
    """Ops whose shape rule can refuse have a case here, apart from the plain maps of one operand."""
    from prooftape.declare import same_shape
    from prooftape.ops import table

    text = "\n".join(f"{c.message}" for c in CASES)
    public = [op for op in table().values() if op.public]
    checked = [op for op in public if op.shape_rule is not same_shape or len(op.operands) > 1]
    silent = {op.name for op in checked if not re.search(rf"^{op.name}: ", text, re.MULTILINE)}
    plain = {
        "flatten",
        "mean",
        "less",
        "greater_equal",
        "less_equal",
        "minimum",
    }  # as sum, greater and maximum
    variants = {"transpose3d_first_to_last", "transpose3d_last_to_first", "max_pool2d", "avg_pool2d"}
    assert silent <= plain | variants


# -- what is not an error must not change anything either ---------------------------------------------------
def test_the_users_own_arrays_stay_the_users() -> None:
    s = pt.Session("float64")
    data, labels, start, mask = np.ones((2, 2)), np.array([0, 1]), np.ones((2, 2)), np.array([True, False])
    p = s.param(start, name="p")
    x, n, w = s.input(data), s.input_nat_vec(labels), s.use(p)
    keep = s.const(mask)
    loss = s.cross_entropy(s.add(x, w), n)
    late = s.const(data)
    pooled = s.where(mask, x[0], x[1])
    dx = np.ones((2, 2))
    before = [r.value.copy() for r in (x, w, keep, loss, late, pooled)]
    seed = np.array(1.0)
    grads = s.backward_dense_all(loss, seed)
    for a in (data, labels, start, dx, seed):
        a[...] = 7
    mask[...] = False
    assert data.flags.writeable and labels.flags.writeable and mask.flags.writeable
    assert all(
        np.array_equal(a, r.value) for a, r in zip(before, (x, w, keep, loss, late, pooled), strict=True)
    )
    assert p.value.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert s.get_nat_vec(n).tolist() == [0, 1]
    assert np.array_equal(grads[w], s.backward_scalar_dense_all(loss)[w])
    s.get_nat_vec(n)[...] = 9
    assert s.get_nat_vec(n).tolist() == [0, 1]


@pytest.mark.parametrize("scalar", ["float64", "float32", "bfloat16", "float16", "rational", "modular(7)"])
def test_no_value_handed_out_can_be_unlocked(scalar: str) -> None:
    w = World(scalar)
    grads = w.s.backward_scalar_dense_all(w.loss)
    text = w.s.graph.text()
    handed = [
        w.x.value,
        w.loss.value,
        w.w[0].value,
        w.w.T.value,
        w.W.value,
        grads[w.w],
        grads[w.v],
        w.mask.value,
    ]
    handed += [w.s.state.leaf_values[0], w.s.jvp_leaf(w.loss, w.w, np.ones((2, 3), int))]
    kept = [a.tolist() for a in handed]
    for a in handed:
        assert not a.flags.writeable
        try:
            a.setflags(write=True)
        except ValueError:
            continue
        a[...] = 0  # an array of the caller's own
    again = [
        w.x.value,
        w.loss.value,
        w.w[0].value,
        w.w.T.value,
        w.W.value,
        grads[w.w],
        grads[w.v],
        w.mask.value,
    ]
    again += [w.s.state.leaf_values[0], w.s.jvp_leaf(w.loss, w.w, np.ones((2, 3), int))]
    assert [a.tolist() for a in again] == kept
    assert w.s.graph.text().startswith(text)


def test_labels_set_out_of_range_after_recording_are_read_totally() -> None:
    s = pt.Session("float64")
    x = s.input(np.log([[0.25, 0.75], [0.5, 0.5]]), requires_grad=True)
    n = s.input_nat_vec([0, 1])
    loss = s.nll_loss(x, n)
    s.set_nat_vec(n, [0, 5])
    assert loss.item() == pytest.approx(-np.log(0.25) / 2)
    assert s.backward_scalar_dense_all(loss)[x].tolist() == [[-0.5, 0.0], [0.0, 0.0]]
    with pytest.raises(IndexError, match="label 5 at position 1 is not one of the 2 classes"):
        s.nll_loss(x, n)


def test_gradients_taken_inside_a_commit_serve_outside_it() -> None:
    s = pt.Session("float64")
    x = s.input([1.0, 2.0], requires_grad=True)
    grads, inner = s.commit(lambda s: (lambda y: (s.backward_scalar_dense_all(y), y))(s.sum(s.square(x))))
    assert grads[x].tolist() == [2.0, 4.0]
    assert grads[inner].tolist() == 1.0


def test_a_reset_forgets_leaves_and_keeps_params() -> None:
    w = World()
    w.s.sgd_step_all(0.5, w.s.backward_scalar_dense_all(w.loss))
    assert w.W.value.tolist() == [[0.0] * 3] * 2
    w.s.reset_tape()
    assert (len(w.s), w.s.state.nats, w.s.state == pt.SessionState.empty()) == (0, (), True)
    assert w.W.value.tolist() == [[0.0] * 3] * 2
    with pytest.raises(StaleHandleError):
        w.s.get_nat(w.n)


def test_a_leaf_is_refused_before_its_value_is_looked_at() -> None:
    w = World()
    with pytest.raises(LeafAfterNodeError):
        w.s.input("not even numbers")

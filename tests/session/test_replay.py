"""A graph recorded twice is expected the third time; what differs is recorded as it is said."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import prooftape as pt
from prooftape import replaying
from prooftape.errors import ProofTapeError, StaleHandleError
from prooftape.statistics import Stats

Body = Callable[[pt.Session, pt.TensorRef], object]
M = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture(autouse=True)
def _counts_references() -> Iterator[None]:
    if not replaying.COUNTED:
        pytest.skip("without the global interpreter lock nothing is replayed")
    yield


def step(s: pt.Session, body: Body, value: Any = M) -> Any:
    s.reset_tape()
    x = s.input(value, "x")
    return body(s, x)


def trained(body: Body, times: int = 2) -> pt.Session:
    """A session that expects this body."""
    s = pt.Session()
    for _ in range(times):
        step(s, body)
    return s


def matches(body: Body) -> bool:
    """Whether the third recording matches to its last call."""
    s = trained(body)
    step(s, body)
    assert s.stats().replays == 1
    track, current = s._track, s._set
    assert track is not None
    ended = current is not None and current.places[id(s._token.next)] == len(track.steps)
    return ended and track.steps[-1].n_nodes == len(track.recorded.nodes)


BODIES: dict[str, Body] = {
    "method": lambda s, x: s.relu(x),
    "keyword": lambda s, x: s.softmax(x, axis=0),
    "default": lambda s, x: s.softmax(x),
    "number": lambda s, x: x + 1.5,
    "number first": lambda s, x: 1.5 - x,
    "scale": lambda s, x: x * 2.0,
    "numpy number": lambda s, x: s.scale(x, np.float32(0.5)),
    "array": lambda s, x: x + np.ones((2, 3), np.float32),
    "array first": lambda s, x: np.ones((2, 3)) * x,
    "matrix of numbers": lambda s, x: x @ np.ones((3, 2)),
    "matrix of numbers first": lambda s, x: np.ones((3, 2)) @ x,
    "broadcast": lambda s, x: x + x[0],
    "integer index": lambda s, x: x[-1],
    "slices": lambda s, x: x[..., 1:],
    "everything": lambda s, x: s.relu(x[:]) + x[...],
    "list index": lambda s, x: x[[1, 0]],
    "array index": lambda s, x: x[np.array([1, 0])],
    "nat index": lambda s, x: x[s.input_nat(1)],
    "naturals": lambda s, x: s.cross_entropy(x, s.input_nat_vec([0, 1])),
    "no naturals first": lambda s, x: (s.input_nat_vec([]), s.cross_entropy(x, s.input_nat_vec([0, 1]))),
    "sum": lambda s, x: x.sum(axis=0),
    "kept axes": lambda s, x: x.sum(axis=1, keepdims=True) + x.max(keepdims=True),
    "reshape": lambda s, x: (x.reshape(3, 2), x.reshape((6,)), x.reshape([1, 6])),
    "where": lambda s, x: x.where(x > 0.0, 0.5),
    "variadic": lambda s, x: s.concat([x, x], axis=1),
    "constant": lambda s, x: s.relu(x) * s.const(np.ones((2, 3))),
    "constant number": lambda s, x: s.sum(x) * s.const(2.0),
    "constant leaf": lambda s, x: s.add(x, s.const(np.ones((2, 3)))),
    "mask leaf": lambda s, x: s.where(s.const(np.ones((2, 3), bool)), x, x),
    "gamma": lambda s, x: s.layer_norm(x, x[0], x[1]),
}


@pytest.mark.parametrize("name", BODIES)
def test_these_ways_of_recording_match(name: str) -> None:
    assert matches(BODIES[name])


@pytest.mark.parametrize(
    ("body", "other"),
    [
        (lambda s, x: s.relu(x), lambda s, x: s.tanh(x)),
        (lambda s, x: x + 0.0, lambda s, x: x + -0.0),
        (lambda s, x: s.full((2,), 0.0), lambda s, x: s.full((2,), -0.0)),
        (lambda s, x: s.softmax(x, axis=0), lambda s, x: s.softmax(x, axis=1)),
        (lambda s, x: s.sub(x, s.relu(x)), lambda s, x: s.sub(s.relu(x), x)),
        (lambda s, x: x[0], lambda s, x: x[1]),
        (lambda s, x: x + np.ones((2, 3)), lambda s, x: x + 2 * np.ones((2, 3))),
        (lambda s, x: s.relu(x) + s.const(M), lambda s, x: s.relu(x) + s.const(-M)),
        (BODIES["naturals"], lambda s, x: s.cross_entropy(x, s.input_nat_vec([2, 1]))),
    ],
)  # fmt: skip
def test_what_differs_is_recorded_as_it_is_said(body: Body, other: Body) -> None:
    s, plain = trained(body), pt.Session()
    assert str(step(s, other)) == str(step(plain, other))
    assert str(s.graph) == str(plain.graph)
    assert s.state == plain.state
    assert len(s) == len(plain)


@pytest.mark.parametrize(
    "value", [M.tolist(), M.astype(np.float64), np.asfortranarray(M), M.astype(np.int64)]
)
def test_inputs_that_need_a_conversion_match_too(value: Any) -> None:
    s = trained(BODIES["method"])
    y = step(s, BODIES["method"], value)
    assert s.stats() == Stats(1, 0, None, 1)
    np.testing.assert_array_equal(y.value, M)
    with pytest.raises(ProofTapeError, match="input x: expected real numbers, got booleans"):
        step(s, BODIES["method"], M > 0)


def test_one_and_true_are_told_apart() -> None:
    def body(flag: Any) -> Body:
        return lambda s, x: s.full((2,), flag)

    s = trained(body(1))
    with pytest.raises(ProofTapeError) as replayed:
        step(s, body(True))
    with pytest.raises(ProofTapeError) as plain:
        step(pt.Session(), body(True))
    assert str(replayed.value) == str(plain.value)


def test_labels_out_of_range_are_refused_at_the_same_call() -> None:
    def body(labels: list[int]) -> Body:
        return lambda s, x: s.cross_entropy(s.relu(x), s.input_nat_vec(labels))

    s = trained(body([0, 1]))
    with pytest.raises(ProofTapeError, match="99"):
        step(s, body([99, 0]))
    assert len(s.graph.nodes) == 1  # the recording is as it was before the call
    assert s.tanh(s.ref(0)).id == 2


def test_a_vector_without_entries_does_not_hide_the_labels_behind_it() -> None:
    def body(labels: list[int]) -> Body:
        return lambda s, x: (s.input_nat_vec([]), s.cross_entropy(x, s.input_nat_vec(labels)))

    s = trained(body([0, 1]))
    with pytest.raises(ProofTapeError, match="99"):
        step(s, body([99, 0]))


def test_a_list_changed_after_it_was_an_argument_is_not_what_is_expected() -> None:
    def body(rows: list[int]) -> Body:
        def record(s: pt.Session, x: pt.TensorRef) -> pt.TensorRef:
            given = list(rows)
            y = x[given]
            given[0] = 1
            return y

        return record

    s = trained(body([0, 0]))
    y = step(s, lambda s, x: x[[1, 0]])  # what the list says now
    np.testing.assert_array_equal(y.value, M[[1, 0]])


def test_a_parameter_changed_after_its_use_does_not_change_the_leaf() -> None:
    s, other = pt.Session(), pt.Session()
    p, q = s.param(np.ones(2, np.float32)), s.param(np.ones(2, np.float32))

    def record(change: Callable[[], None]) -> pt.TensorRef:
        s.reset_tape()
        leaves[p] = s.use(p)
        change()
        leaves[q] = s.use(q)
        return s.add(leaves[p], s.scale(leaves[q], 10))

    def nothing() -> None:
        pass

    def assign() -> None:
        p.value = [5, 5]
        q.value = [7, 7]

    def train_elsewhere() -> None:
        other.reset_tape()
        other.sgd_step_all(1.0, other.backward_scalar_dense_all(other.sum(other.use(p))))

    leaves: dict[pt.Param, pt.TensorRef] = {}
    record(nothing), record(nothing)
    y = record(assign)
    assert s.stats().replays == 1
    assert y.value.tolist() == [71, 71]  # p before it was assigned to, q after
    y = record(train_elsewhere)
    assert y.value.tolist() == [75, 75]
    assert p.value.tolist() == [4, 4]


def test_handles_that_somebody_keeps_are_stale_and_those_of_nobody_come_again() -> None:
    s = trained(BODIES["method"])
    kept = [step(s, BODIES["method"]) for _ in range(8)]
    assert len({id(h) for h in kept}) == 8
    for h in kept[:-1]:
        with pytest.raises(StaleHandleError, match="before reset_tape"):
            s.relu(h)
        assert h.generation < s.generation
    del kept, h
    gc.collect()
    step(s, BODIES["method"])
    track = s._track
    assert track is not None
    assert len(track.sets) <= 4


def test_a_handle_in_a_cycle_is_stale_too() -> None:
    s = trained(BODIES["method"])
    ring: list[Any] = [step(s, BODIES["method"])]
    ring.append(ring)
    first = ring[0]
    for _ in range(3):
        assert step(s, BODIES["method"]) is not first
    with pytest.raises(StaleHandleError):
        s.relu(first)


def test_everything_of_a_stale_handle_is_stale() -> None:
    s = trained(BODIES["method"])
    old = step(s, BODIES["method"])
    step(s, BODIES["method"])
    with pytest.raises(StaleHandleError):
        s.relu(old[:])
    with pytest.raises(StaleHandleError):
        s.relu(s.commit(lambda s: old))


def test_a_recording_goes_on_after_a_replay() -> None:
    s = trained(BODIES["method"])
    y = step(s, BODIES["method"])
    z = s.tanh(y)
    assert (y.id, z.id) == (1, 2)
    np.testing.assert_array_equal(z.value, np.tanh(M))


def test_writing_the_same_graph_otherwise_is_learnt() -> None:
    s = trained(lambda s, x: s.softmax(x, axis=1))
    for _ in range(5):
        step(s, lambda s, x: s.softmax(x, axis=-1))
        len(s)  # reading makes the session look at what was recorded
    before = s.stats().fallbacks
    for _ in range(5):
        step(s, lambda s, x: s.softmax(x, axis=-1))
        len(s)
    assert s.stats().fallbacks == before


def test_a_parameter_that_is_renamed_to_the_same_name_still_matches() -> None:
    s = pt.Session()
    p = s.param(M, "p")
    for _ in range(4):
        s.reset_tape()
        s.relu(s.use(p))
        p.name = "p"
    assert s.stats() == Stats(replays=2, tracks=1)


def test_stats_say_what_ended_a_replay() -> None:
    s = trained(BODIES["method"])
    assert s.stats() == Stats()
    step(s, lambda s, x: s.tanh(x))
    assert s.stats() == Stats(1, 1, "step 3: expected relu, got tanh", 1)
    s = trained(BODIES["default"])
    step(s, BODIES["keyword"])
    assert s.stats().last_fallback == "step 3: expected softmax, got softmax with other arguments"
    s = trained(BODIES["method"])
    step(s, lambda s, x: x.value)
    assert s.stats().last_fallback == "step 3: expected relu, got value"
    s = trained(BODIES["method"])
    s.reset_tape()
    s.add_leaf(M)
    assert s.stats().last_fallback == "step 3: expected input, got add_leaf"


def test_a_session_that_cannot_count_references_never_replays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "COUNTED", False)
    s = trained(BODIES["method"], times=5)
    assert s.stats() == Stats()


def test_handles_of_a_replaying_session_that_is_gone_are_refused() -> None:
    s = trained(lambda s, x: (x + 1.0) * x)
    s.reset_tape()
    x = s.input(M, "x")
    assert s._set is not None
    del s
    gc.collect()
    with pytest.raises(StaleHandleError, match="no longer exists"):
        x + 1.0


def test_handles_of_an_earlier_recording_do_not_meet_what_is_expected_now() -> None:
    s = trained(lambda s, x: (x + 1.0) * x)
    s.reset_tape()
    old = s.input(M, "x")
    s.reset_tape()
    assert s._set is not None
    with pytest.raises(StaleHandleError):
        old + 1.0

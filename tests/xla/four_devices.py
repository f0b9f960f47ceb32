"""Sessions on several devices, run by test_mesh.py in a process that has four (host devices of one CPU)."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

import prooftape as pt
from prooftape.errors import DonatedError, MeshError, ShapeError, ValueTypeError
from prooftape.handle_methods import TensorRef
from prooftape.ops import find, table
from prooftape.session import Session
from prooftape.testing import random_session
from prooftape.testing.rounding import Report, Results, check_within_rounding, xla_rounding
from prooftape.testing.rounding_cases import Data, draw_data, op_sessions
from prooftape.types import REAL
from prooftape.xla.mesh import Devices

GRAPHS = int(os.environ.get("PROOFTAPE_MESH_GRAPHS", "2"))
EVERY_OP = os.environ.get("PROOFTAPE_MESH_OPS") == "all"
A_FEW = ["conv2d", "cross_entropy", "layer_norm", "multi_head_attention"]
Loss = Callable[[Session, list[TensorRef], TensorRef, Any], TensorRef]


def mlp(s: Session, p: list[TensorRef], x: TensorRef, labels: Any) -> TensorRef:
    return s.cross_entropy(s.linear(p[2], p[3], s.relu(s.linear(p[0], p[1], x))), labels)


def integers(s: Session, p: list[TensorRef], x: TensorRef, labels: Any) -> TensorRef:
    """On small integers every sum is exact, in whatever order it is taken."""
    return s.sum(s.linear(p[2], p[3], s.relu(s.linear(p[0], p[1], x))))


class Problem:
    """A network with its data: `exact` if nothing is rounded."""

    def __init__(self, loss: Loss, exact: bool) -> None:
        draw = np.random.default_rng(3)
        self.loss, self.rate = loss, 2.0**-3 if exact else 0.5
        shapes = ((5, 6), (5,), (3, 5), (3,))
        if exact:
            self.params = [draw.integers(-2, 3, shape).astype(float) for shape in shapes]
            self.batches = [draw.integers(-2, 3, (8, 6)).astype(float) for _ in range(3)]
        else:
            self.params = [draw.normal(size=shape) for shape in shapes]
            self.batches = [draw.normal(size=(8, 6)) for _ in range(4)]
        self.labels = draw.integers(0, 3, 8)

    def train(
        self, mesh: object, scalar: str = "float32", optimizer: Any = None
    ) -> tuple[list[Any], list[Any]]:
        """The losses of all steps and the parameters after them."""
        s = Session(scalar, engine="xla", mesh=mesh)
        params = [s.param(p, name=f"p{i}") for i, p in enumerate(self.params)]
        run = None if optimizer is None else optimizer()
        losses = []
        for batch in self.batches:
            s.reset_tape()
            x, labels = s.input(batch), s.input_nat_vec(self.labels)
            loss = self.loss(s, [s.use(p) for p in params], x, labels)
            grads = s.backward_scalar_dense_all(loss)
            if run is None:
                s.sgd_step_all(self.rate, grads)
            else:
                run.step(s, grads)
            losses.append(np.asarray(s.get_value(loss)))
        return losses, [np.asarray(p.value) for p in params]


def same(a: list[Any], b: list[Any]) -> None:
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


# -- the same answers ---------------------------------------------------------------------------------
@pytest.mark.parametrize("scalar", ["float32", "float64", "bfloat16"])
def test_training_equals_one_device_bit_for_bit_where_sums_are_exact(scalar: str) -> None:
    problem = Problem(integers, exact=True)
    if scalar == "bfloat16":
        problem.batches = problem.batches[:1]  # then the parameters need more bits than it has
    losses, params = problem.train(None, scalar)
    if scalar != "bfloat16":  # nothing is rounded indeed
        wide = problem.train(None, "float64")
        same([*losses, *params], [*wide[0], *wide[1]])
    for mesh in (1, 2, 4, jax.devices()[1:3], Mesh(np.array(jax.devices()), ("rows",))):
        got = problem.train(mesh, scalar)
        same(got[0], losses)
        same(got[1], params)


def test_values_gradients_and_tangents_are_within_the_rounding_bounds() -> None:
    problem = Problem(mlp, exact=False)
    sessions = []
    for mesh in (None, 4):
        s = Session(engine="xla", mesh=mesh)
        x, labels = s.input(problem.batches[0], requires_grad=True), s.input_nat_vec(problem.labels)
        p = [s.add_leaf(v) for v in problem.params]
        problem.loss(s, p, x, labels)
        sessions.append(s)
    report = held(*sessions, draw_data(sessions[0], random.Random(1), rough=True))
    assert report, report
    assert report.claims == report.entries > 100


def results(s: Session, data: Data) -> Results:
    """All values, cotangents and the tangent of the last entry, as a user asks for them."""
    total = len(s.graph)
    refs = [s.ref(i) for i in range(total)]
    values = [s.get_value(r) for r in refs]
    if not data.seeds:
        return Results(values)
    grads = s.backward_dense_all(refs[-1], data.seeds[-1])
    real = [r.type.dtype == REAL for r in refs]
    cotangents = [
        None if not ok or grads.is_absent(r) else grads[r] for r, ok in zip(refs, real, strict=True)
    ]
    return Results(values, (), cotangents)


def held(one: Session, several: Session, data: Data) -> Report:
    """The answers of both for the data that is in them, against the bounds of XLA's model."""
    leaves = [one.get_value(one.ref(i)) for i in range(len(one.graph.leaves))]
    model = xla_rounding(one.scalar.name)
    seeds = data.seeds
    got = [results(s, data) for s in (one, several)]
    return check_within_rounding(one.graph, leaves, one._reader(), model, got[0], model, got[1], seeds=seeds)


def spread(like: Session, data: Data, mesh: object) -> Session:
    """The graph of `like` on the data, every leaf an input where two devices can share it."""
    s = Session("float32", engine="xla", mesh=mesh)
    batch, refs = 0, []
    for v in data.leaves:
        even = v.ndim and v.shape[0] and v.shape[0] % 2 == 0
        batch = batch or (v.shape[0] if even and v.dtype.kind != "b" else 0)
        if v.dtype.kind == "b":
            refs.append(s.const(v))
        else:
            refs.append(s.input(v, requires_grad=True) if even else s.add_leaf(v))
    nats: dict[tuple[int, int], Any] = {}
    for node in like.graph.nodes:
        for slot in zip(node.nats, node.call.nat_sizes, strict=True):
            nats.setdefault(slot, None)
    for slot in sorted(nats):
        nats[slot] = s.input_nat_vec([0] * slot[1])  # ops may refuse some naturals when they are recorded
    for node in like.graph.nodes:
        attrs: dict[str, Any] = {a.name: v for a, v in zip(node.call.op.attrs, node.call.attrs, strict=True)}
        slots = [nats[slot] for slot in zip(node.nats, node.call.nat_sizes, strict=True)]
        refs.append(s.apply(node.call.op, *[refs[i] for i in node.args], nats=slots, **attrs))
    for slot, ref in nats.items():
        s.set_nat_vec(ref, like.nat_vec_at(*slot))
    return s


def hold_graph(like: Session, data: Data, report: Report) -> int:
    """Merge the comparison of one device with two; 0 where nothing can be divided."""
    one, two = spread(like, data, None), spread(like, data, 2)
    if not any(leaf.kind == "input" for leaf in two.graph.leaves):
        return 0
    try:
        report.merge(held(one, two, data))
    except ShapeError as e:
        assert "no batch" in str(e), e  # the only vector of naturals is of odd length
        return 0
    return 1


@pytest.mark.parametrize("name", sorted(table()) if EVERY_OP else A_FEW)
def test_ops(name: str) -> None:
    rng, report = random.Random(name), Report()
    for s in list(op_sessions(find(name), rng))[: None if EVERY_OP else 1]:
        hold_graph(s, draw_data(s, rng, rough=True), report)
    assert report, report


def test_random_graphs() -> None:
    report, divided = Report(), 0
    for i in range(GRAPHS):
        rng = random.Random(1000 + i)
        s, _ = random_session(rng, n_nodes=1 + i % 6)
        divided += hold_graph(s, draw_data(s, rng, rough=bool(i % 2)), report)
    assert report, report
    assert divided > GRAPHS // 4, divided
    assert report.claims > 0.9 * report.entries


# -- one collective operation ---------------------------------------------------------------------------
def test_all_gradients_and_the_loss_travel_in_one_all_reduce(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []

    def spy(self: Devices, form: Any) -> Any:
        def run(*arguments: Any) -> Any:
            texts.append(form.lower(*arguments).compile().as_text())
            return form(*arguments)

        return run

    monkeypatch.setattr(Devices, "guarded", spy)
    problem = Problem(mlp, exact=False)
    problem.batches = [np.random.default_rng(0).normal(size=(16, 6))]
    problem.labels = np.arange(16) % 3
    problem.train(4)
    kinds = r"\b(all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)(?:-start)?\("
    found = [re.findall(kinds, text) for text in texts]
    assert ["all-reduce"] in found, found
    assert all(set(f) <= {"all-reduce"} for f in found), found


# -- everything else works as on one device ---------------------------------------------------------------
def test_reading_what_is_divided() -> None:
    s = Session(engine="xla", mesh=4)
    given = np.arange(24.0, dtype=np.float32).reshape(8, 3)
    w = s.param([1.0, 2.0, 3.0], name="w")
    x, labels, ref = s.input(given, requires_grad=True), s.input_nat_vec(range(8)), s.use(w)
    y = x * s.broadcast_to(ref, (8, 3))
    loss = s.sum(s.square(y))
    np.testing.assert_array_equal(s.get_value(x), given)
    np.testing.assert_array_equal(y.value, given * [1, 2, 3])
    np.testing.assert_array_equal(s.get_nat_vec(labels), np.arange(8))
    grads = s.backward_scalar_dense_all(loss)
    np.testing.assert_array_equal(grads[x], 2 * given * np.array([1, 4, 9]))
    np.testing.assert_array_equal(grads[ref], 2 * (given**2).sum(0) * [1, 2, 3])
    np.testing.assert_array_equal(s.jvp_leaf(y, ref, [1, 0, 0])[:, 0], given[:, 0])
    np.testing.assert_array_equal(s.jvp_leaf(y, x, np.ones((8, 3))), np.tile([1, 2, 3], (8, 1)))
    np.testing.assert_array_equal(s.state.leaf_values[0], given)
    wide = s.replay("float64")
    assert wide.engine == "xla"
    assert float(wide.get_value(wide.ref(loss))) == float(loss.value)
    assert s.replay("rational").engine == "numpy"


def test_parameters_move_between_sessions_and_devices() -> None:
    w = pt.Param([[1.0, 2.0], [3.0, 4.0]], name="w")
    expected = np.array(w.value)
    meshes: list[dict[str, Any]] = [
        {"engine": "xla", "mesh": 4},
        {"engine": "xla"},
        {"engine": "numpy"},
        {"engine": "xla", "mesh": 2},
        {"engine": "xla", "mesh": 4},
    ]
    for options in meshes:
        s = Session(**options)
        for _ in range(2):
            s.reset_tape()
            loss = s.sum(s.input(np.ones((4, 2))) @ s.use(w))
            s.sgd_step_all(0.25, s.backward_scalar_dense_all(loss))
            assert float(loss.value) == 4 * expected.sum()
            expected = expected - 1
    np.testing.assert_array_equal(w.value, expected)


def test_optimizers_keep_their_memory_on_all_devices() -> None:
    problem = Problem(integers, exact=True)

    def momentum() -> Any:
        return pt.sgd(lr=2.0**-3, momentum=0.5)

    one, several = (problem.train(mesh, optimizer=momentum) for mesh in (None, 4))
    same([*several[0], *several[1]], [*one[0], *one[1]])
    # Adam's first update is lr m / (sqrt(v) + eps): at most lr, fewer than 16 roundings of equal gradients
    problem.batches = problem.batches[:1]
    lr, unit = 0.125, 2.0**-24
    one, several = (problem.train(mesh, optimizer=lambda: pt.adam(lr=lr)) for mesh in (None, 4))
    same(several[0], one[0])
    for a, b in zip(one[1], several[1], strict=True):
        assert np.all(np.abs(a - b) <= 2 * (16 * unit * lr + unit * np.abs(a)))


def test_what_a_donated_step_cannot_give_back() -> None:
    s = Session(engine="xla", mesh=2)
    w = s.param([1.0, 2.0])
    for k in range(4):
        s.reset_tape()
        y = s.square(s.use(w) * s.input(np.ones((2,))))
        loss = s.sum(y)
        s.sgd_step_all(0.1, s.backward_scalar_dense_all(loss))
        float(loss.value)
        if k == 3:
            with pytest.raises(DonatedError, match="read it before the step"):
                s.get_value(y)


def test_parts_of_one_process_are_the_batch() -> None:
    s = Session(engine="xla", mesh=4)
    rows = np.arange(8.0).reshape(8, 1)
    for _ in range(4):
        s.reset_tape()
        x = s.input(pt.distributed.shard(s, rows))
        labels = s.input_nat_vec(pt.distributed.shard(s, np.arange(8)))
        np.testing.assert_array_equal(s.get_value(s.reshape(x, (8,))), rows[:, 0])
        np.testing.assert_array_equal(s.get_nat_vec(labels), np.arange(8))


# -- refusals ---------------------------------------------------------------------------------------------
def refused(mesh: object, engine: str = "xla") -> str:
    with pytest.raises(MeshError) as caught:
        Session(engine=engine, mesh=mesh)
    return str(caught.value)


def test_meshes_that_are_none() -> None:
    assert "5 devices asked, JAX has 4 (cpu); on a CPU, set XLA_FLAGS" in refused(5)
    assert "expected one axis" in refused(Mesh(np.array(jax.devices()).reshape(2, 2), ("a", "b")))
    assert "the same device stands in it twice" in refused([jax.devices()[0]] * 2)
    for nothing in (0, -1, True, "4", [], [1, 2], 2.0):
        assert "expected a number of devices" in refused(nothing)
    assert "several need engine='xla'" in refused(4, "numpy")


def test_a_batch_that_cannot_be_shared_equally() -> None:
    s = Session(engine="xla", mesh=4)
    y = s.square(s.input(np.ones((6, 2)), name="x"))
    with pytest.raises(ShapeError, match=r"the first axis of input x, 6 long, and 4 devices cannot share"):
        s.get_value(y)
    s.reset_tape()
    y = s.square(s.const(np.ones((6, 2))))
    np.testing.assert_array_equal(y.value, np.ones((6, 2)))
    s.reset_tape()
    table_, tokens = s.const(np.ones((5, 2))), s.input_nat_vec([1, 2, 3])
    with pytest.raises(ShapeError, match="vector of naturals at 0, 3 long"):
        s.get_value(s.gather_rows_ref(table_, tokens))


def test_parts_that_are_none() -> None:
    s = Session(engine="xla", mesh=4)
    with pytest.raises(MeshError, match="no axis to be divided"):
        pt.distributed.shard(s, 1.0)
    with pytest.raises(MeshError, match="expected a session with mesh"):
        pt.distributed.shard(Session(), [1.0])
    with pytest.raises(ShapeError, match="6 rows, and the 4 devices"):
        pt.distributed.shard(s, np.ones(6))
    other = Session(engine="xla", mesh=2)
    with pytest.raises(ValueTypeError):
        Session().input(pt.distributed.shard(other, np.ones(4)))

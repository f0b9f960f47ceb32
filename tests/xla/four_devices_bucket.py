"""One vector of gradients on several devices; run by test_mesh.py in a process that has four."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prooftape import Session
from prooftape.graph_division import Division
from prooftape.handle_methods import TensorRef
from prooftape.testing.rounding import Report, compare, rounding_bounds, xla_rounding
from prooftape.testing.rounding_parts import divided_bounds
from prooftape.xla.blocks import Blocks
from prooftape.xla.bucket import Shared
from prooftape.xla.mesh import Devices
from prooftape.xla.program import Program
from prooftape.xla.structure import forget

SLOW = os.environ.get("PROOFTAPE_MESH_OPS") == "all"
Network = Callable[[Session, list[TensorRef], TensorRef, Any], TensorRef]
COLLECTIVE = r"= (\S+) (all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)(?:-start)?\("


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The roots whose passes were traced on parts."""
    seen: list[int] = []
    passes = Shared.passes
    forget()  # what other tests have traced

    def spy(self: Shared, xp: Any, leaves: Any, nats: Any, root: int, also: Any, wanted: Any) -> Any:
        seen.append(root)
        return passes(self, xp, leaves, nats, root, also, wanted)

    monkeypatch.setattr(Shared, "passes", spy)
    yield seen


# -- networks with their shapes -----------------------------------------------------------------------------
def mlp(s: Session, p: list[TensorRef], x: TensorRef, labels: Any) -> TensorRef:
    h = s.relu(s.linear(p[0], p[1], x))
    return s.cross_entropy(s.linear(p[2], p[3], h), labels)


def decayed(s: Session, p: list[TensorRef], x: TensorRef, labels: Any) -> TensorRef:
    """With constants, broadcasting, a weight that is transformed first, and weight decay."""
    h = s.tanh(s.matmul(x, s.transpose2d(s.tanh(p[0]))) * 2 + p[1]) - 0.5
    return mlp(s, [s.square(p[0]), *p[1:]], s.matmul(h, p[0]), labels) + s.sum(s.square(p[2])) * 0.25


def summed(s: Session, p: list[TensorRef], x: TensorRef, labels: Any) -> TensorRef:
    return s.sum(s.square(s.linear(p[2], p[3], s.relu(s.linear(p[0], p[1], x)))))


def cnn(s: Session, p: list[TensorRef], x: TensorRef, labels: Any) -> TensorRef:
    h = s.max_pool2d(s.relu(s.conv2d(p[0], p[1], x, padding=1)), 2)
    return s.cross_entropy(s.linear(p[2], p[3], s.reshape(h, (x.shape[0], -1))), labels)


def transformer(s: Session, p: list[TensorRef], x: TensorRef, labels: Any) -> TensorRef:
    h = x + s.multi_head_attention(*p[2:6], s.layer_norm(x, p[0], p[1]), num_heads=2)
    h = h + s.linear(p[8], p[9], s.gelu(s.linear(p[6], p[7], h)))
    return s.cross_entropy(s.reshape(h, (x.shape[0] * x.shape[1], x.shape[2])), labels)


DENSE = ((5, 6), (5,), (3, 5), (3,))
NETWORKS: dict[str, tuple[Network, tuple[tuple[int, ...], ...], tuple[int, ...], int]] = {
    "mlp": (mlp, DENSE, (24, 6), 3),
    "decayed": (decayed, DENSE, (12, 6), 3),
    "summed": (summed, DENSE, (12, 6), 3),
    "cnn": (cnn, ((2, 1, 3, 3), (2,), (3, 18), (3,)), (12, 1, 6, 6), 3),
    "transformer": (
        transformer,
        ((4,), (4,), (4, 4), (4, 4), (4, 4), (4, 4), (8, 4), (8,), (4, 8), (4,)),
        (12, 3, 4),
        4,
    ),
}


def data(name: str) -> tuple[list[Any], Any, Any]:
    """Starting values of the parameters, the input, the labels."""
    _, shapes, rows, classes = NETWORKS[name]
    draw = np.random.default_rng(7)
    values = [draw.normal(size=shape, scale=0.5).astype(np.float32) for shape in shapes]
    x = draw.normal(size=rows).astype(np.float32)
    return values, x, draw.integers(0, classes, rows[0] * (rows[1] if name == "transformer" else 1))


def recorded(s: Session, name: str, params: list[Any] | None = None) -> TensorRef:
    """The loss; the input, which comes first, asks for its gradient."""
    values, x, labels = data(name)
    given = s.input(x, requires_grad=True)
    used = [s.add_leaf(v) for v in values] if params is None else [s.use(p) for p in params]
    return NETWORKS[name][0](s, used, given, s.input_nat_vec(labels))


def division_of(s: Session, n: int) -> Division:
    graph = s.graph
    slots = sorted({x for node in graph.nodes for x in zip(node.nats, node.call.nat_sizes, strict=True)})
    leaves = tuple(leaf.kind == "input" for leaf in graph.leaves)
    return Division(n, leaves, tuple((slot, True) for slot in slots))


# -- within the derived bounds ------------------------------------------------------------------------------
@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_values_and_gradients_are_within_the_bounds_of_their_parts(
    name: str, n: int, ways: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every cotangent, and the loss that comes with them; for the one device, against its own bounds."""
    if not SLOW and (name, n) != ("summed", 2):
        pytest.skip("slow")
    import jax

    report, model = Report(), xla_rounding("float32")
    for mesh in (None, jax.devices()[:n]):
        s = Session("float32", engine="xla", mesh=mesh)
        loss = recorded(s, name)
        graph, read = s.graph, s._reader()
        leaves = [np.asarray(s.get_value(s.ref(i))) for i in range(len(graph.leaves))]
        grads = s.backward_scalar_dense_all(loss)
        got = [grads.stored(i) for i in range(len(graph))]
        if mesh is None:
            seeds = [np.array(1.0) if i == loss.id else None for i in range(len(graph))]
            values, _, cotangents = rounding_bounds(graph, leaves, read, model, (), seeds)
        else:
            values, cotangents = divided_bounds(graph, leaves, read, model, division_of(s, n), loss.id)
            assert ways, "not run on parts"
        assert values[loss.id] is not None
        report.merge(compare(model, values[loss.id], s.get_value(loss), ("values", loss.id, "loss")))
        for i, bound in enumerate(cotangents):
            assert (bound is None) == (got[i] is None)
            if bound is not None:
                report.merge(compare(model, bound, got[i], ("cotangents", i, name)))
    assert report, report
    assert report.claims > 0.9 * report.entries > 20


@pytest.mark.parametrize("name", list(NETWORKS))
def test_steps_are_within_the_bounds_of_their_parts(name: str, ways: list[int]) -> None:
    """Loss and parameters after a step, and values and cotangents that it hands out."""
    if not SLOW and name != "mlp":
        pytest.skip("slow")
    rate, model, report, unit = 0.125, xla_rounding("float32"), Report(), 2.0**-24
    s, start = Session("float32", engine="xla", mesh=4), data(name)[0]
    params = [s.param(v) for v in start]
    for _ in range(4):  # from the second step on it is known what is read after a step
        s.reset_tape()
        for p, v in zip(params, start, strict=True):
            p.value = v
        loss = recorded(s, name, params)
        grads = s.backward_scalar_dense_all(loss)
        s.sgd_step_all(rate, grads)
        middle = len(s.graph.leaves) + 1
        cotangents = {i: np.asarray(grads[s.ref(i)]) for i in (0, 1, middle)}
        values = {i: np.asarray(s.get_value(s.ref(i))) for i in (loss.id, middle)}
    assert len(ways) >= 2, ways
    leaves = [data(name)[1], *start]
    bounds = divided_bounds(s.graph, leaves, s._reader(), model, division_of(s, 4), loss.id)
    for bound, got, kind in zip(bounds, (values, cotangents), ("values", "cotangents"), strict=True):
        for i, array in got.items():
            report.merge(compare(model, bounded(bound[i]), array, (kind, i, name)))
    assert report, report
    for i, (old, p) in enumerate(zip(start, params, strict=True), 1):
        g = bounded(bounds[1][i])
        moved = rate * (np.abs(g.value) + g.error)
        bound = rate * g.error + unit * moved + unit * (np.abs(old) + 2 * moved)
        assert np.all(np.abs(np.asarray(p.value) - (old - rate * g.value)) <= bound), name


def bounded(x: Any) -> Any:
    assert x is not None
    return x


# -- exactly, where nothing is rounded ----------------------------------------------------------------------
Loss = Callable[[Session, TensorRef, TensorRef], TensorRef]


def trained(
    loss: Loss, mesh: object, scalar: str = "float32", size: int = 4, special: float | None = None
) -> list[Any]:
    """Losses and weights of some steps on small integers."""
    draw = np.random.default_rng(11)
    s = Session(scalar, engine="xla", mesh=mesh)
    w = s.param(draw.integers(-2, 3, (size, size)), name="w")
    seen: list[Any] = []
    for _ in range(3):
        s.reset_tape()
        rows = draw.integers(-2, 3, (2 * size, size)).astype(np.float32)
        if special is not None:
            rows[6, 1] = special
        root = loss(s, s.input(rows), s.use(w))
        s.sgd_step_all(2.0**-4, s.backward_scalar_dense_all(root))
        seen += [np.asarray(s.get_value(root)), np.array(w.value)]
    return seen


def equal(loss: Loss, **options: Any) -> None:
    for a, b in zip(trained(loss, None, **options), trained(loss, 4, **options), strict=True):
        np.testing.assert_array_equal(a, b)


def centred(s: Session, x: TensorRef, w: TensorRef) -> TensorRef:
    """Eight times the distance from the batch's mean."""
    h = s.matmul(x, w)
    return s.mean(s.abs(h * 8 - s.broadcast_to(s.reduce_sum(h, 0), (8, 4))))


def first_row(s: Session, x: TensorRef, w: TensorRef) -> TensorRef:
    h = s.matmul(x, w)
    return s.mean(s.maximum(h, s.broadcast_to(s.gather_row(h, 0), (8, 4))))


def extremes(s: Session, x: TensorRef, w: TensorRef) -> TensorRef:
    return s.mean(s.reduce_max(s.matmul(x, w), 0))


@pytest.mark.parametrize("loss", [centred, first_row, extremes])
def test_graphs_that_mix_rows_go_the_other_way(loss: Loss, ways: list[int]) -> None:
    equal(loss)
    assert not ways
    s = Session(engine="xla", mesh=4)
    x, w = s.input(np.ones((8, 4)), requires_grad=True), s.const(np.ones((4, 4)))
    assert s.stats().undivided is None
    s.backward_scalar_dense_all(loss(s, x, w))[x]
    assert "keep the rows" in str(s.stats().undivided) or "meets its rows" in str(s.stats().undivided)
    s.reset_tape()
    x = s.input(np.ones((8, 4)), requires_grad=True)
    y = s.sum(x)
    s.backward_dense_all(y, 2.0)[x]
    assert s.stats().undivided == "a seed is given"
    s.backward_scalar_dense_all(y)[x]
    assert s.stats().undivided is None


def test_batch_norm_goes_the_other_way(ways: list[int]) -> None:
    report, model = Report(), xla_rounding("float32")
    draw = np.random.default_rng(2)
    x, g, b = draw.normal(size=(4, 2, 3, 3)), draw.normal(size=2), draw.normal(size=2)
    for mesh in (None, 4):
        s = Session("float32", engine="xla", mesh=mesh)
        refs = [s.input(x, requires_grad=True), s.add_leaf(g), s.add_leaf(b)]
        loss = s.mean(s.square(s.batchnorm_channel_first(*refs)))
        leaves = [np.asarray(s.get_value(r)) for r in refs]
        seeds = [np.array(1.0) if i == loss.id else None for i in range(len(s.graph))]
        _, _, bounds = rounding_bounds(s.graph, leaves, s._reader(), model, (), seeds)
        grads = s.backward_scalar_dense_all(loss)
        for i, bound in enumerate(bounds):
            report.merge(compare(model, bounded(bound), grads.stored(i), ("cotangents", i, "")))
    assert report, report
    assert report.claims > 0.9 * report.entries
    assert not ways


def chain(s: Session, x: TensorRef, w: TensorRef) -> TensorRef:
    """Long enough to be cut into blocks."""
    h = x
    for k in range(40):
        h = s.clamp(h + s.broadcast_to(s.reduce_sum(w, 0), (8, 4)) * (-1) ** k, -8, 8) + x
    return s.mean(s.abs(h))


def test_a_long_graph_is_cut_into_blocks(ways: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    init = Blocks.__init__

    def spy(self: Blocks, *arguments: Any) -> None:
        init(self, *arguments)
        made.append(len(self.blocks))

    monkeypatch.setattr(Blocks, "__init__", spy)
    equal(chain)
    assert ways and len(made) >= 2 and min(made) > 2, made


WIDE = 64  # products of 32 and more are not written out, so the fast form cannot absorb a zero itself


def guarded_products(s: Session, x: TensorRef, w: TensorRef) -> TensorRef:
    """Rows with a large entry do not count, whatever it does to a product."""
    large = s.greater(
        s.broadcast_to(s.reshape(s.reduce_max(x, 1), (2 * WIDE, 1)), x.shape), s.full(x.shape, 100)
    )
    return s.mean(s.abs(s.where(large, s.full(x.shape, 0), s.matmul(x, w))))


@pytest.mark.parametrize("special", [None, np.inf])
def test_a_zero_absorbs_what_one_device_has(
    special: float | None, ways: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flag of any device makes all of them run the strict form."""
    strict: list[bool] = []
    make = Program._compile

    def spy(self: Program, st: Any, fn: Any, donate: Any, how: bool) -> Any:
        strict.append(how)
        return make(self, st, fn, donate, how)

    monkeypatch.setattr(Program, "_compile", spy)
    equal(guarded_products, scalar="float64", size=WIDE, special=special)
    assert strict.count(True) == (0 if special is None else 2)
    assert np.isfinite(trained(guarded_products, 4, "float64", WIDE, special)[-1]).all()
    assert ways


def test_one_device_of_a_mesh_needs_no_parts(ways: list[int]) -> None:
    for a, b in zip(trained(centred, None), trained(centred, 1), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not ways


# -- what is sent -------------------------------------------------------------------------------------------
@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The compiled programs, as text."""
    seen: list[str] = []

    def spy(self: Devices, form: Any) -> Any:
        def run(*arguments: Any) -> Any:
            seen.append(form.lower(*arguments).compile().as_text())
            return form(*arguments)

        return run

    monkeypatch.setattr(Devices, "guarded", spy)
    yield seen


def test_a_step_sends_one_vector(programs: list[str]) -> None:
    s = Session("float32", engine="xla", mesh=2)
    params = [s.param(v) for v in data("mlp")[0]]
    for _ in range(2):
        s.reset_tape()
        loss = recorded(s, "mlp", params)
        s.sgd_step_all(0.125, s.backward_scalar_dense_all(loss))
        s.get_value(loss)
    entries = sum(v.size for v in data("mlp")[0]) + 1
    assert programs
    for text in programs:
        ((kind, op),) = re.findall(COLLECTIVE, text)
        assert op == "all-reduce"
        assert kind.startswith(f"f32[{entries}]"), kind


@pytest.mark.skipif(not SLOW, reason="slow")
@pytest.mark.parametrize("name", ["W2", "W3", "W4"])
def test_a_step_of_a_benchmark_sends_one_vector(name: str, programs: list[str]) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
    try:
        import data_parallel
    finally:
        sys.path.pop(0)
    step = data_parallel.make_step(name, Session(engine="xla", mesh=4), None)
    losses = [step() for _ in range(2)]
    alone = data_parallel.make_step(name, Session(engine="xla"), None)
    np.testing.assert_allclose(losses, [alone() for _ in range(2)], rtol=1e-4)
    (text,) = set(programs)
    ((kind, op),) = re.findall(COLLECTIVE, text)
    assert op == "all-reduce"
    assert re.fullmatch(r"f32\[\d+\]\S*", kind), kind

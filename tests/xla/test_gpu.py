"""The XLA engine on a GPU: the same tests as on a CPU, skipped with the reason where there is none.

Not tested on every commit: the machines that do that have no GPU. `pytest -m slow tests/xla/test_gpu.py`.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="needs the extra xla")

import prooftape as pt  # noqa: E402
from prooftape.ops import find, table  # noqa: E402
from prooftape.testing import random_session  # noqa: E402
from prooftape.testing.rounding import (  # noqa: E402
    Report,
    Results,
    check_within_rounding,
    numpy_rounding,
    xla_rounding,
)
from prooftape.testing.rounding_cases import (  # noqa: E402
    Data,
    array_results,
    draw_data,
    op_sessions,
)
from prooftape.types import REAL  # noqa: E402


def why_not() -> str:
    """Why nothing here can run, "" if it can."""
    try:
        devices = jax.devices()
    except RuntimeError as e:
        return f"JAX starts no backend: {e}"
    if devices[0].platform in ("gpu", "cuda", "rocm"):
        return ""
    return f"no GPU: JAX has {devices[0].platform} devices (a GPU needs jax[cuda13] and a driver)"


pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not() or "never")]


def on_gpu(like: pt.Session, data: Data, scalar: str, mesh: Any = None) -> Results:
    """Values, the tangent of the last entry and cotangents of the graph of `like` on the data."""
    s = pt.Session(scalar, engine="xla", mesh=mesh)
    refs = [s.const(v) if v.dtype.kind == "b" else s.add_leaf(v) for v in data.leaves]
    slots = sorted({x for n in like.graph.nodes for x in zip(n.nats, n.call.nat_sizes, strict=True)})
    nats = {slot: s.input_nat_vec([0] * slot[1]) for slot in slots}  # some are refused when recorded
    for node in like.graph.nodes:
        call = node.call
        attrs: dict[str, Any] = {a.name: v for a, v in zip(call.op.attrs, call.attrs, strict=True)}
        read = [nats[slot] for slot in zip(node.nats, call.nat_sizes, strict=True)]
        refs.append(s.apply(call.op, *[refs[i] for i in node.args], nats=read, **attrs))
    for slot, ref in nats.items():
        s.set_nat_vec(ref, like.nat_vec_at(*slot))
    values = [s.get_value(r) for r in refs]
    if not data.seeds:
        return Results(values)
    grads = s.backward_dense_all(refs[-1], data.seeds[-1])
    absent = [r.type.dtype != REAL or grads.is_absent(r) for r in refs]
    return Results(values, (), [None if a else grads[r] for a, r in zip(absent, refs, strict=True)])


def compared(s: pt.Session, data: Data, scalar: str, mesh: Any = None) -> Report:
    """The GPU's answers and the NumPy engine's, each against its bounds."""
    numpy = array_results(s, scalar, data)
    return check_within_rounding(
        s.graph,
        data.leaves,
        s._reader(),
        numpy_rounding(scalar),
        Results(numpy.values, (), numpy.cotangents),
        xla_rounding(scalar),
        on_gpu(s, data, scalar, mesh),
        seeds=data.seeds,
    )


@pytest.mark.parametrize("name", sorted(table()))
def test_every_op(name: str) -> None:
    rng, report = random.Random(name), Report()
    for s in list(op_sessions(find(name), rng))[:2]:
        report.merge(compared(s, draw_data(s, rng, rough=True), "float32"))
    assert report, report


@pytest.mark.parametrize("scalar", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("mesh", [None, 1])
def test_random_graphs(scalar: str, mesh: Any) -> None:
    report = Report()
    for i in range(8):
        rng = random.Random(5000 + i)
        s, _ = random_session(rng, n_nodes=2 + i)
        report.merge(compared(s, draw_data(s, rng, rough=True), scalar, mesh))
    assert report, report
    assert report.claims > 0.9 * report.entries


def network(s: pt.Session, kind: str, p: list[Any], x: Any, labels: Any) -> Any:
    if kind == "mlp":
        h = s.relu(s.linear(p[0], p[1], x))
    else:
        h = s.reshape(s.max_pool2d(s.relu(s.conv2d(p[0], p[1], x, padding=1)), 2), (x.shape[0], -1))
    return s.cross_entropy(s.linear(p[2], p[3], h), labels)


SHAPES = {
    "mlp": (((64, 96), (64,), (10, 64), (10,)), (32, 96)),
    "cnn": (((4, 2, 3, 3), (4,), (10, 4 * 6 * 6), (10,)), (16, 2, 12, 12)),
}


@pytest.mark.parametrize("kind", sorted(SHAPES))
@pytest.mark.parametrize("mesh", [None, 1])
def test_training_steps(kind: str, mesh: Any) -> None:
    """Matrix products in full float32 (TF32 keeps 10 bits, and breaks these bounds), and donated steps."""
    shapes, batch = SHAPES[kind]
    draw = np.random.default_rng(0)
    start = [draw.normal(size=shape).astype(np.float32) * 0.2 for shape in shapes]
    x, labels = draw.normal(size=batch).astype(np.float32), draw.integers(0, 10, batch[0])
    like = pt.Session("float64")
    leaves = [like.add_leaf(v) for v in start]
    given = like.input(x)
    network(like, kind, leaves, given, like.input_nat_vec(labels))
    seeds: list[Any] = [None] * len(like.graph)
    seeds[-1] = np.array(1.0)
    data = Data([*start, x], [], seeds)
    report = compared(like, data, "float32", mesh)
    assert report, report
    losses: dict[str, list[float]] = {}
    for engine in ("numpy", "xla"):
        s = pt.Session(engine=engine, mesh=mesh if engine == "xla" else None)
        params = [s.param(v) for v in start]
        losses[engine] = []
        for _ in range(10):
            s.reset_tape()
            used = [s.use(p) for p in params]
            loss = network(s, kind, used, s.input(x), s.input_nat_vec(labels))
            s.sgd_step_all(0.1, s.backward_scalar_dense_all(loss))
            losses[engine].append(float(s.get_value(loss)))
    assert losses["xla"][-1] < losses["xla"][0]
    print(kind, mesh, "largest difference of losses", np.abs(np.subtract(*losses.values())).max())

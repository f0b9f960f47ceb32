"""Profiles: every second is in one phase, every executed node appears, and no result changes."""

from __future__ import annotations

import importlib.util
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prooftape as pt
from prooftape.handle_methods import TensorRef
from prooftape.profiling import Profile
from prooftape.profiling.clock import Clock, Step, typical, wrapper_cost
from prooftape.profiling.report import size
from prooftape.profiling.report import time as shown

ENGINES = [
    "numpy",
    pytest.param(
        "xla",
        marks=pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="engine xla needs jax"),
    ),
]
Loop = Callable[[int], list[Any]]


def training(s: pt.Session, optimizer: bool = True) -> Loop:
    """A loop of training steps that records with methods, operators, naturals and constants."""
    rng = np.random.default_rng(1)
    first, second = s.param(rng.normal(size=(8, 5)), name="W"), s.param(rng.normal(size=(3, 8)), name="V")
    data, labels = rng.normal(size=(6, 5)), [0, 1, 2, 0, 1, 2]
    run = pt.adam(lr=0.01)

    def loop(steps: int) -> list[Any]:
        out = []
        for _ in range(steps):
            s.reset_tape()
            w, v, x, y = s.use(first), s.use(second), s.input(data), s.input_nat_vec(labels)
            hidden = s.tanh(x @ w.T) * 2.0 + 0.5
            loss = s.cross_entropy(hidden @ v.T, y)
            grads = s.backward_scalar_dense_all(loss)
            if optimizer:
                run.step(s, grads)
            else:
                s.sgd_step_all(0.1, grads)
            out.append(loss.item())
        return [*out, first.value.copy(), second.value.copy()]

    return loop


def forget_programs(engine: str) -> None:
    """Programs are shared by sessions: without them a test sees what the first of a kind does."""
    if engine == "xla":
        from prooftape.xla.structure import forget

        forget()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("scalar", "optimizer"), [("float32", True), ("float32", False), ("float64", False)])
def test_a_profile_changes_no_bit(engine: str, scalar: str, optimizer: bool) -> None:
    plain = training(pt.Session(scalar, engine), optimizer)(5)
    forget_programs(engine)
    s = pt.Session(scalar, engine)
    loop = training(s, optimizer)
    with s.profile(nodes=False):
        watched = loop(5)
    for a, b in zip(plain, watched, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("optimizer", [True, False])
def test_phases_add_up_and_every_node_appears(engine: str, optimizer: bool) -> None:
    forget_programs(engine)
    s = pt.Session(engine=engine)
    loop = training(s, optimizer)
    start = time.perf_counter()
    with s.profile() as p:
        inside = time.perf_counter()
        loop(6)
        inside = time.perf_counter() - inside
        graph = s.graph
    assert inside <= p.total <= time.perf_counter() - start
    assert sum(p.phases.values()) == pytest.approx(p.total, abs=1e-9 + 1e-6 * p.total)
    assert all(seconds >= 0 for seconds in p.phases.values())
    assert len(p.steps) == 6
    for step in p.steps:
        assert sum(step.seconds.values()) == pytest.approx(step.duration, abs=1e-9 + 1e-6 * step.duration)
        assert all(a <= b for _, a, b in step.segments)
    ran = {n.id: n for n in p.nodes}
    assert set(ran) == set(range(len(graph.leaves), len(graph)))
    assert len(p.nodes) == len(ran), "a node twice"
    for id, n in ran.items():
        assert n.op == graph.nodes[id - len(graph.leaves)].op
        assert n.shape == str(graph.type_of(id))
        assert n.line == str(graph.location_of(id)) and n.line.startswith("test_profile.py:")
        assert n.forward >= 0 and n.backward >= 0 and n.runs == 6
    assert p.notes == []
    if engine == "numpy":
        assert sum(n.forward for n in p.nodes) <= p.phases["forward"]
        assert sum(n.backward for n in p.nodes) <= p.phases["backward"]
        assert p.phases["update"] > 0 and p.phases["record"] > 0 and p.phases["inputs"] > 0
    else:
        assert p.phases["compile"] > 0 and p.phases["program"] > 0
        covered = {id for r in p.regions for way, id in r.nodes if way == "forward"}
        assert covered <= set(ran) and covered, "no region names the nodes it covers"
        assert any(way == "backward" for r in p.regions for way, _ in r.nodes)
        assert all(r.seconds >= 0 for r in p.regions)
        assert sum(program.runs for program in p.programs) == 6
        assert all(program.again > 0 for program in p.programs)
        divided = sum(n.seconds for n in p.nodes) + p.update_seconds
        whole = sum(r.seconds * r.runs for r in p.regions)
        assert divided == pytest.approx(whole, rel=1e-9)
        assert p.moved["to_device"].bytes >= 6 * (6 * 5 * 4 + 6 * 4)
        assert p.moved["to_host"].count >= 6


@pytest.mark.slow
def test_a_long_graph_that_is_cut_into_blocks() -> None:
    pytest.importorskip("jax")
    s = pt.Session(engine="xla")
    a = s.param(np.ones(16))
    with s.profile() as p:
        for _ in range(3):
            s.reset_tape()
            x = s.use(a)
            for _ in range(70):
                x = s.tanh(x * 0.5)
            s.sgd_step_all(0.1, s.backward_scalar_dense_all(s.sum(x)))
    assert len(p.nodes) == 141 and p.notes == []
    assert sum(n.forward > 0 for n in p.nodes if n.op == "tanh") > 60
    assert sum(n.backward > 0 for n in p.nodes if n.op == "tanh") > 60


def test_what_happens_is_put_into_its_phase() -> None:
    s = pt.Session("float64")
    with s.profile() as p:
        s.reset_tape()
        x = s.input(np.ones((4, 4)))
        time.sleep(0.02)
        y = s.tanh(x)
        y.value  # noqa: B018 - the value is computed when it is read
    (step,) = p.steps
    assert step.seconds["other"] >= 0.02
    assert step.seconds["forward"] > 0 and step.seconds["record"] > 0
    assert "backward" not in step.seconds and p.nodes[0].backward == 0


def test_values_read_late_and_gradients_asked_for_are_counted() -> None:
    s = pt.Session("float64")
    with s.profile() as p:
        x = s.input(np.ones(3))
        loss = s.sum(s.square(x))
        grads = s.backward_scalar_dense_all(loss)
        before = dict(p.clock._step.seconds)
        assert np.array_equal(grads[x], [2, 2, 2])  # nobody needed it: computed now
    assert before == {} and p.phases["backward"] > 0
    assert {n.op: n.backward > 0 for n in p.nodes} == {"square": True, "sum": True}


def test_forward_mode_and_strict_domains() -> None:
    s = pt.Session("float64", domain="raise")
    with s.profile() as p:
        x = s.input(np.ones(3), requires_grad=True)
        y = s.sum(s.log(x))
        assert s.jvp_scalar_leaf(y, x, np.ones(3)).item() == 3
        assert s.backward_scalar_dense_all(y)[x].tolist() == [1, 1, 1]
    assert p.phases["tangent"] > 0
    assert {(n.op, n.runs) for n in p.nodes} == {("log", 1), ("sum", 1)}


def test_an_error_inside_ends_the_profile_and_keeps_what_ran() -> None:
    s = pt.Session("rational")
    with pytest.raises(pt.errors.ScalarError, match=r"test_profile\.py"), s.profile() as p:
        x = s.input([1, 2])
        y = x * x
        s.exp(y).value  # noqa: B018
    assert "_run" not in vars(s) and [n.op for n in p.nodes] == ["mul"]
    assert y.value.tolist() == [1, 4]


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_is_left_behind(engine: str) -> None:
    s = pt.Session(engine=engine)
    before, methods = set(vars(s)), dict(vars(TensorRef))
    engine_before = None if s._xla is None else set(vars(s._xla))
    loop = training(s)
    with s.profile(nodes=False):
        assert set(vars(s)) > before and vars(TensorRef)["__add__"] is not methods["__add__"]
        loop(2)
    loop(2)
    ended = set(vars(s)) - before
    assert not {name for name in ended if callable(vars(s)[name])}
    assert dict(vars(TensorRef)) == methods
    if s._xla is not None:
        assert set(vars(s._xla)) == engine_before and s._xla.observed is False


def test_sessions_nobody_profiles_have_nothing_to_check() -> None:
    """No instance attribute stands before a method: the code that runs is the class's own."""
    s = pt.Session()
    assert not [name for name, value in vars(s).items() if callable(value) and hasattr(type(s), name)]


def test_two_at_once_and_one_twice_are_refused() -> None:
    s, t = pt.Session(), pt.Session()
    with s.profile() as p:
        with pytest.raises(pt.errors.ProofTapeError, match="another profile is running"), t.profile():
            pass
        s.input([1.0])
    with pytest.raises(pt.errors.ProofTapeError, match="make a new one"), p:
        pass
    with t.profile():  # the refusal left nothing switched on
        t.input([1.0])


def test_other_threads_pass_unseen() -> None:
    s = pt.Session()
    out = []

    def work() -> None:
        out.append((s.tanh(s.input([0.0]))).value.tolist())

    with s.profile() as p:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert out == [[0.0]] and p.steps == [] and set(p.phases) == {"other", "profile"}
    assert "no node was run" in str(p)


def test_a_limit_of_steps() -> None:
    s = pt.Session()
    loop = training(s)
    with Profile(s, steps=3) as p:
        loop(7)
        assert "tanh" not in vars(s)
    assert len(p.steps) == 3 and {n.runs for n in p.nodes} == {3}


def test_replays_and_messages_are_those_without_a_profile() -> None:
    found = []
    for watched in (False, True):
        s = pt.Session()
        loop = training(s)
        if watched:
            with s.profile():
                loop(5)
                s.reset_tape()
                s.input([1.0]).relu()
        else:
            loop(5)
            s.reset_tape()
            s.input([1.0]).relu()
        found.append(s.stats())
    assert found[0] == found[1]


def test_the_table_says_what_was_measured() -> None:
    s = pt.Session()
    loop = training(s)
    with s.profile() as p:
        loop(4)
    text = str(p)
    assert "4 steps" in text and "the median of 4 training steps" in text
    for word in ("recording ops", "forward", "backward", "updating parameters", "everything else", "total"):
        assert word in text
    for n in p.nodes:
        assert f"%{n.id} " in text and n.line in text
    assert "add up to the total" in text and "µs to the figures" in text
    assert repr(p).startswith("<Profile: 4 steps in ")


def test_the_data_is_json(tmp_path: Path) -> None:
    s = pt.Session()
    loop = training(s)
    with s.profile() as p:
        loop(3)
    p.save(tmp_path / "profile.json")
    found = json.loads((tmp_path / "profile.json").read_text())
    assert found == json.loads(json.dumps(p.json()))
    assert sum(found["phases"].values()) == pytest.approx(found["seconds"])
    assert len(found["steps"]) == 3 and len(found["nodes"]) == len(p.nodes)


def test_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    s = pt.Session()
    with s.profile() as p:
        training(s)(3)
    p.save(tmp_path / "profile.svg")
    p.save(str(tmp_path / "profile.png"))
    assert b"<svg" in (tmp_path / "profile.svg").read_bytes()
    assert (tmp_path / "profile.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(pt.errors.AttributeValueError, match=r"cannot draw a \.jpeg; it is one of \.svg"):
        p.save(tmp_path / "profile.jpeg")
    with t_empty() as empty:
        pass
    empty.save(tmp_path / "empty.svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.svg", "profile.png", "profile.svg"]


def t_empty() -> Profile:
    return pt.Session().profile()


def test_a_picture_without_matplotlib_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    with t_empty() as p:
        pass
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(pt.errors.MissingExtraError, match=r"prooftape\[cli\]"):
        p.save("profile.svg")


# -- the parts ------------------------------------------------------------------------------------------
def test_the_clock_is_exclusive() -> None:
    clock = Clock()
    clock.start()
    inner = clock.timed(lambda: time.sleep(0.02), "forward")
    outer = clock.timed(lambda: (time.sleep(0.01), inner()), "backward")
    outer()
    clock.stop()
    (step,) = clock.steps
    assert 0.02 <= step.seconds["forward"] < step.duration - step.seconds["backward"] + 1e-9
    assert step.seconds["backward"] >= 0.01
    assert [phase for phase, _, _ in step.segments] == ["other", "backward", "forward", "backward", "other"]


def test_many_segments_are_kept_as_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prooftape.profiling.clock.MAX_SEGMENTS", 40)
    pytest.importorskip("matplotlib")
    s = pt.Session()
    with s.profile() as p:
        training(s)(8)
    assert any(not step.segments for step in p.steps)
    assert sum(p.phases.values()) == pytest.approx(p.total)
    from prooftape.profiling.picture import draw

    assert b"<svg" in draw(p, ".svg")


def test_the_typical_step_has_compiled_nothing() -> None:
    def step(seconds: float, **phases: float) -> Step:
        return Step(0.0, seconds, dict(phases), [], 1)

    steps = [step(9, compile=8, update=1), step(2, update=1), step(3, update=1), step(1), step(4, update=1)]
    found, many, what = typical(steps)
    assert found is steps[2] and many == 3 and what == "training steps that compiled nothing"
    assert typical([Step(0.0, 1.0)]) == (None, 0, "steps")


def test_a_wrapper_costs_little() -> None:
    assert 0 <= wrapper_cost() < 20e-6


def test_units() -> None:
    assert [shown(t) for t in (0, 1.5e-7, 2.34567e-5, 0.12345, 12.3456)] == [
        "0",
        "0.15 µs",
        "23.5 µs",
        "123 ms",
        "12.3 s",
    ]
    assert [size(n) for n in (12, 1234, 5_000_000, 3 * 10**9)] == ["12 B", "1.23 kB", "5 MB", "3 GB"]

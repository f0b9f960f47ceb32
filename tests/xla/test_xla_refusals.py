"""What the XLA engine refuses; and what the NumPy engine refuses, it refuses in the same words."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="needs the extra xla")

import prooftape as pt  # noqa: E402
from prooftape.errors import (  # noqa: E402
    AttributeValueError,
    DonatedError,
    ForeignHandleError,
    GradientError,
    MissingExtraError,
    OperandError,
    ProofTapeError,
    ScalarError,
    StaleHandleError,
    ValueTypeError,
)
from prooftape.xla import compiling  # noqa: E402

sys.path.append(str(Path(__file__).parent.parent / "rejection"))
import cases_gradients  # noqa: E402
import cases_handles  # noqa: E402
import cases_reading  # noqa: E402
import misuse  # noqa: E402


# -- sessions that cannot be made ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"scalar": "rational"}, ScalarError, r"computes in float32, .* not in rational; use engine='numpy'"),
        ({"domain": "raise"}, ValueTypeError, r"domain='raise' looks at every value.*use engine='numpy'"),
        ({"engine": "tpu"}, ValueTypeError, r"unknown engine 'tpu'; known: numpy, xla"),
        ({"donate": 1}, ValueTypeError, r"donate"),
        ({"lowerings": ["fast"]}, AttributeValueError, r"fast"),
        ({"lowerings": "fast"}, AttributeValueError, r"fast"),
        ({"lowerings": 3}, ValueTypeError, r"lowerings: expected True, False or names, got 3"),
        ({"lowerings": [3]}, ValueTypeError, r"lowerings: expected True, False or names, got \[3\]"),
    ],
    ids=str,
)
def test_refused_sessions(settings: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        pt.Session(**{"engine": "xla", **settings})


@pytest.mark.parametrize("lowerings", [False, [], True])
def test_lowerings_that_exist_are_taken(lowerings: Any) -> None:
    s = pt.Session(engine="xla", lowerings=lowerings)
    assert float(s.sum(s.input([1.0, 2.0])).value) == 3


def test_without_jax_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(MissingExtraError, match=r"engine 'xla' needs JAX: pip install 'prooftape\[xla\]'"):
        pt.Session(engine="xla")


# -- misuse: the same error, the same words, everything as it was -------------------------------------------
WORLD = misuse.World


class XlaWorld(misuse.World):
    """The world of the misuse tables, its first session on the XLA engine."""

    def __init__(self, scalar: str = "float64", leaves_only: bool = False, **settings: Any) -> None:
        if scalar in ("float64", "float32", "bfloat16", "float16"):
            settings.setdefault("engine", "xla")
        super().__init__(scalar, leaves_only, **settings)

    @staticmethod
    def _session(s: pt.Session, p: pt.Param) -> tuple[object, ...]:
        return (s.state, s.graph.text(), len(s), s._generation, p.value.tolist(), p.name, p.requires_grad)


CASES = [*cases_gradients.CASES, *cases_handles.CASES, *cases_reading.CASES]


@pytest.fixture
def on_xla(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for module in (misuse, cases_gradients, cases_handles, cases_reading):
        if hasattr(module, "World"):
            monkeypatch.setattr(module, "World", XlaWorld)
    yield


@pytest.mark.slow
@pytest.mark.usefixtures("on_xla")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_misuse(case: misuse.Misuse) -> None:
    w = XlaWorld() if case.world is WORLD else case.world()
    given = case.given(w) if case.given else None
    before = w.snapshot()
    with pytest.raises(Exception) as caught:
        case.do(w, given) if case.given else case.do(w)
    assert type(caught.value) is case.error
    assert misuse.without_line_numbers(str(caught.value)) == case.message
    assert w.snapshot() == before


def step(s: pt.Session, w: pt.Param) -> tuple[Any, Any, Any]:
    s.reset_tape()
    wr = s.use(w)
    h = s.square(wr)
    return wr, h, s.backward_scalar_dense_all(s.sum(h))


@pytest.mark.parametrize("other", ["numpy", "xla"])
def test_gradients_of_other_recordings_are_refused(other: str) -> None:
    s, t = pt.Session(engine="xla"), pt.Session(engine=other)
    w, v, opt = s.param([1.0, 2.0], "w"), t.param([1.0, 2.0], "v"), pt.training.adam(lr=0.5)
    foreign, old = step(t, v)[2], step(s, w)[2]
    step(s, w)
    for grads, error in ((foreign, ForeignHandleError), (old, StaleHandleError)):
        with pytest.raises(error, match=r"is of another .* than these gradients"):
            s.sgd_step_all(0.5, grads)
        with pytest.raises(error, match=r"is of another .* than these gradients"):
            opt.step(s, grads)
    with pytest.raises(GradientError, match="expected the result of a backward pass, got"):
        s.sgd_step_all(0.5, [1.0])  # type: ignore[arg-type]
    assert w.value.tolist() == v.value.tolist() == [1, 2]
    assert opt.steps == 0


@pytest.mark.parametrize("rate", [True, [1.0], -1.0, "1", float("nan"), None])
def test_every_step_checks_its_rate(rate: Any) -> None:
    said = []
    for engine in ("numpy", "xla"):
        s = pt.Session(engine=engine)
        w = s.param([1.0, 2.0], "w")
        for _ in range(5):
            s.sgd_step_all(1.0, step(s, w)[2])
        grads, before = step(s, w)[2], w.value.tolist()
        with pytest.raises(ProofTapeError) as caught:
            s.sgd_step_all(rate, grads)
        said.append((type(caught.value), str(caught.value)))
        assert w.value.tolist() == before
    assert said[0] == said[1]


def test_gradients_are_read_before_the_reset() -> None:
    s = pt.Session(engine="xla")
    w = s.param([1.0, 2.0])
    wr, _, grads = step(s, w)
    read = grads[wr]
    _, _, unread = step(s, w)
    s.reset_tape()
    assert read.tolist() == grads.of_id(wr.id).tolist() == [2, 4]
    with pytest.raises(GradientError, match=r"read them, or step, before reset_tape\(\)"):
        unread.of_id(wr.id)


# -- memory that a step was given ---------------------------------------------------------------------------
def test_what_is_first_read_late_after_a_step_is_refused_once() -> None:
    s = pt.Session(engine="xla")
    w = s.param([1.0, 2.0], "w")
    for _ in range(4):
        wr, h, grads = step(s, w)
        s.sgd_step_all(0.25, grads)
    for read in (lambda: h.value, lambda: wr.value, lambda: grads[wr], lambda: s.jvp_leaf(h, wr, [1.0, 1.0])):
        with pytest.raises(
            DonatedError, match=r"Param\(w: float32\[2\]\).*read it before the step, or .*donate"
        ):
            read()
    for _ in range(4):  # the steps from here on hand it out
        wr, h, grads = step(s, w)
        want = w.value**2
        s.sgd_step_all(0.25, grads)
        assert np.array_equal(h.value, want)


def test_without_donation_everything_can_be_read_late() -> None:
    s = pt.Session(engine="xla", donate=False)
    w = s.param([1.0, 2.0], "w")
    for k in range(6):
        wr, h, grads = step(s, w)
        before = np.array(w.value)
        s.sgd_step_all(0.25, grads)
        if k == 5:
            assert np.array_equal(h.value, before**2) and np.array_equal(wr.value, before)
            assert np.array_equal(grads[wr], 2 * before)
            assert np.array_equal(s.jvp_leaf(h, wr, [1.0, 1.0]), 2 * before)


def test_another_session_that_reads_late_is_told() -> None:
    s, t = pt.Session(engine="xla"), pt.Session(engine="xla")
    w = s.param([1.0, 2.0], "w")
    for _ in range(3):
        s.sgd_step_all(0.25, step(s, w)[2])
    grads = step(s, w)[2]
    late = step(t, w)[1]
    s.sgd_step_all(0.25, grads)
    with pytest.raises(DonatedError, match="donate=False"):
        late.value  # noqa: B018
    assert np.array_equal(step(t, w)[1].value, w.value**2)


def test_a_parameter_that_changed_between_two_uses_is_refused() -> None:
    s = pt.Session(engine="xla")
    w = s.param([1.0, 2.0], "w")
    a = s.use(w)
    assert a.value.tolist() == [1, 2]
    b = s.use(w)
    assert s.get_value(b).tolist() == [1, 2]
    w.value = [3.0, 4.0]
    c = s.use(w)
    with pytest.raises(OperandError, match=r"w: .* was changed between two uses in one recording"):
        s.get_value(s.add(a, c))


# -- interruptions ------------------------------------------------------------------------------------------
def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_an_interrupted_step_leaves_everything_as_it_was(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(k: int, engine: str, stopped: bool) -> list[Any]:
        s, opt = pt.Session(engine=engine), pt.training.sgd(lr=0.25, momentum=0.5)
        w = s.param([1.0, 2.0], "w")
        for _ in range(k):
            opt.step(s, step(s, w)[2])
        new = 0.25 + k / 64  # no other test has compiled this rule
        other, before = pt.training.sgd(lr=0.125, momentum=new), w.value.tolist()
        grads = step(s, w)[2]
        if stopped:
            with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
                m.setattr(compiling, "first_call", interrupt)
                other.step(s, grads)
            assert w.value.tolist() == before and other.steps == 0 and other.state is None
        other.step(s, grads)
        opt.step(s, step(s, w)[2])
        assert opt.state is not None and other.state is not None
        return [w.value.tolist(), other.state.entries[w].slots["momentum_buffer"].tolist(), opt.steps]

    assert train(steps, "xla", True) == train(steps, "numpy", False)


def test_an_interrupted_second_form_is_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step whose flag is up has to be run in its strict form; what stops that must not lose the step."""

    def train(engine: str) -> list[Any]:
        s, n = pt.Session(engine=engine), 24
        w = s.param(np.ones((n, n)), "w")
        x, visible = np.ones((n, n)), np.ones((n, n), bool)
        x[0, 0], visible[0] = np.inf, False
        y = s.sum(s.where(s.const(visible), s.matmul(s.input(x), s.use(w)), s.full((n, n), 0)))
        s.sgd_step_all(0.5, s.backward_scalar_dense_all(y))
        if engine == "xla":
            with monkeypatch.context() as m:
                m.setattr(compiling, "first_call", interrupt)
                for read in (lambda: w.value, lambda: y.value, lambda: w.value):
                    with pytest.raises(KeyboardInterrupt):
                        read()
        return [y.value.tolist(), w.value.tolist()]

    assert train("xla") == train("numpy")


# -- what is dropped is freed -------------------------------------------------------------------------------
def test_a_dropped_session_and_its_parameters_are_freed() -> None:
    def train() -> weakref.ref[pt.Session]:
        s, opt = pt.Session(engine="xla"), pt.training.adam(lr=0.5)
        w = s.param(np.ones((7, 11)), "w")
        for _ in range(5):
            wr, h, grads = step(s, w)
            opt.step(s, grads)
            _ = h.value, grads[wr]
        return weakref.ref(s)

    gone = train()
    gc.collect()
    assert gone() is None
    assert not [a for a in jax.live_arrays() if a.shape == (7, 11)]

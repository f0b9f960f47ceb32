"""Training on the XLA engine gives what the NumPy engine gives, in whatever order things are read.

Each program below trains for several steps on both engines, long enough for the recording to be expected
and for the step to hand out what is read after it. Its numbers are small dyadic fractions on which every
operation is exact, so the answers must be equal (optimizers that divide: test_optimizers_on_device.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="needs the extra xla")

import prooftape as pt  # noqa: E402

Program = Callable[..., list[Any]]
PROGRAMS: list[Program] = []
STEPS = 7


def program(fn: Program) -> Program:
    PROGRAMS.append(fn)
    return fn


def answers(fn: Program, engine: str, **settings: Any) -> list[Any]:
    return [np.array(x) for x in fn(lambda: pt.Session(engine=engine, **settings))]


def equal(got: list[Any], want: list[Any]) -> None:
    assert len(got) == len(want)
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        assert (a.shape, a.dtype) == (b.shape, b.dtype), i
        # wide enough for each scalar; of bfloat16, NumPy does not know that nan is nan
        np.testing.assert_array_equal(a.astype(float), b.astype(float), err_msg=f"answer {i}")


Start = Callable[[], pt.Session]


def recorded(s: pt.Session, w: pt.Param, b: pt.Param, k: int) -> tuple[Any, Any, Any, Any]:
    """One step's graph: gradients are the inputs, halved values, small integers."""
    s.reset_tape()
    x = s.input(np.array([[1.0, 2.0], [k % 3, -1.0]]))
    wr, br = s.use(w), s.use(b)
    h = s.matmul(x, wr)
    y = s.add(s.sum(s.mul(h, s.full((2, 2), 0.5))), s.sum(s.square(br)))
    return x, wr, br, (h, y)


def made(s: pt.Session) -> tuple[pt.Param, pt.Param]:
    return s.param([[1.0, 2.0], [3.0, 4.0]], "w"), s.param([64.0, -32.0], "b")


@program
def values_read_before_between_and_after(start: Start) -> list[Any]:
    s = start()
    w, b = made(s)
    found: list[Any] = []
    for k in range(STEPS):
        _, _, br, (h, y) = recorded(s, w, b, k)
        found.append(h.value)
        grads = s.backward_scalar_dense_all(y)
        found.append(y.value)
        s.sgd_step_all(0.25, grads)
        found += [y.value, h.value, w.value, b.value, br.value]
    return found


@program
def the_loss_is_read_after_the_step(start: Start) -> list[Any]:
    s = start()
    w, b = made(s)
    found: list[Any] = []
    for k in range(STEPS):
        y = recorded(s, w, b, k)[3][1]
        s.sgd_step_all(0.25, s.backward_scalar_dense_all(y))
        found.append(y.value)
    return [*found, w.value, b.value]


@program
def gradients_read_after_the_step(start: Start) -> list[Any]:
    s = start()
    w, b = made(s)
    found: list[Any] = []
    for k in range(STEPS):
        x, wr, br, (h, y) = recorded(s, w, b, k)
        grads = s.backward_scalar_dense_all(y)
        s.sgd_step_all(0.25, grads)
        found += [grads[wr], grads[h], grads[x], grads[br], y.value]
    return [*found, w.value, b.value]


@program
def gradients_read_before_the_step(start: Start) -> list[Any]:
    s = start()
    w, b = made(s)
    found: list[Any] = []
    for k in range(STEPS):
        _, wr, br, (h, y) = recorded(s, w, b, k)
        grads = s.backward_scalar_dense_all(y)
        found += [grads[wr], grads[br]]
        s.sgd_step_all(0.25, grads)
        found += [y.value, h.value, grads[wr], grads[h]]
    return [*found, w.value, b.value]


@program
def no_reading_at_all(start: Start) -> list[Any]:
    s = start()
    w, b = made(s)
    for k in range(STEPS):
        s.sgd_step_all(0.25, s.backward_scalar_dense_all(recorded(s, w, b, k)[3][1]))
    return [w.value, b.value]


@program
def the_same_gradients_twice(start: Start) -> list[Any]:
    s = start()
    w, b = made(s)
    found: list[Any] = []
    for k in range(STEPS):
        _, wr, _, (h, y) = recorded(s, w, b, k)
        grads = s.backward_scalar_dense_all(y)
        s.sgd_step_all(0.25, grads)
        s.sgd_step_all(0.25, grads)
        found += [w.value, b.value, grads[wr], h.value]
    return found


@program
def two_roots_in_one_recording(start: Start) -> list[Any]:
    s = start()
    w, b = made(s)
    found: list[Any] = []
    for k in range(STEPS):
        _, wr, br, (h, y) = recorded(s, w, b, k)
        z = s.sum(h)
        first, second = s.backward_scalar_dense_all(y), s.backward_scalar_dense_all(z)
        s.sgd_step_all(0.25, first)
        s.sgd_step_all(0.5, second)
        found += [first[wr], second[wr], second.is_absent(br), y.value, z.value, w.value, b.value]
    return found


@program
def seeded_steps(start: Start) -> list[Any]:
    s = start()
    w, b = made(s)
    found: list[Any] = []
    for k in range(STEPS):
        _, wr, _, (h, _) = recorded(s, w, b, k)
        one, two = (s.backward_dense_all(h, np.full((2, 2), c)) for c in (1.0, 2.0))
        s.sgd_step_all(0.25, one)
        found += [two[wr], one[wr], h.value, w.value]
    return found


@program
def ops_and_tangents_after_the_step(start: Start) -> list[Any]:
    s = start()
    w, b = made(s)
    found: list[Any] = []
    for k in range(STEPS):
        _, wr, _, (h, y) = recorded(s, w, b, k)
        s.sgd_step_all(0.25, s.backward_scalar_dense_all(y))
        late = s.sum(h)
        found += [late.value, s.jvp_leaf(y, wr, np.ones((2, 2))), s.backward_scalar_dense_all(late)[wr]]
        found += s.state.leaf_values
    return [*found, w.value]


@program
def parameters_used_twice_or_frozen(start: Start) -> list[Any]:
    s = start()
    w, f = s.param([1.0, 2.0]), s.param([4.0, 8.0], requires_grad=False)
    found: list[Any] = []
    for k in range(STEPS):
        s.reset_tape()
        a, c, b = s.use(w), s.use(f), s.use(w)
        y = s.add(s.sum(s.mul(a, c)), s.sum(s.mul(b, s.full((2,), k))))
        grads = s.backward_scalar_dense_all(y)
        s.sgd_step_all(0.25, grads)
        found += [y.value, grads[a], grads[b], grads[c], w.value, f.value]
    return found


@program
def freezing_between_steps(start: Start) -> list[Any]:
    s = start()
    w, b = made(s)
    found: list[Any] = []
    for k in range(4 * STEPS):
        w.requires_grad = k % 4 != 1
        _, wr, _, (_, y) = recorded(s, w, b, k)
        grads = s.backward_scalar_dense_all(y)
        b.requires_grad = k % 4 != 2  # after its use: it is not stepped
        s.sgd_step_all(0.25, grads)
        b.requires_grad = True
        found += [y.value, grads[wr], w.value, b.value]
    return found


@program
def values_assigned_between_steps(start: Start) -> list[Any]:
    s = start()
    w, b = made(s)
    found: list[Any] = []
    for k in range(2 * STEPS):
        if k % 3 == 0:
            w.value = w.value + 1
        _, wr, _, (h, y) = recorded(s, w, b, k)
        grads = s.backward_scalar_dense_all(y)
        if k % 2:
            b.value = [16.0 * k, 4.0]  # after its use: the loss is of the old value, the step moves the new
        s.sgd_step_all(0.25, grads)
        found += [y.value, h.value, wr.value, w.value, b.value]
    return found


@program
def values_assigned_before_the_next_use(start: Start) -> list[Any]:
    """While the recording is expected already, and one of its parameters is still to come."""
    s = start()
    w, b = made(s)
    found: list[Any] = []
    for k in range(2 * STEPS):
        s.reset_tape()
        wr = s.use(w)
        if k % 4 > 1:
            w.value = w.value + 1
            found.append(wr.value)
        if k % 4 == 3:
            b.value = b.value - 1
        br = s.use(b)
        y = s.add(s.sum(s.mul(wr, s.full((2, 2), k))), s.sum(br))
        grads = s.backward_scalar_dense_all(y)
        s.sgd_step_all(0.25, grads)
        found += [y.value, wr.value, br.value, w.value, b.value]
    return found


@program
def frozen_values_assigned_after_use(start: Start) -> list[Any]:
    s = start()
    w, f = s.param([1.0, 2.0]), s.param([4.0, 8.0], requires_grad=False)
    found: list[Any] = []
    for k in range(STEPS):
        s.reset_tape()
        y = s.sum(s.mul(s.use(w), s.use(f)))
        grads = s.backward_scalar_dense_all(y)
        f.value = [float(k), 1.0]
        s.sgd_step_all(0.25, grads)
        found += [y.value, w.value, f.value]
    return found


def hidden_step(s: pt.Session, w: pt.Param, hidden: bool) -> tuple[Any, Any]:
    """A product of which a mask hides a row; that row may be infinite. Every gradient is 23 or 24."""
    n = w.shape[0]
    x, visible = np.ones((n, n)), np.ones((n, n), bool)
    if hidden:
        x[0, 0], visible[0] = np.inf, False
    s.reset_tape()
    wr = s.use(w)
    return wr, s.sum(s.where(s.const(visible), s.matmul(s.input(x), wr), s.full((n, n), 0)))


HIDDEN = (2, 5, 6, 8)


@program
def hidden_infinities(start: Start) -> list[Any]:
    """Some steps have an infinite entry behind a mask: the fast program says so, the strict one runs."""
    s = start()
    w = s.param(np.ones((24, 24)), "w")
    found: list[Any] = []
    for k in range(10):
        wr, y = hidden_step(s, w, k in HIDDEN)
        grads = s.backward_scalar_dense_all(y)
        s.sgd_step_all(0.5, grads)
        found += [y.value, grads[wr]]
        if k % 4 == 0:
            found.append(w.value)
    return [*found, w.value]


@program
def hidden_infinities_with_memory(start: Start) -> list[Any]:
    """The same, nothing read between the steps but now and then the parameter, or the optimizer's state."""
    s, opt = start(), pt.training.sgd(lr=0.5, momentum=0.5)
    w = s.param(np.ones((24, 24)), "w")
    found: list[Any] = []
    for k in range(12):
        opt.step(s, s.backward_scalar_dense_all(hidden_step(s, w, k in HIDDEN)[1]))
        if k in (5, 8):
            found.append(w.value)
        if k in (6, 9):
            assert opt.state is not None
            found += opt.state.entries[w].slots.values()
    return [*found, w.value]


@program
def gradients_that_are_absent(start: Start) -> list[Any]:
    s = start()
    w, b = made(s)
    opt = pt.training.sgd(lr=0.5, momentum=0.5)
    found: list[Any] = []
    for k in range(STEPS):
        s.reset_tape()
        wr, br = s.use(w), s.use(b)
        y = s.sum(s.mul(wr, s.full((2, 2), k)))
        if k > 3:
            y = s.add(y, s.sum(br))
        opt.step(s, s.backward_scalar_dense_all(y))
        assert opt.state is not None
        found += [w.value, b.value, len(opt.state.entries), opt.state.step, opt.steps]
        found += [a for e in opt.state.entries.values() for a in (e.steps, *e.slots.values())]
    return found


@program
def a_step_without_parameters(start: Start) -> list[Any]:
    s, opt = start(), pt.training.adam(lr=0.5)
    for _ in range(3):
        s.reset_tape()
        y = s.sum(s.input([1.0, 2.0], requires_grad=True))
        s.sgd_step_all(0.5, s.backward_scalar_dense_all(y))
        opt.step(s, s.backward_scalar_dense_all(y))
    return [opt.steps]


@program
def a_step_of_length_zero(start: Start) -> list[Any]:
    s = start()
    w, b = made(s)
    for k in range(STEPS):
        s.sgd_step_all(0.0, s.backward_scalar_dense_all(recorded(s, w, b, k)[3][1]))
    return [w.value, b.value]


@program
def rates_that_change(start: Start) -> list[Any]:
    s = start()
    w, b = made(s)
    found: list[Any] = []
    for k in range(2 * STEPS):
        y = recorded(s, w, b, k)[3][1]
        s.sgd_step_all((0.5, 1, 0.25, 0.25, 0.25)[k % 5], s.backward_scalar_dense_all(y))
        found += [w.value, b.value]
    return found


@program
def momentum(start: Start) -> list[Any]:
    s = start()
    w, b = made(s)
    found: list[Any] = []
    for settings in ({"momentum": 0.5}, {"momentum": 0.5, "nesterov": True}, {"weight_decay": 0.5}):
        opt = pt.training.sgd(lr=0.25, **settings)
        for k in range(STEPS - 2):
            opt.step(s, s.backward_scalar_dense_all(recorded(s, w, b, k)[3][1]))
            found += [w.value, b.value]
    return found


@program
def naturals_between_backward_and_step(start: Start) -> list[Any]:
    s = start()
    w = s.param([1.0, 2.0, 4.0])
    found: list[Any] = []
    for k in range(STEPS):
        s.reset_tape()
        n = s.input_nat(k % 3)
        y = s.gather_scalar_ref(s.use(w), n)
        grads = s.backward_scalar_dense_all(y)
        if k % 2:
            s.set_nat(n, (k + 1) % 3)
        s.sgd_step_all(0.5, grads)
        found += [y.value, w.value]
    return found


@program
def sessions_in_turn(start: Start) -> list[Any]:
    """A parameter trained by two sessions, read in a third."""
    s, t = start(), start()
    other = pt.Session(s.scalar)
    w, b = made(s)
    found: list[Any] = []
    for k in range(STEPS):
        for r in (s, t, other):
            _, _wr, _, (_h, y) = recorded(r, w, b, k)
            grads = r.backward_scalar_dense_all(y)
            r.sgd_step_all(0.25, grads)
            found += [y.value, w.value]
    return [*found, b.value]


@program
def a_numpy_session_reads_late(start: Start) -> list[Any]:
    s, other = start(), pt.Session()
    w, b = made(s)
    found: list[Any] = []
    for k in range(STEPS):
        _, _, _, (late, _) = recorded(other, w, b, k)
        s.sgd_step_all(0.25, s.backward_scalar_dense_all(recorded(s, w, b, k)[3][1]))
        found += [late.value, w.value]
    return found


QUICK = (
    values_read_before_between_and_after,
    hidden_infinities,
    freezing_between_steps,
    two_roots_in_one_recording,
)
FIRST = [pytest.param(f, marks=() if f in QUICK else pytest.mark.slow, id=f.__name__) for f in PROGRAMS]


@pytest.mark.parametrize("fn", FIRST)
def test_same_training(fn: Program) -> None:
    equal(answers(fn, "xla"), answers(fn, "numpy"))


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"donate": False}, {"scalar": "float64"}], ids=str)
@pytest.mark.parametrize("fn", PROGRAMS, ids=lambda f: f.__name__)
def test_same_training_in_other_sessions(fn: Program, settings: dict[str, Any]) -> None:
    if fn is a_numpy_session_reads_late and "scalar" in settings:
        pytest.skip("its other session is of float32")
    plain = {k: v for k, v in settings.items() if k != "donate"}
    equal(answers(fn, "xla", **settings), answers(fn, "numpy", **plain))

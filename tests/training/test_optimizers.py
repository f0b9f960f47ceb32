"""Update rules as pure functions, and runs that apply them to sessions."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

import prooftape as pt
from prooftape.errors import (
    AttributeValueError,
    GradientError,
    ProofTapeError,
    ScalarError,
    ShapeError,
    ValueTypeError,
)
from prooftape.training import SGD, Adam, AdamW, OptimizerRun, ParamState, adam, adamw, sgd

F = Fraction
EXACT_RUNS = {
    "plain": SGD(lr=F(1, 8)),
    "weight decay": SGD(lr=F(1, 8), weight_decay=F(1, 16)),
    "momentum": SGD(lr=F(1, 8), momentum=F(3, 4)),
    "dampening": SGD(lr=F(1, 8), momentum=F(3, 4), dampening=F(1, 3)),
    "nesterov": SGD(lr=F(1, 8), momentum=F(3, 4), nesterov=True, weight_decay=F(1, 7)),
    "falling rate": SGD(lr=lambda step: F(1, 8 + step), momentum=F(1, 2)),
}


def by_hand(rule: SGD, a: F, b: F, points: list[tuple[F, F]], steps: int) -> list[tuple[F, F]]:
    """SGD on sum((a x + b - y)^2), straight from the formulas in torch.optim.SGD's documentation."""
    theta, velocity, path = [a, b], [None, None], []
    for t in range(steps):
        residuals = [theta[0] * x + theta[1] - y for x, y in points]
        grads = [sum(2 * r * x for r, (x, _) in zip(residuals, points, strict=True)), 2 * sum(residuals)]
        lr = rule.lr(t) if callable(rule.lr) else rule.lr
        for i in range(2):
            g = grads[i] + rule.weight_decay * theta[i]
            if rule.momentum:
                previous = velocity[i]
                velocity[i] = g if previous is None else rule.momentum * previous + (1 - rule.dampening) * g
                g = g + rule.momentum * velocity[i] if rule.nesterov else velocity[i]
            theta[i] = theta[i] - lr * g
        path.append((theta[0], theta[1]))
    return path


@pytest.mark.parametrize("name", EXACT_RUNS)
def test_sgd_is_exact_in_rationals(name: str) -> None:
    points = [(F(1, 2), F(1)), (F(-1, 4), F(1, 3)), (F(3, 8), F(-2, 5))]
    s = pt.Session("rational")
    a, b = s.param(F(1, 3), name="a"), s.param(F(-1, 2), name="b")
    run = OptimizerRun(EXACT_RUNS[name])
    path = []
    for _ in range(55):
        s.reset_tape()
        w, c = s.use(a), s.use(b)
        terms = [s.square(s.sub(s.add(s.scale(w, x), c), s.const(y))) for x, y in points]
        run.step(s, s.backward_scalar_dense_all(s.add(s.add(terms[0], terms[1]), terms[2])))
        path.append((a.value.item(), b.value.item()))
    assert path == by_hand(EXACT_RUNS[name], F(1, 3), F(-1, 2), points, 55)
    assert path[-1] != path[0] and path[-1][0].denominator > 10**20


def test_the_same_run_over_a_prime_field() -> None:
    s = pt.Session("modular(101)")
    p = s.param(7, name="p")
    run = sgd(lr=F(1, 2), momentum=3)
    for _ in range(2):
        s.reset_tape()
        run.step(s, s.backward_scalar_dense_all(s.square(s.use(p))))
    # p = 7: g = 14, p = 0; then g = 0, buffer = 42, p = -21
    assert p.value.item() == (-21) % 101


@pytest.mark.parametrize("rule", [Adam(), AdamW()])
@pytest.mark.parametrize("name", ["rational", "modular(101)"])
def test_adam_says_why_it_has_no_exact_update(rule: Adam, name: str) -> None:
    message = (
        f"{rule.name}: the update takes square roots, which have no exact value in scalar {name}; "
        "use sgd, whose updates are exact there, or a float scalar"
    )
    with pytest.raises(ScalarError) as e:
        rule.init({"w": 1}, name)
    assert str(e.value) == message
    s = pt.Session(name)
    p = s.param(2, name="p")
    run = OptimizerRun(rule)
    grads = s.backward_scalar_dense_all(s.square(s.use(p)))
    with pytest.raises(ScalarError) as e:
        run.step(s, grads)
    assert str(e.value) == message
    assert p.value.item() == 2 and run.state is None


def test_the_first_adam_step_is_lr_whatever_the_gradient_s_size() -> None:
    # At t = 1 bias correction gives m = g and v = g^2, so the step is lr * g / (|g| + eps).
    for g in (1e-3, 1.0, 1e6):
        new, _ = Adam(lr=0.5).update({"p": 0.0}, {"p": g}, Adam().init({"p": 0.0}, "float64"))
        assert new["p"] == pytest.approx(-0.5 * g / (g + 1e-8), rel=4 * 2.0**-53)


def test_adamw_decays_beside_the_gradient_adam_through_it() -> None:
    state = Adam().init({"p": 1.0}, "float64")
    decoupled, _ = AdamW(lr=0.1, weight_decay=0.5).update({"p": 1.0}, {"p": 0.0}, state)
    coupled, _ = Adam(lr=0.1, weight_decay=0.5).update({"p": 1.0}, {"p": 0.0}, state)
    assert decoupled["p"] == 1.0 - 0.1 * 0.5
    assert coupled["p"] == pytest.approx(1.0 - 0.1, abs=1e-8)


# -- the pure interface ------------------------------------------------------------------------------
def test_update_is_pure() -> None:
    rule = SGD(lr=0.5, momentum=0.5)
    params, grads = {"w": np.array([1.0, 2.0]), "v": np.array(3.0)}, {"w": np.array([1.0, 1.0])}
    before = copy.deepcopy((params, grads))
    start = rule.init(params, "float64")
    first, state = rule.update(params, grads, start)
    again, _ = rule.update(params, grads, start)
    assert first["w"].tolist() == again["w"].tolist() == [0.5, 1.5] and first["v"] == 3.0
    assert start.step == 0 and start.entries["w"] == ParamState()
    assert state.step == 1 and state.entries["w"].steps == 1 and state.entries["v"] == ParamState()
    for now, then in zip((params, grads), before, strict=True):
        assert all(np.array_equal(now[k], then[k]) for k in then)
    grads["w"][:] = 100.0  # the state keeps no view of what the caller owns
    assert state.entries["w"].slots["momentum_buffer"].tolist() == [1.0, 1.0]
    assert not first["w"].flags.writeable
    second, _ = rule.update(first, {"w": [1.0, 1.0]}, state)
    assert second["w"].tolist() == [0.5 - 0.5 * 1.5, 1.5 - 0.5 * 1.5]


def test_an_absent_gradient_is_not_a_zero_gradient() -> None:
    rule = SGD(lr=1.0, momentum=0.5, weight_decay=0.5)
    state = rule.init({"p": 4.0}, "float64")
    for absent in ({}, {"p": None}):
        new, after = rule.update({"p": 4.0}, absent, state)
        assert new["p"] == 4.0 and after.entries["p"].steps == 0 and after.step == 1
    new, after = rule.update({"p": 4.0}, {"p": 0.0}, state)
    assert new["p"] == 2.0 and after.entries["p"].steps == 1


def test_a_learning_rate_may_be_a_function_of_the_step() -> None:
    asked: list[int] = []

    def lr(step: int) -> float:
        asked.append(step)
        return 1.0 if step < 2 else 0.25

    rule = SGD(lr=lr)
    params, state = {"p": np.float64(0.0)}, rule.init({"p": 0.0}, "float64")
    values = []
    for _ in range(4):
        params, state = rule.update(params, {"p": 1.0}, state)
        values.append(float(params["p"]))
    assert values == [-1.0, -2.0, -2.25, -2.5] and asked == [0, 1, 2, 3]


def test_low_precision_state_is_rounded_to_the_format() -> None:
    rule = SGD(lr=0.1, momentum=0.9)
    params, state = {"p": 1.0}, rule.init({"p": 1.0}, "float16")
    for _ in range(3):
        params, state = rule.update(params, {"p": 0.3}, state)
    buffer = state.entries["p"].slots["momentum_buffer"]
    assert params["p"].dtype == np.float16
    assert buffer == np.float32(np.float16(buffer))


BAD_SETTINGS = [
    (lambda: SGD(lr=-1), AttributeValueError, "sgd: lr must be >= 0, got -1"),
    (lambda: SGD(lr="fast"), ValueTypeError, "sgd: lr: expected a number, got str 'fast'"),
    (lambda: SGD(lr=float("nan")), AttributeValueError, "sgd: lr must be finite, got nan"),
    (lambda: SGD(lr=True), ValueTypeError, "sgd: lr: expected a number, got the boolean True"),
    (lambda: SGD(momentum=-0.5), AttributeValueError, "sgd: momentum must be >= 0, got -0.5"),
    (lambda: SGD(weight_decay=-0.5), AttributeValueError, "sgd: weight_decay must be >= 0, got -0.5"),
    (
        lambda: SGD(nesterov=True),
        AttributeValueError,
        "sgd: nesterov=True needs momentum > 0 and dampening = 0, got momentum=0, dampening=0",
    ),
    (
        lambda: SGD(nesterov=True, momentum=0.9, dampening=0.1),
        AttributeValueError,
        "sgd: nesterov=True needs momentum > 0 and dampening = 0, got momentum=0.9, dampening=0.1",
    ),
    (lambda: SGD(nesterov=1, momentum=1), ValueTypeError, "sgd: nesterov must be True or False, got 1"),
    (lambda: Adam(betas=(0.9, 1)), AttributeValueError, "adam: betas[1] must be < 1, got 1"),
    (lambda: Adam(betas=(-0.1, 0.9)), AttributeValueError, "adam: betas[0] must be >= 0, got -0.1"),
    (lambda: Adam(betas=0.9), ValueTypeError, "adam: betas must be a pair of numbers, got 0.9"),
    (lambda: AdamW(eps=-1e-8), AttributeValueError, "adamw: eps must be >= 0, got -1e-08"),
    (
        lambda: OptimizerRun("adam"),
        ValueTypeError,
        "OptimizerRun: expected an Optimizer such as SGD(lr=0.1), got 'adam'",
    ),
]


@pytest.mark.parametrize(
    ("make", "kind", "message"), BAD_SETTINGS, ids=lambda x: x if isinstance(x, str) else ""
)
def test_bad_settings_are_refused(make, kind: type[ProofTapeError], message: str) -> None:
    with pytest.raises(kind) as e:
        make()
    assert str(e.value) == message


BAD_UPDATES = [
    (
        {"w": [1.0]}, {"w": [1.0, 2.0]}, ShapeError,
        "sgd: 'w' has shape (1,), its gradient has shape (2,)",
    ),
    (
        {"w": [1.0], "v": 1.0}, {}, GradientError,
        "sgd: parameter 'v' is unknown to this state; it was made for 'w', 'b'",
    ),
    (
        {"w": [1.0]}, {"v": 1.0}, GradientError,
        "sgd: gradient 'v' is unknown to this state; it was made for 'w', 'b'",
    ),
    ({"w": [1.0]}, {"b": 1.0}, GradientError, "sgd: a gradient for 'b', but no such parameter was given"),
    (
        {"w": [1.0]}, {"w": ["x"]}, ValueTypeError,
        "sgd: gradient of 'w': expected real numbers, got text",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("params", "grads", "kind", "message"), BAD_UPDATES)
def test_updates_that_do_not_fit_are_refused(params, grads, kind, message: str) -> None:
    rule = SGD(lr=0.1)
    with pytest.raises(kind) as e:
        rule.update(params, grads, rule.init({"w": [1.0], "b": 0.0}, "float64"))
    assert str(e.value) == message


def test_a_function_that_returns_no_learning_rate_is_named() -> None:
    rule = SGD(lr=lambda step: -0.5)
    with pytest.raises(AttributeValueError) as e:
        rule.update({"p": 1.0}, {"p": 1.0}, rule.init({"p": 1.0}))
    assert str(e.value) == "sgd: lr(0) must be >= 0, got -0.5"


def test_rules_are_immutable_records() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Adam().lr = 1.0  # type: ignore[misc]
    assert Adam(lr=0.1) == Adam(lr=0.1) != AdamW(lr=0.1)
    assert dataclasses.replace(SGD(lr=0.1), lr=0.2) == SGD(lr=0.2)


def test_defaults_are_torch_s() -> None:
    assert SGD().settings() == {
        "lr": 1e-3,
        "momentum": 0,
        "dampening": 0,
        "weight_decay": 0,
        "nesterov": False,
    }
    assert Adam().settings() == {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0}
    assert AdamW().settings() == {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01}


# -- runs --------------------------------------------------------------------------------------------
def test_a_parameter_used_twice_is_stepped_once_with_the_sum() -> None:
    s = pt.Session("float64")
    p = s.param(3.0, name="p")
    run = sgd(lr=0.5)
    x, y = s.use(p), s.use(p)
    run.step(s, s.backward_scalar_dense_all(s.mul(x, y)))
    assert p.value == 3.0 - 0.5 * 6.0
    assert run.state is not None and run.state.entries[p].steps == 1


def test_frozen_and_unreached_parameters_stay() -> None:
    s = pt.Session("float64")
    frozen = s.param(2.0, name="frozen", requires_grad=False)
    unused, moved = s.param(5.0, name="unused"), s.param(3.0, name="moved")
    run = adamw(lr=0.5)
    f, _, m = s.use(frozen), s.use(unused), s.use(moved)
    run.step(s, s.backward_scalar_dense_all(s.mul(f, s.square(m))))
    assert frozen.value == 2.0 and unused.value == 5.0 and moved.value != 3.0
    assert run.state is not None and list(run.state.entries) == [moved]


def test_a_failing_step_changes_nothing() -> None:
    s = pt.Session("float64")
    a, b = s.param(1.0, name="a"), s.param([1.0, 2.0], name="b")
    calls = 0

    def lr(step: int) -> float:
        nonlocal calls
        calls += 1
        return 0.1 if calls == 1 else -1.0

    run = sgd(lr=lr, momentum=0.5)
    loss = s.mul(s.square(s.use(a)), s.const(2.0))
    run.step(s, s.backward_scalar_dense_all(loss))
    state, values = run.state, (a.stored, b.stored)
    with pytest.raises(AttributeValueError):
        run.step(s, s.backward_scalar_dense_all(loss))
    assert run.state is state and a.stored is values[0] and b.stored is values[1]


def test_a_rule_that_fails_on_the_second_parameter_leaves_the_first() -> None:
    class Explodes(SGD):
        def rule(self, xp, number, lr, p, g, old):
            if p.shape:
                raise ArithmeticError("boom")
            return super().rule(xp, number, lr, p, g, old)

    s = pt.Session("float64")
    a, b = s.param(1.0, name="a"), s.param([1.0], name="b")
    run = OptimizerRun(Explodes(lr=0.1))
    x, y = s.use(a), s.use(b)
    grads = s.backward_dense_all(s.mul(s.square(y), s.reshape(x, (1,))), [1.0])
    with pytest.raises(ArithmeticError, match="boom"):
        run.step(s, grads)
    assert a.value == 1.0 and b.value == 1.0 and run.state is None


def test_a_run_stays_with_its_scalar() -> None:
    run = adam()
    for name in ("float32", "float64"):
        s = pt.Session(name)
        p = s.param(1.0, name="p")
        grads = s.backward_scalar_dense_all(s.square(s.use(p)))
        if name == "float32":
            run.step(s, grads)
            continue
        with pytest.raises(ValueTypeError) as e:
            run.step(s, grads)
        assert str(e.value) == (
            "adam: this run has trained in float32, the session runs in float64; make a new optimizer for it"
        )
        assert p.value == 1.0 and run.steps == 1


def test_gradients_of_another_recording_are_refused() -> None:
    s = pt.Session("float64")
    p = s.param(1.0, name="p")
    grads = s.backward_scalar_dense_all(s.square(s.use(p)))
    s.reset_tape()
    s.square(s.use(p))
    run = sgd(lr=0.1)
    with pytest.raises(ProofTapeError):
        run.step(s, grads)
    with pytest.raises(GradientError):
        run.step(s, [1.0])  # type: ignore[arg-type]
    assert p.value == 1.0 and run.state is None


def test_plain_sgd_agrees_with_sgd_step_all() -> None:
    values = []
    for use_run in (False, True):
        s = pt.Session("float32")
        p = s.param([0.3, -0.7], name="p")
        run = sgd(lr=0.1)
        for _ in range(5):
            s.reset_tape()
            grads = s.backward_dense_all(s.tanh(s.square(s.use(p))), [1.0, 1.0])
            run.step(s, grads) if use_run else s.sgd_step_all(0.1, grads)
        values.append(p.value.tobytes())
    assert values[0] == values[1]


def test_the_short_names_show_the_settings() -> None:
    assert (pt.sgd, pt.adam, pt.adamw) == (sgd, adam, adamw)
    assert repr(adam(lr=0.5)) == ("<Adam(lr=0.5, betas=(0.9, 0.999), eps=1e-08, weight_decay=0), 0 steps>")
    assert sgd.__name__ == "sgd" and "SGD" in (sgd.__doc__ or "")


@pytest.mark.parametrize("make", [pt.sgd, pt.adam, pt.adamw])
def test_parameters_are_not_an_optimizers_argument(make: Callable[..., object]) -> None:
    w = pt.Session().param([1.0], name="w")
    for given in (w, [w], (w,), {"w": w}.values()):
        with pytest.raises(
            ValueTypeError, match=r"takes settings only, e\.g\. \w+\(lr=0\.01\), got .*; the parameters"
        ):
            make(given, lr=0.1)
    with pytest.raises(ValueTypeError, match="takes settings only"):
        make([w])

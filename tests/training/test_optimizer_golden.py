"""Optimizers against torch: each single step to a few roundings, whole trajectories through a session.

The golden file (scripts/make_optimizer_golden.py) has torch's parameters, gradients and state before each of
60 steps. Starting every step from torch's own numbers keeps the comparison as tight as one step's rounding;
a wrong constant anywhere shows at once.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import optimizer_cases as cases
import pytest

import prooftape as pt
from prooftape.scalars import scalar
from prooftape.training import SGD, Adam, AdamW, Optimizer, OptimizerRun, OptimizerState, ParamState

FLOAT64 = scalar("float64")
HERE = Path(__file__).resolve().parent
SCRIPT = HERE.parents[1] / "scripts" / "make_optimizer_golden.py"
GOLDEN = np.load(HERE / "golden" / "optimizers.npz")
RULES = {"sgd": SGD, "adam": Adam, "adamw": AdamW}
U = 2.0**-53


def rule_of(name: str) -> Optimizer:
    kind, settings = cases.CASES[name]
    return RULES[kind](**settings)


def rows(name: str, key: str) -> np.ndarray:
    return GOLDEN[f"{name}/{key}"]


def gradients(name: str, step: int) -> dict[str, np.ndarray]:
    found = {k: rows(name, f"{k}.grad")[step] for k in cases.START}
    return {k: g for k, g in found.items() if not np.isnan(g).any()}


def magnitude(rule: Optimizer, p: np.ndarray, g: np.ndarray, old: ParamState, new: ParamState, lr: float):
    """Size of the terms one step adds up: each rounding in it is at most U times this."""
    g = abs(g) + float(rule.weight_decay) * abs(p)
    if isinstance(rule, SGD):
        buffer = abs(old.slots.get("momentum_buffer", 0.0))
        return {"": abs(p) + lr * (2 * g + 2 * buffer), "momentum_buffer": g + buffer}
    m, v = abs(old.slots.get("exp_avg", 0.0)), old.slots.get("exp_avg_sq", 0.0)
    beta1, beta2 = rule.betas
    t = new.steps
    denominator = np.sqrt(new.slots["exp_avg_sq"] / (1 - beta2**t)) + rule.eps
    return {
        "": abs(p) + lr / (1 - beta1**t) * (m + g) / denominator,
        "exp_avg": m + g,
        "exp_avg_sq": v + g * g,
    }


@pytest.mark.parametrize("name", cases.CASES)
def test_each_step_is_torch_s(name: str) -> None:
    # Ours and torch's kernels (which fuse some products) spend at most 6 roundings each on an entry.
    allowed = 12 * U
    rule = rule_of(name)
    received = dict.fromkeys(cases.START, 0)
    for step in range(cases.STEPS):
        params = {k: rows(name, f"{k}.value")[step] for k in cases.START}
        grads = gradients(name, step)
        entries = {
            k: ParamState(n, {slot: rows(name, f"{k}.{slot}")[step] for slot in rule.slots} if n else {})
            for k, n in received.items()
        }
        new, after = rule.update(params, grads, OptimizerState(FLOAT64, step, entries))
        assert after.step == step + 1
        for k in cases.START:
            if k not in grads:
                assert np.array_equal(new[k], params[k]) and after.entries[k] is entries[k]
                continue
            received[k] += 1
            lr = float(rule.lr_at(step))
            sizes = magnitude(rule, params[k], grads[k], entries[k], after.entries[k], lr)
            for slot, size in sizes.items():
                if slot and slot not in rule.slots:
                    continue
                ours = after.entries[k].slots[slot] if slot else new[k]
                torchs = rows(name, f"{k}.{slot or 'value'}")[step + 1]
                assert np.all(abs(ours - torchs) <= allowed * size), (step, k, slot)
    assert received == {"W": cases.STEPS, "b": cases.STEPS, "u": cases.STEPS // 3}


def test_the_comparison_notices_a_wrong_constant() -> None:
    name = "adam, all settings"
    wrong = {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1 + 1e-9}
    original = cases.CASES[name]
    cases.CASES[name] = ("adam", wrong)
    try:
        with pytest.raises(AssertionError):
            test_each_step_is_torch_s(name)
    finally:
        cases.CASES[name] = original


def trained(name: str) -> dict[str, np.ndarray]:
    """Each parameter after each step, by recording the problem anew for every step."""
    s = pt.Session("float64")
    params = {k: s.param(v, name=k) for k, v in cases.START.items()}
    run = OptimizerRun(rule_of(name))
    out: dict[str, list[np.ndarray]] = {k: [params[k].value] for k in params}
    for step in range(cases.STEPS):
        s.reset_tape()
        w, b, u = (s.use(p) for p in params.values())
        x, y = s.input(cases.X), s.input(cases.Y)
        loss = s.mean(s.square(s.sub(s.tanh(s.linear(w, b, x)), y)))
        if cases.takes_part(step):
            loss = s.add(loss, s.square(s.sub(u, s.const(cases.TARGET))))
        run.step(s, s.backward_scalar_dense_all(loss))
        for k, p in params.items():
            out[k].append(p.value)
    return {k: np.stack(v) for k, v in out.items()}


@pytest.mark.parametrize("name", cases.CASES)
def test_trajectories_through_a_session_are_torch_s(name: str) -> None:
    # Entries are of size 1, steps contract: differences of a few ulp must not pile up beyond a few more.
    ours = trained(name)
    for k in cases.START:
        assert abs(ours[k] - rows(name, f"{k}.value")).max() < 4e-15
        assert abs(ours[k][-1] - ours[k][0]).max() > 0.01


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_optimizer_golden", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.interop
@pytest.mark.parametrize("name", cases.CASES)
def test_the_golden_file_is_what_torch_gives(name: str) -> None:
    # Not bit for bit: torch fuses products where the processor can.
    pytest.importorskip("torch")
    again = generator().trajectory(name)
    assert set(again) == {key.split("/")[1] for key in GOLDEN if key.startswith(f"{name}/")}
    for key, values in again.items():
        np.testing.assert_allclose(rows(name, key), values, rtol=1e-12, atol=1e-14)

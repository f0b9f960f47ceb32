"""Optimizers on a device: within derived bounds of the NumPy engine, copied, saved and read half-way."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="needs the extra xla")

import prooftape as pt  # noqa: E402
from prooftape.testing.rounding import RoundingArrays, numpy_rounding, xla_rounding  # noqa: E402
from prooftape.training import load_checkpoint, save_checkpoint  # noqa: E402
from prooftape.training.adam import Adam, AdamW  # noqa: E402
from prooftape.training.optimizer import Optimizer  # noqa: E402
from prooftape.training.run import OptimizerRun  # noqa: E402
from prooftape.training.sgd import SGD  # noqa: E402

OPTIMIZERS = (
    SGD(lr=0.1),
    SGD(lr=0.1, momentum=0.9, weight_decay=0.01),
    SGD(lr=lambda k: 0.1 / (k + 1), momentum=0.9, nesterov=True),
    Adam(lr=0.01),
    Adam(lr=lambda k: 0.01 * 0.9**k, weight_decay=0.1),
    AdamW(lr=0.01, weight_decay=0.1),
)


def trained(rule: Optimizer, engine: str, scalar: str, data: list[np.ndarray]) -> tuple[pt.Session, Any]:
    """After 20 steps on a linear loss: the gradient of each is its input, without rounding."""
    s, opt = pt.Session(scalar, engine=engine), OptimizerRun(rule)
    w = s.param(data[0], "w")
    for x in data[1:]:
        s.reset_tape()
        opt.step(s, s.backward_scalar_dense_all(s.sum(s.mul(s.use(w), s.input(x)))))
    return s, (w, opt)


@pytest.mark.slow
@pytest.mark.parametrize("scalar", ["float32", "float64"])
@pytest.mark.parametrize("rule", OPTIMIZERS, ids=lambda r: r.name)
def test_twenty_steps_are_within_the_derived_bound(rule: Optimizer, scalar: str) -> None:
    """The update rule is run in running error analysis, with the gradients exact, for each engine's model."""
    rng = np.random.default_rng(0)
    data = [rng.standard_normal((3, 4)).astype(scalar) for _ in range(21)]
    for engine, model in (("numpy", numpy_rounding(scalar)), ("xla", xla_rounding(scalar))):
        s, (w, opt) = trained(rule, engine, scalar, data)
        xp = RoundingArrays(model)
        p, slots = xp.leaf(data[0]), {n: xp.full((3, 4), 0) for n in rule.slots if rule.zero_slots}
        for k, x in enumerate(data[1:]):
            moving = rule.moving(float, float(rule.lr_at(k)), k)
            p, slots = rule.rule(xp, float, moving, p, xp.leaf(x), slots)
        off = np.abs(w.value.astype(np.float64) - p.value)
        assert np.all(off <= p.error), (engine, float(np.max(off / p.error)))
        assert np.max(p.error) < (1e-4 if scalar == "float32" else 1e-12), "the bound says little"
        assert opt.state is not None and opt.state.step == 20
        for name, slot in opt.state.entries[w].slots.items():
            assert np.all(np.abs(slot - slots[name].value) <= slots[name].error), (engine, name)
        if engine == "xla":
            assert len(s._xla.compiled) <= 3, s._xla.compiled  # a new learning rate is no new program


def test_parameters_of_bfloat16_stay_bfloat16_numbers() -> None:
    for rule in (SGD(lr=0.1), Adam(lr=0.1)):
        both = []
        for engine in ("xla", "numpy"):
            s, opt = pt.Session("bfloat16", engine=engine), OptimizerRun(rule)
            w = s.param([1.0, 2.0, 3.0])
            for k in range(5):
                s.reset_tape()
                opt.step(s, s.backward_scalar_dense_all(s.sum(s.mul(s.use(w), s.input([k / 3, 1.0, -1.0])))))
            bits = np.asarray(w.stored, np.float32).view(np.uint32)
            assert not (bits & 0xFFFF).any()
            both.append(w.stored)
        # one unit in the last of 8 bits: the two may round a tie apart
        assert np.max(np.abs(both[0] - both[1])) <= 2.0**-7 * 4


# -- copies, checkpoints, states ---------------------------------------------------------------------------
def loop(s: pt.Session, w: pt.Param, opt: OptimizerRun, steps: range) -> np.ndarray:
    for k in steps:
        s.reset_tape()
        y = s.sum(s.square(s.sub(s.use(w), s.input(np.arange(6.0).reshape(2, 3) * (k % 3)))))
        opt.step(s, s.backward_scalar_dense_all(y))
    return np.array(w.value)


def start() -> tuple[pt.Session, pt.Param, OptimizerRun]:
    s = pt.Session(engine="xla")
    return s, s.param(np.linspace(-1, 1, 6).reshape(2, 3), "w"), pt.training.adam(lr=0.1)


@pytest.mark.parametrize(
    "how", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "pickle"]
)
def test_copies_in_the_middle_of_training(how: Callable[[Any], Any]) -> None:
    s, w, opt = start()
    loop(s, w, opt, range(5))
    w2, opt2 = how((w, opt))
    there = np.array(w.value)
    other = loop(pt.Session(engine="xla"), w2, opt2, range(5, 10))
    assert np.array_equal(w.value, there), "the original moved"
    assert np.array_equal(loop(s, w, opt, range(5, 10)), other)


def test_a_checkpoint_in_the_middle_of_training(tmp_path: Path) -> None:
    s, w, opt = start()
    loop(s, w, opt, range(5))
    save_checkpoint(tmp_path / "c", [w], optimizer=opt)
    want = loop(s, w, opt, range(5, 10))
    for engine in ("xla", "numpy"):
        t = pt.Session(engine=engine)
        v, run = t.param(np.zeros((2, 3)), "w"), pt.training.adam(lr=0.1)
        pt.training.restore(load_checkpoint(tmp_path / "c"), [v], optimizer=run)
        got = loop(t, v, run, range(5, 10))
        if engine == "xla":
            assert np.array_equal(got, want)
    s2, w2, opt2 = start()
    loop(s2, w2, opt2, range(9))
    pt.training.restore(load_checkpoint(tmp_path / "c"), [w2], optimizer=opt2)
    assert np.array_equal(loop(s2, w2, opt2, range(5, 10)), want)


def test_the_state_is_read_and_assigned_in_the_middle_of_training() -> None:
    s, w, opt = start()
    loop(s, w, opt, range(4))
    state, value = opt.state, np.array(w.value)
    first = loop(s, w, opt, range(4, 8))
    assert state is not None and opt.state is not None
    assert (state.step, opt.state.step, opt.steps) == (4, 8, 8)
    opt.state, w.value = state, value
    assert opt.steps == 4
    assert np.array_equal(loop(s, w, opt, range(4, 8)), first)

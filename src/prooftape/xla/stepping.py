"""Training steps on the XLA engine: plain gradient descent, and any optimizer's update rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from prooftape.grads import Grads
from prooftape.param import Param
from prooftape.xla.bank import Memory
from prooftape.xla.engine import Engine
from prooftape.xla.grads import XlaGrads
from prooftape.xla.plan import Plan, Rows
from prooftape.xla.program import Update

if TYPE_CHECKING:
    from prooftape.on_device import OnDevice


def _descend(xp: Any, row: Sequence[Any], p: Any, g: Any, old: Any) -> tuple[Any, list[Any]]:
    return xp.minus_scaled(p, g, row[0]), []


def _plan(grads: XlaGrads) -> Plan:
    plan = grads.plan()
    if plan.freezes != Param.freezes:
        plan.check_frozen()
    return plan


def _step(
    s: OnDevice, engine: Engine, grads: XlaGrads, plan: Plan, up: Update, memory: Memory | None, rows: Rows
) -> tuple[bool, ...]:
    """Step in one program where nothing has been read yet and nothing changed since; else update alone."""
    now = engine.now(s)
    whole = now.stepped is None and not grads.known and not grads.written and engine.unchanged(s, plan)
    if whole:
        return engine.step(s, plan, grads.root, grads.seed, up, memory, rows).present
    return engine.update(s, plan, up, memory, rows, grads.device(plan.wanted)).present


def _mine(s: OnDevice, grads: Grads) -> XlaGrads | None:
    """The gradients, which must be of the present recording; None if it uses no parameter at all."""
    if not isinstance(grads, XlaGrads) or grads._token is not s._token:
        s._used(grads)
    return grads if isinstance(grads, XlaGrads) and grads._session is s else None


def sgd(s: OnDevice, engine: Engine, found: Grads, rate: float) -> None:
    """`p <- p - rate * g` for every trained parameter."""
    grads = _mine(s, found)
    if grads is None:
        return
    plan = _plan(grads)
    if not plan.trained.params:
        return
    up = plan.steps.get("sgd")
    if up is None:
        groups = (0,) * len(plan.leaves)
        up = plan.steps["sgd"] = Update(("sgd",), _descend, plan.leaves, groups, 0, 1, (False,) * len(groups))
    _step(s, engine, grads, plan, up, None, ((rate,),))


def optimize(
    s: OnDevice, engine: Engine, found: Grads, rule: Any, memory: Any, state: Callable[[], Any]
) -> Memory:
    """One update by an optimizer's rule; returns its memory on the device.

    memory: what an earlier step here left; state(): the `OptimizerState` to start from otherwise.
    """
    grads = _mine(s, found)
    if grads is None or not _plan(grads).trained.params:
        before = state()
        rule.lr_at(before.step)
        return Memory([], [], [], before.step + 1, clean=False)
    plan = _plan(grads)
    params, names = plan.trained.params, rule.slots
    if memory is None or memory.params is not params:
        before = state()
        entries = [before.entries.get(p) for p in params]
        steps = [0 if e is None else e.steps for e in entries]
        given = [{} if e is None else e.slots for e in entries]
        arrays = [
            engine.put(slots[n] if n in slots else np.zeros(p.shape, engine.dtype))
            for p, slots in zip(params, given, strict=True)
            for n in names
        ]
        memory = Memory(params, steps, arrays, before.step)
    lr = float(rule.lr_at(memory.updates))
    counts = sorted(set(memory.steps))
    rows = tuple([tuple(map(float, rule.moving(float, lr, n))) for n in counts])
    groups = tuple([counts.index(n) for n in memory.steps])
    fresh = tuple([n == 0 and not rule.zero_slots for n in memory.steps])
    key = (rule.name, _settings(rule), groups, fresh)
    up = plan.steps.get(key)
    if up is None:
        up = plan.steps[key] = Update(key, _rule(rule), plan.leaves, groups, len(names), len(rows[0]), fresh)
    present = _step(s, engine, grads, plan, up, memory, rows)
    memory.steps = [n + got for n, got in zip(memory.steps, present, strict=True)]
    memory.updates += 1
    memory.clean = False
    found_memory: Memory = memory
    return found_memory


def _settings(rule: Any) -> tuple[tuple[str, str], ...]:
    """What the rule bakes into a program: everything but the learning rate."""
    return tuple(sorted((k, repr(v)) for k, v in rule.settings().items() if k != "lr"))


def _rule(rule: Any) -> Any:
    names = rule.slots

    def update(xp: Any, row: Sequence[Any], p: Any, g: Any, old: Sequence[Any]) -> tuple[Any, list[Any]]:
        value, slots = rule.rule(xp, float, row, p, g, dict(zip(names, old, strict=False)))
        return value, [slots[n] for n in names]

    return update

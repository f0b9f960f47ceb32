"""`OptimizerRun`: an update rule applied to a session's parameters, step after step.

The only thing here that changes: parameter values and the remembered state, both after everything has been
computed, so a step that raises leaves parameters and state as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ParamSpec

from prooftape.errors import ValueTypeError, found
from prooftape.grads import Grads
from prooftape.param import Param
from prooftape.session import Session
from prooftape.training.adam import Adam, AdamW
from prooftape.training.optimizer import Optimizer, OptimizerState, ParamState
from prooftape.training.sgd import SGD

P = ParamSpec("P")


class OptimizerRun:
    """`opt = adam(lr=1e-3)`, then after each backward pass `opt.step(session, grads)`.

    State belongs to the `Param` object, so it survives `reset_tape()` and does not depend on names.
    Parameters join when a session first uses them. `state` is immutable: to go back to it, keep it and assign
    it again. `copy.deepcopy` copies the parameters it is keyed by too, so copy them and the run together.
    """

    def __init__(self, rule: Optimizer) -> None:
        if not isinstance(rule, Optimizer):
            raise ValueTypeError(f"OptimizerRun: expected an Optimizer such as SGD(lr=0.1), got {rule!r}")
        self.rule = rule
        self._state: OptimizerState[Param] | None = None
        self._scalar_name = ""
        self._memory: Any = None  # the state on a device, where an engine keeps it

    @property
    def state(self) -> OptimizerState[Param] | None:
        """What is remembered, an immutable record keyed by `Param`; None before the first step."""
        memory = self._memory
        if memory is not None and not memory.clean:
            base = self._state
            assert base is not None
            names, flat = self.rule.slots, memory.host()
            entries = dict(base.entries)
            for i, (p, steps) in enumerate(zip(memory.params, memory.steps, strict=True)):
                if not steps and p not in entries:
                    continue  # it has had no gradient yet
                mine = flat[i * len(names) : (i + 1) * len(names)] if steps else []
                entries[p] = ParamState(steps, dict(zip(names, mine, strict=False)))
            self._state = OptimizerState(base.scalar, memory.updates, entries)
            memory.clean = True
        return self._state

    @state.setter
    def state(self, new: OptimizerState[Param] | None) -> None:
        if new is not None:
            self.rule.check_scalar(new.scalar)
        self._state, self._memory = new, None

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: the state itself, wherever it is."""
        return {**self.__dict__, "_state": self.state, "_memory": None}

    @property
    def steps(self) -> int:
        """Number of updates made."""
        if self._memory is not None:
            return int(self._memory.updates)
        return 0 if self._state is None else self._state.step

    def step(self, session: Session, grads: Grads) -> None:
        """Update every parameter the session has put into its graph with `use`, all or none.

        Frozen parameters (`requires_grad=False`) and those no gradient reached stay as they are. A parameter
        used twice is updated once, with the sum of its leaves' gradients.
        """
        if not self._on_device(session, grads):
            session._host_step(lambda: self._step(session, grads))

    def _step(self, session: Session, grads: Grads) -> None:
        pairs = [(p, p.stored, g) for p, g in session.param_grads(grads) if g is not None]
        state = self._started(session)
        joined = {p: ParamState() for p, _, _ in pairs if p not in state.entries}
        if joined:
            state = OptimizerState(state.scalar, state.step, {**state.entries, **joined})
        new, after = self.rule.advance(pairs, state)
        self.state = after
        for param, value in new.items():
            param.store(value)

    def _started(self, session: Session) -> OptimizerState[Param]:
        """The state, which must be of the session's scalar."""
        state = self.state
        if state is None:
            return self.rule.init({}, session.scalar)
        if state.scalar.name != session.scalar.name:
            raise ValueTypeError(
                f"{self.rule.name}: this run has trained in {state.scalar.name}, the session runs in "
                f"{session.scalar.name}; make a new optimizer for it"
            )
        return state

    def _on_device(self, session: Session, grads: Grads) -> bool:
        """The same step where the session's engine keeps parameters and memory on a device."""
        memory = self._memory
        if memory is None or session.scalar.name != self._scalar_name:
            state, memory = self._started(session), None
        else:
            state = self._state or self._started(session)
        after = session._optimize(self.rule, grads, memory, lambda: state if memory is None else self.state)
        if after is None:
            return False
        self._state = self._state or state
        self._memory, self._scalar_name = after, session.scalar.name
        return True

    def __repr__(self) -> str:
        return f"<{self.rule!r}, {self.steps} steps>"


def _runner(rule: Callable[P, Optimizer], doc: str) -> Callable[P, OptimizerRun]:
    name = rule.__name__.lower()

    def make(*args: P.args, **settings: P.kwargs) -> OptimizerRun:
        if args and isinstance(args[0], (Param, Iterable)):
            raise ValueTypeError(
                f"{name}: takes settings only, e.g. {name}(lr=0.01), got {found(args[0])}; the "
                "parameters are those that the session given to step(session, grads) has used"
            )
        return OptimizerRun(rule(*args, **settings))

    make.__doc__ = doc
    make.__name__ = make.__qualname__ = name
    make.__wrapped__ = rule  # type: ignore[attr-defined]  # so that help() shows the rule's settings
    return make


sgd = _runner(SGD, "A run of SGD, with or without momentum: see `SGD` for the settings and the formula.")
adam = _runner(Adam, "A run of Adam: see `Adam` for the settings and the formula.")
adamw = _runner(AdamW, "A run of AdamW: see `AdamW` for the settings and the formula.")

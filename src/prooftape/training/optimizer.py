"""What an optimizer is: an immutable record of settings with one pure update rule.

`init(params) -> state` and `update(params, grads, state) -> (new_params, new_state)` are functions of values
alone; nothing is written in place. The arithmetic goes through the scalar's array vocabulary, so a rule made
of sums and products runs exactly in rationals too. `OptimizerRun` (run.py) applies a rule to a session.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from prooftape.arrays.structure import Arr
from prooftape.errors import AttributeValueError, GradientError, ShapeError, ValueTypeError
from prooftape.numbers import Number, as_fraction, as_number
from prooftape.scalars import Scalar, scalar
from prooftape.vocabulary import Vocabulary

K = TypeVar("K", bound=Hashable)

LearningRate = Number | Callable[[int], Number]
"""A number, or a function of the number of updates made so far (0 at the first update)."""


@dataclass(frozen=True, slots=True)
class ParamState:
    """What an optimizer remembers about one parameter.

    steps: how many gradients this parameter has received. slots: arrays of the parameter's shape, as the
    engine holds them, e.g. `momentum_buffer`; empty until the first gradient.
    """

    steps: int = 0
    slots: Mapping[str, Arr] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OptimizerState(Generic[K]):
    """The memory of an optimizer: number of updates made, and one `ParamState` per parameter key."""

    scalar: Scalar
    step: int
    entries: Mapping[K, ParamState]


@dataclass(frozen=True)
class Optimizer(ABC):
    """Base of the update rules. Settings are dataclass fields; `lr` is the learning rate.

    A parameter without a gradient at an update (absent, not zero) stays as it is, its state too: PyTorch's
    treatment of `grad is None`.
    """

    name: ClassVar[str]

    lr: LearningRate

    @property
    @abstractmethod
    def slots(self) -> tuple[str, ...]:
        """Names of the arrays this rule remembers for every parameter it has updated."""

    def check_scalar(self, over: Scalar) -> None:  # noqa: B027 - most rules run in every scalar
        """Raise `ScalarError` when this rule cannot run in the scalar."""

    zero_slots: ClassVar[bool] = False
    """Whether a parameter without slots is one whose slots are zeros."""

    def moving(self, number: Callable[[Number], Any], lr: Any, steps: int) -> tuple[Any, ...]:
        """The numbers of the rule that change from step to step; `steps` gradients came before this one.

        number: how a setting becomes a Python number of this scalar (a float, or an exact fraction), which
        `lr` already is.
        """
        return (lr,)

    @abstractmethod
    def rule(
        self,
        xp: Vocabulary[Any],
        number: Callable[[Number], Any],
        moving: Sequence[Any],
        p: Any,
        g: Any,
        old: Mapping[str, Any],
    ) -> tuple[Any, dict[str, Any]]:
        """New value and new slots of one parameter.

        xp: the vocabulary; moving: what the method of that name gives, as numbers or as scalars of xp; p, g:
        value and gradient; old: the slots remembered.
        """

    # -- the pure interface -----------------------------------------------------------------------
    def init(self, params: Mapping[K, object], scalar_name: str | Scalar = "float32") -> OptimizerState[K]:
        """The state before the first update of these parameters (any hashable keys)."""
        over = scalar(scalar_name)
        self.check_scalar(over)
        return OptimizerState(over, 0, {key: ParamState() for key in params})

    def update(
        self, params: Mapping[K, object], grads: Mapping[K, object], state: OptimizerState[K]
    ) -> tuple[dict[K, Arr], OptimizerState[K]]:
        """One update. A key missing from `grads`, or None there, leaves its parameter alone.

        Returns read-only arrays of the state's scalar. Raises `GradientError` for keys that do not fit
        together and `ShapeError` for a gradient of another shape; arguments are never changed.
        """
        over = state.scalar
        for found, what in ((params, "parameter"), (grads, "gradient")):
            unknown = [key for key in found if key not in state.entries]
            if unknown:
                raise GradientError(
                    f"{self.name}: {what} {_show(unknown[0])} is unknown to this state; "
                    f"it was made for {_list(state.entries)}"
                )
        arrays = {key: over.to_array(p, f"{self.name}: parameter {_show(key)}") for key, p in params.items()}
        pairs = []
        for key, g in grads.items():
            if key not in arrays:
                raise GradientError(
                    f"{self.name}: a gradient for {_show(key)}, but no such parameter was given"
                )
            if g is not None:
                pairs.append((key, arrays[key], over.to_array(g, f"{self.name}: gradient of {_show(key)}")))
        new, after = self.advance(pairs, state)
        return {key: over.to_user(new.get(key, p)) for key, p in arrays.items()}, after

    def advance(
        self, pairs: list[tuple[K, Arr, Arr]], state: OptimizerState[K]
    ) -> tuple[dict[K, Arr], OptimizerState[K]]:
        """`update` on engine arrays: (key, value, gradient) of each parameter that has a gradient."""
        over = state.scalar
        self.check_scalar(over)
        number: Callable[[Number], Any] = float if over.is_float else as_fraction
        lr = number(self.lr_at(state.step))
        new: dict[K, Arr] = {}
        entries = dict(state.entries)
        with np.errstate(all="ignore"):
            for key, p, g in pairs:
                if p.shape != g.shape:
                    raise ShapeError(
                        f"{self.name}: {_show(key)} has shape {p.shape}, its gradient has shape {g.shape}"
                    )
                moving = self.moving(number, lr, entries[key].steps)
                value, slots = self.rule(over.xp, number, moving, p, g, entries[key].slots)
                # NumPy gives bare numbers for 0-d arithmetic; what is stored is an array
                new[key] = np.asarray(over.xp.finish(value))
                slots = {name: np.asarray(slot) for name, slot in slots.items()}
                entries[key] = ParamState(entries[key].steps + 1, slots)
        return new, OptimizerState(over, state.step + 1, entries)

    # -- settings -----------------------------------------------------------------------------------
    def _read(self, *names: str) -> None:
        """Check these settings (finite, >= 0) and keep them as plain numbers; `lr` may be a function."""
        for name in names:
            value = getattr(self, name)
            if not (name == "lr" and callable(value)):
                object.__setattr__(self, name, nonnegative(self.name, name, value))

    def lr_at(self, step: int) -> Number:
        """The learning rate after `step` updates, checked."""
        lr = self.lr(step) if callable(self.lr) else self.lr
        return nonnegative(self.name, "lr" if not callable(self.lr) else f"lr({step})", lr)

    def settings(self) -> dict[str, object]:
        """The settings by name; a learning rate that is a function is None."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: None if callable(value) else value for name, value in found.items()}


def nonnegative(optimizer: str, name: str, value: object) -> Number:
    """A setting as a finite number >= 0, or an error naming optimizer and setting."""
    try:
        number = as_number(value)
    except TypeError as e:
        raise ValueTypeError(f"{optimizer}: {name}: {e}") from None
    if not isinstance(number, Fraction) and not math.isfinite(number):
        raise AttributeValueError(f"{optimizer}: {name} must be finite, got {number!r}")
    if number < 0:
        raise AttributeValueError(f"{optimizer}: {name} must be >= 0, got {value!r}")
    return number


def _show(key: object) -> str:
    return repr(getattr(key, "name", None) or key)


def _list(keys: Mapping[Any, ParamState]) -> str:
    return ", ".join(_show(key) for key in keys) or "no parameter at all"

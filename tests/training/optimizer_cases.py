"""The small training problem on which optimizers are compared with torch, and the settings that are compared.

tanh regression with a weight matrix, a bias, and a scalar that takes part in every third step only: in the
steps between it has no gradient, so its own step count lags behind. The numbers are dyadic, so every program
starts from the same ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

STEPS = 60
START = {
    "W": np.array([[0.5, -0.25], [0.125, 0.75]]),
    "b": np.array([0.25, -0.5]),
    "u": np.array(-1.0),
}
X = ((7 * np.arange(16)) % 33 - 16).reshape(8, 2) / 16
Y = ((11 * np.arange(16)) % 29 - 14).reshape(8, 2) / 16
TARGET = 0.75


def takes_part(step: int) -> bool:
    """Whether the scalar `u` is in the loss of this step."""
    return step % 3 == 1


def fading(step: int) -> float:
    """A learning rate that falls with the step."""
    return 0.25 / (1 + 0.125 * step)


Settings = dict[str, Any]
CASES: dict[str, tuple[str, Settings]] = {
    "sgd": ("sgd", {"lr": 0.1}),
    "sgd, weight decay": ("sgd", {"lr": 0.1, "weight_decay": 0.05}),
    "sgd, momentum": ("sgd", {"lr": 0.05, "momentum": 0.9}),
    "sgd, dampening": ("sgd", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    "sgd, nesterov": ("sgd", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "sgd, nesterov and weight decay": (
        "sgd",
        {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
    ),
    "sgd, falling rate": ("sgd", {"lr": fading, "momentum": 0.5}),
    "adam": ("adam", {}),
    "adam, larger rate": ("adam", {"lr": 0.05}),
    "adam, all settings": ("adam", {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    "adam, falling rate": ("adam", {"lr": fading}),
    "adamw": ("adamw", {}),
    "adamw, all settings": ("adamw", {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.2}),
}
SLOTS = {"sgd": ("momentum_buffer",), "adam": ("exp_avg", "exp_avg_sq"), "adamw": ("exp_avg", "exp_avg_sq")}


def rate(settings: Settings, step: int) -> Settings:
    """The settings with the learning rate of this step as a number."""
    lr: float | Callable[[int], float] | None = settings.get("lr")
    return {**settings, "lr": lr(step)} if callable(lr) else settings

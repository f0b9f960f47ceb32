"""Every engine by name: how a step is made, and which packages' versions belong to it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workloads import Problem, Step


@dataclass(frozen=True)
class Engine:
    """`module.function` makes a step of a problem; the module is imported only where the engine runs."""

    module: str
    function: str
    peer: bool = True
    ours: bool = False

    def step(self, problem: Problem) -> Step:
        make: Callable[[Problem], Step] = getattr(self.load(), self.function)
        return make(problem)

    def load(self) -> Any:
        return importlib.import_module(self.module)


ENGINES: dict[str, Engine] = {
    "prooftape, xla": Engine("engine_prooftape", "xla_engine_step", peer=False, ours=True),
    "prooftape, numpy": Engine("engine_prooftape", "numpy_engine_step", peer=False, ours=True),
    "torch eager": Engine("engine_torch", "torch_step"),
    "torch.compile": Engine("engine_torch", "torch_compile_step"),
    "jax.jit": Engine("engine_jax", "jax_step"),
    "tinygrad": Engine("engine_tinygrad", "tinygrad_step"),
    "HIPS autograd": Engine("engine_autograd", "autograd_step"),
    "MyGrad": Engine("engine_mygrad", "mygrad_step"),
    "NumPy by hand": Engine("engine_numpy", "numpy_step", peer=False),
}
"""`peer`: counts when the fastest peer is looked for. NumPy by hand is not a library, and has no gradient."""

PACKAGES = ("prooftape", "numpy", "scipy", "torch", "jax", "jaxlib", "tinygrad", "autograd", "mygrad")

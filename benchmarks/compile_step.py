"""What does a step made by `compile_step` cost beside `jax.jit` of the same step?

The step takes the parameters, the batch and the labels, all on the device, and returns the loss and the new
parameters (loss, gradient, gradient descent), with the parameters donated; then the loss is read. The rival
is the function a JAX user writes, jitted (`peers/engine_jax.py`). Python per call is in both figures.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))

import harness
from harness import Table, Timer

harness.pin()
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)  # one thread, as for all peers

import numpy as np  # noqa: E402  (after pinning: BLAS reads its thread count when it is loaded)
import workloads as w  # noqa: E402

OURS, RIVAL = "compile_step", "jax.jit"
PACKAGES = ("prooftape", "jax", "jaxlib", "numpy")
SECONDS = 0.2
"""About how long one sample of one engine takes."""


def our_step(problem: w.Problem) -> w.Step:
    import jax
    import jax.numpy as jnp
    from engine_prooftape import LOSSES

    import prooftape as pt

    loss_of, rate = LOSSES[problem.name], problem.rate

    def loss(params: list[Any], x: Any, target: Any) -> Any:
        return loss_of(x.session, params, x, target)

    def train(params: list[Any], x: Any, target: Any) -> Any:
        value, gradient = pt.value_and_grad(loss)(params, x, target)
        return value, [p - rate * g for p, g in zip(params, gradient, strict=True)]

    step = pt.compile_step(train, scalar="float32", donate="params")
    params = [jnp.array(p) for p in problem.params]
    x = jax.device_put(jnp.array(problem.x))
    target = None if problem.target is None else jnp.array(problem.target)

    def run() -> float:
        nonlocal params
        value, params = step(params, x, target)
        return float(value)

    return run


def rival_step(problem: w.Problem) -> w.Step:
    from engine_jax import jax_step

    return jax_step(problem)


def measure(name: str, rounds: int) -> dict[str, Any]:
    """One workload: both steps must give the same losses to begin with, then they are timed in turn."""
    problem = w.problem(name)
    steps = {OURS: our_step(problem), RIVAL: rival_step(problem)}
    losses = {engine: [step() for _ in range(5)] for engine, step in steps.items()}
    # five steps apart by rounding only: a wrong update is wrong in the first digits
    if not np.allclose(losses[OURS], losses[RIVAL], rtol=1e-3):
        raise SystemExit(f"{name}: the losses differ: {losses}")
    rough = _seconds(steps[RIVAL])
    repeats = max(1, round(SECONDS / rough))

    def sample(step: w.Step) -> Callable[[Timer], None]:
        def run(timer: Timer) -> None:
            with timer("step"):
                for _ in range(repeats):
                    step()

        return run

    table: Table = harness.interleave({engine: sample(step) for engine, step in steps.items()}, rounds)
    ours, rival = table[OURS]["step"], table[RIVAL]["step"]
    return {
        "workload": name,
        "losses": losses,
        "repeats": repeats,
        "seconds": {OURS: ours.median / repeats, RIVAL: rival.median / repeats},
        "ratio": ours.ratio_to(rival),
        "samples": {engine: phases["step"].summary() for engine, phases in table.items()},
    }


def _seconds(step: w.Step) -> float:
    import time

    start = time.perf_counter()
    for _ in range(20):
        step()
    return (time.perf_counter() - start) / 20


def report(found: list[dict[str, Any]]) -> str:
    rows = []
    for f in found:
        median, low, high = f["ratio"]
        rows.append(
            [
                f"{f['workload']}: {w.TITLES[f['workload']]}",
                f"{f['seconds'][OURS] * 1e6:,.1f}",
                f"{f['seconds'][RIVAL] * 1e6:,.1f}",
                f"{median:.2f} ({low:.2f} to {high:.2f})",
            ]
        )
    return harness.markdown_table(
        ["workload", f"{OURS}, µs a step", f"{RIVAL}, µs a step", "ratio (smallest to largest)"], rows
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workloads", default="W1,W2", help="names, with commas")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--dry-run", action="store_true", help="print, write nothing")
    parser.add_argument("--json", action="store_true", help="print all samples")
    options = parser.parse_args()
    found = [measure(name, options.rounds) for name in options.workloads.split(",")]
    body = report(found)
    question = "What does a step made by compile_step cost beside jax.jit of the same?"
    if options.json:
        print(json.dumps(found, indent=1))
    elif options.dry_run:
        print(body)
    else:
        print(harness.write_report("compile_step", question, body, {"workloads": found}, PACKAGES))


if __name__ == "__main__":
    main()

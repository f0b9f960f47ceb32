"""What does the first step cost? A chain of 100, 1,000 and 5,000 nodes, a fresh process for each figure.

Blocks of tanh(a h + b) c on vectors of 64 with three parameters in all, and with three of each block's own;
the mean square, its gradient, one step of gradient descent. From making the step to its first loss, imports
not counted; then the median of later steps. Losses must agree. Caches are empty where not said otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness

harness.pin()

import numpy as np  # noqa: E402  (after pinning: BLAS reads its thread count when it is loaded)

PACKAGES = ("prooftape", "numpy", "jax", "jaxlib", "torch")
SIZES = (100, 1_000, 5_000)
RATE = 0.05
STEPS = 15
TOLERANCE = 1e-3
"""Losses of different engines may differ by so much, relatively: thousands of roundings in a row."""

Step = Callable[[], float]


def arrays(nodes: int, owned: bool) -> tuple[list[Any], Any]:
    draw = np.random.default_rng(0)
    blocks = nodes // 4 if owned else 1
    params = [
        (draw.standard_normal(64) * 0.1 + mean).astype(np.float32)
        for _ in range(blocks)
        for mean in (0.9, 0.0, 0.9)
    ]
    return params, draw.standard_normal(64).astype(np.float32)


def chained(tanh: Callable[[Any], Any], params: Any, h: Any, nodes: int) -> Any:
    count = len(params) // 3
    for block in range(nodes // 4):
        a, b, c = params[3 * (block % count) : 3 * (block % count) + 3]
        h = tanh(a * h + b) * c
    return h


def prooftape_step(engine: str, nodes: int, owned: bool) -> Step:
    import prooftape as pt

    values, x = arrays(nodes, owned)
    s = pt.Session(scalar="float32", engine=engine)
    params = [s.param(p, name=f"p{i}") for i, p in enumerate(values)]

    def step() -> float:
        s.reset_tape()
        used = [s.use(p) for p in params]
        loss = s.mean(s.square(chained(s.tanh, used, s.input(x), nodes)))
        s.sgd_step_all(RATE, s.backward_scalar_dense_all(loss))
        return float(s.get_value(loss))

    return step


def jax_step(nodes: int, owned: bool) -> Step:
    import jax
    import jax.numpy as jnp

    values, x = arrays(nodes, owned)

    def loss(params: Any, x: Any) -> Any:
        return jnp.mean(chained(jnp.tanh, params, x, nodes) ** 2)

    def whole(params: Any, x: Any) -> Any:
        value, grads = jax.value_and_grad(loss)(params, x)
        return value, [p - RATE * g for p, g in zip(params, grads, strict=True)]

    program = jax.jit(whole, donate_argnums=0)
    state = [[jnp.array(p) for p in values]]
    on_device = jnp.array(x)

    def step() -> float:
        value, state[0] = program(state[0], on_device)
        return float(value)

    return step


def torch_step(compiled: bool, nodes: int, owned: bool) -> Step:
    import torch

    torch.set_num_threads(1)
    values, x = arrays(nodes, owned)
    params = [torch.tensor(p, requires_grad=True) for p in values]
    data = torch.tensor(x)

    def loss_of(params: Any, data: Any) -> Any:
        return (chained(torch.tanh, params, data, nodes) ** 2).mean()

    forward = torch.compile(loss_of) if compiled else loss_of
    optimizer = torch.optim.SGD(params, lr=RATE)

    def step() -> float:
        optimizer.zero_grad()
        loss = forward(params, data)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return float(loss)

    return step


ENGINES: dict[str, Callable[[int, bool], Step]] = {
    "prooftape, xla": lambda n, own: prooftape_step("xla", n, own),
    "prooftape, xla, from the disk": lambda n, own: prooftape_step("xla", n, own),
    "jax.jit": jax_step,
    "jax.jit, from the disk": jax_step,
    "prooftape, numpy": lambda n, own: prooftape_step("numpy", n, own),
    "torch eager": lambda n, own: torch_step(False, n, own),
    "torch.compile": lambda n, own: torch_step(True, n, own),
}
NEEDS = {"prooftape, xla": "jax", "jax.jit": "jax", "torch eager": "torch", "torch.compile": "torch"}


def child(engine: str, nodes: int, owned: bool) -> None:
    """In a fresh process: print the first call's seconds, a later step's, and the losses, as JSON."""
    needed = NEEDS.get(engine.removesuffix(", from the disk"))
    if needed is not None:
        harness.peer(needed)
    if needed == "jax":
        jax = harness.peer("jax")
        jax.block_until_ready(jax.numpy.zeros(1) + 1)  # starting the backend is no part of a compilation
    harness.peer("prooftape")
    wall, cpu = time.perf_counter(), time.process_time()
    step = ENGINES[engine](nodes, owned)
    losses = [step()]
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    seconds = []
    for _ in range(STEPS):
        start = time.perf_counter()
        losses.append(step())
        seconds.append(time.perf_counter() - start)
    found = {"first": wall, "first_cpu": cpu, "step": statistics.median(seconds), "losses": losses[:4]}
    print(json.dumps(found))


def measured(engine: str, nodes: int, owned: bool, place: str, limit: float) -> dict[str, Any] | str:
    """What a fresh process finds; or why there is nothing."""
    disk = engine.endswith("from the disk")
    environment = os.environ | {
        "PROOFTAPE_XLA_CACHE": f"{place}/ours" if disk else "0",
        "PROOFTAPE_PROGRESS": "0",
        "TORCHINDUCTOR_CACHE_DIR": tempfile.mkdtemp(dir=place),
    }
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    if engine == "jax.jit, from the disk":
        environment["JAX_COMPILATION_CACHE_DIR"] = f"{place}/jax"
        environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    command = [sys.executable, __file__, "--child", engine, str(nodes), str(int(owned))]
    found: dict[str, Any] = {}
    for _ in range(2 if disk else 1):  # the first of two fills the disk
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return f"over {limit:.0f} s"
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["failed"])[-1][:120]
        found = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def check(found: dict[str, dict[str, Any] | str]) -> None:
    """The engines computed the same."""
    losses = {name: seen["losses"] for name, seen in found.items() if isinstance(seen, dict)}
    first = next(iter(losses.values()), [])
    for name, seen in losses.items():
        if not np.allclose(seen, first, rtol=TOLERANCE, atol=0):
            raise AssertionError(f"{name}: losses {seen}, expected {first}")


def cell(seen: dict[str, Any] | str | None) -> str:
    if not isinstance(seen, dict):
        return seen or "-"
    return f"{seen['first']:.2f} s, then {seen['step'] * 1e3:.2f} ms"


def render(results: dict[str, dict[str, dict[str, Any] | str]]) -> str:
    text = "First call of a fresh process (wall time), then a step of the same process.\n\n"
    names = list(results)
    rows = [
        [engine, *(cell(results[name].get(engine)) for name in names)]
        for engine in ENGINES
        if any(engine in results[name] for name in names)
    ]
    text += harness.markdown_table(["engine", *names], rows)
    ratios = []
    for name in names:
        ours, theirs = results[name].get("prooftape, xla"), results[name].get("jax.jit")
        if isinstance(ours, dict) and isinstance(theirs, dict):
            first, step = (ours[k] / theirs[k] for k in ("first", "step"))
            ratios.append(f"{name}: first call {first:.2f}, step {step:.2f}")
    return text + "\nOurs over jax.jit, without the disk: " + "; ".join(ratios) + ".\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", nargs=3, metavar=("ENGINE", "NODES", "OWNED"), help=argparse.SUPPRESS)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--limit", type=float, default=240, help="seconds after which a process is ended")
    parser.add_argument("--torch-compile-1000", action="store_true", help="takes minutes")
    parser.add_argument("--no-write", action="store_true", help="print only")
    options = parser.parse_args()
    if options.child:
        engine, nodes, owned = options.child
        child(engine, int(nodes), owned == "1")
        return
    results: dict[str, dict[str, dict[str, Any] | str]] = {}
    for nodes in options.sizes:
        for owned in (False, True):
            name = f"{nodes:,} nodes, {3 * nodes // 4 if owned else 3:,} parameters"
            found = results[name] = {}
            for engine in ENGINES:
                largest = 1_000 if options.torch_compile_1000 else 100
                if engine == "torch.compile" and nodes > largest:
                    continue
                with tempfile.TemporaryDirectory() as place:
                    found[engine] = measured(engine, nodes, owned, place, options.limit)
                print(f"{name}: {engine}: {cell(found[engine])}", file=sys.stderr, flush=True)
            check(found)
    body = render(results)
    if options.no_write:
        print(body)
    else:
        question = "What does the first step of a graph cost?"
        print(harness.write_report(Path(__file__).stem, question, body, {"results": results}, PACKAGES))


if __name__ == "__main__":
    main()

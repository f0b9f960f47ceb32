"""What do two processes of one device each gain over one? Steps of W2 (MLP), W3 (CNN), W4 (transformer).

Each process is pinned to a processor of its own and runs one thread; they exchange gradients over loopback
(gloo). The time of a step is wall time, recording and reading the loss included, inputs given as NumPy
arrays; the figures are medians of interleaved rounds: one process alone, then both, in turn.

    python benchmarks/data_parallel.py [--rounds 15] [--steps 20] [--dry-run]

Gloo alone, the sum of so many numbers over the two processes, is timed beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import harness

HERE = Path(__file__).resolve().parent
WORKLOADS = ("W2", "W3", "W4")
WAYS = ("one process", "two processes, each its part", "two processes, each all of it")
SUM = "the sum of all gradients alone"
PACKAGES = ("prooftape", "numpy", "jax", "jaxlib")
HOW = (
    "Wall time, a process to a processor, one thread each, interleaved, medians over the rounds. "
    "Compare inside one table."
)


def make_step(name: str, session: Any, parts: tuple[int, int] | None) -> Any:
    """One training step on a session; parts: which part of the batch this process gives, of how many."""
    sys.path[:0] = [str(HERE / "peers"), str(HERE)]
    import engine_prooftape
    import workloads

    import prooftape as pt

    problem = workloads.problem(name)
    params = [session.param(p, name=f"p{i}") for i, p in enumerate(problem.params)]
    x, labels = problem.x, problem.target
    if parts is not None:
        part, of = parts
        x = x[part * len(x) // of : (part + 1) * len(x) // of]
        labels = labels[part * len(labels) // of : (part + 1) * len(labels) // of]

    def step() -> float:
        session.reset_tape()
        used = [session.use(p) for p in params]
        xs = session.input(x if parts is None else pt.distributed.shard(session, x))
        ys = session.input_nat_vec(labels if parts is None else pt.distributed.shard(session, labels))
        loss = engine_prooftape.LOSSES[name](session, used, xs, ys)
        session.sgd_step_all(problem.rate, session.backward_scalar_dense_all(loss))
        return float(session.get_value(loss))

    return step


def make_sum(count: int) -> Any:
    """Nothing but one vector added up over all devices of all processes."""
    import jax
    import numpy as np
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    mesh = Mesh(np.array(jax.devices()), ("batch",))
    whole = PartitionSpec()
    added = jax.jit(
        jax.shard_map(
            lambda x: jax.lax.psum(x, "batch"), mesh=mesh, in_specs=whole, out_specs=whole, check_vma=False
        )
    )
    given = jax.make_array_from_callback(
        (count,), NamedSharding(mesh, whole), lambda part: np.ones(count, np.float32)
    )
    return lambda: float(added(given)[0])


def work(rank: int, address: str, rounds: int, steps: int) -> None:
    """One of the two processes; the first tells the times."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[rank]})
    import prooftape as pt

    pt.distributed.initialize(address, 2, rank)
    import jax
    from jax.experimental.multihost_utils import sync_global_devices

    sys.path[:0] = [str(HERE / "peers"), str(HERE)]
    import workloads

    told: dict[str, Any] = {}
    for name in WORKLOADS:
        run = {
            WAYS[0]: make_step(name, pt.Session(engine="xla", mesh=jax.local_devices()), None),
            WAYS[1]: make_step(name, pt.Session(engine="xla", mesh=2), (rank, 2)),
            WAYS[2]: make_step(name, pt.Session(engine="xla", mesh=2), None),
        }
        run[SUM] = make_sum(sum(p.size for p in workloads.problem(name).params) + 1)
        times: dict[str, list[float]] = {way: [] for way in run}
        losses: dict[str, float] = {}
        for way, step in run.items():
            losses[way] = [step() for _ in range(5)][-1]
        for _ in range(rounds):
            for way, step in run.items():
                sync_global_devices(way)
                if way == WAYS[0] and rank:
                    continue  # the other one has the machine to itself
                start = time.perf_counter()
                for _ in range(steps):
                    step()
                times[way].append((time.perf_counter() - start) / steps)
        del losses[SUM]
        told[name] = {"times": times, "losses": losses}
    if rank == 0:
        print(json.dumps(told), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--dry-run", action="store_true", help="print the table; write no file")
    parser.add_argument("--worker", nargs=2, metavar=("RANK", "ADDRESS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(int(given.worker[0]), given.worker[1], given.rounds, given.steps)
        return
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{s.getsockname()[1]}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
    options = ["--rounds", str(given.rounds), "--steps", str(given.steps)]
    command = [sys.executable, __file__, *options, "--worker"]
    second = subprocess.Popen([*command, "1", address], env=environment, stderr=subprocess.DEVNULL)
    first = subprocess.run(
        [*command, "0", address], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    second.wait()
    told = json.loads(first.stdout.splitlines()[-1])
    body = report(told)
    if given.dry_run:
        print(body)
        return
    question = "What do two processes of one device each gain over one?"
    print(harness.write_report("data_parallel", question, body, {"workloads": told}, PACKAGES, HOW))


def report(told: dict[str, Any]) -> str:
    """The table, and how well the losses agree."""
    rows, notes = [], []
    for name, found in told.items():
        times = found["times"]
        gains = [
            statistics.median(a / b for a, b in zip(times[WAYS[0]], times[way], strict=True))
            for way in WAYS[1:]
        ]
        medians = [f"{1e3 * statistics.median(times[way]):.2f}" for way in (*WAYS, SUM)]
        rows.append([name, *medians, *[f"{gain:.2f}" for gain in gains]])
        reference = found["losses"][WAYS[0]]
        worst = max(abs(loss - reference) for loss in found["losses"].values())
        notes.append(f"{name}: the fifth losses differ by at most {worst:.1e} of {reference:.4f}.")
    heads = ["workload", *[f"{way}, ms" for way in (*WAYS, SUM)], "times faster, parts", "times faster, all"]
    return harness.markdown_table(heads, rows) + "\n" + "\n".join(notes) + "\n"


if __name__ == "__main__":
    main()

"""What do two processes of one device each gain over one? A step of W2 (MLP) and W4 (transformer block).

Each process is pinned to a processor of its own and runs one thread; they exchange gradients over loopback
(gloo). The time of a step is wall time, recording and reading the loss included, inputs given as NumPy
arrays; the figures are medians of interleaved rounds: one process alone, then both, in turn.

    python benchmarks/data_parallel.py [--rounds 15] [--steps 20]
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

HERE = Path(__file__).resolve().parent
WORKLOADS = ("W2", "W4")
WAYS = ("one process", "two processes, each its part", "two processes, each all of it")


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


def work(rank: int, address: str, rounds: int, steps: int) -> None:
    """One of the two processes; the first tells the times."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[rank]})
    import prooftape as pt

    pt.distributed.initialize(address, 2, rank)
    import jax
    from jax.experimental.multihost_utils import sync_global_devices

    told: dict[str, Any] = {}
    for name in WORKLOADS:
        run = {
            WAYS[0]: make_step(name, pt.Session(engine="xla", mesh=jax.local_devices()), None),
            WAYS[1]: make_step(name, pt.Session(engine="xla", mesh=2), (rank, 2)),
            WAYS[2]: make_step(name, pt.Session(engine="xla", mesh=2), None),
        }
        times: dict[str, list[float]] = {way: [] for way in WAYS}
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
        told[name] = {"times": times, "losses": losses}
    if rank == 0:
        print(json.dumps(told), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=20)
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
    print("| workload | " + " | ".join(WAYS) + " | gain |\n|---|---|---|---|---|")
    for name, found in told.items():
        medians = [statistics.median(found["times"][way]) for way in WAYS]
        alone, parts = (found["times"][way] for way in WAYS[:2])
        gain = statistics.median(a / b for a, b in zip(alone, parts, strict=True))
        shown = " | ".join(f"{1e3 * t:.2f} ms" for t in medians)
        print(f"| {name} | {shown} | {gain:.2f} |")
        reference = found["losses"][WAYS[0]]
        worst = max(abs(loss - reference) for loss in found["losses"].values())
        print(f"<!-- {name}: fifth losses differ by at most {worst:.2e} of {reference:.4f} -->")


if __name__ == "__main__":
    main()

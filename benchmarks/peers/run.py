"""What does a whole training step cost, against every peer? Workloads W1 to W6c, every engine, interleaved.

Each workload runs in a fresh process on one pinned core; inside it, every round times every engine once, in
rotating order. Before that every engine runs the 20 steps of the agreement check and two untimed rounds: the
same warm-up for all. The first call on a chain of 1,000 nodes is timed in a process of its own, with empty
compilation caches. A complete run writes results/peers.{json,md,svg,png}; a partial one prints its table.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import harness
from harness import Samples, Table, Timer

harness.pin()

import agreement  # noqa: E402  (after pinning: thread counts are read when a BLAS library is loaded)
import report  # noqa: E402
import workloads  # noqa: E402
from registry import ENGINES  # noqa: E402
from workloads import Problem, Step  # noqa: E402

ROUNDS, SAMPLE_SECONDS = 31, 0.02
TOO_SLOW = 30
"""An engine that takes more than this many times the fastest is left out of the rounds; one time is kept."""
ALWAYS = ("torch eager", "NumPy by hand")
"""Kept with ours in the rounds however slow they are: ratios to them are asked for."""
FIRST_CALLS = ("W5", "W5p")
FIRST_CALL_LIMIT = 400
ONE_THREAD = {
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "DEV": "CPU",  # tinygrad's device
    "NUM_CPU_THREADS": "1",  # tinygrad's threads
    "PYTHONWARNINGS": "ignore",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}


def unavailable(error: BaseException) -> str:
    """Why an engine does not run, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    return f"{type(error).__name__}: {lines[0]}"[:160]


# -- inside a fresh process ------------------------------------------------------------------------------
def first_call(workload: str, name: str) -> dict[str, Any]:
    """Seconds until the first step has returned its loss; data and the engine's import come before."""
    problem = workloads.problem(workload)
    engine = ENGINES[name]
    module = engine.load()
    if hasattr(module, "trials"):
        module.trials = False
    started = time.perf_counter()
    step = engine.step(problem)
    step()
    return {"first_call_s": time.perf_counter() - started}


def measured(workload: str, names: list[str], rounds: int) -> dict[str, Any]:
    """Agreement, then the rounds, of all engines that can run; the others with the reason why not."""
    problem = workloads.problem(workload)
    wanted = agreement.reference(problem)
    steps: dict[str, Step] = {}
    rough: dict[str, float] = {}
    rows: dict[str, dict[str, Any]] = {}
    for name in names:
        try:
            step, rough[name], rows[name] = _admitted(problem, name, wanted)
        except Exception as error:  # noqa: BLE001  (whatever a peer raises is the reason that is shown)
            rows[name] = {"reason": unavailable(error)}
            print(f"  {name}: {rows[name]['reason']}", file=sys.stderr, flush=True)
            continue
        steps[name] = step
    fastest = min((t for n, t in rough.items() if rows[n]["agrees"]), default=0.0)
    for name, seconds in rough.items():
        kept = ENGINES[name].ours or name in ALWAYS
        if seconds > TOO_SLOW * fastest and not kept:
            rows[name]["reason"] = f"left out of the rounds: one step takes {seconds:.3g} s"
            del steps[name]
    table = rounds_of(steps, rough, rounds)
    for name, phases in table.items():
        rows[name] |= phases["step"].summary() | {"wall_s": phases["step"].wall}
    return {
        "title": workloads.TITLES[workload],
        "tolerance": wanted.tolerance,
        "first_loss": float(wanted.losses[0]),
        "last_loss": float(wanted.losses[-1]),
        "engines": rows,
    }


def _admitted(problem: Problem, name: str, wanted: agreement.Reference) -> tuple[Step, float, dict[str, Any]]:
    """The engine's step after its agreement run, about how long a step takes, and whether it agrees."""
    step = ENGINES[name].step(problem)
    seen = agreement.losses(step)
    deviation = wanted.deviation(seen)
    seconds, started, count = math.inf, time.perf_counter(), 0
    while count < 3 or (count < 50 and time.perf_counter() - started < 0.1):
        before = time.process_time()
        step()
        seconds = min(seconds, time.process_time() - before)
        count += 1
    agrees = deviation <= wanted.tolerance
    print(f"  {name}: about {1e6 * seconds:.0f} us, off by {deviation:.2g}", file=sys.stderr, flush=True)
    return step, seconds, {"deviation": deviation, "agrees": agrees}


def rounds_of(steps: dict[str, Step], rough: dict[str, float], rounds: int) -> Table:
    """A sample is the mean over about `SAMPLE_SECONDS` of steps in a row, as in a training loop."""
    repeats = {name: max(1, math.ceil(SAMPLE_SECONDS / rough[name])) for name in steps}

    def timed(step: Step, count: int) -> Callable[[Timer], None]:
        def run(timer: Timer) -> None:
            step()  # brings this engine's data back into the caches another engine has just used
            with timer("step"):
                for _ in range(count):
                    step()

        return run

    table = harness.interleave({n: timed(s, repeats[n]) for n, s in steps.items()}, rounds, warmup=2)
    return {
        name: {
            "step": Samples(
                [t / repeats[name] for t in phases["step"].wall],
                [t / repeats[name] for t in phases["step"].cpu],
            )
        }
        for name, phases in table.items()
    }


# -- outside -----------------------------------------------------------------------------------------------
def child(arguments: list[str], caches: Path, limit: float | None) -> dict[str, Any] | str:
    """Run this script in a fresh process; its answer, or the reason why there is none."""
    environment = os.environ | ONE_THREAD
    environment["XDG_CACHE_HOME"] = str(caches)
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(caches / "torch")
    environment["JAX_COMPILATION_CACHE_DIR"] = str(caches / "jax")
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, __file__, "--answer", str(answer), *arguments]
        try:
            done = subprocess.run(command, env=environment, timeout=limit, stdout=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            return f"did not finish its first step in {limit:.0f} s"
        if done.returncode:
            return f"exit status {done.returncode}"
        loaded: dict[str, Any] = json.loads(answer.read_text())
        return loaded


def run_workload(workload: str, names: list[str], rounds: int, limit: float) -> dict[str, Any]:
    print(f"{workload}: {workloads.TITLES[workload]}", file=sys.stderr, flush=True)
    firsts: dict[str, dict[str, Any]] = {}
    left = list(names)
    with tempfile.TemporaryDirectory() as folder:
        if workload in FIRST_CALLS:
            for name in names:
                caches = Path(folder) / str(names.index(name))
                caches.mkdir()
                seen = child(["--workload", workload, "--first-call", name], caches, limit)
                firsts[name] = {"reason": seen} if isinstance(seen, str) else seen
                print(f"  first call, {name}: {firsts[name]}", file=sys.stderr, flush=True)
                if "reason" in firsts[name]:
                    left.remove(name)
        caches = Path(folder) / "rounds"
        caches.mkdir()
        for number, name in enumerate(names):  # what a first call compiled need not be compiled again
            if workload in FIRST_CALLS and name in left:
                subprocess.run(["cp", "-r", f"{folder}/{number}/.", str(caches)], check=True)
        arguments = ["--workload", workload, "--rounds", str(rounds), "--engine", ";".join(left)]
        result = child([*arguments, "--measure"], caches, None)
    if isinstance(result, str):
        raise SystemExit(f"{workload}: {result}")
    rows = result["engines"]
    for name, seen in firsts.items():
        rows[name] = rows.get(name, {}) | seen
    result["engines"] = {name: rows[name] for name in names}
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--workload", help="separated by ';' (default: all): " + "; ".join(workloads.WORKLOADS)
    )
    parser.add_argument("--engine", help="separated by ';' (default: all): " + "; ".join(ENGINES))
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"timed rounds (default: {ROUNDS})")
    parser.add_argument(
        "--quick", action="store_true", help="5 rounds; compiles of over a minute are given up"
    )
    parser.add_argument(
        "--first-call-limit", type=float, help=f"seconds for a first call (default: {FIRST_CALL_LIMIT})"
    )
    parser.add_argument("--write", action="store_true", help="write the files of a partial run too")
    for internal in ("--answer", "--first-call"):
        parser.add_argument(internal, help=argparse.SUPPRESS)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    chosen = given.workload.split(";") if given.workload else list(workloads.WORKLOADS)
    names = given.engine.split(";") if given.engine else list(ENGINES)
    if unknown := (set(chosen) - set(workloads.WORKLOADS)) | (set(names) - set(ENGINES)):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    if given.answer:
        if given.first_call:
            try:
                answer = first_call(chosen[0], given.first_call)
            except Exception as error:  # noqa: BLE001  (whatever a peer raises is the reason that is shown)
                answer = {"reason": unavailable(error)}
        else:
            answer = measured(chosen[0], names, given.rounds)
        Path(given.answer).write_text(json.dumps(answer))
        sys.stdout.flush()
        os._exit(0)  # engines leave threads behind that do not end with the interpreter
    rounds, limit = (5, 60.0) if given.quick else (given.rounds, float(FIRST_CALL_LIMIT))
    limit = given.first_call_limit or limit
    complete = set(chosen) == set(workloads.WORKLOADS) and names == list(ENGINES) and not given.quick
    results: dict[str, Any] = {}
    text = ""
    for name in chosen:  # written after each workload: a long run that is cut off leaves what it has
        results[name] = run_workload(name, names, rounds, limit)
        ordered = {w: results[w] for w in workloads.WORKLOADS if w in results}
        text = report.write(ordered, rounds) if complete or given.write else report.render(ordered)
    print(text)
    wrong = [
        f"{workload}: {name}"
        for workload, result in results.items()
        for name, row in result["engines"].items()
        if row.get("agrees") is False
    ]
    if wrong:
        print("losses do not agree: " + "; ".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

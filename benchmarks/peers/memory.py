"""Peak resident memory of a training step of W4, each engine in a fresh process: ours against jax.jit.

What is reported is the high-water mark over 20 steps, and the same less what the process held after imports
and one step of W1 (which starts the engine, its threads and its compiler).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import harness

harness.pin()

import workloads  # noqa: E402  (after pinning: thread counts are read when a BLAS library is loaded)
from registry import ENGINES, PACKAGES  # noqa: E402
from run import ONE_THREAD, unavailable  # noqa: E402

WORKLOAD, STEPS = "W4", 20
DEFAULT = "prooftape, xla;prooftape, numpy;jax.jit;torch eager;NumPy by hand"


def inside(name: str) -> None:
    def steps(workload: str, count: int) -> None:
        step = ENGINES[name].step(workloads.problem(workload))
        for _ in range(count):
            step()

    try:
        harness.print_memory(harness.measure_memory(lambda: steps("W1", 1), lambda: steps(WORKLOAD, STEPS)))
    except Exception as error:  # noqa: BLE001  (whatever an engine raises is the reason that is shown)
        sys.exit(unavailable(error))
    sys.stdout.flush()
    os._exit(0)  # engines leave threads behind that do not end with the interpreter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default=DEFAULT, help=f"separated by ';' (default: {DEFAULT})")
    parser.add_argument("--dry-run", action="store_true", help="print the table; write no file")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        inside(given.inside)
        return
    os.environ.update(ONE_THREAD)
    seen = {name: harness.peak_memory(__file__, ["--inside", name]) for name in given.engine.split(";")}
    jax = seen.get("jax.jit")
    rows = []
    for name, memory in seen.items():
        if isinstance(memory, str):
            rows.append([name, "-", "-", "-", memory])
            continue
        over = f"{memory.added / jax.added:.2f}" if isinstance(jax, harness.Memory) else "-"
        rows.append([name, f"{memory.peak:.0f}", f"{memory.added:.0f}", over, ""])
    header = ["engine", "peak, MiB", "added by W4, MiB", "added over jax.jit's", ""]
    table = harness.markdown_table(header, rows)
    head = (
        f"# How much memory does a step of {WORKLOAD} take?\n\n{workloads.TITLES[WORKLOAD]}; {STEPS} steps.\n"
    )
    head += f"Written by `python benchmarks/peers/memory.py`. Commit {harness.commit()}.\n"
    head += "Versions: " + ", ".join(f"{k} {v}" for k, v in harness.versions(PACKAGES).items()) + ".\n\n"
    print(head + table)
    if given.dry_run:
        return
    data = {
        name: m if isinstance(m, str) else {"baseline_mib": m.baseline, "peak_mib": m.peak}
        for name, m in seen.items()
    }
    harness.atomic_write(harness.RESULTS / "peers-memory.md", head + table)
    record = {"commit": harness.commit(), "machine": harness.machine(), "engines": data}
    harness.atomic_write(harness.RESULTS / "peers-memory.json", json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()

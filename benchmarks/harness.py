"""Run several engines in turn on one pinned core, and write down what was seen.

Every comparison is made inside one process and one run: round r times engine 1, 2, 3, ... before round
r+1 starts, so that a slow moment of the machine falls on all of them. Every engine gets the same warm-up.
What is reported is the median over rounds and, against a peer, the median of the per-round ratios, both of
CPU time: every engine here computes on one thread, so on a quiet machine CPU and wall time are the same, and
on a busy one CPU time leaves out the moments when somebody else had the core. Wall time is kept beside it.
This module must be imported before NumPy: thread counts are read when a BLAS library is loaded.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
ROOT = Path(__file__).resolve().parent.parent
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
CORE_VARIABLE = "PROOFTAPE_BENCH_CORE"


def pin() -> None:
    """One thread on one core. Restarts the interpreter if NumPy was loaded under another thread count."""
    unset = [name for name in THREAD_VARIABLES if os.environ.get(name) != "1"]
    if unset:
        os.environ.update(dict.fromkeys(unset, "1"))
        if "numpy" in sys.modules:
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    if hasattr(os, "sched_setaffinity"):
        allowed = os.sched_getaffinity(0)
        wanted = int(os.environ.get(CORE_VARIABLE, max(allowed)))
        os.sched_setaffinity(0, {wanted})


def peer(module: str) -> Any:
    """Import a library that has no types of its own; Any stays inside the peer's few lines."""
    return importlib.import_module(module)


class Timer:
    """Wall and CPU seconds of each named phase of one run: `with timer("backward"): ...`."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    def __call__(self, phase: str) -> _Phase:
        return _Phase(self, phase)


class _Phase:
    def __init__(self, timer: Timer, name: str) -> None:
        self.timer, self.name = timer, name

    def __enter__(self) -> None:
        self.wall = time.perf_counter()
        self.cpu = time.process_time()

    def __exit__(self, *_: object) -> None:
        cpu, wall = time.process_time() - self.cpu, time.perf_counter() - self.wall
        self.timer.wall[self.name] = self.timer.wall.get(self.name, 0.0) + wall
        self.timer.cpu[self.name] = self.timer.cpu.get(self.name, 0.0) + cpu


@dataclass
class Samples:
    """All rounds of one phase of one engine, in seconds."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.cpu)

    def ratio_to(self, other: Samples) -> tuple[float, float, float]:
        """Median, smallest and largest of this engine's time over the other's, round by round."""
        ratios = [a / b for a, b in zip(self.cpu, other.cpu, strict=True)]
        return statistics.median(ratios), min(ratios), max(ratios)

    def summary(self) -> dict[str, object]:
        return {
            "median_s": self.median,
            "min_s": min(self.cpu),
            "max_s": max(self.cpu),
            "wall_median_s": statistics.median(self.wall),
            "cpu_s": self.cpu,
        }


Table = dict[str, dict[str, Samples]]
"""engine -> phase -> samples"""


def interleave(engines: Mapping[str, Callable[[Timer], None]], rounds: int, warmup: int = 1) -> Table:
    """Time every engine once a round. Warm-up rounds are full rounds, for all engines, thrown away.

    The order rotates with the round, so that no engine always follows the same other one.
    The collector runs before each measurement and stays enabled during it, as it is for a user.
    """
    table: Table = {name: {} for name in engines}
    order = list(engines)
    for number in range(-warmup, rounds):
        shift = number % len(order) if order else 0
        for name in order[shift:] + order[:shift]:
            timer = Timer()
            gc.collect()
            engines[name](timer)
            if number < 0:
                continue
            for phase, seconds in timer.wall.items():
                samples = table[name].setdefault(phase, Samples())
                samples.wall.append(seconds)
                samples.cpu.append(timer.cpu[phase])
    return table


@dataclass(frozen=True)
class Memory:
    """Resident memory of a fresh process: after imports and a tiny warm-up, and at its peak. In MiB."""

    baseline: float
    peak: float

    @property
    def added(self) -> float:
        return self.peak - self.baseline


def _status_kib(key: str) -> int | None:
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    return None


def measure_memory(warm: Callable[[], object], work: Callable[[], object]) -> Memory:
    """Peak resident memory of `work` in this process; call it in a fresh one (`peak_memory` starts it).

    On Linux this reads VmHWM after resetting it. ru_maxrss would not do: across exec it keeps the peak of
    the process that started us. Elsewhere ru_maxrss is the best there is.
    """
    warm()
    gc.collect()
    baseline = _status_kib("VmRSS")
    if baseline is not None:
        with contextlib.suppress(OSError):  # without the reset the peak counts imports too: an upper bound
            Path("/proc/self/clear_refs").write_text("5")
        work()
        peak = _status_kib("VmHWM")
        assert peak is not None
        return Memory(baseline / 1024, peak / 1024)
    import resource  # not on Windows, where none of this is measured

    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    work()
    return Memory(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


def peak_memory(script: str, arguments: Sequence[str], timeout: float = 900) -> Memory | str:
    """Start `script` afresh with `arguments`; it prints Memory as JSON. Returns the reason if it fails."""
    command = [sys.executable, script, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return f"did not finish in {timeout:.0f} s"
    if done.returncode < 0:
        return f"killed by signal {-done.returncode}"
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return lines[-1][:160] if lines else f"exit status {done.returncode}"
    return Memory(**json.loads(done.stdout.strip().splitlines()[-1]))


def print_memory(memory: Memory) -> None:
    print(json.dumps(asdict(memory)))


def machine() -> dict[str, object]:
    """What the numbers depend on: processor, cores, load, memory. No host name, no paths."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    facts: dict[str, object] = {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": platform.system(),
        "pinned to cores": 1 if hasattr(os, "sched_setaffinity") else None,
    }
    if hasattr(os, "getloadavg"):
        facts["load average"] = [round(value, 2) for value in os.getloadavg()]
    total = _meminfo_gib()
    if total is not None:
        facts["memory in GiB"] = total
    blas = _blas_kernels()
    if blas:
        facts["blas"] = blas
    return facts


def _meminfo_gib() -> float | None:
    try:
        first = Path("/proc/meminfo").read_text().splitlines()[0]
    except OSError:
        return None
    return round(int(first.split()[1]) / 2**20, 1)


def _blas_kernels() -> list[str]:
    """Which kernels the loaded BLAS libraries chose: it changes a matmul by up to 2x."""
    try:
        threadpoolctl = peer("threadpoolctl")
    except ImportError:
        return []
    return sorted(
        f"{pool['internal_api']} {pool.get('version')} {pool.get('architecture') or ''}".strip()
        for pool in threadpoolctl.threadpool_info()
        if pool["user_api"] == "blas"
    )


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Installed versions, Python first. A package that is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit measured, marked when the source or the benchmarks differ from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        head = git("rev-parse", "--short=12", "HEAD")
        changed = git("status", "--porcelain", "--", "src", "benchmarks", ":!benchmarks/results")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + (" with local changes" if changed else "")


def atomic_write(path: Path, text: str) -> None:
    """Readers see the old file or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


HOW = "CPU time, one thread, one core, interleaved, medians over the rounds. Compare inside one table."


def write_report(
    name: str, question: str, body: str, data: Mapping[str, object], packages: Iterable[str], how: str = HOW
) -> str:
    """Write `results/name.md` and `results/name.json`; returns the Markdown text."""
    facts, found, head = machine(), versions(packages), commit()
    head_lines = [
        f"# {question}",
        "",
        f"Written by `python benchmarks/{name}.py`. Commit {head}.",
        "Machine: " + "; ".join(f"{key} {_plain(value)}" for key, value in facts.items()) + ".",
        "Versions: " + ", ".join(f"{key} {value}" for key, value in found.items()) + ".",
        how,
        "",
    ]
    text = "\n".join(head_lines) + "\n" + body
    record: dict[str, object] = {
        "benchmark": name,
        "question": question,
        "commit": head,
        "machine": facts,
        "versions": found,
    }
    record.update(data)
    atomic_write(RESULTS / f"{name}.md", text)
    atomic_write(RESULTS / f"{name}.json", json.dumps(record, indent=1) + "\n")
    return text

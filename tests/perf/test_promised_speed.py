"""The speeds the project promises, as ratios to named peers measured in one run.

Marked `timing`: two test processes side by side would measure each other, so `make bench-check` runs these
alone. A bound counts as missed only when it is missed at every attempt.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_linear_growth import benchmark

PEERS = Path(__file__).resolve().parents[2] / "benchmarks" / "peers" / "run.py"


def median_ratio(ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    return float(np.median(np.divide(ours["cpu_s"], theirs["cpu_s"])))


def within(bounds: dict[str, float], measure: Callable[[], dict[str, float]], attempts: int = 3) -> None:
    """Every ratio within its bound in one same attempt."""
    seen = []
    for _ in range(attempts):
        seen.append(measure())
        if all(seen[-1][name] <= bound for name, bound in bounds.items()):
            return
    pytest.fail(f"ratios {seen}; bounds {bounds}")


@pytest.mark.timing
@pytest.mark.skipif(importlib.util.find_spec("mygrad") is None, reason="needs the extra `bench`")
def test_chain_against_mygrad() -> None:
    def measure() -> dict[str, float]:
        engines = ["--engines", "prooftape;MyGrad", "--sizes", "16000", "--rounds", "7", "--json"]
        seen = benchmark("chain.py", *engines)["sizes"]["16000"]
        ours, theirs = seen["prooftape"]["phases"], seen["MyGrad"]["phases"]
        return {phase: median_ratio(ours[phase], theirs[phase]) for phase in ("record+forward", "backward")}

    within({"record+forward": 0.75, "backward": 0.75}, measure)


@pytest.mark.timing
def test_training_step_against_numpy_by_hand() -> None:
    def measure() -> dict[str, float]:
        engines = ["--engines", "prooftape;NumPy by hand", "--rounds", "15", "--json"]
        seen = benchmark("mlp.py", *engines)["engines"]
        return {"step": median_ratio(seen["prooftape"], seen["NumPy by hand"])}

    within({"step": 1.3}, measure)


@pytest.mark.timing
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs the extra `xla`")
@pytest.mark.parametrize(
    ("workload", "bound"), [("W1", 1.3), ("W2", 1.06), ("W5", 1.4), ("W6b", 1.6), ("W6c", 1.2)]
)
def test_compiled_step_against_jax(workload: str, bound: float) -> None:
    def measure() -> dict[str, float]:
        seen = peers(workload, "prooftape, xla;jax.jit")
        return {workload: median_ratio(seen["prooftape, xla"], seen["jax.jit"])}

    within({workload: bound}, measure)


@pytest.mark.timing
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs the extra `interop`")
@pytest.mark.parametrize("workload", ["W1", "W2", "W3", "W5", "W6a", "W6b", "W6c"])
def test_compiled_step_is_ahead_of_torch(workload: str) -> None:
    def measure() -> dict[str, float]:
        seen = peers(workload, "prooftape, xla;torch eager")
        return {workload: median_ratio(seen["prooftape, xla"], seen["torch eager"])}

    within({workload: 1.0}, measure)


def peers(workload: str, engines: str) -> dict[str, Any]:
    """One workload of benchmarks/peers in a fresh process: engine -> its row."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, str(PEERS), "--workload", workload, "--engine", engines]
        command += ["--rounds", "9", "--measure", "--answer", str(answer)]
        environment = os.environ | {
            "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        }
        subprocess.run(command, env=environment, check=True, timeout=600, stdout=subprocess.DEVNULL)
        rows: dict[str, Any] = json.loads(answer.read_text())["engines"]
        return rows


@pytest.mark.timing
def test_recording_an_op() -> None:
    # An absolute time has no peer in the same run to be divided by: the quietest round counts.
    def measure() -> dict[str, float]:
        ops = benchmark("recording.py", "--rounds", "9", "--json")["ops"]
        return {"microseconds an op": 1e6 * ops["the first 19, in turn"]["min_s"]}

    within({"microseconds an op": 3.0}, measure)

"""The speeds the project promises, as ratios to named peers measured in one run.

Marked `timing`: two test processes side by side would measure each other, so `make bench-check` runs these
alone. A bound counts as missed only when it is missed at every attempt.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_linear_growth import benchmark


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
def test_recording_an_op() -> None:
    # An absolute time has no peer in the same run to be divided by: the quietest round counts.
    def measure() -> dict[str, float]:
        ops = benchmark("recording.py", "--rounds", "9", "--json")["ops"]
        return {"microseconds an op": 1e6 * ops["the first 19, in turn"]["min_s"]}

    within({"microseconds an op": 3.0}, measure)

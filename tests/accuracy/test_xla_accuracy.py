"""The table of XLA's accuracy: it names every function, and a small measurement stays within it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from prooftape.testing import xla_accuracy
from prooftape.testing.rounding_functions import MOVES

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "measure_xla_accuracy.py"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_function_is_measured(dtype: str) -> None:
    measured = xla_accuracy.MEASURED[dtype]
    assert set(measured) == {*MOVES, "rsqrt", "pow", "exp_difference"}
    assert all(0.49 < error < 10 for error in measured.values()), "an engine this inaccurate has a fault"


@pytest.mark.slow
def test_a_small_measurement_stays_within_the_table() -> None:
    pytest.importorskip("jax")
    command = [sys.executable, str(SCRIPT), "--stride", "99991", "--points", "300"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the table allows" not in done.stdout

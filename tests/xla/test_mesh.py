"""Several devices in one process: the tests of four_devices*.py, run where there are four.

How many devices a CPU shows is decided before JAX is first used, so they run in a process of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jax", reason="needs the extra xla")
HERE = Path(__file__).resolve().parent


def on_four_devices(seconds: int, *arguments: str, **variables: str) -> None:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    environment = {**os.environ, **variables, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    files = [str(HERE / "four_devices.py"), str(HERE / "four_devices_bucket.py")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    found = subprocess.run(
        [*command, *arguments], env=environment, capture_output=True, text=True, timeout=seconds
    )
    assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-2000:]


def test_four_devices() -> None:
    on_four_devices(300)


@pytest.mark.slow
def test_every_op_random_graphs_and_networks_on_some_of_four_devices() -> None:
    on_four_devices(
        3000,
        "-k",
        "ops or random or bounds_of_their_parts or benchmark",
        PROOFTAPE_MESH_OPS="all",
        PROOFTAPE_MESH_GRAPHS="40",
    )

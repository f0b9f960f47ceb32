"""Several processes of one machine, over loopback: the same losses as one, and what a lost one does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax", reason="needs the extra xla")
WORKER = Path(__file__).resolve().parent / "worker.py"
Told = dict[str, dict[str, Any]]
pytestmark = pytest.mark.slow


class Ended:
    """What one process told, and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.err = code, err
        lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        self.all = lines
        self.told: Told = {line["what"]: line for line in lines}


def run(task: str, *arguments: object, n: int = 2, seconds: float = 120) -> list[Ended]:
    """Start n processes with the task and wait for all of them."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{s.getsockname()[1]}"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
    environment.pop("XLA_FLAGS", None)
    if n == 1:
        environment["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
    started = []
    for rank in range(n):
        command = [sys.executable, str(WORKER), task, str(rank), str(n), address, *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, env=environment, text=True, **pipes))  # type: ignore[call-overload]
    end, ended = time.monotonic() + seconds, []
    try:
        for process in started:
            out, err = process.communicate(timeout=max(1.0, end - time.monotonic()))
            ended.append(Ended(process.returncode, out, err))
    finally:
        for process in started:
            process.kill()
    return ended


@pytest.fixture(scope="module")
def exact() -> Told:
    """The same training in rational numbers, on the NumPy engine."""
    from prooftape import Session

    sys.path.insert(0, str(WORKER.parent))
    try:
        import worker
    finally:
        sys.path.pop(0)
    t = worker.Training(Session("rational"))
    return {"training": {"losses": t.losses(worker.STEPS), "params": t.values()}}


@pytest.mark.parametrize("task", ["parts", "whole"])
def test_two_processes_train_as_one(task: str, exact: Told) -> None:
    """Given its part of each batch, or given all of it, each process ends where one alone does.

    On dyadic fractions nothing is rounded: what comes is what rational numbers give. With a smooth network
    the sum of two devices' gradients is one rounding in either order, so that two processes of a device each
    agree to the last bit with one process of two devices (how far that is from one device: four_devices.py).
    """
    ended = run(task)
    assert [e.code for e in ended] == [0, 0], [e.err[-2000:] for e in ended]
    first, second = (e.told for e in ended)
    assert first == second
    assert first["float64"]["losses"] == exact["training"]["losses"]
    assert first["float64"]["params"] == exact["training"]["params"]
    (one,) = run("whole", n=1)
    assert one.code == 0, one.err[-2000:]
    assert first == one.told
    rows = np.arange(8.0).reshape(4, 2)
    assert first["read"]["x"] == rows.tolist()
    assert first["read"]["square"] == (rows**2).tolist()
    assert first["read"]["grad"] == (2 * rows).tolist()
    assert first["tangent"]["tangent"] == 2 * rows.sum()


def test_a_killed_process_is_noticed_and_training_goes_on_from_the_checkpoint(
    exact: Told, tmp_path: Path
) -> None:
    survivor, victim = run("killed", 1, tmp_path)
    assert victim.code == -9
    assert survivor.code == 0, survivor.err[-3000:]
    assert "another process has died or cannot be reached" in survivor.told["lost"]["message"]
    assert "last checkpoint" in survivor.told["lost"]["message"]
    resumed = survivor.told["resumed"]
    assert resumed["step"] == 2
    assert survivor.told["losses"]["losses"] == exact["training"]["losses"][:3]
    assert resumed["losses"] == exact["training"]["losses"][2:]
    assert resumed["params"] == exact["training"]["params"]


def test_without_process_0_the_others_end_with_a_message(tmp_path: Path) -> None:
    """Process 0 keeps the list of who is there: JAX ends the others when it is gone."""
    start = time.monotonic()
    victim, other = run("killed", 0, tmp_path, seconds=90)
    assert victim.code == -9
    assert time.monotonic() - start < 90
    assert (
        "lost" in other.told
        or "leader task was preempted/died" in other.err
        or "another task died" in other.err
    ), other.err[-2000:]


@pytest.mark.parametrize("how", ["values", "graphs", "shapes"])
def test_processes_that_differ_are_told(how: str) -> None:
    what = {"values": "a parameter's value", "graphs": "the program", "shapes": "a part of an input"}[how]
    for e in run("differ", how):
        refused = e.told["refused"]
        assert refused["kind"] == "MeshError", refused
        assert "the processes differ" in refused["message"]
        assert what in refused["message"]


def test_devices_of_some_processes() -> None:
    for e in run("devices"):
        messages = [line["message"] for line in e.all if line["what"] == "refused"]
        assert len(messages) == 3
        assert "1 devices asked, and the 2 processes have 2 together" in messages[0]
        assert "3 devices asked, JAX has 2" in messages[1]
        assert "none of its devices is of this process" in messages[2]
        assert e.told["own"]["value"] == [9.0]


def test_nobody_comes() -> None:
    """A process that waits for others gives up."""
    code = (
        "import prooftape as pt\n"
        "pt.distributed.initialize('127.0.0.1:1', 2, 1, start_seconds=2, heartbeat_seconds=10)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.returncode != 0
    assert "could not join at 127.0.0.1:1" in found.stderr or "DEADLINE_EXCEEDED" in found.stderr

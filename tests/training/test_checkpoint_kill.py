"""A kill in mid-save loses nothing: the file is always one of the states that were saved, never a mixture.

A child process saves state 1, 2, 3, … over one file, telling each one's number when the save has returned.
It dies by SIGKILL at named points inside the save, and (slow) at random moments.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prooftape.training import load_checkpoint

pytest.importorskip("safetensors")
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")

SRC = Path(__file__).resolve().parents[2] / "src"
SAVER = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import prooftape.files
from prooftape.param import Param
from prooftape.training import save_checkpoint

path, crash, crash_at = sys.argv[2], sys.argv[3], int(sys.argv[4])

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class HalfWriter:
    def __init__(self, f): self.f = f
    def __enter__(self): return self
    def __exit__(self, *_): self.f.close()
    def __getattr__(self, name): return getattr(self.f, name)
    def write(self, data):
        self.f.write(data[: len(data) // 2])
        self.f.flush()
        die()

def plant():
    fdopen, replace, fsync = os.fdopen, os.replace, os.fsync
    if crash == "half written":
        os.fdopen = lambda fd, mode: HalfWriter(fdopen(fd, mode))
    elif crash == "written, not flushed":
        os.fsync = lambda fd: die()
    elif crash == "before the rename":
        os.replace = lambda a, b: die()
    elif crash == "after the rename":
        os.replace = lambda a, b: (replace(a, b), die())

for n in range(1, 1_000_000):
    if n == crash_at:
        plant()
    params = [Param(np.full((64, 64), n), "W"), Param(np.full(7, n), "b")]
    save_checkpoint(path, params, step=n, extra={"n": n})
    print(n, flush=True)
"""


def start(path: Path, crash: str, crash_at: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SAVER, str(SRC), str(path), crash, str(crash_at)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def whole_state(path: Path) -> int:
    """The number of the saved state, all parts of which must agree."""
    found = load_checkpoint(path)
    assert found.step is not None and found.extra == {"n": found.step}
    assert {float(v) for a in found.params.values() for v in a.ravel()} == {float(found.step)}
    return found.step


CRASHES = {"half written": 2, "written, not flushed": 2, "before the rename": 2, "after the rename": 3}


@pytest.mark.parametrize("crash", CRASHES)
def test_a_kill_inside_a_save_leaves_the_last_state_or_the_new_one(crash: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with start(path, crash, 3) as child:
        told, _ = child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL and told.split() == ["1", "2"]
    assert whole_state(path) == CRASHES[crash]


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    moments = random.Random(20240229)
    during = 0
    for _ in range(15):
        with start(path, "none", 0) as child:
            assert child.stdout is not None
            first = child.stdout.readline()
            time.sleep(moments.uniform(0, 0.02))
            child.kill()
            told = [int(n) for n in [first, *child.stdout.read().split()]]
        assert child.returncode == -signal.SIGKILL
        state = whole_state(path)
        assert state in (told[-1], told[-1] + 1)
        parts = list(tmp_path.glob(".x.safetensors.*.part"))
        during += bool(parts)
        for part in parts:
            part.unlink()
    assert during > 0, "no kill came in mid-save: the test tests nothing"

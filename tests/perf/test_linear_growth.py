"""Recording, evaluating and differentiating stay linear in the number of nodes, in time and in memory.

Times are CPU times of this process, the smallest of several tries; a bound is missed only when it is missed
at every attempt, because another tenant of the machine can spoil one.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prooftape as pt

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
START = np.array([1.5, -1.0, 2.0, 0.25], np.float32)
SEED = np.array([1.0, 2.0, 3.0, 4.0], np.float32)


def chain(nodes: int) -> tuple[pt.Session, pt.TensorRef, pt.TensorRef]:
    session = pt.Session(scalar="float32")
    x = session.input(START, requires_grad=True)
    y = x
    for _ in range(nodes):
        y = session.relu(y)
    return session, x, y


def record_forward_backward(nodes: int) -> None:
    session, x, y = chain(nodes)
    assert np.array_equal(session.get_value(y), [1.5, 0.0, 2.0, 0.25])
    assert np.array_equal(session.backward_dense_all(y, SEED)[x], [1.0, 0.0, 3.0, 4.0])


def read_after_every_op(nodes: int) -> None:
    session = pt.Session(scalar="float32")
    y = session.input(START, requires_grad=True)
    for _ in range(nodes):
        y = session.relu(y)
        session.get_value(y)


def forward_mode(nodes: int) -> None:
    session, _, y = chain(nodes)
    assert np.array_equal(session.jvp_dense_all(y, [SEED]), [1.0, 0.0, 3.0, 4.0])


def cpu_seconds(work: Callable[[], object]) -> float:
    gc.collect()
    begin = time.process_time()
    work()
    return time.process_time() - begin


def growth(work: Callable[[int], object], small: int, large: int) -> float:
    """Cost a node at `large` over cost a node at `small`; each the best of three, taken in turn."""
    tries = [(cpu_seconds(lambda: work(small)), cpu_seconds(lambda: work(large))) for _ in range(3)]
    return (min(t[1] for t in tries) / large) / (min(t[0] for t in tries) / small)


@pytest.mark.parametrize("work", [record_forward_backward, read_after_every_op, forward_mode])
def test_a_node_costs_the_same_in_a_longer_chain(work: Callable[[int], object]) -> None:
    work(100)
    seen = []
    for _ in range(5):
        seen.append(growth(work, 2_000, 8_000))
        if seen[-1] < 2:
            return
    pytest.fail(
        f"cost a node at 8,000 nodes over cost at 2,000, five attempts: {seen}; a quadratic term gives 4"
    )


def benchmark(script: str, *arguments: str) -> Any:
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.slow
def test_a_chain_of_200000_nodes_runs_in_bounded_memory() -> None:
    # The script checks value and gradient. 80 MiB at 16,000 nodes, less 30 MiB for Python and NumPy, is about
    # 3 KiB a node; a chain twelve times as long may use no more than that a node.
    memory = benchmark("chain.py", "--memory-of", "prooftape", "--sizes", "200000")
    assert memory["peak"] - memory["baseline"] < 200_000 * 3 / 1024, memory


@pytest.mark.slow
def test_peak_memory_at_16000_nodes() -> None:
    memory = benchmark("chain.py", "--memory-of", "prooftape", "--sizes", "16000")
    assert memory["peak"] <= 80, memory

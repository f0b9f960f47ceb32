"""Replays on the XLA engine: recordings that are almost those expected, as tests/session has them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("jax", reason="needs the extra xla")

sys.path.append(str(Path(__file__).parent.parent / "session"))
from test_replay_divergence import diverge

SEEDS = int(os.environ.get("PROOFTAPE_GRAPHS", "2000")) // 40
PARTS = 8


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_near_misses(part: int) -> None:
    """Programs are compiled once per structure, so both sessions of a case share them."""
    counts = [diverge(seed, "xla") for seed in range(5000 + part, 5000 + SEEDS, PARTS)]
    assert sum(replays for replays, _ in counts) > 2 * len(counts)
    assert len(counts) < 5 or sum(fallbacks for _, fallbacks in counts) > 0

"""What the cross-evaluation tests share: the scripts on the path, the prover and the compiled theory."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from prooftape.theory.build import compiled
from prooftape.theory.prover import Prover, find_prover

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from crosseval import cases, evaluate, floats, graphs, run, samples, shapes, values  # noqa: E402

__all__ = [
    "SCRIPTS",
    "cases",
    "evaluate",
    "faults",
    "floats",
    "graphs",
    "run",
    "samples",
    "shapes",
    "theory",
    "values",
]


@cache
def theory() -> tuple[Prover, Path]:
    """The prover and the compiled theory."""
    prover = find_prover()
    assert prover is not None, "these tests are marked `proofs`: they need Rocq"
    return prover, compiled(prover)


def faults(terms: Sequence[str], number: str = "rational", kind: str = "case") -> dict[int, tuple[str, ...]]:
    """Which of these terms Rocq finds faulty, and in what."""
    return {f.index: f.what for f in run.faults(*theory(), terms, number, kind=kind)}

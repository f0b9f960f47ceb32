"""Prints the pytest marker expression that leaves out the tests which cannot run here, and says which.

Tests marked `interop` need torch and those marked `proofs` need Rocq; `make setup` installs neither. Leaving
them out by marker, not by a skip inside each test, keeps the closing line of a run honest about what ran.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

SETUP = Path(__file__).with_name("setup_rocq.sh")


def left_out() -> list[str]:
    names = ["timing"]  # two test processes side by side would measure each other: make bench-check
    if importlib.util.find_spec("torch") is None:
        names.append("interop")
        print(
            "torch is not installed: leaving out tests marked interop (make setup-interop)", file=sys.stderr
        )
    # what `make test` asked before it ran, or skipped, the gates: a coqc without Coquelicot is no prover
    if subprocess.run([SETUP, "there"]).returncode:
        names.append("proofs")
        print(
            "Rocq with Coquelicot is not there: leaving out tests marked proofs (make setup-rocq)",
            file=sys.stderr,
        )
    return names


if __name__ == "__main__":
    print(" and ".join(f"not {name}" for name in left_out()))

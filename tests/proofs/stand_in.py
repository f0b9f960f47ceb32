"""Programs that stand in for the prover's: Python scripts that can be run."""

from __future__ import annotations

import sys
from pathlib import Path


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!{sys.executable} -S\n{text}")
    path.chmod(0o755)
    return path

"""The theory's source files and their digest.

In a checkout they are `proofs/` beside `src/`; in an installed package the same files are inside it.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from prooftape.errors import ProverError

FOLDERS = ("Spec", "Core", "Decl", "Ops", "Certificates", "Eval")
LOGICAL_NAME = "Prooftape"


@cache
def folder() -> Path:
    """Where the sources are."""
    package = Path(__file__).resolve().parents[1]
    for place in (package.parents[1] / "proofs", package / "_proofs"):
        if (place / "Spec").is_dir():
            return place
    raise ProverError(f"the theory's sources are missing from the installation ({package / '_proofs'})")


def read(place: Path | None = None) -> dict[str, bytes]:
    """All source files by relative path, e.g. `Spec/Graph.v`, in sorted order."""
    root = place or folder()
    files = [*root.glob("*.v"), *(f for name in FOLDERS for f in (root / name).glob("*.v"))]
    return {f.relative_to(root).as_posix(): f.read_bytes() for f in sorted(files) if f.is_file()}


def digest(sources: dict[str, bytes]) -> str:
    """SHA-256 over the names and contents of all files: what a certificate pins."""
    total = hashlib.sha256()
    for name, content in sorted(sources.items()):
        total.update(f"{name} {len(content)}\n".encode())
        total.update(content)
    return total.hexdigest()

"""Write proofs/Decl: what the theory knows of the ops, from the op records.

python scripts/make_decl.py            writes the files that changed
python scripts/make_decl.py --check    exits 1 when a committed file is out of date
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from difflib import unified_diff
from pathlib import Path

from decl.exprs import exprs
from decl.names import names

from prooftape.files import write_atomically
from prooftape.ops import table

PROOFS = Path(__file__).resolve().parent.parent / "proofs"


def files(proofs: Path) -> dict[Path, str]:
    """Every generated file, whole."""
    ops = list(table().values())
    decl = proofs / "Decl"
    return {decl / "Names.v": names(ops), decl / "Exprs.v": exprs(ops)}


def committed(path: Path) -> str:
    """Text of a file; empty if there is none."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


def first_difference(old: str, new: str) -> str:
    """The first lines of the difference, enough to see what changed."""
    lines = unified_diff(old.splitlines(), new.splitlines(), "committed", "generated", n=0, lineterm="")
    return "\n".join(list(lines)[:8])


def check(proofs: Path) -> int:
    """Compare; 1 if a file differs."""
    stale = {path: text for path, text in files(proofs).items() if committed(path) != text}
    for path, text in stale.items():
        print(
            f"{path.relative_to(proofs.parent)} is out of date: run python scripts/make_decl.py",
            file=sys.stderr,
        )
        print(first_difference(committed(path), text), file=sys.stderr)
    return 1 if stale else 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="compare with the committed files, write nothing"
    )
    parser.add_argument("--proofs", type=Path, default=PROOFS, help="the folder of the theory")
    asked = parser.parse_args(arguments)
    if asked.check:
        return check(asked.proofs)
    for path, text in files(asked.proofs).items():
        if committed(path) != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text.encode())
            print(f"wrote {path.relative_to(asked.proofs.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

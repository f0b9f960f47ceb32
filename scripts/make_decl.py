"""Write proofs/Decl: what the theory knows of the ops, from the op records.

python scripts/make_decl.py            writes the files that changed
python scripts/make_decl.py --check    exits 1 when a committed file is out of date
python scripts/make_decl.py --missing  lists the ops that lack a definition or a proof in proofs/Ops
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from difflib import unified_diff
from pathlib import Path

from decl.exprs import exprs
from decl.facts import facts, missing, stated
from decl.names import names

from prooftape.errors import count
from prooftape.files import write_atomically
from prooftape.ops import table

PROOFS = Path(__file__).resolve().parent.parent / "proofs"


def files(proofs: Path) -> dict[Path, str]:
    """Every generated file, whole. The table needs every op to be complete."""
    ops, decl = list(table().values()), proofs / "Decl"
    out = {decl / "Names.v": names(ops), decl / "Exprs.v": exprs(ops)}
    where = stated(ops, proofs / "Ops")
    if not missing(ops, where):
        out[decl / "Table.v"] = facts(ops, where)
    return out


def gaps(proofs: Path) -> list[str]:
    """One line per op that is not complete."""
    ops = list(table().values())
    incomplete = missing(ops, stated(ops, proofs / "Ops"))
    return [f"{name}: {', '.join(f'{name}_{part}' for part in parts)}" for name, parts in incomplete.items()]


def committed(path: Path) -> str:
    """Text of a file; empty if there is none."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


def first_difference(old: str, new: str) -> str:
    """The first lines of the difference, enough to see what changed."""
    lines = unified_diff(old.splitlines(), new.splitlines(), "committed", "generated", n=0, lineterm="")
    return "\n".join(list(lines)[:8])


def check(proofs: Path) -> int:
    """Compare; 1 if a file differs or the table cannot be made."""
    stale = {path: text for path, text in files(proofs).items() if committed(path) != text}
    for path, text in stale.items():
        print(
            f"{path.relative_to(proofs.parent)} is out of date: run python scripts/make_decl.py",
            file=sys.stderr,
        )
        print(first_difference(committed(path), text), file=sys.stderr)
    incomplete = report_gaps(proofs)
    return 1 if stale or incomplete else 0


def report_gaps(proofs: Path) -> bool:
    """Say why there is no table, if there is none."""
    incomplete = gaps(proofs)
    if incomplete:
        print(
            f"Decl/Table.v cannot be made, {count(len(incomplete), 'incomplete op')}: "
            "python scripts/make_decl.py --missing",
            file=sys.stderr,
        )
    return bool(incomplete)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="compare with the committed files, write nothing"
    )
    parser.add_argument("--missing", action="store_true", help="list incomplete ops, write nothing")
    parser.add_argument("--proofs", type=Path, default=PROOFS, help="the folder of the theory")
    asked = parser.parse_args(arguments)
    if asked.missing:
        incomplete = gaps(asked.proofs)
        print("\n".join(incomplete) if incomplete else "every op is complete")
        return 1 if incomplete else 0
    try:
        if asked.check:
            return check(asked.proofs)
        printed = files(asked.proofs)
    except (
        ValueError
    ) as e:  # a record whose rules contradict each other: its author's mistake, and news to them
        print(f"make_decl.py: {e}", file=sys.stderr)
        return 1
    for path, text in printed.items():
        if committed(path) != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text.encode())
            print(f"wrote {path.relative_to(asked.proofs.parent)}")
    return 1 if report_gaps(asked.proofs) else 0


if __name__ == "__main__":
    sys.exit(main())

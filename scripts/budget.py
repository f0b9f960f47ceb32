"""Prints lines of text per folder and the longest files of each: the budget of the source tree.

Run as `python scripts/budget.py [FOLDER ...]`; without arguments, over the folders that hold code and prose.
It only reports; the limit on a file of the package is held by tests/test_layout.py.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ["src", "tests", "benchmarks", "scripts", "proofs", "docs"]
SUFFIXES = {".py", ".v", ".md", ".sh"}


def line_counts(folder: Path) -> dict[Path, int]:
    paths = (path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file())
    return {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}


def report(folders: list[str]) -> list[str]:
    rows = [f"{'folder':<34} {'files':>6} {'lines':>8}   longest file"]
    total_files = total_lines = 0
    for name in folders:
        by_folder: dict[Path, dict[Path, int]] = defaultdict(dict)
        for path, count in line_counts(ROOT / name).items():
            by_folder[path.parent][path] = count
        for folder, counts in sorted(by_folder.items()):
            longest = max(counts, key=lambda path: (counts[path], path.name))
            lines = sum(counts.values())
            label = folder.relative_to(ROOT).as_posix() if folder.is_relative_to(ROOT) else str(folder)
            rows.append(f"{label:<34} {len(counts):>6} {lines:>8}   {longest.name} ({counts[longest]})")
            total_files, total_lines = total_files + len(counts), total_lines + lines
    rows.append(f"{'total':<34} {total_files:>6} {total_lines:>8}")
    return rows


if __name__ == "__main__":
    print("\n".join(report(sys.argv[1:] or FOLDERS)))

"""The command `prooftape`: demo, ops, show, certify, verify, trust, doctor.

It is built with typer and rich (extra `cli`). Without them `main` says so, and what needs neither, the
version and the doctor, still answers.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

NEEDED = ("typer", "rich")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command on these arguments (default: the process's own) and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    missing = [name for name in NEEDED if not _can_import(name)]
    if missing:
        return _without_libraries(given, missing)
    from prooftape.cli.app import run

    return run(given)


def _can_import(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:  # someone has put None in sys.modules to keep it out
        return False


def _without_libraries(given: list[str], missing: list[str]) -> int:
    from prooftape.cli import doctor

    if given == ["--version"]:
        print(doctor.version_line())
        return 0
    if given[:1] == ["doctor"]:
        report = doctor.examine(given[1:])
        print("\n".join(report.lines()))
        return report.status
    print(
        f"prooftape: the command line needs {' and '.join(missing)}: pip install 'prooftape[cli]'",
        file=sys.stderr,
    )
    return 1

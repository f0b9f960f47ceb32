"""Regenerate, or check, the golden values under `tests/golden/data` and the page `docs/golden-coverage.md`.

    python scripts/make_golden.py            write data and page
    python scripts/make_golden.py --check    draw everything again and compare with what is committed
    python scripts/make_golden.py --page     print the page for the committed data (needs no PyTorch)

Needs the `interop` extra (PyTorch 2.13, and expecttest, hypothesis, pytest and scipy, which OpInfo imports).
The comparison
allows for rounding: PyTorch's kernels differ in the last bits from one processor to another.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA, PAGE = ROOT / "tests" / "golden" / "data", ROOT / "docs" / "golden-coverage.md"
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "golden")]


def page() -> str:
    """The coverage page for the committed data and the list of disagreements."""
    from disagreements import ACCEPTED_ERRORS, DISAGREEMENTS, REFUSALS, WITHOUT_GOLDEN
    from golden.coverage import render

    differing: dict[tuple[str, str, str, str], list[str]] = {}
    for d in DISAGREEMENTS:
        differing.setdefault((d.op.replace(" ", "`, then `"), d.condition, d.answers, d.reason), []).append(
            d.quantity
        )
    return render(
        json.loads((DATA / "manifest.json").read_text()),
        [(op, ", ".join(quantities), *rest) for (op, *rest), quantities in differing.items()],
        [(r.operator, r.record, r.error, r.reason) for r in REFUSALS],
        [(*key, reason) for key, reason in ACCEPTED_ERRORS.items()],
        list(WITHOUT_GOLDEN.items()),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument(
        "--check", action="store_true", help="compare with the committed files instead of writing them"
    )
    parser.add_argument("--page", action="store_true", help="print the coverage page and do nothing else")
    parser.add_argument(
        "--only", nargs="+", metavar="OP", help="just these OpInfo names (writes no manifest and no page)"
    )
    arguments = parser.parse_args()
    if arguments.page:
        print(page(), end="")
        return 0
    try:
        from golden.store import write_text

        from golden import compare, generate
    except ImportError as missing:
        print(f"cannot import {missing.name}: install the `interop` extra", file=sys.stderr)
        return 2
    if not arguments.check:
        generate.generate(DATA, arguments.only)
        if not arguments.only:
            write_text(PAGE, page())
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        generate.generate(Path(scratch), arguments.only)
        problems = compare.differences(DATA, Path(scratch))
    if page() != PAGE.read_text(encoding="utf-8"):
        problems.append(f"{PAGE.name} is not what --page prints")
    for problem in problems:
        print(problem)
    print(f"{len(problems)} differences")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())

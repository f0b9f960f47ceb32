"""Plant wrong rules one by one, in the op records and in the theory, and report which gate goes red.

python scripts/plant_rules.py                  every fault; exits 1 if one of them goes unnoticed
python scripts/plant_rules.py --only softmax   faults of one family, kind, side, op or file
python scripts/plant_rules.py --list           what would be planted
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from planting.fault import GATES, Fault, RecordFault, Red, TextFault
from planting.gates import Planted, records
from planting.records import record_faults, unchanged
from planting.texts import text_faults

from prooftape.errors import count
from prooftape.theory.build import compiled
from prooftape.theory.prover import HOW_TO_GET, Prover, find_prover

NO_FAULT = "nothing: every gate must stay green"


def all_faults() -> list[Fault]:
    """Every fault, by family and side."""
    faults: list[Fault] = [*record_faults(), *text_faults()]
    families = list(dict.fromkeys(fault.family for fault in faults))
    return sorted(faults, key=lambda fault: (families.index(fault.family), fault.side))


def controls(faults: Sequence[Fault]) -> list[Fault]:
    """The same machinery without a fault: a copy of each op's record, a comment in one file."""
    ops = dict.fromkeys((fault.family, fault.op) for fault in faults if isinstance(fault, RecordFault))
    made: list[Fault] = [RecordFault(family, "none", op, NO_FAULT, unchanged) for family, op in ops]
    if any(isinstance(fault, TextFault) for fault in faults):
        opening = "(** ** Products of matrices m x k and k x n *)"
        made.append(
            TextFault(
                "linear algebra", "none", "matmul", NO_FAULT, "Ops/Linalg.v", opening, f"(* *) {opening}"
            )
        )
    return made


def planted(
    prover: Prover, theory: Path, faults: Sequence[Fault], jobs: int = 1
) -> Iterator[tuple[Fault, list[Red]]]:
    """Each fault with the gates it turns red."""
    in_records = [fault for fault in faults if isinstance(fault, RecordFault)]
    if in_records:
        yield from zip(in_records, records(prover, theory, in_records, jobs), strict=True)
    in_texts = [fault for fault in faults if isinstance(fault, TextFault)]
    if in_texts:
        with tempfile.TemporaryDirectory(prefix="prooftape-planted-") as folder:
            copy = Planted(prover, theory, Path(folder))
            for fault in in_texts:
                yield fault, copy.red(fault, jobs)


def row(fault: Fault, red: Sequence[Red]) -> str:
    """One line of the table."""
    gates = ", ".join(r.gate for r in red) or ("green" if fault.kind == "none" else "UNNOTICED")
    rule = f"{fault.op}: {fault.what}"
    said = f"  {red[0].said[:90]}" if red else ""
    return f"{fault.family:18} {fault.side:7} {fault.kind:11} {rule:62} {gates:30}{said}".rstrip()


def wrong(fault: Fault, red: Sequence[Red]) -> bool:
    """Whether the gates got it wrong: a fault that none notices, or one that notices what is no fault."""
    return bool(red) if fault.kind == "none" else not red


def chosen(only: str | None) -> list[Fault]:
    """The faults of which one field is (or, for the file, contains) this word."""
    faults = all_faults()
    if only is None:
        return faults
    fields = [(f, (f.family, f.kind, f.side, f.op, getattr(f, "file", ""))) for f in faults]
    return [f for f, words in fields if only in words or (words[4] and only in words[4])]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="a family, a kind, a side, an op, or part of a file name")
    parser.add_argument("--list", action="store_true", help="list the faults, plant none")
    parser.add_argument("--jobs", type=int, default=2, help="how many provers may run at once")
    asked = parser.parse_args(arguments)
    faults = chosen(asked.only)
    if asked.list or not faults:
        print("\n".join(f"{f.family:18} {f.side:7} {f.kind:11} {f.op}: {f.what}" for f in faults) or "none")
        return 0 if faults else 2
    prover = find_prover()
    if prover is None:
        print(f"there is no Rocq prover on the path; {HOW_TO_GET}", file=sys.stderr)
        return 2
    start = time.perf_counter()
    theory = compiled(prover)
    bad, by_gate = [], dict.fromkeys(GATES, 0)
    for fault, red in planted(prover, theory, [*faults, *controls(faults)], asked.jobs):
        print(row(fault, red), flush=True)
        bad += [fault] if wrong(fault, red) else []
        for r in red:
            by_gate[r.gate] += 1
    seconds = time.perf_counter() - start
    print(f"{count(len(faults), 'fault')}, {len(bad)} wrong verdicts, {seconds:.0f} s")
    print("; ".join(f"{gate}: {n} red" for gate, n in by_gate.items()))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

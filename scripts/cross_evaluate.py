"""Compute in Rocq what Python computes, and compare exactly. Exit status 1 if anything differs.

    python scripts/cross_evaluate.py                      everything, about two minutes on two cores
    python scripts/cross_evaluate.py --ops matmul,conv    two ops
    python scripts/cross_evaluate.py --parts ops,shapes   some parts

Parts: `ops` (forward, JVP and VJP of every op on exact rationals, and on polynomials where the op is one),
`shapes` (shape rules on a grid of types and attributes), `graphs` (random graphs: values, tangents and
gradients, by both of Python's implementations and Rocq's), `floats` (small networks bit for bit). The theory
compared with is proofs/, compiled into the user's cache when it changed. For a new op: --ops NAME.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from crosseval.evaluate import COLUMNS, PARTS, Findings, evaluate
from crosseval.shapes import EXEMPTIONS

from prooftape.op import Op
from prooftape.ops import table
from prooftape.theory.build import compiled
from prooftape.theory.prover import HOW_TO_GET, ProverError, find_prover

SHOWN = 20


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    prover = find_prover()
    if prover is None:
        print(f"there is no Rocq prover on the path; {HOW_TO_GET}", file=sys.stderr)
        return 2
    start = time.perf_counter()
    try:
        theory = compiled(prover)
        found = evaluate(
            prover, theory, args.ops, args.parts, graph_count=args.graphs, seed=args.seed, progress=_note
        )
    except ProverError as e:
        print(e, file=sys.stderr)
        return 1
    _print_table(args.ops, found)
    for d in found.differences[:SHOWN]:
        print(f"\n{d}" + (f"\n{d.term}" if args.terms else ""))
    if len(found.differences) > SHOWN:
        print(f"\n… and {len(found.differences) - SHOWN} more")
    verdict = f"{len(found.differences)} differences" if found.differences else "no difference"
    print(f"\n{verdict} in {time.perf_counter() - start:.0f} s")
    return 1 if found.differences else 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    doc, _, rest = (__doc__ or "").partition("\n")
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=doc, epilog=rest, formatter_class=form)
    parser.add_argument(
        "--ops", type=_ops, default=list(table().values()), help="comma-separated; default: all"
    )
    parser.add_argument("--parts", type=_parts, help="comma-separated; default: all, with --ops: ops,shapes")
    parser.add_argument("--graphs", type=int, default=200, help="how many random graphs (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="other numbers and other graphs")
    parser.add_argument("--terms", action="store_true", help="print the Rocq term of each difference")
    args = parser.parse_args(argv)
    if args.parts is None:
        args.parts = PARTS if len(args.ops) == len(table()) else ("ops", "shapes")
    return args


def _ops(text: str) -> list[Op]:
    unknown = [n for n in text.split(",") if n not in table()]
    if unknown:
        raise argparse.ArgumentTypeError(f"no such op: {', '.join(unknown)}")
    return [table()[n] for n in text.split(",")]


def _parts(text: str) -> tuple[str, ...]:
    unknown = [p for p in text.split(",") if p not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(unknown)}; parts: {', '.join(PARTS)}")
    return tuple(text.split(","))


def _note(text: str) -> None:
    print(f"{text} …", file=sys.stderr, flush=True)


def _print_table(ops: Sequence[Op], found: Findings) -> None:
    bad = {name for d in found.differences if len(d.ops) == 1 for name in d.ops}
    print(f"{'op':28}" + "".join(f"{c:>12}" for c in COLUMNS) + "  verdict")
    for op in ops:
        numbers = "".join(f"{found.counts[c][op.name] or '-':>12}" for c in COLUMNS)
        print(f"{op.name:28}{numbers}  {'DIFFERS' if op.name in bad else 'agrees'}")
    totals = "".join(f"{sum(found.counts[c][op.name] for op in ops) or '-':>12}" for c in COLUMNS)
    print(f"{len(ops):<28}{totals}")
    for name, count in sorted(found.exemptions.items()):
        print(f"{count} uses, {name}: {EXEMPTIONS[name]}")


if __name__ == "__main__":
    sys.exit(main())

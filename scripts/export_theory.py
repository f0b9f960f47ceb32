"""What the theory proves, as Rocq prints it: contents.json for the package, gold files for readers.

    python scripts/export_theory.py            ask the prover and write
    python scripts/export_theory.py --check    ask the prover and compare; exit status 1 if anything differs

Written: src/prooftape/theory/contents.json (what `prooftape.theorems` and `trust` read), and for people in
proofs/gold: statements.txt, assumptions.txt, sides.txt, and definitions.txt with all that Spec defines.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
import sys
from pathlib import Path
from typing import Any

from prooftape.files import write_atomically
from prooftape.ops import table
from prooftape.theory import sources
from prooftape.theory.build import compiled
from prooftape.theory.contents import FILE
from prooftape.theory.prover import Prover, find_prover
from prooftape.theory.questions import NOTATION, ask, assumptions_of, statements_of

ROOT = Path(__file__).resolve().parents[1]
GOLD = ROOT / "proofs" / "gold"
_THEOREM = re.compile(
    r"\(\*\* (?:\[(?P<ops>[\w ]+)\] )?(?P<meaning>(?:(?!\*\)).)*?) \*\)\n"
    r"Definition (?P<name>\w+) := @(?P<module>\w+)\.(?P<proof>\w+)\.",
    re.DOTALL,
)
_DEFINED = re.compile(r"^ *(?:Definition|Fixpoint|Inductive|Record) (\w+)", re.MULTILINE)
_SIDE = re.compile(r"\| op_(?P<op>\w+) => (?P<module>\w+)\.(?P<name>\w+_side)\n")


def public_theorems(text: str) -> list[dict[str, Any]]:
    """Name, meaning, specified ops and proving module of each theorem that Theorems.v lists."""
    found = [m.groupdict() for m in _THEOREM.finditer(text)]
    named = re.findall(r"^Definition (\w+)", text, re.MULTILINE)
    if [t["name"] for t in found] != named:
        missing = sorted(set(named) - {t["name"] for t in found})
        raise SystemExit(f"Theorems.v: without a meaning in a comment just above: {', '.join(missing)}")
    return found


def export(prover: Prover, theory: Path) -> dict[str, Any]:
    """Everything, asked of the prover."""
    found = public_theorems((sources.folder() / "Theorems.v").read_text())
    names = [t["name"] for t in found]
    statements = statements_of(prover, theory, names)
    axioms = assumptions_of(prover, theory, names)
    files = {p.stem: str(p.relative_to(sources.folder())) for p in sources.folder().glob("*/*.v")}
    theorems = [
        {
            "name": t["name"],
            "meaning": " ".join(t["meaning"].split()),
            "file": files[t["module"]],
            "statement": statements[t["name"]],
            "assumptions": list(axioms[t["name"]]),
        }
        for t in found
    ]
    _check_witnesses(theorems)
    specs = {op: t["name"] for t in reversed(found) if t["ops"] for op in t["ops"].split()}
    unknown = set(specs) - set(table())
    if unknown:
        raise SystemExit(f"Theorems.v specifies no op of the table: {', '.join(sorted(unknown))}")
    return {
        "theory": sources.digest(sources.read()),
        "theorems": theorems,
        "ops": _ops(prover, theory, files, specs),
    }


def definitions(prover: Prover, theory: Path) -> str:
    """Every definition of Spec/, as Rocq prints it: what the statements mean."""
    parts = []
    for file in sorted((sources.folder() / "Spec").glob("*.v")):
        names = _DEFINED.findall(file.read_text())
        module = f"From Prooftape.Spec Require Import {file.stem}.\n"
        # in full: `Print Graph.` is a command of its own
        questions = [f"Print {sources.LOGICAL_NAME}.Spec.{file.stem}.{n}." for n in names]
        answers = ask(prover, theory, questions, NOTATION + module)
        printed = (re.sub(r"\n\n?Arguments .*", "", a, flags=re.DOTALL) for a in answers)
        parts.append(f"Spec/{file.name}\n\n" + "\n\n".join(printed))
    return "\n\n".join(parts)


def _check_witnesses(theorems: list[dict[str, Any]]) -> None:
    """Every statement with a hypothesis needs an instance of it in Witnesses.v: no theorem is vacuous."""
    text = (sources.folder() / "Witnesses.v").read_text()
    missing = [
        t["name"]
        for t in theorems
        if "->" in re.sub(r"\([^()]*(?:\([^()]*\)[^()]*)*\)", "", t["statement"])
        and re.search(rf"\b(?:Example|Definition) {t['name']}_witness\b", text) is None
    ]
    if missing:
        raise SystemExit(f"Witnesses.v has no {', '.join(f'{m}_witness' for m in missing)}")


def _ops(prover: Prover, theory: Path, files: dict[str, str], specs: dict[str, str]) -> list[dict[str, Any]]:
    sides = list(_SIDE.finditer((sources.folder() / "Decl" / "Table.v").read_text()))
    answers = ask(prover, theory, [f"Print {m['module']}.{m['name']}." for m in sides], NOTATION)
    ops = []
    for m, answer in zip(sides, answers, strict=True):
        body = answer.partition("=")[2].rpartition("\n     :")[0]
        side = " ".join((body or answer.partition("=")[2]).split())
        ops.append(
            {
                "name": m["op"],
                "file": files[m["module"]],
                "side": side,
                "everywhere": side in ("everywhere", "Smoothness.everywhere"),
                "never": side.endswith("False") and "->" not in side,
                "spec": specs.get(m["op"], ""),
            }
        )
    return ops


def texts(contents: dict[str, Any], defined: str) -> dict[Path, str]:
    """The files and what they should hold."""
    theorems, ops = contents["theorems"], contents["ops"]
    note = "Printed by scripts/export_theory.py; compared by `make proofs`.\n\n"
    statements = "\n\n".join(
        f"{t['name']} ({t['file']})\n  {t['meaning']}\n  {t['statement']}" for t in theorems
    )
    axioms = "\n".join(
        f"{t['name']}: {', '.join(t['assumptions']) or 'closed under the global context'}" for t in theorems
    )
    sides = "\n".join(f"{o['name']}: {o['side']}" for o in ops)
    return {
        FILE: json.dumps(contents, indent=1) + "\n",
        GOLD / "statements.txt": note + statements + "\n",
        GOLD / "assumptions.txt": note + axioms + "\n",
        GOLD / "sides.txt": note + sides + "\n",
        GOLD / "definitions.txt": note + defined + "\n",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Export what the theory proves, as Rocq prints it.")
    parser.add_argument(
        "--check", action="store_true", help="compare with the committed files, write nothing"
    )
    check = parser.parse_args().check
    prover = find_prover()
    if prover is None:
        print("no Rocq prover on the path", file=sys.stderr)
        return 2
    status = 0
    theory = compiled(prover)
    for path, text in texts(export(prover, theory), definitions(prover, theory)).items():
        old = path.read_text() if path.exists() else ""
        if old == text:
            continue
        name = str(path.relative_to(ROOT))
        if not check:
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, text.encode())
            print(f"wrote {name}")
            continue
        status = 1
        print(f"{name} is not what Rocq prints (python scripts/export_theory.py writes it):", file=sys.stderr)
        lines = difflib.unified_diff(
            old.splitlines(), text.splitlines(), "committed", "printed", lineterm="", n=0
        )
        print("\n".join(line[:200] for line in list(lines)[:20]), file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())

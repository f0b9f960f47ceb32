"""The gates of the theory: what `make proofs` runs.

1. proofs/Decl is what the op records print.
2. No source admits anything: no Admitted, Axiom, Parameter, Abort, no switched-off check.
3. Everything compiles (into the user's cache).
4. Statements, axioms and side conditions are those of the gold files and of contents.json.
5. coqchk, the independent checker, accepts the compiled theory and finds no axioms but the allowed ones.

    python scripts/check_proofs.py [--fast]      --fast leaves out coqchk
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from prooftape.certificates.verify import ALLOWED_AXIOMS
from prooftape.theory import sources
from prooftape.theory.build import compiled
from prooftape.theory.prover import HOW_TO_GET, Prover, ProverError, find_prover

SCRIPTS = Path(__file__).resolve().parent
FORBIDDEN = re.compile(
    r"\b(Admitted|admit|Axioms?|Parameters?|Conjectures?|Abort|Admit\s+Obligations|give_up|bypass_check|"
    r"Unset\s+(?:Guard|Positivity|Universe)\s+Checking|Type-in-Type|native_compute|Declare\s+ML\s+Module|"
    r"Declare\s+Module|Primitive|Load|Redirect|Extraction)\b"
)
# Inside a section these name what its theorems are about; outside they are axioms.
ASSUMED = re.compile(r"Variables?|Hypothes[ie]s|Context")
SENTENCE = re.compile(r"\s*(?:#\[[^]]*\]\s*)*(?:(?:Local|Global|Polymorphic|Monomorphic)\s+)*(\w+)")
COMMENT = re.compile(r"\(\*|\*\)|\"(?:[^\"]|\"\")*\"|[^(*\"]+|.", re.DOTALL)
# Eval/ is not among them: it is executed, nothing is proved there, and its primitive floats come with axioms.
CHECKED_MODULES = (
    "Prooftape.Witnesses",  # imports Theorems
    "Prooftape.Certificates.CheckExamples",
    "Prooftape.Core.AdjointExample",
    "Prooftape.Core.DerivativeExample",
    "Prooftape.Core.LossSlopes",
)


def without_comments(text: str) -> str:
    """Rocq source with comments (they nest) and strings blanked, line by line as before."""
    depth, out = 0, []
    for token in COMMENT.findall(text):
        if token == "(*":
            depth += 1
        if depth or token.startswith('"'):
            out.append(re.sub(r"[^\n]", " ", token))
        else:
            out.append(token)
        if token == "*)" and depth:
            depth -= 1
    return "".join(out)


def admitted(files: dict[str, bytes]) -> list[str]:
    """Where a source leaves something unproved: `file:line: word`."""
    found = []
    for name, content in files.items():
        text = without_comments(content.decode())
        places = [(m.start(1), " ".join(m[1].split())) for m in FORBIDDEN.finditer(text)]
        places += [(at, f"{word} outside a section") for at, word in assumed(text)]
        found += [f"{name}:{text.count(chr(10), 0, at) + 1}: {word}" for at, word in sorted(places)]
    return found


def assumed(text: str) -> list[tuple[int, str]]:
    """Where a source without comments has a variable or a hypothesis outside every section."""
    opened: list[str] = []
    found, at = [], 0
    for sentence in re.split(r"(?<=\.)(?=\s)", text):
        first = SENTENCE.match(sentence)
        word = "" if first is None else first[1]
        if word == "Section" or (word == "Module" and ":=" not in sentence):
            opened.append(word)
        elif word == "End" and opened:
            opened.pop()
        elif first is not None and ASSUMED.fullmatch(word) and "Section" not in opened:
            found.append((at + first.start(1), word))
        at += len(sentence)
    return found


def gate(name: str, run: Callable[[], str]) -> bool:
    """Run one gate; it returns a remark, or raises with the reason it is red."""
    start = time.perf_counter()
    try:
        remark = run()
    except (ProverError, AssertionError) as e:
        print(f"RED    {name}: {e}", flush=True)
        return False
    print(f"green  {name} ({time.perf_counter() - start:.0f} s){': ' + remark if remark else ''}", flush=True)
    return True


def script(name: str, *arguments: str) -> Callable[[], str]:
    def run() -> str:
        done = subprocess.run(
            [sys.executable, str(SCRIPTS / name), *arguments], capture_output=True, text=True
        )
        assert done.returncode == 0, (done.stderr or done.stdout).strip()
        return ""

    return run


def nothing_admitted() -> str:
    files = sources.read()
    found = admitted(files)
    assert not found, "; ".join(found)
    lines = sum(content.count(b"\n") for content in files.values())
    return f"{len(files)} files, {lines} lines"


def checked_again(prover: Prover, theory: Path) -> str:
    """coqchk on the public theorems and all they rest on."""
    flags = ["-silent", "-o", "-Q", ".", sources.LOGICAL_NAME, *CHECKED_MODULES]
    run = prover.run("coqchk", flags, theory, seconds=1500, flags=False)
    assert run.ok, f"coqchk: {run.errors.strip()[-600:]}"
    text = run.output + run.errors
    listed = re.search(r"\* Axioms:\s*(.*?)\n\s*\n?\* ", text, re.DOTALL)
    assert listed is not None, f"coqchk printed no summary: {text[-400:]}"
    axioms = {a for a in listed[1].split() if a != "<none>"}
    allowed = {f"Coq.{kind}.{a}" for a in ALLOWED_AXIOMS for kind in ("Reals", "Logic")}
    assert axioms <= allowed, f"coqchk finds other axioms: {', '.join(sorted(axioms - allowed))}"
    for what in (
        "Constants/Inductives relying on type-in-type",
        "Constants/Inductives relying on unsafe",
        "Inductives whose positivity is assumed",
    ):
        rest = text.partition(what)[2]
        assert re.match(r"[^:]*:\s*<none>", rest), f"coqchk: {what}: {rest[:200]}"
    return f"axioms: {', '.join(sorted(a.rpartition('.')[2] for a in axioms))}"


def main() -> int:
    parser = argparse.ArgumentParser(description="The gates of the theory.")
    parser.add_argument("--fast", action="store_true", help="leave out coqchk")
    fast = parser.parse_args().fast
    prover = find_prover()
    if prover is None:
        print(f"no Rocq prover on the path; {HOW_TO_GET}", file=sys.stderr)
        return 2

    def build() -> str:
        compiled(prover, progress=_progress)
        return f"Rocq {prover.version}"

    gates: list[tuple[str, Callable[[], str]]] = [
        ("proofs/Decl is what the op records print", script("make_decl.py", "--check")),
        ("nothing is admitted", nothing_admitted),
        ("the theory compiles", build),
        ("statements, axioms and side conditions are the gold ones", script("export_theory.py", "--check")),
    ]
    if not fast:
        gates.append(("coqchk accepts it", lambda: checked_again(prover, compiled(prover))))
    results = [gate(name, run) for name, run in gates]  # all of them, also after a red one
    return 0 if all(results) else 1


def _progress(file: str, done: int, total: int) -> None:
    if done % 20 == 0 or done == total:
        print(f"       {done} of {total} files", flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""`verify`: a small path from a certificate file to a verdict, which trusts nothing about how it was made.

1. The text must follow the grammar of `text.py`: its statement and proof are pinned, and there is no
   place for an axiom, an admitted proof or a definition of its own.
2. The theory it names must be the one installed here, by digest.
3. The prover must accept it, and the theorem's axioms must be among the four of Rocq's classical reals.
4. If a graph is given, the certificate's data must be that graph's, tape included.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import time
from pathlib import Path
from typing import Final

from prooftape.certificates.diagnosis import QUESTION, problems
from prooftape.certificates.text import HEAD, STATEMENT, TAIL, Contents, Refusal, data_of, emit, read
from prooftape.certificates.verdict import THEOREMS, Verdict
from prooftape.errors import GraphError, ProverError
from prooftape.errors import found as shown
from prooftape.files import write_atomically
from prooftape.graph import Graph
from prooftape.tape import compile_tape
from prooftape.theory import sources
from prooftape.theory.build import Progress, compiled
from prooftape.theory.prover import HOW_TO_GET, Prover, Run, find_prover

ALLOWED_AXIOMS: Final = frozenset(
    [
        "ClassicalDedekindReals.sig_not_dec",
        "ClassicalDedekindReals.sig_forall_dec",
        "FunctionalExtensionality.functional_extensionality_dep",
        "Classical_Prop.classic",
    ]
)
SECONDS: Final = 600.0
# The proof in `TAIL` is the theory's `certified` applied to `checked`: its axioms are those of these two.
# Listing those of `certified` means reading every proof of the theory, 1.5 s: done once per compiled theory.
_FOOTER: Final = f"Check (certificate : {STATEMENT}).\nPrint Assumptions checked.\n"


def verify(
    path: str | os.PathLike[str],
    graph: Graph | None = None,
    progress: Progress | None = None,
    seconds: float = SECONDS,
) -> Verdict:
    """Check a certificate file. Raises `OSError` if it cannot be read, `ProverError` for a broken prover.

    With a `graph` it must also be about that graph and its tape; without one the verdict is about the data
    in the file, whatever graph its third line names. `progress` is told about compiling the theory, see
    `Session.certify`. `seconds` limits the prover's run on it: a file that takes longer is refused.
    """
    return verify_bytes(Path(path).read_bytes(), graph, progress, Path(path), seconds)


def verify_bytes(
    data: bytes,
    graph: Graph | None = None,
    progress: Progress | None = None,
    path: Path | None = None,
    seconds: float = SECONDS,
) -> Verdict:
    """`verify` for the contents of a file."""
    if graph is not None:
        must_be_graph(graph, "verify")
    try:
        text, contents = read(data)
        _same_theory(contents)
        if graph is not None:
            _same_graph(text, contents, graph)
    except Refusal as e:
        return Verdict("refused", reason=e.reason, line=e.line or None, path=path)
    prover = find_prover()
    if prover is None:
        reason = f"there is no Rocq prover on the path; {HOW_TO_GET}"
        return Verdict("unchecked", nodes=contents.nodes, reason=reason, path=path)
    start = time.perf_counter()
    theory = compiled(prover, progress=progress)
    theory_axioms(prover, theory)
    built = time.perf_counter() - start
    return check_text(prover, theory, text, contents, built, path, seconds)


def check_text(
    prover: Prover,
    theory: Path,
    text: str,
    contents: Contents,
    theory_seconds: float,
    path: Path | None,
    seconds: float = SECONDS,
) -> Verdict:
    """The prover's verdict on a text that `read` accepted."""
    run = run_text(prover, theory, text + _FOOTER, seconds)
    common = {"nodes": contents.nodes, "seconds": run.seconds, "theory_seconds": theory_seconds, "path": path}
    if run.status is None:
        return Verdict("refused", reason=f"the prover gave no answer within {seconds:g} s", **common)  # type: ignore[arg-type]
    if not run.ok:
        reason, node, line = _explain(prover, theory, text, run, seconds)
        return Verdict("refused", reason=reason, node=node, line=line, **common)  # type: ignore[arg-type]
    own = _axioms(run.output)
    axioms = None if own is None else own | theory_axioms(prover, theory)
    if axioms is None or not axioms <= ALLOWED_AXIOMS:
        extra = ", ".join(sorted((axioms or set()) - ALLOWED_AXIOMS)) or "unknown"
        return Verdict("refused", reason=f"the proof rests on {extra}", **common)  # type: ignore[arg-type]
    return Verdict(
        "proved",
        theorems=tuple(THEOREMS),
        statement=STATEMENT,
        assumptions=tuple(sorted(axioms)),
        **common,  # type: ignore[arg-type]
    )


def theory_axioms(prover: Prover, theory: Path) -> frozenset[str]:
    """The axioms that the theorem `certified` rests on; kept beside the compiled theory that was asked."""
    kept = theory / "certified.axioms"
    with contextlib.suppress(OSError, ValueError):
        listed = json.loads(kept.read_bytes())
        if isinstance(listed, list) and all(isinstance(name, str) for name in listed):
            return frozenset(listed)
    run = run_text(prover, theory, HEAD + "Print Assumptions certified.\n")
    found = _axioms(run.output) if run.ok else None
    if found is None:
        _must_load(prover, theory)
        raise ProverError(f"the prover does not say what the theory rests on: {run.errors.strip()[:300]}")
    with contextlib.suppress(OSError):  # a cache that is only readable serves as well, more slowly
        write_atomically(kept, json.dumps(sorted(found)).encode())
    return frozenset(found)


def run_text(prover: Prover, theory: Path, text: str, seconds: float = SECONDS) -> Run:
    """Run the prover on a text against the compiled theory, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="prooftape-") as folder:
        (Path(folder) / "certificate.v").write_text(text)
        flags = ["-Q", str(theory), sources.LOGICAL_NAME]
        return prover.run("coqc", [*flags, "certificate.v"], Path(folder), seconds=seconds)


def must_be_graph(graph: object, what: str) -> None:
    """Raise for a path or a text where a graph is wanted."""
    if not isinstance(graph, Graph):
        raise GraphError(f"{what}: expected a Graph, got {shown(graph)}; Graph.load reads a saved one")


def _same_theory(contents: Contents) -> None:
    here = sources.digest(sources.read())
    if contents.theory != here:
        raise Refusal(
            f"it was made for theory {contents.theory[:16]}…, this installation has {here[:16]}…; "
            "certify the graph again, or verify with the version that made it",
            2,
        )


def _same_graph(text: str, contents: Contents, graph: Graph) -> None:
    if contents.graph != graph.digest():
        raise Refusal(f"it names graph {contents.graph[:16]}…, the given one is {graph.digest()[:16]}…", 3)
    expected = emit(graph, compile_tape(graph), contents.theory)
    if data_of(text) != data_of(expected):
        lines = zip(text.splitlines(), expected.splitlines(), strict=False)
        line = next((i for i, (a, b) in enumerate(lines, 1) if a != b), 0)
        raise Refusal("its data are not those of the given graph", line)


def _axioms(output: str) -> set[str] | None:
    """Names of the axioms in the output of `Print Assumptions`; None when it cannot be read."""
    if "Closed under the global context" in output:
        return set()
    _, found, rest = output.partition("Axioms:\n")
    if not found:
        return None
    # `name : type`, the type perhaps on indented lines; anything else (a fixpoint or a type that was not
    # checked is listed in other words) must not go unnoticed
    entries = re.findall(r"^\S.*(?:\n[ \t]+.*)*", rest, re.MULTILINE)
    named = [re.match(r"([A-Za-z_][\w.']*)\s*:\s", entry) for entry in entries]
    return {n[1] for n in named if n is not None} if entries and all(named) else None


def _explain(
    prover: Prover, theory: Path, text: str, run: Run, seconds: float
) -> tuple[str, int | None, int | None]:
    """(reason, node, line) of a text that the prover does not accept."""
    asked = run_text(prover, theory, text[: text.index(TAIL)] + QUESTION, seconds)
    problem = next(iter(problems(asked.output)), None) if asked.ok else None
    if problem is not None:
        return str(problem), problem.node, None
    if not asked.ok:
        _must_load(prover, theory)
    found = re.search(r"line (\d+), characters [^\n]*\n\s*Error:\s*(.*)", run.errors, re.DOTALL)
    if found is None:
        return f"the prover failed: {run.errors.strip()[:300]}", None, None
    return " ".join(found[2].split())[:300], None, int(found[1])


def _must_load(prover: Prover, theory: Path) -> None:
    """Raise `ProverError` if the theory itself does not load: that is no certificate's fault."""
    run = run_text(prover, theory, HEAD)
    if not run.ok:
        said = " ".join(run.errors.split())[-300:]
        raise ProverError(f"the compiled theory does not load; delete {theory} and try again: {said}")

"""`certify`: from a graph and its tape to a certificate file and a verdict."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

from prooftape.attributes import AttrValue
from prooftape.certificates.text import emit
from prooftape.certificates.verdict import Verdict
from prooftape.certificates.verify import must_be_graph, verify_bytes
from prooftape.files import write_atomically
from prooftape.graph import Graph
from prooftape.op import Call, Op
from prooftape.ops import is_own
from prooftape.tape import Tape, compile_tape
from prooftape.theory import sources
from prooftape.theory.build import Progress
from prooftape.theory.contents import proved_ops


def certify(
    graph: Graph,
    tape: Tape | None = None,
    path: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Write the certificate of a graph and the tape that runs it (default: the compiled one), and check it.

    Without a `path` nothing is kept. The file is written before it is checked, so it is there also when no
    prover is; `prooftape verify FILE` checks it later or elsewhere. Ops that the theory does not know (those
    added with `register`) are refused, the first node named.
    """
    must_be_graph(graph, "certify")
    tape = compile_tape(graph) if tape is None else tape
    problem = _outside_theory(graph, tape)
    if problem is not None:
        return problem
    data = emit(graph, tape, sources.digest(sources.read())).encode("ascii")
    file = None if path is None else Path(path)
    if file is not None:
        write_atomically(file, data)
    return verify_bytes(data, None, progress, file)


def _outside_theory(graph: Graph, tape: Tape) -> Verdict | None:
    known = proved_ops()
    base = len(graph.leaves)
    calls: Iterable[tuple[int, Call]] = (
        *((base + k, n.call) for k, n in enumerate(graph.nodes)),
        *((i.out, i.call) for i in tape.instrs),
    )
    zeros: dict[object, tuple[int, ...]] = {}
    for id, call in calls:
        name = call.op.name
        if name not in known:
            reason = f"node %{id}: {name} is not an op of the theory, which knows {len(known)} ops"
            return Verdict("refused", nodes=len(graph.nodes), reason=reason, node=id)
        if not is_own(call.op):  # its rules are not those the theory speaks of
            reason = f"node %{id}: it runs another op than the {name} of the theory, under the same name"
            return Verdict("refused", nodes=len(graph.nodes), reason=reason, node=id)
        unreal = unreal_attribute(call.op, call.attrs)
        if unreal is not None:
            value = call.attr(unreal)
            reason = f"node %{id}: attribute {unreal} of {name} is {value}, which is no real number"
            return Verdict("refused", nodes=len(graph.nodes), reason=reason, node=id)
        if 0.0 in call.attrs:  # either zero: they compare equal, and a certificate writes them alike
            alike = (name, tuple(map(_unsigned, call.attrs)), call.types, call.nat_sizes)
            signs = tuple(i for i, v in enumerate(call.attrs) if isinstance(v, float) and _minus_zero(v))
            if zeros.setdefault(alike, signs) != signs:
                reason = (
                    f"node %{id}: {name} with a zero of another sign than before, which floats tell apart"
                )
                return Verdict("refused", nodes=len(graph.nodes), reason=reason, node=id)
    return None


def _minus_zero(value: float) -> bool:
    return value == 0 and math.copysign(1, value) < 0


def _unsigned(value: AttrValue) -> object:
    """A number's value, whatever way it is written."""
    return Fraction(value) if isinstance(value, (int, float)) and math.isfinite(value) else value


def unreal_attribute(op: Op, attrs: Sequence[AttrValue]) -> str | None:
    """The name of the first number attribute that is infinite or nan; clamp's -inf and inf mean no bound."""
    for a, value in zip(op.attrs, attrs, strict=True):
        if isinstance(value, float) and not math.isfinite(value):
            no_bound = op.name == "clamp" and value == {"lo": -math.inf, "hi": math.inf}[a.name]
            if not no_bound:
                return a.name
    return None

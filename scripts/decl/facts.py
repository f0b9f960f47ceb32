"""Decl/Table.v: what is proved of every op, collected by name from the files in proofs/Ops.

For the op X those files define `X_def` and `X_side` and prove `X_sized`, `X_saves` and `X_differentiable`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from decl.text import HEAD, wrapped
from prooftape.op import Op

PARTS = ("def", "side", "sized", "saves", "differentiable")
_COMMENT = re.compile(r"\(\*.*?\*\)", re.DOTALL)
_STATED = re.compile(r"\b(?:Definition|Lemma|Theorem|Corollary)\s+(\w+)")

OPENING = """
(** * All ops: definitions and what is proved of each *)
"""
IMPORTS = """From Prooftape.Spec Require Import Op.
From Prooftape.Core Require Import Obligations.
From Prooftape.Decl Require Import Names.
"""


def stated(ops: Sequence[Op], folder: Path) -> dict[str, str]:
    """Where the parts of each op are defined: name -> module. A part must be defined once."""
    wanted = {f"{op.name}_{part}" for op in ops for part in PARTS}
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.v")):
        for match in _STATED.finditer(_COMMENT.sub(" ", path.read_text(encoding="utf-8"))):
            name = match[1]
            if name in wanted and found.setdefault(name, path.stem) != path.stem:
                raise ValueError(f"{name} is defined in {found[name]}.v and in {path.stem}.v")
    return found


def missing(ops: Sequence[Op], where: Mapping[str, str]) -> dict[str, list[str]]:
    """The parts no file states, by op."""
    gaps = {op.name: [p for p in PARTS if f"{op.name}_{p}" not in where] for op in ops}
    return {name: parts for name, parts in gaps.items() if parts}


def _match(ops: Sequence[Op], part: Callable[[Op], str], returns: str = "") -> Iterator[str]:
    yield f"match o{returns} with"
    for op in ops:
        yield f"  | op_{op.name} => {part(op)}"
    yield "  end"


def facts(ops: Sequence[Op], where: Mapping[str, str]) -> str:
    """The whole file; every part of every op must be there."""

    def fact(part: str) -> Callable[[Op], str]:
        return lambda op: f"{where[f'{op.name}_{part}']}.{op.name}_{part}"

    def definition(name: str, kind: str, part: str) -> str:
        return f"Definition {name} (o : opname) : {kind} :=\n  " + "\n".join(_match(ops, fact(part))) + ".\n"

    def theorem(name: str, statement: str, part: str) -> str:
        term = "\n".join(_match(ops, fact(part), f" return {statement}"))
        return f"Theorem {name} (o : opname) : {statement}.\nProof.\n  exact (\n  {term}).\nQed.\n"

    modules = sorted({where[f"{op.name}_{part}"] for op in ops for part in PARTS})
    return "\n".join(
        (
            HEAD + OPENING + IMPORTS + f"From Prooftape.Ops Require\n{wrapped(modules)}.\n",
            definition("def_of", "opdef", "def"),
            definition("side_of", "side_cond", "side"),
            theorem("all_sized", "well_sized (decl_of o) (def_of o)", "sized"),
            theorem("all_saves", "saves_enough (decl_of o) (def_of o)", "saves"),
            theorem("all_differentiable", "side_enough (decl_of o) (def_of o) (side_of o)", "differentiable"),
        )
    )

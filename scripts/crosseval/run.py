"""Cases to the prover and back: write a file, let Rocq compute, read which cases differ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from prooftape.certificates.verify import run_text
from prooftape.theory.prover import Prover, ProverError

_HEAD = """\
From Coq Require Import List NArith ZArith QArith Floats.
From Prooftape.Spec Require Import Scalar Graph Tape Op.
From Prooftape.Eval Require Import {module} Cases.
From Prooftape.Decl Require Import Names Table.
Import ListNotations.
Open Scope N_scope.
Set Printing Depth 1000000.
Notation one_case := (Case opname {num}).
Notation one_trace := (Trace opname {num}).
"""
NUMBERS = {
    "rational": ("RationalNum", "Qn", "Qeq_bool"),
    "polynomial": ("PolynomialNum", "Pn", "poly_eqb"),
    "float": ("FloatNum", "Fn64", "same_bits"),
}
CHUNK = 60


@dataclass(frozen=True, slots=True)
class Fault:
    """A case where Rocq and Python differ, and in what."""

    index: int
    what: tuple[str, ...]


def faults(
    prover: Prover, theory: Path, terms: Sequence[str], number: str, *, kind: str = "case", jobs: int = 2
) -> list[Fault]:
    """Which of these cases Rocq finds faulty. Raises `ProverError` if a file is not even well-typed."""
    chunks = [(i, terms[i : i + CHUNK]) for i in range(0, len(terms), CHUNK)]
    with ThreadPoolExecutor(jobs) as pool:
        found = pool.map(lambda c: _chunk(prover, theory, c[0], c[1], number, kind), chunks)
        return [f for faults in found for f in faults]


def wrong_types(prover: Prover, theory: Path, terms: Sequence[str], *, jobs: int = 2) -> list[int]:
    """Which of these uses (see shapes.py) get another type from Rocq than from Python."""
    size = 2000
    chunks = [(i, terms[i : i + size]) for i in range(0, len(terms), size)]
    with ThreadPoolExecutor(jobs) as pool:
        found = pool.map(lambda c: _types_chunk(prover, theory, c[0], c[1]), chunks)
        return [i for wrong in found for i in wrong]


def _types_chunk(prover: Prover, theory: Path, first: int, terms: Sequence[str]) -> list[int]:
    body = ";\n".join(terms)
    text = f"""\
{_HEAD.format(module="RationalNum", num="Qn")}
Definition use o attrs tys nats (t : option ty) : bool :=
  match infer (decl_of o) (def_of o) attrs tys nats, t with
  | None, None => true
  | Some a, Some b => same_type a b
  | _, _ => false
  end.
Definition uses : list bool := [
{body}].
Eval vm_compute in (map (fun p => N.of_nat (fst p))
  (filter (fun p => negb (snd p)) (combine (seq 0 {len(terms)}) uses))).
"""
    run = run_text(prover, theory, text)
    if not run.ok:
        line = re.search(r"line (\d+)", run.errors)
        at = int(line[1]) - len(text[: text.index(body)].splitlines()) - 1 if line else -1
        which = terms[at][:300] if 0 <= at < len(terms) else ""
        raise ProverError(f"use {first + at}: {run.errors.strip()[:500]}\n{which}")
    listed = re.fullmatch(r"\s*= \[([\d;\s]*)\]\s*: list N\s*", run.output)
    if listed is None:
        raise ProverError(f"cannot read the prover's answer: {run.output[:500]}")
    return [first + int(i) for i in re.findall(r"\d+", listed[1])]


def _chunk(
    prover: Prover, theory: Path, first: int, terms: Sequence[str], number: str, kind: str
) -> list[Fault]:
    module, num, same = NUMBERS[number]
    lines = _HEAD.format(module=module, num=num).splitlines()
    before = len(lines)
    lines += [f"Definition k{i} : {kind} opname {num} := {t}." for i, t in enumerate(terms)]
    names = ";".join(f"k{i}" for i in range(len(terms)))
    lines += [f"Eval vm_compute in (report ({kind}_faults opname decl_of def_of {num} {same}) [{names}])."]
    run = run_text(prover, theory, "\n".join(lines) + "\n")
    if not run.ok:
        line = re.search(r"line (\d+)", run.errors)
        at = int(line[1]) - before - 1 if line else -1
        which = terms[at][:300] if 0 <= at < len(terms) else ""
        raise ProverError(f"case {first + at}: {run.errors.strip()[:500]}\n{which}")
    return [Fault(first + i, what) for i, what in _read(run.output)]


_ENTRY = re.compile(r"\(\s*(\d+),\s*\[([\w;\s]*)\]\)")


def _read(output: str) -> list[tuple[int, tuple[str, ...]]]:
    """`= [(3, [WrongJvp; WrongVjp])] : list …` as data, broken into lines anywhere; all of it or an error."""
    found = [(int(i), tuple(what.replace(";", " ").split())) for i, what in _ENTRY.findall(output)]
    if re.fullmatch(r"=\[;*\]:list.*", "".join(_ENTRY.sub("", output).split())) is None:
        raise ProverError(f"cannot read the prover's answer: {output[:500]}")
    return found

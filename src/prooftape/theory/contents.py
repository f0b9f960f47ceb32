"""What the theory proves: its public theorems, and what it says of each op. Read from what Rocq printed.

`contents.json` is written by scripts/export_theory.py from the answers of the prover (`Check`, `Print
Assumptions`, `Print`) and compared with them by `make proofs`; nothing in it is typed by hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from prooftape.errors import ProverError, UnknownTheoremError
from prooftape.op import Op
from prooftape.ops import is_own
from prooftape.theory import sources

if TYPE_CHECKING:
    from prooftape.theory.build import Progress

FILE = Path(__file__).with_name("contents.json")


@dataclass(frozen=True, slots=True)
class Theorem:
    """One public theorem: name, one-line meaning, file, statement as Rocq prints it, axioms, level."""

    name: str
    meaning: str
    file: str
    statement: str
    assumptions: tuple[str, ...]
    level: Literal["proved"] = "proved"

    def verify(self) -> bool:
        """Ask the prover again: True if it still proves this statement from these axioms."""
        return verify_theorems([self])[self.name]

    def __str__(self) -> str:
        return f"{self.name}: {self.meaning}"


@dataclass(frozen=True, slots=True)
class OpFacts:
    """What the theory says of one op.

    side: the condition under which its JVP is the derivative, as Rocq prints it. everywhere: there is none.
    never: the op has no derivative by definition (detach). spec: theorem with its textbook formula, or "".
    """

    name: str
    file: str
    side: str
    everywhere: bool
    never: bool
    spec: str


class Theorems(Sequence[Theorem]):
    """All public theorems, in order; also by name: `theorems["link"]`."""

    @overload
    def __getitem__(self, key: int | str) -> Theorem: ...
    @overload
    def __getitem__(self, key: slice) -> list[Theorem]: ...
    def __getitem__(self, key: int | str | slice) -> Theorem | list[Theorem]:
        if isinstance(key, str):
            try:
                return _by_name()[key]
            except KeyError:
                raise UnknownTheoremError(_unknown(key)) from None
        return list(_theorems())[key] if isinstance(key, slice) else _theorems()[key]

    def __len__(self) -> int:
        return len(_theorems())

    def __iter__(self) -> Iterator[Theorem]:
        return iter(_theorems())

    def verify(self, progress: Progress | None = None) -> dict[str, bool]:
        """Ask the prover for every statement and its axioms again; raises `ProverError` without a prover.

        By name whether it still proves it: `all(theorems.verify().values())`. Takes half a minute.
        """
        return verify_theorems(list(self), progress)

    def __contains__(self, key: object) -> bool:
        return key in _by_name() if isinstance(key, str) else key in _theorems()

    def __str__(self) -> str:
        return "\n".join(map(str, self))

    def __repr__(self) -> str:
        return f"<{len(self)} theorems: {', '.join(t.name for t in self)}>"


theorems = Theorems()


def verify_theorems(chosen: Sequence[Theorem], progress: Progress | None = None) -> dict[str, bool]:
    """Which of these theorems the installed theory proves, as stated and from the stated axioms."""
    # asking is rare and reading the table is not: what starts the prover is loaded here
    from prooftape.theory.build import compiled
    from prooftape.theory.prover import HOW_TO_GET, find_prover
    from prooftape.theory.questions import assumptions_of, statements_of

    prover = find_prover()
    if prover is None:
        raise ProverError(f"there is no Rocq prover on the path; {HOW_TO_GET}")
    theory = compiled(prover, progress=progress)
    names = [t.name for t in chosen]
    statements = statements_of(prover, theory, names)
    axioms = assumptions_of(prover, theory, names)
    return {t.name: statements[t.name] == t.statement and axioms[t.name] == t.assumptions for t in chosen}


@cache
def _contents() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


@cache
def _theorems() -> tuple[Theorem, ...]:
    return tuple(Theorem(**{**t, "assumptions": tuple(t["assumptions"])}) for t in _contents()["theorems"])


@cache
def _by_name() -> dict[str, Theorem]:
    return {t.name: t for t in _theorems()}


def _unknown(name: str) -> str:
    close = get_close_matches(name, _by_name(), n=2)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return f"theorems: none is called {name!r}; {hint}there are: {', '.join(_by_name())}"


@cache
def op_facts() -> dict[str, OpFacts]:
    """What the theory says of each op it knows, by name."""
    return {o["name"]: OpFacts(**o) for o in _contents()["ops"]}


def facts_of(op: Op) -> OpFacts | None:
    """What the theory says of this very record; None for one that only has the name of a proved op."""
    return op_facts().get(op.name) if is_own(op) else None


def proved_ops() -> frozenset[str]:
    """The names of the ops of the theory."""
    return frozenset(op_facts())


def matches_sources() -> bool:
    """Whether `contents.json` was printed from the sources installed here."""
    digest: str = _contents()["theory"]
    return digest == sources.digest(sources.read())

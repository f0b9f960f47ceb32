"""What checking a certificate gave, as a typed result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Outcome = Literal["proved", "refused", "unchecked"]

THEOREMS: Final = {
    "Linked": "the tape's loops are the graph's eval and backprop, for any numbers and kernels, bit for bit",
    "Adjoint": "reverse mode is the transpose of forward mode, over every commutative semiring",
    "Derivative": "over the reals, JVPs and gradients are derivatives, where the ops' side conditions hold",
}
"""The three parts of what a certificate states, by their names in Spec/Statements.v."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`proved`, `refused` or `unchecked`, and why.

    outcome: `proved`: the prover accepted the pinned theorem about this very graph and tape.
        `refused`: it is not a certificate, or the theorem does not hold; `reason` says where.
        `unchecked`: there is no prover here; `reason` says how to get one.
    nodes: nodes of the graph (0 if unknown). theorems: names of what was proved.
    statement: the Rocq statement. assumptions: the axioms it rests on.
    seconds: time of the check; `theory_seconds`: time until the compiled theory was there, next to 0 when it
        was in the cache.
    node: context id of the first bad node or instruction, if it is known. line: of the file, likewise.
    """

    outcome: Outcome
    nodes: int = 0
    theorems: tuple[str, ...] = ()
    statement: str = ""
    assumptions: tuple[str, ...] = ()
    seconds: float = 0.0
    theory_seconds: float = 0.0
    reason: str = ""
    node: int | None = None
    line: int | None = None
    path: Path | None = None

    @property
    def proved(self) -> bool:
        """Whether the theorem was proved."""
        return self.outcome == "proved"

    def __bool__(self) -> bool:
        """`proved`: `assert s.certify(loss)` must not pass on a refusal."""
        return self.proved

    def __str__(self) -> str:
        what = f"{self.nodes} node{'' if self.nodes == 1 else 's'}"
        if self.proved:
            return f"proved: {what}, {', '.join(self.theorems)}, {self.seconds:.1f} s"
        at = f"line {self.line}: " if self.line else ""
        return f"{self.outcome}: {at}{self.reason}"

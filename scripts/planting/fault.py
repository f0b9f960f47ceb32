"""What a planted fault is: a change of one op's Python record, or of one line of the theory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from prooftape.op import Op

KINDS: Final = ("VJP", "JVP", "save list", "shape rule", "slope", "domain", "program")
"""`slope`: the local derivative of both modes. `program`: what the theory computes, all of it at once."""
GATES: Final = ("Decl", "Rocq build", "cross-evaluation", "shape rules")
"""`make_decl.py --check`; the proofs in proofs/Ops; results compared; types compared on a grid."""


@dataclass(frozen=True, slots=True)
class RecordFault:
    """The op's Python record, changed."""

    family: str
    kind: str
    op: str
    what: str
    change: Callable[[Op], Op]

    side = "Python"


@dataclass(frozen=True, slots=True)
class TextFault:
    """One place of one file of proofs/, changed."""

    family: str
    kind: str
    op: str
    what: str
    file: str
    old: str
    new: str

    side = "Rocq"

    def changed(self, text: str) -> str:
        """The file with the fault in it. Raises `ValueError` when the place is not there, or there twice."""
        if text.count(self.old) != 1:
            raise ValueError(
                f"{self.file}: {text.count(self.old)} places read {self.old!r}: update this fault"
            )
        return text.replace(self.old, self.new)


Fault = RecordFault | TextFault


@dataclass(frozen=True, slots=True)
class Red:
    """A gate that went red, and the first line of what it said."""

    gate: str
    said: str

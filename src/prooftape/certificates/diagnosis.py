"""What the checker says is wrong with a graph and its tape, in words.

`diagnose` in proofs/Certificates/Check.v gives the first problem; this module asks for it and reads it.
Nothing here decides whether a certificate is accepted: a misread answer is a worse message, no more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

QUESTION: Final = """\
Set Printing Depth 1000000.
Set Printing Width 1000.
Eval vm_compute in (diagnose leaves graph tape).
"""
"""The command to put after the data of a certificate."""


@dataclass(frozen=True, slots=True)
class Problem:
    """The first bad node (by context id; of the node or of its instruction), and what is wrong."""

    node: int
    words: str

    def __str__(self) -> str:
        return f"node %{self.node}: {self.words}"


_ANSWER: Final = re.compile(r"= (None|Some\b.*?)\s*: option \S*problem", re.DOTALL)
_AT: Final = re.compile(r"Some \(At (\d+) \(?(.*?)\)?\)")
_TYPE: Final = re.compile(r"\{\|\s*t_dtype := (\w+);\s*t_shape := \[([^\]]*)\]\s*\|\}")
_WORDS: Final = {
    "UnknownSlot": "operand {0} is slot %{1}, which is no earlier slot",
    "OperandType": "operand {0} is slot %{1} of type {2}, but its call is typed with {3}",
    "OperandCount": "the number of operands is {0}, but its call is typed with {1}",
    "IndexVectorCount": "the number of index vectors is {0}, but its call is typed with {1}",
    "CallRefused": "the op's rule refuses these attributes, operand types or index lengths",
    "ResultType": "its call says the result is {0}, but the op's rule gives {1}",
    "InstrCall": "the instruction runs another call than the node",
    "InstrOut": "the instruction writes slot %{0} instead of %{1}",
    "InstrArgs": "the instruction reads operands {0}, but the node's are {1}",
    "InstrSaves": "the instruction saves slots {0}, but the op's backward rule reads {1}",
    "InstrNats": "the instruction reads index vectors (start, length) {0}, but the node's are {1}",
    "MissingInstr": "its instruction is missing from the tape",
    "ExtraInstr": "the tape has an instruction that belongs to no node",
}


def problems(output: str) -> list[Problem | None]:
    """The prover's answers to `QUESTION`, in order; None where nothing is wrong."""
    return [_read(answer[1]) for answer in _ANSWER.finditer(output)]


def _read(answer: str) -> Problem | None:
    text = " ".join(answer.replace("Check.", "").split())
    found = _AT.fullmatch(text)
    return None if found is None else Problem(int(found[1]), in_words(found[2]))


def in_words(reason: str) -> str:
    """A value of Rocq's type `reason`, such as `UnknownSlot 1 77`, as a clause."""
    typed = _TYPE.sub(lambda t: f"{_DTYPES.get(t[1], t[1])}[{t[2].replace('; ', ',')}]", reason)
    name, *arguments = re.sub(r"([;,]) ", r"\1", typed).replace(";", ",").split(" ")
    template = _WORDS.get(name)
    try:
        return reason if template is None else template.format(*arguments)
    except IndexError:
        return reason


_DTYPES: Final = {"Real": "real", "Mask": "bool"}

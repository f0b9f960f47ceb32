"""How the texts that are no certificate are made: by edits of a right one.

What is edited is found by content, so that no case depends on where the right certificate has it.
"""

from __future__ import annotations

from dataclasses import dataclass

from certified_graph import certificate

RIGHT = certificate()
LINES = RIGHT.splitlines()
LEMMA = "Lemma checked : check leaves graph tape = true."
COMPUTE = "Proof. vm_compute. reflexivity. Qed."
THEOREM = "Theorem certificate : Certified leaves graph tape."
APPLY = "Proof. exact (certified leaves graph tape checked). Qed."
PROOF = "the statement and its proof"
PREAMBLE = "the preamble"
NODE, INSTR = "Node c1 [3;0] [];", "Instr c1 4 [3;0] [] [];"
CALL = next(line for line in LINES if line.startswith("Definition c1 "))
CLAMP = next(line for line in LINES if "op_clamp" in line)
LAST_NODE = next(line for line in LINES if line.startswith("Node c8"))
LEAVES = next(line for line in LINES if line.startswith("Definition leaves"))
A_CALL = "the definition of a call"


def not_ascii(byte: int) -> str:
    """The reason to refuse a byte: a letter from elsewhere, or one that moves what is seen."""
    if byte < 128:
        return f"byte 0x{byte:02x} is a control character: the only one there may be is the line feed, 0x0a"
    return f"byte 0x{byte:02x} is not plain ASCII text: look-alike letters are refused"


@dataclass(frozen=True, slots=True)
class BadText:
    """One text that must be refused: its bytes, the line (None: the file as a whole) and the reason."""

    name: str
    data: bytes
    line: int | None
    reason: str


def line_of(text: str, line: str) -> int:
    return text.split("\n").index(line) + 1


def pinned(kind: str, name: str, what: str, old: str, new: str) -> BadText:
    """A line that never changes, changed."""
    text = RIGHT.replace(old + "\n", new + "\n", 1)
    first = new.split("\n")[0]
    reason = f"{what} must read {old!r}, found {first[:80]!r}"
    return BadText(f"{kind}: {name}", text.encode(), line_of(RIGHT, old), reason)


def inserted(kind: str, name: str, new: str, before: str, expected: str) -> BadText:
    """A line of its own before another; `expected` is what stands in the message."""
    text = RIGHT.replace(before + "\n", f"{new}\n{before}\n", 1)
    return BadText(
        f"{kind}: {name}", text.encode(), line_of(RIGHT, before), f"{expected}, found {new[:80]!r}"
    )


def edited(kind: str, name: str, what: str, line: str, old: str, new: str) -> BadText:
    """A line of data, edited so that it is none."""
    assert old in line, name
    wrong = line.replace(old, new, 1)
    text = RIGHT.replace(line + "\n", wrong + "\n", 1)
    return BadText(
        f"{kind}: {name}", text.encode(), line_of(RIGHT, line), f"expected {what}, found {wrong[:80]!r}"
    )


def node(kind: str, name: str, old: str, new: str) -> BadText:
    """The second node, edited."""
    return edited(kind, name, "node", NODE, old, new)

"""Faults on the Rocq side: one place of one file of proofs/ replaced; listed in theory_faults.txt."""

from __future__ import annotations

from pathlib import Path

from planting.fault import KINDS, TextFault

LIST = Path(__file__).with_name("theory_faults.txt")


def text_faults(listed: Path = LIST) -> list[TextFault]:
    """All faults on the Rocq side."""
    blocks = listed.read_text(encoding="utf-8").split("\n\n")
    return [_fault(block) for block in blocks if not block.startswith("#") and block.strip()]


def _fault(block: str) -> TextFault:
    head, *lines = block.strip("\n").split("\n")
    file, family, kind, op, what = (part.strip() for part in head.split("|"))
    old = "\n".join(line[2:] for line in lines if line.startswith("- "))
    new = "\n".join(line[2:] for line in lines if line.startswith("+ "))
    if kind not in KINDS or not old or not new or len(old.split("\n") + new.split("\n")) != len(lines):
        raise ValueError(f"{LIST.name}: cannot read this block:\n{block}")
    return TextFault(family, kind, op, what, file, old, new)

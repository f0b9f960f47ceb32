"""What a lowering is: other rules for some calls of an op, with the meaning that the op's record gives.

A rule given here replaces the op's own; a rule left out (None) stays the op's own. Signatures are those of
`prooftape.op.Op`. In the strict program (`xp.strict`) no lowering is used: there the absorbing zero decides,
entry by entry, what a shortcut through a library's convolution or product cannot see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from prooftape.op import Call

Rule = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Lowering:
    """Other rules for the calls of `ops` that `applies` accepts."""

    name: str
    ops: tuple[str, ...]
    doc: str
    applies: Callable[[Call], bool] = lambda call: True
    forward: Rule | None = None
    vjp: Rule | None = None
    jvp: Rule | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """The three rules the engine runs for one call, and the lowering they are from (None: the op's own)."""

    forward: Rule
    vjp: Rule
    jvp: Rule
    lowering: str | None = None


def _unless_strict(lowered: Rule | None, plain: Rule) -> Rule:
    if lowered is None:
        return plain

    def rule(xp: Any, *arguments: Any) -> Any:
        return (plain if xp.strict else lowered)(xp, *arguments)

    return rule


def rules_of(call: Call, lowering: Lowering | None) -> Rules:
    """The op's own rules, replaced where the lowering has another."""
    op = call.op
    if lowering is None:
        return Rules(op.forward, op.vjp, op.jvp)
    return Rules(
        _unless_strict(lowering.forward, op.forward),
        _unless_strict(lowering.vjp, op.vjp),
        _unless_strict(lowering.jvp, op.jvp),
        lowering.name,
    )

"""Lowerings: faster rules for the ops on which XLA's default code is slow, chosen call by call.

The meaning of an op stays in its record. A lowering is another way to compute it: exactly equal where the op
is sums, products and selections of numbers that are exact (tested on integers), within rounding elsewhere.
Each can be switched off by name; switched off, the op's own rules are traced.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from prooftape.errors import AttributeValueError, ValueTypeError
from prooftape.graph import Node
from prooftape.op import Call
from prooftape.xla.lowerings import attention, chains, convolution, linear, losses, norms, pooling, softmax
from prooftape.xla.lowerings.lowering import Lowering, Rules, rules_of

_MODULES = (convolution, pooling, linear, attention, norms, softmax, losses)
ALL: tuple[Lowering, ...] = tuple(lowering for module in _MODULES for lowering in module.LOWERINGS)
_BY_OP: dict[str, tuple[Lowering, ...]] = {
    op: tuple(x for x in ALL if op in x.ops) for op in {op for x in ALL for op in x.ops}
}


def names() -> tuple[str, ...]:
    """The names of all lowerings."""
    return (*(x.name for x in ALL), *chains.NAMES)


def enabled(choice: bool | Collection[str]) -> frozenset[str]:
    """What `Session(lowerings=…)` was given, as a set of names: True all, False none, or names."""
    if isinstance(choice, bool):
        return frozenset(names()) if choice else frozenset()
    given = [choice] if isinstance(choice, str) else choice
    if not isinstance(given, Collection) or not all(isinstance(name, str) for name in given):
        raise ValueTypeError(f"lowerings: expected True, False or names, got {choice!r}")
    chosen = set(given)
    unknown = sorted(chosen - set(names()), key=str)
    if unknown:
        raise AttributeValueError(
            f"lowerings: {', '.join(map(repr, unknown))} is not among the lowerings. "
            f"Pass True, False or names out of: {', '.join(names())}"
        )
    return frozenset(chosen)


def choose(call: Call, on: frozenset[str]) -> Rules:
    """The rules to trace for this call: the first lowering that is on and applies, or the op's own."""
    for lowering in _BY_OP.get(call.op.name, ()):
        if lowering.name in on and lowering.applies(call):
            return rules_of(call, lowering)
    return rules_of(call, None)


def chains_of(
    nodes: Sequence[Node], base: int, on: frozenset[str], asked: Collection[int]
) -> list[chains.Chain]:
    """What is traced as one instruction in a program that hands out what is `asked` for."""
    return chains.find(nodes, base, on, asked, lambda call: choose(call, on).lowering)


__all__ = ["ALL", "Lowering", "Rules", "chains_of", "choose", "enabled", "names"]

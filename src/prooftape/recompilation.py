"""Telling the user, once, that the same code is compiled again and again, and why.

A program is compiled for one structure: shapes, ops, attributes. A loop whose structure keeps changing (a
last batch of its own size, sequences of every length, a number that should have been an array) compiles
instead of computing. `Recompilations` counts; the reason is the first difference between the last two.
"""

from __future__ import annotations

import sys
import warnings
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Final

from prooftape.attributes import format_attr
from prooftape.graph import Node
from prooftape.types import TensorType

LIMIT: Final = 8
"""So many structures may be compiled within the last `WINDOW` steps before it is worth a warning."""
WINDOW: Final = 50
_PACKAGE: Final = __name__.partition(".")[0]


class RecompilationWarning(UserWarning):
    """A step was compiled for many different structures within few steps; the message says what changed."""


class Recompilations:
    """What one caller has compiled lately. Count `steps` up at every step."""

    __slots__ = ("_made", "steps", "warned", "what")

    def __init__(self, what: str) -> None:
        self.what = what
        self.steps = 0
        self.warned = False
        self._made: deque[tuple[int, Hashable]] = deque()

    def compiled(self, structure: Hashable, reason: Callable[[], str]) -> None:
        """A program for `structure` was compiled in this step; `reason` says how it differs from the last."""
        self._made.append((self.steps, structure))
        while self._made[0][0] <= self.steps - WINDOW:
            self._made.popleft()
        n = len({made for _, made in self._made})
        if n <= LIMIT or self.warned:
            return
        self.warned = True
        self._made.clear()
        message = (
            f"{self.what} was compiled for {n} different structures within the last {WINDOW} steps; the last "
            f"time because {reason()}. Every structure is compiled once: pad to a few fixed sizes, and pass "
            "as an array what changes from step to step"
        )
        warnings.warn(message, RecompilationWarning, stacklevel=_outside())


def _outside() -> int:
    """The stack level, seen from the caller, of the innermost frame that is not in this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE and frame.f_back is not None:
        level, frame = level + 1, frame.f_back
    return level


def graphs_difference(
    old: tuple[Sequence[TensorType], Sequence[Node]],
    new: tuple[Sequence[TensorType], Sequence[Node]],
    names: Sequence[str | None] = (),
) -> str:
    """The first difference of two recordings (leaf types, nodes), as a clause. `names`: of the new leaves."""
    (old_leaves, old_nodes), (new_leaves, new_nodes) = old, new
    if len(old_leaves) != len(new_leaves):
        return f"the number of leaves changed, {len(old_leaves)} -> {len(new_leaves)}"
    for i, (a, b) in enumerate(zip(old_leaves, new_leaves, strict=True)):
        if a is not b:
            name = names[i] if i < len(names) and names[i] else f"%{i}"
            if a.dtype != b.dtype:
                return f"leaf {name} changed from {a.dtype} to {b.dtype}"
            return f"leaf {name} changed shape, {a.shape} -> {b.shape}"
    base = len(old_leaves)
    for k, (p, q) in enumerate(zip(old_nodes, new_nodes, strict=False), base):
        if p.call is q.call and p.args == q.args and p.nats == q.nats:
            continue
        return _nodes_difference(k, p, q)
    if len(old_nodes) != len(new_nodes):
        return f"the number of ops changed, {len(old_nodes)} -> {len(new_nodes)}"
    return "other results were asked for"


def _nodes_difference(id: int, p: Node, q: Node) -> str:
    if p.op != q.op:
        return f"op %{id} changed, {p.op} -> {q.op}"
    for attr, a, b in zip(p.call.op.attrs, p.call.attrs, q.call.attrs, strict=True):
        if format_attr(a) != format_attr(b):
            return f"attribute {attr.name} of {p.op} (%{id}) changed, {_short(a)} -> {_short(b)}"
    if p.call.nat_sizes != q.call.nat_sizes:
        return f"the number of indices of {p.op} (%{id}) changed, {p.call.nat_sizes} -> {q.call.nat_sizes}"
    if p.args != q.args or p.nats != q.nats:
        return f"the operands of {p.op} (%{id}) changed, {p.args} -> {q.args}"
    return f"{p.op} (%{id}) changed its types, {p.call.out} -> {q.call.out}"


def _short(value: object) -> str:
    text = format_attr(value)  # type: ignore[arg-type]
    return text if len(text) <= 40 else text[:37] + "..."

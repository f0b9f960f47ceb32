"""Chains of instructions that are traced as one, because what lies between them is nobody's business.

A chain replaces its last instruction; the others stay in the tape and are left out, since nothing asks for
their results. So it is chosen per program: a result that the program hands out, or a cotangent it is asked
for, stays a slot of its own. In the strict program, and for tangents, every instruction runs by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from prooftape.graph import Node
from prooftape.op import Call, Op
from prooftape.tape import Instr
from prooftape.xla.lowerings import relu_pool

NAMES: Final = ("relu_pool",)
POOLS: Final = ("max_pool", "max_pool2d")

Arr = Any


class Chain(NamedTuple):
    """Instructions from the context ids `inner`, and a last one, as one instruction."""

    name: str
    inner: tuple[int, ...]
    instr: Instr


def find(
    nodes: Sequence[Node], base: int, on: frozenset[str], asked: Collection[int], lowered: Callable[..., Any]
) -> list[Chain]:
    """The chains among these nodes of which nothing in between is `asked` for.

    lowered(call): the name of the lowering of a call by itself.
    """
    if "relu_pool" not in on or not any(node.call.op.name in POOLS for node in nodes):
        return []
    readers = Counter(a for node in nodes for a in node.args)
    images = {a for node in nodes if node.call.op.name != "reshape" for a in node.args}

    def hidden(id: int, *ops: str) -> bool:
        """Whether this entry is a result of one of these ops that one instruction alone reads."""
        return id >= base and nodes[id - base].call.op.name in ops and readers[id] == 1 and id not in asked

    found = []
    for k, (pool, (at,), _) in ((k, n) for k, n in enumerate(nodes, base) if n.call.op.name in POOLS):
        if not hidden(at, "relu") or lowered(pool) != "max_pool":
            continue
        relu, (before,), _ = nodes[at - base]
        flat = k not in images
        if hidden(before, "conv", "conv2d"):
            conv, args, _ = nodes[before - base]
            if lowered(conv) == "conv" and relu_pool.joins(conv, pool):
                call = _as_one((conv, relu, pool), flat, relu_pool.conv_forward, relu_pool.conv_vjp)
                found.append(Chain("relu_pool", (before, at), Instr(call, k, args, (*args, k), ())))
                continue
        call = _as_one((relu, pool), flat, relu_pool.forward, relu_pool.vjp)
        found.append(Chain("relu_pool", (at,), Instr(call, k, (before,), (before, k), ())))
    return found


def _as_one(
    calls: tuple[Call, ...], flat: bool, forward: Callable[..., Any], vjp: Callable[..., Any]
) -> Call:
    """One call, from the operands of the first to the result of the last; it saves both."""

    def run(xp: Any, _: Call, *operands: Arr) -> Arr:
        return _values(xp, calls, operands)[-1] if xp.strict else forward(xp, calls, flat, *operands)

    def back(
        xp: Any, _: Call, saved: Sequence[Arr], ct: Arr, wanted: Sequence[bool]
    ) -> tuple[Arr | None, ...]:
        if not xp.strict:
            return vjp(xp, calls, saved, ct, wanted)  # type: ignore[no-any-return]
        return _one_by_one(xp, calls, saved[:-1], ct, wanted)

    first, last = calls[0], calls[-1]
    op: Op = replace(last.op, forward=run, vjp=back, jvp=_never, _calls={})
    one = object.__new__(Call)
    for name in Call.__slots__:
        object.__setattr__(one, name, getattr(last, name))
    places = tuple(range(len(first.types) + 1))
    for name, value in (("op", op), ("types", first.types), ("shapes", first.shapes), ("saved", places)):
        object.__setattr__(one, name, value)
    return one


def _never(*_: object) -> None:
    raise AssertionError("tangents run one instruction at a time")


def _values(xp: Any, calls: Sequence[Call], operands: Sequence[Arr]) -> list[Arr]:
    """The results, by the ops' own rules; each but the first reads the one before."""
    found: list[Arr] = []
    for call in calls:
        given = [found[-1]] if found else operands
        found.append(call.op.forward(xp, call, *given))
    return found


def _one_by_one(
    xp: Any, calls: Sequence[Call], operands: Sequence[Arr], ct: Arr, wanted: Sequence[bool]
) -> tuple[Arr | None, ...]:
    """The cotangents, by the ops' own rules."""
    values = _values(xp, calls, operands)
    for k in range(len(calls) - 1, -1, -1):
        entries = [*([values[k - 1]] if k else operands), values[k]]
        saved = [entries[p] for p in calls[k].saved]
        parts = calls[k].op.vjp(xp, calls[k], saved, ct, (True,) if k else wanted)
        if k:
            (ct,) = parts
    return parts  # type: ignore[no-any-return]

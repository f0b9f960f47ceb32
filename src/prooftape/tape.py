"""The tape: what the runtime executes. Plain data, compiled from a graph, run by two short loops.

An instruction is a kernel name with operand slots and saved slots (the primal values its VJP reads); slots
are context ids. Nothing in a tape is a closure, so it can be printed into a certificate or run by a native
executor. `backward_dense_from` is the loop the link theorem is about; it shares no code with semantics.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from prooftape.attributes import format_attr
from prooftape.errors import ScalarError
from prooftape.graph import Graph, Node, Prefix
from prooftape.op import Call
from prooftape.semantics import ReadNats
from prooftape.types import REAL
from prooftape.vocabulary import A, Vocabulary


class Instr(NamedTuple):
    """Run `call` on the `args` slots into slot `out`; its VJP reads the `saves` slots."""

    call: Call
    out: int
    args: tuple[int, ...]
    saves: tuple[int, ...]
    nats: tuple[tuple[int, int], ...]

    @property
    def kernel(self) -> str:
        """Kernel name: the op's name."""
        return self.call.op.name


class Tape:
    """Instructions over numbered slots; slots below `n_leaves` hold the leaves."""

    __slots__ = ("instrs", "n_leaves")

    def __init__(self, n_leaves: int, instrs: Sequence[Instr]) -> None:
        self.n_leaves = n_leaves
        self.instrs = instrs

    def __len__(self) -> int:
        """Number of slots."""
        return self.n_leaves + len(self.instrs)

    def lines(self) -> Iterator[str]:
        """One line per instruction: out, kernel, operand slots, attributes, nat slots, saved slots."""
        for i in self.instrs:
            attrs = " ".join(
                f"{a.name}={format_attr(v)}" for a, v in zip(i.call.op.attrs, i.call.attrs, strict=True)
            )
            parts = [f"{i.out} <- {i.kernel} {list(i.args)}", attrs]
            parts += [f"nats {list(i.nats)}"] if i.nats else []
            parts += [f"saves {list(i.saves)}"] if i.saves else []
            yield " ".join(p for p in parts if p)

    def __str__(self) -> str:
        return "\n".join(
            [f"tape of {len(self.instrs)} instructions over {self.n_leaves} leaves", *self.lines()]
        )


_new_tuple = tuple.__new__  # what Instr(...) does, without its wrapper: one call per node and step


def compile_node(node: Node, out: int) -> Instr:
    """The instruction of one node whose context id is `out`."""
    call, args, nats = node
    entries = (*args, out)
    saves = tuple([entries[p] for p in call.saved])
    slots = tuple(zip(nats, call.nat_sizes, strict=True)) if nats else ()
    return _new_tuple(Instr, (call, out, args, saves, slots))


def compile_tape(graph: Graph) -> Tape:
    """Graph to tape, one instruction per node, in order."""
    n = len(graph.leaves)
    return Tape(n, Prefix([compile_node(node, n + k) for k, node in enumerate(graph.nodes)]))


def ancestors(instrs: Sequence[Instr], n_leaves: int, slot: int, first: int) -> set[int]:
    """The slots from `first` on that `slot` depends on, itself included."""
    found, todo = set(), [slot]
    while todo:
        s = todo.pop()
        if s >= max(first, n_leaves) and s not in found:
            found.add(s)
            todo += instrs[s - n_leaves].args
    return found


def forward_from(xp: Vocabulary[A], instrs: Sequence[Instr], values: list[A], read: ReadNats) -> None:
    """Run instructions in order, appending one value each; `values` already holds every earlier slot."""
    finish = None if type(xp).finish is Vocabulary.finish else xp.finish
    for call, out, args, _, nats in instrs:
        try:
            operands = [values[a] for a in args]
            if nats:
                operands += [read(start, k) for start, k in nats]  # type: ignore[misc]
            value = call.op.forward(xp, call, *operands)
        except ScalarError as e:
            raise ScalarError(f"{call.op.name}: {e}; node %{out}", node=out) from None
        values.append(value if finish is None else finish(value))


def backward_dense_from(
    xp: Vocabulary[A],
    tape: Tape,
    values: Sequence[A],
    cotangents: Sequence[A | None],
    read: ReadNats,
    needed: Sequence[bool] | None = None,
) -> list[A | None]:
    """The reverse loop: walk slots downward, skip absent cotangents, add contributions into operand slots.

    `cotangents` seeds any slots; `needed[i]` False means nobody wants slot i (None: all real slots).
    """
    ct = list(cotangents)
    finish = None if type(xp).finish is Vocabulary.finish else xp.finish
    add, add_into = xp.add, xp.add_into
    # Slots whose cotangent is a sum made here: no rule has seen it (contributions to a slot end before its
    # own turn), so it can grow in place. A first contribution may be a saved value, a view, or a seed.
    sums: set[int] = set()
    for call, out, args, saves, nats in reversed(tape.instrs):
        g = ct[out]
        if g is None:
            continue
        asks = [t.dtype == REAL for t in call.types] if needed is None else [needed[a] for a in args]
        if True not in asks:
            continue
        saved = [values[s] for s in saves]
        if nats:
            saved += [read(start, k) for start, k in nats]  # type: ignore[misc]
        try:
            parts = call.op.vjp(xp, call, saved, g, asks)
        except ScalarError as e:
            raise ScalarError(f"backward of {call.op.name}: {e}; node %{out}", node=out) from None
        for a, part in zip(args, parts, strict=True):
            if part is not None:
                if finish is not None:
                    part = finish(part)
                old = ct[a]
                if old is not None:
                    part = add_into(old, part) if a in sums else add(old, part)
                    if finish is not None:
                        part = finish(part)
                    sums.add(a)
                ct[a] = part
    return ct

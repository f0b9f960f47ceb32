"""What XLA programs are made of and shared by: a recorded graph up to one node, without its values.

Two recordings with the same calls on leaves of the same types have one `Structure`, whatever session, names
and parameters they have; its compiled programs are kept with it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any, Final

from prooftape.graph import Leaf, Node
from prooftape.op import Call, Op
from prooftape.tape import Instr, Tape, ancestors
from prooftape.types import TensorType
from prooftape.xla import lowerings
from prooftape.xla.lowerings.chains import Chain

MAX_STRUCTURES: Final = 256
_structures: dict[tuple[object, ...], Structure] = {}


class Structure:
    """Leaves, instructions with the lowered rules, and the programs compiled from them."""

    def __init__(
        self,
        scalar: str,
        on: frozenset[str],
        leaves: Sequence[TensorType],
        nodes: Sequence[Node],
        devices: Any = None,
    ) -> None:
        self.scalar = scalar
        self.devices = devices  # what its programs run on: a `mesh.Devices`, None for one device
        self.leaves = tuple(leaves)
        self.nodes = tuple(nodes)
        self.base = len(leaves)
        self.slots = tuple(sorted({s for n in nodes for s in zip(n.nats, n.call.nat_sizes, strict=True)}))
        self.programs: dict[tuple[object, ...], Any] = {}
        self._on = on
        self._instrs: list[Instr] | None = None
        self.marked: Callable[[Instr], Instr] = lambda instr: instr
        """What a profile does to the instructions that it watches."""

    def __len__(self) -> int:
        return self.base + len(self.nodes)

    @property
    def instrs(self) -> list[Instr]:
        """The tape, each op with the rules that are traced for it."""
        if self._instrs is None:
            from prooftape.tape import compile_node

            found: dict[int, Call] = {}
            self._instrs = []
            for k, node in enumerate(self.nodes):
                call = found.get(id(node.call))
                if call is None:
                    call = found[id(node.call)] = lowered(node.call, self._on)
                self._instrs.append(compile_node(node._replace(call=call), self.base + k))
        return self._instrs

    def chains(self, asked: Collection[int]) -> list[Chain]:
        """What is one instruction in a program that hands out values and cotangents of `asked`.

        Between the instructions of a chain nothing is rounded to 16 bits, so there they stay apart; and so
        they do on several devices, where their loops would have to be divided as well.
        """
        if self.devices is not None or self.scalar not in ("float32", "float64"):
            return []
        return lowerings.chains_of(self.nodes, self.base, self._on, asked)

    def tape(self, asked: Collection[int]) -> Tape:
        """The tape of such a program."""
        instrs = list(self.instrs)
        for chain in self.chains(asked):
            instrs[chain.instr.out - self.base] = self.marked(chain.instr)
        return Tape(self.base, instrs)

    def type_of(self, id: int) -> TensorType:
        """Type of a context id."""
        return self.leaves[id] if id < self.base else self.nodes[id - self.base].call.out

    def above(self, ids: Collection[int], tape: Tape | None = None) -> set[int]:
        """The nodes that these context ids depend on (in this tape), themselves included."""
        instrs = self.instrs if tape is None else tape.instrs
        found: set[int] = set()
        for i in ids:
            found |= ancestors(instrs, self.base, i, self.base) if i not in found else set()
        return found

    def needed(self, wanted: Collection[int]) -> list[bool]:
        """Which entries lead back to one whose cotangent is wanted."""
        flags = [i in wanted for i in range(self.base)]
        for k, (call, args, _) in enumerate(self.nodes, self.base):
            flags.append(k in wanted or (call.op.differentiable and any(flags[a] for a in args)))
        return flags


def lowered(call: Call, on: frozenset[str]) -> Call:
    """The same call with the rules that XLA traces: its own, or those of a lowering that is on."""
    rules = lowerings.choose(call, on)
    if rules.lowering is None:
        return call
    op: Op = replace(call.op, forward=rules.forward, vjp=rules.vjp, jvp=rules.jvp, _calls={})
    other = object.__new__(Call)
    for name in Call.__slots__:
        object.__setattr__(other, name, getattr(call, name))
    object.__setattr__(other, "op", op)
    return other


def structure(
    scalar: str, on: frozenset[str], leaves: Sequence[Leaf], nodes: Sequence[Node], devices: Any = None
) -> Structure:
    """The structure of a recording; the same one as before if it was seen before."""
    types = tuple([leaf.type for leaf in leaves])
    # calls are interned: one that was dropped from its op's table and made again only costs a new structure
    key = (scalar, on, devices, types, tuple([(id(call), args, nats) for call, args, nats in nodes]))
    found = _structures.pop(key, None)
    if found is None:
        found = Structure(scalar, on, types, nodes, devices)
        if len(_structures) >= MAX_STRUCTURES:
            del _structures[next(iter(_structures))]
    _structures[key] = found
    return found


def forget() -> None:
    """Drop all structures with their programs."""
    _structures.clear()

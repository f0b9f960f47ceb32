"""The graph that one of several devices runs on its part of a batch, where such a graph exists.

Every entry gets a status: what the values that it has on the devices say about its value in the whole graph
(see `Status`). The rules are in `graph_division_rules.py`. The statuses hold for all values of the leaves,
so they may be differentiated. Let every device run its graph backward from the root, with the seed 1 where
the root is a SUM and 1 / devices where it is a MEAN. Then the whole graph's cotangent of a divided entry
is what the devices have, one after the other, and that of a whole entry is the sum of what they have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from prooftape.graph import Node
from prooftape.graph_division_rules import ELEMENTWISE, RULES, Status, combined
from prooftape.op import Call
from prooftape.ops import is_own
from prooftape.types import TensorType

Slot = tuple[int, int]
PARTIAL = (Status.MEAN, Status.SUM)


class Division(NamedTuple):
    """How a batch is divided: among how many devices, which leaves and which vectors of naturals."""

    n: int
    leaves: tuple[bool, ...]
    nats: tuple[tuple[Slot, bool], ...]


class Divided(NamedTuple):
    """The local graph: same ids, own types, and a status for every entry.

    Entries without a status are not to be run, and `why` says of them why they have none. `slots` says, of
    every vector of naturals that the local graph reads, which one of the whole graph it is (a part of).
    """

    leaves: tuple[TensorType, ...]
    nodes: tuple[Node, ...]
    status: tuple[Status | None, ...]
    why: dict[int, str]
    slots: dict[Slot, Slot]

    def cotangent_status(self, i: int, root: int) -> Status | None:
        """What the devices' cotangents of an entry say of the whole graph's, seeds being as above."""
        kind = self.status[i]
        if kind in PARTIAL:  # reached by whole factors only: the seed, times the same on every device
            return Status.SUM if self.status[root] is Status.MEAN else Status.WHOLE
        return Status.SUM if kind is Status.WHOLE else kind


def divide(leaves: Sequence[TensorType], nodes: Sequence[Node], division: Division) -> Divided:
    """The graph of one device."""
    return _Pass(leaves, division).run(nodes)


def division_reason(found: Divided, root: int) -> str:
    """Why the gradients of `root` cannot be put together from the devices' own; "" if they can."""
    kind = found.status[root]
    if kind is None:
        return found.why[root]
    if kind not in PARTIAL:
        return f"the root is {kind.value}"
    return ""


class _Unlike(Exception):
    """A node does not treat rows alike."""


class _Pass:
    """First all statuses, then all types: what an entry with equal rows is shows only at its first use."""

    def __init__(self, leaves: Sequence[TensorType], division: Division) -> None:
        self.n = division.n
        self.leaves = leaves
        self.status: list[Status | None] = [Status.PART if d else Status.WHOLE for d in division.leaves]
        for t, d in zip(leaves, division.leaves, strict=True):
            if d and not self._divides(t.shape):
                raise ValueError(f"a leaf {t} cannot be divided among {self.n} devices")
        self.nat_parts = dict(division.nats)
        self.starts: dict[Slot, int] = {}
        at = 0
        for slot in self.nat_parts:
            self.starts[slot] = at
            at += slot[1] + 1
        self.why: dict[int, str] = {}
        self.nodes: list[Node]
        self.scaled: set[int] = set()

    def run(self, nodes: Sequence[Node]) -> Divided:
        self.nodes = list(nodes)
        for id, node in enumerate(nodes, len(self.leaves)):
            bad = next((a for a in node.args if self.status[a] is None), None)
            try:
                if bad is not None:
                    self.why[id] = self.why[bad]
                self.status.append(self._status(id, node) if bad is None else None)
            except _Unlike as e:
                self.status.append(None)
                self.why[id] = f"{node.op}, %{id}: {e}"
        self.status = [Status.WHOLE if s is Status.FREE else s for s in self.status]
        given = zip(self.leaves, self.status, strict=False)
        types = [self._local(t) if s is Status.PART else t for t, s in given]
        done: list[Node] = []
        slots: dict[Slot, Slot] = {}
        for id, node in enumerate(nodes, len(self.leaves)):
            done.append(self._node(id, node, types, slots))
            types.append(done[-1].call.out)
        leaves = tuple(types[: len(self.leaves)])
        return Divided(leaves, tuple(done), tuple(self.status), self.why, slots)

    def _divides(self, shape: Sequence[int]) -> bool:
        return bool(shape) and shape[0] > 0 and shape[0] % self.n == 0

    def _local(self, t: TensorType) -> TensorType:
        return TensorType.of((t.shape[0] // self.n, *t.shape[1:]), t.dtype)

    # -- statuses ---------------------------------------------------------------------------------------
    def _status(self, id: int, node: Node) -> Status:
        call, args, _ = node
        kinds = [k for a in args if (k := self.status[a]) is not None]
        slots = zip(node.nats, call.nat_sizes, strict=True)
        nats = [self.nat_parts[slot] for slot in slots]
        if Status.PART in kinds or any(nats):
            return self._rows(id, call, args, kinds, nats)
        if any(k in PARTIAL for k in kinds):
            self._settle([a for a, k in zip(args, kinds, strict=True) if k is Status.FREE], Status.WHOLE)
            now = combined(call, [Status.WHOLE if k is Status.FREE else k for k in kinds])
            if now is None or not is_own(call.op):
                raise _Unlike("not linear in a sum over the batch")
            return now
        return self._alike(call, args, kinds)

    def _alike(self, call: Call, args: Sequence[int], kinds: Sequence[Status]) -> Status:
        """Status of a node that reads nothing divided."""
        if is_own(call.op) and self._divides(call.shape):
            if call.op.name == "full":
                return Status.FREE
            if call.op.name == "broadcast_to" and kinds[0] is Status.WHOLE:
                axes = call.ints("axes")
                if not axes or axes[0] != 0 or call.shapes[0][0] == 1:
                    return Status.FREE
            if call.op.name in ELEMENTWISE and all(k is Status.FREE for k in kinds):
                return Status.FREE
        self._settle(args, Status.WHOLE)
        return Status.WHOLE

    def _rows(
        self, id: int, call: Call, args: Sequence[int], kinds: Sequence[Status], nats: Sequence[bool]
    ) -> Status:
        """Status of a node that reads something divided."""
        rule = RULES.get(call.op.name) if is_own(call.op) else None
        parts = {i for i, k in enumerate(kinds) if k is Status.PART}
        need = None if rule is None else rule(call, parts)
        if need is None:
            raise _Unlike("does not keep the rows of a batch apart")
        if any(k in PARTIAL for k in kinds):
            raise _Unlike("a sum over the batch meets its rows")
        if parts - {*need.operands} or any(n is not need.nats for n in nats):
            raise _Unlike("its operands are not divided alike")
        if need.result is Status.PART and not self._divides(call.shape):
            raise _Unlike(f"rows of {call.shape} cannot be divided")
        rows = [a for i, a in enumerate(args) if i in need.operands]
        self._settle(rows, Status.PART)
        self._settle([a for i, a in enumerate(args) if i not in need.operands], Status.WHOLE)
        if need.shape:
            self.scaled.add(id)
        return need.result

    def _settle(self, ids: Sequence[int], wanted: Status) -> None:
        """Make entries with equal rows what they are needed as, with all they are made of; or nothing."""
        todo, free = list(ids), set()
        while todo:
            i = todo.pop()
            if self.status[i] is Status.FREE:
                if i not in free and self._node_of(i).op in ELEMENTWISE:
                    todo += self._node_of(i).args
                free.add(i)
            elif self.status[i] is not wanted:
                raise _Unlike("one operand is divided, another whole")
        for i in free:
            self.status[i] = wanted
            if wanted is Status.PART and self._node_of(i).op not in ELEMENTWISE:
                self.scaled.add(i)

    def _node_of(self, id: int) -> Node:
        return self.nodes[id - len(self.leaves)]

    # -- types ------------------------------------------------------------------------------------------
    def _node(self, id: int, node: Node, types: Sequence[TensorType], slots: dict[Slot, Slot]) -> Node:
        call, args, _ = node
        kind = self.status[id]
        used = tuple(zip(node.nats, call.nat_sizes, strict=True))
        starts = tuple(self.starts[slot] for slot in used)
        sizes = call.nat_sizes
        if kind is not None and any(self.nat_parts[slot] for slot in used):
            sizes = tuple(
                k // self.n if self.nat_parts[slot] else k for slot, k in zip(used, sizes, strict=True)
            )
        slots.update(zip(zip(starts, sizes, strict=True), used, strict=True))
        local = tuple(types[a] for a in args)
        if kind is None or (local == call.types and sizes == call.nat_sizes and id not in self.scaled):
            return Node(call, args, starts)
        attrs = list(call.attrs)
        if id in self.scaled:
            where = [a.name for a in call.op.attrs].index("shape")
            attrs[where] = (call.shape[0] // self.n, *call.shape[1:])
        bound = call.op.bind(local, attrs, sizes)
        expected = self._local(call.out) if kind is Status.PART else call.out
        if bound.out is not expected:
            raise AssertionError(f"%{id}: {call.op.name} gives {bound.out} on a part, not {expected}")
        return Node(bound, args, starts)

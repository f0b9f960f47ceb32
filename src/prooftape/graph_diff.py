"""Differences between two graphs, found by structure and not by id.

Inserting a node shifts every later id and changes every later operand list; neither makes those nodes
different. Entries are paired in linear passes, each over what the ones before left over: leaves by content,
then by name; nodes computed alike from paired leaves; nodes used alike by what follows; nodes that apply the
same op. A pair is changed when its own text differs after renumbering. All keys are compared exactly (no
hashes that could collide). The pairing is good, not minimal.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from prooftape.attributes import attr_key
from prooftape.errors import GraphError, found
from prooftape.graph import Graph, Leaf, Node
from prooftape.graph_text import leaf_line, node_line


class Entry(NamedTuple):
    """A leaf or node of one of the two graphs: its id there and its line of text."""

    id: int
    line: str


@dataclass(frozen=True, slots=True)
class GraphDiff:
    """What changed from `old` to `new`. False when nothing did, which is exactly when the graphs are equal.

    `added`, `removed`: entries of one graph only. `changed`, `moved`: pairs (old entry, new entry); a moved
    one is the same but for its place in the order. `nats`: the two sizes of the nat environment. `str()`
    prints all of it, in the order of the new graph: `-` old line, `+` new line, `~` moved.
    """

    sizes: tuple[int, int]
    nats: tuple[int, int]
    added: tuple[Entry, ...] = ()
    removed: tuple[Entry, ...] = ()
    changed: tuple[tuple[Entry, Entry], ...] = ()
    moved: tuple[tuple[Entry, Entry], ...] = ()
    _lines: tuple[str, ...] = field(default=(), repr=False)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.moved or self.nats[0] != self.nats[1])

    def __str__(self) -> str:
        if not self:
            return f"equal graphs of {self.sizes[0]} entries"
        return "\n".join(self._lines)


def diff_graphs(a: Graph, b: Graph) -> GraphDiff:
    """The differences from graph `a` to graph `b`; O(entries), apart from sorting what moved."""
    if not isinstance(b, Graph):
        raise GraphError(f"diff: expected a Graph, got {found(b)}")
    sizes, nats = (len(a), len(b)), (a.n_nats, b.n_nats)
    if a is b or a == b:
        return GraphDiff(sizes, nats)
    pairing = _Pairing(a, b)
    changed: list[tuple[int, int]] = []
    same: list[tuple[int, int]] = []
    for old, new in sorted((o, n) for n, o in pairing.old_of.items()):
        (same if pairing.unchanged(old, new) else changed).append((old, new))
    moved = _out_of_order(same, pairing)
    gone = [i for i in range(len(a)) if i not in pairing.new_of]
    fresh = [i for i in range(len(b)) if i not in pairing.old_of]
    head = [f"--- {_size(a)}", f"+++ {_size(b)}"]
    if a.n_nats != b.n_nats:
        head += [f"- nats {a.n_nats}", f"+ nats {b.n_nats}"]
    placed = [(new, 1, [f"- {_line(a, old)}", f"+ {_line(b, new)}"]) for old, new in changed]
    placed += [(new, 1, [f"~ {_line(b, new)}   (was %{old})"]) for old, new in moved]
    placed += [(new, 1, [f"+ {_line(b, new)}"]) for new in fresh]
    places = _places(gone, pairing.new_of)
    placed += [(new, 0, [f"- {_line(a, old)}"]) for old, new in zip(gone, places, strict=True)]
    placed.sort(key=lambda item: item[:2])
    return GraphDiff(
        sizes,
        nats,
        added=tuple(Entry(i, _line(b, i)) for i in fresh),
        removed=tuple(Entry(i, _line(a, i)) for i in gone),
        changed=tuple((Entry(o, _line(a, o)), Entry(n, _line(b, n))) for o, n in changed),
        moved=tuple((Entry(o, _line(a, o)), Entry(n, _line(b, n))) for o, n in moved),
        _lines=(*head, *(line for _, _, lines in placed for line in lines)),
    )


class _Pairing:
    """Which entry of `a` is which entry of `b`; see the module docstring for the passes."""

    def __init__(self, a: Graph, b: Graph) -> None:
        self.a, self.b = a, b
        self.new_of: dict[int, int] = {}
        self.old_of: dict[int, int] = {}
        self._pair_leaves()
        self._pair_nodes()

    def _match(self, old: Iterable[int], new: Iterable[int], old_key: _Key, new_key: _Key) -> None:
        """Pair unpaired entries of equal key (None: no key), the k-th with the k-th."""
        waiting: defaultdict[Hashable, deque[int]] = defaultdict(deque)
        for i in old:
            if i not in self.new_of and (key := old_key(i)) is not None:
                waiting[key].append(i)
        for j in new:
            if j not in self.old_of and (key := new_key(j)) is not None and waiting.get(key):
                i = waiting[key].popleft()
                self.new_of[i], self.old_of[j] = j, i

    def _pair_leaves(self) -> None:
        keys: tuple[Callable[[Leaf], Hashable], ...] = (
            lambda leaf: tuple(leaf),
            lambda leaf: leaf.name,
            lambda leaf: None if leaf.name is not None else (leaf.kind, leaf.type),
        )
        a, b = self.a.leaves, self.b.leaves
        for key in keys:
            self._match(range(len(a)), range(len(b)), lambda i, k=key: k(a[i]), lambda j, k=key: k(b[j]))  # type: ignore[misc]

    def _pair_nodes(self) -> None:
        a, b = self.a, self.b
        old, new = range(len(a.leaves), len(a)), range(len(b.leaves), len(b))
        for up in (_made_alike, _used_alike):
            x, y = up(a, b, self)
            self._match(old, new, x.__getitem__, y.__getitem__)
        for label in (_applied, lambda node: node.call.op.name):
            self._match(
                old,
                new,
                lambda i, label=label: label(a.nodes[i - len(a.leaves)]),  # type: ignore[misc]
                lambda j, label=label: label(b.nodes[j - len(b.leaves)]),  # type: ignore[misc]
            )

    def unchanged(self, old: int, new: int) -> bool:
        """Equal but for the numbering of the entries they refer to."""
        n, m = len(self.a.leaves), len(self.b.leaves)
        if old < n:
            return self.a.leaves[old] == self.b.leaves[new]
        p, q = self.a.nodes[old - n], self.b.nodes[new - m]
        return p.call == q.call and p.nats == q.nats and [self.new_of.get(i) for i in p.args] == list(q.args)


_Key = Callable[[int], Hashable]


def _applied(node: Node) -> Hashable:
    """What a node applies: op, attributes, index vectors; not its types, which follow from the operands."""
    call = node.call
    return (call.op.name, tuple(map(attr_key, call.attrs)), node.nats, call.nat_sizes)


def _made_alike(a: Graph, b: Graph, pairing: _Pairing) -> tuple[dict[int, int], dict[int, int]]:
    """Equal numbers for nodes that apply the same ops to paired leaves, all the way up."""
    numbers: dict[Hashable, int] = {}

    def sweep(graph: Graph, leaf: Callable[[int], Hashable]) -> dict[int, int]:
        n = len(graph.leaves)
        made = {i: numbers.setdefault(leaf(i), len(numbers)) for i in range(n)}
        for k, node in enumerate(graph.nodes):
            key = (_applied(node), *(made[i] for i in node.args))
            made[n + k] = numbers.setdefault(key, len(numbers))
        return made

    return (
        sweep(a, lambda i: ("old", i)),
        sweep(b, lambda j: ("old", pairing.old_of[j]) if j in pairing.old_of else ("new", j)),
    )


def _used_alike(a: Graph, b: Graph, pairing: _Pairing) -> tuple[dict[int, int], dict[int, int]]:
    """Equal numbers for nodes of one kind whose users are paired, or alike in turn, all the way down."""
    numbers: dict[Hashable, int] = {}

    def sweep(graph: Graph, paired: Callable[[int], int | None]) -> dict[int, int]:
        n = len(graph.leaves)
        used: dict[int, int] = {}
        users: list[list[tuple[int, int]]] = [[] for _ in range(len(graph))]
        for id in range(len(graph) - 1, n - 1, -1):
            node, pair = graph.nodes[id - n], paired(id)
            key = (_applied(node), node.call.out, *sorted(users[id])) if pair is None else ("paired", pair)
            number = used[id] = numbers.setdefault(key, len(numbers))
            for place, i in enumerate(node.args):
                users[i].append((number, place))
        return used

    return sweep(a, lambda i: i if i in pairing.new_of else None), sweep(b, pairing.old_of.get)


def _out_of_order(pairs: list[tuple[int, int]], pairing: _Pairing) -> list[tuple[int, int]]:
    """The pairs outside a longest common order of old ids and new ids (patience sorting)."""
    tails: list[int] = []
    at: list[int] = []
    before: list[int | None] = []
    for k, (_, new) in enumerate(pairs):
        spot = bisect_left(tails, new)
        before.append(at[spot - 1] if spot else None)
        if spot == len(tails):
            tails.append(new)
            at.append(k)
        else:
            tails[spot], at[spot] = new, k
    in_order: set[int] = set()
    k = at[-1] if at else None  # type: ignore[assignment]
    while k is not None:
        in_order.add(k)
        k = before[k]  # type: ignore[assignment]
    return [pair for k, pair in enumerate(pairs) if k not in in_order]


def _places(gone: list[int], new_of: dict[int, int]) -> list[int]:
    """Where to print each removed entry: after the new place of the nearest kept entry before it."""
    places, last, reached = [], -1, 0
    for i in gone:
        while reached < i:
            last = max(last, new_of.get(reached, -1))
            reached += 1
        places.append(last + 1)
    return places


def _line(graph: Graph, id: int) -> str:
    n = len(graph.leaves)
    return leaf_line(id, graph.leaves[id]) if id < n else node_line(id, graph.nodes[id - n])


def _size(graph: Graph) -> str:
    return f"{len(graph.leaves)} leaves, {len(graph.nodes)} nodes, {graph.n_nats} nats"

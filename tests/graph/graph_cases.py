"""Graphs to test with: one of every op in every sample, and random small ones. Built without a session."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from prooftape.graph import Graph, Leaf, Node
from prooftape.op import Call, Op, Sample
from prooftape.ops import table
from prooftape.types import BOOL, REAL, TensorType

NAMES = (
    None,
    "x",
    "W",
    "",
    "γ",
    'say "hi"',
    "two\nlines",
    "back\\slash",
    "# no comment",
    "\ud83d\ude00",
    "😀",
    "a\x00b",
)
KINDS = ("input", "param", "const", "leaf")


def sample_call(op: Op, sample: Sample) -> Call:
    """The call of one of an op's samples."""
    types = tuple(TensorType.of(o.shape, BOOL if o.kind == "mask" else REAL) for o in sample.operands)
    given = {a.name: a.default for a in op.attrs} | sample.attrs
    return op.bind(types, tuple(given.values()), tuple(len(v) for v in sample.nats))


def every_call() -> list[Call]:
    """All ops in all their samples."""
    return [sample_call(op, sample) for op in table().values() for sample in op.samples()]


def graph_of(calls: Iterable[Call], rng: random.Random | None = None) -> Graph:
    """A graph with one node for each call: operands are earlier entries of the right type, or leaves."""
    calls = list(calls)
    leaves: list[Leaf] = []
    for t in dict.fromkeys(t for call in calls for t in call.types):
        name = rng.choice(NAMES) if rng else None
        grad = t.dtype == REAL and (rng is None or rng.random() < 0.5)
        leaves.append(Leaf(t, name, grad, rng.choice(KINDS) if rng else "input"))
    places: dict[TensorType, list[int]] = {leaf.type: [i] for i, leaf in enumerate(leaves)}
    n_nats = max([sum(call.nat_sizes) for call in calls], default=0)
    nodes: list[Node] = []
    for call in calls:
        pick = rng.choice if rng else _last
        args = tuple(pick(places[t]) for t in call.types)
        nats = tuple(sum(call.nat_sizes[:i]) for i in range(len(call.nat_sizes)))
        nodes.append(Node(call, args, nats))
        places.setdefault(call.out, []).append(len(leaves) + len(nodes) - 1)
    return Graph(leaves, nodes, n_nats)


def random_graph(rng: random.Random, size: int) -> Graph:
    """A random graph of `size` nodes."""
    return graph_of(rng.choices(_CALLS, k=size), rng)


def _last(items: Sequence[int]) -> int:
    return items[-1]


_CALLS = every_call()

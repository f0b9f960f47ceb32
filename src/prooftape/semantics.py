"""What a graph means: evaluation, forward mode and reverse mode, written to be read.

These three functions are the definition the theorems speak of; `tape.py` is the fast, independent
implementation that must agree with them bit for bit. They take any vocabulary `xp`: with floats they
compute, with exact numbers they check, with graph recording they build the derivative as a graph.

A tangent or cotangent is either present or None. None means absent, which is not zero: the rule of a node
whose cotangent is absent is never run. Accumulation order is part of the definition: nodes by descending id,
a node's contributions in operand order, the existing value on the left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prooftape.graph import Graph, Node
from prooftape.vocabulary import A, Index, Vocabulary

ReadNats = Callable[[int, int], Index]
"""read(start, k): the k naturals at `start` of the nat environment."""


def eval(xp: Vocabulary[A], graph: Graph, leaves: Sequence[A], read: ReadNats) -> list[A]:
    """Values of the whole context: the leaves, then one per node, each computed from those before it."""
    context = list(leaves)
    for node in graph.nodes:
        operands = [context[i] for i in node.args]
        context.append(xp.finish(node.call.op.forward(xp, node.call, *operands, *indices(node, read))))
    return context


def jvp_ctx(
    xp: Vocabulary[A], graph: Graph, context: Sequence[A], read: ReadNats, seed: Sequence[A | None]
) -> list[A | None]:
    """Tangents of the whole context in one pass (`context` from `eval`).

    `seed` gives the tangents of the leaves; entries beyond the leaves, if any, move nodes on top of that.
    """
    dcontext = list(seed[: len(graph.leaves)])
    for node in graph.nodes:
        id = len(dcontext)
        d_operands = [dcontext[i] for i in node.args]
        tangent = None
        if any(t is not None for t in d_operands):
            primals = (*(context[i] for i in node.args), *indices(node, read))
            tangent = node.call.op.jvp(xp, node.call, primals, context[id], d_operands)
            tangent = None if tangent is None else xp.finish(tangent)
        moved = seed[id] if id < len(seed) else None
        if tangent is None or moved is None:
            dcontext.append(moved if tangent is None else tangent)
        else:
            dcontext.append(xp.finish(xp.add(moved, tangent)))
    return dcontext


def backprop_all_ctx(
    xp: Vocabulary[A],
    graph: Graph,
    context: Sequence[A],
    read: ReadNats,
    seed: Sequence[A | None],
    wanted: Sequence[bool] | None = None,
) -> list[A | None]:
    """Cotangents of the whole context from a seed over the whole context (`context` from `eval`).

    Peels the last node, adds its VJP's contributions to what comes before, and goes on with the rest.
    `wanted[i]` False leaves the cotangent of entry i out (default: all real entries are wanted).
    """
    ct = list(seed)
    for id in range(len(graph) - 1, len(graph.leaves) - 1, -1):
        node, out_ct = graph.nodes[id - len(graph.leaves)], ct[id]
        if out_ct is None:
            continue
        asks = [(wanted is None or wanted[i]) and graph.type_of(i).dtype == "real" for i in node.args]
        if not any(asks):
            continue
        entries = (*(context[i] for i in node.args), context[id])
        saved = [entries[p] for p in node.call.op.save_positions(len(node.args))]
        parts = node.call.op.vjp(xp, node.call, (*saved, *indices(node, read)), out_ct, asks)
        for i, part in zip(node.args, parts, strict=True):
            if part is not None:
                old, part = ct[i], xp.finish(part)
                ct[i] = part if old is None else xp.finish(xp.add(old, part))
    return ct


def indices(node: Node, read: ReadNats) -> tuple[Index, ...]:
    """The index vectors a node reads from the nat environment."""
    return tuple(read(start, k) for start, k in zip(node.nats, node.call.nat_sizes, strict=True))

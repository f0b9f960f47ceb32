"""Derivatives as graphs: run the semantics on graph-recording values.

`grad_refs` and `jvp_refs` record, into the same session, nodes that compute gradients or tangents of nodes
recorded before. Their results are ordinary handles: differentiate them again for second derivatives.
"""

from __future__ import annotations

from collections.abc import Sequence

from prooftape.errors import GradientError, ShapeError
from prooftape.graph import Graph, Prefix
from prooftape.handle_methods import TensorRef
from prooftape.handles import NatVecRef
from prooftape.semantics import ReadNats, backprop_all_ctx, jvp_ctx
from prooftape.session import Session
from prooftape.transforms.recording import RecordingArrays
from prooftape.types import REAL


def _context(s: Session, end: int) -> tuple[Graph, list[TensorRef], ReadNats]:
    """The graph below id `end`, a handle for each of its entries, and a symbolic nat reader."""
    full, token = s.graph, s._token
    below = Graph(full.leaves, Prefix(full.nodes._items, max(0, end - len(full.leaves))), full.n_nats)
    refs = [TensorRef(token, i, full.type_of(i)) for i in range(len(below))]
    return below, refs, lambda start, k: NatVecRef(token, start, k)


def leading_to(graph: Graph, sources: Sequence[int]) -> list[bool]:
    """For each context id, whether it is or depends differentiably on one of `sources`."""
    marks = [False] * len(graph.leaves)
    chosen = set(sources)
    for i in chosen & set(range(len(marks))):
        marks[i] = True
    for k, node in enumerate(graph.nodes, start=len(marks)):
        flows = node.call.op.differentiable and any(marks[a] for a in node.args)
        marks.append(k in chosen or flows)
    return marks


def grad_refs(
    outputs: Sequence[TensorRef], seeds: Sequence[TensorRef], wrt: Sequence[TensorRef]
) -> list[TensorRef | None]:
    """Record the cotangents of `wrt` for the given seeds at `outputs`; None where nothing flows."""
    s = outputs[0].session
    for out, seed in zip(outputs, seeds, strict=True):
        if out.shape != seed.shape:
            raise GradientError(f"seed {seed!r} does not have the shape of its output {out!r}")

    def build(s: Session) -> list[TensorRef | None]:
        refs = [s._operand("grad", r) for r in (*outputs, *wrt)]
        end = 1 + max(r.id for r in refs)
        graph, context, read = _context(s, end)
        xp = RecordingArrays(s)
        start: list[TensorRef | None] = [None] * end
        for out, seed in zip(outputs, seeds, strict=True):
            old = start[out.id]
            start[out.id] = seed if old is None else xp.add(old, seed)
        wanted = leading_to(graph, [w.id for w in wrt])
        found = backprop_all_ctx(xp, graph, context, read, start, wanted)
        return [found[w.id] for w in wrt]

    return s.commit(build)


def jvp_refs(
    outputs: Sequence[TensorRef], wrt: Sequence[TensorRef], tangents: Sequence[TensorRef]
) -> list[TensorRef | None]:
    """Record the tangents of `outputs` when the entries `wrt` move by `tangents`; None where nothing moves.

    An entry of `wrt` may be a node: then it is treated as an independent variable.
    """
    s = outputs[0].session
    for w, t in zip(wrt, tangents, strict=True):
        if w.shape != t.shape:
            raise ShapeError(f"tangent {t!r} does not have the shape of {w!r}")

    def build(s: Session) -> list[TensorRef | None]:
        end = 1 + max(r.id for r in (*outputs, *wrt))
        graph, context, read = _context(s, end)
        seed: list[TensorRef | None] = [None] * end
        for w, t in zip(wrt, tangents, strict=True):
            seed[w.id] = t
        found = jvp_ctx(RecordingArrays(s), graph, context, read, seed)
        return [found[o.id] for o in outputs]

    return s.commit(build)


def zeros_like(ref: TensorRef) -> TensorRef:
    """Zeros of a recorded tensor's shape."""
    assert ref.type.dtype == REAL
    return ref.session.full(ref.shape, 0)


def ones_like(ref: TensorRef) -> TensorRef:
    """Ones of a recorded tensor's shape."""
    return ref.session.full(ref.shape, 1)

"""The graph that one device runs on its part of a batch, against the graph of the whole batch: exactly.

All numbers are rationals (functions such as exp are stand-ins with fixed rational values), so what the
devices' values and cotangents say of the whole graph's must hold to the last digit. Every rule of the table
is tried on every choice of operands to divide; what it accepts must be right.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from prooftape import Session
from prooftape.arrays.structure import Arr
from prooftape.errors import ProofTapeError
from prooftape.graph_division import Divided, Division, divide, division_reason
from prooftape.graph_division_rules import RULES, Status
from prooftape.op import Op, Operand, Sample
from prooftape.ops import find, table
from prooftape.semantics import ReadNats
from prooftape.tape import Instr, Tape, backward_dense_from, compile_node
from prooftape.testing.mirror import mirror_rationals
from prooftape.testing.values import draw, record
from prooftape.types import REAL

MIRROR = mirror_rationals()
XP: Any = MIRROR.xp


# -- running graphs, and putting the devices' results together ---------------------------------------------
def run(
    leaves: Sequence[Arr],
    nodes: Sequence[Any],
    read: ReadNats,
    root: int,
    seed: Any,
    skip: Collection[int] = (),
) -> tuple[list[Any], list[Any]]:
    """Values and cotangents; of `skip` there are none."""
    instrs: list[Instr] = [compile_node(node, len(leaves) + k) for k, node in enumerate(nodes)]
    values: list[Any] = list(leaves)
    for i in instrs:
        operands = [values[a] for a in i.args] + [read(*slot) for slot in i.nats]
        values.append(None if i.out in skip else i.call.op.forward(XP, i.call, *operands))
    if root < 0:
        return values, []
    seeds: list[Any] = [None] * len(values)
    seeds[root] = XP.full((), seed)
    needed = [
        t.dtype == REAL
        for t in [
            *[REALS if v.dtype == object else MASKS for v in leaves],
            *[n.call.out for n in nodes],
        ]
    ]
    return values, backward_dense_from(XP, Tape(len(leaves), instrs), values, seeds, read, needed)


class REALS:
    dtype = REAL


class MASKS:
    dtype = "bool"


def joined(kind: Status, parts: list[Any]) -> Any:
    """The value in the whole graph, from those of the devices."""
    if kind is Status.PART:
        return np.concatenate(parts)
    if kind is Status.WHOLE:
        for p in parts[1:]:
            np.testing.assert_array_equal(p, parts[0])
        return parts[0]
    total = sum(parts[1:], parts[0])
    return total if kind is Status.SUM else XP.scale(total, Fraction(1, len(parts)))


def check(s: Session, division: Division, root: int) -> Divided:
    """Compare what the devices have with what the whole graph has, wherever there is a status."""
    graph, n = s.graph, division.n
    read, leaves = s._reader(), list(s._leaf_values)
    found = divide([leaf.type for leaf in graph.leaves], list(graph.nodes), division)
    values, _ = run(leaves, graph.nodes, read, -1, None)
    good = root >= 0 and not division_reason(found, root)
    cotangents = run(leaves, graph.nodes, read, root, 1)[1] if good else []
    seed = Fraction(1, n) if good and found.status[root] is Status.MEAN else 1
    divided_nats = dict(division.nats)
    devices = []
    for d in range(n):
        mine = [
            v[d * len(v) // n : (d + 1) * len(v) // n] if parted else v
            for v, parted in zip(leaves, division.leaves, strict=True)
        ]

        def local(start: int, k: int, d: int = d) -> Any:
            whole = found.slots[start, k]
            v = read(*whole)
            return v[d * k : (d + 1) * k] if divided_nats[whole] else v

        devices.append(run(mine, found.nodes, local, root if good else -1, seed, found.why))
    for i, kind in enumerate(found.status):
        if kind is not None:
            np.testing.assert_array_equal(
                joined(kind, [v[i] for v, _ in devices]), values[i], f"%{i}, {kind}"
            )
    if not good:
        return found
    for i in range(root + 1):
        mine = [ct[i] for _, ct in devices]
        if cotangents[i] is None:
            assert mine == [None] * n, i
        elif found.status[i] is not None:
            how = found.cotangent_status(i, root)
            assert how is not None
            np.testing.assert_array_equal(joined(how, mine), cotangents[i], f"cotangent of %{i}, {how}")
    return found


def division_of(s: Session, n: int, leaves: Collection[int], nats: Collection[tuple[int, int]]) -> Division:
    """These leaves and vectors of naturals divided."""
    graph = s.graph
    slots = {slot for node in graph.nodes for slot in zip(node.nats, node.call.nat_sizes, strict=True)}
    return Division(
        n, tuple(i in leaves for i in range(len(graph.leaves))), tuple((x, x in nats) for x in sorted(slots))
    )


# -- every op ---------------------------------------------------------------------------------------------
def wider(op: Op, sample: Sample, parts: Collection[int], rows: int) -> Iterator[Sample]:
    """The sample with so many rows in the operands `parts`, and attributes that may fit."""
    operands = tuple(
        Operand((rows, *o.shape[1:]), o.kind) if i in parts else o for i, o in enumerate(sample.operands)
    )
    nats = tuple(tuple((v * rows)[:rows]) if len(v) > 1 else v for v in sample.nats)
    yield Sample(operands, sample.attrs, sample.nats)
    if nats != sample.nats:
        yield Sample(operands, sample.attrs, nats)
    shape = sample.attrs.get("shape")
    if isinstance(shape, tuple) and shape:
        old = sample.operands[0].shape[0] if sample.operands and sample.operands[0].shape else 0
        for first in {rows, shape[0] * rows // old if old else rows}:
            yield Sample(operands, {**sample.attrs, "shape": (first, *shape[1:])}, nats)


EXTRA: dict[str, list[Sample]] = {
    "softmax": [Sample((Operand((2, 2, 3)),), {"axis": 1})],
    "broadcast_to": [Sample((Operand((2, 1)),), {"shape": (2, 3)})],
    "reshape": [
        Sample((Operand((2, 3)),), {"shape": (4, 3)}),
        Sample((Operand((2, 2, 3)),), {"shape": (2, 6)}),
        Sample((Operand((2, 6)),), {"shape": (2, 3, 2)}),
    ],
    "matmul": [
        Sample((Operand((2, 2, 3)), Operand((2, 3, 2)))),
        Sample((Operand((2, 3)), Operand((2, 3, 2)))),
        Sample((Operand((1, 2, 3)), Operand((2, 3, 2)))),
        Sample((Operand((2, 2, 3)), Operand((1, 3, 2)))),
        Sample((Operand((2, 2, 2, 3)), Operand((2, 3, 2)))),
    ],
    "group_norm": [Sample((Operand((2, 4, 2)), Operand((4,)), Operand((4,))), {"num_groups": 2})],
    "slice": [Sample((Operand((2, 4)),), {"axis": 1, "start": 1, "length": 2})],
    "pad": [Sample((Operand((2, 2)),), {"widths": ((0, 0), (1, 0)), "value": 1})],
    "permute": [Sample((Operand((2, 2, 3)),), {"axes": (0, 2, 1)})],
}


def tries(op: Op) -> Iterator[tuple[Sample, frozenset[int], bool, int]]:
    """(sample, operands to divide, whether naturals are divided, devices): every choice on every sample."""
    for sample in [*op.samples(), *EXTRA.get(op.name, ())]:
        able = [i for i, o in enumerate(sample.operands) if o.shape]
        for k in range(len(able) + 1):
            for chosen in itertools.combinations(able, k):
                for nats in {False, bool(sample.nats)}:
                    if not chosen and not nats:
                        continue
                    for n, rows in ((2, 2), (2, 6), (3, 6)):
                        for new in wider(op, sample, chosen, rows):
                            yield new, frozenset(chosen), nats, n


def recorded(op: Op, sample: Sample, leaves: list[Arr], more: Arr | None = None) -> tuple[Session, Any, Any]:
    """A session with the op on these leaves, its result, and one more leaf."""
    s = Session(MIRROR, domain="ieee")
    given = {a.name: a.default for a in op.attrs} | sample.attrs
    refs = [s.const(v) if v.dtype == np.bool_ else s.add_leaf(v) for v in leaves]
    w = None if more is None else s.add_leaf(more)
    return s, record(s, op, refs, tuple(given.values()), sample.nats), w


def attempt(op: Op, sample: Sample, parts: Collection[int], nats: bool, n: int, seed: int) -> bool:
    """Whether the op is done on parts; then with values, and cotangents under two losses, that are right."""
    rng = random.Random(seed)
    if any(sample.operands[i].shape[0] % n for i in parts) or (nats and len(sample.nats[0]) % n):
        return False
    leaves = [draw(rng, o) for o in sample.operands]
    try:
        s, out, _ = recorded(op, sample, leaves)
    except ProofTapeError:
        return False
    slots = {slot for node in s.graph.nodes for slot in zip(node.nats, node.call.nat_sizes, strict=True)}
    chosen = slots if nats else set()
    kind = check(s, division_of(s, n, parts, chosen), -1).status[-1]
    if kind is None or out.type.dtype != REAL:
        return kind is not None
    s, out, w = recorded(op, sample, leaves, draw(rng, Operand(out.shape)))
    divided = [*parts, *([w.id] if kind is Status.PART else [])]
    y = s.mul(out, w)
    roots = [s.sum(y)]
    if y.size:
        roots.append(s.mean(s.square(y)) if kind is Status.PART else s.scale(s.mean(y), 3))
    for root in roots:
        found = check(s, division_of(s, n, divided, chosen), root.id)
        assert not division_reason(found, root.id), found.why
    return True


@pytest.mark.parametrize("name", sorted(table()))
def test_ops_on_parts_are_right(name: str) -> None:
    done = 0
    for k, (sample, parts, nats, n) in enumerate(tries(find(name))):
        done += attempt(find(name), sample, parts, nats, n, k)
    assert (done > 0) == (name in RULES), f"{name}: {done} divided samples"

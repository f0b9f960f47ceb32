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

from prooftape import Session, graph_division, graph_division_rules
from prooftape.arrays.structure import Arr
from prooftape.errors import ProofTapeError, ScalarError
from prooftape.graph_division import Divided, Division, divide, division_reason
from prooftape.graph_division_rules import RULES, Rows, Status
from prooftape.handle_methods import TensorRef
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


# -- what an entry with equal rows is, what mixes rows, and sums over the batch ------------------------------
def batch(rows: int = 6) -> tuple[Session, TensorRef, TensorRef, TensorRef]:
    """A session with rows (6, 4), weights (4, 4) and a vector (4)."""
    rng = random.Random(5)
    s = Session(MIRROR, domain="ieee")
    x, w, b = (s.add_leaf(draw(rng, Operand(shape))) for shape in ((rows, 4), (4, 4), (4,)))
    return s, x, w, b


def status(s: Session, ref: TensorRef, n: int = 3) -> Status | None:
    return check(s, division_of(s, n, [0], ()), ref.id if not ref.shape else -1).status[ref.id]


def test_equal_rows_are_what_they_are_used_as() -> None:
    s, x, w, b = batch()
    y = s.matmul(x, w) + b  # b repeated in every row
    z = 2 * (1 - y) + s.square(s.full((6, 4), 3) + b)  # rows of constants alone, then with rows
    root = s.mean(z * z)
    assert status(s, root) is Status.MEAN
    s, x, w, b = batch(4)
    ones = s.full((4, 4), 1)
    whole = s.matmul(w + ones, w)  # as long as the batch, and no batch
    root = s.sum(s.matmul(x, whole))
    assert status(s, root, 2) is Status.SUM
    both = s.sum(x * ones)
    assert status(s, both, 2) is None  # used as whole above
    chain = ones + ones
    assert status(s, s.sum(chain * x), 2) is None
    assert status(s, s.sum(s.matmul(chain, w)), 2) is Status.WHOLE


@pytest.mark.parametrize(
    "mix",
    [
        lambda s, x, w, b: s.sum(x - s.broadcast_to(s.reduce_mean(x, 0), (6, 4))),
        lambda s, x, w, b: s.sum(s.square(s.reduce_mean(x, 0))),
        lambda s, x, w, b: s.sum(s.var(x, 0)),
        lambda s, x, w, b: s.sum(s.softmax(x, 0)),
        lambda s, x, w, b: s.sum(s.matmul(s.transpose2d(x), x)),
        lambda s, x, w, b: s.sum(s.slice(x, 0, 0, 3)),
        lambda s, x, w, b: s.sum(s.gather_row(x, 0)),
        lambda s, x, w, b: s.sum(s.dropout(x, 0.5, key=3)),
        lambda s, x, w, b: s.sum(s.reshape(x, (4, 6))),
        lambda s, x, w, b: s.sum(x) + s.mean(x),
        lambda s, x, w, b: s.sum(x) + s.sum(w),
        lambda s, x, w, b: s.sum(x) * s.sum(x),
        lambda s, x, w, b: s.div(s.sum(w), s.mean(x)),
        lambda s, x, w, b: s.mean(s.batchnorm_channel_first(s.reshape(x, (6, 2, 2, 1)), b[:2], b[2:])),
        lambda s, x, w, b: s.sum(s.concat([x, x], axis=0)),
        lambda s, x, w, b: s.maximum(s.mean(x), s.sum(w)),
    ],
)
def test_graphs_that_mix_rows_are_left_alone(mix: Any) -> None:
    s, x, w, b = batch()
    root = mix(s, x, w, b)
    division = division_of(s, 3, [0], ())
    found = divide([leaf.type for leaf in s.graph.leaves], list(s.graph.nodes), division)
    assert "%" in division_reason(found, root.id)


def test_reasons() -> None:
    s, x, w, _ = batch()
    y = s.sum(s.softmax(x, 0))
    found = divide([leaf.type for leaf in s.graph.leaves], list(s.graph.nodes), division_of(s, 2, [0], ()))
    assert division_reason(found, y.id) == "softmax, %3: does not keep the rows of a batch apart"
    assert division_reason(found, w.id) == "the root is the same on every device"
    with pytest.raises(ValueError, match="cannot be divided among 4 devices"):
        divide([leaf.type for leaf in s.graph.leaves], [], division_of(s, 4, [0], ()))


# -- random graphs ------------------------------------------------------------------------------------------
def random_graph(rng: random.Random) -> tuple[Session, TensorRef]:
    """A graph of ops on rows and on weights, with a few that mix rows, and a sum or mean at the end."""
    s, x, w, b = batch()
    labels = s.input_nat_vec([rng.randint(0, 3) for _ in range(6)])
    rows, whole, totals = [x], [w, s.transpose2d(w)], [s.mean(s.square(b))]
    vectors = [b]
    one = [s.relu, s.tanh, s.square, s.neg, s.detach, lambda v: s.softmax(v, 1), lambda v: s.scale(v, 2)]
    for _ in range(rng.randint(3, 12)):
        v, u = rng.choice(rows), rng.choice(rows)
        m, c = rng.choice(whole), rng.choice(vectors)
        rows.append(
            rng.choice(
                [
                    lambda v=v: rng.choice(one)(v),
                    lambda v=v, u=u: rng.choice([s.add, s.sub, s.mul, s.maximum])(v, u),
                    lambda v=v, m=m, c=c: s.linear(m, c, v),
                    lambda v=v, m=m: s.matmul(v, m),
                    lambda v=v, c=c: v * c + rng.randint(1, 3),
                    lambda v=v, c=c: s.layer_norm(v, c, c, eps=Fraction(1, 8)),
                    lambda v=v: s.reshape(s.permute(s.reshape(v, (6, 2, 2)), (0, 2, 1)), (6, 4)),
                    lambda v=v: s.broadcast_to(s.reshape(s.reduce_max(v, 1), (6, 1)), (6, 4)),
                    lambda m=m: s.gather_rows_ref(m, labels),
                    lambda v=v: s.reshape(s.flatten(v), (6, 4)) + s.full((6, 4), 1) * s.full((6, 4), 2),
                    lambda v=v: s.concat([s.slice(v, 1, 0, 2), s.slice(v, 1, 1, 2)], axis=1),
                ]
            )()
        )
        if rng.random() < 0.1:  # mixes rows
            rows.append(rows[-1] - s.broadcast_to(s.reduce_mean(rows[-1], 0), (6, 4)))
        if rng.random() < 0.3:
            whole.append(rng.choice([s.relu, s.square, s.neg])(m))
        if rng.random() < 0.3:
            vectors.append(c * s.reduce_sum(m, 0))
    last = rows[-rng.randint(1, 2)]
    loss = rng.choice(
        [
            lambda: s.mean(last),
            lambda: s.cross_entropy(last, labels),
            lambda: s.mse_loss(last, rows[0]),
            lambda: s.mean(s.reduce_sum(last, (0,)) * vectors[-1]),
            lambda: s.sum(last),
        ]
    )()
    if rng.random() < 0.5:
        loss = loss + s.mean(totals[0]) * s.sum(s.square(vectors[-1]))
    return s, s.scale(loss, 3)


def divided_graphs(count: int) -> int:
    """How many of so many random graphs have local graphs; all that is said of any of them is checked."""
    done = 0
    for i in range(count):
        rng = random.Random(i)
        s, root = random_graph(rng)
        slots = {slot for node in s.graph.nodes for slot in zip(node.nats, node.call.nat_sizes, strict=True)}
        try:
            found = check(s, division_of(s, rng.choice([2, 3, 6]), [0], slots), root.id)
        except ScalarError:
            continue  # 0 / 0 in exact numbers
        done += not division_reason(found, root.id)
    return done


def test_random_graphs() -> None:
    assert divided_graphs(60) > 20


@pytest.mark.slow
def test_many_random_graphs() -> None:
    assert divided_graphs(1500) > 500


# -- wrong rules are found ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("softmax", lambda call, parts: Rows((0,))),
        ("var", lambda call, parts: Rows((0,), Status.PART if 0 not in call.ints("axis") else Status.MEAN)),
        (
            "reduce_max",
            lambda call, parts: Rows((0,), Status.MEAN if 0 in call.ints("axis") else Status.PART),
        ),
        ("mean", lambda call, parts: Rows((0,), Status.SUM)),
        (
            "reduce_sum",
            lambda call, parts: Rows((0,), Status.MEAN if 0 in call.ints("axis") else Status.PART),
        ),
        ("mse_loss", lambda call, parts: Rows((0, 1), Status.SUM)),
        ("dropout", lambda call, parts: Rows((0,))),
        ("batchnorm_channel_first", lambda call, parts: Rows((0,)) if len(call.shape) == 4 else None),
        ("matmul", lambda call, parts: Rows((0, 1), Status.MEAN)),
        ("nll_loss", lambda call, parts: Rows((0,), Status.SUM, nats=True)),
    ],
)
def test_a_wrong_rule_is_found(name: str, rule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(graph_division_rules.RULES, name, rule)
    with pytest.raises(AssertionError):
        for k, (sample, parts, nats, n) in enumerate(tries(find(name))):
            attempt(find(name), sample, parts, nats, n, k)


def test_a_wrong_combination_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_division, "combined", lambda call, found: Status.SUM)
    with pytest.raises(AssertionError):
        divided_graphs(20)

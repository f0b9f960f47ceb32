"""200 random graphs: Rocq's values, tangents and gradients equal those of Python's two implementations."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from crossevaluation import faults, graphs

from prooftape import Session
from prooftape.arrays.structure import Arr
from prooftape.graph import Graph, Node
from prooftape.op import Call
from prooftape.ops import table
from prooftape.tape import Tape
from prooftape.testing.mirror import mirror_rationals
from prooftape.types import TensorType

pytestmark = [pytest.mark.proofs, pytest.mark.slow]


@pytest.mark.parametrize(("family", "count"), [("mixed", 134), ("shifted", 66)])
def test_random_graphs_agree(family: str, count: int) -> None:
    traces = list(graphs.traces(family, count))
    found = faults([t.term for t in traces], kind="trace")
    assert {traces[i].what: what for i, what in found.items()} == {}


def test_every_op_is_in_some_graph() -> None:
    used = (t.ops for t in (*graphs.traces("mixed", 134), *graphs.traces("shifted", 66)))
    assert frozenset().union(*used) == frozenset(table())


# -- tests of the test -----------------------------------------------------------------------------
def small() -> graphs.Run:
    """%3 = x @ w, %4 = relu, %5 = %4 * %4, %6 = sum, %7 = %6 + b; everything present."""
    s = Session(mirror_rationals())
    x = s.input([[Fraction(1, 2), 3], [-1, 2]])
    w = s.input([[1, -2], [4, Fraction(1, 3)]])
    b = s.input(5)
    h = s.relu(s.matmul(x, w))
    out = s.add(s.sum(s.mul(h, h)), b)
    xp, rng = s.scalar.xp, random.Random(0)

    def drawn(t: TensorType) -> Arr:
        return xp.convert(np.array([rng.randint(1, 5) for _ in range(t.size)], dtype=object).reshape(t.shape))  # type: ignore[attr-defined,no-any-return]

    tangents = [drawn(leaf.type) for leaf in s.graph.leaves]
    return graphs.run(s, tangents, [drawn(out.type) if i == out.id else None for i in range(len(s.graph))])


def changed(entries: Sequence[Arr | None], at: int) -> list[Arr | None]:
    """The list with one number of entry `at` larger by one."""
    entry = entries[at]
    assert entry is not None
    new = np.array(entry)
    new.flat[-1] = new.flat[-1] + 1
    return [*entries[:at], new, *entries[at + 1 :]]


def test_a_changed_result_is_found_in_any_slot() -> None:
    r = small()
    terms, wanted = [graphs.term(r)], [()]
    for at in range(len(r.values)):
        terms += [
            graphs.term(dataclasses.replace(r, values=changed(r.values, at))),
            graphs.term(dataclasses.replace(r, moved=changed(r.moved, at))),
            graphs.term(dataclasses.replace(r, cotangents=changed(r.cotangents, at))),
        ]
        wanted += [("WrongForward", "WrongTapeValues"), ("WrongJvp",), ("WrongVjp", "WrongTapeGradients")]
    absent = [*r.cotangents[:1], None, *r.cotangents[2:]]
    terms.append(graphs.term(dataclasses.replace(r, cotangents=absent)))
    wanted.append(("WrongVjp", "WrongTapeGradients"))
    found = faults(terms, kind="trace")
    assert [found.get(i, ()) for i in range(len(terms))] == wanted


def test_a_changed_tape_is_told_from_a_changed_graph() -> None:
    r = small()
    product, *others = r.tape.instrs
    swapped = product._replace(args=product.args[::-1], saves=product.saves)
    saves = product._replace(saves=product.saves[::-1])
    doubled = Tape(r.tape.n_leaves, [product, *others, others[-1]._replace(out=len(r.tape))])
    terms = [
        graphs.term(r, tape=Tape(r.tape.n_leaves, [swapped, *others])),
        graphs.term(r, tape=Tape(r.tape.n_leaves, [saves, *others])),
        graphs.term(r, tape=doubled),
    ]
    found = faults(terms, kind="trace")
    assert found == {
        0: ("WrongTapeValues", "WrongTapeGradients"),
        1: ("WrongTapeGradients",),
        2: ("WrongTapeValues",),
    }


def test_a_wrong_type_is_found() -> None:
    r = small()
    product, *others = r.graph.nodes
    c = product.call
    call = Call(c.op, c.attrs, c.types, c.nat_sizes, TensorType.of((4, 1)))
    graph = Graph(r.graph.leaves, [Node(call, product.args), *others], r.graph.n_nats)
    assert faults([graphs.term(dataclasses.replace(r, graph=graph))], kind="trace") == {0: ("WrongType",)}


def test_why_shifted_graphs_need_integers() -> None:
    """exp of the stand-ins is a homomorphism on integers only: subtracting the maximum shows on halves."""
    terms = []
    for values in ([1, 2, 4], [Fraction(1, 2), 2, 4]):
        s = Session(mirror_rationals())
        s.softmax(s.input(values), -1)
        terms.append(graphs.term(graphs.run(s, [None], [None, None])))
    assert faults(terms, kind="trace") == {1: ("WrongForward", "WrongTapeValues")}


def test_the_graphs_are_the_same_every_time_and_differ_from_one_another() -> None:
    once, again = (list(graphs.traces("mixed", 20)) for _ in range(2))
    assert once == again
    assert len({t.term for t in once}) == 20

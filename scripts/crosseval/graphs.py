"""Random graphs: values, tangents and cotangents of every slot, by Python and by Rocq.

`mixed` draws graphs over all ops but those that subtract a maximum under an exponential (`shifts`): with the
rational stand-ins, exp(x - m) / exp(y - m) is exp(x) / exp(y) only where x, y and m are integers. `shifted`
draws graphs in which such an op meets integers, with other ops before and after it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from crosseval import values
from crosseval.samples import shifts, unit
from prooftape.arrays.structure import Arr
from prooftape.certificates import terms
from prooftape.errors import ScalarError
from prooftape.graph import Graph
from prooftape.handle_methods import TensorRef
from prooftape.op import Operand
from prooftape.ops import find, table
from prooftape.ops.random import draw as draw_stream
from prooftape.semantics import backprop_all_ctx, eval, jvp_ctx
from prooftape.session import Session
from prooftape.tape import Tape, backward_dense_from, compile_tape, forward_from
from prooftape.testing.graphs import fit, random_session
from prooftape.testing.mirror import mirror_rationals
from prooftape.testing.values import draw, filled, record
from prooftape.transforms.derivative_graphs import grad_refs
from prooftape.types import REAL, Shape

MAX_BITS = 600
"""Graphs with longer numerators or denominators are drawn again."""
MAX_ENTRIES = 3000


@dataclass(frozen=True, slots=True)
class Trace:
    """A Rocq term of type `trace`, and in words what it is."""

    what: str
    ops: frozenset[str]
    term: str


@dataclass(frozen=True, slots=True)
class Run:
    """One graph with everything computed on it."""

    graph: Graph
    tape: Tape
    nats: Sequence[int]
    leaves: Sequence[Arr]
    tangents: Sequence[Arr | None]
    seed: Sequence[Arr | None]
    values: Sequence[Arr]
    moved: Sequence[Arr | None]
    cotangents: Sequence[Arr | None]


class TooLong(Exception):
    """The numbers or tensors of this graph are too large to be worth comparing."""


# -- sessions ----------------------------------------------------------------------------------------
def mixed(rng: random.Random, turn: int) -> tuple[Session, TensorRef]:
    """A random graph over all ops without a shift, the op whose turn it is more often than the others.

    Ops that only derivatives use are among them. One graph in three also records a gradient of itself.
    """
    ops = [
        op if op.public else replace(op, public=True, _calls={}) for op in table().values() if not shifts(op)
    ]
    often = [ops[turn % len(ops)]] * (len(ops) // 2)
    s, out = random_session(rng, n_nodes=rng.randint(2, 5), scalar=mirror_rationals(), ops=[*ops, *often])
    if rng.random() < 1 / 3:
        leaves = [TensorRef(s._token, i, x.type) for i, x in enumerate(s.graph.leaves)]
        grad_refs([out], [s.full(out.shape, Fraction(1, 2))], leaves)
    return s, out


def shifted(rng: random.Random, turn: int) -> tuple[Session, TensorRef]:
    """Integers through ring ops into one op with a shift, then two ops without."""
    s = Session(mirror_rationals())
    choices = [op for op in table().values() if shifts(op)]
    op = choices[turn % len(choices)]
    sample = rng.choice(list(op.samples()))
    shapes = [operand.shape for operand in sample.operands]
    leaves = [(s.input(_some_integers(rng, shape)), s.input(_some_integers(rng, shape))) for shape in shapes]
    operands = [
        _integers(s, rng, operand, pair, unit(op, sample, i))
        for i, (operand, pair) in enumerate(zip(sample.operands, leaves, strict=True))
    ]
    given = {a.name: a.default for a in op.attrs} | sample.attrs
    pool = [record(s, op, operands, tuple(given.values()), sample.nats)]
    others = [
        op for op in table().values() if op.public and op.operands and not op.variadic and not shifts(op)
    ]
    for _ in range(2):
        op = rng.choice(others)
        sample = rng.choice(list(op.samples()))
        operands = [fit(s, rng, rng.choice(pool), operand) for operand in sample.operands]
        given = {a.name: a.default for a in op.attrs} | sample.attrs
        out = record(s, op, operands, tuple(given.values()), sample.nats)
        if out.dtype == REAL:
            pool.append(out)
    return s, pool[-1]


def _some_integers(rng: random.Random, shape: Shape) -> Arr:
    n = int(np.prod(shape, dtype=np.int64))
    return filled([Fraction(rng.randint(-2, 2)) for _ in range(n)], shape)


def _integers(
    s: Session, rng: random.Random, operand: Operand, leaves: tuple[TensorRef, TensorRef], scale: Fraction
) -> TensorRef:
    """A value of this shape and kind, integers times `scale`, made from two leaves of integers."""
    x, y = leaves
    if operand.kind == "mask":
        return s.greater(x, y)
    for _ in range(rng.randint(0, 2)):
        op = find(rng.choice(["add", "sub", "mul", "maximum", "neg", "relu", "abs", "detach"]))
        x = s._apply(op, (x, y)[: len(op.operands)], ())
    return s.scale(x, scale) if scale != 1 else x


# -- running one --------------------------------------------------------------------------------------
def run(s: Session, tangents: Sequence[Arr | None], seed: Sequence[Arr | None]) -> Run:
    """Everything Python computes on a session's graph; its two implementations must agree exactly.

    `tangents`: of the leaves. `seed`: cotangents of all slots to start from.
    """
    graph, xp, nats = s.graph, s.scalar.xp, [int(n) for n in s._nats]
    leaves, tape = list(s._leaf_values), compile_tape(graph)

    def read(start: int, k: int) -> Arr:
        return np.array([nats[i] if i < len(nats) else 0 for i in range(start, start + k)], dtype=np.int64)

    found = eval(xp, graph, leaves, read)
    moved = jvp_ctx(xp, graph, found, read, tangents)
    cotangents = backprop_all_ctx(xp, graph, found, read, seed)
    again = list(leaves)
    forward_from(xp, tape.instrs, again, read)
    back = backward_dense_from(xp, tape, again, seed, read)
    if not (_same(found, again) and _same(cotangents, back)):
        raise AssertionError(f"tape.py and semantics.py differ on\n{graph}")
    return Run(graph, tape, nats, leaves, tangents, seed, found, moved, cotangents)


def _random_run(s: Session, out: TensorRef, rng: random.Random) -> Run:
    """Most leaves move; the output and now and then another slot have a cotangent from the start."""
    types = [s.graph.type_of(i) for i in range(len(s.graph))]
    if sum(t.size for t in types) > MAX_ENTRIES:
        raise TooLong

    def drawn(i: int, often: float) -> Arr | None:
        if types[i].dtype != REAL or rng.random() >= often:
            return None
        return s.scalar.xp.convert(draw(rng, Operand(types[i].shape)))  # type: ignore[attr-defined,no-any-return]

    tangents = [drawn(i, 0.8) for i in range(len(s.graph.leaves))]
    return run(s, tangents, [drawn(i, 1.0 if i == out.id else 0.1) for i in range(len(types))])


def _same(a: Sequence[Arr | None], b: Sequence[Arr | None]) -> bool:
    return len(a) == len(b) and all(
        (x is None) == (y is None) and (x is None or y is None or x.tolist() == y.tolist())
        for x, y in zip(a, b, strict=True)
    )


def term(r: Run, number: Callable[[Any], str] = values.rational, tape: Tape | None = None) -> str:
    """The run as a Rocq term; another tape than the graph's may be given."""
    tape = r.tape if tape is None else tape
    literals = terms.Literals()
    names: dict[object, str] = {}
    lets, draws = [], []
    for call in (*(n.call for n in r.graph.nodes), *(i.call for i in tape.instrs)):
        if call not in names:
            names[call] = f"c{len(names)}"
            lets.append(f"let {names[call]} : call opname := {terms.call(call, literals)} in ")
            if call.op.family == "random":
                draws.append((call.int("key"), [int(u) for u in draw_stream(call.shape, call.int("key"))]))
    nodes = (f"Node {names[n.call]} {terms.many(n.args)} {terms.many(n.nats)}" for n in r.graph.nodes)
    instrs = (
        f"Instr {names[i.call]} {i.out} {terms.many(i.args)} {terms.many(i.saves)} "
        f"{terms.many(f'({start},{k})' for start, k in i.nats)}"
        for i in tape.instrs
    )

    def optional(xs: Sequence[Arr | None]) -> str:
        return values.many(values.optional(x, number) for x in xs)

    def tensors(xs: Sequence[Arr]) -> str:
        return values.many(values.tensor(x, number) for x in xs)

    leaves = terms.many(terms.tensor_type(x.type) for x in r.graph.leaves)
    return (
        f"{''.join(lets)}one_trace {leaves} "
        f"{values.many(nodes)} {values.many(instrs)} {terms.many(r.nats)} "
        f"{values.world(literals.all(), draws)} "
        f"{tensors(r.leaves)} {optional(r.tangents)} {optional(r.seed)} "
        f"{tensors(r.values)} {optional(r.moved)} {optional(r.cotangents)}"
    )


def _small(r: Run) -> bool:
    for x in (*r.values, *r.moved, *r.cotangents):
        if x is not None and x.dtype.kind == "O":
            for v in x.ravel():
                q = values.as_fraction(values.as_number(v))
                if max(abs(q.numerator), q.denominator).bit_length() > MAX_BITS:
                    return False
    return True


def traces(family: str, count: int, seed: int = 0) -> Iterator[Trace]:
    """Graphs of a family (`mixed` or `shifted`), the same at every call."""
    made, attempt = 0, 0
    while made < count:
        attempt += 1
        rng = random.Random(f"{family} {seed} {attempt}")
        try:
            s, out = {"mixed": mixed, "shifted": shifted}[family](rng, made)
            r = _random_run(s, out, rng)
        except (ScalarError, TooLong):  # a division by zero, a number too large: draw again
            continue
        if not _small(r):
            continue
        made += 1
        ops = frozenset(n.call.op.name for n in r.graph.nodes)
        yield Trace(f"{family} graph {attempt}: {', '.join(sorted(ops))}", ops, term(r))

"""Random graphs over the whole op table: the tape against the semantics bit for bit, adjointness exactly.

PROOFTAPE_GRAPHS sets how many graphs each of the two properties draws (default 2,000).
"""

from __future__ import annotations

import os
import random

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prooftape import Graph
from prooftape.scalars import Scalar
from prooftape.semantics import backprop_all_ctx, eval, jvp_ctx
from prooftape.session import Session
from prooftape.tape import backward_dense_from, compile_tape, forward_from
from prooftape.testing import opaque_rationals, random_session
from prooftape.testing.values import draw_reals
from prooftape.types import REAL

GRAPHS = int(os.environ.get("PROOFTAPE_GRAPHS", "2000"))
many = settings(
    max_examples=GRAPHS,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
programs = st.tuples(st.randoms(use_true_random=False), st.integers(1, 9))


def same_bits(a: object, b: object) -> bool:
    """Equal shape, dtype and bytes (so nan equals itself and -0.0 differs from 0.0), or both absent."""
    if a is None or b is None:
        return a is None and b is None
    x, y = np.asarray(a), np.asarray(b)
    return x.shape == y.shape and x.dtype == y.dtype and x.tobytes() == y.tobytes()


def same_numbers(a: object, b: object) -> bool:
    if a is None or b is None:
        return a is None and b is None
    x, y = np.asarray(a), np.asarray(b)
    return x.shape == y.shape and all(p == q for p, q in zip(x.ravel(), y.ravel(), strict=True))


def dot(a: np.ndarray, b: np.ndarray) -> object:
    return sum(x * y for x, y in zip(a.ravel(), b.ravel(), strict=True))


def seeds_for(rng: random.Random, s: Session, out: int, graph: Graph) -> list[object]:
    """A seed at the output and, sometimes, at other entries: the loop must accept any seed context."""
    seeds: list[object] = [None] * len(graph)
    for i in {out, *(rng.randrange(len(graph)) for _ in range(rng.randint(0, 2)))}:
        if graph.type_of(i).dtype == REAL:
            seeds[i] = s.scalar.to_array(draw_reals(rng, graph.type_of(i).shape), "seed")
    return seeds


def compare(s: Session, out: int, rng: random.Random, same: object) -> None:
    graph, xp, read = s.graph, s.scalar.xp, s._reader()
    leaves = list(s._leaf_values)
    tape = compile_tape(graph)
    with np.errstate(all="ignore"):
        meaning = eval(xp, graph, leaves, read)
        running = list(leaves)
        forward_from(xp, tape.instrs, running, read)
        assert all(same(a, b) for a, b in zip(meaning, running, strict=True)), "eval and tape values differ"
        seeds = seeds_for(rng, s, out, graph)
        expected = backprop_all_ctx(xp, graph, meaning, read, seeds)
        got = backward_dense_from(xp, tape, running, seeds, read)
        assert all(same(a, b) for a, b in zip(expected, got, strict=True)), (
            "backprop and tape gradients differ"
        )
        needed = s._needed_ids(len(graph))
        pruned = backward_dense_from(xp, tape, running, seeds, read, needed)
        kept = [same(a, b) for a, b, n in zip(expected, pruned, needed, strict=True) if n]
        assert all(kept), "pruning changed a needed gradient"


@many
@given(programs)
def test_tape_is_the_semantics_bit_for_bit_in_floats(program: tuple[random.Random, int]) -> None:
    rng, n = program
    s, out = random_session(rng, n_nodes=n, scalar="float64")
    compare(s, out.id, rng, same_bits)
    assert Graph.parse(s.graph.text()) == s.graph


@many
@given(programs)
def test_tape_and_adjointness_exactly(program: tuple[random.Random, int]) -> None:
    rng, n = program
    scalar: Scalar = opaque_rationals()
    s, out = random_session(rng, n_nodes=n, scalar=scalar)
    compare(s, out.id, rng, same_numbers)
    graph, xp, read = s.graph, s.scalar.xp, s._reader()
    values = s._evaluate(len(graph))
    dxs = [s.scalar.to_array(draw_reals(rng, leaf.type.shape), "tangent") for leaf in graph.leaves]
    tangent = jvp_ctx(xp, graph, values, read, dxs)[out.id]
    ct = s.scalar.to_array(draw_reals(rng, out.shape), "seed")
    seeds = [ct if i == out.id else None for i in range(len(graph))]
    grads = backprop_all_ctx(xp, graph, values, read, seeds)
    left = 0 if tangent is None else dot(tangent, ct)
    right = sum(dot(dx, g) for dx, g in zip(dxs, grads, strict=False) if g is not None)
    assert left == right

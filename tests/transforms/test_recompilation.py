"""Repeated recompilation warns once, with the first difference as its reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import prooftape as pt
from prooftape.recompilation import LIMIT, RecompilationWarning

jax = pytest.importorskip("jax")
jnp = jax.numpy

# -- the warning ------------------------------------------------------------------------------------------
CHANGES = {
    "shape": (lambda k: (np.ones((k, 4)), 1), r"argument x changed shape, \(8, 4\) -> \(9, 4\)"),
    "setting": (lambda k: (np.ones(2), k), "argument n changed, int 8 -> int 9"),
    "new entry": (lambda k: ({i: np.ones(1) for i in range(k)}, 1), r"argument x\[8\] is new"),
    "gone": (lambda k: ({i: np.ones(1) for i in range(20 - k)}, 1), r"argument x\[11\] is gone"),
    "dtype": (
        lambda k: (np.ones(1 + k // 2, [np.float32, np.float64][k % 2]), 1),
        "argument x changed dtype, float32 -> float64",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_repeated_recompilation_warns_once_with_the_reason(name: str) -> None:
    make, reason = CHANGES[name]

    def fn(x: Any, n: int) -> Any:
        return (next(iter(x.values())) if isinstance(x, dict) else x) * n

    step = pt.compile_step(fn, engine="numpy")
    for k in range(1, LIMIT + 1):
        step(*make(k))
    with pytest.warns(RecompilationWarning, match=reason) as caught:
        step(*make(LIMIT + 1))
    assert caught[0].filename == __file__
    for k in range(LIMIT + 2, LIMIT + 6):
        step(*make(k))  # warnings are errors: none comes


def test_few_structures_or_seldom_new_ones_do_not_warn() -> None:
    step = pt.compile_step(lambda x: x, engine="numpy")
    for k in range(1, 3 * LIMIT):
        for _ in range(12):
            step(np.ones(k))


def test_a_session_warns_once_with_the_reason() -> None:
    s = pt.Session(engine="xla")
    w = s.param(np.ones((3, 4)), name="w")

    def step(n: int, act: str = "square") -> None:
        s.reset_tape()
        y = getattr(s, act)(s.use(w) @ s.input(np.ones((4, n)), name="x"))
        s.sgd_step_all(0.1, s.backward_scalar_dense_all(s.mean(y)))

    for n in range(1, LIMIT + 1):
        step(n)
    with pytest.warns(RecompilationWarning, match=r"leaf x changed shape, \(4, 8\) -> \(4, 9\)"):
        step(LIMIT + 1)
    step(LIMIT + 2)


DIFFERENCES = {
    "op": (lambda s, x: s.exp(x), lambda s, x: s.sin(x), "op %1 changed, exp -> sin"),
    "attribute": (
        lambda s, x: s.scale(x, 2.0),
        lambda s, x: s.scale(x, 3.0),
        r"attribute c of scale \(%1\) changed, .*2.* -> .*3",
    ),
    "operands": (
        lambda s, x: s.add(s.exp(x), x),
        lambda s, x: s.add(x, s.exp(x)),
        r"the operands of add \(%2\) changed",
    ),
    "count": (lambda s, x: s.exp(x), lambda s, x: s.exp(s.exp(x)), "number of ops changed, 1 -> 2"),
    "leaves": (lambda s, x: x, lambda s, x: s.input(1.0), "number of leaves changed, 1 -> 2"),
    "indices": (
        lambda s, x: x[s.input_nat_vec([0])],
        lambda s, x: x[s.input_nat_vec([0, 1])],
        r"the number of indices of \w+ \(%1\) changed",
    ),
    "nothing": (lambda s, x: x, lambda s, x: x, "other results"),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_the_first_difference_of_two_recordings(name: str) -> None:
    import re

    from prooftape.recompilation import graphs_difference

    one, other, text = DIFFERENCES[name]
    found = []
    for fn in (one, other):
        s = pt.Session()
        fn(s, s.input(np.ones(3)))
        found.append(([leaf.type for leaf in s.graph.leaves], list(s.graph.nodes)))
    assert re.search(text, graphs_difference(found[0], found[1]))

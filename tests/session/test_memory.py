"""A training step may reuse a gradient's memory, and nobody can tell."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

import prooftape as pt
from prooftape.grads import only_reference
from prooftape.training import OptimizerRun


def two_params() -> tuple[pt.Session, pt.Param, pt.Param]:
    s = pt.Session()
    return s, s.param(np.ones((3, 4)), "W"), s.param(np.ones((3, 4)), "V")


def record(s: pt.Session, p: pt.Param, q: pt.Param) -> tuple[pt.TensorRef, pt.TensorRef, pt.Grads]:
    s.reset_tape()
    w, v, x = s.use(p), s.use(q), s.input(np.arange(4.0))
    loss = s.sum(s.square(s.add(s.matmul(w, x), s.matmul(v, x))))
    return w, v, s.backward_scalar_dense_all(loss)


def test_gradients_read_before_or_after_a_step_are_the_same() -> None:
    s, p, q = two_params()
    w, v, g = record(s, p, q)
    seen = g[w]
    before = seen.copy()
    s.sgd_step_all(0.1, g)
    assert seen.tolist() == before.tolist() == g[w].tolist() == g[v].tolist()
    assert p.value.tolist() == q.value.tolist() == (1 - before * np.float32(0.1)).tolist()


def test_recorded_values_survive_a_step() -> None:
    s, p, q = two_params()
    w, v, g = record(s, p, q)
    old = p.value
    s.sgd_step_all(0.1, g)
    assert (old == 1).all() and (s.get_value(w) == 1).all() and (p.value != 1).any()
    first = p.value.copy()
    s.sgd_step_all(0.1, g)  # the same gradients again
    assert p.value.tobytes() == (first - g[v] * np.float32(0.1)).tobytes()


def test_a_cotangent_shared_by_two_entries_is_not_overwritten() -> None:
    s, p, q = two_params()
    w, v = s.use(p), s.use(q)
    y = s.add(w, v)
    g = s.backward_dense_all(y, np.ones((3, 4)))
    s.sgd_step_all(0.5, g)
    assert (p.value == 0.5).all() and (q.value == 0.5).all()
    assert (g[y] == 1).all() and (g[w] == 1).all() and (g[v] == 1).all()


@pytest.mark.parametrize("view", [lambda a: a, lambda a: a[1:], memoryview, lambda a: a.reshape(-1)])
def test_only_reference_sees_every_kind_of_sharing(view: object) -> None:
    items = [np.zeros(4)]
    assert only_reference(items, 0)
    held = view(items[0])  # type: ignore[operator]
    assert not only_reference(items, 0)
    del held
    assert only_reference(items, 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: pt.sgd(lr=0.1, momentum=0.9),
        lambda: pt.adam(lr=0.1),
        lambda: pt.adamw(lr=lambda t: 0.1 / (t + 1)),
    ],
)
def test_training_does_not_grow(make: Callable[[], OptimizerRun]) -> None:
    s, opt = pt.Session(), make()
    w = s.param(np.zeros((100, 100)), "w")

    def steps(n: int) -> int:
        for _ in range(n):
            s.reset_tape()
            opt.step(s, s.backward_scalar_dense_all(s.sum(s.square(s.use(w)))))
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = steps(3)
        assert steps(30) - before < 3 * w.value.nbytes  # a tenth of what one array kept at every step takes
    finally:
        tracemalloc.stop()

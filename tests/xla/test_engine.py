"""The XLA engine keeps the conventions of the NumPy engine: the same program gives the same answers.

Each program below runs on both engines. Its numbers are small dyadic fractions on which every operation is
exact, or the answer is nan or infinite, so the answers must be equal to the last bit; where a function
rounds, the data make it exact too (exp of 0, log of 1).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax", reason="needs the extra xla")

import prooftape as pt

Program = Callable[[pt.Session], list[Any]]
PROGRAMS: list[Program] = []


def program(fn: Program) -> Program:
    PROGRAMS.append(fn)
    return fn


def answers(fn: Program, engine: str, **settings: Any) -> list[Any]:
    return [np.array(x) for x in fn(pt.Session(engine=engine, **settings))]


def equal(got: list[Any], want: list[Any]) -> None:
    assert len(got) == len(want)
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        assert (a.shape, a.dtype) == (b.shape, b.dtype), i
        # wide enough for each scalar; of bfloat16, NumPy does not know that nan is nan
        np.testing.assert_array_equal(a.astype(float), b.astype(float), err_msg=f"answer {i}")


# -- kinks, ties, zeros that absorb -----------------------------------------------------------------------
@program
def kinks(s: pt.Session) -> list[Any]:
    x = s.input([-1.0, -0.0, 0.0, 2.0, np.nan, np.inf, -np.inf], requires_grad=True)
    outs = [s.relu(x), s.abs(x), s.sign(x), s.leaky_relu(x, 0.25), s.clamp(x, -1, 2)]
    found: list[Any] = []
    for y in outs:
        found += [y.value, s.backward_dense_all(y, [1, 2, 3, 4, 5, 6, 7])[x]]
        found.append(s.jvp_leaf(y, x, [1, 2, 3, 4, 5, 6, 7]))
    return found


@program
def ties(s: pt.Session) -> list[Any]:
    x = s.input([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], requires_grad=True)
    y = s.input([[1.0, 4.0, 3.0], [2.0, 1.0, 2.0]], requires_grad=True)
    found: list[Any] = []
    for out in (s.maximum(x, y), s.minimum(x, y), s.reduce_max(x, axis=1), s.reduce_max(x, axis=(0, 1))):
        grads = s.backward_dense_all(out, np.ones(out.shape))
        found += [out.value, grads[x], grads[y], s.jvp_leaf(out, x, [[1, 2, 3], [4, 5, 6]])]
    return found


@program
def dead_branches(s: pt.Session) -> list[Any]:
    x = s.input([-1.0, 1.0, 0.0], requires_grad=True)
    big = s.input([800.0, 0.0, -800.0], requires_grad=True)
    zero = s.full((3,), 0)
    log = s.where(s.greater(x, zero), s.log(x), zero)
    exp = s.where(s.greater(big, s.full((3,), 100)), zero, s.exp(big))
    found: list[Any] = [log.value, exp.value, s.log(x).value, s.exp(big).value]
    for out in (log, exp):
        grads = s.backward_dense_all(out, [1, 2, 4])
        found += [grads[x], grads[big], s.jvp_leaf(out, x, [1, 1, 1]), s.jvp_leaf(out, big, [1, 1, 1])]
    return found


def spoiled(size: int) -> Callable[[pt.Session], list[Any]]:
    """A product with an infinite row that a mask hides: its cotangents are zeros and must stay zeros."""

    def spoiled_product(s: pt.Session) -> list[Any]:
        a = np.ones((size, size), np.float32)
        a[0, 0] = np.inf
        x, w = s.input(a, requires_grad=True), s.add_leaf(np.ones((size, size)))
        hidden = np.ones((size, size), bool)
        hidden[0] = False
        y = s.where(s.const(hidden), s.matmul(x, w), s.full((size, size), 0))
        out = s.sum(y)
        grads = s.backward_scalar_dense_all(out)
        da = np.zeros((size, size))
        da[1] = 1
        return [out.value, y.value, grads[x], grads[w], s.jvp_leaf(y, x, da), s.jvp_leaf(y, w, da)]

    return spoiled_product


PROGRAMS += [spoiled(2), spoiled(24)]


@program
def masks_and_nans(s: pt.Session) -> list[Any]:
    x = s.input([np.nan, 1.0, -np.inf, np.inf, 0.0])
    y = s.input([np.nan, 1.0, -np.inf, 2.0, -0.0])
    found = [
        s.greater(x, y),
        s.greater_equal(x, y),
        s.equal(x, y),
        s.less(x, y),
        s.maximum(x, y),
        s.add(x, y),
    ]
    return [f.value for f in found] + [s.sum(x).value, s.mul(x, s.full((5,), 0)).value]


@program
def gathers_are_total(s: pt.Session) -> list[Any]:
    x = s.input([1.0, 2.0, 3.0], requires_grad=True)
    rows = s.input([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    v, n = s.input_nat_vec([0, 2, 3, 2**40, 2]), s.input_nat(2**33)
    found: list[Any] = []
    for out in (s.gather_vec_ref(x, v), s.gather_scalar_ref(x, n), s.gather_rows_ref(rows, v)):
        grads = s.backward_dense_all(out, np.ones(out.shape))
        found += [out.value, grads[x], grads[rows]]
    return found


@program
def naturals_written_later(s: pt.Session) -> list[Any]:
    x, n = s.input([1.0, 2.0, 4.0], requires_grad=True), s.input_nat(0)
    y = s.square(s.gather_scalar_ref(x, n))
    double = s.mul(s.full((3,), 2), x)
    found = [y.value, double.value]
    before, read = s.backward_scalar_dense_all(y), s.backward_scalar_dense_all(y)
    found.append(read[x])
    s.set_nat(n, 2)
    found += [y.value, double.value, s.jvp_leaf(y, x, [1, 1, 1])]
    found += [before[x], read[x], s.backward_scalar_dense_all(y)[x]]
    s.set_nat(n, 7)
    return [*found, y.value, before[x]]


@program
def random_masks(s: pt.Session) -> list[Any]:
    x = s.input(np.ones(50), requires_grad=True)
    found: list[Any] = []
    for y in (s.dropout(x, 0.5, key=3), s.dropout(x, 0.5, key=4)):
        found += [y.value, s.backward_dense_all(y, np.ones(50))[x]]
    return found


# -- reading ----------------------------------------------------------------------------------------------
@program
def reading_is_pure(s: pt.Session) -> list[Any]:
    x = s.input([1.0, 2.0], requires_grad=True)
    y = s.square(x)
    text, count = s.graph.text(), len(s)
    first = y.value
    assert not first.flags.writeable
    assert (s.graph.text(), len(s)) == (text, count)
    return [first, y.value, x.value, s.add(y, x).value, y.value]


@program
def leaves_are_read_as_they_come(s: pt.Session) -> list[Any]:
    """Recorded often enough to be expected: a leaf may be read before the next one is there."""
    p, found = s.param([1.0, 2.0]), []
    for k in range(6):
        s.reset_tape()
        x = s.input([float(k), 1.0])
        found.append(x.value)
        w = s.use(p)
        found.append(w.value)
        y = s.input([3.0, 4.0])
        h = s.mul(w, x)
        if k > 3:
            found.append(h.value)
        out = s.sum(s.mul(h, y))
        found += [out.value, s.backward_scalar_dense_all(out)[w]]
    return found


@program
def many_backward_passes(s: pt.Session) -> list[Any]:
    x, w = s.input([1.0, 2.0]), s.add_leaf([3.0, 4.0])
    a, b = s.sum(s.mul(x, w)), s.sum(s.square(w))
    first, second = s.backward_scalar_dense_all(a), s.backward_scalar_dense_all(b)
    seeded = s.backward_dense_all(s.square(w), [1.0, 2.0])
    return [second[w], first[w], seeded[w], first[x], second[x], *first, *second]


@program
def what_is_absent(s: pt.Session) -> list[Any]:
    x, y = s.input([1.0, 2.0], requires_grad=True), s.input([3.0, 4.0])
    h = s.square(x)
    late = s.square(y)
    out = s.sum(h)
    grads = s.backward_scalar_dense_all(out)
    return [grads.is_absent(y), grads.is_absent(late), grads.is_absent(x), grads[y], grads[late], grads[h]]


@program
def the_root_is_a_leaf(s: pt.Session) -> list[Any]:
    p = s.param(3.0)
    w = s.use(p)
    grads = s.backward_scalar_dense_all(w)
    found = [w.value, grads[w], s.jvp_leaf(w, w, 5.0)]
    s.sgd_step_all(0.5, grads)
    return [*found, p.value]


@program
def undone_drafts(s: pt.Session) -> list[Any]:
    x, n = s.input([1.0, 2.0]), s.input_nat(1)
    found: list[Any] = []

    def fails(s: pt.Session) -> None:
        s.set_nat(n, 0)
        y = s.mul(x, s.full((2,), 8))
        found.append(y.value)
        found.append(s.gather_scalar_ref(x, n).value)
        raise KeyError

    with pytest.raises(KeyError):
        s.commit(fails)
    y = s.mul(x, s.full((2,), 2))
    z = s.gather_scalar_ref(x, n)
    return [*found, y.value, z.value]


@program
def empty_arrays(s: pt.Session) -> list[Any]:
    x = s.input(np.zeros((0, 3)), requires_grad=True)
    y = s.sum(s.exp(x))
    grads = s.backward_scalar_dense_all(y)
    return [y.value, grads[x], s.jvp_leaf(y, x, np.zeros((0, 3))), s.reduce_mean(s.square(x), axis=0).value]


QUICK = (ties, dead_branches, naturals_written_later, undone_drafts, many_backward_passes)
FIRST = [pytest.param(f, marks=() if f in QUICK else pytest.mark.slow, id=f.__name__) for f in PROGRAMS]


@pytest.mark.parametrize("fn", FIRST)
def test_same_answers(fn: Program) -> None:
    equal(answers(fn, "xla"), answers(fn, "numpy"))


@pytest.mark.slow
@pytest.mark.parametrize("scalar", ["float64", "bfloat16", "float16"])
@pytest.mark.parametrize("fn", PROGRAMS, ids=lambda f: f.__name__)
def test_same_answers_in_other_scalars(fn: Program, scalar: str) -> None:
    equal(answers(fn, "xla", scalar=scalar), answers(fn, "numpy", scalar=scalar))


# -- a session as any other -------------------------------------------------------------------------------
def test_replay_in_exact_numbers() -> None:
    s = pt.Session(engine="xla")
    p = s.param([0.5, 0.25], "p")
    w = s.use(p)
    loss = s.sum(s.square(w))
    s.sgd_step_all(0.5, s.backward_scalar_dense_all(loss))
    s.reset_tape()
    loss = s.sum(s.square(s.use(p)))
    exact = s.replay("rational")
    assert exact.engine == "numpy"
    assert exact.get_value(exact.ref(loss))[()] == float(np.sum(p.value**2))
    wide = s.replay("float64")
    assert wide.engine == "xla"
    assert wide.get_value(wide.ref(loss)) == exact.get_value(exact.ref(loss))


def test_what_works_on_every_session_works_here() -> None:
    s = pt.Session(engine="xla")
    x = s.input([1.0, 2.0], "x", requires_grad=True)
    loss = s.sum(s.square(x))
    assert s.trust() is not None
    assert s.state.leaf_values[0].tolist() == [1, 2]
    assert pt.Graph.parse(s.graph.text()) == s.graph
    with pytest.raises(TypeError, match="neither copied nor pickled"):
        copy.copy(s)
    assert loss.value == 5


@pytest.mark.proofs
def test_a_certificate() -> None:
    s = pt.Session(engine="xla")
    x = s.input([1.0, 2.0], "x", requires_grad=True)
    verdict = s.certify(s.sum(s.square(x)))
    assert verdict.outcome == "proved", verdict


@pytest.mark.slow
def test_sessions_of_two_precisions_in_two_threads() -> None:
    """Float64 switches JAX to 64 bits, for its own thread and no longer than it runs."""

    def train(scalar: str) -> np.ndarray:
        s = pt.Session(scalar, engine="xla")
        w = s.param([1 / 3, 2 / 3])
        for k in range(40):
            s.reset_tape()
            y = s.sum(s.square(s.mul(s.use(w), s.input([k / 7, 1.0]))))
            s.sgd_step_all(0.01, s.backward_scalar_dense_all(y))
            if k % 3 == 0:
                assert y.value.dtype == np.dtype(scalar)
        return np.array(w.value)

    want = [train(scalar) for scalar in ("float32", "float64")]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(train, ["float32", "float64"] * 4))
    for k, value in enumerate(got):
        assert value.dtype == want[k % 2].dtype and np.array_equal(value, want[k % 2])


def test_the_numpy_engine_has_the_same_graph_and_state() -> None:
    def build(engine: str) -> pt.Session:
        s = pt.Session(engine=engine)
        w = s.use(s.param([[1.0, 2.0]], "w"))
        s.sum(s.matmul(w, s.input([[3.0], [4.0]], "x")))
        return s

    a, b = build("xla"), build("numpy")
    assert a.graph.text() == b.graph.text() and a.state == b.state
    assert str(a.compile_tape()) == str(b.compile_tape())

"""compile_step: equal to the uncompiled function, one program per structure."""

from __future__ import annotations

import threading
import warnings
from collections import namedtuple
from fractions import Fraction as F
from typing import Any

import numpy as np
import pytest
from exact_cases import exact, poly
from stepping_cases import ENGINES, assert_within_rounding, data, leaves, network, program, train

import prooftape as pt
from prooftape.errors import (
    DonatedError,
    IndexRangeError,
    ValueTypeError,
)
from prooftape.recompilation import RecompilationWarning

jax = pytest.importorskip("jax")
jnp = jax.numpy

# -- the same results -------------------------------------------------------------------------------------
TRANSFORMS = {
    "the function": lambda f: f,
    "grad": pt.grad,
    "value_and_grad": pt.value_and_grad,
    "grad of grad": lambda f: pt.grad(lambda x: pt.grad(f)(x)[1]),
    "jvp": lambda f: lambda x: pt.jvp(f, (x,), (x * 2,)),
    "vjp": lambda f: lambda x: pt.vjp(f, x)[1](x[0]),
    "hvp": lambda f: lambda x: pt.hvp(f, (x,), (x,)),
    "jacobian": pt.jacobian,
    "hessian": pt.hessian,
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_compiled_transforms_are_exactly_the_plain_ones(name: str) -> None:
    transform = TRANSFORMS[name]
    step = pt.compile_step(transform(poly), engine="numpy")
    for x in (exact([F(1, 2), 2, F(-3, 4)]), exact([3, F(-1, 7), 1])):
        s = pt.Session("rational")
        plain = jax.tree_util.tree_map(s.get_value, transform(poly)(s.input(x)))
        found = step(x)
        assert [a.tolist() for a in leaves(found)] == [a.tolist() for a in leaves(plain)]
        assert jax.tree_util.tree_structure(found) == jax.tree_util.tree_structure(plain)
    assert step.stats().structures == 1 and step.stats().calls == 2


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numpy_results_have_the_bits_of_the_recorded_graph(name: str, dtype: Any) -> None:
    x = np.array([0.3, -1.7, 2.1], dtype)
    s = pt.Session(np.dtype(dtype).name)
    plain = jax.tree_util.tree_map(s.get_value, TRANSFORMS[name](poly)(s.input(x)))
    for _ in range(2):
        found = pt.compile_step(TRANSFORMS[name](poly), engine="numpy")(x)
        assert [a.tobytes() for a in leaves(found)] == [a.tobytes() for a in leaves(plain)]
        assert all(a.dtype == dtype and not a.flags.writeable for a in jax.tree_util.tree_leaves(found))


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.slow)])
def test_xla_results_are_within_rounding(name: str, dtype: Any) -> None:
    x = np.array([0.3, -1.7, 2.1], dtype)
    step = pt.compile_step(TRANSFORMS[name](poly))
    for shift in (0, 1):
        found = step((x + shift).astype(dtype))
        assert_within_rounding(step, [(x + shift).astype(dtype)], found)
    assert all(a.dtype == dtype for a in leaves(found))


def test_a_training_step_within_rounding_and_against_the_plain_one() -> None:
    params, x, labels = data(dtype=np.float64)
    plain = pt.value_and_grad(network)(params, x, labels)
    for engine in ENGINES:
        step = pt.compile_step(train, engine=engine)
        loss, new = step(params, x, labels)
        # the plain gradient adds in another order: some dozen roundings of 1e-16
        assert loss == pytest.approx(plain[0], rel=1e-12)
        for p, q, g in zip(leaves(params), leaves(new), leaves(plain[1]), strict=True):
            np.testing.assert_allclose(q, p - 0.1 * g, rtol=1e-12)
        assert_within_rounding(step, [*leaves(params), x, labels], (loss, new))


@pytest.mark.slow
@pytest.mark.parametrize("scalar", ["bfloat16", "float16"])
def test_low_precision_in_both_engines(scalar: str) -> None:
    params, x, labels = data()
    for engine in ENGINES:
        step = pt.compile_step(train, engine=engine, scalar=scalar)
        loss, new = step(params, x, labels)
        assert new["w"].dtype.name == loss.dtype.name == scalar
        assert_within_rounding(step, [*leaves(params), x, labels], (loss, new))


def test_it_composes_with_the_transforms_around_it() -> None:
    x = exact([F(1, 2), 2, F(-3, 4)])
    inner = pt.compile_step(poly, engine="numpy")
    assert pt.grad(inner)(x).tolist() == pt.grad(poly)(x).tolist()
    assert inner.stats().calls == 0  # it was recorded into the derivative
    outer = pt.compile_step(pt.grad(pt.compile_step(poly, engine="numpy")), engine="numpy")
    assert outer(x).tolist() == pt.grad(poly)(x).tolist()
    twice = pt.compile_step(lambda x: inner(x) * 2, engine="numpy")
    assert twice(x) == 2 * pt.compile_step(poly, engine="numpy")(x)


def test_a_step_may_close_over_what_a_derivative_around_it_moves() -> None:
    grid = exact([1, 2, 3])

    def loss(w: pt.TensorRef) -> pt.TensorRef:
        step = pt.compile_step(lambda t: (w * t * t).sum(), engine="numpy")
        return step(grid) + pt.grad(step)(grid).sum()

    assert pt.grad(loss)(exact(2)) == 14 + 12
    assert pt.compile_step(pt.grad(loss), engine="numpy")(exact(2)) == 14 + 12


# -- structures -------------------------------------------------------------------------------------------
Pair = namedtuple("Pair", "left right")


@pytest.mark.parametrize("engine", ENGINES)
def test_nestings_go_in_and_out(engine: str) -> None:
    step = pt.compile_step(
        lambda tree, *, more: {"sum": tree[0] + more["k"][0], "pair": Pair(tree[1].left, [None, "text"])},
        engine=engine,
    )
    out = step((np.ones(2), Pair(np.zeros(3), None)), more={"k": [np.full(2, 4.0)]})
    assert out["sum"].tolist() == [5, 5] and out["pair"] == Pair(out["pair"].left, [None, "text"])
    assert out["pair"].left.tolist() == [0, 0, 0] and isinstance(out["pair"], Pair)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.filterwarnings("ignore::prooftape.recompilation.RecompilationWarning")
def test_settings_are_told_apart_by_value_and_class(engine: str) -> None:
    seen = []

    def fn(x: pt.TensorRef, setting: Any) -> pt.TensorRef:
        seen.append(setting)
        return x.session.full((), 1 if isinstance(setting, bool) else 2) * x

    step = pt.compile_step(fn, engine=engine)
    for setting in (1, 1.0, True, 0.0, -0.0, float("nan"), float("nan"), "a", None, 1, -0.0, F(1, 2)):
        out = step(np.ones(()), setting)
        assert out == (1 if setting is True else 2)
    assert [repr(s) for s in seen] == [
        repr(s) for s in (1, 1.0, True, 0.0, -0.0, float("nan"), "a", None, F(1, 2))
    ]
    assert step.stats().compiles == 9 and step.stats().calls == 12


@pytest.mark.parametrize("engine", ENGINES)
def test_the_function_runs_once_per_structure(engine: str) -> None:
    runs = []

    def fn(x: pt.TensorRef) -> pt.TensorRef:
        runs.append(x.shape)
        return (x * x).sum()

    step = pt.compile_step(fn, engine=engine)
    draw = np.random.default_rng(1)
    for k in range(1000):
        x = draw.normal(size=(1 + (k * k) % 3, 1 + k % 2)).astype(np.float32)
        expected = float(np.square(x.astype(np.float64)).sum())
        assert float(step(x)) == pytest.approx(expected, rel=7 * 2.0**-24)  # at most 6 squares and 5 sums
    assert len(runs) == len(set(runs)) == step.stats().structures == 4
    assert step.stats().calls == 1000
    step.clear()
    assert step.stats() == type(step.stats())(0, 0, 0, 0.0, 0)
    assert float(step(x)) == pytest.approx(expected, rel=1e-6) and len(runs) == 5


@pytest.mark.slow
def test_thousands_of_calls_with_changing_shapes_on_the_device() -> None:
    step = pt.compile_step(train, donate="params")
    kept = pt.compile_step(train)
    draw = np.random.default_rng(2)
    params, _, _ = data()
    device = jax.tree_util.tree_map(jnp.array, params)
    for k in range(3000):
        n = int(draw.integers(1, 7))
        _, x, labels = data(n, seed=k)
        start = jax.tree_util.tree_map(np.asarray, device)
        start = jax.tree_util.tree_map(np.array, start)  # the memory is about to be given away
        loss, device = step(device, jnp.array(x), jnp.array(labels))
        if k % 50 == 0:
            for a, b in zip(leaves((loss, device)), leaves(kept(start, x, labels)), strict=True):
                np.testing.assert_array_equal(a, b)  # the same program, but for the memory
    assert step.stats().structures == 6


@pytest.mark.parametrize("engine", ENGINES)
def test_the_scalar_follows_the_arguments(engine: str) -> None:
    step = pt.compile_step(lambda x: x / 3, engine=engine)
    for dtype in (np.float64, np.float32, np.float64):
        out = step(np.ones(2, dtype))
        assert out.dtype == dtype and out.tolist() == (np.ones(2, dtype) / dtype(3)).tolist()
    for dtype in (">f4", np.longdouble, np.float16):
        assert step(np.ones(2, dtype)).tolist() == [np.float32(1) / np.float32(3)] * 2
    fixed = pt.compile_step(lambda x: x / 3, engine=engine, scalar="float32")
    assert fixed(np.ones(2)).dtype == np.float32


def test_many_structures_are_bounded() -> None:
    from prooftape.transforms import compiled

    step = pt.compile_step(lambda x, k: x * k, engine="numpy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecompilationWarning)
        for k in range(compiled.MAX_STRUCTURES + 20):
            assert step(np.ones(1), k) == k
    assert step.stats().structures == compiled.MAX_STRUCTURES
    assert step(np.ones(1), 0) == 0  # dropped, and made again


@pytest.mark.parametrize("engine", ENGINES)
def test_masks_and_naturals_are_data(engine: str) -> None:
    step = pt.compile_step(lambda x, m, i: x.session.where(m, x, -x)[i], engine=engine)
    x = np.array([1.0, 2.0, 3.0])
    assert step(x, np.array([True, False, True]), np.array([1, 2])).tolist() == [-2, 3]
    assert step(x, np.array([False, False, False]), np.array([0, 0], np.uint8)).tolist() == [-1, -1]
    if engine == "xla":
        on_device = step(jnp.array(x), jnp.array([True, False, True]), jnp.array([1, 2]))
        assert isinstance(on_device, jax.Array) and on_device.tolist() == [-2, 3]


@pytest.mark.parametrize("engine", ENGINES)
def test_labels_are_checked_at_every_call(engine: str) -> None:
    step = pt.compile_step(network, engine=engine)
    params, x, labels = data()
    first = step(params, x, labels)
    other = np.array([2, 2, 0, 1, 1])
    assert step(params, x, other) != first
    with pytest.raises(
        IndexRangeError, match=r"cross_entropy \[stepping_cases.py:\d+\]: label 3 at position 4"
    ):
        step(params, x, np.array([0, 1, 2, 0, 3]))
    with pytest.raises(ValueTypeError, match=r"labels: expected a natural number .* got -1 at position 0"):
        step(params, x, np.array([-1, 1, 2, 0, 0]))
    assert step(params, x, labels) == first


@pytest.mark.parametrize("engine", ENGINES)
def test_constants_of_the_surroundings(engine: str) -> None:
    table, mask = np.arange(3.0), np.array([True, False, True])

    def fn(x: pt.TensorRef) -> pt.TensorRef:
        s = x.session
        early, also = s.const(table), s.const(mask)
        return s.where(also, x * early, x + table)

    step = pt.compile_step(fn, engine=engine)
    for k in (1.0, 2.0):
        assert step(np.full(3, k)).tolist() == [0, k + 1, 2 * k]


@pytest.mark.parametrize("engine", ENGINES)
def test_results_never_share_memory_with_arguments(engine: str) -> None:
    step = pt.compile_step(lambda x: (x, x.reshape(2, 2), x * 1), engine=engine)
    x = np.arange(4.0)
    results = step(x)
    assert step(x)[0].tolist() == [0, 1, 2, 3]
    x[:] = 7
    assert [r.ravel().tolist() for r in results] == [[0, 1, 2, 3]] * 3
    assert not any(r.flags.writeable for r in results)


# -- device arrays ----------------------------------------------------------------------------------------
def test_device_arrays_stay_on_the_device() -> None:
    step = pt.compile_step(train)
    params, x, labels = data()
    on_device = jax.tree_util.tree_map(jnp.array, params)
    loss, new = step(on_device, x, labels)
    assert isinstance(loss, jax.Array) and all(isinstance(p, jax.Array) for p in new["b"])
    loss2, new2 = step(params, x, labels)
    assert isinstance(loss2, np.ndarray) and isinstance(new2["w"], np.ndarray)
    assert step.stats().structures == 2
    np.testing.assert_array_equal(np.asarray(new["w"]), new2["w"])  # the same program on the same numbers
    assert not on_device["w"].is_deleted()


def test_donated_memory_is_given_away_and_said_so() -> None:
    step = pt.compile_step(train, donate=["params"])
    kept = pt.compile_step(train)
    params, x, labels = data()
    device = jax.tree_util.tree_map(jnp.array, params)
    wanted = jax.tree_util.tree_map(jnp.array, params)
    for _ in range(4):
        old = device
        loss, device = step(device, jnp.array(x), jnp.array(labels))
        loss2, wanted = kept(wanted, jnp.array(x), jnp.array(labels))
        assert old["w"].is_deleted() and float(loss) == float(loss2)
    for a, b in zip(leaves(device), leaves(wanted), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(DonatedError, match=r"the memory of params\['b'\]\[0\] was given to an earlier step"):
        step(old, jnp.array(x), jnp.array(labels))
    with pytest.raises(DonatedError, match=r"the memory of params\['b'\]\[0\]"):
        kept(old, jnp.array(x[:2]), jnp.array(labels[:2]))  # a structure that is not compiled yet
    assert step(params, x, labels)[1]["w"].shape == (6, 4)  # NumPy arrays are never taken
    assert params["w"].flags.writeable


def test_only_what_a_result_can_take_is_donated() -> None:
    step = pt.compile_step(lambda a, b: (a.sum(), b), donate=("a", "b"))
    a, b = jnp.ones(3), jnp.ones(3)
    total, same = step(a, b)
    assert total == 3 and same.tolist() == [1, 1, 1]
    assert not a.is_deleted()


@pytest.mark.parametrize("donate", [pytest.param((), marks=pytest.mark.slow), ("x",)])
def test_zero_cotangents_absorb_as_they_do_uncompiled(donate: Any) -> None:
    """The fast program leaves out a branch, notices that it mattered, and the strict one runs."""
    n = 64
    mask = np.zeros((n, n), np.bool_)
    mask[:, 0] = True
    w = np.ones((n, n), np.float32)
    w[3, 5] = np.inf  # met by zero cotangents only
    x = np.random.default_rng(0).normal(size=(n, n)).astype(np.float32)

    def f(x: Any, w: Any, m: Any) -> Any:
        return x.session.where(m, x @ w, 0 * x).sum()

    def step_of(x: Any, w: Any, m: Any) -> Any:
        return x - pt.grad(f)(x, w, m)

    wanted = pt.compile_step(step_of, engine="numpy")(x, w, mask)
    np.testing.assert_array_equal(wanted, x - 1)  # each entry of x meets one 1
    step = pt.compile_step(step_of, donate=donate)
    for weight, expected in ((w, wanted), (np.ones_like(w), wanted), (w, wanted)):
        found = step(jnp.array(x), jnp.array(weight), jnp.array(mask))
        np.testing.assert_array_equal(np.asarray(found), expected)
    assert program(step).flagged
    assert program(step).program._strict_form is not None
    np.testing.assert_array_equal(pt.compile_step(step_of)(x, w, mask), wanted)


# -- threads ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ENGINES)
def test_threads_may_share_a_step(engine: str) -> None:
    runs = []

    def fn(x: pt.TensorRef) -> pt.TensorRef:
        runs.append(x.shape)
        return (x * 2).sum()

    step = pt.compile_step(fn, engine=engine)
    wrong: list[object] = []
    start = threading.Barrier(3)

    def work(offset: int) -> None:
        start.wait()
        for k in range(200):
            n = 1 + (k + offset) % 4
            found = float(step(np.full(n, float(k))))
            if found != 2.0 * k * n:
                wrong.append((n, k, found))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == [] and sorted(runs) == [(1,), (2,), (3,), (4,)]

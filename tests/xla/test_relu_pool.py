"""relu behind max-pool, with a convolution before it: values and cotangents of the very same graph."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax", reason="needs the extra xla")

import prooftape as pt
from prooftape.ops.pooling import _windows
from prooftape.xla import lowerings
from prooftape.xla.lowerings import relu_pool
from prooftape.xla.structure import Structure, structure

ODD = [np.nan, np.inf, -np.inf, -0.0, 0.0]
Arr = Any


def integers(shape: Sequence[int], seed: int, low: int = -3, high: int = 4) -> Arr:
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.float32)


def structure_of(s: pt.Session, on: bool | Sequence[str] = True, scalar: str = "float32") -> Structure:
    graph = s.graph
    return structure(scalar, lowerings.enabled(on), graph.leaves, graph.nodes)


def joined(s: pt.Session) -> list[int]:
    """How many instructions each chain of a recorded graph replaces."""
    return [len(chain.inner) + 1 for chain in structure_of(s).chains(())]


# -- what is recorded: session, loss, y, leaves -------------------------------------------------------------
def session(engine: str, on: Any = True) -> pt.Session:
    return pt.Session(engine=engine, lowerings=on) if engine == "xla" else pt.Session()


def weighted(s: pt.Session, y: Any) -> Any:
    """A scalar whose cotangent of y is small integers, the same every time."""
    return s.sum(s.mul(y, s.const(integers(y.shape, 9))))


def pooled(engine: str, x: Arr, pool: Any, on: Any = True) -> tuple[pt.Session, Any, Any, Any]:
    s = session(engine, on)
    image = s.input(x, "x", requires_grad=True)
    y = s.max_pool(s.relu(image), **pool)
    return s, weighted(s, y), y, [image]


def convolved(
    engine: str, arrays: Sequence[Arr], conv: Any, pool: Any, image: bool = True
) -> tuple[pt.Session, Any, Any, Any]:
    """`image`: whether the cotangent of x is wanted too."""
    s = session(engine)
    named = zip(arrays, "wbx", strict=True)
    leaves = [s.input(a, name, requires_grad=image or name != "x") for a, name in named]
    y = s.max_pool(s.relu(s.conv(*leaves, **conv)), **pool)
    return s, weighted(s, y), y, leaves if image else leaves[:2]


def found(made: tuple[pt.Session, Any, Any, Any]) -> list[Arr]:
    """Cotangents first: the value of y by itself is another program."""
    s, loss, y, leaves = made
    grads = s.backward_scalar_dense_all(loss)
    return [*(np.asarray(grads[leaf]) for leaf in leaves), np.asarray(loss.value), np.asarray(y.value)]


def the_same(ours: Any, theirs: Any) -> None:
    for a, b in zip(found(ours), found(theirs), strict=True):
        np.testing.assert_array_equal(a, b)


POOLS = [
    ((2, 3, 6, 4), {"kernel": (2, 2)}),
    ((2, 7, 5), {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 1)}),
]


@pytest.mark.parametrize(("shape", "pool"), POOLS)
def test_relu_and_max_pool_change_places(shape: Any, pool: Any) -> None:
    x = integers(shape, 0)
    x[..., :2, :] = -np.abs(x[..., :2, :])  # windows without a positive cell, and with ties
    odd = np.random.default_rng(1).choice(x.size, 12, replace=False)
    x.ravel()[odd] = np.resize(ODD, 12)
    ours = pooled("xla", x, pool)
    assert joined(ours[0]) == [2]
    the_same(ours, pooled("numpy", x, pool))


def test_windows_of_every_kind() -> None:
    """Every choice of four cells among these, each a window: ties, zeros of both signs, infinities, nan."""
    kinds = [-np.inf, -1, -0.0, 0, 1, np.inf, np.nan]
    x = np.array(list(itertools.product(kinds, repeat=4)), np.float32).reshape(1, -1)
    pool = {"kernel": (4,)}
    ours = pooled("xla", x, pool)
    assert joined(ours[0]) == [2]
    the_same(ours, pooled("numpy", x, pool))


CONVOLVED = [
    # w, x, of the convolution, of the pool, whether it is one loop
    ((4, 1, 3, 3), (2, 1, 8, 6), {"padding": 1}, {"kernel": (2, 2)}, True),
    ((3, 2, 2), (2, 9), {"stride": 2, "padding": 1}, {"kernel": (5,)}, True),
    ((4, 12, 3, 3), (2, 12, 4, 6), {"padding": 1}, {"kernel": (2, 2)}, False),
    (
        (4, 12, 3, 3),
        (2, 12, 7, 6),
        {"stride": (2, 1)},
        {"kernel": (3, 2), "stride": 1, "padding": (1, 0)},
        False,
    ),
]


@pytest.mark.parametrize(("w", "x", "conv", "pool", "one"), CONVOLVED)
def test_a_convolution_before_them(w: Any, x: Any, conv: Any, pool: Any, one: bool) -> None:
    arrays = [integers(w, 0), integers(w[:1], 1), integers(x, 2)]
    ours = convolved("xla", arrays, conv, pool)
    assert joined(ours[0]) == [3]
    calls = [node.call for node in ours[0].graph.nodes]
    assert relu_pool.in_one_loop(calls[0], _windows(calls[2])) == one
    the_same(ours, convolved("numpy", arrays, conv, pool))


FIRST = [
    CONVOLVED[0],
    ((2, 2, 2, 3), (2, 2, 7, 9), {"stride": (1, 2), "padding": (1, 1)}, {"kernel": (2, 1)}, True),
    CONVOLVED[1],
]


@pytest.mark.parametrize("case", [FIRST[1], *(pytest.param(c, marks=pytest.mark.slow) for c in FIRST[::2])])
def test_the_first_layer_of_a_network(case: Any) -> None:
    w, x, conv, pool, one = case
    arrays = [integers(w, 0), integers(w[:1], 1), integers(x, 2)]
    ours = convolved("xla", arrays, conv, pool, image=False)
    calls = [node.call for node in ours[0].graph.nodes]
    assert relu_pool.in_one_loop(calls[0], _windows(calls[2])) == one
    the_same(ours, convolved("numpy", arrays, conv, pool, image=False))


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("odd", [np.nan, np.inf])
@pytest.mark.parametrize(
    ("case", "image"), [(CONVOLVED[0], True), (CONVOLVED[0], False), (CONVOLVED[2], True)]
)
def test_zeros_absorb_as_in_the_definition(place: int, odd: float, case: Any, image: bool) -> None:
    w, x, conv, pool, _ = case
    arrays = [integers(w, 0), integers(w[:1], 1), integers(x, 2)]
    arrays[place].ravel()[1] = odd
    the_same(convolved("xla", arrays, conv, pool, image), convolved("numpy", arrays, conv, pool, image))


def trained(engine: str, on: Any = True) -> list[Arr]:
    """Parameters after two steps of a small network of integers, whose last image is flattened."""
    s = session(engine, on)
    shapes = [(3, 1, 3, 3), (3,), (4, 18)]
    params = [s.param(integers(shape, i, -1, 2)) for i, shape in enumerate(shapes)]
    for step in range(2):
        s.reset_tape()
        w, b, v = map(s.use, params)
        h = s.max_pool2d(s.relu(s.conv2d(w, b, s.input(integers((2, 1, 4, 6), step)), padding=1)), 2)
        out = s.matmul(s.reshape(h, (2, 18)), s.transpose2d(v))
        s.sgd_step_all(1.0, s.backward_scalar_dense_all(weighted(s, out)))
    return [param.value for param in params]


def test_steps_of_a_network_are_the_same() -> None:
    for a, b in zip(trained("xla"), trained("numpy"), strict=True):
        np.testing.assert_array_equal(a, b)


# -- when it applies -----------------------------------------------------------------------------------------
def recorded(pool: Any = None) -> tuple[pt.Session, list[int]]:
    """A session with conv, relu and max-pool; their context ids."""
    s = session("xla")
    w, b, x = s.input(np.ones((2, 1, 3, 3))), s.input(np.ones(2)), s.input(np.ones((1, 4, 4)))
    y = s.conv2d(w, b, x, padding=1)
    r = s.relu(y)
    return s, [y.id, r.id, s.max_pool2d(r, **(pool or {"kernel": 2})).id]


def test_what_is_asked_for_stays_a_slot() -> None:
    s, (conv, relu, pool) = recorded()
    st = structure_of(s)
    assert [len(chain.inner) for chain in st.chains((pool,))] == [2]
    assert [chain.inner for chain in st.chains((pool, conv))] == [(relu,)]
    assert st.chains((pool, relu)) == []
    assert [instr.args for instr in st.tape((pool,)).instrs][-1] == (0, 1, 2)
    assert st.tape((relu,)).instrs == st.instrs


def test_a_second_reader_keeps_it_apart() -> None:
    s, (_, relu, _) = recorded()
    st = structure_of(s)
    again = st.nodes[relu - st.base]
    other = Structure(
        "float32", lowerings.enabled(True), st.leaves, [*st.nodes, again._replace(args=(relu,))]
    )
    assert other.chains(()) == []


@pytest.mark.parametrize("on", [False, ["conv", "max_pool"], ["relu_pool"], ["relu_pool", "conv"]])
def test_switched_off_nothing_is_joined(on: Any) -> None:
    s, _ = recorded()
    assert structure_of(s, on).chains(()) == []


def test_only_relu_and_pool_are_joined_without_the_convolutions_lowering() -> None:
    s, (_, relu, _) = recorded()
    assert [c.inner for c in structure_of(s, ["relu_pool", "max_pool"]).chains(())] == [(relu,)]


def test_where_numbers_are_rounded_between_they_stay_apart() -> None:
    s, _ = recorded()
    assert structure_of(s, scalar="bfloat16").chains(()) == []


def test_it_is_named_where_trust_is_asked_for() -> None:
    s, _ = recorded()
    kernels = {row.op: row.kernel for row in s.trust().rows}
    assert kernels["conv2d"].endswith("lowering conv, relu_pool")
    assert kernels["relu"].endswith("lowering relu_pool")
    assert kernels["max_pool2d"].endswith("lowering max_pool, relu_pool")


@pytest.mark.slow
def test_a_profile_gives_a_chains_time_to_its_last_instruction() -> None:
    made = convolved(
        "xla",
        [integers((4, 1, 3, 3), 0), integers((4,), 1), integers((2, 1, 8, 6), 2)],
        {},
        {"kernel": (2, 2)},
    )
    s, loss, _, leaves = made
    with s.profile() as p:
        s.backward_scalar_dense_all(loss)[leaves[0]]
    assert p.notes == []
    timed = {n.op for n in p.nodes if n.forward > 0 and n.backward > 0}
    assert "max_pool" in timed and not timed & {"conv", "relu"}

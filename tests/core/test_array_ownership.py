"""Nothing that a session holds or has handed out is ever written to; no value changes its float format."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import prooftape as pt
from prooftape.arrays.floats import FloatArrays
from prooftape.handle_methods import TensorRef
from prooftape.op import Op
from prooftape.ops import table
from prooftape.session import Session
from prooftape.tape import backward_dense_from, compile_tape
from prooftape.testing.values import draw, draw_reals, record
from prooftape.types import REAL

OPS = list(table().values())


def recorded(op: Op, scalar: str) -> Iterator[tuple[Session, TensorRef]]:
    """Every sample of an op, each in a session of its own."""
    for i, sample in enumerate(op.samples()):
        rng = random.Random(f"{op.name} {i}")
        s = Session(scalar)
        leaves = [
            s.input(draw(rng, o), requires_grad=True) if o.kind != "mask" else None for o in sample.operands
        ]
        operands = [
            s.constant_operand(draw(rng, o)) if leaf is None else leaf
            for o, leaf in zip(sample.operands, leaves, strict=True)
        ]
        given = {a.name: a.default for a in op.attrs} | sample.attrs
        yield s, record(s, op, operands, tuple(given.values()), sample.nats)


@pytest.mark.parametrize("scalar", ["float32", "float64"])
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_no_rule_leaves_the_float_format(op: Op, scalar: str) -> None:
    wanted = np.dtype(scalar)
    for s, out in recorded(op, scalar):
        with np.errstate(all="ignore"):
            values = s._evaluate(out.id + 1)
            call, args, _ = s._nodes[-1]
            primals = [values[a] for a in args]
            natural = [np.asarray(v) for v in _naturals(s)]
            found = [*values[len(s._leaves) :]]
            if out.dtype == REAL:
                ct = s.scalar.xp.full(out.shape, 1)
                saved = [[*primals, values[out.id]][p] for p in call.saved] + natural
                wants = [t.dtype == REAL for t in call.types]
                found += [p for p in call.op.vjp(s.scalar.xp, call, saved, ct, wants) if p is not None]
                tangents = [
                    s.scalar.xp.full(t.shape, 1) if w else None
                    for t, w in zip(call.types, wants, strict=True)
                ]
                if any(t is not None for t in tangents):
                    moved = call.op.jvp(s.scalar.xp, call, [*primals, *natural], values[out.id], tangents)
                    found += [] if moved is None else [moved]
        for value in found:
            assert value.dtype.kind == "b" or value.dtype == wanted, (op.name, value.dtype)


def _naturals(s: Session) -> list[Any]:
    call, _, nats = s._nodes[-1]
    read = s._reader()
    return [read(start, k) for start, k in zip(nats, call.nat_sizes, strict=True)]


@pytest.mark.parametrize("rule", ["tanh", "tanh_prime"])
def test_a_rule_that_widens_is_seen(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FloatArrays, rule, lambda self, x: np.tanh(x.astype(np.float64)))
    with pytest.raises(AssertionError, match="float64"):
        test_no_rule_leaves_the_float_format(table()["tanh"], "float32")


# -- nothing is written to ---------------------------------------------------------------------------------
def locked(arrays: list[Any]) -> list[tuple[np.ndarray, bytes]]:
    """Makes arrays (and what they are views of) read-only, and remembers their bytes."""
    seen = []
    for a in arrays:
        if isinstance(a, np.ndarray):
            owner: object = a
            while isinstance(owner, np.ndarray):
                owner.flags.writeable = False
                owner = owner.base
            seen.append((a, a.tobytes()))
    return seen


def unchanged(seen: list[tuple[np.ndarray, bytes]]) -> bool:
    return all(a.tobytes() == before for a, before in seen)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_rules_write_into_nothing_they_are_given(op: Op) -> None:
    for s, out in recorded(op, "float32"):
        graph, xp, read = s.graph, s.scalar.xp, s._reader()
        values = s._evaluate(out.id + 1)
        if out.dtype != REAL:
            continue
        seed = s.scalar.to_array(draw_reals(random.Random(op.name), out.shape), "seed")
        seeds = [seed if i == out.id else None for i in range(len(graph))]
        before = locked([*values, seed])
        with np.errstate(all="ignore"):
            first = backward_dense_from(xp, compile_tape(graph), values, seeds, read)
            kept = locked(list(first))
            again = backward_dense_from(xp, compile_tape(graph), values, seeds, read)
        assert unchanged(before) and unchanged(kept)
        for a, b in zip(first, again, strict=True):
            assert (a is None) == (b is None) and (
                a is None or np.asarray(a).tobytes() == np.asarray(b).tobytes()
            )


def chain(s: Session, x: TensorRef) -> TensorRef:
    """One value used many times, through views, itself, and sums of itself."""
    total = s.add(x, x)
    for k in range(5):
        view = s.reshape(s.transpose2d(s.reshape(x, (4, 6))), (24,))
        total = s.add(s.add(total, view), s.mul(x, s.scale(x, k + 1)))
    return s.add(total, s.add(x, x))


def fan_out(s: Session, x: TensorRef) -> TensorRef:
    """Contributions that are broadcasts (zero strides), the seed itself, and saved values."""
    rows = s.broadcast_to(s.reshape(x, (1, 24)), (3, 24))
    parts = s.add(s.reduce_sum(rows, 0), s.exp(x))
    return s.add(s.add(s.add(parts, x), s.add(x, s.neg(x))), s.mul(x, s.exp(x)))


def many_adds(s: Session, x: TensorRef) -> TensorRef:
    y = x
    for _ in range(6):
        y = s.add(y, x)
    return y


@pytest.mark.parametrize("scalar", ["float32", "float64", "float16"])
@pytest.mark.parametrize("build", [chain, fan_out, many_adds], ids=lambda f: f.__name__)
def test_sums_grow_in_memory_nobody_else_sees(build: Callable[..., TensorRef], scalar: str) -> None:
    rng = np.random.default_rng(3)
    given = rng.normal(size=24)
    s = pt.Session(scalar)
    p = s.param(given, name="p")
    x = s.use(p)
    out = build(s, x)
    s.get_value(out)
    seed = rng.normal(size=24)
    before = locked([*s._values, p.stored])
    seed_bytes, given_bytes = seed.tobytes(), given.tobytes()
    first = s.backward_dense_all(out, seed)
    held = [first.of_id(i) for i in range(len(s.graph))]
    kept = [g.tobytes() for g in held]
    second = s.backward_dense_all(out, seed)
    assert [second.of_id(i).tobytes() for i in range(len(s.graph))] == kept
    third = s.backward_dense_all(out, 2 * seed)
    assert third.of_id(0).tobytes() != kept[0]
    assert [g.tobytes() for g in held] == kept  # gradients in a user's hands stay as they were
    s.sgd_step_all(0.1, third)
    assert [g.tobytes() for g in held] == kept
    assert unchanged(before) and seed.tobytes() == seed_bytes and given.tobytes() == given_bytes


def test_in_place_sums_are_the_definition_bit_for_bit() -> None:
    from prooftape.semantics import backprop_all_ctx, eval

    rng = np.random.default_rng(0)
    for build in (chain, fan_out, many_adds):
        s = pt.Session("float32")
        out = build(s, s.input(rng.normal(size=24), requires_grad=True))
        values = s._evaluate(out.id + 1)
        seeds: list[Any] = [None] * len(s.graph)
        seeds[out.id] = rng.normal(size=24).astype(np.float32)
        with np.errstate(all="ignore"):
            meaning = eval(s.scalar.xp, s.graph, list(s._leaf_values), s._reader())
            slow = backprop_all_ctx(s.scalar.xp, s.graph, meaning, s._reader(), seeds)
            fast = backward_dense_from(s.scalar.xp, compile_tape(s.graph), values, seeds, s._reader())
        for a, b in zip(slow, fast, strict=True):
            assert (a is None) == (b is None) and (a is None or a.tobytes() == b.tobytes())


def test_only_sums_of_the_loop_grow_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    grown: list[int] = []
    plain = FloatArrays.add_into

    def counted(self: FloatArrays, total: np.ndarray, part: np.ndarray) -> np.ndarray:
        grown.append(id(total))
        return plain(self, total, part)

    monkeypatch.setattr(FloatArrays, "add_into", counted)
    s = pt.Session("float32")
    x = s.input(np.ones(24), requires_grad=True)
    grads = s.backward_dense_all(many_adds(s, x), np.ones(24))
    assert grads[x].tolist() == [7.0] * 24
    assert (
        len(grown) == 5 and len(set(grown)) == 1
    )  # seven contributions: one new array, then five sums in it

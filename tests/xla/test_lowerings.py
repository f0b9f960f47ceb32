"""Lowerings against the op's own rules on NumPy: equal on integers where the op is sums and selections.

As the engine does: if the program with shortcuts reports that it may have missed an absorbing zero, the
strict rules decide. Cases of one kind are traced into one program, since compiling is what takes time.
"""

from __future__ import annotations

import contextlib
import itertools
import random
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="needs the extra xla")

from prooftape.arrays.floats import FloatArrays  # noqa: E402
from prooftape.errors import AttributeValueError  # noqa: E402
from prooftape.op import Call  # noqa: E402
from prooftape.ops import find  # noqa: E402
from prooftape.types import BOOL, REAL, TensorType  # noqa: E402
from prooftape.xla import lowerings  # noqa: E402
from prooftape.xla.arrays import JaxArrays  # noqa: E402
from prooftape.xla.lowerings.lowering import Lowering, rules_of  # noqa: E402

ALL = lowerings.enabled(True)
EXACT = ("conv", "max_pool", "linear")  # the others divide or are transcendental
# Of the largest magnitude in a result. Sums here have at most 300 terms of moderate size, so one is within
# 300 units in the last place, a product of two within about 600.
RELATIVE = {"float32": 600 * 2.0**-24, "float64": 600 * 2.0**-53}


def bound(name: str, shapes: list[Any], attrs: dict[str, Any], lengths: tuple[int, ...] = ()) -> Call:
    op = find(name)
    real = [REAL] * len(shapes)
    if name == "multi_head_attention" and len(shapes) == 6:
        real[5] = BOOL
    given = {a.name: a.default for a in op.attrs} | attrs
    types = tuple(TensorType.of(s, d) for s, d in zip(shapes, real, strict=True))
    return op.bind(types, tuple(given.values()), lengths)


def image(w: Any, x: Any, stride: Any = 1, padding: Any = 0) -> Call:
    name = "conv2d" if len(w) == 4 else "conv"
    return bound(name, [w, w[:1], x], {"stride": stride, "padding": padding})


def pool(x: Any, kernel: Any, stride: Any = None, padding: Any = 0) -> Call:
    return bound("max_pool", [x], {"kernel": kernel, "stride": stride, "padding": padding})


def attend(x: Any, columns: int, heads: int, masked: bool = False) -> Call:
    w = (x[-1], columns)
    shapes = [w, w, w, w[::-1], x] + [(x[-2], x[-2])] * masked
    return bound("multi_head_attention", shapes, {"num_heads": heads})


def samples() -> list[Call]:
    """Every sample of every op that has a lowering, where the lowering applies."""
    found = []
    for name in sorted({op for x in lowerings.ALL for op in x.ops}):
        for s in find(name).samples():
            call = bound(name, [o.shape for o in s.operands], s.attrs, tuple(map(len, s.nats)))
            if lowerings.choose(call, ALL).lowering:
                found.append(call)
    return found


LARGER = [
    image((3, 1, 3, 3), (2, 1, 6, 5), padding=1),
    image((4, 3, 3, 3), (2, 3, 7, 6), stride=2, padding=(1, 0)),
    image((4, 12, 3, 3), (2, 12, 7, 6), padding=1),
    image((3, 16, 3, 2), (1, 16, 8, 6), stride=(3, 2), padding=(2, 1)),
    image((5, 16, 3), (16, 9), padding=2),
    image((2, 20, 2, 1, 2), (2, 20, 3, 2, 4), stride=(1, 1, 2), padding=(1, 0, 1)),
    pool((2, 3, 6, 8), (2, 2)),
    pool((2, 3, 7, 8), (3, 2), (2, 1), (1, 1)),
    pool((2, 9), 4, 3, 2),
    pool((1, 2, 7, 5), (2, 2), (3, 3)),
    pool((1, 2, 4, 5, 3), (2, 3, 2), 1, (1, 1, 0)),
    bound("linear", [(7, 20), (7,), (6, 20)], {}),
    bound("linear", [(40, 9), (40,), (2, 3, 9)], {}),
    bound("nll_loss", [(8, 5)], {}, (8,)),
    bound("cross_entropy", [(9, 17)], {}, (9,)),
    bound("softmax", [(4, 33)], {"axis": 1}),
    bound("log_softmax", [(3, 4, 2)], {"axis": 1}),
    bound("batchnorm_channel_first", [(3, 4, 5, 2), (4,), (4,)], {}),
    bound("group_norm", [(2, 6, 3, 4), (6,), (6,)], {"num_groups": 2}),
    attend((2, 5, 6), 8, 4),
    attend((5, 6), 8, 2, masked=True),
]
WIDE = bound("linear", [(2048, 128), (2048,), (8, 128)], {})


def filled(call: Call, dtype: str, seed: int, odd: float | None = None) -> Any:
    """Operands, naturals, tangents and cotangent: small integers with ties; with `odd` one entry of each."""
    rng = np.random.default_rng(seed)

    def integers(shape: Any, spoil: bool = True) -> Any:
        values = rng.integers(-3, 4, shape).astype(dtype)
        if spoil and odd is not None and values.size:
            values.flat[rng.integers(values.size)] = odd
        return np.asarray(values)

    values = [rng.random(t.shape) < 0.6 if t.dtype == BOOL else integers(t.shape) for t in call.types]
    classes = (1, *call.shapes[0])[-1]
    nats = [rng.integers(0, classes + 1, k).astype(np.int32) for k in call.nat_sizes]
    moves = [None if t.dtype == BOOL else integers(t.shape, spoil=False) for t in call.types]
    return values, nats, moves, integers(call.shape)


def derived(xp: Any, rules: Any, call: Call, values: Any, nats: Any, moves: Any, ct: Any) -> list[Any]:
    out = rules.forward(xp, call, *values, *nats)
    entries = [*values, out]
    saved = [entries[p] for p in call.saved]
    wanted = [t.dtype == REAL for t in call.types]
    tangent = rules.jvp(xp, call, (*values, *nats), out, moves)
    return [out, tangent, *rules.vjp(xp, call, [*saved, *nats], ct, wanted)]


def on_numpy(call: Call, dtype: str, given: Any) -> list[Any]:
    with np.errstate(all="ignore"):
        return derived(FloatArrays(dtype), call.op, call, *given)


@cache
def compiled(calls: tuple[Call, ...], dtype: str) -> Any:
    def program(given: Any) -> Any:
        found = []
        for call, inputs in zip(calls, given, strict=True):
            xp = JaxArrays(dtype, strict=False)
            rules = lowerings.choose(call, ALL)
            assert rules.lowering, call
            found.append((derived(xp, rules, call, *inputs), xp.suspects))
        return found

    return jax.jit(program)


def on_jax(calls: list[Call], dtype: str, given: Any) -> list[tuple[list[Any], bool]]:
    """Per call the lowered results, and whether the strict program is asked for."""
    with jax.enable_x64(True) if dtype == "float64" else contextlib.nullcontext():
        return [(results, any(map(bool, flags))) for results, flags in compiled(tuple(calls), dtype)(given)]


def agree(got: list[Any], want: list[Any], call: Call, dtype: str) -> None:
    exact = lowerings.choose(call, ALL).lowering in EXACT
    for a, b in zip(got, want, strict=True):
        assert (a is None) == (b is None), call
        if b is None:
            continue
        a, b = np.asarray(a), np.asarray(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype), call
        if exact:
            np.testing.assert_array_equal(a, b, err_msg=str(call))
            continue
        finite = np.isfinite(b)
        np.testing.assert_array_equal(np.where(finite, 0, a), np.where(finite, 0, b), err_msg=str(call))
        largest = np.abs(b[finite]).max(initial=1)
        assert np.abs(a[finite] - b[finite]).max(initial=0) <= RELATIVE[dtype] * largest, call


def check(calls: list[Call], dtype: str, seed: int, odd: float | None = None) -> int:
    """Compares, and returns how many calls asked for the strict program."""
    given = [filled(call, dtype, seed + n, odd) for n, call in enumerate(calls)]
    asked = 0
    for call, inputs, (got, strict) in zip(calls, given, on_jax(calls, dtype, given), strict=True):
        if strict:
            asked += 1  # the engine would now run the op's own rules
        else:
            agree(got, on_numpy(call, dtype, inputs), call, dtype)
    return asked


QUICK = [LARGER[0], LARGER[3], LARGER[6], LARGER[7], LARGER[11], LARGER[13], LARGER[15]]


def test_lowered_rules_mean_the_same() -> None:
    assert check(QUICK, "float32", 0) == 0


def test_a_spoiled_entry_is_passed_on_or_reported() -> None:
    asked = check(QUICK, "float32", 1, np.inf)
    assert 0 < asked < len(QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_on_samples_and_larger_shapes(dtype: str) -> None:
    calls = [*samples(), *LARGER, WIDE]
    assert {lowerings.choose(c, ALL).lowering for c in calls} == {x.name for x in lowerings.ALL}
    assert check(calls, dtype, 2) == 0


@pytest.mark.slow
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_spoiled_entries_in_every_place(odd: float) -> None:
    calls = [*samples(), *LARGER]
    for seed in range(3):
        asked = check(calls, "float32", 100 * seed, odd)
        assert asked < len(calls)


@pytest.mark.slow
def test_one_spoiled_operand_at_a_time() -> None:
    """Nothing else spoiled hides what one operand alone, or the cotangent alone, does."""
    calls = [*samples(), *LARGER]
    for place, odd, silent in itertools.product(range(7), (np.inf, np.nan), (False, True)):
        given = [spoiled(filled(call, "float32", 5), place, odd, silent) for call in calls]
        for call, inputs, (got, strict) in zip(calls, given, on_jax(calls, "float32", given), strict=True):
            if not strict:
                agree(got, on_numpy(call, "float32", inputs), call, "float32")


def spoiled(given: Any, place: int, odd: float, silent: bool) -> Any:
    """The same with one entry of operand `place` (6: of the cotangent) odd, if there is such an operand.

    `silent`: the cotangent is zero elsewhere, and absorbs what is odd.
    """
    values, _, _, ct = given
    ct[...] = np.where(silent, 0, ct)
    target = ct if place == 6 else values[place] if place < len(values) else np.empty(0)
    if target.size and target.dtype != np.bool_:
        target.flat[random.Random(place).randrange(target.size)] = odd
    return given


def test_names_and_choices() -> None:
    assert lowerings.enabled(True) == set(lowerings.names())
    assert lowerings.enabled(False) == frozenset()
    assert lowerings.enabled(["conv", "linear"]) == {"conv", "linear"}
    assert lowerings.enabled("conv") == {"conv"}
    with pytest.raises(AttributeValueError, match=r"'convolution' is not among the lowerings.*max_pool"):
        lowerings.enabled(["convolution", "conv"])


@pytest.mark.parametrize("call", [*LARGER, WIDE], ids=str)
def test_switched_off_the_rules_are_the_records_own(call: Call) -> None:
    name = lowerings.choose(call, ALL).lowering
    for on in (frozenset[str](), ALL - {name}):
        rules = lowerings.choose(call, on)
        assert rules.lowering is None
        assert (rules.forward, rules.vjp, rules.jvp) == (call.op.forward, call.op.vjp, call.op.jvp)
    assert lowerings.choose(call, frozenset({str(name)})).lowering == name


def test_what_does_not_apply_keeps_the_records_rules() -> None:
    beyond = image((1, 1, 2, 2), (1, 1, 3, 3), padding=2)  # windows that lie in the padding alone
    empty = image((1, 2, 1, 1), (0, 2, 2, 1))
    for call in (beyond, empty, bound("relu", [(2,)], {}), bound("linear", [(1, 2), (1,), (3, 2)], {})):
        assert lowerings.choose(call, ALL).lowering is None


def test_the_strict_program_uses_the_records_rules() -> None:
    def never(*_: object) -> object:
        raise AssertionError("a lowering in the strict program")

    call = bound("relu", [(2,)], {})
    rules = rules_of(call, Lowering("never", ("relu",), "", forward=never, vjp=never, jvp=never))
    x, xp = np.array([-1.0, 2.0]), FloatArrays("float64")
    strict = SimpleNamespace(strict=True, **{name: getattr(xp, name) for name in dir(xp) if name[0] != "_"})
    assert rules.forward(strict, call, x).tolist() == [0, 2]
    assert rules.vjp(strict, call, [x], x, [True])[0].tolist() == [0, 2]
    assert rules.jvp(strict, call, [x], x, [x]).tolist() == [0, 2]
    with pytest.raises(AssertionError, match="in the strict program"):
        rules.forward(SimpleNamespace(strict=False), call, x)

"""Every op's rules on `JaxArrays` against the same rules on `FloatArrays`, on every sample of every op."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="needs the extra xla")

from prooftape.arrays.floats import FloatArrays  # noqa: E402
from prooftape.op import Call, Operand, Sample  # noqa: E402
from prooftape.ops import find, table  # noqa: E402
from prooftape.testing.values import draw  # noqa: E402
from prooftape.types import BOOL, REAL, TensorType  # noqa: E402
from prooftape.vocabulary import Vocabulary  # noqa: E402
from prooftape.xla.arrays import JaxArrays  # noqa: E402

# Of the largest magnitude in the result, at least 1: samples hold a few dozen numbers of moderate size, so
# each result is within some tens of roundings. Measured: 6.5e-7 and 1.6e-15, both in norms.
RELATIVE = {"float32": 2e-6, "float64": 4e-15}


def rules(xp: Vocabulary[Any], call: Call, values: Any, nats: Any, tangents: Any, ct: Any) -> list[Any]:
    """Value, tangent and cotangents of one call."""
    out = call.op.forward(xp, call, *values, *nats)
    found = [xp.finish(out)]
    if call.out.dtype == REAL:
        if any(t is not None for t in tangents):
            found.append(call.op.jvp(xp, call, (*values, *nats), out, list(tangents)))
        entries = [*values, out]
        saved = [entries[p] for p in call.saved]
        wanted = [t.dtype == REAL for t in call.types]
        found += list(call.op.vjp(xp, call, [*saved, *nats], ct, wanted))
    return found


def drawn(sample: Sample, dtype: str, rng: random.Random) -> list[np.ndarray]:
    found = (draw(rng, operand) for operand in sample.operands)
    return [v if v.dtype == np.bool_ else v.astype(dtype) for v in found]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", table())
def test_rules_mean_the_same(name: str, dtype: str) -> None:
    op, rng = find(name), random.Random(name)
    inputs, calls, expected = [], [], []
    for sample in op.samples():
        values = drawn(sample, dtype, rng)
        types = tuple(TensorType.of(v.shape, BOOL if v.dtype == np.bool_ else REAL) for v in values)
        attrs = {a.name: a.default for a in op.attrs} | sample.attrs
        call = op.bind(types, tuple(attrs.values()), tuple(map(len, sample.nats)))
        nats = [np.array(v, np.int32) for v in sample.nats]
        moves = [None if t.dtype == BOOL else draw(rng, Operand(t.shape)).astype(dtype) for t in types]
        ct = draw(rng, Operand(call.shape)).astype(dtype)
        calls.append(call)
        inputs.append((values, nats, moves, ct))
        with np.errstate(all="ignore"):
            expected.append(rules(FloatArrays(dtype), call, *inputs[-1]))
    assert calls
    with jax.enable_x64(True) if dtype == "float64" else contextlib.nullcontext():

        def program(given: Any) -> Any:
            return [rules(JaxArrays(dtype), c, *args) for c, args in zip(calls, given, strict=True)]

        got = jax.jit(program)(inputs)
        for call, ours, theirs in zip(calls, got, expected, strict=True):
            assert [v is None for v in ours] == [v is None for v in theirs], call
            for a, b in zip(ours, theirs, strict=True):
                if a is not None:
                    agree(np.asarray(a), np.asarray(b), RELATIVE[dtype], call)


def agree(got: np.ndarray, want: np.ndarray, relative: float, call: Call) -> None:
    assert (got.dtype, got.shape) == (want.dtype, want.shape), call
    if want.dtype == np.bool_:
        assert (got == want).all(), call
        return
    finite = np.isfinite(want)
    np.testing.assert_array_equal(np.where(finite, 0, got), np.where(finite, 0, want), err_msg=str(call))
    largest = max(1.0, float(np.abs(want[finite]).max(initial=0)))
    gap = np.abs(got[finite] - want[finite]).max(initial=0)
    assert gap <= relative * largest, (call, gap / largest)

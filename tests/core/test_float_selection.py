"""Selections done on bits give exactly what np.where gives: nans, infinities and signed zeros included."""

from __future__ import annotations

import numpy as np
import pytest

from prooftape.arrays.floats import BRANCHY, FloatArrays


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided", "broadcast"])
@pytest.mark.parametrize("size", [3, BRANCHY + 7])
def test_where_and_gate_are_np_where(dtype: type, layout: str, size: int) -> None:
    rng = np.random.default_rng(size)
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-310, 1.5], dtype)

    def draw() -> np.ndarray:
        x = rng.choice(special, (size, 2))
        return {
            "contiguous": x,
            "transposed": rng.choice(special, (2, size)).T,
            "strided": rng.choice(special, (size, 4))[:, ::2],
            "broadcast": np.broadcast_to(x[:, :1], (size, 2)),
        }[layout]

    xp, a, b = FloatArrays(dtype), draw(), draw()
    for mask in (rng.random((size, 2)) < 0.5, (rng.random((2, size)) < 0.5).T):
        assert xp.where(mask, a, b).tobytes() == np.where(mask, a, b).tobytes()
        zero = np.zeros((size, 2), dtype)
        assert xp.gate(mask, a).tobytes() == np.where(mask, a, zero).tobytes()
        assert xp.gate(mask, a, complement=True).tobytes() == np.where(mask, zero, a).tobytes()

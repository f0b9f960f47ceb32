"""Exact arrays, and a function with every kind of derivative."""

from __future__ import annotations

from fractions import Fraction as F
from typing import Any

import numpy as np

import prooftape as pt


def exact(values: Any) -> np.ndarray:
    a = np.array(values, dtype=object)
    out = np.empty(a.size, dtype=object)
    out[:] = [F(v) for v in a.ravel()]
    return out.reshape(a.shape)


def poly(x: pt.TensorRef) -> pt.TensorRef:
    """Rational, not symmetric, with products, a quotient, a kink away from the points used."""
    s = x.session
    a, b = x[0], x[1]
    return a * a * b + s.relu(b * 3 - a) / (a * a + 1) + (x * x).sum() * x[2]

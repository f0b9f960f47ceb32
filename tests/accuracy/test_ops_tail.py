"""What a session returns as a derivative, not only its kernel, is within 4 ulp over the whole finite range.

Every op whose record promises tail accuracy is differentiated in both modes at points of every magnitude and
compared with a reference of at least 200 bits.
"""

from __future__ import annotations

import math
import os
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from exact_functions import FORMULAS, REALS, Formula, power_formula, scaled_exp_formula
from kernel_cases import Case, measure
from ulp_error import FORMATS, ulp_error

import prooftape as pt
from prooftape.ops import table

BOUND = 4.0
POINTS = 400


def elu_prime(m: Any, x: Any) -> Any:
    return scaled_exp_formula(1.0)(m, x) if x <= 0 else m.rational(Fraction(1))


FLOOR = 2.0**-20  # a floor that float32 holds exactly, so that both dtypes have one kink


def safe_log_prime(m: Any, x: Any) -> Any:
    return 1 / x if x >= FLOOR else m.rational(Fraction(0))


# op -> (derivative, attributes, domain: low < x, 0 left out)
SMOOTH: dict[str, tuple[Formula, dict[str, Any], float, bool]] = {
    "exp": (FORMULAS["exp"], {}, -math.inf, False),
    "expm1": (FORMULAS["exp"], {}, -math.inf, False),
    "log": (FORMULAS["reciprocal"], {}, 0.0, True),
    "log1p": (FORMULAS["log1p_prime"], {}, -1.0, False),
    "safe_log": (safe_log_prime, {"eps": FLOOR}, -math.inf, False),
    "sqrt": (FORMULAS["sqrt_prime"], {}, 0.0, True),
    "sin": (FORMULAS["cos"], {}, -math.inf, False),
    "cos": (FORMULAS["minus_sin"], {}, -math.inf, False),
    "tanh": (FORMULAS["tanh_prime"], {}, -math.inf, False),
    "sigmoid": (FORMULAS["sigmoid_prime"], {}, -math.inf, False),
    "softplus": (FORMULAS["sigmoid"], {}, -math.inf, False),
    "erf": (FORMULAS["erf_prime"], {}, -math.inf, False),
    "gelu": (FORMULAS["gelu_prime"], {}, -math.inf, False),
    "silu": (FORMULAS["silu_prime"], {}, -math.inf, False),
    "elu": (elu_prime, {}, -math.inf, False),
    "square": (FORMULAS["twice"], {}, -math.inf, False),
    "reciprocal": (FORMULAS["reciprocal_prime"], {}, -math.inf, True),
    "pow_const": (power_formula(Fraction(1, 10) - 1, Fraction(1, 10)), {"c": Fraction(1, 10)}, 0.0, True),
}


def derivative(op: str, attrs: dict[str, Any], mode: str, x: np.ndarray) -> np.ndarray:
    s = pt.Session(x.dtype.name)
    ref = s.input(x, requires_grad=True)
    y = getattr(s, op)(ref, **attrs)
    ones = np.ones_like(x)
    return s.backward_dense_all(y, ones)[ref] if mode == "vjp" else s.jvp_leaf(y, ref, ones)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("mode", ["vjp", "jvp"])
@pytest.mark.parametrize("op", sorted(SMOOTH))
def test_the_derivative_of_a_session_is_within_4_ulp(op: str, mode: str, dtype: str) -> None:
    formula, attrs, low, nonzero = SMOOTH[op]
    case = Case(op, lambda x: derivative(op, attrs, mode, x), formula, low=low, nonzero=nonzero)
    worst = measure(case, np.dtype(dtype), POINTS, seed=3)
    assert worst.error <= BOUND, f"{worst.error:.2f} ulp at x = {worst.x!r}, got {worst.got!r}"


# -- functions of a row: one derivative entry, as a function of the row ---------------------------------
def share(m: Any, row: list[Any], j: int) -> Any:
    """softmax(row)[j], from the definition (shifted, so that nothing leaves the range of a reference)."""
    top = max(row)
    total = m.exp(row[0] - top)
    for v in row[1:]:
        total = total + m.exp(v - top)
    return m.exp(row[j] - top) / total


def others(m: Any, row: list[Any], j: int) -> Any:
    """1 - softmax(row)[j], without cancellation."""
    total = m.rational(Fraction(0))
    for k in range(len(row)):
        if k != j:
            total = total + share(m, row, k)
    return total


def row_gradient(op: str, x: np.ndarray) -> np.ndarray:
    """d op(row) / d row for every row; for (log_)softmax of its entry 0, for cross_entropy with label 0."""
    s = pt.Session(x.dtype.name)
    ref = s.input(x, requires_grad=True)
    if op == "logsumexp":
        return s.backward_dense_all(s.logsumexp(ref, -1), np.ones(len(x)))[ref]
    if op in ("softmax", "log_softmax"):
        first = np.zeros_like(x)
        first[:, 0] = 1
        return s.backward_dense_all(getattr(s, op)(ref), first)[ref]
    labels = s.input_nat_vec(np.zeros(len(x), dtype=int))
    loss = s.scale(s.cross_entropy(ref, labels), len(x))  # undo the mean: len(x) is a power of two
    return s.backward_scalar_dense_all(loss)[ref]


# a power of two; for more: PROOFTAPE_ACCURACY_ROWS=4096 pytest -s -k row_functions tests/accuracy
N_ROWS = int(os.environ.get("PROOFTAPE_ACCURACY_ROWS", "128"))
ROWS = ["logsumexp", "softmax", "log_softmax", "cross_entropy"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("op", ROWS)
def test_row_functions_keep_relative_accuracy(op: str, dtype: str) -> None:
    rng = np.random.default_rng(5)
    gaps = rng.choice([0.1, 1.0, 10.0, 60.0, 300.0], size=(N_ROWS, 1))
    x = (rng.normal(size=(N_ROWS, 3)) * gaps).astype(dtype)
    got = row_gradient(op, x)
    worst = 0.0
    for row, entries in zip(x.tolist(), got.tolist(), strict=True):
        for j, value in enumerate(entries):

            def formula(m: Any, _: Any, row: list[float] = row, j: int = j) -> Any:
                exact = [m.rational(Fraction(v)) for v in row]
                if op == "logsumexp":
                    return share(m, exact, j)
                if op == "softmax":
                    return share(m, exact, 0) * (others(m, exact, 0) if j == 0 else -share(m, exact, j))
                sign = 1 if op == "log_softmax" else -1
                return sign * (others(m, exact, 0) if j == 0 else -share(m, exact, j))

            worst = max(worst, ulp_error(value, REALS.evaluate(formula, 0.0), FORMATS[np.dtype(dtype)]))
    print(f"{op} {dtype}: at most {worst:.2f} ulp over {N_ROWS} rows")
    # an entry of softmax's Jacobian is a product of two shares, within 3 ulp each (logsumexp shows one)
    bound = 6.0 if op == "softmax" else BOUND
    assert worst <= bound, f"{worst:.2f} ulp"


def test_every_op_that_promises_tail_accuracy_is_here() -> None:
    promised = {n for n, op in table().items() if op.public and "within 4 ulp" in op.accuracy}
    assert promised - set(ROWS) <= set(SMOOTH)

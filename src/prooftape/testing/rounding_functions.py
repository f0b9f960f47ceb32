"""How far a scalar function moves when its argument does: |f(t) - f(x)| for |t - x| <= e."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from prooftape import kernels as k
from prooftape.arrays.structure import Arr

Reach = Callable[[Arr], Arr]
Move = Callable[[Arr, Arr], Arr]


def _least(x: Arr, e: Arr) -> Arr:
    """The smallest |t|."""
    return np.asarray(np.maximum(np.abs(x) - e, 0.0))


def _from(least: Arr, peak: float) -> Arr:
    """Arguments at which an envelope that falls from `peak` on bounds everything beyond `least`."""
    return np.maximum(least, peak)


def _exp(x: Arr, e: Arr) -> Arr:
    return k.exp(x) * np.expm1(e)


def _log_move(x: Arr, e: Arr) -> Arr:
    return -np.log1p(-e / x)  # nan, no claim, where the interval reaches 0


def _sqrt(x: Arr, e: Arr) -> Arr:
    low = np.where(e <= x, x - e, np.nan)
    return np.where(e == 0, 0.0, e / (np.sqrt(x) + np.sqrt(low)))


def _sine(slope: Reach) -> Move:
    return lambda x, e: np.minimum(np.abs(slope(x)) * e + e * e / 2, e)


def _gelu(x: Arr, e: Arr) -> Arr:
    m = _least(x, e)
    # |gelu''| = |2 - t^2| phi <= (2 + t^2) phi, which falls; |gelu'| < 1.13
    bend = (2 + m * m) * k.normal_pdf(m)
    return np.minimum(np.abs(k.gelu_prime(x)) * e + bend * e * e / 2, 1.13 * e)


def _silu_bend(m: Arr) -> Arr:
    """|silu''| = |2 - t tanh(t/2)| sigmoid' <= (2 + t) sigmoid', which falls from 0.8 on."""
    at = _from(m, 0.8)
    return (2 + at) * k.sigmoid_prime(at)


def _silu(x: Arr, e: Arr) -> Arr:
    return np.minimum(np.abs(k.silu_prime(x)) * e + _silu_bend(_least(x, e)) * e * e / 2, 1.1 * e)


def _normal_pdf(x: Arr, e: Arr) -> Arr:
    at = _from(_least(x, e), 1.0)  # t phi(t) falls from 1 on
    return at * k.normal_pdf(at) * e


def _erf_prime(x: Arr, e: Arr) -> Arr:
    at = _from(_least(x, e), 2.0**-0.5)  # t exp(-t^2) falls from 1 / sqrt 2 on
    return 2 * at * k.erf_prime(at) * e


MOVES: dict[str, Move] = {
    "exp": _exp,
    "expm1": _exp,
    "log": _log_move,
    "log1p": lambda x, e: -np.log1p(-e / (1 + x) * (1 + 2.0**-50)),
    "sqrt": _sqrt,
    "sin": _sine(k.cos),
    "cos": _sine(k.sin),
    # derivatives that fall with |t|
    "tanh": lambda x, e: k.tanh_prime(_least(x, e)) * e,
    "sigmoid": lambda x, e: k.sigmoid_prime(_least(x, e)) * e,
    "erf": lambda x, e: k.erf_prime(_least(x, e)) * e,
    "softplus": lambda x, e: k.sigmoid(x + e) * e,
    "gelu": _gelu,
    "silu": _silu,
    # |tanh''| = 2 tanh tanh', |sigmoid''| = sigmoid' tanh(t/2)
    "tanh_prime": lambda x, e: 2 * np.tanh(np.abs(x) + e) * k.tanh_prime(_least(x, e)) * e,
    "sigmoid_prime": lambda x, e: np.tanh((np.abs(x) + e) / 2) * k.sigmoid_prime(_least(x, e)) * e,
    "erf_prime": _erf_prime,
    "gelu_prime": lambda x, e: (2 + _least(x, e) ** 2) * k.normal_pdf(_least(x, e)) * e,
    "silu_prime": lambda x, e: _silu_bend(_least(x, e)) * e,
    "normal_pdf": _normal_pdf,
}


def reach_of(member: str, x: Arr, e: Arr) -> Arr:
    """Bound on |f(t) - f(x)| over |t - x| <= e; nan or inf where there is none. 0 where e is 0."""
    # the derivative itself is a kernel value, within 4 ulp of float64
    with np.errstate(all="ignore"):
        return np.where(e == 0, 0.0, MOVES[member](np.asarray(x), np.asarray(e)) * (1 + 2.0**-49))

"""Every kernel and every derivative formula, with its exact counterpart and the points to measure at.

Points: random bit patterns (all exponents, both signs), random magnitudes between 2^-12 and 2^11, uniform
samples of the ranges where functions turn, and neighbourhoods of the roots and thresholds of each case, both
single steps of the format and distances c (1 +- 2^-j).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from exact_functions import FORMULAS, REALS, Formula, power_formula, scaled_exp_formula
from numpy.typing import NDArray
from ulp_error import FORMATS, ulp_error

from prooftape import kernels

Array = NDArray[np.floating]
Evaluate = Callable[[Array], Array]

# Where exp, exp(-x^2/2), exp(-x^2) over- or underflow or turn subnormal in either format; ends of the fits.
THRESHOLDS = (
    709.78, 708.39, 745.13, 751.6, 354.19, 372.56, 38.485, 37.63, 38.67, 39.0, 27.226, 26.54, 6.0,
    88.72, 87.33, 103.97, 108.5, 43.66, 52.0, 14.17, 13.2, 14.5, 15.0, 10.05, 9.35, 4.1, 1.0, 0.5,
)  # fmt: skip
SPANS = ((-1.0, 1.0), (-6.0, 6.0), (-40.0, 40.0), (-110.0, 110.0), (-760.0, 760.0))


@dataclass(frozen=True)
class Case:
    name: str
    evaluate: Evaluate
    formula: Formula
    low: float = -math.inf  # the domain is low < x (finite, and not 0 if `nonzero`)
    nonzero: bool = False
    near: tuple[float, ...] = ()
    spread: float | None = None  # for powers: x = 2^(u / spread) with u over the whole result range
    dtypes: tuple[str, ...] = ("float64", "float32")

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Worst:
    error: float
    x: float
    got: float
    points: int


def _neighbourhood(centre: float, dtype: np.dtype) -> Array:
    """About 300 points of the format around +-centre."""
    if abs(centre) > float(np.finfo(dtype).max):
        return np.zeros(0, dtype)
    at = np.array([centre], dtype)
    steps, up, down = [at], at, at
    for _ in range(40):
        up, down = np.nextafter(up, dtype.type(np.inf)), np.nextafter(down, dtype.type(-np.inf))
        steps += [up, down]
    scales = 1.0 + np.outer([1.0, -1.0], 2.0 ** -np.arange(2, FORMATS[dtype].precision)).ravel()
    positive = np.concatenate([*steps, (centre * scales).astype(dtype)])
    return np.concatenate([positive, -positive])


def points(case: Case, dtype: np.dtype, count: int, rng: np.random.Generator) -> Array:
    """About `count` points, finite and inside the case's domain; the special ones come on top."""
    bits = np.dtype(f"u{dtype.itemsize}")
    info, fmt = np.finfo(dtype), FORMATS[dtype]
    share = max(count // 5, 20)
    parts: list[Array] = [
        rng.integers(0, np.iinfo(bits).max, 2 * share, dtype=bits, endpoint=True).view(dtype),
        (rng.choice([-1.0, 1.0], share) * np.exp2(rng.uniform(-12, 11, share))).astype(dtype),
    ]
    parts += [rng.uniform(lo, hi, share // len(SPANS) + 1).astype(dtype) for lo, hi in SPANS]
    if case.spread is not None:
        wanted = rng.uniform(fmt.emin - fmt.precision - 2, fmt.emax + 2, 2 * share)
        with np.errstate(over="ignore", under="ignore"):
            parts.append((rng.choice([-1.0, 1.0], 2 * share) * np.exp2(wanted / case.spread)).astype(dtype))
    thresholds = THRESHOLDS if count >= 2000 else THRESHOLDS[:: max(1, 2000 // count)]
    parts += [_neighbourhood(centre, dtype) for centre in case.near]
    for centre in thresholds:
        width = 1e-3 * centre
        near = rng.uniform(centre - width, centre + width, 12).astype(dtype)
        parts += [near, -near]
    ends = [
        info.max,
        -info.max,
        info.tiny,
        -info.tiny,
        info.smallest_subnormal,
        -info.smallest_subnormal,
        0.0,
    ]
    x = np.concatenate([*parts, np.array(ends, dtype)])
    keep = np.isfinite(x) & (x > case.low)
    if case.nonzero:
        keep &= x != 0
    return x[keep]


def measure(case: Case, dtype: np.dtype, count: int, seed: int) -> Worst:
    """The largest error in ulp over the points, and where it is."""
    x = points(case, dtype, count, np.random.default_rng(seed))
    got = case.evaluate(x)
    assert got.dtype == dtype and got.shape == x.shape
    worst = Worst(-1.0, math.nan, math.nan, len(x))
    for argument, value in zip(x.tolist(), got.tolist(), strict=True):
        error = ulp_error(value, REALS.evaluate(case.formula, argument), FORMATS[dtype])
        if error > worst.error:
            worst = Worst(error, argument, value, len(x))
    return worst


def _trigonometric_zeros() -> tuple[float, ...]:
    small = [math.pi / 2 * j for j in (1, 2, 3, 4, 7, 11, 355)]
    # Doubles whose distance to a multiple of pi/2 is smallest in their binade (the first: of all doubles), by
    # the continued fraction of 2^e / pi; a C library in use is wrong by thousands of ulp there.
    close = [6381956970095103.0 * 2.0**797, 1.5986289000543612e74, 1.2853022199154463e174]
    close += [1.4918079000152377e239, 2.331386745148063e283, 563416747700.2246, 16367173.0 * 2.0**72]
    return (*small, *close, 1e22, 1e5)


def _quiet(evaluate: Evaluate) -> Evaluate:
    """A derivative formula runs under the caller's error state in the ops; here it is this one."""

    def run(x: Array) -> Array:
        with np.errstate(all="ignore"):
            return evaluate(x)

    return run


ROOT_OF_GELU_PRIME, ROOT_OF_SILU_PRIME = -0.7517915246935645, -1.2784645427610737
ZEROS = _trigonometric_zeros()


def _kernel_cases() -> Iterator[Case]:
    near = {
        "sin": ZEROS, "cos": ZEROS,
        "log": (1.0,), "log1p": (-1.0, 1.0), "expm1": (1.0,), "tanh": (0.55, 22.0),
        "gelu_prime": (-ROOT_OF_GELU_PRIME, 2.0), "silu_prime": (-ROOT_OF_SILU_PRIME, 2.4),
    }  # fmt: skip
    low = {"log": 0.0, "log1p": -1.0}
    for name in kernels.__all__:
        if name in ("power", "power_prime", "scaled_exp"):
            continue
        yield Case(
            name,
            getattr(kernels, name),
            FORMULAS[name],
            low=-1e-400 if name == "sqrt" else low.get(name, -math.inf),
            nonzero=name in ("reciprocal", "sqrt"),
            near=near.get(name, ()),
        )


EXPONENTS: tuple[Fraction | int | float, ...] = (
    Fraction(1, 3), Fraction(-2, 3), Fraction(4, 3), Fraction(10, 3), Fraction(1, 10),
    Fraction(-1, 1000), Fraction(1001, 10),
    2, 3, -1, -3, 4, 7, 100, -101, 0.5, 1.5, -0.5, 2.5, 0.1, 1e-3, 333.3, 1e-300, 10**17 + 1,
)  # fmt: skip


def _power_cases() -> Iterator[Case]:
    for c in EXPONENTS:
        exact = Fraction(c)
        low = -math.inf if exact.denominator == 1 else 0.0
        common = {"low": low, "nonzero": True, "near": (1.0,)}
        yield Case(
            f"power[{c}]",
            lambda x, c=c: kernels.power(x, c),
            power_formula(exact),
            spread=float(exact),
            **common,
        )
        yield Case(
            f"power_prime[{c}]",
            lambda x, c=c: kernels.power_prime(x, c),
            power_formula(exact - 1, exact),
            spread=float(exact - 1),
            **common,
        )


def _formula_cases() -> Iterator[Case]:
    """The derivative formulas that need no kernel of their own."""
    formulas: dict[str, tuple[Evaluate, str, float, bool]] = {
        "log' = 1/x": (lambda x: 1 / x, "reciprocal", 0.0, True),
        "sqrt' = 0.5/sqrt(x)": (lambda x: x.dtype.type(0.5) / kernels.sqrt(x), "sqrt_prime", 0.0, True),
        "cos' = -sin(x)": (lambda x: -kernels.sin(x), "minus_sin", -math.inf, False),
        "log1p' = 1/(1+x)": (lambda x: 1 / (1 + x), "log1p_prime", -1.0, False),
        "expm1' = exp(x)": (kernels.exp, "exp", -math.inf, False),
        "reciprocal' = -(1/x)(1/x)": (
            lambda x: -(kernels.reciprocal(x) * kernels.reciprocal(x)),
            "reciprocal_prime",
            -math.inf,
            True,
        ),
        "square' = 2x": (lambda x: 2 * x, "twice", -math.inf, False),
        "softplus' = sigmoid(x)": (kernels.sigmoid, "sigmoid", -math.inf, False),
    }
    for name, (evaluate, formula, low, nonzero) in formulas.items():
        yield Case(name, _quiet(evaluate), FORMULAS[formula], low=low, nonzero=nonzero)
    for alpha in (1.0, 0.3, 1.6732632423543772, -7.0, 1e6):
        yield Case(
            f"elu' = {alpha} exp(x)",
            lambda x, alpha=alpha: kernels.scaled_exp(x, alpha),
            scaled_exp_formula(alpha),
        )


KERNEL_CASES = tuple(_kernel_cases())
POWER_CASES = tuple(_power_cases())
FORMULA_CASES = tuple(_formula_cases())
CASES = KERNEL_CASES + POWER_CASES + FORMULA_CASES

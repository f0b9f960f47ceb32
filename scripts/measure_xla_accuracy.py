"""Measure the scalar functions of the XLA engine, and write the table that the rounding model uses.

    python scripts/measure_xla_accuracy.py                  # print, compare with the committed table
    python scripts/measure_xla_accuracy.py --write          # and write testing/xla_accuracy.py
    python scripts/measure_xla_accuracy.py --stride 97      # every 97th binary32 number: 44 million each

binary32 is measured at every `stride`-th bit pattern against the float64 kernels (wrong by at most 4 ulp of
float64, nothing here), with all numbers near the edges; binary64 at sampled points against 200-bit
references, the points of tests/accuracy. Results below `FLUSHED` are compared with what flushing allows.
"""

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "accuracy"))

from exact_functions import FORMULAS, REALS, power_formula
from kernel_cases import CASES, points
from ulp_error import FORMATS, ulp_error

from prooftape import kernels
from prooftape.testing import xla_accuracy
from prooftape.xla.arrays import JaxArrays

TARGET = Path(xla_accuracy.__file__)
UNARY = (
    *("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh", "sigmoid", "softplus", "erf", "gelu"),
    *("silu", "tanh_prime", "sigmoid_prime", "erf_prime", "gelu_prime", "silu_prime", "normal_pdf"),
)
EXPONENTS = (0.5, -0.5, 1.5, 2.5, 1 / 3, -2 / 3, 0.1, -1.7, 9.0, 20.0, -11.0, 333.3, 1e-3)
Function = Callable[[Any], Any]


def compiled(member: str, dtype: str) -> Function:
    xp = JaxArrays(dtype)
    if member == "rsqrt":
        return jax.jit(jax.lax.rsqrt)
    return jax.jit(getattr(xp, member))


def flushed(dtype: np.dtype) -> float:
    return xla_accuracy.FLUSHED * float(np.finfo(dtype).smallest_normal)


def inside(member: str, x: np.ndarray) -> np.ndarray:
    """Normal arguments and zeros, where the function is real and the model claims something."""
    size = np.abs(x)
    keep = np.isfinite(x) & ((size >= np.finfo(x.dtype).smallest_normal) | (x == 0))
    if member in ("log", "sqrt", "rsqrt") or member.startswith("pow"):
        keep &= x > 0
    return keep & (x > -1) if member == "log1p" else keep


def single_errors(got: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """|got - exact| beyond flushing, in ulp of exact; 0 where exact overflows binary32 and so does got."""
    info = np.finfo(np.float32)
    exponent = np.maximum(np.frexp(np.abs(exact))[1] - 1, info.minexp)
    off = np.abs(got.astype(np.float64) - exact)
    off = np.where(
        np.abs(exact) < 2 * flushed(np.dtype(np.float32)), off - flushed(np.dtype(np.float32)), off
    )
    over = np.abs(exact) > float(info.max) * (1 - 2.0**-10)
    return np.where(over, 0.0, np.maximum(off, 0.0) / np.ldexp(1.0, exponent - 23))


def single(member: str, stride: int, chunk: int = 1 << 20) -> tuple[float, float]:
    function = compiled(member, "float32")
    reference = {"rsqrt": lambda x: 1 / np.sqrt(x)}.get(member, getattr(kernels, member, None))
    worst = (0.0, 0.0)
    patterns = np.arange(0, 1 << 32, stride, dtype=np.uint64).astype(np.uint32)
    edges = np.array([0.0, 1.0, 0.5, 2.0, 88.72, 87.33, 14.17, 10.05, 1.278, 0.7518, 3.14159265, 1.5707964])
    bits = np.concatenate([edges, -edges]).astype(np.float32).view(np.uint32)
    near = (bits[:, None].astype(np.int64) + np.arange(-2000, 2000)).clip(0, (1 << 32) - 1)
    patterns = np.concatenate([patterns, near.ravel().astype(np.uint32)])
    patterns = np.concatenate([patterns, np.zeros(-len(patterns) % chunk, np.uint32)])
    for start in range(0, len(patterns), chunk):
        x = patterns[start : start + chunk].view(np.float32)
        keep = inside(member, x)
        if not keep.any():
            continue
        with np.errstate(all="ignore"):
            got, exact = np.asarray(function(x)), reference(x.astype(np.float64))
            error = np.where(keep, single_errors(got, exact), 0)
            # f(0) = 0 and log(1) = 0 are taken to be exact
            error[keep & ((x == 0) | (x == 1)) & (exact == 0) & (got != 0)] = np.inf
        at = int(error.argmax())  # nan counts as largest
        if not error[at] <= worst[0]:
            worst = (float(error[at]), float(x[at]))
    return worst


def double(member: str, count: int) -> tuple[float, float]:
    function = compiled(member, "float64")
    case = next((c for c in CASES if c.name == member), None)
    formula = FORMULAS.get(member) or (lambda m, x: 1 / m.sqrt(x))
    case = case or replace(next(c for c in CASES if c.name == "sqrt"), name=member, formula=formula)
    x = points(case, np.dtype(np.float64), count, np.random.default_rng(0))
    x = x[inside(member, x)]
    got = np.asarray(function(x))
    absolute = xla_accuracy.ABSOLUTE["float64"].get(member, 0.0)
    return worst_of(x, got, lambda v: REALS.evaluate(formula, v), absolute)


def worst_of(
    x: np.ndarray, got: np.ndarray, exact_at: Callable[[float], Any], absolute: float = 0.0
) -> tuple[float, float]:
    """The largest error in ulp, and where; `absolute` units are left out, and what flushing may do."""
    worst, tiny, fmt = (0.0, 0.0), flushed(x.dtype), FORMATS[x.dtype]
    for argument, value in zip(x.tolist(), got.tolist(), strict=True):
        mantissa, exponent = exact_at(argument)
        magnitude = exponent + abs(mantissa).bit_length()  # 2^(magnitude - 1) <= |exact| < 2^magnitude
        if magnitude > fmt.emax or (mantissa == 0 and value == 0):
            continue
        if mantissa == 0 and argument in (0.0, 1.0):
            return math.inf, argument  # f(0) = 0 and log(1) = 0 are taken to be exact
        if magnitude < math.log2(tiny) + 2 and abs(value) <= 8 * tiny:
            continue
        error = ulp_error(value, (mantissa, exponent), fmt) - absolute * 2.0 ** min(-magnitude, 1000)
        if not error <= worst[0]:
            worst = (error, argument)
    return worst


def powers(dtype: str, count: int) -> tuple[float, float]:
    worst = (0.0, 0.0)
    for c in EXPONENTS:
        case = replace(CASES[0], name="pow", low=0.0, nonzero=True, spread=c)
        x = points(case, np.dtype(dtype), count // 4, np.random.default_rng(1))
        x = x[inside("pow", x)]
        got = np.asarray(jax.jit(lambda v, c=c: JaxArrays(dtype).pow(v, c))(x))
        formula = power_formula(Fraction(c))
        found = worst_of(x, got, lambda v, f=formula: REALS.evaluate(f, v))
        worst = max(worst, found)
    return worst


def differences(dtype: str, count: int) -> tuple[float, float]:
    """exp(x - y), in ulp, for results that are normal."""
    rng = np.random.default_rng(2)
    spread = 80 if dtype == "float32" else 700
    y = rng.uniform(-spread, spread, count).astype(dtype)
    x = (y - np.abs(rng.exponential(spread / 8, count)).astype(dtype)).astype(dtype)
    x, first = np.unique(x, return_index=True)  # the reference finds y by its x
    y = y[first]
    got = np.asarray(jax.jit(JaxArrays(dtype).exp_difference)(x, y))
    pairs = dict(zip(x.tolist(), y.tolist(), strict=True))

    def exact(v: float) -> Any:
        w = pairs[v]
        return REALS.evaluate(lambda m, t: m.exp(t - m.rational(Fraction(w))), v)

    return worst_of(x, got, exact)


HEADER = '''"""How far XLA's scalar functions are off, in ulp. Written by scripts/measure_xla_accuracy.py.

Measured, not proved: {how}.
JAX {jax} on {device}. The rounding model allows `MARGIN` times the worst error seen, so that a point not
sampled, or another processor's code path, may be somewhat worse than what was seen.
"""

MARGIN = {margin}
FLUSHED = {flushed}
"""Results of functions below so many times the smallest normal number may be flushed to zero."""
ABSOLUTE: dict[str, dict[str, float]] = {absolute}
"""Absolute error on top, in units of roundoff: for sines of the huge numbers closest to multiples of pi."""
MEASURED: dict[str, dict[str, float]] = {table}
'''


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stride", type=int, default=1999, help="every so many-th binary32 number")
    parser.add_argument("--points", type=int, default=4000, help="random binary64 points a function")
    parser.add_argument("--only", default="")
    parser.add_argument("--dtype", choices=("float32", "float64"), action="append")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    members = options.only.split() or [*UNARY, "rsqrt", "pow", "exp_difference"]
    table: dict[str, dict[str, float]] = {}
    worse = 0
    for dtype in options.dtype or ("float32", "float64"):
        table[dtype] = {}
        for member in members:
            if member == "pow":
                error, at = powers(dtype, options.points)
            elif member == "exp_difference":
                error, at = differences(dtype, options.points)
            elif dtype == "float32":
                error, at = single(member, options.stride)
            else:
                error, at = double(member, options.points)
            table[dtype][member] = math.ceil(error * 100) / 100 if math.isfinite(error) else error
            allowed = xla_accuracy.MARGIN * xla_accuracy.MEASURED[dtype].get(member, 0.0)
            worse += not error <= allowed
            mark = "" if error <= allowed else f"  <-- the table allows {allowed}"
            print(f"{dtype} {member:15} {error:10.3f} ulp at {at!r}{mark}", flush=True)
    if options.write:
        # a smaller sample does not undo what a larger one has seen; start over by emptying the table
        for dtype, seen in table.items():
            for member, error in xla_accuracy.MEASURED[dtype].items():
                seen[member] = max(seen.get(member, 0.0), error)
        table = {**xla_accuracy.MEASURED, **table}
        how = f"every {options.stride}th binary32 number, {options.points} binary64 points a function"
        text = HEADER.format(
            how=how,
            jax=jax.__version__,
            device=jax.devices()[0].device_kind,
            margin=xla_accuracy.MARGIN,
            flushed=xla_accuracy.FLUSHED,
            absolute=xla_accuracy.ABSOLUTE,
            table=table,
        )
        TARGET.write_text(text)  # then: ruff format
    return 1 if worse and not options.write else 0


if __name__ == "__main__":
    sys.exit(main())

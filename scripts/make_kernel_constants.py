"""Generate src/prooftape/kernels/_constants.py: the numbers behind the special-function kernels.

Everything is computed with mpmath at 80 digits and rounded once to binary64. Polynomials and rational
functions interpolate their targets at Chebyshev nodes of t = (a - k) / (a + k), which is close to minimax.
The error written beside each table is measured with the *rounded* coefficients.

    python scripts/make_kernel_constants.py            rewrite the module
    python scripts/make_kernel_constants.py --check    exit 1 if the committed module differs
"""

import argparse
import os
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mpmath as mp

TARGET = Path(__file__).resolve().parent.parent / "src" / "prooftape" / "kernels" / "_constants.py"
MP = Any  # mpmath ships no types

mp.mp.dps = 80
TWO_OVER_SQRT_PI = 2 / mp.sqrt(mp.pi)
INV_SQRT_2PI = 1 / mp.sqrt(2 * mp.pi)
# The quotient of a double by pi/2 has up to 1024 bits, the closest double lies 2^-61 off a multiple.
HALF_PI_BITS = 1280


def scaled_tail(a: MP) -> MP:
    """R(a) = exp(a^2/2) Phi(-a): the normal tail without its exponential."""
    return mp.exp(a * a / 2) * mp.erfc(a / mp.sqrt(2)) / 2


def scaled_gelu_prime(a: MP) -> MP:
    """exp(a^2/2) gelu'(-a) = R(a) - a / sqrt(2 pi)."""
    return scaled_tail(a) - a * INV_SQRT_2PI


GELU_ROOT = mp.findroot(scaled_gelu_prime, mp.mpf("0.7517915"))
SILU_ROOT = mp.findroot(lambda a: 1 - a + mp.exp(-a), mp.mpf("1.2784645"))


def tail_factor(a: MP) -> MP:
    """p with R(a) = p / (a + 1): nearly flat, 0.5 at 0 and 0.399 at infinity."""
    return scaled_tail(a) * (a + 1)


def scaled_slope(a: MP) -> MP:
    """T(a) with gelu'(-a) = -exp(-a^2/2) (a - GELU_ROOT) T(a): 0.665 at 0 and 0.399 at infinity."""
    return -scaled_gelu_prime(a) / (a - GELU_ROOT)


def erf_exponent(x: MP) -> MP:
    """U(x) with erf(x) = -expm1(-x (2/sqrt(pi) + x U(x))) for x > 0."""
    return (-mp.log(mp.erfc(x)) / x - TWO_OVER_SQRT_PI) / x


def solve(rows: list[list[MP]], right: list[MP]) -> list[MP]:
    return list(mp.lu_solve(mp.matrix(rows), mp.matrix(right)))


def nodes(count: int, top: MP, centre: MP) -> list[MP]:
    """Chebyshev nodes of t = (a - centre) / (a + centre) on [-1, t(top)]."""
    end = (top - centre) / (top + centre)
    unit = [mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]
    return [(end - 1) / 2 + (end + 1) / 2 * x for x in unit]


def argument(t: MP, centre: MP) -> MP:
    return centre * (1 + t) / (1 - t)


def samples(top: str) -> list[MP]:
    """600 points of (0, top], denser near 0, none of them a root."""
    return [mp.mpf(top) * (mp.mpf(i) / 600) ** 2 * (1 - mp.mpf(2) ** -40) for i in range(1, 601)]


def polynomial_in(coefficients: list[float], x: MP) -> MP:
    return mp.polyval([mp.mpf(c) for c in reversed(coefficients)], x)


@dataclass(frozen=True)
class Polynomial:
    """A polynomial in t = (a - centre) / (a + centre) for a on [0, top].

    The constant term is what the kernel adds last, so its own rounding would be part of every result: the
    centre is the candidate whose constant term lies nearest to a double.
    """

    name: str
    doc: str
    target: Callable[[MP], MP]
    top: str
    degree: int

    def render(self) -> list[str]:
        top = mp.mpf(self.top)

        def miss(centre: MP) -> MP:
            value = self.target(centre)
            return abs(mp.mpf(float(value)) - value) / value

        centre = min((mp.mpf(144 + i) / 32 for i in range(33)), key=miss)
        ts = nodes(self.degree + 1, top, centre)
        # t * q(t) interpolates target - constant, with the constant already rounded.
        constant = float(self.target(centre))
        ts = [t for t in sorted(ts, key=abs) if t != 0][1:]
        rows = [[t ** (power + 1) for power in range(self.degree)] for t in ts]
        rest = solve(rows, [self.target(argument(t, centre)) - constant for t in ts])
        coefficients = [constant] + [float(c) for c in rest]
        worst = max(
            abs(polynomial_in(coefficients, (a - centre) / (a + centre)) / self.target(a) - 1)
            for a in samples(self.top)
        )
        return [
            f"# {self.doc}; relative error 2^{float(mp.log(worst, 2)):.1f}",
            f"{self.name}_CENTRE = {float(centre)!r}",
            f"{self.name} = (",
            *(f"    {c!r}," for c in coefficients),
            ")",
        ]


@dataclass(frozen=True)
class Rational:
    """P/Q in x on [0, top], Q(0) = 1, all coefficients positive: Horner's rule cannot cancel.

    `measure` maps an argument and the value of the fit to the relative error of the final result.
    """

    name: str
    doc: str
    target: Callable[[MP], MP]
    top: str
    degree: int
    centre: str
    measure: Callable[[MP, MP], MP]

    def render(self) -> list[str]:
        centre, n = mp.mpf(self.centre), self.degree
        rows, right = [], []
        for t in nodes(2 * n + 1, mp.mpf(self.top), centre):
            x = argument(t, centre)
            value = self.target(x)
            rows.append([x**i for i in range(n + 1)] + [-value * x**i for i in range(1, n + 1)])
            right.append(value)
        solution = [float(c) for c in solve(rows, right)]
        p, q = solution[: n + 1], [1.0, *solution[n + 1 :]]
        if min(p + q) <= 0:
            raise SystemExit(f"{self.name}: a coefficient is not positive; change degree or centre")
        worst = max(
            abs(self.measure(x, polynomial_in(p, x) / polynomial_in(q, x))) for x in samples(self.top)
        )
        lines = [f"# {self.doc}; relative error 2^{float(mp.log(worst, 2)):.1f}", f"{self.name} = ("]
        for part in (p, q):
            lines += ["    (", *(f"        {c!r}," for c in part), "    ),"]
        return [*lines, ")"]


def erf_error(x: MP, u: MP) -> MP:
    return -mp.expm1(-x * (TWO_OVER_SQRT_PI + x * u)) / mp.erf(x) - 1


# Upper ends: where the result has certainly underflowed (or, for erf, rounded to 1).
FITS: tuple[Polynomial | Rational, ...] = (
    Polynomial("TAIL", "p(t), Phi(-a) = exp(-a^2/2) p / (a + 1), on [0, 39]", tail_factor, "39", 23),
    Polynomial("TAIL_SINGLE", "the same on [0, 14.5], for results in binary32", tail_factor, "14.5", 11),
    Polynomial("SLOPE", "p(t), gelu'(-a) = -exp(-a^2/2) (a - root) p, on [0, 39]", scaled_slope, "39", 21),
    Polynomial("SLOPE_SINGLE", "the same on [0, 15], for results in binary32", scaled_slope, "15", 10),
    Rational("ERF", "U(x), erf(x) = -expm1(-x (2/sqrt(pi) + x U)), on [0, 6]",
             erf_exponent, "6", 9, "2", erf_error),
    Rational("ERF_SINGLE", "the same on [0, 4.1], for results in binary32",
             erf_exponent, "4.1", 4, "1", erf_error),
)  # fmt: skip


def shift_with_nearly_exact_scale() -> tuple[int, float, float]:
    """The integer s in [40, 100] whose exp(-s) lies nearest to a double, relative to an ulp."""

    def miss(s: int) -> MP:
        exact = mp.exp(-s)
        return abs(mp.mpf(float(exact)) - exact) / exact

    best = min(range(40, 101), key=miss)
    return best, float(mp.exp(-best)), float(mp.log(miss(best), 2))


def half_pi_scaled() -> int:
    with mp.workprec(HALF_PI_BITS + 64):
        return int(mp.nint(mp.ldexp(mp.pi / 2, HALF_PI_BITS)))


def two_parts(value: MP) -> tuple[float, float]:
    high = float(value)
    return high, float(value - mp.mpf(high))


def render() -> str:
    shift, scale, miss = shift_with_nearly_exact_scale()
    half_pi_hex = textwrap.wrap(f"{half_pi_scaled():x}", 96)
    lines = [
        '"""Generated by scripts/make_kernel_constants.py; do not edit.',
        "",
        "Numbers of the kernels, rounded once from 80 digits. Coefficients run from the lowest degree up.",
        '"""',
        "",
        f"TWO_OVER_SQRT_PI = {float(TWO_OVER_SQRT_PI)!r}",
        f"INV_SQRT_2PI = {float(INV_SQRT_2PI)!r}",
        "",
        "# -GELU_ROOT is the zero of gelu', -SILU_ROOT that of silu'; (high, low) parts.",
        f"GELU_ROOT = {two_parts(GELU_ROOT)!r}",
        f"SILU_ROOT = {two_parts(SILU_ROOT)!r}",
        f"SILU_ROOT_EXP = {float(mp.exp(-SILU_ROOT))!r}  # exp(-SILU_ROOT)",
        "",
        f"# round(pi/2 * 2**{HALF_PI_BITS}): enough to reduce any double with 100 bits to spare",
        f"HALF_PI_BITS = {HALF_PI_BITS}",
        "HALF_PI = int(",
        textwrap.indent("\n".join(map('"{}"'.format, half_pi_hex)) + ",", "    "),
        "    16,",
        ")",
        "",
        f"# exp(-TAIL_SHIFT) = TAIL_SCALE with relative error 2^{miss:.1f}",
        f"TAIL_SHIFT = {float(shift)!r}",
        f"TAIL_SCALE = {scale!r}",
    ]
    for fit in FITS:
        lines += ["", *fit.render()]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="compare with the committed module, write nothing"
    )
    text = render()
    if parser.parse_args().check:
        same = TARGET.read_text() == text
        print(f"{TARGET.name}: {'up to date' if same else 'differs from what this script makes'}")
        return 0 if same else 1
    scratch = TARGET.with_suffix(".tmp")
    scratch.write_text(text)
    os.replace(scratch, TARGET)  # a killed run leaves the old module whole
    print(f"wrote {TARGET}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

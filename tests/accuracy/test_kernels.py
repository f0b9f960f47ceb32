"""Every kernel and derivative formula stays within 4 ulp of the exact value, in float64 and float32.

The fast tests take some 2,000 points a case, the slow ones PROOFTAPE_ACCURACY_POINTS (default 30,000); the
table of the largest errors is printed at the end (pytest -s), and by scripts/measure_accuracy.py.
"""

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from exact_functions import FORMULAS, REALS, MpmathReals, power_formula
from kernel_cases import CASES, FORMULA_CASES, KERNEL_CASES, Case, Worst, measure
from ulp_error import FORMATS, ulp_error

from prooftape import kernels

BOUND = 4.0
FAST_POINTS = 2_000
SLOW_POINTS = int(os.environ.get("PROOFTAPE_ACCURACY_POINTS", "30000"))
# Without python-flint the reference is mpmath, and a tenth of the points has to do.
SHARE = 10 if isinstance(REALS, MpmathReals) else 1

ALL = [pytest.param(case, np.dtype(name), id=f"{case}-{name}") for case in CASES for name in case.dtypes]
PLAIN_KERNELS = [case.name for case in KERNEL_CASES]


@pytest.fixture(scope="module")
def table() -> Iterator[dict[str, Worst]]:
    rows: dict[str, Worst] = {}
    yield rows
    print(f"\n{'function':40} {'points':>8} {'max ulp':>8}  worst x")
    for name, worst in rows.items():
        print(f"{name:40} {worst.points:8d} {worst.error:8.3f}  {worst.x!r}")


def check(case: Case, dtype: np.dtype, points: int, seed: int, table: dict[str, Worst]) -> None:
    worst = measure(case, dtype, points // SHARE, seed)
    table[f"{case} {dtype}"] = worst
    assert worst.error <= BOUND, (
        f"{case} {dtype}: {worst.error:.2f} ulp at x = {worst.x!r}, got {worst.got!r}"
    )


@pytest.mark.parametrize(("case", "dtype"), ALL)
def test_within_4_ulp(case: Case, dtype: np.dtype, table: dict[str, Worst]) -> None:
    check(case, dtype, FAST_POINTS, 1, table)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "dtype"), ALL)
def test_within_4_ulp_on_many_points(case: Case, dtype: np.dtype, table: dict[str, Worst]) -> None:
    check(case, dtype, SLOW_POINTS, 2, table)


# The measurement itself ------------------------------------------------------------------------------


def _erf_prime_naive(x: np.ndarray) -> np.ndarray:
    return 2 / math.sqrt(math.pi) * np.exp(-x * x)


def _silu_prime_naive(x: np.ndarray) -> np.ndarray:
    return kernels.sigmoid(x) * (1 + x * kernels.sigmoid(-x))


def _sigmoid_prime_of_output(x: np.ndarray) -> np.ndarray:
    return kernels.sigmoid(x) * (1 - kernels.sigmoid(x))


NAIVE = [
    ("tanh_prime", lambda x: 1 - np.tanh(x) ** 2),
    ("sigmoid_prime", _sigmoid_prime_of_output),
    ("gelu_prime", lambda x: kernels.normal_cdf(x) + x * kernels.normal_pdf(x)),
    ("gelu", lambda x: x * (1 + kernels.erf(x / math.sqrt(2))) / 2),
    ("silu_prime", _silu_prime_naive),
    ("erf_prime", _erf_prime_naive),
    ("normal_pdf", lambda x: np.exp(-x * x / 2) / math.sqrt(2 * math.pi)),
    ("softplus", lambda x: np.log(1 + np.exp(x))),
    ("expm1", lambda x: np.exp(x) - 1),
    ("log1p", lambda x: np.log(1 + x)),
]


@pytest.mark.parametrize(("name", "formula"), NAIVE, ids=[name for name, _ in NAIVE])
def test_a_naive_formula_is_found_out(name: str, formula) -> None:
    """The points and the measure are sharp enough to see each textbook formula's loss."""
    right = next(case for case in KERNEL_CASES if case.name == name)

    def evaluate(x: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return formula(x)

    naive = Case(name, evaluate, right.formula, right.low, right.nonzero, right.near)
    assert measure(naive, np.dtype(np.float64), FAST_POINTS // SHARE, 1).error > BOUND


@pytest.mark.parametrize(
    ("c", "formula"),
    [
        (Fraction(10, 3), lambda x: x ** float(Fraction(10, 3))),
        (Fraction(1, 10), lambda x: x ** float(Fraction(1, 10))),
    ],
)
def test_an_exponent_rounded_first_is_found_out(c: Fraction, formula) -> None:
    def evaluate(x: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return formula(x)

    naive = Case("power", evaluate, power_formula(c), low=0.0, nonzero=True, spread=float(c))
    assert measure(naive, np.dtype(np.float64), FAST_POINTS, 1).error > BOUND


@pytest.mark.parametrize("dtype", FORMATS, ids=str)
def test_ulp_error_by_hand(dtype: np.dtype) -> None:
    fmt, info = FORMATS[dtype], np.finfo(dtype)
    one_ulp = -fmt.precision + 1
    smallest = fmt.emin - fmt.precision + 1
    assert ulp_error(1.0, (1, 0), fmt) == 0
    # 1 + 3/4 ulp read as 1; the spacing above 1 counts.
    assert ulp_error(1.0, ((1 << 100) + (3 << (98 + one_ulp)), -100), fmt) == 0.75
    # The exact value just below 1 lies in the binade with half the spacing.
    below = (1 << 200) - (1 << (200 + one_ulp - 2))
    assert ulp_error(1.0, (below, -200), fmt) == 0.5
    # Subnormal results: the spacing stays the smallest subnormal, however small the value.
    assert ulp_error(0.0, (1, smallest), fmt) == 1
    assert ulp_error(float(info.smallest_subnormal), (1, smallest - 200), fmt) == 1
    assert ulp_error(0.0, (1, -5000), fmt) == 0
    # Overflow: right from 2^(emax+1) on, half an ulp just above the largest finite number, wrong sign never.
    largest = float(info.max)
    assert ulp_error(math.inf, (1, fmt.emax + 1), fmt) == 0
    assert ulp_error(math.inf, (int(largest), 0), fmt) == 1
    assert ulp_error(largest, (1, fmt.emax + 1), fmt) == 1
    assert ulp_error(math.inf, (-1, fmt.emax + 1), fmt) == math.inf
    assert ulp_error(largest, (1, 5000), fmt) == math.inf
    assert ulp_error(math.nan, (1, 0), fmt) == math.inf


@pytest.mark.parametrize("name", FORMULAS)
def test_both_references_agree(name: str) -> None:
    """python-flint's balls against mpmath: two libraries, one value."""
    if isinstance(REALS, MpmathReals):
        pytest.skip("python-flint is missing: nothing to compare with")
    rng = np.random.default_rng(3)
    for x in np.concatenate([rng.uniform(0, 40, 15), np.exp2(rng.uniform(-60, 6, 15))]).tolist():
        first, second = (
            Fraction(mantissa) * Fraction(2) ** exponent
            for mantissa, exponent in (
                REALS.evaluate(FORMULAS[name], x),
                MpmathReals().evaluate(FORMULAS[name], x),
            )
        )
        # flint calls everything below 2^-1400 zero.
        assert abs(first - second) <= abs(second) / 2**100 + Fraction(1, 2**1390), x


# Contracts of the kernels ----------------------------------------------------------------------------

LIMITS = {  # at -inf, 0, +inf
    "exp": (0, 1, math.inf),
    "expm1": (-1, 0, math.inf),
    "log": (math.nan, -math.inf, math.inf),
    "log1p": (math.nan, 0, math.inf),
    "sqrt": (math.nan, 0, math.inf),
    "sin": (math.nan, 0, math.nan),
    "cos": (math.nan, 1, math.nan),
    "tanh": (-1, 0, 1),
    "reciprocal": (0, math.inf, 0),
    "sigmoid": (0, 0.5, 1),
    "softplus": (0, math.log(2), math.inf),
    "erf": (-1, 0, 1),
    "normal_cdf": (0, 0.5, 1),
    "normal_pdf": (0, 1 / math.sqrt(2 * math.pi), 0),
    "gelu": (0, 0, math.inf),
    "silu": (0, 0, math.inf),
    "sigmoid_prime": (0, 0.25, 0),
    "tanh_prime": (0, 1, 0),
    "erf_prime": (0, 2 / math.sqrt(math.pi), 0),
    "gelu_prime": (0, 0.5, 1),
    "silu_prime": (0, 0.5, 1),
}


def test_every_kernel_has_its_limits_listed() -> None:
    assert set(LIMITS) == set(PLAIN_KERNELS)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("name", LIMITS)
def test_limits_and_nan(name: str, dtype: type) -> None:
    x = np.array([-math.inf, 0.0, math.inf, math.nan], dtype)
    got = getattr(kernels, name)(x)
    np.testing.assert_array_equal(got, np.array([*LIMITS[name], math.nan], dtype))


@pytest.mark.parametrize("name", [*PLAIN_KERNELS, "power", "power_prime", "scaled_exp"])
class TestEveryKernel:
    def call(self, name: str, x: np.ndarray) -> np.ndarray:
        kernel = getattr(kernels, name)
        if name.startswith("power"):
            return kernel(x, Fraction(4, 3))
        return kernel(x, -1.5) if name == "scaled_exp" else kernel(x)

    @pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
    @pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (2, 3, 4)])
    def test_shape_and_dtype(self, name: str, dtype: type, shape: tuple[int, ...]) -> None:
        got = self.call(name, np.full(shape, 0.75, dtype))
        assert isinstance(got, np.ndarray) and got.shape == shape and got.dtype == dtype

    def test_layout_position_and_blocks_do_not_matter(self, name: str) -> None:
        rng = np.random.default_rng(4)
        x = rng.normal(0, 30, (3, 7001))
        whole = self.call(name, x)
        np.testing.assert_array_equal(self.call(name, x.T), whole.T)
        np.testing.assert_array_equal(self.call(name, x[:, ::-3]), whole[:, ::-3])
        np.testing.assert_array_equal(self.call(name, x[1, 5:6]), whole[1, 5:6])

    def test_byte_order_does_not_matter(self, name: str) -> None:
        x = np.linspace(-3, 3, 50)
        swapped = self.call(name, x.astype(x.dtype.newbyteorder()))
        assert swapped.dtype == x.dtype.newbyteorder()
        np.testing.assert_array_equal(swapped, self.call(name, x))

    def test_argument_stays_and_result_is_new(self, name: str) -> None:
        x = np.linspace(-900, 900, 101)
        before = x.copy()
        x.setflags(write=False)
        got = self.call(name, x)
        np.testing.assert_array_equal(x, before)
        assert not np.shares_memory(got, x)

    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    def test_no_warning_whatever_the_caller_asks_for(self, name: str, dtype: type) -> None:
        info = np.finfo(dtype)
        x = np.array(
            [-info.max, -800, -1, -info.tiny, 0, info.smallest_subnormal, 0.1, 800, info.max, np.nan]
        )
        with np.errstate(all="raise"):
            self.call(name, x.astype(dtype))

    @pytest.mark.parametrize("bad", [np.arange(3), np.array([True]), np.array([1j]), np.array([None])])
    def test_other_dtypes_are_refused(self, name: str, bad: np.ndarray) -> None:
        with pytest.raises(TypeError, match=rf"{name}: expected float64, .* got dtype {bad.dtype}"):
            self.call(name, bad)

    def test_bfloat16_is_rounded_once(self, name: str) -> None:
        bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
        x = np.array([-3.0, 0.3, 1.25, 30.0], bfloat16)
        got = self.call(name, x)
        assert got.dtype == bfloat16
        expected = self.call(name, x.astype(np.float64)).astype(bfloat16)
        np.testing.assert_array_equal(got.astype(np.float64), expected.astype(np.float64))


class TestPowerSpecialValues:
    X = np.array([-math.inf, -2.0, -1.0, -0.0, 0.0, 0.5, 1.0, math.inf, math.nan])

    @pytest.mark.parametrize("c", [-3, -2, -1, 0, 1, 2, 3, 4, 2.5, -2.5, 0.25, 10**20, -(10**20)])
    def test_as_ieee_pow(self, c: float) -> None:
        expected = np.array([math.nan if math.isnan(x) and c else _pow(x, c) for x in self.X.tolist()])
        got = kernels.power(self.X, c)
        np.testing.assert_array_equal(got, expected)
        number = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(expected[number]))

    def test_odd_exponent_beyond_two_to_the_53_keeps_the_sign(self) -> None:
        np.testing.assert_array_equal(kernels.power(np.array([-1.0, -2.0]), 2**60 + 1), [-1, -math.inf])
        np.testing.assert_array_equal(kernels.power(np.array([-1.0, -2.0]), 2**60), [1, math.inf])

    def test_exponent_whose_nearest_double_is_an_integer_is_none(self) -> None:
        nearly_two = 2 + Fraction(1, 10**30)
        np.testing.assert_array_equal(kernels.power(np.array([-3.0, 3.0]), nearly_two), [math.nan, 9.0])
        nearly_zero = Fraction(1, 10**400)
        x = np.array([-3.0, 0.0, 3.0, math.inf, math.nan])
        np.testing.assert_array_equal(kernels.power(x, nearly_zero), [math.nan, 0, 1, math.inf, math.nan])

    def test_a_power_that_overflows_only_after_its_exponent_is_rounded(self) -> None:
        c = 3 * 2**53 + 1  # the nearest double is larger by 1, and x**1 = 1.0000...01 is all that matters
        x = np.array([np.nextafter(1.0, 2.0)])
        exact = REALS.evaluate(power_formula(Fraction(c)), float(x[0]))
        assert ulp_error(float(kernels.power(x, c)[0]), exact, FORMATS[x.dtype]) <= BOUND

    def test_derivative(self) -> None:
        np.testing.assert_array_equal(kernels.power_prime(self.X, 0), np.zeros(9))
        np.testing.assert_array_equal(kernels.power_prime(np.array([0.0, -3.0, 3.0]), 1), [1, 1, 1])
        np.testing.assert_array_equal(kernels.power_prime(np.array([0.0, -3.0, 3.0]), 2), [0, -6, 6])
        np.testing.assert_array_equal(kernels.power_prime(np.array([0.0, -3.0]), 0.5), [math.inf, math.nan])

    @pytest.mark.parametrize("c", [math.inf, -math.inf, math.nan, 10**400, Fraction(10**400)])
    @pytest.mark.parametrize("name", ["power", "power_prime"])
    def test_exponents_out_of_range_are_refused(self, name: str, c: float) -> None:
        with pytest.raises(ValueError, match=f"{name}: the exponent must be finite"):
            getattr(kernels, name)(self.X, c)

    def test_derivative_refuses_an_exponent_it_would_round(self) -> None:
        with pytest.raises(ValueError, match="below 2"):
            kernels.power_prime(self.X, Fraction(1, 10**400))


def _pow(x: float, c: float) -> float:
    """C's pow, which Python's math.pow wraps, without its exceptions."""
    try:
        return math.pow(x, c)
    except OverflowError:
        return -math.inf if x < 0 and c % 2 == 1 else math.inf
    except ValueError:
        return math.copysign(math.inf, x) if x == 0 and c % 2 == 1 else math.inf if x == 0 else math.nan


@pytest.mark.parametrize("factor", [math.inf, math.nan, -1e300])
def test_scaled_exp_refuses_a_factor_out_of_range(factor: float) -> None:
    with pytest.raises(ValueError, match="scaled_exp: factor must satisfy"):
        kernels.scaled_exp(np.zeros(1), factor)


def test_scaled_exp_by_zero_is_zero_even_where_exp_overflows() -> None:
    x = np.array([-math.inf, 0.0, 1e5, math.inf, math.nan])
    np.testing.assert_array_equal(kernels.scaled_exp(x, 0.0), [0, 0, 0, 0, math.nan])


def test_derivative_formulas_cover_what_the_docstring_promises() -> None:
    promised = ("log'", "sqrt'", "cos'", "log1p'", "expm1'", "reciprocal'", "square'", "softplus'", "elu'")
    named = {case.name.split(" ")[0] for case in FORMULA_CASES}
    assert named == set(promised)


@pytest.mark.slow
def test_committed_constants_are_what_the_script_makes() -> None:
    script = Path(__file__).resolve().parents[2] / "scripts" / "make_kernel_constants.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr

"""`JaxArrays` against `FloatArrays`: values within a few units, nan, infinity and exact moves to the letter.

Members are traced into few programs, since compiling is what takes time here. XLA on a CPU flushes
subnormals: arguments are zero or normal, and results below `FLUSHED` times the least normal number may be 0.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="needs the extra xla")

from prooftape.arrays.floats import FloatArrays, LowPrecision  # noqa: E402
from prooftape.literal import Literal  # noqa: E402
from prooftape.vocabulary import Vocabulary  # noqa: E402
from prooftape.xla import arrays  # noqa: E402
from prooftape.xla.arrays import JaxArrays  # noqa: E402

Function = Callable[..., Any]
BOTH = [pytest.param("float32"), pytest.param("float64", marks=pytest.mark.slow)]

FLUSHED = {"float32": 128.0, "float64": 1024.0}
"""|x| exp(-|x|) with exp(-|x|) subnormal is still so many times the least normal number."""


def precision(dtype: str) -> contextlib.AbstractContextManager[Any]:
    return jax.enable_x64(True) if dtype == "float64" else contextlib.nullcontext()


def run(functions: dict[str, Function], xp: JaxArrays, *operands: object) -> dict[str, Any]:
    """All functions in one program."""
    with precision(str(xp.dtype)):
        found = jax.jit(lambda *given: {n: f(xp, *given) for n, f in functions.items()})(*operands)
        return {name: np.asarray(value) for name, value in found.items()}


def wanted(functions: dict[str, Function], dtype: str, *operands: object) -> dict[str, Any]:
    xp = FloatArrays(dtype)
    with np.errstate(all="ignore"):
        return {name: np.asarray(f(xp, *operands)) for name, f in functions.items()}


def random_numbers(dtype: str, count: int, seed: int) -> np.ndarray:
    """Normal numbers of all magnitudes, and those around which functions turn; nan, infinities and zeros."""
    rng = np.random.default_rng(seed)
    info = np.finfo(dtype)
    deep = 110.0 if dtype == "float32" else 750.0
    special = [
        *(
            0.0,
            -0.0,
            np.inf,
            -np.inf,
            np.nan,
            info.tiny,
            -info.tiny,
            info.max,
            -info.max,
            info.eps,
            -info.eps,
        ),
        *(1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 1e20, -1e20, 1e-20, -1e-20, 1e4, -1e4, np.pi, -np.pi),
        *(88.0, -88.0, 90.0, -90.0, 104.0, -104.0, 709.0, -709.0, 750.0, -750.0),
        *(0.7517915246935645, -0.7517915246935645, 1.2784645427610738, -1.2784645427610738),
    ]
    parts = [
        np.array(special),
        rng.standard_normal(count) * 3,
        rng.uniform(-deep, deep, count),
        np.exp(rng.uniform(-80, 80, count)) * rng.choice([-1, 1], count),
    ]
    return np.concatenate(parts).astype(dtype)


def units(got: np.ndarray, want: np.ndarray, *, flushed: float) -> np.ndarray:
    """Distance in units in the last place; inf where one is nan or infinite and the other is not the same."""
    tiny = np.finfo(want.dtype).tiny
    with np.errstate(all="ignore"):
        gap = np.abs(got.astype(np.longdouble) - want)
        gap = gap / np.maximum(np.spacing(np.abs(want)), np.spacing(tiny)).astype(np.longdouble)
        same = (got == want) | (np.isnan(got) & np.isnan(want))
        near_zero = np.isfinite(got) & np.isfinite(want) & (np.abs(got - want) <= flushed * tiny)
    gap[~np.isfinite(gap)] = np.inf
    return np.where(same | near_zero, 0, gap)


EXPONENTS = (
    0,
    1,
    2,
    3,
    8,
    9,
    20,
    -1,
    -2,
    -3,
    -8,
    -21,
    0.5,
    -0.5,
    1.5,
    Fraction(1, 3),
    Fraction(-2, 3),
    2.7,
    1e-3,
)
SCALES = (0, 1, -1, 0.3, 1e-3, 1e3)

UNITS = {
    # correctly rounded by IEEE 754, or exact
    **dict.fromkeys(("neg", "square", "reciprocal", "abs", "sign", "sqrt"), 0),
    # XLA's own, over 60,000 arguments and more; exp is 1 unit off (NumPy's 2.4) up to 88, from there to
    # overflow 5.5; tanh saturates late in float64
    "exp": 7, "expm1": 6, "log": 1, "log1p": 3, "sin": 1, "cos": 1, "tanh": 6, "sigmoid": 3, "erf": 5,
    # compositions: an exponential, a division and what joins them
    "softplus": 4, "silu": 4, "tanh_prime": 5, "sigmoid_prime": 4, "silu_prime": 5,
    # an exponential, a polynomial and four more roundings
    "gelu": 6, "gelu_prime": 6, "normal_pdf": 5, "erf_prime": 5,
}  # fmt: skip
"""Units between the two engines, over `random_numbers`; NumPy's own share is up to 3."""
POWER_UNITS = 7  # eight factors are seven roundings; by halves twice the error of a power, and three products
SCALED_EXP_UNITS = 6  # twice the error of exp(x / 2)


def scalar_functions() -> tuple[dict[str, Function], dict[str, int]]:
    functions: dict[str, Function] = {name: (lambda xp, x, name=name: getattr(xp, name)(x)) for name in UNITS}
    limits = dict(UNITS)
    for c in EXPONENTS:
        functions[f"pow {c}"] = lambda xp, x, c=c: xp.pow(x, c)
        functions[f"pow_prime {c}"] = lambda xp, x, c=c: xp.pow_prime(x, c)
        limits |= {f"pow {c}": POWER_UNITS, f"pow_prime {c}": POWER_UNITS}
    for c in SCALES:
        functions[f"scaled_exp {c}"] = lambda xp, x, c=c: xp.scaled_exp(x, c)
        limits[f"scaled_exp {c}"] = SCALED_EXP_UNITS
    return functions, limits


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("count", [600, pytest.param(60_000, marks=pytest.mark.slow)])
def test_scalar_functions(dtype: str, count: int) -> None:
    functions, limits = scalar_functions()
    x = random_numbers(dtype, count, seed=1)
    got, want = run(functions, JaxArrays(dtype), x), wanted(functions, dtype, x)
    beyond = {}
    for name, limit in limits.items():
        assert got[name].dtype == want[name].dtype == x.dtype, name
        gap = units(got[name], want[name], flushed=FLUSHED[dtype])
        zeros = np.signbit(got[name]) != np.signbit(want[name])
        gap[(x == 0) & (want[name] == 0) & zeros] = np.inf
        at = int(np.argmax(gap))
        if gap[at] > limit:
            beyond[name] = (float(gap[at]), x[at], want[name][at], got[name][at])
    assert beyond == {}


def pairs(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of special numbers, and random ones."""
    x = random_numbers(dtype, 40, seed=2)
    a, b = (m.ravel() for m in np.meshgrid(x, x))
    return a, b


EXACT_PAIRS: dict[str, Function] = {
    name: (lambda xp, a, b, name=name: getattr(xp, name)(a, b))
    for name in ("add", "sub", "mul", "amul", "maximum", "minimum", "greater", "greater_equal", "equal")
}
EXACT_PAIRS |= {
    "where": lambda xp, a, b: xp.where(xp.greater(a, b), a, b),
    "where, masks": lambda xp, a, b: xp.where(xp.greater(a, b), xp.equal(a, a), xp.equal(b, a)),
    "gate": lambda xp, a, b: xp.gate(xp.greater(a, b), a),
    "gate, complement": lambda xp, a, b: xp.gate(xp.greater(a, b), a, complement=True),
    "scale": lambda xp, a, b: xp.scale(a, Fraction(1, 3)),
    "scale, beyond every float": lambda xp, a, b: xp.scale(a, -(10**400)),
    "stop_gradient": lambda xp, a, b: xp.stop_gradient(b),
    "finish": lambda xp, a, b: xp.finish(b),
}


@pytest.mark.parametrize("dtype", BOTH)
def test_arithmetic_is_the_same(dtype: str) -> None:
    a, b = pairs(dtype)
    got, want = run(EXACT_PAIRS, JaxArrays(dtype), a, b), wanted(EXACT_PAIRS, dtype, a, b)
    for name, value in want.items():
        assert got[name].dtype == value.dtype, name
        if value.dtype == np.bool_:
            assert (got[name] == value).all(), name
        else:
            worst = int(np.argmax(units(got[name], value, flushed=1)))
            gap = units(got[name], value, flushed=1)[worst]
            assert gap == 0, (name, a[worst], b[worst], value[worst], got[name][worst])


def test_a_zero_product_keeps_its_sign_and_an_absorbed_one_has_none() -> None:
    g, d = np.array([0, 0, -0.0, 0, -0.0, 0], "f"), np.array([-2, np.inf, np.inf, -np.inf, 3, np.nan], "f")
    got = np.asarray(JaxArrays("float32").amul(g, d))
    assert list(map(str, got)) == ["-0.0", "0.0", "0.0", "0.0", "-0.0", "0.0"]


@pytest.mark.parametrize("dtype", BOTH)
def test_division_and_difference_of_exponentials(dtype: str) -> None:
    a, b = pairs(dtype)
    functions: dict[str, Function] = {
        "div": lambda xp, a, b: xp.div(a, b),
        "exp_difference": lambda xp, a, b: xp.exp_difference(a, b),
    }
    got, want = run(functions, JaxArrays(dtype), a, b), wanted(functions, dtype, a, b)
    # at most the least normal number is lost where the quotient is subnormal
    assert units(got["div"], want["div"], flushed=1).max() == 0
    # NumPy's own is no oracle here: in float64 it is nan where the exponential overflows
    with np.errstate(all="ignore"):
        wide = np.exp(a.astype(np.longdouble) - b.astype(np.longdouble)).astype(dtype)
    gap = units(got["exp_difference"], wide, flushed=1)
    assert gap.max() <= 5, (a[gap.argmax()], b[gap.argmax()])


@pytest.mark.parametrize("dtype", BOTH)
def test_a_large_difference_is_not_rounded_before_the_exponential(dtype: str) -> None:
    rng = np.random.default_rng(3)
    deep = 40.0 if dtype == "float32" else 340.0
    x, y = (rng.uniform(-deep, deep, 4000).astype(dtype) for _ in range(2))
    function: dict[str, Function] = {"e": lambda xp, x, y: xp.exp_difference(x, y)}
    want = np.exp(x.astype(np.longdouble) - y).astype(dtype)
    assert units(run(function, JaxArrays(dtype), x, y)["e"], want, flushed=0).max() <= 5


# -- structure: entries are moved and added, integers exactly ------------------------------------------------


def whole_numbers(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-9, 10, shape).astype(dtype)


def structure_cases(dtype: str) -> tuple[dict[str, Function], list[np.ndarray]]:
    x = whole_numbers((2, 3, 7, 6), dtype, 1)
    w = whole_numbers((4, 3, 5), dtype, 2)
    v = whole_numbers((4, 5, 2), dtype, 3)
    rows, column = whole_numbers((6, 3), dtype, 4), whole_numbers((3, 1), dtype, 5)
    index = np.array([2, 0, 2, 9, 5, 2], np.int32)
    nan = np.array([[1, np.nan, 3, np.nan], [-np.inf] * 4, [2, 5, 5, 1], [np.inf, 0, np.inf, 1]], dtype)
    valid, corner = np.array([[False, True, True, False]]), np.eye(6, 3, dtype=np.bool_)

    def larger(xp: Any, *a: Any) -> Any:
        return xp.fold_windows(xp.windows(a[0], (2, 2), (3, 2)), (9, 7), (3, 2))

    functions: dict[str, Function] = {
        "reshape": lambda xp, *a: xp.reshape(a[0], (6, 42)),
        "reshape, none": lambda xp, *a: xp.reshape(a[0], (2, 3, 7, 6)),
        "permute": lambda xp, *a: xp.permute(a[0], (2, 0, 3, 1)),
        "broadcast": lambda xp, *a: xp.broadcast(a[4], (5, 3, 2), (1, 2)),
        "broadcast, rank 0": lambda xp, *a: xp.broadcast(xp.full((), 3), (2, 2), ()),
        "sum": lambda xp, *a: xp.sum(a[0], (1, 3)),
        "sum, no axes": lambda xp, *a: xp.sum(a[0], ()),
        "max": lambda xp, *a: xp.max(a[0], (0, 2)),
        "max, nan": lambda xp, *a: xp.max(a[6], (1,)),
        "concat": lambda xp, *a: xp.concat([a[3], a[3], a[3]], 1),
        "concat, masks": lambda xp, *a: xp.concat([xp.equal(a[3], a[3]), xp.greater(a[3], a[3])], 0),
        "concat, one": lambda xp, *a: xp.concat([a[3]], 0),
        "slice": lambda xp, *a: xp.slice(a[0], 2, 1, 4),
        "slice, empty": lambda xp, *a: xp.slice(a[0], 2, 7, 0),
        "pad": lambda xp, *a: xp.pad(a[3], [(1, 0), (0, 2)]),
        "pad, infinity": lambda xp, *a: xp.pad(a[3], [(1, 2), (0, 0)], float("-inf")),
        "matmul": lambda xp, *a: xp.matmul(a[1], a[2]),
        "affine": lambda xp, *a: xp.affine(a[3], a[3], xp.sum(a[3], (1,))),
        "minus_scaled": lambda xp, *a: xp.minus_scaled(a[3], a[3], 4),
        "amatmul": lambda xp, *a: xp.amatmul(a[1], a[2], 0),
        "take": lambda xp, *a: xp.take(a[3], a[5]),
        "take, static": lambda xp, *a: xp.take(a[3], xp.index([1, 1, 5])),
        "take, static, beyond": lambda xp, *a: xp.take(a[3], xp.index([1, 6, 2**40])),
        "take, of nothing": lambda xp, *a: xp.take(xp.slice(a[3], 0, 0, 0), a[5]),
        "take, rank 1": lambda xp, *a: xp.take(xp.sum(a[3], (1,)), a[5]),
        "put_add": lambda xp, *a: xp.put_add(a[3], a[5], 5),
        "put_add, to nothing": lambda xp, *a: xp.put_add(a[3], a[5], 0),
        "put_add, static": lambda xp, *a: xp.put_add(a[3], xp.index([0, 0, 1, 2, 2, 2**40]), 4),
        "one_hot": lambda xp, *a: xp.one_hot(a[5], 6),
        "windows": lambda xp, *a: xp.windows(a[0], (3, 2), (2, 2)),
        "windows, overlapping": lambda xp, *a: xp.windows(a[0], (3, 3), (1, 2)),
        "windows, one axis": lambda xp, *a: xp.windows(a[0], (4,), (1,)),
        "fold_windows": lambda xp, *a: xp.fold_windows(xp.windows(a[0], (3, 2), (2, 3)), (7, 6), (2, 3)),
        "fold_windows, larger": larger,
        "first_max": lambda xp, *a: xp.first_max(a[0], None),
        "first_max, nan": lambda xp, *a: xp.first_max(a[6], None),
        "first_max, valid": lambda xp, *a: xp.first_max(a[6], valid),
        "mask": lambda xp, *a: xp.where(xp.mask(corner), a[3], xp.neg(a[3])),
        "full": lambda xp, *a: xp.full((2, 1), Fraction(-1, 3)),
        "full, beyond": lambda xp, *a: xp.full((2,), 10**400),
        "array": lambda xp, *a: xp.array(Literal(np.array([[1.5, -0.0], [np.nan, 3]]))),
        "array, splat": lambda xp, *a: xp.array(Literal(np.full((3, 2), 0.1))),
        "array, empty": lambda xp, *a: xp.array(Literal(np.zeros((0, 2)))),
        "array, mask": lambda xp, *a: xp.array(Literal(np.array([True, False]))),
    }  # fmt: skip
    return functions, [x, w, v, rows, column, index, nan]


@pytest.mark.parametrize("dtype", BOTH)
def test_structure_is_the_same(dtype: str) -> None:
    functions, operands = structure_cases(dtype)
    got, want = run(functions, JaxArrays(dtype), *operands), wanted(functions, dtype, *operands)
    for name, value in want.items():
        assert (got[name].dtype, got[name].shape) == (value.dtype, value.shape), name
        np.testing.assert_array_equal(got[name], value, err_msg=name)


def test_every_member_is_tested() -> None:
    """By name in one of the tables above, or in a test of its own below."""
    functions, _ = structure_cases("float32")
    tabled = {name.partition(",")[0].partition(" ")[0] for name in (*functions, *EXACT_PAIRS)}
    others = {"div", "exp_difference", "pow", "pow_prime", "scaled_exp", "shape", "index"}
    inherited = {"label_losses", "label_slopes", "add_into", "fused"}  # compositions of members, or nothing
    members = {name for name in vars(Vocabulary) if not name.startswith("_")}
    assert members - inherited <= tabled | others | set(UNITS)


# -- absorbing matrix products -------------------------------------------------------------------------------

SHAPES = [((3, 4), (4, 2)), ((2, 3, 4), (2, 4, 2)), ((20, 30), (30, 40)), ((3, 12, 16), (3, 16, 10))]


def product_functions() -> dict[str, Function]:
    return {
        f"{i} {linear}": (lambda xp, *a, i=i, linear=linear: xp.amatmul(a[2 * i], a[2 * i + 1], linear))
        for i in range(len(SHAPES))
        for linear in (0, 1)
    }


def factors(bad: float) -> list[np.ndarray]:
    """Integers with many zeros; some entries of the right factors, and of the first left one, are `bad`."""
    found = []
    for i, (left, right) in enumerate(SHAPES):
        a, b = whole_numbers(left, "float32", 7 + i), whole_numbers(right, "float32", 9 + i)
        a[..., ::2] *= a[..., ::2] > 0
        b[..., ::2, :] *= b[..., ::2, :] > 2
        a[..., 1, 1], b[..., 1, 1], b[..., 2, 0] = 0, 0, bad
        a[..., 2] = 0
        a[..., 0, 2] = 1
        found += [a, b]
    found[0][0, 0] = bad
    return found


@pytest.mark.parametrize("bad", [7.0, np.inf, np.nan])
def test_zeros_of_the_linear_operand_absorb(bad: float) -> None:
    functions, operands = product_functions(), factors(bad)
    got, want = run(functions, JaxArrays("float32"), *operands), wanted(functions, "float32", *operands)
    for name, value in want.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)
    with np.errstate(invalid="ignore"):
        plain = np.matmul(operands[4], operands[5])
    assert np.isfinite(bad) or (np.isnan(plain) & ~np.isnan(want["2 0"])).any(), "something was absorbed"


@pytest.mark.parametrize("bad", [7.0, np.inf, np.nan])
@pytest.mark.parametrize("shape", SHAPES[2:])
def test_a_product_that_may_be_wrong_is_suspected(bad: float, shape: tuple[Any, Any]) -> None:
    rng = np.random.default_rng(0)

    def plain(a: Any, b: Any) -> Any:
        xp = JaxArrays("float32", strict=False)
        out = xp.amatmul(a, b, 0)
        return out, xp.suspects

    program = jax.jit(plain)
    for _ in range(8):
        a, b = (rng.integers(-1, 2, s).astype(np.float32) for s in shape)
        (a, b)[rng.integers(2)][..., 3, 5] = bad
        out, suspects = program(a, b)
        with np.errstate(all="ignore"):
            product = a @ b
        np.testing.assert_array_equal(np.asarray(out), product)
        assert [bool(s) for s in suspects] == [not np.isfinite(product).all()]


def test_a_small_product_is_written_out_and_never_suspected() -> None:
    a, b = np.array([[0, 1]], "f"), np.array([[np.inf], [2]], "f")
    assert np.asarray(jax.jit(lambda a, b: JaxArrays("float32", strict=False).amatmul(a, b, 0))(a, b)) == [
        [2]
    ]

    def suspects(k: int) -> int:
        xp = JaxArrays("float32", strict=False)
        jax.eval_shape(lambda a, b: xp.amatmul(a, b, 0), np.zeros((1, k), "f"), np.zeros((k, 1), "f"))
        return len(xp.suspects)

    assert [suspects(k) for k in (2, arrays.TINY_PRODUCT, arrays.TINY_PRODUCT + 1)] == [0, 0, 1]


# -- storage formats -----------------------------------------------------------------------------------------


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError) as e:
        JaxArrays("int8")
    assert str(e.value) == "JaxArrays: expected one of float32, float64, bfloat16, float16, got 'int8'"


@pytest.mark.parametrize("storage", ["bfloat16", "float16"])
def test_low_precision_rounds_once(storage: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = random_numbers("float32", 1000, seed=5)
    x = np.concatenate([x, np.linspace(-1e-4, 1e-4, 999, dtype=np.float32), np.float32([65519, 65520, 3e38])])
    xp = JaxArrays(storage)
    program = jax.jit(lambda x: xp.finish(xp.mul(x, x)))
    rounded = program.lower(x).compile({"xla_allow_excess_precision": False})(x)
    reference = LowPrecision(ml_dtypes.bfloat16 if storage == "bfloat16" else np.float16)
    with np.errstate(all="ignore"):
        want = reference.finish(x * x)
    got = np.asarray(rounded)
    assert got.dtype == np.float32
    assert units(got, want, flushed=1).max() == 0
    literal = Literal(np.array([[1 / 3, -1e-7], [1e6, 0.1]]))
    with np.errstate(all="ignore"):
        expected = reference.array(literal)
    np.testing.assert_array_equal(np.asarray(xp.array(literal)), expected)
    mask = np.array([True, False])
    assert np.asarray(xp.finish(mask)).tolist() == [True, False]


def test_float32_stays_float32_beside_float64() -> None:
    """Also where 64 bits are on: no literal widens anything."""
    functions, limits = scalar_functions()
    with jax.enable_x64(True):
        xp = JaxArrays("float32")
        shapes = jax.eval_shape(lambda x: {n: f(xp, x) for n, f in functions.items()}, np.ones(3, np.float32))
    assert {name: s.dtype for name, s in shapes.items()} == dict.fromkeys(limits, np.dtype("float32"))
    assert not any(s.weak_type for s in shapes.values())

"""How far two correct float64 answers may lie apart, derived per op. Nothing here was tuned to a result.

u = 2**-53 is the unit roundoff: one IEEE operation errs by at most u times its result, an elementary
function of NumPy or
PyTorch by at most 2 ulp = 4u. Both sides err, so bounds are doubled. Three cases, by what the program does:

exact        The op moves, compares, selects, copies or halves entries, or does one IEEE operation per entry.
Cotangents and
             tangents are multiples of 1/16, so sums of copies are exact too. Tolerance 0.
elementwise  One function per entry. A relative part k*u*|result|, and an absolute part where PyTorch's own
formula cancels
             (tanh' as 1 - y*y, …): each is written beside the formula it comes from.
reducing     Sums and everything built on them. To first order the result of an algorithm that is backward
stable normwise
             moves by (number of roundings)*u times the record's `scale`, which is
             max_i ( |F_i| + sum_z max|z| * sum_j |dF_i/dz_j| ), from PyTorch's own derivatives
             (scripts/golden/truth.py).
             A sum has at most N terms, N the largest array of the record; the table says how many sums and
             how many single
             operations follow one another. The bound is gamma_k = k*u/(1 - k*u), k = 2*(sums*N + operations).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from golden_data import Array, Program, Record

U = 2.0**-53
SUBNORMAL = 4 * 2.0**-1074
"""Below the normal range results are rounded to a multiple of 2**-1074, whatever their size."""

EXACT = frozenset(
    (
        "add",
        "sub",
        "neg",
        "abs",
        "relu",
        "maximum",
        "minimum",
        "clamp",
        "where",
        "greater",
        "less",
        "greater_equal",
        "less_equal",
        "equal",
        "detach",
        "dropout",
        "concat",
        "concat_dim0",
        "concat_vectors",
        "slice",
        "slice_range0",
        "pad",
        "reshape",
        "flatten",
        "permute",
        "transpose2d",
        "transpose3d_first_to_last",
        "transpose3d_last_to_first",
        "transpose3d_last_two",
        "swap_adjacent_at_depth",
        "broadcast_to",
        "max_pool",
        "max_pool2d",
        "gather_scalar",
        "gather_row",
        "gather_scalar_nat",
        "gather_vec_nat",
        "gather_rows_nat",
        "gather_scalar_ref",
        "gather_row_ref",
        "gather_vec_ref",
        "gather_rows_ref",
    )
)


@dataclass(frozen=True)
class Elementwise:
    """Units of u. `out`, `derivative`: relative parts; `out_absolute(x)`, `derivative_absolute(x)`: absolute
    parts, the latter
    per unit of cotangent or tangent."""

    out: float
    derivative: float
    out_absolute: Callable[[Array], Array] | None = None
    derivative_absolute: Callable[[Array], Array] | None = None


def _ones(x: Array) -> Array:
    return np.ones_like(x)


def _sigmoid(x: Array) -> Array:
    return np.asarray(np.exp(-np.logaddexp(0.0, -x)))


FUNCTION = 8.0
"""Two elementary functions of 2 ulp each."""
CHAIN = 24.0
"""A derivative: within 4 ulp = 8u of the exact one on our side; a function, at most four operations and the
product with the
cotangent on PyTorch's; the product on ours."""

ELEMENTWISE: dict[str, Elementwise] = {
    "scale": Elementwise(0, 0),  # one product
    "mul": Elementwise(
        0, 0
    ),  # one product each (x*x twice: a sum of equal terms); _binary_jvp bounds the JVP
    "div": Elementwise(0, CHAIN),
    "square": Elementwise(0, 4),
    "reciprocal": Elementwise(0, CHAIN),
    "sqrt": Elementwise(2, CHAIN),  # ours is the IEEE operation; PyTorch's vector library is within 1 ulp
    "leaky_relu": Elementwise(0, 0),
    "exp": Elementwise(FUNCTION, CHAIN),
    "log": Elementwise(FUNCTION, CHAIN),
    "log1p": Elementwise(FUNCTION, CHAIN),
    "sin": Elementwise(FUNCTION, CHAIN),
    "cos": Elementwise(FUNCTION, CHAIN),
    "pow_const": Elementwise(FUNCTION, CHAIN),
    # PyTorch: grad * (result + 1), which cancels for x << 0
    "expm1": Elementwise(FUNCTION, CHAIN, None, lambda x: 8 * _ones(x)),
    "elu": Elementwise(FUNCTION, CHAIN),
    # PyTorch: grad * (1 - y) * y
    "sigmoid": Elementwise(FUNCTION, CHAIN, None, lambda x: 8 * _sigmoid(x)),
    # PyTorch: grad * (1 - y*y)
    "tanh": Elementwise(FUNCTION, CHAIN, None, lambda x: 8 * _ones(x)),
    "softplus": Elementwise(FUNCTION, CHAIN),
    # exp(-x*x): the rounding of x*x is amplified by x*x
    "erf": Elementwise(FUNCTION, CHAIN, None, lambda x: 2.3 * x * x * np.exp(-x * x)),
    # PyTorch: x/2 * (1 + erf(x/sqrt 2)), and that plus x times the density
    "gelu": Elementwise(
        FUNCTION,
        CHAIN,
        lambda x: 4 * np.abs(x),
        lambda x: 8 * _ones(x) + 2 * np.abs(x) ** 3 * np.exp(-x * x / 2),
    ),
    # PyTorch: sigmoid(x) * (1 + x * (1 - sigmoid(x)))
    "silu": Elementwise(FUNCTION, CHAIN, None, lambda x: 8 * _sigmoid(x) * (1 + np.abs(x))),
}

REDUCING: dict[str, tuple[int, int]] = {
    # op: (sums, single operations) one after another in the forward pass; an elementary function counts as 4
    **dict.fromkeys(("scale", "mul", "div", "scatter_add_vec", "scatter_add_row"), (0, 1)),
    **dict.fromkeys(
        ("sum", "mean", "reduce_sum", "reduce_mean", "matmul", "bmm", "linear", "avg_pool", "avg_pool2d"),
        (1, 1),
    ),
    **dict.fromkeys(
        ("conv", "conv2d", "conv_transpose", "conv_transpose2d", "nll_loss", "reduce_max"), (1, 1)
    ),
    "mse_loss": (1, 3),
    "huber_loss": (1, 4),
    "bce_with_logits": (1, 14),
    "logsumexp": (1, 10),
    "softmax": (1, 6),
    "log_softmax": (1, 10),
    "cross_entropy": (2, 12),
    "var": (2, 4),
    "rms_norm": (1, 6),
    "layer_norm": (2, 8),
    "group_norm": (2, 8),
    "batchnorm_channel_first": (2, 8),
    "multi_head_attention": (5, 10),
}

SHIFTED = frozenset({"softmax", "log_softmax", "logsumexp", "cross_entropy", "bce_with_logits"})
"""These subtract numbers as large as their input before an exponential or after a logarithm, so their
absolute error is that of
the input's size even where result and derivatives are tiny (log_softmax of [100, 0]). No backward error
explains that."""

NORMS = frozenset({"layer_norm", "rms_norm", "batchnorm_channel_first", "group_norm"})
"""A group of two entries is normalised to almost +1 and -1 whatever they are: value and derivatives are tiny
differences
of numbers that are not, see _norm_extra."""


def gamma(k: float) -> float:
    """Higham's gamma_k."""
    return k * U / (1 - k * U)


@dataclass(frozen=True)
class Bounds:
    """Largest admissible |session - PyTorch| per entry."""

    out: Array | float
    gradients: list[Array | float]
    jvp: Array | float


def bounds(program: Program, record: Record) -> Bounds:
    """The three cases of the module docstring."""
    inexact = [op for op in program.ops if op not in EXACT]
    if not inexact:
        return Bounds(0.0, [0.0] * len(record.leaves), 0.0)
    if len(program.steps) == 1 and inexact[0] in ELEMENTWISE:
        return _elementwise(ELEMENTWISE[inexact[0]], inexact[0], record)
    return _reducing(program, record, inexact)


def _elementwise(rule: Elementwise, op: str, r: Record) -> Bounds:
    with np.errstate(all="ignore"):
        x = r.leaves[0]
        out = (
            U * rule.out * np.abs(r.out)
            + U * (rule.out_absolute(x) if rule.out_absolute else 0.0)
            + SUBNORMAL
        )
        assert r.cotangent is not None
        absolute = U * rule.derivative_absolute(x) if rule.derivative_absolute else 0.0
        gradients: list[Array | float] = [
            0.0 if g is None else U * rule.derivative * np.abs(g) + absolute * np.abs(r.cotangent) + SUBNORMAL
            for g in r.gradients
        ]
        if len(r.leaves) == 2:
            jvp = _binary_jvp(op, r)
        elif r.jvp is None or r.tangents[0] is None:
            jvp = np.zeros(())
        else:
            jvp = U * rule.derivative * np.abs(r.jvp) + absolute * np.abs(r.tangents[0]) + SUBNORMAL
    return Bounds(_finite(out), [_finite(g) for g in gradients], _finite(jvp))


def _finite(bound: Array | float) -> Array:
    """An infinite or undefined answer has to be met exactly."""
    return np.where(np.isfinite(bound), bound, 0.0)


def _binary_jvp(op: str, r: Record) -> Array:
    """mul: da*b + a*db; div: (da - db*(a/b)) / b. The two terms may cancel, so the bound takes their sizes
    apart."""
    (a, b), tangents = r.leaves, [0.0 if t is None else np.abs(t) for t in r.tangents]
    if op == "mul":
        return np.asarray(4 * U * (np.abs(b) * tangents[0] + np.abs(a) * tangents[1]))
    return np.asarray(CHAIN * U * (tangents[0] + tangents[1] * np.abs(a / b)) / np.abs(b))


def roundings(program: Program, record: Record, derivative: bool) -> float:
    """2*(sums*N + operations); a derivative pass repeats the forward one and adds a sum and two products per
    step."""
    n = max(x.size for x in [*record.leaves, record.out])
    sums = operations = 0
    for op in program.ops:
        if op in EXACT:
            more = (0, 1)
        else:
            more = REDUCING.get(op, (0, 4))
        sums, operations = sums + more[0], operations + more[1]
    if derivative:
        sums, operations = 2 * sums + 1, 2 * operations + 2 * len(program.steps)
    return 2.0 * (sums * n + operations)


@dataclass(frozen=True)
class Extra:
    """What backward stability does not explain: added to a scale, per unit of cotangent or tangent for
    derivatives."""

    value: float
    derivative: float


def _extra(program: Program, r: Record, inexact: list[str]) -> Extra | None:
    size = max((float(np.max(np.abs(x[np.isfinite(x)]), initial=0.0)) for x in r.leaves), default=0.0)
    if not SHIFTED.isdisjoint(inexact):
        return Extra(1 + size, 1 + size)
    for op, operands, attributes in program.steps:
        if op in NORMS:
            gamma_leaf = _source(program, r, operands[1])
            return _norm_extra(gamma_leaf, r, float(attributes["eps"]), attributes.get("num_groups"))
    return None


def _source(program: Program, r: Record, ref: str) -> Array:
    """The leaf that a value is a reshape or broadcast of."""
    leaves = [*r.leaves, *program.fillers]
    i = int(ref[1:])
    return leaves[i] if i < len(leaves) else _source(program, r, program.steps[i - len(leaves)][1][0])


def _norm_extra(gamma: Array, r: Record, eps: float, groups: int | None) -> Extra:
    """With s the least deviation that is divided by and n the size of a normalised group: x - mean errs by
    max|x|, so y by max|gamma| max|x| / s. The derivative gamma/s * (u - mean u - y * mean(u*y)), |y| <=
    sqrt(n),
    loses its leading digits when a group has two entries, where y hardly moves at all."""
    x = r.leaves[0]
    if not x.size:
        return Extra(0.0, 0.0)
    rows = {
        "nn.functional.batch_norm": lambda: np.moveaxis(x, 1, 0).reshape(x.shape[1], -1),
        "nn.functional.instance_norm": lambda: x.reshape(x.shape[0] * x.shape[1], -1),
        "nn.functional.group_norm": lambda: x.reshape(x.shape[0] * (groups or 1), -1),
    }.get(r.op, lambda: x.reshape(-1, gamma.size))()
    centre = 0.0 if r.op == "nn.functional.rms_norm" else np.mean(rows, axis=1, keepdims=True)
    inverse = 1 / np.sqrt(np.min(np.mean((rows - centre) ** 2, axis=1)) + eps)
    factor = float(np.max(np.abs(gamma)) * inverse)
    size = float(np.max(np.abs(x)))
    return Extra(factor * size, factor * (2 + np.sqrt(rows.shape[1])) * (1 + inverse * size))


def _reducing(program: Program, r: Record, inexact: list[str]) -> Bounds:
    extra = _extra(program, r, inexact)

    def bound(scale: float | None, k: float, more: float, what: str) -> float:
        if scale is None and extra is None:
            raise AssertionError(f"{r}: no scale for {what}; a program that sums needs finite inputs")
        return gamma(k) * ((scale or 0.0) + more)

    forward, derivative = roundings(program, r, derivative=False), roundings(program, r, derivative=True)
    cotangent = float(np.max(np.abs(r.cotangent), initial=0.0)) if r.cotangent is not None else 0.0
    tangent = max((float(np.max(np.abs(t), initial=0.0)) for t in r.tangents if t is not None), default=0.0)
    scales = r.gradient_scales or [None] * len(r.leaves)
    value, slope = (extra.value, extra.derivative) if extra else (0.0, 0.0)
    return Bounds(
        bound(r.out_scale, forward, value, "the value"),
        [
            0.0 if g is None or not g.size else bound(s, derivative, slope * cotangent, "a gradient")
            for g, s in zip(r.gradients, scales, strict=True)
        ],
        0.0 if r.jvp is None else bound(r.jvp_scale, derivative, slope * tangent, "the JVP"),
    )

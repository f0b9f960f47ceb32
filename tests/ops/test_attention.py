"""Multi-head attention: check values, a plain per-head reference, masks, batches, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from op_calls import LOCATION, grads, record, refusal, tangent, value, zeros

from prooftape import Session
from prooftape.errors import ProofTapeError

Array = NDArray[Any]
OP = "multi_head_attention"
EYE = np.eye(2)
X = np.array([[1.0, 2.0], [3.0, 4.0]])


def by_head(
    wq: Array, wk: Array, wv: Array, wo: Array, x: Array, heads: int, mask: Array | None = None
) -> Array:
    """One head at a time, from the columns that belong to it; no max shift, no tricks."""
    d = wq.shape[1] // heads
    outputs = []
    for h in range(heads):
        columns = slice(h * d, (h + 1) * d)
        q, k, v = x @ wq[:, columns], x @ wk[:, columns], x @ wv[:, columns]
        e = np.exp(q @ k.T / np.sqrt(d))
        if mask is not None:
            e = e * mask
        total = e.sum(1, keepdims=True)
        outputs.append(np.where(total > 0, e / np.where(total > 0, total, 1), 0) @ v)
    return np.concatenate(outputs, axis=1) @ wo


def weights(width: int, columns: int, seed: int = 0) -> list[Array]:
    rng = np.random.default_rng(seed)
    shapes = [(width, columns)] * 3 + [(columns, width)]
    return [rng.normal(size=s) for s in shapes]


def test_check_values() -> None:
    y = value(OP, EYE, EYE, EYE, EYE, X, num_heads=2)
    assert y == pytest.approx(
        np.array([[2.7615941560, 3.9640275801], [2.9950547537, 3.9993292997]]), abs=5e-11
    )


def test_the_gradient_of_the_check_case() -> None:
    """Head 0 sees column 0 only: d y00 / dx is nonzero in that column alone."""
    dx = grads(OP, EYE, EYE, EYE, EYE, X, ct=[[1.0, 0.0], [0.0, 0.0]], num_heads=2)[4]
    assert dx[:, 1].tolist() == [0.0, 0.0]
    h = 1e-6
    for i in range(2):
        step = np.zeros((2, 2))
        step[i, 0] = h
        ahead, behind = (by_head(EYE, EYE, EYE, EYE, X + s * step, 2)[0, 0] for s in (1, -1))
        # error of central differences: h^2 times the third derivative, below 1e-11, plus rounding 2^-52 / h
        assert dx[i, 0] == pytest.approx((ahead - behind) / (2 * h), abs=1e-8)


@pytest.mark.parametrize(
    ("n", "width", "columns", "heads"), [(3, 4, 4, 2), (5, 3, 6, 3), (1, 2, 2, 1), (4, 2, 8, 4)]
)
@pytest.mark.parametrize("masked", [False, True])
def test_every_head_alone(n: int, width: int, columns: int, heads: int, masked: bool) -> None:
    w, x = weights(width, columns), np.random.default_rng(1).normal(size=(n, width))
    mask = np.random.default_rng(2).random((n, n)) < 0.6 if masked else None
    expected = by_head(*w, x, heads, mask)
    assert value_with(mask, *w, x, heads=heads) == pytest.approx(expected, rel=1e-12, abs=1e-13)


def value_with(mask: Array | None, *values: Array, heads: int) -> Array:
    s = Session(scalar="float64")
    leaves = [s.add_leaf(v) for v in values]
    return np.asarray(s.get_value(s.multi_head_attention(*leaves, mask, num_heads=heads)))


def test_a_mask_is_an_array_or_a_handle() -> None:
    w, causal = weights(2, 4), np.tril(np.ones((2, 2), dtype=np.bool_))
    expected = by_head(*w, X, 2, causal)
    assert value_with(causal, *w, X, heads=2) == pytest.approx(expected, rel=1e-12)
    s = Session(scalar="float64")
    leaves = [s.add_leaf(v) for v in (*w, X)]
    rows, columns = s.const([[0.0, 0.0], [1.0, 1.0]]), s.const([[0.0, 1.0], [0.0, 1.0]])
    out = s.multi_head_attention(*leaves, mask=s.greater_equal(rows, columns), num_heads=2)
    assert s.get_value(out) == pytest.approx(expected, rel=1e-12)


def test_an_all_true_mask_changes_nothing() -> None:
    w = weights(2, 4)
    assert np.array_equal(
        value_with(np.ones((2, 2), np.bool_), *w, X, heads=2), value_with(None, *w, X, heads=2)
    )


def test_a_query_that_keeps_nothing_gives_zeros_and_no_gradient() -> None:
    mask = np.array([[False, False], [True, True]])
    w = weights(2, 2)
    ct = np.array([[1.0, 2.0], [0.0, 0.0]])
    assert value_with(mask, *w, X, heads=1)[0].tolist() == [0.0, 0.0]
    s = Session(scalar="float64")
    leaves = [s.add_leaf(v) for v in (*w, X)]
    out = s.multi_head_attention(*leaves, mask, num_heads=1)
    found = s.backward_dense_all(out, ct)
    assert all(not found[leaf].any() for leaf in leaves)
    moved = s.jvp_dense_all(out, [*w, X])
    assert moved[0].tolist() == [0.0, 0.0] and np.isfinite(moved).all()


def test_scores_beyond_the_range_of_exp() -> None:
    """The shift is the largest kept score: a far larger masked one, or far smaller kept ones, do no harm."""
    far = np.array([[1000.0], [-1000.0]])
    one, mask = np.ones((1, 1)), np.array([[False, True], [True, True]])
    assert value_with(None, one, one, one, one, far, heads=1).tolist() == [[1000.0], [-1000.0]]
    assert value_with(mask, one, one, one, one, far, heads=1).tolist() == [[-1000.0], [-1000.0]]


def test_a_masked_score_may_be_nan() -> None:
    """The second key overflows to inf, its score for the first query is 0 * inf: masked, it does no harm."""
    x, wk, wv = np.array([[1.0, 0.0], [2.0, 1e200]]), np.diag([1.0, 1e200]), np.diag([1.0, 0.0])
    mask = np.array([[True, False], [True, True]])
    out = value_with(mask, EYE, wk, wv, EYE, x, heads=1)
    assert out[0].tolist() == [1.0, 0.0]
    assert np.isnan(value_with(None, EYE, wk, wv, EYE, x, heads=1)[0]).all()


def test_a_batch_is_a_loop_over_samples() -> None:
    rng = np.random.default_rng(3)
    w, x, dx = weights(4, 6), rng.normal(size=(3, 5, 4)), rng.normal(size=(3, 5, 4))
    ct = rng.normal(size=x.shape)
    out = value(OP, *w, x, num_heads=3)
    each = np.array([value(OP, *w, s, num_heads=3) for s in x])
    assert out == pytest.approx(each, rel=1e-12)
    batch = grads(OP, *w, x, ct=ct, num_heads=3)
    loop = [grads(OP, *w, s, ct=c, num_heads=3) for s, c in zip(x, ct, strict=True)]
    for i in range(4):
        assert batch[i] == pytest.approx(sum(g[i] for g in loop), rel=1e-11, abs=1e-12)
    assert batch[4] == pytest.approx(np.array([g[4] for g in loop]), rel=1e-11, abs=1e-12)
    moved = tangent(OP, [*w, x], [*w, dx], num_heads=3)
    moves = [tangent(OP, [*w, s], [*w, d], num_heads=3) for s, d in zip(x, dx, strict=True)]
    assert moved == pytest.approx(np.array(moves), rel=1e-11, abs=1e-12)


def test_an_empty_batch() -> None:
    w = weights(4, 4)
    s, leaves, out = record(OP, [*w, zeros(0, 3, 4)], num_heads=2)
    assert out.shape == (0, 3, 4)
    found = s.backward_dense_all(out, zeros(0, 3, 4))
    assert [found[leaf].shape for leaf in leaves] == [*(v.shape for v in w), (0, 3, 4)]


def test_an_exactly_zero_cotangent_absorbs() -> None:
    w = weights(2, 2)
    x = np.array([[[np.nan, 1.0]], [[1.0, 2.0]]])
    found = grads(OP, *w, x, ct=[[[0.0, 0.0]], [[1.0, 1.0]]], num_heads=1)
    assert all(np.isfinite(g).all() for g in found)
    assert found[4][0].tolist() == [[0.0, 0.0]]


REFUSALS: list[tuple[list[tuple[int, ...]], dict[str, Any], str, str, str]] = [
    (
        [(4, 4)] * 4 + [(3, 4)],
        {},
        "AttributeValueError",
        "attribute num_heads is required",
        "pass num_heads=…",
    ),
    (
        [(4, 4)] * 4 + [(4,)],
        {"num_heads": 1},
        "ShapeError",
        "x must have axes (tokens, width), or 3 with a batch in front",
        "reshape it, keeping the width last",
    ),
    (
        [(3, 4), (4, 4), (4, 4), (4, 4), (3, 4)],
        {"num_heads": 1},
        "ShapeError",
        "wq must have shape (4, heads * head width)",
        "x's width meets the rows of wq",
    ),
    (
        [(4, 4), (4, 2), (4, 4), (4, 4), (3, 4)],
        {"num_heads": 1},
        "ShapeError",
        "wk must have the shape of wq, (4, 4)",
        "queries, keys and values share heads",
    ),
    (
        [(4, 4), (4, 4), (4, 2), (4, 4), (3, 4)],
        {"num_heads": 1},
        "ShapeError",
        "wv must have the shape of wq, (4, 4)",
        "queries, keys and values share heads",
    ),
    (
        [(4, 6), (4, 6), (4, 6), (4, 6), (3, 4)],
        {"num_heads": 2},
        "ShapeError",
        "wo must have shape (6, 4)",
        "it maps the heads back to x's width",
    ),
    (
        [(4, 4)] * 4 + [(3, 4)],
        {"num_heads": 3},
        "AttributeValueError",
        "num_heads must divide wq's 4 columns, got 3",
        "the head width is columns / num_heads",
    ),
    (
        [(4, 4)] * 4 + [(3, 4)],
        {"num_heads": 0},
        "AttributeValueError",
        "num_heads must divide wq's 4 columns, got 0",
        "the head width is columns / num_heads",
    ),
    (
        [(4, 4)] * 4 + [(0, 4)],
        {"num_heads": 2},
        "ShapeError",
        "tokens, width and head width must be >= 1",
        "only the batch may be empty",
    ),
]


@pytest.mark.parametrize(("shapes", "attrs", "kind", "problem", "hint"), REFUSALS)
def test_refusals(
    shapes: list[tuple[int, ...]], attrs: dict[str, Any], kind: str, problem: str, hint: str
) -> None:
    names = ("wq", "wk", "wv", "wo", "x")
    operands = ", ".join(f"{n} = {n} {s}" for n, s in zip(names, shapes, strict=True))
    assert refusal(OP, *(zeros(*s) for s in shapes), **attrs) == (
        kind,
        f"{OP}: {problem}: {operands}; {hint}",
    )


def test_a_mask_of_the_wrong_shape_is_refused() -> None:
    s = Session(scalar="float64")
    leaves = [
        s.input(v, name=n) for v, n in zip((*weights(2, 2), X), ("wq", "wk", "wv", "wo", "x"), strict=True)
    ]
    mask = s.const(np.ones((2, 3), np.bool_), name="mask")
    with pytest.raises(ProofTapeError) as caught:
        s.multi_head_attention(*leaves, mask, num_heads=1)
    operands = (
        "wq = wq (2, 2), wk = wk (2, 2), wv = wv (2, 2), wo = wo (2, 2), x = x (2, 2), mask = mask (2, 3)"
    )
    assert LOCATION.sub("", str(caught.value)) == (
        f"{OP}: mask must have shape (2, 2), a row per query: {operands}; "
        "one mask, True = keep, serves all heads and the whole batch"
    )

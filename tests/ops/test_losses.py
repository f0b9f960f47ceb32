"""Losses: values by hand, gradients of both operands, tails, labels out of range, empty means, refusals.

Tolerances: a handful of float64 roundings, 2^-53 = 1.1e-16 each, so 1e-15 for up to nine of them, 1e-14 for
short sums; a wrong rule is off by a visible fraction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mpmath
import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from op_calls import LOCATION, grads, refusal, tangent, value, zeros

from prooftape import Session
from prooftape.errors import ProofTapeError, ScalarError

Array = NDArray[Any]
INF = np.inf


# -- prediction against target ----------------------------------------------------------------------------
def test_mse_is_the_mean_and_differentiates_the_target() -> None:
    pred, target = [[1.0, 2.0], [3.0, 4.0]], [[0.0, 4.0], [3.0, 2.0]]
    assert value("mse_loss", pred, target).tolist() == (1 + 4 + 0 + 4) / 4
    d_pred, d_target = grads("mse_loss", pred, target, ct=2.0)
    assert d_pred.tolist() == [[1.0, -2.0], [0.0, 2.0]]
    assert d_target.tolist() == [[-1.0, 2.0], [0.0, -2.0]]
    assert tangent("mse_loss", [pred, target], [np.ones((2, 2)), None]).tolist() == 0.5


def test_huber_is_a_parabola_then_a_line() -> None:
    zero = [0.0] * 5
    pred = [-3.0, -2.0, 0.5, 2.0, 4.0]
    expected = [2 * (3 - 1), 2.0, 0.125, 2.0, 2 * (4 - 1)]
    assert value("huber_loss", pred, zero, delta=2).tolist() == np.mean(expected)
    d_pred, d_target = grads("huber_loss", pred, zero, ct=5.0, delta=2)
    assert d_pred.tolist() == [-2.0, -2.0, 0.5, 2.0, 2.0]
    assert d_target.tolist() == [2.0, 2.0, -0.5, -2.0, -2.0]
    assert value("huber_loss", 3.0, 0.0).tolist() == 2.5, "delta defaults to 1"


def exact_bce(x: float, t: float) -> tuple[mpmath.mpf, mpmath.mpf]:
    """Loss and derivative by the logit, to 300 bits."""
    e = mpmath.exp(mpmath.mpf(x))
    p = e / (1 + e)
    return -t * mpmath.log(p) - (1 - t) * mpmath.log(1 - p), p - t


def test_bce_keeps_relative_accuracy_in_the_tails() -> None:
    with mpmath.workprec(4000):
        for x in (-700.0, -40.0, -1.0, -1e-9, 0.0, 1e-9, 1.0, 40.0, 700.0):
            for t in (0.0, 1.0):
                loss, slope = exact_bce(x, t)
                assert value("bce_with_logits", x, t) == pytest.approx(float(loss), rel=4 * 2**-52)
                assert grads("bce_with_logits", x, t, ct=1.0)[0] == pytest.approx(
                    float(slope), rel=4 * 2**-52
                )


def test_bce_with_soft_targets() -> None:
    x, t = [-2.0, 0.0, 3.0], [0.25, 0.5, 0.75]
    expected = [exact_bce(a, b) for a, b in zip(x, t, strict=True)]
    assert value("bce_with_logits", x, t) == pytest.approx(float(sum(e[0] for e in expected) / 3), rel=1e-15)
    d_logits, d_target = grads("bce_with_logits", x, t, ct=3.0)
    assert d_logits == pytest.approx([float(e[1]) for e in expected], rel=1e-14)
    assert d_target.tolist() == [2.0, -0.0, -3.0], "d/dt is -x"


def test_bce_at_infinite_logits() -> None:
    assert value("bce_with_logits", [INF, -INF], [1.0, 0.0]).tolist() == 0.0
    assert value("bce_with_logits", INF, 0.0).tolist() == INF
    assert grads("bce_with_logits", [INF, -INF], [1.0, 0.0], ct=1.0)[0].tolist() == [0.0, 0.0]
    assert np.isnan(value("bce_with_logits", np.nan, 1.0))


PAIRS = ("mse_loss", "huber_loss", "bce_with_logits")


@pytest.mark.parametrize("op", PAIRS)
def test_an_exactly_zero_cotangent_absorbs(op: str) -> None:
    d_first, d_second = grads(op, [INF, np.nan], [0.0, 1.0], ct=0.0)
    assert d_first.tolist() == [0.0, 0.0] and np.array_equal(d_second, [0.0, 0.0])


@pytest.mark.parametrize("op", PAIRS)
def test_the_mean_over_nothing_is_nan(op: str) -> None:
    assert np.isnan(value(op, zeros(2, 0), zeros(2, 0)))
    assert [g.shape for g in grads(op, zeros(2, 0), zeros(2, 0), ct=1.0)] == [(2, 0), (2, 0)]


def test_the_mean_over_nothing_has_no_exact_value() -> None:
    with pytest.raises(ScalarError, match=r"mse_loss: division by zero has no value in exact rationals"):
        value("mse_loss", zeros(0), zeros(0), scalar="rational")


def test_mse_is_exact_over_rationals() -> None:
    thirds = value("mse_loss", [1, 2, 4], [0, 0, 0], scalar="rational")
    assert str(thirds[()]) == "7"
    assert str(grads("mse_loss", [1, 2, 4], [0, 0, 0], ct=1, scalar="rational")[0].tolist()[0]) == "2/3"


@pytest.mark.parametrize("op", PAIRS)
def test_shapes_must_be_equal(op: str) -> None:
    """pytorch#16045: [n] against [n, 1] trains on an n x n difference."""
    first, second = ("logits", "target") if op == "bce_with_logits" else ("pred", "target")
    expected = (
        f"{op}: {first} and {second} must have equal shapes: {first} = {first} (3,), "
        f"{second} = {second} (3, 1); a loss does not broadcast (here to (3, 3)): "
        "reshape one of them to the other's shape"
    )
    assert refusal(op, zeros(3), zeros(3, 1)) == ("ShapeError", expected)
    expected = (
        f"{op}: {first} and {second} must have equal shapes: {first} = {first} (3,), "
        f"{second} = {second} (4,); a loss does not broadcast: reshape one of them to the other's shape"
    )
    assert refusal(op, zeros(3), zeros(4)) == ("ShapeError", expected)
    assert refusal(op, zeros(3), zeros())[0] == "ShapeError"


@pytest.mark.parametrize("delta", [0, -1, float("inf"), float("nan")])
def test_huber_refuses_delta(delta: float) -> None:
    expected = (
        f"huber_loss: delta must be a finite number > 0, got {delta}: pred = pred (2,), "
        "target = target (2,); use mse_loss for no linear part"
    )
    assert refusal("huber_loss", zeros(2), zeros(2), delta=delta) == ("AttributeValueError", expected)


# -- class scores against labels ----------------------------------------------------------------------------
def labelled(
    op: str, scores: ArrayLike, labels: Sequence[int], ct: float = 1.0, scalar: str = "float64"
) -> tuple[Array, Array]:
    """Loss and the scores' cotangent. The labels are set after recording, when any natural is allowed."""
    s = Session(scalar=scalar)
    leaf, ref = s.add_leaf(scores), s.input_nat_vec([0] * len(labels))
    out = getattr(s, op)(leaf, ref)
    s.set_nat_vec(ref, labels)
    return np.asarray(s.get_value(out)), np.asarray(s.backward_dense_all(out, ct)[leaf])


def test_cross_entropy_by_hand() -> None:
    logits = np.log([[1.0, 2.0, 5.0], [4.0, 3.0, 1.0]])
    loss, g = labelled("cross_entropy", logits, [2, 0], ct=2.0)
    assert loss == pytest.approx((np.log(8 / 5) + np.log(2)) / 2, rel=1e-15)
    assert g == pytest.approx(np.array([[1, 2, 5 - 8], [4 - 8, 3, 1]]) / 8, rel=1e-15)


def test_cross_entropy_is_nll_of_log_softmax() -> None:
    x, labels = np.random.default_rng(0).normal(size=(4, 5)), [0, 4, 2, 2]
    loss, g = labelled("cross_entropy", x, labels)
    s = Session(scalar="float64")
    leaf, ref = s.add_leaf(x), s.input_nat_vec(labels)
    parts = s.nll_loss(s.log_softmax(leaf), ref)
    assert loss == pytest.approx(s.get_value(parts), rel=1e-14)
    assert g == pytest.approx(s.backward_scalar_dense_all(parts)[leaf], rel=1e-13)


def test_nll_by_hand() -> None:
    loss, g = labelled("nll_loss", [[-1.0, -2.0], [-3.0, -4.0]], [1, 0], ct=2.0)
    assert loss.tolist() == 2.5
    assert g.tolist() == [[0.0, -1.0], [-1.0, 0.0]]


@pytest.mark.parametrize("op", ["cross_entropy", "nll_loss"])
def test_one_row_without_a_row_axis(op: str) -> None:
    x = [0.5, -1.0, 2.0]
    for row, rows in zip(labelled(op, x, [1]), labelled(op, [x], [1]), strict=True):
        assert row.tolist() == rows.reshape(row.shape).tolist()
    s = Session(scalar="float64")
    leaf, label = s.add_leaf(x), s.input_nat(1)
    assert s.get_value(getattr(s, op)(leaf, label)) == labelled(op, x, [1])[0]


@pytest.mark.parametrize("op", ["cross_entropy", "nll_loss"])
def test_a_label_out_of_range_counts_in_the_divisor_only(op: str) -> None:
    rows = [[-1.0, -2.0], [np.nan, INF], [-0.5, -0.25]]
    loss, g = labelled(op, rows, [1, 2, 7], ct=3.0)
    alone, alone_g = labelled(op, rows[:1], [1])
    assert loss == pytest.approx(alone / 3, rel=1e-15)
    assert g[0] == pytest.approx(alone_g[0], rel=1e-15)
    assert g[1:].tolist() == [[0.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize("op", ["cross_entropy", "nll_loss"])
def test_the_tangent_of_a_row_without_a_label_is_ignored(op: str) -> None:
    s = Session(scalar="float64")
    leaf, ref = s.add_leaf([[-1.0, -2.0], [np.nan, INF]]), s.input_nat_vec([1, 0])
    out = getattr(s, op)(leaf, ref)
    s.set_nat_vec(ref, [1, 9])
    g = s.backward_dense_all(out, 1.0)[leaf]
    moved = s.jvp_leaf(out, leaf, [[3.0, 5.0], [7.0, 11.0]])
    assert moved == pytest.approx(3 * g[0, 0] + 5 * g[0, 1], rel=1e-15)


@pytest.mark.parametrize("op", ["cross_entropy", "nll_loss"])
def test_labels_are_read_at_evaluation(op: str) -> None:
    x = [[-1.0, -2.0], [-3.0, -4.0]]
    s = Session(scalar="float64")
    leaf, ref = s.add_leaf(x), s.input_nat_vec([0, 0])
    out = getattr(s, op)(leaf, ref)
    before = s.get_value(out)
    s.set_nat_vec(ref, [1, 0])
    after, after_g = labelled(op, x, [1, 0])
    assert s.get_value(out) == after != before
    assert np.array_equal(s.backward_scalar_dense_all(out)[leaf], after_g)


@pytest.mark.parametrize("op", ["cross_entropy", "nll_loss"])
def test_no_rows(op: str) -> None:
    loss, g = labelled(op, zeros(0, 3), [])
    assert np.isnan(loss) and g.shape == (0, 3)


def test_cross_entropy_of_extreme_logits() -> None:
    loss, g = labelled("cross_entropy", [[800.0, 0.0], [0.0, 800.0]], [0, 0])
    assert loss.tolist() == 400.0
    assert g.tolist() == [[0.0, 0.0], [-0.5, 0.5]]
    loss, g = labelled("cross_entropy", [[-INF, 0.0, 0.0]], [1])
    assert loss == pytest.approx(np.log(2)) and g.tolist() == [[0.0, -0.5, 0.5]]


def test_cross_entropy_keeps_the_gradient_of_a_nearly_certain_label() -> None:
    """softmax - 1 at the label is -2e-22 here; as a difference it would be 0."""
    g = labelled("cross_entropy", [[50.0, 0.0]], [0])[1]
    assert g[0] == pytest.approx([-1.9287498479639178e-22, 1.9287498479639178e-22], rel=1e-15)


def test_cross_entropy_gradient_is_within_4_ulp() -> None:
    rng = np.random.default_rng(3)
    with mpmath.workprec(300):
        for _ in range(30):
            x = rng.normal(size=4) * 10.0 ** rng.uniform(-3, 2.5)
            label = int(rng.integers(4))
            g = labelled("cross_entropy", x, [label])[1]
            e = [mpmath.exp(mpmath.mpf(v)) for v in x.tolist()]
            for j in range(4):
                others = mpmath.fsum(e[k] for k in range(4) if k != label)
                exact = (-others if j == label else e[j]) / mpmath.fsum(e)
                assert abs(mpmath.mpf(float(g[j])) - exact) <= 4 * float(np.spacing(abs(float(exact))))


def label_refusal(op: str, scores: Array, labels: Sequence[int]) -> tuple[str, str]:
    s = Session(scalar="float64")
    leaf, ref = s.add_leaf(scores, name="scores"), s.input_nat_vec(labels)
    with pytest.raises(ProofTapeError) as caught:
        getattr(s, op)(leaf, ref)
    assert len(s) == 1
    return type(caught.value).__name__, LOCATION.sub("", str(caught.value))


@pytest.mark.parametrize(
    ("shape", "labels", "expected"),
    [
        (
            (),
            [0],
            "{name} must have axes (rows, classes), or (classes,) for one row: {name} = scores (); "
            "permute the class axis to the end and reshape the others into rows",
        ),
        (
            (2, 3, 4),
            [0, 0],
            "{name} must have axes (rows, classes), or (classes,) for one row: {name} = scores (2, 3, 4); "
            "permute the class axis to the end and reshape the others into rows",
        ),
        (
            (2, 0),
            [0, 0],
            "{name} has no classes: {name} = scores (2, 0); its last axis needs at least one entry",
        ),
        (
            (2, 3),
            [0],
            "the number of labels, 1, must be the number of rows, 2: {name} = scores (2, 3); "
            "pass one label per row, as input_nat_vec(labels)",
        ),
        (
            (3,),
            [0, 1, 2],
            "the number of labels, 3, must be the number of rows, 1: {name} = scores (3,); "
            "pass one label per row, as input_nat_vec(labels)",
        ),
    ],
)
@pytest.mark.parametrize(("op", "name"), [("cross_entropy", "logits"), ("nll_loss", "log_probs")])
def test_label_refusals(
    op: str, name: str, shape: tuple[int, ...], labels: Sequence[int], expected: str
) -> None:
    found = label_refusal(op, zeros(*shape), labels)
    assert found == ("ShapeError", f"{op}: {expected.format(name=name)}")


@pytest.mark.parametrize(("op", "name"), [("cross_entropy", "logits"), ("nll_loss", "log_probs")])
def test_labels_are_checked_when_recorded(op: str, name: str) -> None:
    expected = (
        f"{op}: label 2 at position 1 is not one of the 2 classes: {name} = scores (3, 2); "
        "labels count from 0: 0 <= label < 2"
    )
    assert label_refusal(op, zeros(3, 2), [1, 2, 5]) == ("IndexRangeError", expected)

"""Derived rounding bounds hold for engines that exist, are tight enough to see a wrong coefficient, and say
nothing where nothing is known.

PROOFTAPE_GRAPHS sets how many random graphs the slow test draws (default 2,000).
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

import numpy as np
import pytest

from prooftape.errors import ScalarError
from prooftape.ops import find, table
from prooftape.session import Session
from prooftape.testing import random_session
from prooftape.testing.reference import reference_floats
from prooftape.testing.rounding import (
    Report,
    Results,
    Rounding,
    check_within_rounding,
    numpy_rounding,
    results_of,
    rounding_bounds,
    xla_rounding,
)
from prooftape.testing.rounding_cases import Data, array_results, draw_data, op_sessions
from prooftape.types import REAL

GRAPHS = int(os.environ.get("PROOFTAPE_GRAPHS", "2000"))
OPS = sorted(table())
F32, F64 = numpy_rounding("float32"), numpy_rounding("float64")


def check(s: Session, data: Data, a: str, b: str) -> Report:
    return check_within_rounding(
        s.graph,
        data.leaves,
        s._reader(),
        numpy_rounding(a),
        array_results(s, a, data),
        numpy_rounding(b),
        array_results(s, b, data),
        tangents=data.tangents,
        seeds=data.seeds,
    )


def op_report(name: str, a: str, b: str, samples: int | None = None) -> Report:
    rng, report = random.Random(name), Report()
    for s in list(op_sessions(find(name), rng))[:samples]:
        report.merge(check(s, draw_data(s, rng, rough=rng.random() < 0.7), a, b))
    return report


def graph_report(seeds: range, a: str, b: str) -> Report:
    report = Report()
    for i in seeds:
        rng = random.Random(i)
        s, _ = random_session(rng, n_nodes=1 + i % 9)
        report.merge(check(s, draw_data(s, rng, rough=bool(i % 2)), a, b))
    return report


# -- engines that exist ---------------------------------------------------------------------------------
@pytest.mark.parametrize("name", OPS)
def test_float32_and_float64_are_within_bounds(name: str) -> None:
    report = op_report(name, "float32", "float64", samples=3)
    assert report, report
    assert report.claims == report.entries, report


@pytest.mark.slow
@pytest.mark.parametrize(("a", "b"), [("float32", "float64"), ("bfloat16", "float16")])
@pytest.mark.parametrize("name", OPS)
def test_every_sample_is_within_bounds(name: str, a: str, b: str) -> None:
    report = op_report(name, a, b)
    assert report, report
    assert report.claims >= 0.9 * report.entries, report


def test_some_random_graphs() -> None:
    report = graph_report(range(60), "float32", "float64")
    assert report, report
    assert report.claims >= 0.99 * report.entries, report


@pytest.mark.slow
@pytest.mark.parametrize(("a", "b", "share"), [("float32", "float64", 1), ("bfloat16", "float16", 4)])
def test_many_random_graphs(a: str, b: str, share: int) -> None:
    report = graph_report(range(GRAPHS // share), a, b)
    assert report, report
    assert report.claims >= 0.99 * report.entries, report


@pytest.mark.slow
def test_sums_from_left_to_right_are_within_the_float64_bounds() -> None:
    """An engine with another order of summation, where it has the functions."""
    engine, report, checked = reference_floats(), Report(), 0
    rng = random.Random(0)
    for name in OPS:
        for s in op_sessions(find(name), rng):
            data = draw_data(s, rng, rough=True)
            stored = [
                [v if v is None or v.dtype.kind == "b" else v.astype(object) for v in part] for part in data
            ]
            for part in stored:
                for i, v in enumerate(part):
                    if v is not None and v.dtype == object:
                        part[i] = engine.xp.convert(v)  # type: ignore[attr-defined]
            try:
                results = Results(*results_of(engine.xp, s.graph, stored[0], s._reader(), *stored[1:]))
            except ScalarError:
                continue
            checked += 1
            both = (F64, results, F64, array_results(s, "float64", data))
            report.merge(
                check_within_rounding(
                    s.graph, data.leaves, s._reader(), *both, tangents=data.tangents, seeds=data.seeds
                )
            )
    assert report, report
    assert checked > 150, checked


def test_bounds_are_sharp() -> None:
    """Over all ops a typical bound on a float32 result is a few units in its last place."""
    rng, sharpness = random.Random(1), []
    for name in OPS:
        for s in list(op_sessions(find(name), rng))[:2]:
            data = draw_data(s, rng, rough=True)
            for part in rounding_bounds(s.graph, data.leaves, s._reader(), F32, data.tangents, data.seeds):
                for x in part[len(s.graph.leaves) :]:
                    if x is not None and x.value.dtype.kind != "b":
                        at = (x.value != 0) & (x.error < np.inf)
                        sharpness.append((x.error[at] / np.abs(x.value[at])).ravel())
    shares = np.concatenate(sharpness)
    assert np.median(shares) < 4 * 2.0**-24
    assert np.quantile(shares, 0.9) < 1e-5


# -- faults -----------------------------------------------------------------------------------------------
FACTOR = 1 + 1e-5
PLANTED = [n for n in OPS if table()[n].out_dtype == REAL]


def spoilt(values: Sequence[object], n_leaves: int) -> list[object]:
    """Every computed number off by the factor."""
    return [v if i < n_leaves or v is None or is_mask(v) else v * FACTOR for i, v in enumerate(values)]


def is_mask(v: object) -> bool:
    return np.asarray(v).dtype.kind == "b"


@pytest.mark.parametrize(
    ("model", "least"), [(F32, 0.97), (xla_rounding("float32"), 0.95)], ids=["numpy", "xla"]
)
def test_a_wrong_coefficient_is_seen(model: Rounding, least: float) -> None:
    """Results off by 1e-5 of themselves break nearly all claims, in values, tangents and cotangents."""
    rng, caught, planted = random.Random(3), 0, 0
    for name in PLANTED:
        for s in list(op_sessions(find(name), rng))[:2]:
            data = draw_data(s, rng, rough=True)
            right, n = array_results(s, "float32", data), len(s.graph.leaves)
            off = Results(*(spoilt(part, n) for part in right))
            computed = [np.asarray(v) for part in right for v in part[n:] if v is not None and not is_mask(v)]
            planted += sum(int((np.isfinite(v) & (v != 0)).sum()) for v in computed)
            both = (model, off, F32, right)
            report = check_within_rounding(
                s.graph, data.leaves, s._reader(), *both, tangents=data.tangents, seeds=data.seeds
            )
            caught += len(report.violations)
    assert planted > 1000
    assert caught > least * planted, (caught, planted)


def test_a_violation_names_the_entry() -> None:
    s = Session("float64")
    x = s.input([1.0, 2.0])
    s.exp(x)
    data = draw_data(s, random.Random(0), rough=False)
    right = array_results(s, "float32", data)
    values = list(right.values)
    values[1] = values[1] * np.array([1, FACTOR], np.float32)  # type: ignore[operator]
    both = (F32, right._replace(values=values), F64, array_results(s, "float64", data))
    report = check_within_rounding(
        s.graph, data.leaves, s._reader(), *both, tangents=data.tangents, seeds=data.seeds
    )
    (violation,) = report.violations
    assert not report
    assert str(violation).startswith("numpy float32: values[1][1] of exp: 7.3891")
    assert "1 of " in str(report)


def test_results_of_another_shape_or_presence_are_refused() -> None:
    s = Session("float64")
    s.exp(s.input([1.0, 2.0]))
    x = np.array([1, 2], np.float32)
    good = Results([x, np.exp(x)])

    def refused(bad: Results, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            check_within_rounding(s.graph, [x], s._reader(), F32, bad, F32, good)

    assert check_within_rounding(s.graph, [x], s._reader(), F32, good, F32, good)
    refused(Results([x]), r"numpy float32: 1 values for 2 context entries")
    refused(Results([x, None]), r"numpy float32: values\[1\] is absent")
    refused(Results([x, np.exp(x)[:1]]), r"values\[1\] has shape \(1,\), not \(2,\)")

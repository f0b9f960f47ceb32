"""What the tests of `compile_step` share: functions, data, and the bound on a step's rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import prooftape as pt
from prooftape.testing.rounding import compare, numpy_rounding, rounding_bounds, xla_rounding

jax = pytest.importorskip("jax")
jnp = jax.numpy

ENGINES = ("numpy", "xla")


def network(params: Any, x: pt.TensorRef, labels: Any) -> pt.TensorRef:
    """Two layers and a loss with labels; the same text for compiled and plain calls."""
    s = x.session
    h = s.tanh(x @ params["w"].T + params["b"][0])
    return s.cross_entropy(h @ params["v"].T, s.input_nat_vec(labels))


def data(n: int = 5, dtype: Any = np.float32, seed: int = 0) -> tuple[Any, Any, Any]:
    draw = np.random.default_rng(seed)
    params = {
        "w": draw.normal(size=(6, 4)).astype(dtype),
        "b": (draw.normal(size=6).astype(dtype),),
        "v": draw.normal(size=(3, 6)).astype(dtype),
    }
    return params, draw.normal(size=(n, 4)).astype(dtype), draw.integers(0, 3, n)


def train(params: Any, x: Any, labels: Any, lr: Any = 0.1) -> Any:
    loss, g = pt.value_and_grad(network)(params, x, labels)
    new = {"w": params["w"] - lr * g["w"], "b": (params["b"][0] - lr * g["b"][0],)}
    return loss, new | {"v": params["v"] - lr * g["v"]}


def leaves(tree: Any) -> list[np.ndarray]:
    return [np.asarray(x) for x in jax.tree_util.tree_leaves(tree)]


def program(step: Any) -> Any:
    """The one program a step holds."""
    (form,) = step._forms.values()
    (found,) = form.programs.values()
    return found


def assert_within_rounding(step: Any, arrays: list[np.ndarray], results: Any) -> None:
    """Every result against the bound derived for it from the recorded graph."""
    f = program(step).function
    model = {"xla": xla_rounding, "numpy": numpy_rounding}[step.engine](f.scalar.name)
    given, nats = [None] * len(f.graph.leaves), {}
    for a, x in zip(f.arguments, arrays, strict=True):
        if a.kind == "naturals":
            nats[a.at, len(x)] = x
        else:
            given[a.at] = f.scalar.to_array(x, a.name)
    bounds, _, _ = rounding_bounds(f.graph, given, lambda i, k: nats[i, k], model)
    claims = 0
    for i, result in zip(f.outputs, leaves(results), strict=True):
        report = compare(model, bounds[i], result, ("values", i, "result"))
        assert report, str(report)
        claims += report.claims
    assert claims > 0

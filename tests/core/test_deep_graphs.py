"""Depth is never limited by recursion, and cost is linear in the number of nodes."""

from __future__ import annotations

import numpy as np
import pytest

import prooftape as pt


@pytest.mark.slow
def test_a_chain_of_200_000_nodes_records_evaluates_and_runs_backward() -> None:
    n = 200_000
    s = pt.Session("float64")
    x = s.input(np.array([1.5, -2.0]), requires_grad=True)
    y = x
    for k in range(n):
        y = s.neg(y) if k % 2 else s.relu(y) if k == 0 else s.scale(y, 1.0)
    value = s.get_value(y)
    grads = s.backward_dense_all(y, np.ones(2))
    assert abs(value[0]) == 1.5 and value[1] == 0
    assert abs(grads[x][0]) == 1 and grads[x][1] == 0
    assert abs(s.jvp_leaf(y, x, np.ones(2))[0]) == 1
    assert len(s.compile_tape()) == n + 1
    graph = s.graph
    graph.check()
    assert pt.Graph.parse(graph.text()) == graph
    assert pt.Graph.parse(graph.text()).digest() == graph.digest()

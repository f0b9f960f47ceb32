"""Rounding bounds for a graph that several devices run, each its part of the batch (`graph_division.py`).

What is derived is derived from what is run: the bounds of every device's own graph, and those of the sum over
the devices. So a bound holds whatever cancels between devices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prooftape.arrays.structure import Arr
from prooftape.errors import MeshError
from prooftape.graph import Graph, Leaf
from prooftape.graph_division import Divided, Division, divide, division_reason
from prooftape.graph_division_rules import Status
from prooftape.semantics import ReadNats
from prooftape.testing.rounding import rounding_bounds
from prooftape.testing.rounding_model import Rounding
from prooftape.testing.rounding_values import SLACK, Bounded


def divided_bounds(
    graph: Graph, leaves: Sequence[Arr], read: ReadNats, model: Rounding, division: Division, root: int
) -> tuple[list[Bounded | None], list[Bounded | None]]:
    """Values, and cotangents under `root`, put together from the devices'; None where there is none."""
    found = divide([leaf.type for leaf in graph.leaves], list(graph.nodes), division)
    reason = division_reason(found, root)
    if reason or found.why:
        raise MeshError(f"divided_bounds: {reason or found.why}")
    own = [Leaf(t, None, False, "input") for t in found.leaves]
    seed = 1 / division.n if found.status[root] is Status.MEAN else 1.0
    devices = []
    for d in range(division.n):
        seeds = [np.array(seed) if i == root else None for i in range(len(found.status))]
        local = Graph(own, found.nodes, sum(k + 1 for _, k in found.slots))
        mine, naturals = part_of(leaves, read, found, division, d)
        devices.append(rounding_bounds(local, mine, naturals, model, (), seeds))
    values = [_joined(model, kind, [v[i] for v, _, _ in devices]) for i, kind in enumerate(found.status)]
    cotangents = [
        _joined(model, found.cotangent_status(i, root), [c[i] for _, _, c in devices])
        for i in range(len(found.status))
    ]
    return values, cotangents


def part_of(
    leaves: Sequence[Arr], read: ReadNats, found: Divided, division: Division, device: int
) -> tuple[list[Arr], ReadNats]:
    """What one device is given."""
    n, divided = division.n, dict(division.nats)
    mine = [
        v[device * len(v) // n : (device + 1) * len(v) // n] if parted else v
        for v, parted in zip(leaves, division.leaves, strict=True)
    ]

    def naturals(start: int, k: int) -> object:
        slot = found.slots[start, k]
        whole: Arr = np.asarray(read(*slot))
        return whole[device * k : (device + 1) * k] if divided[slot] else whole

    return mine, naturals


def _joined(model: Rounding, kind: Status | None, parts: Sequence[Bounded | None]) -> Bounded | None:
    there = [p for p in parts if p is not None]
    if kind is None or len(there) < len(parts):
        return None
    n = len(there)
    if kind is Status.PART:
        return Bounded(np.concatenate([p.value for p in there]), np.concatenate([p.error for p in there]))
    if kind is Status.WHOLE:
        return there[0]
    value = sum((p.value for p in there[1:]), there[0].value)
    error = sum((p.error for p in there[1:]), there[0].error)
    # each device's number may be anywhere within its bound; n - 1 additions in any order
    sizes = sum((np.abs(p.value) + p.error for p in there[1:]), np.abs(there[0].value) + there[0].error)
    u = model.unit
    error = error + (n - 1) * u / (1 - (n - 1) * u) * sizes
    if kind is Status.MEAN:
        error = error / n
        if n & (n - 1):  # dividing by a power of two rounds nothing
            error = error + u * (np.abs(value) / n + error)
        value = value / n
    if model.storage_unit:
        error = error + model.storage_unit * (np.abs(value) + error) + model.storage_floor
    return Bounded(value, (error + model.floor) * SLACK)

"""One sum over the devices in a step: each runs the graph of its own part of the batch.

Where a graph treats rows alike (`graph_division.py`), every device runs values and cotangents of its part,
under `jax.shard_map`. Then all that has to be added up (gradients, the loss, the flag of the fast form, other
means and sums asked for) goes in one vector through one all-reduce. XLA's partitioner, given the graph of
the whole batch, would send a buffer for each gradient.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction
from typing import Any
from weakref import WeakKeyDictionary

import jax
from jax import lax
from jax.sharding import PartitionSpec

from prooftape.graph_division import Division, divide, division_reason
from prooftape.graph_division_rules import Status
from prooftape.xla.arrays import JaxArrays
from prooftape.xla.program import _flag, _Run
from prooftape.xla.structure import Structure

spec: Any = PartitionSpec  # JAX gives these no types
psum: Any = lax.psum


class Shared:
    """The local graph of a structure, and its passes on all devices of a mesh."""

    def __init__(self, st: Structure, division: Division) -> None:
        self.key = division
        self.found = divide(st.leaves, st.nodes, division)
        self.local = Structure(st.scalar, st._on, self.found.leaves, self.found.nodes)
        self.mesh = st.devices.mesh
        self.axis = self.mesh.axis_names[0]
        where = {slot: i for i, slot in enumerate(st.slots)}
        self.nats = [where[self.found.slots[slot]] for slot in self.local.slots]

    def why_not(self, root: int, ids: Collection[int]) -> str:
        """Why the passes from this root cannot be run on the parts; "" if they can."""
        if self.local.type_of(root).shape:
            return "the root is no scalar"
        return next(
            (self.found.why[i] for i in ids if i in self.found.why), division_reason(self.found, root)
        )

    def passes(
        self,
        xp: JaxArrays,
        leaves: Sequence[Any],
        nats: Sequence[Any],
        root: int,
        also: Sequence[int],
        wanted: Sequence[int],
    ) -> tuple[dict[int, Any], dict[int, Any]]:
        """The whole batch's values of the root and of `also`, and cotangents of `wanted`; None if absent."""
        rows = spec(self.axis)

        def device(leaves: list[Any], nats: list[Any]) -> Any:
            return self._device(xp, leaves, nats, root, also, wanted)

        given = [rows if d else spec() for d in self.key.leaves]
        indices = [rows if d else spec() for _, d in self.key.nats]
        on_devices: Any = jax.shard_map(
            device, mesh=self.mesh, in_specs=(given, indices), out_specs=(spec(), rows), check_vma=False
        )
        (values, cotangents, flag), parts = on_devices(list(leaves), list(nats))
        if flag is not None:
            xp.suspects.append(lax.gt(flag, lax.full_like(flag, 0)))
        return {**values, **parts[0]}, {**cotangents, **parts[1]}

    def _device(
        self,
        xp: JaxArrays,
        leaves: list[Any],
        nats: list[Any],
        root: int,
        also: Sequence[int],
        wanted: Sequence[int],
    ) -> Any:
        """What one device does: ((values, cotangents, flag) that all have, (values, cotangents) in parts)."""
        found, n = self.found, self.key.n
        before, xp.suspects = xp.suspects, []
        try:
            run = _Run(xp, self.local, leaves, [nats[i] for i in self.nats], (root, *also), wanted)
            mean = found.status[root] is Status.MEAN
            ct = run.cotangents(root, xp.full((), Fraction(1, n)) if mean else None)
            flag = _flag(xp)
        finally:
            xp.suspects = before
        values: list[tuple[int, Any, Status | None]] = [
            (i, run.values[i], found.status[i]) for i in (root, *also)
        ]
        cotangents = [(i, ct[i], found.cotangent_status(i, root)) for i in wanted]
        pieces = [a for _, a, kind in (*values, *cotangents) if a is not None and kind in ADDED]
        if flag is not None:
            pieces.append(flag.astype(xp.dtype))
        added = iter(_added(pieces, self.axis))

        def settled(entries: list[tuple[int, Any, Status | None]]) -> tuple[dict[int, Any], dict[int, Any]]:
            whole: dict[int, Any] = {}
            parts: dict[int, Any] = {}
            for i, a, kind in entries:
                if a is not None and kind in ADDED:
                    a = next(added)
                    a = xp.finish(lax.div(a, lax.full_like(a, n)) if kind is Status.MEAN else a)
                (parts if kind is Status.PART else whole)[i] = a
            return whole, parts

        (v, pv), (c, pc) = settled(values), settled(cotangents)
        return (v, c, next(added, None)), (pv, pc)


ADDED = (Status.MEAN, Status.SUM)
_known: WeakKeyDictionary[Structure, dict[Division, Shared]] = WeakKeyDictionary()


def shared(st: Structure, division: Division) -> Shared:
    """The one `Shared` of a structure and a division."""
    known = _known.setdefault(st, {})
    found = known.get(division)
    if found is None:
        found = known[division] = Shared(st, division)
    return found


def _added(pieces: Sequence[Any], axis: str) -> list[Any]:
    """The sums of these arrays over the devices, sent as one vector."""
    flat = [lax.reshape(a, (a.size,)) for a in pieces]
    total = psum(lax.concatenate(flat, 0) if len(flat) > 1 else flat[0], axis)
    out, at = [], 0
    for a in pieces:
        out.append(lax.reshape(lax.slice(total, (at,), (at + a.size,)), a.shape))
        at += a.size
    return out

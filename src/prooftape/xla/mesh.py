"""Several devices: the recorded graph, its batch divided among them, the answer unchanged.

The graph is the one a single device runs, over the whole batch. Parameters, optimizer memory and constants
are on every device; inputs and vectors of naturals whose first axis is the batch are divided along it. Where
the graph treats rows alike, each device runs the graph of its part, and all gradients travel in one vector
(`bucket.py`); elsewhere XLA's partitioner divides the program. So what is placed where can cost time, and
never changes what is computed but for the order in which sums over the batch are taken.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from prooftape.arrays.structure import Arr
from prooftape.errors import MeshError, ShapeError, found
from prooftape.graph import Graph, Leaf
from prooftape.graph_division import Division
from prooftape.xla.arguments import MAX_PLANS
from prooftape.xla.bank import Memory
from prooftape.xla.bucket import Shared, shared
from prooftape.xla.engine import Engine
from prooftape.xla.plan import Plan, Rows
from prooftape.xla.processes import Processes, Sharded, digest
from prooftape.xla.program import Program, Update
from prooftape.xla.structure import Structure

if TYPE_CHECKING:
    from prooftape.on_device import OnDevice

AXIS = "batch"
_join: Any = jax.make_array_from_process_local_data


def device_mesh(mesh: object) -> Mesh:
    """The mesh that `Session(mesh=…)` means: so many devices, these devices, or a JAX mesh of one axis."""
    if isinstance(mesh, Mesh):
        if len(mesh.axis_names) != 1:
            raise MeshError(
                f"mesh: expected one axis, the batch; got axes {mesh.axis_names}: "
                "Mesh(devices.ravel(), ('batch',)) has one"
            )
        devices = list(mesh.devices.ravel())
    elif isinstance(mesh, (list, tuple)) and mesh and all(isinstance(d, jax.Device) for d in mesh):
        devices = list(mesh)
    elif isinstance(mesh, int) and not isinstance(mesh, bool) and mesh > 0:
        there = jax.devices()
        if mesh > len(there):
            raise MeshError(
                f"mesh: {mesh} devices asked, JAX has {len(there)} ({there[0].platform}); on a CPU, set "
                f"XLA_FLAGS=--xla_force_host_platform_device_count={mesh} before JAX is first used"
            )
        if jax.process_count() > 1 and mesh != len(there):
            raise MeshError(
                f"mesh: {mesh} devices asked, and the {jax.process_count()} processes have {len(there)} "
                "together; a number of devices means all of them there: use mesh=len(jax.devices())"
            )
        devices = there[:mesh]
    else:
        raise MeshError(
            f"mesh: expected a number of devices, a list of JAX devices or a jax.sharding.Mesh of one axis, "
            f"got {found(mesh)}"
        )
    if len(set(devices)) < len(devices):
        raise MeshError("mesh: the same device stands in it twice")
    return Mesh(np.array(devices), (AXIS,))


class Devices:
    """A mesh of one axis, and how arrays lie on it: divided along axis 0, or whole on every device."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.n = mesh.size
        spec: Any = PartitionSpec  # JAX gives it no types
        self.whole = NamedSharding(mesh, spec())
        self.divided = NamedSharding(mesh, spec(mesh.axis_names[0]))
        self.processes = Processes.of(mesh)
        self.count = 1 if self.processes is None else len(self.processes.ids)
        self._gather: Callable[[Any], Any] = jax.jit(lambda x: x, out_shardings=self.whole)

    def place(self, array: Any, how: NamedSharding) -> Any:
        """A host array, the same in all processes, or an array of other devices, as `how` says."""
        if isinstance(array, jax.Array):
            if array.sharding == how or not array.is_fully_addressable:
                return array
            array = np.asarray(array)
        # quicker than device_put
        return jax.make_array_from_callback(array.shape, how, lambda part: array[part])

    def keep(self, array: Arr) -> Any:
        """A copy of a host array on every device, each with memory of its own: it may be donated."""
        return jax.make_array_from_callback(
            array.shape, self.whole, lambda part: np.array(array[part], order="C")
        )

    def gather(self, array: Any) -> Any:
        """The same array, whole on every device."""
        return array if array.sharding.is_fully_replicated else self._gather(array)

    def lost_ones(self) -> AbstractContextManager[None]:
        """While inside, a failure because another process is gone is a `WorkerLostError`."""
        return nullcontext() if self.processes is None else self.processes.lost_ones()

    def guarded(self, form: Callable[..., Any]) -> Callable[..., Any]:
        """A compiled program whose failure says that another process is gone, if that is why."""
        return form if self.processes is None else self.processes.guarded(form)


class MeshEngine(Engine):
    """The XLA engine on several devices."""

    def __init__(self, scalar: str, on: frozenset[str], donate: bool, mesh: Mesh) -> None:
        super().__init__(scalar, on, donate)
        self.devices: Devices = devices_of(mesh)
        self._placing: dict[int, tuple[Plan, list[bool], list[bool]]] = {}
        self._agreed: set[str] = set()

    # -- where arrays lie -------------------------------------------------------------------------------
    def put(self, array: Arr) -> Any:
        """A parameter or an optimizer's memory, on every device."""
        if isinstance(array, jax.Array):
            if array.sharding == self.devices.whole:
                return array
            array = np.asarray(array)
        self._agree("a parameter's value", array.tobytes())
        with self.context():
            return self.devices.keep(array)

    def leaf(self, value: object) -> Any:
        """The global array of an input made of every process's part; None for everything else."""
        return value.array if isinstance(value, Sharded) and value.scalar == self.scalar else None

    def simple(self, value: object, shape: tuple[int, ...]) -> Any:
        """Only what `leaf` takes: arrays of other devices would have to be moved."""
        array = self.leaf(value)
        return array if array is not None and array.shape == shape else None

    def divided(self, s: OnDevice, plan: Plan) -> tuple[list[bool], list[bool]]:
        """Which leaves that are no parameters, and which vectors of naturals, are divided.

        The batch is the first axis of the first input that has one, else the first vector of naturals;
        whatever else is as long, or a multiple (tokens of all sentences), goes with it.
        """
        n, st = self.devices.n, plan.structure
        inputs = [i for i in range(st.base) if i not in plan.params]
        leaves = [self._leaf(s, i) for i in inputs]
        batch, what = 0, ""
        for leaf in leaves:
            if leaf.kind == "input" and leaf.type.shape:
                batch, what = leaf.type.shape[0], f"input {leaf.name or '%' + str(leaves.index(leaf))}"
                break
        else:
            for start, length in st.slots:
                if length > 1:
                    batch, what = length, f"the vector of naturals at {start}"
                    break
        if batch % n:
            raise ShapeError(
                f"mesh: the batch is the first axis of {what}, {batch} long, and {n} devices cannot share it "
                f"equally; make it a multiple of {n} (leave out {batch % n}), and record with const() what "
                "is no batch"
            )

        def mine(length: int) -> bool:
            return bool(batch) and length > 0 and length % batch == 0

        along = [leaf.kind == "input" and bool(t := leaf.type.shape) and mine(t[0]) for leaf in leaves]
        return along, [mine(length) for _, length in st.slots]

    def _divided(self, s: OnDevice, plan: Plan) -> tuple[Plan, list[bool], list[bool]]:
        """The same, asked once."""
        placing = self._placing.get(id(plan))
        if placing is None or placing[0] is not plan:
            if len(self._placing) > 4 * MAX_PLANS:
                self._placing.clear()
            placing = self._placing[id(plan)] = (plan, *self.divided(s, plan))
        return placing

    def _others(self, s: OnDevice, plan: Plan) -> list[Any]:
        given = super()._others(s, plan)
        leaves = self._divided(s, plan)[1]
        frozen = len(plan.frozen.params)
        placed, now = given[:frozen], self.now(s)
        for i, (array, divided) in enumerate(zip(given[frozen:], leaves, strict=False)):
            before = now.others.get(i)
            if before is None or before[0] is not array:
                before = now.others[i] = (array, self._place(array, divided))
            placed.append(before[1])
        return placed

    def _nats(self, s: OnDevice, plan: Plan) -> list[Any]:
        given = super()._nats(s, plan)
        return [self._place(v, d) for v, d in zip(given, self._divided(s, plan)[2], strict=True)]

    def _place(self, array: Any, divided: bool) -> Any:
        with self.context():
            return self.devices.place(array, self.devices.divided if divided else self.devices.whole)

    def numbers(self, rows: Rows) -> Any:
        """The moving numbers of a step, on every device."""
        found = super().numbers(rows)
        if found.sharding != self.devices.whole:
            found = self._rates[rows] = self._place(np.asarray(found), False)
        return found

    def on_host(self, array: Any) -> Arr:
        """A device array, gathered from where its parts lie."""
        if not isinstance(array, jax.Array):
            return np.asarray(array)
        with self.devices.lost_ones():
            return np.asarray(self.devices.gather(array))

    def join(self, part: Arr) -> Sharded:
        """An input of which every process gives a part."""
        devices = self.devices
        local = devices.n // devices.count
        if len(part) % local:
            raise ShapeError(
                f"distributed.shard: {len(part)} rows, and the {local} devices of this process cannot share "
                f"them equally; make it a multiple of {local}"
            )
        self._agree_once(f"a part of an input, {part.shape}")
        with self.context():
            if devices.processes is None:
                return Sharded(devices.place(part, devices.divided), self.scalar)
            return Sharded(_join(devices.divided, part), self.scalar)

    def join_integers(self, part: NDArray[Any]) -> NDArray[Any]:
        """Integers of which every process gives a part, whole."""
        self._agree_once(f"a part of integers, {part.shape}")
        if self.devices.processes is None:
            return part
        if part.size and (part.max() >= 2**31 or part.min() < -(2**31)):
            raise ShapeError("distributed.shard: integers of more than 32 bits are not exchanged")
        joined = _join(self.devices.divided, part.astype(np.int32))
        return self.on_host(joined).astype(np.int64)

    def _agree_once(self, what: str) -> None:
        """Compare with the other processes what is new to this session."""
        if what not in self._agreed:
            self._agreed.add(what)
            self._agree(what)

    # -- running ------------------------------------------------------------------------------------------
    def program(self, st: Structure, key: tuple[object, ...], make: Any) -> Program:
        """The program of this key; a new one is compared with those of the other processes."""
        if self.devices.processes is not None and key not in st.programs:
            top = max(st.slots, default=(0, 0))
            leaves = [Leaf(t, None, False, "input") for t in st.leaves]
            graph = Graph(leaves, st.nodes, top[0] + top[1])
            self._agree(f"the program {key[0]}", repr(key).encode(), graph.digest().encode())
        return super().program(st, key, make)

    def value(self, s: OnDevice, id: int) -> Any:
        """The value of a context id, on every device."""
        found = super().value(s, id)
        return found if isinstance(found, np.ndarray) else self.devices.gather(found)

    def shared(
        self, plan: Plan, root: int, values: Sequence[int], cotangents: Sequence[int], seed: Any
    ) -> Shared | None:
        """The graph of one part, where gradients and values of the whole can be put together from it."""
        st, placing = plan.structure, self._placing.get(id(plan))
        if self.devices.n == 1 or placing is None:
            return None
        if seed is not None:
            self.undivided = "a seed is given"
            return None
        _, inputs, nats = placing
        given = iter(inputs)
        leaves = tuple([False if i in plan.params else next(given) for i in range(st.base)])
        found = shared(st, Division(self.devices.n, leaves, tuple(zip(st.slots, nats, strict=True))))
        self.undivided = found.why_not(root, {*values, *cotangents}) or None
        return None if self.undivided else found

    def gradients(self, s: OnDevice, root: int, seed: Any, ids: Collection[int]) -> dict[int, Any]:
        """Cotangents, on every device."""
        self._divided(s, self.plan(s, root))
        return super().gradients(s, root, self._seed(seed), ids)

    def step(
        self, s: OnDevice, plan: Plan, root: int, seed: Any, up: Update, memory: Memory | None, rows: Rows
    ) -> Program:
        """One training step: see `Engine.step`."""
        self._divided(s, plan)
        return super().step(s, plan, root, self._seed(seed), up, memory, rows)

    def tangent(self, s: OnDevice, out: int, tangents: Sequence[Any]) -> Any:
        """Tangent of `out`, None when absent."""
        return super().tangent(s, out, [self._seed(t) for t in tangents])

    def _seed(self, array: Any) -> Any:
        return None if array is None else self._place(array, False)

    def _agree(self, what: str, *content: bytes) -> None:
        if self.devices.processes is not None:
            self.devices.processes.agree(what, digest(*content))


_known: dict[Mesh, Devices] = {}


def devices_of(mesh: Mesh) -> Devices:
    """The one `Devices` of a mesh: programs are shared by all sessions on the same devices."""
    found = _known.get(mesh)
    if found is None:
        found = _known[mesh] = Devices(mesh)
    return found

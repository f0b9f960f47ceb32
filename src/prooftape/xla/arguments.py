"""The lower half of the XLA engine: the arguments of programs, gathered from a session.

Where a leaf's value is, whether a parameter still has the value it had at its use, which plan a recorded
graph has. `Engine` adds the programs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from prooftape.arrays.structure import Arr
from prooftape.errors import OperandError
from prooftape.graph import Graph
from prooftape.op import Call
from prooftape.param import Param
from prooftape.recompilation import Recompilations
from prooftape.xla import lowerings
from prooftape.xla.bank import Bank
from prooftape.xla.pending import GONE, Held, gone
from prooftape.xla.plan import MAX_INDEX, Now, Plan, Rows
from prooftape.xla.structure import structure

if TYPE_CHECKING:
    from prooftape.on_device import OnDevice

MAX_PLANS: Final = 64


class Arguments:
    """See the module docstring. `donate=False` keeps the old parameters at every step."""

    def __init__(self, scalar: str, on: frozenset[str], donate: bool = True) -> None:
        self.scalar = scalar
        self.on = on
        self.donate = donate
        self.devices: Any = None  # several of them: see mesh.py
        self.wide = scalar == "float64"
        self.observed = False  # while a profile runs, every run of a program goes through `first`
        self.dtype = np.dtype("float64" if self.wide else "float32")
        self.plans: dict[tuple[object, ...], Plan] = {}
        self.hits = self.misses = 0
        self._latest: Any = None  # the structure of the step compiled last
        self._recompilations = Recompilations("a step of this session")
        self.compile_seconds = 0.0
        self.from_cache = 0
        self.undivided: str | None = None  # see `Stats`
        self.compiled: list[str] = []
        self._now = Now(-1)
        self._rates: dict[Rows, Any] = {}
        self.context: Any = (lambda: jax.enable_x64(True)) if self.wide else contextlib.nullcontext

    def lowering(self, graph: Graph) -> Callable[[Call], str | None]:
        """How calls of this graph are traced: the names of their lowerings; None: the op's own rules."""
        st = structure(self.scalar, self.on, graph.leaves, graph.nodes, self.devices)
        chained: dict[int, str] = {}
        for name, inner, instr in st.chains(()):
            chained.update((id(st.nodes[i - st.base].call), name) for i in (*inner, instr.out))

        def names(call: Call) -> str | None:
            found = [lowerings.choose(call, self.on).lowering, chained.get(id(call))]
            return ", ".join(sorted(name for name in found if name is not None)) or None

        return names

    def put(self, array: Arr) -> Any:
        """A host array as a device array with memory of its own."""
        if isinstance(array, jax.Array):
            if len(array.sharding.device_set) == 1:
                return array
            array = np.asarray(array)
        with self.context():
            return jnp.array(array, copy=True)

    def leaf(self, value: object) -> Any:
        """The device array that a recorded input is, where the engine has its own; see `MeshEngine`."""
        return None

    def on_host(self, array: Any) -> Arr:
        """A device array as a NumPy array."""
        return np.asarray(array)

    def simple(self, value: object, shape: tuple[int, ...]) -> Any:
        """A device array that can be a leaf as it is: nobody can write to it."""
        fits = isinstance(value, jax.Array) and value.shape == shape and value.dtype == self.dtype
        # numbers of a low precision have to be rounded first
        return value if fits and self.scalar in ("float32", "float64") else None

    def now(self, s: OnDevice) -> Now:
        """The state of the present recording, fresh after a reset."""
        now = self._now
        if now.generation != s._generation:
            now = self._now = Now(s._generation)
        return now

    def nats_change(self, s: OnDevice) -> None:
        """To be called before naturals change: values are out of date, gradients asked for before are not."""
        now = self.now(s)
        now.written.append(s._nats)
        now.known.clear()

    def undo(self, s: OnDevice, end: int, nats: Arr) -> None:
        """To be called before the recording goes back to `end` entries and these naturals."""
        if s._nats is not nats:
            self.nats_change(s)
        known = self.now(s).known
        for i in [i for i in known if i >= end]:
            del known[i]

    def plan(self, s: OnDevice, root: int) -> Plan:
        """The plan for the recorded graph up to `root`."""
        track = s._track if s._set is not None else None
        if track is not None:
            found: Plan | None = track.prefixes.get((root, self))
            if found is not None:
                if found.freezes != Param.freezes:
                    found.check_frozen()
                return found
            leaves, nodes, params = track.recorded.leaves, track.recorded.nodes, track.recorded.params
        else:
            leaves, nodes, params = s._leaves, s._nodes, s._params
        end = max(0, root + 1 - len(leaves))
        st = structure(self.scalar, self.on, leaves, nodes[:end], self.devices)
        key = (id(st), tuple([(i, id(p)) for i, p in params.items()]))
        found = self.plans.pop(key, None)
        if found is None:
            found = Plan(self, st, dict(params))
            if len(self.plans) >= MAX_PLANS:
                del self.plans[next(iter(self.plans))]
        self.plans[key] = found
        if found.freezes != Param.freezes:
            found.check_frozen()
        if track is not None:
            track.prefixes[root, self] = found
        return found

    def _others(self, s: OnDevice, plan: Plan) -> list[Any]:
        """Frozen parameters, then the leaves that are no parameters."""
        frozen = self._at_use(s, plan, self.now(s), plan.frozen) if plan.frozen.params else []
        if s._set is not None:
            return [*frozen, *s._fed]
        return [*frozen, *[v for i, v in enumerate(s._leaf_values) if i not in s._params]]

    def _nats(self, s: OnDevice, plan: Plan) -> list[Any]:
        st = plan.structure
        if not st.slots:
            return []
        if s._set is not None:
            track = s._track
            assert track is not None
            where = plan.nat_places.get(track)
            if where is None:
                log = [(n.start, n.length) for n in track.recorded.nats]
                whole = all(slot in log for slot in st.slots)
                where = plan.nat_places[track] = (
                    tuple([log.index(slot) for slot in st.slots]) if whole else ()
                )
            if where:
                return [_index(s._fed_nats[k]) for k in where]
        nats = s._nats if self._now.nats is None else self._now.nats
        return [_index(nats[a : a + k]) for a, k in st.slots]

    def _params(self, s: OnDevice, plan: Plan, now: Now) -> list[Any]:
        """The trained parameters' values at their `use`."""
        return self._at_use(s, plan, now, plan.trained)

    def _at_use(self, s: OnDevice, plan: Plan, now: Now, bank: Bank, lost: bool = False) -> list[Any]:
        """The values that a bank's parameters had at their `use`; `lost`: None for those a step was given."""
        held = self._held(s, plan)
        current = bank.claim()
        if held is None and not now.gone:
            return current
        found = []
        for i, (p, c) in enumerate(zip(bank.params, current, strict=True)):
            values = [] if held is None else held.get(p, [])  # its use may be still to come
            if p in now.kept:
                c = now.kept[p]
            elif p in now.gone and lost:
                c = None
            elif not values and p in now.gone:
                raise gone(p)
            elif values:
                first = values[0]
                same = first.same(bank, i)
                if not all(v.array is first.array or (same and v.same(bank, i)) for v in values):
                    raise OperandError(
                        f"{p!r} was changed between two uses in one recording; engine 'xla' reads a "
                        "parameter once per recording: use it once, or call reset_tape() after the change"
                    )
                c = c if same else self.put(first.read())
            found.append(c)
        return found

    def _held(self, s: OnDevice, plan: Plan) -> dict[Param, list[Held]] | None:
        """What each parameter was at its uses; None: the same as now, unless a step has changed it."""
        values: Any = s._captured
        if s._set is None:
            values = [v for i, v in enumerate(s._leaf_values) if i in s._params]
        elif values is None:
            return None
        held: dict[Param, list[Held]] = {}
        for p, v in zip(plan.params.values(), values, strict=False):
            held.setdefault(p, []).append(v)
        return held

    def leaf_value(self, s: OnDevice, held: Held) -> Arr:
        """The value of a parameter's leaf on the host."""
        now = self._now
        kept = now.kept.get(held.param) if now.generation == s._generation else None
        return held.read() if kept is None else np.array(kept)

    def hold(self, s: OnDevice, param: Param) -> Held:
        """A parameter's value as a leaf of the present recording, which may have changed it since."""
        now = self._now
        if now.generation != s._generation or param not in now.gone:
            return Held(param)
        return Held(param, now.kept.get(param, GONE))

    def unchanged(self, s: OnDevice, plan: Plan) -> bool:
        """Whether every trained parameter still has the value it had at its `use`."""
        bank = plan.trained
        bank.claim()
        if s._set is not None:
            return s._captured is None
        values: list[Any] = s._leaf_values
        return all(values[i].same(bank, k) for k, leaves in enumerate(plan.leaves) for i in leaves)


def _index(nats: NDArray[Any]) -> NDArray[np.int32]:
    """Naturals as XLA's indices; a replaying session keeps them so already."""
    return nats if nats.dtype == np.int32 else np.minimum(nats, MAX_INDEX).astype(np.int32)

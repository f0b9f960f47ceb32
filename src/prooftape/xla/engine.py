"""The XLA engine of a session: what to run, with which arguments, and where the results are.

Values, cotangents and tangents are computed when they are asked for, each kind by one program over everything
it depends on. A training step is one program that is given the old parameters' memory (donation). What a
step's user reads afterwards (the loss, perhaps other values) the step hands out, so that nothing is computed
twice: it is learned in the first steps of a structure, in which the old parameters are kept as well.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import jax
import jax.numpy as jnp
import numpy as np

from prooftape.arrays.structure import Arr
from prooftape.errors import DonatedError, OperandError
from prooftape.op import Call
from prooftape.param import WATCHERS, Param, values_change
from prooftape.recompilation import Recompilations, graphs_difference
from prooftape.xla import compiling, lowerings
from prooftape.xla.bank import Bank, Memory
from prooftape.xla.program import (
    Layout,
    Program,
    Update,
    grads_program,
    jvp_program,
    step_program,
    update_program,
    values_program,
)
from prooftape.xla.structure import Structure, structure

if TYPE_CHECKING:
    from prooftape.replay import Track
    from prooftape.session import Session
    from prooftape.xla.grads import XlaGrads

MAX_PLANS: Final = 64
MAX_INDEX: Final = 2**31 - 1  # larger indices are out of range anyway, and XLA's are of 32 bits
Rows = tuple[tuple[float, ...], ...]
"""The moving numbers of an update rule, one row per group of parameters."""


class Plan:
    """A structure with the parameters of one session: where each leaf's value comes from."""

    def __init__(self, engine: Engine, st: Structure, params: dict[int, Param]) -> None:
        self.structure = st
        self.params = params
        self.unique = list(dict.fromkeys(params.values()))
        self.engine = engine
        self.read_later: set[int] = set()  # values, and
        self.grads_later: set[int] = set()  # cotangents that were read after a step
        self.calm = 0  # steps since the last such discovery
        self.freezes = -1
        self.quick: Quick | None = None
        self.nat_places: WeakKeyDictionary[Track, tuple[int, ...]] = WeakKeyDictionary()
        self.trained: Bank
        self.frozen: Bank
        self.check_frozen()

    def check_frozen(self) -> None:
        """Sort the parameters into trained and frozen ones, as they are now."""
        trained = [p for p in self.unique if p.requires_grad]
        if self.freezes >= 0 and trained == self.trained.params:
            self.freezes = Param.freezes
            return
        self.freezes, self.quick = Param.freezes, None
        self.trained = Bank(trained, self.engine.put)
        self.frozen = Bank([p for p in self.unique if not p.requires_grad], self.engine.put)
        where: dict[Param, tuple[int, int]] = {p: (0, i) for i, p in enumerate(trained)}
        where.update({p: (1, i) for i, p in enumerate(self.frozen.params)})
        sources, others = [], len(self.frozen.params)
        for i in range(self.structure.base):
            if i in self.params:
                sources.append(where[self.params[i]])
            else:
                sources.append((1, others))
                others += 1
        self.layout = Layout(tuple(sources))
        leaves: dict[Param, list[int]] = {p: [] for p in trained}
        for i, p in self.params.items():
            if p.requires_grad:
                leaves[p].append(i)
        self.leaves = tuple([tuple(found) for found in leaves.values()])
        self.wanted = tuple([i for found in self.leaves for i in found])
        self.steps: dict[Any, Any] = {}


class Quick:
    """All that a step of plain gradient descent needs when nothing has changed since the last one."""

    __slots__ = ("fast", "grads_out", "moving", "program", "rate", "root", "values_out")

    def __init__(
        self, rate: float, root: int, moving: Any, program: Program, values_out: Any, grads_out: Any
    ) -> None:
        self.rate, self.root, self.moving = rate, root, moving
        self.program, self.fast = program, program.fast
        self.values_out, self.grads_out = values_out, grads_out


class Now:
    """What the engine knows of the present recording of its session."""

    __slots__ = (
        *("generation", "gone", "grads", "handed", "kept"),
        *("known", "nats", "others", "stepped", "written"),
    )

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.known: dict[int, Any] = {}  # context id -> device value, or what a step still owes
        self.kept: dict[Param, Any] = {}  # parameters' values before the step, where they were kept
        self.gone: Sequence[Param] = ()  # parameters that a step has changed
        self.stepped: Plan | None = None
        self.written: list[Arr] = []  # the naturals as they were before each change
        self.nats: Arr | None = None  # the naturals to compute with, if not the present ones
        self.others: dict[int, Any] = {}  # leaf values put on the device
        self.grads: Any = None  # cotangents that a step has handed out
        self.handed: tuple[int, Any, int] = (-1, None, 0)  # their root, seed, and changes of naturals


class Engine:
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
        self.compiled: list[str] = []
        self._now = Now(-1)
        from prooftape.xla.grads import XlaGrads  # it needs this module

        self._grads = XlaGrads
        self._rates: dict[Rows, Any] = {}
        self.context: Any = (lambda: jax.enable_x64(True)) if self.wide else contextlib.nullcontext

    def lowering(self, call: Call) -> str | None:
        """The name of the lowering that a call is traced with; None: the op's own rules."""
        return lowerings.choose(call, self.on).lowering

    # -- arguments ----------------------------------------------------------------------------------
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

    def read(self, generation: int, id: int) -> Any:
        """A value of the present recording that is known already, else None."""
        now = self._now
        if now.generation != generation:
            return None
        found = now.known.get(id)
        return found() if found.__class__ is Owed else found

    def gradients_of(self, s: Session, root: int) -> XlaGrads:
        """Gradients of a scalar, to be computed when they are asked for."""
        return self._grads(s, self, root, None)

    def quick(self, s: Session, grads: object, rate: object) -> bool:
        """A step like the last one, if all is as it was then; else False and nothing done."""
        if s._set is None or grads.__class__ is not self._grads or grads._token is not s._token:  # type: ignore[attr-defined]
            return False
        assert isinstance(grads, self._grads) and s._track is not None
        root = grads.root
        plan = s._track.prefixes.get((root, self))
        if plan is None:
            return False
        quick, bank, frozen = plan.quick, plan.trained, plan.frozen
        if (
            quick is None
            or quick.rate != rate
            or quick.root != root
            or plan.freezes != Param.freezes
            or not bank.intact
            or bank.pending is not None
            or (frozen.params and not frozen.intact)
            or grads.known
            or grads.seed is not None
            or grads.generation != s._generation
            or grads.written
            or s._captured is not None
            or len(WATCHERS.data) > 1  # type: ignore[attr-defined]
        ):
            return False
        now = self.now(s)
        if now.stepped is not None:
            return False
        st = plan.structure
        nats = self._nats(s, plan) if st.slots else []
        arguments: Any = (bank.arrays, [], [*frozen.arrays, *s._fed], nats, quick.moving, None)
        results = quick.fast(*arguments)
        bank.arrays = results[0]
        now.stepped, now.gone = plan, bank.params
        self.hits += 1
        self._hand_out(now, plan, root, quick, bank, None, arguments, results)
        return True

    def _hand_out(
        self,
        now: Now,
        plan: Plan,
        root: int,
        quick: Quick,
        bank: Bank,
        memory: Memory | None,
        arguments: Any,
        results: Any,
    ) -> None:
        """Make known what a step has returned."""
        report, known = results[4], now.known
        now.handed = (root, arguments[5], len(now.written))
        if report.__class__ is not tuple and report.ndim == len(plan.structure.type_of(root).shape):
            known[root] = report
            if quick.values_out:
                known.update(zip(quick.values_out, results[2], strict=True))
            if quick.grads_out:
                now.grads = dict(zip(quick.grads_out, results[3], strict=True))
            return
        owed = Pending(self, quick.program, bank, memory, arguments, results)
        bank.pending = owed.settle
        if memory is not None:
            memory.pending = owed.settle
        known[root] = Owed(owed, 4, 0)
        known.update({i: Owed(owed, 2, k) for k, i in enumerate(quick.values_out)})
        now.grads = {i: Owed(owed, 3, k) for k, i in enumerate(quick.grads_out)}

    def simple(self, value: object, shape: tuple[int, ...]) -> Any:
        """A device array that can be a leaf as it is: nobody can write to it."""
        fits = isinstance(value, jax.Array) and value.shape == shape and value.dtype == self.dtype
        # numbers of a low precision have to be rounded first
        return value if fits and self.scalar in ("float32", "float64") else None

    def now(self, s: Session) -> Now:
        """The state of the present recording, fresh after a reset."""
        now = self._now
        if now.generation != s._generation:
            now = self._now = Now(s._generation)
        return now

    def nats_change(self, s: Session) -> None:
        """To be called before naturals change: values are out of date, gradients asked for before are not."""
        now = self.now(s)
        now.written.append(s._nats)
        now.known.clear()

    def undo(self, s: Session, end: int, nats: Arr) -> None:
        """To be called before the recording goes back to `end` entries and these naturals."""
        if s._nats is not nats:
            self.nats_change(s)
        known = self.now(s).known
        for i in [i for i in known if i >= end]:
            del known[i]

    def plan(self, s: Session, root: int) -> Plan:
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

    def _others(self, s: Session, plan: Plan) -> list[Any]:
        """Frozen parameters, then the leaves that are no parameters."""
        frozen = self._at_use(s, plan, self.now(s), plan.frozen) if plan.frozen.params else []
        if s._set is not None:
            return [*frozen, *s._fed]
        return [*frozen, *[v for i, v in enumerate(s._leaf_values) if i not in s._params]]

    def _nats(self, s: Session, plan: Plan) -> list[Any]:
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
                return [np.minimum(s._fed_nats[k], MAX_INDEX).astype(np.int32) for k in where]
        nats = s._nats if self._now.nats is None else self._now.nats
        return [np.minimum(nats[a : a + k], MAX_INDEX).astype(np.int32) for a, k in st.slots]

    def _params(self, s: Session, plan: Plan, now: Now) -> list[Any]:
        """The trained parameters' values at their `use`."""
        return self._at_use(s, plan, now, plan.trained)

    def _at_use(self, s: Session, plan: Plan, now: Now, bank: Bank, lost: bool = False) -> list[Any]:
        """The values that a bank's parameters had at their `use`; `lost`: None for those a step was given."""
        held = self._held(s, plan)
        current = bank.claim()
        if held is None and not now.gone:
            return current
        found = []
        for i, (p, c) in enumerate(zip(bank.params, current, strict=True)):
            values = [] if held is None else held[p]
            for other in values[1:]:
                if other.array is not values[0].array and not (
                    other.same(bank, i) and values[0].same(bank, i)
                ):
                    raise OperandError(
                        f"{p!r} was changed between two uses in one recording; engine 'xla' reads a "
                        "parameter once per recording: use it once, or call reset_tape() after the change"
                    )
            if p in now.kept:
                c = now.kept[p]
            elif p in now.gone and lost:
                c = None
            elif values and not values[0].same(bank, i):
                c = self.put(values[0].read())
            elif not values and p in now.gone:
                raise gone(p)
            found.append(c)
        return found

    def _held(self, s: Session, plan: Plan) -> dict[Param, list[Held]] | None:
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

    def leaf_value(self, s: Session, held: Held) -> Arr:
        """The value of a parameter's leaf on the host."""
        now = self._now
        kept = now.kept.get(held.param) if now.generation == s._generation else None
        return held.read() if kept is None else np.array(kept)

    def hold(self, s: Session, param: Param) -> Held:
        """A parameter's value as a leaf of the present recording, which may have changed it since."""
        now = self._now
        if now.generation != s._generation or param not in now.gone:
            return Held(param)
        return Held(param, now.kept.get(param, _GONE))

    def unchanged(self, s: Session, plan: Plan) -> bool:
        """Whether every trained parameter still has the value it had at its `use`."""
        bank = plan.trained
        bank.claim()
        if s._set is not None:
            return s._captured is None
        values: list[Any] = s._leaf_values  # type: ignore[assignment]
        return all(values[i].same(bank, k) for k, leaves in enumerate(plan.leaves) for i in leaves)

    # -- running --------------------------------------------------------------------------------------
    def program(self, st: Structure, key: tuple[object, ...], make: Any) -> Program:
        """The program of this key, made if there is none yet."""
        found: Program | None = st.programs.get(key)
        if found is None:
            self.misses += 1
            found = st.programs[key] = make()
        else:
            self.hits += 1
        return found

    def first(self, program: Program, form: Any, arguments: Sequence[Any]) -> Any:
        """Run a form of a program that may have to be compiled."""
        with self.context():
            if program.ran and form is program.fast:
                return form(*arguments)
            result, seconds, cached = compiling.first_call(form, arguments, program.label, None)
        program.ran = True
        self.compile_seconds += seconds
        self.from_cache += cached
        self.compiled.append(program.label)
        return result

    def run(self, program: Program, *arguments: Any) -> Any:
        """Results of a program that donates nothing: strict when its flag says so."""
        results, flag = self.first(program, program.fast, arguments)
        if flag is not None and bool(flag):
            results, _ = self.first(program, program.strict, arguments)
        return results

    # -- values ---------------------------------------------------------------------------------------
    def value(self, s: Session, id: int) -> Any:
        """The device value of a context id (a NumPy array for a leaf that is no parameter)."""
        now = self.now(s)
        found = now.known.get(id)
        if found is not None:
            return found() if isinstance(found, Owed) else found
        plan = self.plan(s, id)
        st = plan.structure
        if now.stepped is not None:
            later = now.stepped
            later.calm, later.quick = 0, None
            if id < len(later.structure):
                later.read_later.add(id)
        if id < st.base:
            kind, i = plan.layout.sources[id]
            found = (self._others(s, plan) if kind else self._params(s, plan, now))[i]
            return np.array(found) if id in plan.params else found
        arguments = (self._params(s, plan, now), self._others(s, plan), self._nats(s, plan))
        layout = plan.layout
        program = self.program(st, ("values", layout, (id,)), lambda: values_program(st, layout, (id,)))
        (found,) = self.run(program, *arguments)
        now.known[id] = found
        return found

    # -- cotangents -----------------------------------------------------------------------------------
    def gradients(self, s: Session, root: int, seed: Any, ids: Collection[int]) -> dict[int, Any]:
        """Cotangents of `ids` (and of all trained parameters' leaves), None where absent."""
        now, plan = self.now(s), self.plan(s, root)
        if now.stepped is not None:
            now.stepped.calm, now.stepped.quick = 0, None
            if now.stepped is plan and now.handed[0] == root and seed is now.handed[1] and now.nats is None:
                plan.grads_later.update(ids)
        st, layout = plan.structure, plan.layout
        inputs = [i for i in range(st.base) if i not in plan.params and self._leaf(s, i).requires_grad]
        wanted = tuple(sorted({*plan.wanted, *inputs, *ids}))
        key = ("grads", layout, root, wanted, seed is not None)
        program = self.program(st, key, lambda: grads_program(st, layout, root, wanted, seed is not None))
        arguments = (self._params(s, plan, now), self._others(s, plan), self._nats(s, plan), seed)
        found, value = self.run(program, *arguments)
        if now.nats is None:
            now.known.setdefault(root, value)
        return dict(zip(wanted, found, strict=True))

    def _leaf(self, s: Session, i: int) -> Any:
        track = s._track
        return track.recorded.leaves[i] if s._set is not None and track is not None else s._leaves[i]

    # -- tangents -------------------------------------------------------------------------------------
    def tangent(self, s: Session, out: int, tangents: Sequence[Any]) -> Any:
        """Tangent of `out`, None when absent."""
        now, plan = self.now(s), self.plan(s, out)
        if now.stepped is not None:
            now.stepped.calm, now.stepped.quick = 0, None
        st, layout = plan.structure, plan.layout
        moved = tuple([i for i, t in enumerate(tangents) if t is not None])
        program = self.program(st, ("jvp", layout, out, moved), lambda: jvp_program(st, layout, out, moved))
        arguments = (self._params(s, plan, now), self._others(s, plan), self._nats(s, plan))
        return self.run(program, *arguments, [tangents[i] for i in moved])

    # -- steps ----------------------------------------------------------------------------------------
    def numbers(self, rows: Rows) -> Any:
        """The moving numbers of a step as a device array; the last few are kept."""
        found = self._rates.get(rows)
        if found is None:
            if len(self._rates) > 16:
                self._rates.clear()
            with self.context():
                found = self._rates[rows] = jnp.array(rows, self.dtype)
        return found

    def step(
        self, s: Session, plan: Plan, root: int, seed: Any, up: Update, memory: Memory | None, rows: Rows
    ) -> Program:
        """One training step: parameters and memory get their new values."""
        now, bank = self.now(s), plan.trained
        key = (
            "step",
            plan.layout,
            root,
            up.key,
            tuple(sorted(plan.read_later)),
            tuple(sorted(plan.grads_later)),
            seed is not None,
            self.donate,
        )
        program, values_out, grads_out = self._step_program(plan, key, root, up, seed)
        params = bank.claim()
        slots = [] if memory is None else memory.arrays
        others, nats = self._others(s, plan), self._nats(s, plan)
        kept = {}
        if not self.donate:
            kept = dict(zip(bank.params, params, strict=True))
        elif plan.calm < 1:
            with self.context():
                kept = {p: jnp.copy(a) for p, a in zip(bank.params, params, strict=True)}
        moving = self.numbers(rows)
        arguments = (params, slots, others, nats, moving, seed)
        quick = Quick(rows[0][0], root, moving, program, values_out, grads_out)
        if len(WATCHERS.data) > 1 or s._set is None:  # type: ignore[attr-defined]
            values_change()
        if program.ran and not self.wide and not self.observed:
            results = program.fast(*arguments)
        else:
            if not program.ran:
                self._notice(s, plan)
            results = self.first(program, program.fast, arguments)
        bank.stepped(results[0])
        if memory is not None:
            memory.arrays = results[1]
        # the next step like this one needs no copies and no questions
        plan.quick = quick if up.key == ("sgd",) and seed is None and self.donate and not self.wide else None
        plan.calm += 1
        now.stepped, now.gone, now.kept = plan, bank.params, kept
        self._hand_out(now, plan, root, quick, bank, memory, arguments, results)
        return program

    def _notice(self, s: Session, plan: Plan) -> None:
        """Count a step that has to be compiled; too many different ones are worth a warning."""
        st, last = plan.structure, self._latest
        self._latest = st

        def reason() -> str:
            names = [self._leaf(s, i).name for i in range(st.base)]
            return graphs_difference((last.leaves, last.nodes), (st.leaves, st.nodes), names)

        self._recompilations.steps = s._generation
        self._recompilations.compiled(st, reason)

    def _step_program(
        self, plan: Plan, key: Any, root: int, up: Update, seed: Any
    ) -> tuple[Program, tuple[int, ...], tuple[int, ...]]:
        found = plan.steps.get(key)
        if found is not None:
            self.hits += 1
            return found  # type: ignore[no-any-return]
        values_out = tuple(sorted(plan.read_later - {root}))
        grads_out = tuple(sorted(plan.grads_later))
        st, layout = plan.structure, plan.layout
        program = self.program(
            st,
            key,
            lambda: step_program(st, layout, root, up, values_out, grads_out, seed is not None, self.donate),
        )
        plan.steps[key] = found = (program, values_out, grads_out)
        return found

    def update(
        self, s: Session, plan: Plan, up: Update, memory: Memory | None, rows: Rows, gradients: dict[int, Any]
    ) -> Program:
        """The update alone, for gradients that are known."""
        now, st, bank = self.now(s), plan.structure, plan.trained
        parts = [[gradients[i] for i in leaves] for leaves in up.leaves]
        present = tuple([tuple([g is not None for g in found]) for found in parts])
        key = ("update", up.key, up.leaves, present, self.donate)
        program = self.program(st, key, lambda: update_program(st, up, self.donate))
        old = self._at_use(s, plan, now, bank, lost=True)
        params = bank.claim()
        with self.context():
            kept = {
                p: jnp.copy(a) if a is c and self.donate else a
                for p, a, c in zip(bank.params, old, params, strict=True)
                if a is not None
            }
        slots = [] if memory is None else memory.arrays
        values_change()
        new, after = self.first(program, program.fast, (params, slots, parts, self.numbers(rows)))
        bank.stepped(new)
        if memory is not None:
            memory.arrays = after
        now.stepped = now.stepped or plan
        now.gone, now.kept = [*now.gone, *bank.params], {**kept, **now.kept}
        return program


class Pending:
    """A step whose flag nobody has looked at: its results are final, or the strict form gives them."""

    __slots__ = ("_arguments", "_bank", "_engine", "_memory", "_program", "_report", "results")

    def __init__(
        self,
        engine: Engine,
        program: Program,
        bank: Bank,
        memory: Memory | None,
        arguments: Any,
        results: Any,
    ) -> None:
        self._engine, self._program, self._bank, self._memory = engine, program, bank, memory
        self._arguments, self.results = arguments, results
        self._report: Any = None

    def settle(self) -> Any:
        """The final results, the report read to the host."""
        if self._report is not None:
            return self.results
        results, report = self.results, self.results[4]
        pair = isinstance(report, tuple)
        value = report[0] if pair else np.asarray(report)
        if bool(report[1] if pair else value[1]):
            arguments = (*results[:2], *self._arguments[2:])  # parameters and slots came back unchanged
            results = self._engine.first(self._program, self._program.strict, arguments)
            value = np.asarray(results[4])
            self._bank.stepped(results[0])
            if self._memory is not None:
                self._memory.arrays = results[1]
        elif not pair:
            value = value[0, ...]
        # an interruption before this line leaves the step pending
        self.results, self._report = results, value
        self._bank.pending = None
        if self._memory is not None:
            self._memory.pending = None
        self._arguments = ()
        return self.results

    def value(self, kind: int, k: int) -> Any:
        """One result: 2 values, 3 cotangents, 4 the root's value."""
        results = self.settle()
        return self._report if kind == 4 else results[kind][k]


class Owed:
    """A result that a pending step still has to confirm."""

    __slots__ = ("_k", "_kind", "_step")

    def __init__(self, step: Pending, kind: int, k: int) -> None:
        self._step, self._kind, self._k = step, kind, k

    def __call__(self) -> Any:
        return self._step.value(self._kind, self._k)


_GONE: Final = object()
"""Stands for an array that a step was given."""


def gone(param: Param) -> DonatedError:
    """What to say where a value needs a parameter as it was before a step."""
    return DonatedError(
        "this value was not computed by the step, and the step was given the memory of the parameters' old "
        f"values ({param!r}); read it before the step, or make the session with donate=False"
    )


class Held:
    """A parameter's value as a leaf: the array it had at `use`, wherever that is."""

    __slots__ = ("array", "dtype", "param", "shape")

    def __init__(self, param: Param, array: Any = None) -> None:
        bank = param._bank
        self.param = param
        if array is not None:
            self.array: Any = array
        elif bank is None:
            self.array = param.stored
        else:
            bank.settle()
            assert isinstance(bank, Bank)
            self.array = bank.arrays[param._slot]
        self.shape = param.shape
        self.dtype = param.scalar.xp.dtype  # type: ignore[attr-defined]

    def same(self, bank: Bank, slot: int) -> bool:
        """Whether the bank's array at this slot is this value."""
        return self.array is bank.arrays[slot] or (
            bank.sources is not None and self.array is bank.sources[slot]
        )

    def read(self) -> Arr:
        """The value on the host."""
        if self.array is _GONE:
            raise gone(self.param)
        if isinstance(self.array, jax.Array):
            if self.array.is_deleted():
                raise gone(self.param)
            return np.array(self.array)
        found: Arr = self.array
        return found


def enabled(choice: bool | Collection[str]) -> frozenset[str]:
    """The lowerings that `Session(lowerings=…)` names."""
    return lowerings.enabled(choice)


__all__ = ["Engine", "Held", "Plan", "enabled"]

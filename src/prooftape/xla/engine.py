"""The XLA engine of a session: what to run, with which arguments, and where the results are.

Values, cotangents and tangents are computed when they are asked for, each kind by one program over everything
it depends on. A training step is one program that is given the old parameters' memory (donation). What a
step's user reads afterwards (the loss, perhaps other values) the step hands out, so that nothing is computed
twice: it is learned in the first steps of a structure, in which the old parameters are kept as well.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from prooftape.param import WATCHERS, Param, values_change
from prooftape.recompilation import graphs_difference
from prooftape.xla import compiling, lowerings
from prooftape.xla.arguments import Arguments
from prooftape.xla.bank import Bank, Memory
from prooftape.xla.pending import Held, Owed, Pending
from prooftape.xla.plan import Now, Plan, Quick, Rows
from prooftape.xla.program import (
    Program,
    Update,
    grads_program,
    jvp_program,
    step_program,
    update_program,
    values_program,
)
from prooftape.xla.structure import Structure

if TYPE_CHECKING:
    from prooftape.on_device import OnDevice
    from prooftape.xla.bucket import Shared
    from prooftape.xla.grads import XlaGrads


class Engine(Arguments):
    """See the module docstring."""

    def __init__(self, scalar: str, on: frozenset[str], donate: bool = True) -> None:
        super().__init__(scalar, on, donate)
        from prooftape.xla.grads import XlaGrads  # it needs this module

        self._grads = XlaGrads

    def read(self, generation: int, id: int) -> Any:
        """A value of the present recording that is known already, else None."""
        now = self._now
        if now.generation != generation:
            return None
        found = now.known.get(id)
        if found.__class__ is Owed:
            found = now.known[id] = found()
        return found

    def gradients_of(self, s: OnDevice, root: int) -> XlaGrads:
        """Gradients of a scalar, to be computed when they are asked for."""
        return self._grads(s, self, root, None)

    def quick(self, s: OnDevice, grads: object, rate: object) -> bool:
        """A step like the last one, if all is as it was then; else False and nothing done."""
        if s._set is None or grads.__class__ is not self._grads or grads._token is not s._token:
            return False
        assert isinstance(grads, self._grads) and s._track is not None
        root = grads.root
        plan = s._track.prefixes.get((root, self))
        if plan is None:
            return False
        quick, bank, frozen = plan.quick, plan.trained, plan.frozen
        if (
            quick is None
            or rate.__class__ is not float  # True is no rate, though it equals 1.0
            or quick.rate != rate
            or quick.root != root
            or plan.freezes != Param.freezes
            or not bank.intact
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
        if bank.pending is not None:  # nobody has read the last step's loss
            bank.settle()
        st = plan.structure
        nats = self._nats(s, plan) if st.slots else []
        others = [*frozen.arrays, *s._fed] if self.devices is None else self._others(s, plan)
        arguments: Any = (bank.arrays, [], others, nats, quick.moving, None)
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
        for k, i in enumerate(quick.values_out):
            known[i] = Owed(owed, 2, k)
        now.grads = grads = {}
        for k, i in enumerate(quick.grads_out):
            grads[i] = Owed(owed, 3, k)

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

    def value(self, s: OnDevice, id: int) -> Any:
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

    def gradients(self, s: OnDevice, root: int, seed: Any, ids: Collection[int]) -> dict[int, Any]:
        """Cotangents of `ids` (and of all trained parameters' leaves), None where absent."""
        now, plan = self.now(s), self.plan(s, root)
        if now.stepped is not None:
            now.stepped.calm, now.stepped.quick = 0, None
            if now.stepped is plan and now.handed[0] == root and seed is now.handed[1] and now.nats is None:
                plan.grads_later.update(ids)
        st, layout = plan.structure, plan.layout
        inputs = [i for i in range(st.base) if i not in plan.params and self._leaf(s, i).requires_grad]
        wanted = tuple(sorted({*plan.wanted, *inputs, *ids}))
        seeded, shared = seed is not None, self.shared(plan, root, (), wanted, seed)
        key = ("grads", layout, root, wanted, seeded, shared and shared.key)
        program = self.program(st, key, lambda: grads_program(st, layout, root, wanted, seeded, shared))
        arguments = (self._params(s, plan, now), self._others(s, plan), self._nats(s, plan), seed)
        found, value = self.run(program, *arguments)
        if now.nats is None:
            now.known.setdefault(root, value)
        return dict(zip(wanted, found, strict=True))

    def shared(
        self, plan: Plan, root: int, values: Sequence[int], cotangents: Sequence[int], seed: Any
    ) -> Shared | None:
        """How the passes from a root are run by several devices, each on its part; see `MeshEngine`."""
        return None

    def _leaf(self, s: OnDevice, i: int) -> Any:
        track = s._track
        return track.recorded.leaves[i] if s._set is not None and track is not None else s._leaves[i]

    # -- tangents -------------------------------------------------------------------------------------

    def tangent(self, s: OnDevice, out: int, tangents: Sequence[Any]) -> Any:
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
        self, s: OnDevice, plan: Plan, root: int, seed: Any, up: Update, memory: Memory | None, rows: Rows
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

    def _notice(self, s: OnDevice, plan: Plan) -> None:
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
        seeded, shared = seed is not None, self.shared(plan, root, values_out, grads_out, seed)
        program = self.program(
            st,
            (*key, shared and shared.key),
            lambda: step_program(st, layout, root, up, values_out, grads_out, seeded, self.donate, shared),
        )
        plan.steps[key] = found = (program, values_out, grads_out)
        return found

    def update(
        self,
        s: OnDevice,
        plan: Plan,
        up: Update,
        memory: Memory | None,
        rows: Rows,
        gradients: dict[int, Any],
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


def enabled(choice: bool | Collection[str]) -> frozenset[str]:
    """The lowerings that `Session(lowerings=…)` names."""
    return lowerings.enabled(choice)


__all__ = ["Engine", "Held", "Plan", "enabled"]

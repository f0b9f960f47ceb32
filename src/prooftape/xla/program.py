"""XLA programs of a structure: values, cotangents, tangents, and whole training steps.

Each traces the very loops of tape.py and semantics.py with the array vocabulary on JAX tracers, so a program
is the tape, unrolled. A program has a fast form and, compiled only when needed, a strict one: the fast form
leaves out the branch for zero cotangents that meet non-finite operands and says in a flag when that may have
mattered (see `JaxArrays.suspects`); the strict form is then run on the same arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import lax

from prooftape.graph import Graph, Leaf, Node
from prooftape.numbers import Number
from prooftape.semantics import jvp_ctx
from prooftape.tape import Tape, backward_dense_from, forward_from
from prooftape.xla import compiling
from prooftape.xla.arrays import JaxArrays
from prooftape.xla.blocks import Blocks, block_size, saved_slots
from prooftape.xla.structure import Structure

if TYPE_CHECKING:
    from prooftape.xla.bucket import Shared


class StepArrays(JaxArrays):
    """The vocabulary of update rules: their numbers may be scalars of the program, not only literals."""

    def full(self, shape: tuple[int, ...], value: Number) -> Any:
        if isinstance(value, jax.Array):
            return lax.broadcast(value.astype(self.dtype), shape)
        return super().full(shape, value)

    def scale(self, x: Any, c: Number) -> Any:
        if isinstance(c, jax.Array):
            return lax.mul(x, lax.broadcast(c.astype(self.dtype), x.shape))
        return super().scale(x, c)

    def minus_scaled(self, p: Any, g: Any, c: Number, *, consume: bool = False) -> Any:
        return self.sub(p, self.scale(g, c))


@dataclass(frozen=True)
class Layout:
    """Where each leaf's value comes from: (0, i) the i-th trained parameter, (1, j) the j-th other array."""

    sources: tuple[tuple[int, int], ...]

    def leaves(self, params: Sequence[Any], others: Sequence[Any]) -> list[Any]:
        """Values of the leaves, in order."""
        kinds = (params, others)
        return [kinds[kind][i] for kind, i in self.sources]


class _Run:
    """One trace of a structure: values first, then cotangents, whole or in blocks (see blocks.py)."""

    def __init__(
        self,
        xp: JaxArrays,
        st: Structure,
        leaves: list[Any],
        nats: Sequence[Any],
        ids: Sequence[int],
        wanted: Sequence[int] = (),
        whole: bool = False,
    ) -> None:
        found = dict(zip(st.slots, nats, strict=True))

        def read(start: int, k: int) -> Any:
            return found[start, k]

        self.xp, self.st, self.read, self.wanted = xp, st, read, wanted
        self.needed = st.needed(wanted) if wanted else []
        self.tape = Tape(st.base, st.instrs) if whole else st.tape({*ids, *wanted})
        above = st.above(ids, self.tape)
        instrs = [instr for instr in self.tape.instrs if instr.out in above]
        size = None if whole else block_size(instrs, jax.default_backend())
        self.blocks = None if size is None else Blocks(xp, instrs, read, size)
        self.values: list[Any] = list(leaves)
        if self.blocks is not None:
            self.values += [None] * len(st.nodes)
            saved = saved_slots(instrs, self.needed) if wanted else set()
            self.blocks.forward(self.values, {*ids, *saved})
            return
        for instr in self.tape.instrs:
            if instr.out in above:
                forward_from(xp, [instr], self.values, read)
            else:
                self.values.append(None)

    def cotangents(self, root: int, seed: Any) -> list[Any]:
        """Cotangents of the entries wanted (others may be there as well), None where absent."""
        seeds: list[Any] = [None] * len(self.st)
        seeds[root] = self.xp.full((), 1) if seed is None else seed
        if self.blocks is not None:
            return self.blocks.backward(self.values, seeds, self.needed, set(self.wanted))
        return backward_dense_from(self.xp, self.tape, self.values, seeds, self.read, self.needed)


def _flag(xp: JaxArrays) -> Any:
    if not xp.suspects:
        return None
    flag = xp.suspects[0]
    for other in xp.suspects[1:]:
        flag = lax.bitwise_or(flag, other)
    return flag


class Program:
    """A traced function in its two forms. `fn(xp, *arguments)` returns (results, flag or None)."""

    def __init__(
        self,
        st: Structure,
        label: str,
        fn: Callable[..., Any],
        donate: tuple[int, ...] = (),
    ) -> None:
        self.label = label
        self.made_from = (st, fn)
        self.fast = self._compile(st, fn, donate, False)
        self._strict: Callable[[], Any] = lambda: self._compile(st, fn, donate, True)
        self._strict_form: Any = None
        self.ran = False
        self.present: tuple[bool, ...] = ()
        """Of a step, known once it is traced: which parameters get a gradient."""

    def _compile(self, st: Structure, fn: Callable[..., Any], donate: tuple[int, ...], strict: bool) -> Any:
        def traced(*arguments: Any) -> Any:
            return fn(StepArrays(st.scalar, strict), *arguments)

        low = st.scalar in ("bfloat16", "float16")
        form = compiling.compiled(
            traced,
            donate=donate,
            x64=st.scalar == "float64",
            low_precision=low,
            label=self.label,
            whole=None if st.devices is None else st.devices.whole,
        )
        return form if st.devices is None else st.devices.guarded(form)

    @property
    def strict(self) -> Any:
        """The form with every branch, for arguments on which the fast one raised its flag."""
        if self._strict_form is None:
            self._strict_form = self._strict()
        return self._strict_form


def values_program(st: Structure, layout: Layout, ids: tuple[int, ...]) -> Program:
    """(params, others, nats) -> values of `ids`."""

    def fn(xp: JaxArrays, params: Any, others: Any, nats: Any) -> Any:
        values = _Run(xp, st, layout.leaves(params, others), nats, ids).values
        return [values[i] for i in ids], _flag(xp)

    return Program(st, f"values of {len(st.nodes)} instructions", fn)


def _passes(
    xp: JaxArrays,
    st: Structure,
    shared: Shared | None,
    leaves: list[Any],
    nats: Sequence[Any],
    root: int,
    also: Sequence[int],
    wanted: Sequence[int],
    seed: Any,
) -> tuple[Any, Any]:
    """Values of the root and of `also`, and cotangents of `wanted`: two things to be asked for an id."""
    if shared is not None:
        return shared.passes(xp, leaves, nats, root, also, wanted)
    run = _Run(xp, st, leaves, nats, (root, *also), wanted)
    return run.values, run.cotangents(root, seed)


def grads_program(
    st: Structure,
    layout: Layout,
    root: int,
    wanted: tuple[int, ...],
    seeded: bool,
    shared: Shared | None = None,
) -> Program:
    """(params, others, nats, seed) -> cotangents of `wanted`, None where absent."""

    def fn(xp: JaxArrays, params: Any, others: Any, nats: Any, seed: Any) -> Any:
        leaves = layout.leaves(params, others)
        values, ct = _passes(xp, st, shared, leaves, nats, root, (), wanted, seed if seeded else None)
        return ([ct[i] for i in wanted], values[root]), _flag(xp)

    return Program(st, f"gradients of {len(st.nodes)} instructions", fn)


def jvp_program(st: Structure, layout: Layout, out: int, moved: tuple[int, ...]) -> Program:
    """(params, others, nats, tangents of the leaves `moved`) -> tangent of `out`, None when absent."""

    def fn(xp: JaxArrays, params: Any, others: Any, nats: Any, tangents: Any) -> Any:
        run = _Run(xp, st, layout.leaves(params, others), nats, (out,), whole=True)
        values, read = run.values, run.read
        above = st.above((out,))
        none: dict[str, Any] = {"args": (), "nats": ()}
        pairs = zip(st.instrs, st.nodes, strict=True)
        nodes = [Node(i.call, n.args, n.nats) if i.out in above else n._replace(**none) for i, n in pairs]
        seeds: list[Any] = [None] * st.base
        for i, tangent in zip(moved, tangents, strict=True):
            seeds[i] = tangent
        leaves = [Leaf(t, None, False, "input") for t in st.leaves]
        top = max(st.slots, default=(0, 0))
        context = jvp_ctx(xp, Graph(leaves, nodes, top[0] + top[1]), values, read, seeds)
        return context[out], _flag(xp)

    return Program(st, f"tangents of {len(st.nodes)} instructions", fn)


@dataclass(frozen=True)
class Update:
    """How a step changes parameters: the rule, and per trained parameter its leaves and group of numbers.

    rule(xp, moving, p, g, slots) -> (new value, new slots); fresh: which parameters start without slots
    (what is passed for them is not looked at).
    """

    key: tuple[object, ...]
    rule: Callable[..., Any]
    leaves: tuple[tuple[int, ...], ...]
    groups: tuple[int, ...]
    n_slots: int
    n_moving: int
    fresh: tuple[bool, ...]


def _updated(xp: JaxArrays, up: Update, params: Any, slots: Any, moving: Any, gradients: Any) -> Any:
    """New values and slots of every parameter; one without a gradient keeps what it has."""
    new, after = [], []
    for i, (p, g) in enumerate(zip(params, gradients, strict=True)):
        old = list(slots[i * up.n_slots : (i + 1) * up.n_slots])
        if g is None:
            new.append(p)
            after += old
            continue
        row = [_entry(moving, up.groups[i], j) for j in range(up.n_moving)]
        value, mine = up.rule(xp, row, p, g, [] if up.fresh[i] else old)
        new.append(xp.finish(value))
        after += mine
    return new, after


def _unless(flag: Any, old: Sequence[Any], new: Sequence[Any]) -> list[Any]:
    """The new arrays, or all the old ones where the flag is up."""
    return [lax.select(lax.broadcast(flag, a.shape), a, b) for a, b in zip(old, new, strict=True)]


def _entry(x: Any, i: int, j: int) -> Any:
    return lax.squeeze(lax.slice(x, (i, j), (i + 1, j + 1)), (0, 1))


def step_program(
    st: Structure,
    layout: Layout,
    root: int,
    up: Update,
    values_out: tuple[int, ...],
    grads_out: tuple[int, ...],
    seeded: bool,
    donate: bool = True,
    shared: Shared | None = None,
) -> Program:
    """(params, slots, others, nats, moving, seed) -> (params, slots, values, cotangents, report): one step.

    report is the root's value, or with a flag the pair of both, so that one transfer reads both; where the
    flag is up, parameters and slots come back unchanged.
    """

    def fn(xp: JaxArrays, params: Any, slots: Any, others: Any, nats: Any, moving: Any, seed: Any) -> Any:
        wanted = tuple(dict.fromkeys([*[leaf for leaves in up.leaves for leaf in leaves], *grads_out]))
        leaves, given = layout.leaves(params, others), seed if seeded else None
        values, ct = _passes(xp, st, shared, leaves, nats, root, values_out, wanted, given)
        gradients = [total(xp, [ct[i] for i in leaves]) for leaves in up.leaves]
        program.present = tuple([g is not None for g in gradients])
        loss = values[root]
        new, after = _updated(xp, up, params, slots, moving, gradients)
        flag = _flag(xp)
        report = loss
        if flag is not None:
            new, after = _unless(flag, params, new), _unless(flag, slots, after)
            report = jnp.stack([loss, flag.astype(loss.dtype)]) if loss.shape == () else (loss, flag)
        return new, after, [values[i] for i in values_out], [ct[i] for i in grads_out], report

    program = Program(st, f"a step of {len(st.nodes)} instructions", fn, donate=(0, 1) if donate else ())
    return program


def update_program(st: Structure, up: Update, donate: bool = True) -> Program:
    """(params, slots, gradients, moving) -> (params, slots): the update alone, for gradients that exist."""

    def fn(xp: JaxArrays, params: Any, slots: Any, gradients: Any, moving: Any) -> Any:
        summed = [total(xp, list(parts)) for parts in gradients]
        program.present = tuple([g is not None for g in summed])
        return _updated(xp, up, params, slots, moving, summed)

    program = Program(st, "an update of the parameters", fn, donate=(0, 1) if donate else ())
    return program


def total(xp: JaxArrays, parts: list[Any]) -> Any:
    """Sum of the cotangents of a parameter's leaves, from the left; None when all are absent."""
    found = None
    for part in parts:
        if part is not None:
            found = part if found is None else xp.finish(xp.add(found, part))
    return found

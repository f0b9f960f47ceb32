"""Recorded functions as XLA programs: what `compile_step` runs on engine `xla`.

JAX flattens the arguments and finds the compiled code, so a call costs what a call of a jitted function
costs, and one look at the program's flag where it has one (see `program.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from operator import itemgetter
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from prooftape.errors import DonatedError
from prooftape.graph_function import MASK, NATURALS, NUMBERS, STATIC, Argument, GraphFunction
from prooftape.types import BOOL
from prooftape.xla import compiling, lowerings
from prooftape.xla.arrays import LARGEST_INDEX, JaxArrays
from prooftape.xla.program import Program, _flag, _Run
from prooftape.xla.structure import structure

NATIVE: Final = tuple(jnp.dtype(name) for name in ("float16", "bfloat16", "float32", "float64"))
"""What JAX takes from NumPy as it is."""


class Mismatch(Exception):
    """A step was called with arrays of other shapes than it was compiled for."""


flatten: Callable[[Any], tuple[list[Any], Any]] = jax.tree_util.tree_flatten
"""The entries of nested arguments and how they are nested, hashable."""


def rebuild(tree: Any, entries: Sequence[Any]) -> Any:
    """The nesting with other entries."""
    return tree.unflatten(entries)


def paths(tree: Any) -> list[tuple[object, ...]]:
    """Where each entry is: argument list or keywords, which one, and the rest as text."""
    found, _ = jax.tree_util.tree_flatten_with_path(tree)
    text = jax.tree_util.keystr
    return [(p[0].idx, getattr(p[1], "idx", getattr(p[1], "key", None)), text(p[2:])) for p, _ in found]


def is_device(kind: type) -> bool:
    """Whether values of this class lie on a device."""
    return issubclass(kind, jax.Array)


class Step:
    """One recorded function, compiled for the arguments it was recorded with.

    donate: positions of the entries whose memory may be taken; results of the same shape will be put there.
    """

    def __init__(
        self, function: GraphFunction, donate: Collection[int], entries: Sequence[object], tree: Any
    ) -> None:
        self.function = f = function
        self.scalar = f.scalar
        leaves, nodes = f.graph.leaves, f.graph.nodes
        self.st = structure(f.scalar.name, lowerings.enabled(True), leaves, nodes)
        self.tree, self.entries = tree, list(entries)
        self.plain = self.entries == list(range(len(f.outputs)))
        dynamic = [k for k, a in enumerate(f.arguments) if a.kind is not STATIC and self._used(a)]
        self.on_device = any(a.device for a in f.arguments)
        self.matches = self._matches(donate)
        self.donated = [k for k in dynamic if k in self.matches]
        self.others = [k for k in dynamic if k not in self.matches]
        self._of_donated, self._of_others = _picker(self.donated), _picker(self.others)
        self.host = [k for k in self.others if not f.arguments[k].device]
        self.naturals = [k for k in self.host if f.arguments[k].kind is NATURALS]
        wide = f.scalar.name == "float64"
        self.context: Any = (lambda: jax.enable_x64(True)) if wide else contextlib.nullcontext
        xp = f.scalar.xp
        with self.context():
            self.constants = tuple(
                jnp.array(v if v.dtype.kind == "b" else v.astype(xp.dtype))  # type: ignore[attr-defined]
                for v in f.constants.values()
            )
        self.forwarded = [k for k, i in enumerate(f.outputs) if i < len(leaves)]
        self.program = Program(self.st, compiling.size_label(len(nodes)), self._trace, donate=(0,))
        self.flagged = False
        """Known once the program is traced: whether it hands out a flag."""
        # the program itself nests the result: a call is then JAX's, nearly all of it
        self._simple = self.on_device and self.plain and not self.host

    def _used(self, a: Argument) -> bool:
        return a.kind is not NATURALS or (a.at, a.shape[0]) in self.st.slots

    def _format(self) -> np.dtype[Any]:
        return np.dtype(jnp.dtype(self.scalar.name))

    def _matches(self, donate: Collection[int]) -> dict[int, int]:
        """Which result is put where each donated argument was: XLA can use the memory for nothing else."""
        f, found = self.function, {}
        free: dict[tuple[int, ...], list[int]] = {}
        for j, i in enumerate(f.outputs):
            type = f.graph.type_of(i)
            if i >= len(f.graph.leaves) and type.dtype != BOOL and f.outputs.index(i) == j:
                free.setdefault(type.shape, []).append(j)
        for k in sorted(donate):
            a = f.arguments[k]
            fits = a.device and a.dtype == self._format() and a.at not in f.outputs
            if fits and free.get(a.shape):
                found[k] = free[a.shape].pop(0)
        return found

    # -- what is compiled -------------------------------------------------------------------------------
    def _trace(self, xp: JaxArrays, donated: Any, others: Any, constants: Any) -> Any:
        f = self.function
        given = dict(zip((*self.donated, *self.others), (*donated, *others), strict=True))
        leaves: list[Any] = [None] * self.st.base
        slots: dict[tuple[int, int], Any] = {}
        for k, x in given.items():
            a = f.arguments[k]
            if x.shape != a.shape or (a.device and x.dtype != a.dtype):
                raise Mismatch
            if a.kind is NATURALS:
                slots[a.at, a.shape[0]] = _indices(x)
            else:
                leaves[a.at] = x if a.kind is MASK else self._number(xp, x)
        for i, x in zip(f.constants, constants, strict=True):
            leaves[i] = x
        run = _Run(xp, self.st, leaves, [slots[s] for s in self.st.slots], f.outputs)
        results = [self._handed_out(run.values[i]) for i in f.outputs]
        flag = _flag(xp)
        if flag is not None:  # the strict form will need what was donated
            for k, j in self.matches.items():
                results[j] = lax.select(lax.broadcast(flag, given[k].shape), given[k], results[j])
        if not xp.strict:
            self.flagged = flag is not None
        result = self.tree.unflatten(results) if self._simple else results
        return (result, flag) if self.flagged else result

    def _number(self, xp: JaxArrays, x: Any) -> Any:
        return xp.finish(lax.convert_element_type(x, xp.dtype))

    def _handed_out(self, x: Any) -> Any:
        narrow = self.scalar.name in ("bfloat16", "float16") and x.dtype != np.bool_
        return lax.convert_element_type(x, self._format()) if narrow else x

    # -- running ----------------------------------------------------------------------------------------
    def _arguments(self, entries: Sequence[Any]) -> tuple[Any, Any, Any]:
        if self.host:
            given = self.function.given_naturals(entries) if self.naturals else {}
            entries = list(entries)
            for k in self.host:
                a = self.function.arguments[k]
                if a.kind is NATURALS:
                    entries[k] = np.minimum(given[a.at, a.shape[0]], LARGEST_INDEX).astype(np.int32)
                elif a.kind is NUMBERS and a.dtype not in NATIVE:  # other byte orders, long doubles
                    entries[k] = self.scalar.to_array(entries[k], a.name)
                elif self.on_device:  # the call may return before it has been read
                    entries[k] = np.array(entries[k])
        return self._of_donated(entries), self._of_others(entries), self.constants

    def first(self, entries: Sequence[Any]) -> tuple[Any, float, bool]:
        """Compile and run: (result, seconds, whether it came from the persistent cache)."""
        arguments = self._arguments(entries)
        try:
            with self.context():
                found, seconds, cached = compiling.first_call(
                    self.program.fast, arguments, self.program.label, None
                )
        except (RuntimeError, ValueError):
            self._explain(entries)
            raise
        return self._finished(found, arguments), seconds, cached

    def quick(self) -> Callable[[Sequence[Any]], Any]:
        """What to call after the first call: this step, or less of it."""
        if not self._simple or self.flagged:
            return self
        fast, constants = self.program.fast, self.constants
        of_donated, of_others, explain = self._of_donated, self._of_others, self._explain

        def run(entries: Sequence[Any]) -> Any:
            try:
                return fast(of_donated(entries), of_others(entries), constants)
            except (RuntimeError, ValueError):
                explain(entries)
                raise

        return run

    def __call__(self, entries: Sequence[Any]) -> Any:
        """The result for arguments of the same form; raises `Mismatch` for others."""
        arguments = self._arguments(entries)
        try:
            found = self.program.fast(*arguments)
        except (RuntimeError, ValueError):
            self._explain(entries)
            raise
        return self._finished(found, arguments)

    def _finished(self, found: Any, arguments: tuple[Any, Any, Any]) -> Any:
        results, flag = found if self.flagged else (found, None)
        if flag is not None and np.asarray(flag):
            if self._simple:
                results = self.tree.flatten_up_to(results)
            _, others, constants = arguments
            old = tuple([results[j] for j in self.matches.values()])
            with self.context():
                results, _ = self.program.strict(old, others, constants)
        if self._simple:
            return results
        if not self.on_device:
            results = [np.asarray(x) for x in results]
            for k in self.forwarded:  # might be the caller's own memory
                results[k] = results[k].copy()
                results[k].flags.writeable = False
        if self.plain:
            return self.tree.unflatten(results)
        return self.tree.unflatten([results[e] if type(e) is int else e for e in self.entries])

    def _explain(self, entries: Sequence[Any]) -> None:
        """Say so if the reason for an error is an array whose memory was given away."""
        for a, x in zip(self.function.arguments, entries, strict=True):
            if a.device and x.is_deleted():
                raise DonatedError(
                    f"compile_step: the memory of {a.name} was given to an earlier step (donate); use that "
                    "step's result instead, or leave the argument out of donate"
                )


def _picker(positions: Sequence[int]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """A function that takes these entries, in this order."""
    if len(positions) > 1:
        return itemgetter(*positions)
    return lambda entries: tuple([entries[k] for k in positions])


def _indices(x: Any) -> Any:
    """A vector of integers of any width as the vocabulary's indices."""
    if np.iinfo(x.dtype).max > LARGEST_INDEX:
        x = lax.min(x, np.asarray(LARGEST_INDEX, x.dtype))
    return lax.convert_element_type(x, np.int32)

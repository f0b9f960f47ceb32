"""`compile_step`: a function of arrays, recorded once per structure, then run without Python per op.

The function has the form that `pt.grad` takes: it gets handles and returns handles, and may itself be made by
`grad`, `value_and_grad`, `jvp` and the others. What a call is compiled for is the nesting of its arguments,
the shapes and dtypes of its arrays, and the values of everything that is no array.
"""

from __future__ import annotations

import inspect
import math
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from prooftape.errors import (
    AttributeValueError,
    CompiledStepError,
    ForeignHandleError,
    MissingExtraError,
    ScalarError,
    ValueTypeError,
    found,
)
from prooftape.graph_function import MASK, NATURALS, NUMBERS, STATIC, Argument
from prooftape.handles import Handle
from prooftape.recompilation import Recompilations, graphs_difference
from prooftape.scalars import Scalar
from prooftape.scalars import scalar as named
from prooftape.transforms.functional import _ENCLOSING, _scalar_of
from prooftape.transforms.step_recording import described, record, refusal

ENGINES: Final = ("xla", "numpy")
MAX_STRUCTURES: Final = 256
"""Programs kept per step; the one compiled longest ago goes first."""


class _Compiled(Protocol):
    on_device: bool
    function: Any

    def first(self, entries: Sequence[Any]) -> tuple[Any, float, bool]: ...
    def quick(self) -> Callable[[Sequence[Any]], Any]: ...
    def __call__(self, entries: Sequence[Any]) -> Any: ...


@dataclass(frozen=True, slots=True)
class StepStats:
    """What a compiled step counts: `step.stats()`.

    structures: programs it holds. compiles: programs compiled since it was made (or cleared), in
    compile_seconds altogether; from_cache of them were found on disk. calls: calls that ran one.
    """

    structures: int
    calls: int
    compiles: int
    compile_seconds: float
    from_cache: int


class _Form:
    """Calls with one nesting and one class for each entry; `only` runs without looking at shapes."""

    __slots__ = ("arrays", "only", "programs", "static")

    def __init__(self, static: tuple[int, ...], arrays: tuple[int, ...]) -> None:
        self.static, self.arrays = static, arrays
        self.programs: dict[tuple[object, ...], _Compiled] = {}
        self.only: Callable[[Sequence[Any]], Any] | None = None


class CompiledStep:
    """A compiled function: call it like the function. Made by `compile_step`."""

    def __init__(
        self,
        fn: Callable[..., Any],
        engine: str,
        scalar: str | Scalar | None,
        donate: str | int | Collection[str | int],
    ) -> None:
        if not callable(fn):
            raise CompiledStepError(f"compile_step: expected a function, got {found(fn)}")
        if engine not in ENGINES:
            raise ValueTypeError(f"unknown engine {engine!r}; known: {', '.join(ENGINES)}")
        self.fn, self.engine = fn, engine
        self.scalar = None if scalar is None else named(scalar)
        self._names, self._open = _parameter_names(fn)
        self._donate = self._donated(donate)
        self._backend = backend = _backend(engine, self.scalar)
        self._flatten, self._mismatch = backend.flatten, backend.Mismatch
        self._lock = threading.RLock()
        self.clear()

    def __repr__(self) -> str:
        return f"<compiled step {described(self.fn)}, engine {self.engine!r}>"

    def clear(self) -> None:
        """Forget all programs and counts."""
        with self._lock:
            self._forms: dict[tuple[object, ...], _Form] = {}
            self._order: list[tuple[_Form, tuple[object, ...]]] = []
            self._compiles = self._from_cache = 0
            self._seconds = 0.0
            self._last: tuple[dict[str, object], Any] | None = None
            self._watch = Recompilations(f"compile_step: {described(self.fn)}")

    def stats(self) -> StepStats:
        """Counts of programs, compilations and calls."""
        with self._lock:
            return StepStats(
                len(self._order), self._watch.steps, self._compiles, self._seconds, self._from_cache
            )

    # -- calling --------------------------------------------------------------------------------------
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function's result: arrays for arrays, device arrays if any argument is one.

        Called with handles it records the function into their session, like the function itself.
        """
        entries, tree = self._flatten((args, kwargs) if kwargs else args)
        kinds = tuple(map(type, entries))
        form = self._forms.get((tree, kinds))
        if form is not None:
            run = form.only
            if run is None:
                run = form.programs.get(_key(form, entries))
            if run is not None:
                try:
                    result = run(entries)
                except self._mismatch:
                    pass
                else:
                    self._watch.steps += 1
                    return result
        return self._first_call(args, kwargs, entries, tree, kinds)

    def _first_call(
        self, args: Any, kwargs: Any, entries: list[Any], tree: Any, kinds: tuple[type, ...]
    ) -> Any:
        if any(issubclass(kind, Handle) for kind in kinds):
            return self.fn(*args, **kwargs)
        nesting = self._flatten((args, kwargs))[1]
        names = [self._entry_name(path) for path in self._backend.paths((args, kwargs))]
        arguments = [self._argument(x, name) for x, name in zip(entries, names, strict=True)]
        with self._lock:
            form = self._forms.get((tree, kinds))
            if form is None:
                static = tuple(k for k, a in enumerate(arguments) if a.kind is STATIC)
                arrays = tuple(k for k, a in enumerate(arguments) if a.kind is not STATIC)
                form = _Form(static, arrays)
            key = _key(form, entries)
            program = form.programs.get(key)
            if program is not None:
                self._watch.steps += 1
                return program(entries)
            try:
                program = self._record(arguments, entries, nesting)
            except ForeignHandleError:
                if not _ENCLOSING.get():
                    raise
                # the function closes over handles of a derivative that is being taken around this call
                s = _ENCLOSING.get()[-1]
                array = (NUMBERS, MASK)
                lifted = [
                    s.constant_operand(x) if a.kind in array else x
                    for a, x in zip(arguments, entries, strict=True)
                ]
                positional, keywords = self._backend.rebuild(nesting, lifted)
                return self.fn(*positional, **keywords)
            result, seconds, cached = program.first(entries)
            self._watch.steps += 1
            self._keep(form, key, (tree, kinds), program, arguments)
            self._compiles += 1
            self._seconds += seconds
            self._from_cache += cached
            self._notice(arguments, entries, program, (tree, kinds, key))
            return result

    def _record(self, arguments: list[Argument], entries: list[Any], tree: Any) -> _Compiled:
        def call(handles: Sequence[object]) -> Any:
            positional, keywords = self._backend.rebuild(tree, handles)
            return self.fn(*positional, **keywords)

        numbers = [x for a, x in zip(arguments, entries, strict=True) if a.kind is NUMBERS]
        scalar = self.scalar or named(_scalar_of(numbers))
        _check_scalar(self.engine, scalar)
        function, results, nesting = record(self.fn, arguments, entries, call, self._flatten, scalar)
        donate = [k for k, a in enumerate(arguments) if a.kind is NUMBERS and self._gives(a.name)]
        program: _Compiled = self._backend.Step(function, donate, results, nesting)
        return program

    def _keep(
        self,
        form: _Form,
        key: tuple[object, ...],
        place: tuple[object, ...],
        program: _Compiled,
        arguments: Sequence[Argument],
    ) -> None:
        form.programs[key] = program
        alone = len(form.programs) == 1 and not form.static and all(a.device for a in arguments)
        form.only = program.quick() if alone and form.arrays else None
        self._forms[place] = form
        self._order.append((form, key))
        if len(self._order) > MAX_STRUCTURES:
            old, old_key = self._order.pop(0)
            del old.programs[old_key]
            old.only = None
            if not old.programs:
                self._forms = {p: f for p, f in self._forms.items() if f is not old}

    # -- arguments --------------------------------------------------------------------------------------
    def _entry_name(self, path: tuple[object, ...]) -> str:
        group, top, rest = path
        if group == 1:
            return f"{top}{rest}"
        assert isinstance(top, int)
        return (self._names[top] if top < len(self._names) else f"argument {top}") + str(rest)

    def _argument(self, x: Any, name: str) -> Argument:
        """How an entry takes part, or an error that names it."""
        problem = refusal(x, name)
        if problem is not None:
            raise problem
        dtype, shape = getattr(x, "dtype", None), getattr(x, "shape", None)
        if isinstance(dtype, np.dtype) and isinstance(shape, tuple):
            device, scalar = self._backend.is_device(type(x)), isinstance(x, np.generic)
            if dtype.kind in "fO" or dtype.name in ("bfloat16",):
                return Argument(name, NUMBERS, -1, shape, dtype, device)
            if dtype.kind == "b" and not scalar:
                return Argument(name, MASK, -1, shape, dtype, device)
            if dtype.kind in "iu" and len(shape) == 1:
                return Argument(name, NATURALS, -1, shape, dtype, device)
            if not (dtype.kind in "iub" and scalar):
                hint = "an array of floats is numbers, a vector of integers is indices, booleans are a mask"
                if dtype.kind in "iu":
                    hint += "; flatten indices of more axes with ravel(), pass a single one as int(n)"
                raise CompiledStepError(
                    f"compile_step: {name} is an array of {dtype} of shape {shape}; {hint}"
                )
        elif dtype is not None and shape is not None:
            raise CompiledStepError(
                f"compile_step: {name} is {found(x)}, an array of another library; pass a NumPy array"
                + (" or a jax.Array" if self.engine == "xla" else "")
            )
        try:
            hash(x)
        except TypeError:
            raise CompiledStepError(
                f"compile_step: {name} is {found(x)}, which cannot be compared from call to call; pass "
                "arrays, nestings of tuples, lists and dicts, or settings (numbers, text, None)"
            ) from None
        return Argument(name, STATIC)

    def _donated(self, donate: str | int | Collection[str | int]) -> tuple[str, ...]:
        """The arguments named by `donate`, as messages call them."""
        given = [donate] if isinstance(donate, (str, int)) else list(donate)
        names = []
        for d in given:
            if isinstance(d, bool) or not isinstance(d, (str, int)):
                raise ValueTypeError(
                    f"compile_step: donate takes names or positions of arguments, got {found(d)}"
                )
            if isinstance(d, int):
                if d < 0 or (d >= len(self._names) and not self._open):
                    raise AttributeValueError(
                        f"compile_step: donate={d}: {described(self.fn)} takes the arguments "
                        f"{', '.join(self._names) or '(none)'}"
                    )
                names.append(self._names[d] if d < len(self._names) else f"argument {d}")
                continue
            if d not in self._names:
                hint = "; use its position" if self._open else ""
                raise AttributeValueError(
                    f"compile_step: donate={d!r}: {described(self.fn)} has no argument of this name, it "
                    f"takes {', '.join(self._names) or '(none)'}{hint}"
                )
            names.append(d)
        return tuple(names)

    def _gives(self, name: str) -> bool:
        return any(name == d or name.startswith((f"{d}[", f"{d}.")) for d in self._donate)

    # -- telling ----------------------------------------------------------------------------------------
    def _notice(
        self, arguments: Sequence[Argument], entries: Sequence[Any], program: _Compiled, place: object
    ) -> None:
        described_now: dict[str, object] = {
            a.name: x if a.kind is STATIC else (a.shape, a.dtype)
            for a, x in zip(arguments, entries, strict=True)
        }
        last, self._last = self._last, (described_now, program.function.graph)
        self._watch.compiled(place, lambda: _changed(last, described_now, program.function.graph))


def _changed(last: tuple[dict[str, object], Any] | None, now: dict[str, object], graph: Any) -> str:
    """What the last compilation but one and the last differ in, for a message."""
    assert last is not None
    before, old_graph = last
    for name, new in now.items():
        if name not in before:
            return f"argument {name} is new"
        old = before[name]
        if isinstance(old, tuple) and isinstance(new, tuple) and old != new:
            if old[0] != new[0]:
                return f"argument {name} changed shape, {old[0]} -> {new[0]}"
            return f"argument {name} changed dtype, {old[1]} -> {new[1]}"
        if type(old) is not type(new) or _exact(old) != _exact(new):
            return f"argument {name} changed, {_shown(old)} -> {_shown(new)}"
    for name in before:
        if name not in now:
            return f"argument {name} is gone"
    both = [([leaf.type for leaf in g.leaves], g.nodes) for g in (old_graph, graph)]
    return graphs_difference(both[0], both[1])


def _shown(x: object) -> str:
    return f"an array of shape {x[0]}" if isinstance(x, tuple) else found(x)


def _exact(x: object) -> object:
    """A key for something static: 0.0 is not -0.0, and nan is itself."""
    if isinstance(x, float) and (x == 0 or math.isnan(x)):
        return repr(x)
    return x


def _key(form: _Form, entries: Sequence[Any]) -> tuple[object, ...]:
    """What the programs of a form are told apart by."""
    arrays = [x for k in form.arrays for x in (entries[k].shape, entries[k].dtype)]
    return (*arrays, *[_exact(entries[k]) for k in form.static])


def _parameter_names(fn: Callable[..., Any]) -> tuple[list[str], bool]:
    """Names of the positional parameters, and whether there may be more."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return [], True
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [p.name for p in parameters if p.kind in places]
    names += [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    return names, any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)


def _backend(engine: str, scalar: Scalar | None) -> Any:
    """The module that runs steps on this engine."""
    if engine == "numpy":
        from prooftape.transforms import step_numpy

        return step_numpy
    if scalar is not None:
        _check_scalar(engine, scalar)
    try:
        import jax  # noqa: F401
    except ImportError:
        raise MissingExtraError(
            "compile_step compiles with XLA, which needs JAX: pip install 'prooftape[xla]'; engine='numpy' "
            "runs the recorded tape without it"
        ) from None
    from prooftape.xla import steps
    from prooftape.xla.making import _dispatch_at_once

    _dispatch_at_once()
    return steps


def _check_scalar(engine: str, scalar: Scalar) -> None:
    if engine == "xla":
        from prooftape.xla.making import SCALARS

        if scalar.name not in SCALARS:
            raise ScalarError(
                f"compile_step: XLA computes in {', '.join(SCALARS)}, not in {scalar.name}; "
                "use engine='numpy'"
            )


def compile_step(
    fn: Callable[..., Any],
    *,
    engine: str = "xla",
    scalar: str | Scalar | None = None,
    donate: str | int | Collection[str | int] = (),
) -> CompiledStep:
    """`fn` as a function that is recorded and compiled once per structure of its arguments.

    fn gets handles and returns handles, as with `grad`; it may be made by `grad`, `value_and_grad` and the
    others, and may call them. Its arguments may be nested in tuples, lists and dicts: float arrays are
    numbers, vectors of integers are naturals (labels, indices), boolean arrays are masks; anything else that
    can be hashed is a setting, and another value of it is another program. Results are read-only NumPy
    arrays, or device arrays if any argument is a device array (engine `xla`).

    engine: `xla` (extra `xla`), or `numpy`, which runs the recorded tape.
    scalar: the number type; by default it follows the arguments, as in `grad`.
    donate: names or positions of arguments whose device memory a call may take for its results.
    """
    return CompiledStep(fn, engine, scalar, donate)

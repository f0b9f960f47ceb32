"""Recording a function for `compile_step`: its arguments become leaves and naturals, its result node ids.

While it is recorded nothing has a value, so a function cannot put a number it has read into the program,
where it would stay the same for ever. What would do that is refused.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any, Final, NoReturn

import numpy as np

from prooftape.arrays.structure import Arr
from prooftape.errors import CompiledStepError, found
from prooftape.graph import Graph, Leaf
from prooftape.graph_function import MASK, NATURALS, NUMBERS, STATIC, Argument, Check, GraphFunction
from prooftape.handle_methods import TensorRef
from prooftape.handles import Handle, NatRef, NatVecRef
from prooftape.param import Param
from prooftape.recording import user_location
from prooftape.scalars import Scalar
from prooftape.session import Session
from prooftape.transforms.functional import _ENCLOSING
from prooftape.types import BOOL, REAL, TensorType

_ZEROS: Final = {REAL: np.zeros((), np.float32), BOOL: np.zeros((), np.bool_)}
AS_ARGUMENT: Final = "pass it to the step as an argument"


class StepSession(Session):
    """A session that records a step and holds no values."""

    def __init__(self, scalar: str | Scalar) -> None:
        self._taking = True
        super().__init__(scalar)

    def take(self, a: Argument, given: object) -> object:
        """The handle of an argument (what is static is passed through)."""
        if a.kind is STATIC:
            return given
        if a.kind is NATURALS:
            return super().input_nat_vec(np.asarray(given))
        dtype = BOOL if a.kind is MASK else REAL
        leaf = Leaf(TensorType.of(a.shape, dtype), a.name, False, "const" if a.kind is MASK else "input")
        return self._append_leaf(np.broadcast_to(_ZEROS[dtype], a.shape), leaf)

    def taken(self) -> None:
        """From here on the function runs."""
        self._taking = False

    # -- what a step cannot do --------------------------------------------------------------------------
    def _refuse(self, what: str, instead: str) -> NoReturn:
        where = user_location(2)
        at = f" [{where}]" if where else ""
        raise CompiledStepError(f"compile_step: {what} while the step is recorded{at}; {instead}")

    def _append_leaf(self, array: Arr, leaf: Leaf) -> TensorRef:
        if not self._taking and leaf.kind != "const":
            call = {"input": "input()", "param": "use()", "leaf": "add_leaf()"}.get(leaf.kind, leaf.kind)
            self._refuse(f"{call} was called", AS_ARGUMENT)
        return super()._append_leaf(array, leaf)

    def input_nat_vec(self, v: Any) -> NatVecRef:
        """Naturals that are an argument are recorded already; others are refused."""
        if isinstance(v, NatVecRef):
            self._check_handle(v, NatVecRef, "input_nat_vec")
            return v
        self._refuse("input_nat_vec() was called", AS_ARGUMENT + ", a NumPy vector of integers")

    def input_nat(self, n: int) -> NatRef:
        """Refused: see the class."""
        self._refuse("input_nat() was called", AS_ARGUMENT + ", a NumPy vector of one integer")

    def _read(self, what: str) -> NoReturn:
        self._refuse(f"{what} was asked for", "return the handle, and read the number from the step's result")

    def get_value(self, ref: TensorRef) -> Arr:
        """Refused: see the class."""
        self._read(f"the value of {self._operand('get_value', ref)._shown()}")

    def get_nat(self, ref: NatRef) -> int:
        """Refused: see the class."""
        self._read("a natural")

    def get_nat_vec(self, ref: NatVecRef) -> Any:
        """Refused: see the class."""
        self._read("a vector of naturals")

    def _write_nats(self, start: int, values: Any) -> None:
        self._refuse("naturals were overwritten", AS_ARGUMENT)

    def _evaluate(self, end: int) -> list[Arr]:
        self._read("a value")

    def _backward(self, out: TensorRef, seed: Arr | None) -> Any:
        self._refuse("a backward pass was asked for", "use pt.grad or pt.value_and_grad inside the step")

    def _jvp(self, out: TensorRef, tangents: list[Arr | None]) -> Arr:
        self._refuse("a tangent was asked for", "use pt.jvp inside the step")

    def reset_tape(self) -> None:
        """Refused: see the class."""
        self._refuse("reset_tape() was called", "a step is recorded once and needs no reset")

    @property
    def state(self) -> Any:
        """Refused: see the class."""
        self._read("the state of the session")

    def replay(self, scalar: str | Scalar) -> Session:
        """Refused: see the class."""
        self._read("a replay")


def described(fn: Callable[..., object]) -> str:
    """How messages name a function: `train [train.py:12]`."""
    name = getattr(fn, "__qualname__", None) or type(fn).__name__
    name = name.rpartition("<locals>.")[2]
    code = getattr(inspect.unwrap(fn), "__code__", None)
    if isinstance(code, CodeType):
        file = code.co_filename.replace("\\", "/").rpartition("/")[2]
        return f"{name} [{file}:{code.co_firstlineno}]"
    return name


def record(
    fn: Callable[..., Any],
    arguments: Sequence[Argument],
    given: Sequence[object],
    call: Callable[[Sequence[object]], Any],
    flatten: Callable[[Any], tuple[list[Any], Any]],
    scalar: str | Scalar,
) -> tuple[GraphFunction, list[object], Any]:
    """Run `fn` once on handles. Returns its graph, the result's entries and how they are nested.

    `call(entries)` is fn on the arguments with these entries; an entry of the result is an index into the
    graph's outputs, or what is the same at every call (None or text).
    """
    s = StepSession(scalar)
    kinds = (NUMBERS, MASK, NATURALS, STATIC)
    assert all(a.kind in kinds for a in arguments)
    taken: list[Argument] = []
    handles = []
    for a, x in zip(arguments, given, strict=True):
        handle = s.take(a, x)
        handles.append(handle)
        taken.append(a._replace(at=handle.id) if isinstance(handle, Handle) else a)
    s.taken()
    n_arguments = s._n_leaves
    others = [(other, other.generation, len(other)) for other in _sessions_in_reach(fn)]
    mark = _ENCLOSING.set((*_ENCLOSING.get(), s))
    try:
        result = call(handles)
    finally:
        _ENCLOSING.reset(mark)
    for other, generation, length in others:
        if (other.generation, len(other)) != (generation, length):
            raise CompiledStepError(
                f"compile_step: {described(fn)} records into {other!r}, a session of its surroundings; a "
                "step is recorded once, so that would happen at its first call only: use x.session"
            )
    outputs: list[int] = []
    entries, tree = flatten(result)
    for k, x in enumerate(entries):
        if isinstance(x, TensorRef):
            s._check_handle(x, TensorRef, f"compile_step: the result of {described(fn)}")
            entries[k] = len(outputs)
            outputs.append(x.id)
        elif x is not None and not isinstance(x, str):
            raise CompiledStepError(
                f"compile_step: {described(fn)} returned {found(x)}, which would be the same at every call; "
                "return handles (or None, or text): a constant is x.session.const(value)"
            )
    base = s._n_leaves
    constants = {i: s._leaf_values[i] for i in range(n_arguments, base)}
    graph = s.graph
    function = GraphFunction(graph, s.scalar, tuple(taken), constants, tuple(outputs), _checks(graph))
    return function, entries, tree


def _checks(graph: Graph) -> tuple[Check, ...]:
    """The checks of naturals that recording has made, to be made again at every call."""
    found, base = [], len(graph.leaves)
    for k, node in enumerate(graph.nodes, base):
        if node.call.op.record_check is not None:
            where = graph.location_of(k)
            slots = tuple(zip(node.nats, node.call.nat_sizes, strict=True))
            found.append(Check(node.call, slots, f" [{where}]" if where else ""))
    return tuple(found)


def _sessions_in_reach(fn: Callable[..., object]) -> list[Session]:
    """Sessions that a function sees around it: in its closure, or among the globals it names."""
    fn = inspect.unwrap(fn)
    code = getattr(fn, "__code__", None)
    if not isinstance(code, CodeType):
        return []
    seen: list[object] = []
    for cell in getattr(fn, "__closure__", None) or ():
        try:
            seen.append(cell.cell_contents)
        except ValueError:  # not assigned yet
            continue
    space = getattr(fn, "__globals__", {})
    seen += [space.get(name) for name in code.co_names]
    return [x for x in seen if isinstance(x, Session)]


def refusal(x: object, name: str) -> CompiledStepError | None:
    """Why something cannot be an argument of a step, None if it can."""
    if isinstance(x, Param):
        return CompiledStepError(
            f"compile_step: {name} is {found(x)}; a step takes arrays and returns arrays: pass param.value, "
            'or train with Session(engine="xla")'
        )
    if isinstance(x, Session):
        return CompiledStepError(f"compile_step: {name} is a Session; a step is recorded into one of its own")
    if isinstance(x, (np.random.Generator, np.random.RandomState)):
        return CompiledStepError(
            f"compile_step: {name} is a random generator, which would draw once, while recording; pass the "
            "numbers, or a key for dropout"
        )
    return None

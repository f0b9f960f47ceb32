"""Wrapping and unwrapping: which methods of a session belong to which phase.

A watched session gets timed versions of its methods as attributes of the object, which Python finds before
those of the class; the handles' operators, which belong to no session, are replaced in their class while any
profile runs. Sessions that nobody profiles keep running the code they always ran.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from prooftape.arrays.structure import Arr
from prooftape.grads import Grads
from prooftape.graph import Location
from prooftape.handle_methods import TensorRef
from prooftape.op_methods import OpMethods
from prooftape.tape import Instr, Tape

if TYPE_CHECKING:
    from prooftape.profiling.collect import Profile
    from prooftape.session import Session

METHODS: Final = {
    "inputs": "add_leaf input use input_nat input_nat_vec set_nat set_nat_vec",
    "record": "const constant_operand apply commit run_graph mk_idx mk_leaf_idx ref",
    "tangent": "_jvp",
    "read": "get_value _on_host",
    "update": "sgd_step_all _optimize _host_step",
}
"""Methods of a session by phase, besides the ops."""
NOT_OPS: Final = frozenset(["value", "numpy", "item"])
OPERATORS: Final = frozenset(
    f"__{kind}{name}__" for name in ["add", "sub", "mul", "truediv", "matmul", "pow"] for kind in ("", "r")
) | frozenset([f"__{name}__" for name in ["neg", "abs", "getitem", "eq", "ne", "lt", "le", "gt", "ge"]])


class _Stamped(Sequence[Instr]):
    """Instructions whose loop tells when it asks for the next one: the time between is one instruction's."""

    def __init__(self, profile: Profile, instrs: Sequence[Instr], locations: Sequence[Any], way: str) -> None:
        self._profile, self._instrs, self._locations, self._way = profile, instrs, locations, way

    def __len__(self) -> int:
        return len(self._instrs)

    def __getitem__(self, index: Any) -> Any:
        return self._instrs[index]

    def __iter__(self) -> Iterator[Instr]:
        return self._stamps(self._instrs) if self._way == "forward" else iter(self._instrs)

    def __reversed__(self) -> Iterator[Instr]:
        backwards = reversed(self._instrs)
        return self._stamps(backwards) if self._way == "backward" else backwards

    def _stamps(self, instrs: Any) -> Iterator[Instr]:
        done: list[tuple[Instr, float]] = []
        try:
            for instr in instrs:
                start = perf_counter()
                yield instr
                done.append((instr, perf_counter() - start))
        finally:
            self._profile.add_nodes(done, self._way, self._locations)


def watch(profile: Profile, s: Session) -> None:
    """Time the methods of this session."""
    clock, mine = profile.clock, s.__dict__
    names = [n for n in vars(OpMethods) if not n.startswith("_")]
    for phase, listed in ({"record": " ".join(names)} | METHODS).items():
        for name in listed.split() + (METHODS["record"].split() if phase == "record" else []):
            mine[name] = clock.timed(getattr(s, name), phase)
    reset, run, backward = s.reset_tape, s._run, s._backward

    def reset_tape() -> None:
        profile.next_step()
        timed_reset()
        clock.begun()

    timed_reset = clock.timed(reset, "record")

    def _run(instrs: Sequence[Instr], values: list[Arr]) -> None:
        run(_Stamped(profile, instrs, s._locations, "forward"), values)

    def _tape(end: int) -> Tape:
        return Tape(s._n_leaves, _Stamped(profile, s._compiled(end)[:end], s._locations, "backward"))

    def _backward(out: TensorRef, seed: Arr | None) -> Grads:
        grads = backward(out, seed)
        if s._xla is None:
            grads._compute_all = clock.timed(grads._compute_all, "backward")
        return grads

    mine["reset_tape"] = reset_tape
    mine["_run"] = clock.timed(_run, "forward")
    mine["_tape"] = _tape
    mine["_backward"] = clock.timed(_backward, "prepare" if s._xla is not None else "backward")
    if s._xla is not None:
        from prooftape.profiling.regions import watch_engine

        watch_engine(profile, s)


def unwatch(s: Session) -> None:
    """The session as it was."""
    names = [n for n in vars(OpMethods) if not n.startswith("_")]
    names += [n for listed in METHODS.values() for n in listed.split()]
    for name in (*names, "reset_tape", "_run", "_tape", "_backward"):
        s.__dict__.pop(name, None)
    if s._xla is not None:
        from prooftape.profiling.regions import unwatch_engine

        unwatch_engine(s)


class Shared:
    """What belongs to no session: operators and methods of handles, and reading gradients."""

    def __init__(self, profile: Profile) -> None:
        self.kept: list[tuple[type, str, Any]] = []
        self.profile = profile

    def wrap(self) -> None:
        """Replace the methods in their classes."""
        for name, fn in list(vars(TensorRef).items()):
            records = name in OPERATORS or not name.startswith("_")
            if isinstance(fn, FunctionType) and records and name not in NOT_OPS:
                self._replace(TensorRef, name, "record")
        read, moved = Grads.of_id, self.profile.moved["to_host"]

        def of_id(grads: Grads, id: int) -> Arr:
            found = read(grads, id)
            if type(grads) is not Grads:  # it was on a device
                moved.count += 1
                moved.bytes += found.nbytes
            return found

        self._replace(Grads, "of_id", "read", of_id)

    def _replace(self, owner: type, name: str, phase: str, instead: Any = None) -> None:
        fn = vars(owner)[name]
        self.kept.append((owner, name, fn))
        setattr(owner, name, self.profile.clock.timed(instead or fn, phase))

    def unwrap(self) -> None:
        """The classes as they were."""
        for owner, name, fn in reversed(self.kept):
            setattr(owner, name, fn)
        self.kept = []


def shown(where: Location | None) -> str:
    """`train.py:12`, or nothing."""
    return "" if where is None else str(where)

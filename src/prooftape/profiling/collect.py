"""`Profile`: what is collected while steps run, and what is made of it afterwards."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from prooftape.errors import ProofTapeError
from prooftape.graph import Location
from prooftape.profiling import report
from prooftape.profiling.clock import OTHER, PHASES, SELF, Clock, Step, sums, typical, wrapper_cost
from prooftape.profiling.watch import Shared, shown, unwatch, watch
from prooftape.tape import Instr

if TYPE_CHECKING:
    from prooftape.session import Session

_running: Profile | None = None


@dataclass
class NodeTime:
    """One node: seconds over all runs, forward and backward, and how many runs that were."""

    id: int
    op: str
    shape: str
    line: str
    forward: float = 0.0
    backward: float = 0.0
    runs: int = 0

    @property
    def seconds(self) -> float:
        """Forward and backward together."""
        return self.forward + self.backward


@dataclass(frozen=True)
class Region:
    """One operation of a compiled program: what it is called there, the nodes it covers, its time.

    seconds: of one run, measured when the program was run again; runs: how often it ran in the steps.
    nodes: (way, id) with way `forward` or `backward` -> how many of its instructions come from that node;
    those of no node, such as the update's, are under ("update", -1).
    """

    program: str
    name: str
    nodes: dict[tuple[str, int], int]
    label: str
    seconds: float
    runs: int


@dataclass
class Ran:
    """An XLA program that ran: how often, how long, and arguments to run it again with."""

    program: Any
    engine: Any
    arguments: Any
    locations: Sequence[Location | None]
    runs: int = 0
    seconds: list[float] = field(default_factory=list)  # of each run that compiled nothing


@dataclass(frozen=True)
class ProgramTime:
    """An XLA program: median seconds of a run in the steps (0 if all compiled), and when it was run again."""

    label: str
    runs: int
    seconds: float
    again: float


@dataclass
class Moved:
    """Transfers in one direction."""

    count: int = 0
    bytes: int = 0


@dataclass
class _Found:
    instr: Instr
    where: Location | None
    seconds: dict[str, float] = field(default_factory=lambda: {"forward": 0.0, "backward": 0.0})
    runs: dict[str, int] = field(default_factory=lambda: {"forward": 0, "backward": 0})


class Profile:
    """Use as `with s.profile() as p:`; then `print(p)`, `p.save("profile.svg")`, `p.nodes`, `p.json()`.

    phases: seconds by phase over all steps; they add up to `total`. nodes: one `NodeTime` per executed node,
    the most expensive first; update_seconds: what engine `xla` spent on no node. regions: with engine `xla`,
    one `Region` per operation of the compiled `programs`. moved: transfers to the device and to the host.
    notes: what could not be measured, and why.
    """

    def __init__(
        self, session: Session | None = None, *, nodes: bool = True, steps: int | None = None
    ) -> None:
        self.clock = Clock()
        self.regions: list[Region] = []
        self.moved = {"to_device": Moved(), "to_host": Moved()}
        self.programs: list[ProgramTime] = []
        self.update_seconds = 0.0
        self.notes: list[str] = []
        self.wrapper_seconds = 0.0
        self.engines: list[str] = []
        self.by_node = nodes
        self._limit = steps
        self._first = session
        self._sessions: WeakSet[Session] = WeakSet()
        self._shared = Shared(self)
        self._found: dict[tuple[int, int], _Found] = {}
        self._ran: dict[Any, Ran] = {}
        self._nodes: list[NodeTime] = []

    # -- switching on and off -------------------------------------------------------------------------
    def __enter__(self) -> Profile:
        global _running
        if _running is not None:
            raise ProofTapeError("profile: another profile is running; end it first")
        if self.clock.steps or self.clock.running:
            raise ProofTapeError("profile: this one is finished; make a new one with session.profile()")
        self.wrapper_seconds = wrapper_cost()
        _running = self
        self._shared.wrap()
        if self._first is not None:
            self.add(self._first)
        self.clock.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._first = None
        if self._ran and self.by_node and kind is not KeyboardInterrupt:
            from prooftape.profiling.regions import measure

            for ran in self._ran.values():
                measure(self, ran)
        self._ran = {}
        self._nodes += [_node_time(found) for found in self._found.values()]
        self._nodes.sort(key=lambda n: (-n.seconds, n.id))

    def add(self, s: Session) -> None:
        """Watch this session too."""
        clock = self.clock
        if clock.running:
            clock.enter(SELF)
        if s.engine not in self.engines:
            self.engines.append(s.engine)
        self._sessions.add(s)
        watch(self, s)
        if clock.running:
            clock.leave()

    def stop(self) -> None:
        """End the measurement; sessions and handles are as they were."""
        global _running
        if not self.clock.running:
            return
        self.clock.stop()
        self._shared.unwrap()
        for s in list(self._sessions):
            unwatch(s)
        _running = None

    def next_step(self) -> None:
        """A session is about to forget its recording: what came before is one step."""
        clock = self.clock
        if not clock.running or not clock.is_mine():
            return
        clock.split()
        if self._limit is not None and sum(1 for step in clock.steps if step.calls) >= self._limit:
            self.stop()

    # -- what the wrappers hand in --------------------------------------------------------------------
    def add_nodes(
        self, done: list[tuple[Instr, float]], way: str, locations: Sequence[Location | None]
    ) -> None:
        """Seconds of instructions that have just run, forward or backward."""
        clock = self.clock
        if not clock.running or not clock.is_mine():
            return
        clock.enter(SELF)
        table = self._found
        for instr, seconds in done:
            key = (instr.out, id(instr.call))  # `instr` is kept, so the number stays its call's
            found = table.get(key)
            if found is None:
                where = locations[instr.out] if instr.out < len(locations) else None
                found = table[key] = _Found(instr, where)
            found.seconds[way] += seconds
            found.runs[way] += 1
        clock.leave()

    def ran(self, program: Any, engine: Any, keep: Callable[[], Any] | None, s: Session) -> Ran:
        """The entry of an XLA program that is about to run."""
        found = self._ran.get(program)
        if found is None:
            locations = s._track.recorded.locations if s._set is not None and s._track else s._locations
            found = Ran(
                program, engine, keep() if keep is not None and self.by_node else None, list(locations)
            )
            self._ran[program] = found
        return found

    def add_node_time(self, node: NodeTime) -> None:
        """The time of a node, found by running its program again."""
        self._nodes.append(node)

    # -- results --------------------------------------------------------------------------------------
    @property
    def steps(self) -> list[Step]:
        """What happened between one `reset_tape` and the next, each with phases in seconds."""
        return [step for step in self.clock.steps if step.calls]

    @property
    def total(self) -> float:
        """Seconds from the first line of the `with` block to the last."""
        return sum(step.duration for step in self.clock.steps)

    @property
    def phases(self) -> dict[str, float]:
        """Seconds by phase over everything; they add up to `total`."""
        found: Counter[str] = sums(self.clock.steps)
        return {name: found[name] for name in PHASES if name in found or name in (OTHER, SELF)}

    @property
    def nodes(self) -> list[NodeTime]:
        """Every node that was executed, the most expensive first."""
        return list(self._nodes)

    def typical(self) -> tuple[Step | None, int, str]:
        """A step of median duration, of how many, and of which kind."""
        return typical(self.clock.steps)

    def __str__(self) -> str:
        return "\n".join(report.lines(self))

    def __repr__(self) -> str:
        return f"<Profile: {len(self.steps)} steps in {self.total:.3g} s; print it, or save(path) a picture>"

    def json(self) -> dict[str, Any]:
        """Everything as plain data."""
        return report.as_data(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Draw the picture into a file (svg, png or pdf, by its ending); `.json` writes the data. Atomic."""
        report.save(self, path)


def running() -> Profile | None:
    """The profile that is switched on."""
    return _running


def _node_time(found: _Found) -> NodeTime:
    call, out = found.instr.call, found.instr.out
    ways = found.seconds
    where = shown(found.where)
    runs = max(found.runs.values())
    return NodeTime(out, call.op.name, str(call.out), where, ways["forward"], ways["backward"], runs)

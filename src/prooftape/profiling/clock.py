"""One clock for all phases: at any moment exactly one phase runs, so the phases' times add up to the whole.

The clock is stopped while it writes down a change of phase, so its own work is a phase of its own. What
stays in the figures is the call of a wrapper, measured by `wrapper_cost`.
"""

from __future__ import annotations

import functools
import statistics
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import get_ident
from time import perf_counter
from typing import Any, Final

OTHER: Final = "other"
SELF: Final = "profile"
PHASES: Final = {
    "inputs": "inputs and parameters into the graph",
    "record": "recording ops",
    "forward": "forward",
    "backward": "backward",
    "tangent": "forward mode",
    "program": "running XLA programs",
    "update": "updating parameters",
    "to_device": "host to device",
    "read": "reading values (to the host)",
    "prepare": "preparing programs",
    "compile": "compiling (first calls)",
    OTHER: "everything else (your code)",
    SELF: "this profile",
}
"""Every phase and what it is called, in the order of the table."""

MAX_SEGMENTS: Final = 200_000
"""Beyond so many segments only sums are kept."""

Segment = tuple[str, float, float]


@dataclass
class Step:
    """What happened between two calls of `reset_tape`: phases in order, and their sums in seconds."""

    start: float
    end: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    segments: list[Segment] = field(default_factory=list)
    calls: int = 0

    @property
    def duration(self) -> float:
        """From one reset to the next, in seconds."""
        return self.end - self.start


class Clock:
    """See the module docstring. It times the thread that made it; calls from others pass unseen."""

    def __init__(self) -> None:
        self.thread = get_ident()
        self.phase = OTHER
        self.steps: list[Step] = []
        self._above: list[str] = []
        self._segments: list[Segment] = []
        self._kept = 0
        self._lost = 0.0
        self._step = Step(0.0)
        self._mark = 0.0
        self.running = False

    def is_mine(self) -> bool:
        """Whether this is the thread that is timed."""
        return get_ident() == self.thread

    def start(self) -> None:
        """Begin the first step."""
        self._mark = perf_counter()
        self._step = Step(self._mark)
        self.running = True

    def stop(self) -> None:
        """End the last step."""
        self.split()
        self.running = False

    def enter(self, phase: str) -> None:
        """From here on `phase` runs."""
        now = perf_counter()
        self._segments.append((self.phase, self._mark, now))
        self._above.append(self.phase)
        self.phase = phase
        self._step.calls += phase is not SELF
        self._mark = mark = perf_counter()
        self._lost += mark - now

    def leave(self) -> None:
        """Back to the phase before."""
        now = perf_counter()
        self._segments.append((self.phase, self._mark, now))
        self.phase = self._above.pop()
        self._mark = mark = perf_counter()
        self._lost += mark - now

    def begun(self) -> None:
        """The reset that begins a step is over; one in which nothing else happens counts for nothing."""
        if self.is_mine():
            self._step.calls = 0

    def split(self) -> None:
        """End a step and begin the next."""
        now = perf_counter()
        self._segments.append((self.phase, self._mark, now))
        step, found = self._step, self._segments
        step.end = now
        for phase, a, b in found:
            step.seconds[phase] = step.seconds.get(phase, 0.0) + (b - a)
        step.seconds[SELF] = step.seconds.get(SELF, 0.0) + self._lost
        if self._kept + len(found) <= MAX_SEGMENTS:
            step.segments = found
            self._kept += len(found)
        self.steps.append(step)
        self._segments, self._lost = [], perf_counter() - now
        self._step = Step(now)
        self._mark = now + self._lost

    def timed(self, fn: Callable[..., Any], phase: str) -> Callable[..., Any]:
        """`fn`, run in this phase; its inner calls of the same phase cost nothing more."""

        def call(*args: Any, **kwargs: Any) -> Any:
            if self.phase is phase or get_ident() != self.thread or not self.running:
                return fn(*args, **kwargs)
            self.enter(phase)
            try:
                return fn(*args, **kwargs)
            finally:
                self.leave()

        # messages name the function that a user has called by the name of its code
        name = getattr(fn, "__name__", "call")
        call.__code__ = call.__code__.replace(co_name=name)
        functools.update_wrapper(call, fn)
        return call


def wrapper_cost(calls: int = 2000) -> float:
    """Seconds that one timed call adds to the figures around it (the clock itself stands still)."""

    def nothing() -> None:
        return None

    found = []
    for _ in range(5):
        clock = Clock()
        wrapped = clock.timed(nothing, "record")
        start = perf_counter()
        for _ in range(calls):
            nothing()
        plain = perf_counter() - start
        clock.start()
        for _ in range(calls):
            wrapped()
        clock.stop()
        (step,) = clock.steps
        found.append((step.duration - step.seconds[SELF] - plain) / calls)
    return max(0.0, min(found))


def sums(steps: list[Step]) -> Counter[str]:
    """Seconds per phase over all steps."""
    total: Counter[str] = Counter()
    for step in steps:
        total.update(step.seconds)
    return total


def typical(steps: list[Step]) -> tuple[Step | None, int, str]:
    """A step of median duration, of how many, and which those are: the ones that show what a step costs."""
    lived = [s for s in steps if s.calls]
    if not lived:
        return None, 0, "steps"
    trained = [s for s in lived if s.seconds.get("update", 0) or s.seconds.get("backward", 0)]
    chosen, what = (trained, "training steps") if trained else (lived, "steps")
    warm = [s for s in chosen if not s.seconds.get("compile", 0)]
    if warm and len(warm) < len(chosen):
        chosen, what = warm, f"{what} that compiled nothing"
    middle = statistics.median_low([s.duration for s in chosen])
    found = [s for s in chosen if s.duration == middle]
    return next((s for s in found if s.segments), found[0]), len(chosen), what

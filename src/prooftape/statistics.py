"""What a session counts: `session.stats()`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts since the session was made.

    replays: recordings that were expected to repeat an earlier one.
    fallbacks: replays that ended early: a call differed, or something was read before the last call.
    last_fallback: which step, what was expected there and what came; None if there was none.
    tracks: different graphs that are expected to come again.
    hits, misses: programs an engine had, and had to make.
    compiles, compile_seconds: programs compiled, and the time that took.
    undivided: with several devices, why the last gradients were not put together from the devices' own parts
        (docs/parallel.md); None if they were.
    """

    replays: int = 0
    fallbacks: int = 0
    last_fallback: str | None = None
    tracks: int = 0
    hits: int = 0
    misses: int = 0
    compiles: int = 0
    compile_seconds: float = 0.0
    undivided: str | None = None

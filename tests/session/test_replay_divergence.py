"""Recordings that are almost those expected: a session that replays gives what one that does not gives.

Each program is recorded until a track of it exists, then programs that differ from it in one place follow.
Compared: ids, types and generations of all handles, graphs, values, gradients, parameters after training
(bit for bit), and errors with their texts.
"""

from __future__ import annotations

import random

import pytest
from replay_programs import near_miss, program, run


def diverge(seed: int, engine: str = "numpy") -> tuple[int, int]:
    """Replays and fallbacks of one program and its near misses; asserts that nobody can tell."""
    rng = random.Random(seed)
    base = program(rng, rng.randint(2, 14), engine)
    miss, other, third = (near_miss(rng, base) for _ in range(3))
    programs = [base, base, base, miss, other, base, base, third, base]
    if rng.random() < 0.3:
        programs += [miss, miss, miss, near_miss(rng, miss), base]
    replayed = run(programs, seed, counted=True, engine=engine)
    plain = run(programs, seed, counted=False, engine=engine)
    assert plain.s.stats().replays == 0
    for at, (found, expected) in enumerate(zip(replayed.log, plain.log, strict=False)):
        assert found == expected, (seed, at)
    assert len(replayed.log) == len(plain.log), seed
    stats = replayed.s.stats()
    return stats.replays, stats.fallbacks


def many(seeds: range) -> None:
    counts = [diverge(seed) for seed in seeds]
    replays, fallbacks = (sum(column) for column in zip(*counts, strict=True))
    assert replays > 2 * len(seeds)  # else nothing was compared
    assert len(seeds) < fallbacks < replays  # some differed, some did not


def test_near_misses_fall_back_to_what_was_said() -> None:
    many(range(100))


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(8))
def test_thousands_of_near_misses(chunk: int) -> None:
    many(range(1000 + 400 * chunk, 1400 + 400 * chunk))

"""One way to misuse the public API, the world it happens in, and what must come of it.

`Misuse` holds a call that must raise, the error's class, and its whole message (line numbers replaced by N).
`World` is the session it happens in: leaves of many shapes, naturals, a mask and (unless `leaves_only`) ops.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import prooftape as pt


class World:
    """A float64 session (or another scalar's) with named leaves, and a second session with one leaf."""

    def __init__(self, scalar: str = "float64", leaves_only: bool = False, **settings: Any) -> None:
        self.s = s = pt.Session(scalar, **settings)
        counts = np.arange(1, 101)
        self.W = s.param(counts[:6].reshape(2, 3), name="W")
        self.w = s.use(self.W)
        self.x = s.input(counts[:12].reshape(3, 4), "x", requires_grad=True)
        self.v = s.input(counts[:3], "v", requires_grad=True)
        self.u = s.input(counts[:4], "u")
        self.c = s.input(2, "c")
        self.t3 = s.input(counts[:24].reshape(2, 3, 4), "t3")
        self.empty = s.input(np.zeros((0, 4), int), "empty")
        self.image = s.input(counts[:50].reshape(2, 5, 5), "image")
        self.kernel = s.input(np.ones((3, 2, 3, 3), int), "kernel")
        self.unnamed = s.input(counts[:5])
        self.mask = s.const(np.array([True, False, True]), "mask")
        self.n = s.input_nat(1)
        self.labels = s.input_nat_vec([0, 3, 2])
        self.other = pt.Session(scalar)
        self.Z = self.other.param(np.ones((2, 3), int), name="Z")
        self.z = self.other.use(self.Z)
        self.other_n = self.other.input_nat(0)
        if not leaves_only:
            self.loss = s.sum(s.square(self.w))

    def snapshot(self) -> tuple[object, ...]:
        """All that a failing call must leave as it was."""
        return tuple(self._session(s, p) for s, p in ((self.s, self.W), (self.other, self.Z)))

    @staticmethod
    def _session(s: pt.Session, p: pt.Param) -> tuple[object, ...]:
        values = [repr(np.asarray(s._values[i]).tolist()) for i in range(s._n_leaves)]
        return (
            s.state, s.graph.text(), list(s.graph.locations or ()), values, len(s), s._generation,
            s._first_nat_node, dict(s._params), len(s._compiled(len(s._nodes))),
            p.value.tolist(), p.name, p.requires_grad,
        )  # fmt: skip


@dataclass(frozen=True)
class Misuse:
    """`do(world)` must raise `error` with `message`; with `given`, `do(world, given(world))`.

    Not `readable`: what was recorded has no value in this scalar, so that later values cannot be read either.
    """

    name: str
    do: Callable[..., object]
    error: type[Exception]
    message: str
    given: Callable[[World], object] | None = None
    world: Callable[[], World] = World
    readable: bool = True


LINE = re.compile(r"(\w+\.py):\d+")


def without_line_numbers(message: str) -> str:
    """`x [train.py:12]` as `x [train.py:N]`: the file is part of a message, the line changes with edits."""
    return LINE.sub(r"\1:N", message)


def fresh() -> World:
    """No op recorded yet, so leaves can still be added."""
    return World(leaves_only=True)


def rational() -> World:
    """Exact rationals."""
    return World("rational")


def modular() -> World:
    """The field of 7 elements."""
    return World("modular(7)")


def strict() -> World:
    """Values outside an op's domain raise."""
    return World(domain="raise")

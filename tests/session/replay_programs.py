"""Random programs over a session, and what a session that never replays makes of them.

A program is a list of calls as data, so that one place of it can be changed: another op, operand, attribute,
leaf, read, … It is run several times on one session, every time after `reset_tape()`. Everything a user could
see is written into a log; the log of a session that replays must be that of one that does not.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from replay_forms import ALL, AXES, INDICES, LABELS, NUMBERS, READS, SHAPES, UNARY, World, fixed, shown

import prooftape as pt
from prooftape import replaying

LINE = re.compile(r" ?\[[^\[\]]*:\d+\]|recorded at \S+")
"""Source lines: a replayed handle has those of the first recording (documented)."""


@dataclass(frozen=True)
class Call:
    """One call: its form, which earlier results it takes (counted from the first), and its other data."""

    form: str
    refs: tuple[int, ...] = ()
    data: tuple[Any, ...] = ()


def data(rng: random.Random, kind: str) -> tuple[Any, ...]:
    """Data for a call of this kind."""
    if kind == "number":
        return (rng.choice(NUMBERS),)
    if kind == "axis":
        return (rng.choice(AXES),)
    if kind == "index":
        return (rng.choice(INDICES),)
    if kind == "array":
        return (rng.randint(0, 3), rng.choice(("float32", "float64", "int64")))
    if kind == "shape":
        return (rng.choice(SHAPES),)
    if kind == "optional":
        return (rng.choice((1e-5, 1e-3, 1)),)
    if kind == "leaf":
        shape = rng.choice(((2, 3), (2, 3), (2, 3), (3, 3), (3,), ()))
        return (shape, rng.randint(0, 4), rng.choice((None, "a", "b")), rng.choice((True, False)))
    if kind == "nats":
        return (rng.choice(LABELS),)
    return ()


ALIKE: dict[str, tuple[tuple[Any, ...], ...]] = {
    "number": (
        (1, 1.0, True, np.float64(1)),
        (0, 0.0, -0.0, False),
        (0.5, np.float32(0.5), -0.5),
        (2, 2.0, 3.0),
    ),
    "axis": ((0, -2, False, (0,), [0], 0.0), (1, -1, True, (1,), 1.0), ((0, 1), [0, 1], [1, 0], None)),
    "index": (
        (0, -2, False, (0,), [0]),
        (1, -1, True, slice(1, 2)),
        (slice(None), ..., slice(0, 2), slice(0, 1)),
    ),
    "shape": (((2, 3), (3, 2)), ((6,), (-1,), (1, 6)), ((3, 3), (9,))),
    "nats": (([0, 1], [1, 0], [99, 0], [2, 2], [1, 99]), ([0], [1], [99]), ([], [0])),
}
"""Data that are easily taken for one another: `1 == 1.0 == True`, `0.0 == -0.0`."""


def alike(rng: random.Random, kind: str, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Other data that look like these."""
    for group in ALIKE.get(kind, ()):
        if any(repr(x) == repr(given[0]) for x in group):
            return (rng.choice(group),)
    return data(rng, kind)


TAKES = {"unary": 1, "binary": 2, "optional": 2, "leaf": 0, "nats": 0, "nat": 2, "read": 1}


def do(w: World, call: Call) -> None:
    """Run one call; what it returns or raises goes into the log."""
    _, form = ALL[call.form]
    try:
        out = form(w, *[w.results[r] for r in call.refs], *call.data)
    except Exception as e:  # noqa: BLE001  (whatever it is, both sessions have to raise it)
        w.results.append(None)
        w.log.append((type(e), LINE.sub("", str(e))))
        return
    w.results.append(out)
    if isinstance(out, pt.TensorRef):
        w.log.append((out.id, str(out.type), out.generation, out.session is w.s))
    else:
        w.log.append(repr(out))


def world(engine: str) -> World:
    s, other = pt.Session(engine=engine), pt.Session()
    shapes = ((2, 3), (2, 3), (3, 3))
    return World(s, other, [s.param(fixed(shape, k), f"p{k}") for k, shape in enumerate(shapes)])


def draw_call(rng: random.Random, w: World, kinds: list[str]) -> Call:
    """A call that the world could make next."""
    kind = rng.choice(kinds)
    name = rng.choice([n for n, (k, _) in ALL.items() if k == kind])
    here = [i for i, x in enumerate(w.results) if isinstance(x, pt.TensorRef)]
    naturals = [i for i, x in enumerate(w.results) if isinstance(x, (pt.NatRef, pt.NatVecRef))]
    refs = tuple(rng.choice(here) if here else 0 for _ in range(TAKES.get(kind, 1)))
    if kind == "nat":
        refs = (refs[0], rng.choice(naturals or [0]))
    return Call(name, refs, data(rng, kind))


BODY = ["unary", "binary", "number", "axis", "index", "array", "shape", "optional", "nat"]


def program(rng: random.Random, length: int, engine: str = "numpy") -> list[Call]:
    """A program most of whose calls succeed."""
    w, calls = world(engine), []

    def grow(kinds: list[str], wanted: Callable[[Any], bool]) -> None:
        for _ in range(30):
            call = draw_call(rng, w, kinds)
            n = len(w.log)
            do(w, call)
            if len(w.log) == n + 1 and wanted(w.results[-1]):
                calls.append(call)
                return
            del w.results[len(calls) :], w.log[n:]

    calls.append(Call("leaf: input", (), ((2, 3), 0, "x", True)))
    do(w, calls[0])
    if rng.random() < 0.5:
        calls.append(Call("nats: nat_vec", (), ([0, 1],)))
        do(w, calls[-1])
    for _ in range(rng.randint(1, 4)):
        grow(["leaf", "leaf", "nats"], lambda out: out is not None)
    calls.append(Call("leaf: use", (), ((2, 3), 0, None, True)))
    do(w, calls[-1])
    for _ in range(length):
        grow(BODY, lambda out: isinstance(out, pt.TensorRef) and out.size < 100)
    return calls


def near_miss(rng: random.Random, calls: list[Call]) -> list[Call]:
    """The program with one thing changed."""
    calls = list(calls)
    k = rng.randrange(len(calls))
    if rng.random() < 0.2:  # naturals are few
        k = next((i for i, c in enumerate(calls) if c.form.startswith("nats: nat_vec")), k)
    call = calls[k]
    kind = ALL[call.form][0]
    what = rng.choice(
        ("form", "refs", "data", "data", "data", "drop", "extra", "read", "swap", "end", "repeat")
    )
    if what == "form":
        calls[k] = replace(call, form=rng.choice([n for n, (other, _) in ALL.items() if other == kind]))
    elif what == "refs" and call.refs:
        refs = list(call.refs)
        refs[rng.randrange(len(refs))] = rng.randrange(max(1, k))
        calls[k] = replace(call, refs=tuple(reversed(call.refs)) if rng.random() < 0.3 else tuple(refs))
    elif what == "data" and call.data:
        new, i = alike(rng, kind, call.data), rng.randrange(len(call.data))
        calls[k] = replace(call, data=(*call.data[:i], new[i], *call.data[i + 1 :]))
    elif what == "drop":
        del calls[max(1, k) :]
    elif what == "end":
        calls += [Call("unary: s.tanh", (rng.randrange(len(calls)),)) for _ in range(2)]
    elif what == "swap" and k + 1 < len(calls):
        calls[k], calls[k + 1] = calls[k + 1], calls[k]
    elif what == "repeat":
        calls.append(calls[k])
    else:
        # in place of a call, or as one more; those behind take other operands then, or the same ones
        name = rng.choice(list(READS)) if what != "extra" else None
        new_call = (
            Call(f"read: {name}", (rng.randrange(max(1, k)),))
            if name is not None
            else Call(f"unary: {rng.choice(list(UNARY))}", (rng.randrange(max(1, k)),))
        )
        if rng.random() < 0.5:
            calls[k] = new_call
        else:
            shifted = [replace(c, refs=tuple([r + (r >= k) for r in c.refs])) for c in calls[k:]]
            calls = [*calls[:k], new_call, *shifted]
    return calls


def finish(w: World, rng: random.Random) -> None:
    """Read everything, or something, or nothing; perhaps train."""
    how = rng.choice(("all", "all", "step", "some", "nothing"))
    refs = [x for x in w.results if isinstance(x, pt.TensorRef) and x.dtype == "real"]
    alive = [x for x in refs if x.session is w.s and w.s._holds(x._token)]
    if how == "nothing" or not alive:
        return
    if how == "all":
        w.log.append(str(w.s.graph))
        w.log.append([shown(x.value) for x in alive])
        w.log.append([int(n) for n in w.s.state.nats])
    if how == "some":
        w.log.append(shown(rng.choice(alive).value))
        return
    out = alive[-1]
    try:
        grads = w.s.backward_scalar_dense_all(w.s.sum(out))
        w.log.append([shown(grads[x]) for x in alive])
        w.s.sgd_step_all(0.125, grads)
    except Exception as e:  # noqa: BLE001
        w.log.append((type(e), LINE.sub("", str(e))))
    w.log.append([shown(p.value) for p in w.params])


def run(programs: list[list[Call]], seed: int, counted: bool, engine: str = "numpy") -> World:
    """The programs one after another on one session; `counted=False` makes it one that never replays."""
    before, replaying.COUNTED = replaying.COUNTED, counted and replaying.COUNTED
    try:
        with np.errstate(all="ignore"):
            w, rng = world(engine), random.Random(seed)
            for w.step, calls in enumerate(programs):
                w.results = []
                w.s.reset_tape()
                for call in calls:
                    do(w, call)
                finish(w, rng)
                keep(w, rng)
            return w
    finally:
        replaying.COUNTED = before


def keep(w: World, rng: random.Random) -> None:
    """Hold on to the handles of this step: all, some, one in a cycle, or none."""
    handles = [x for x in w.results if isinstance(x, pt.TensorRef)]
    how = rng.choice(("none", "none", "none", "all", "one", "cycle", "forget"))
    if how == "all" and handles:
        w.old.append(handles)
    elif how == "one" and handles:
        w.old.append([rng.choice(handles)])
    elif how == "cycle" and handles:
        ring: list[Any] = [rng.choice(handles)]
        ring.append(ring)
    elif how == "forget":
        w.old.clear()

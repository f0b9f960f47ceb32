"""What does recording one op cost, in Python, before anything is evaluated?

Each op of the mix is recorded 2,000 times in a row on small operands (shapes are checked, handles are made,
the node is committed), and then all of them in turn, as a program mixes them. No value is read. The loop
itself and the call of a method are in the figures; the row "empty method" says how much that is.

Two columns: recorded the first time, by a fresh session; and replayed, by a session that has recorded the
same graph before. Both include `reset_tape()` and the five leaves, divided among the ops.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import harness
from harness import Table, Timer

harness.pin()

import numpy as np  # noqa: E402  (after pinning: BLAS reads its thread count when it is loaded)

if TYPE_CHECKING:
    import prooftape as pt

COUNT = 2_000
PACKAGES = ("prooftape", "numpy")


class Leaves:
    """A fresh tape with the operands of the mix: vectors of 4, matrices (4, 4), three labels."""

    def __init__(self, session: pt.Session) -> None:
        vector, matrix = np.linspace(1, 2, 4, dtype=np.float32), np.eye(4, dtype=np.float32)
        session.reset_tape()
        self.session = session
        self.x, self.y = session.input(vector, requires_grad=True), session.input(vector)
        self.m, self.n = session.input(matrix, requires_grad=True), session.input(matrix)
        self.labels = session.input_nat_vec([0, 1, 2, 3])

    def empty(self, handle: object) -> object:
        return handle


Recorder = Callable[[Leaves], object]

MIX: dict[str, Recorder] = {
    "relu(x)": lambda t: t.session.relu(t.x),
    "add(x, y)": lambda t: t.session.add(t.x, t.y),
    "mul(x, y)": lambda t: t.session.mul(t.x, t.y),
    "tanh(x)": lambda t: t.session.tanh(t.x),
    "scale(x, 0.5)": lambda t: t.session.scale(t.x, 0.5),
    "x + y": lambda t: t.x + t.y,
    "x * y": lambda t: t.x * t.y,
    "x * 2.0": lambda t: t.x * 2.0,
    "-x": lambda t: -t.x,
    "m @ n": lambda t: t.m @ t.n,
    "m + x (broadcast)": lambda t: t.m + t.x,
    "matmul(m, n)": lambda t: t.session.matmul(t.m, t.n),
    "linear(m, x, n)": lambda t: t.session.linear(t.m, t.x, t.n),
    "softmax(m)": lambda t: t.session.softmax(t.m),
    "softmax(m, axis=0)": lambda t: t.session.softmax(t.m, axis=0),
    "layer_norm(m, x, y)": lambda t: t.session.layer_norm(t.m, t.x, t.y),
    "reshape(m, (2, 8))": lambda t: t.session.reshape(t.m, (2, 8)),
    "sum(m)": lambda t: t.session.sum(t.m),
    "cross_entropy(m, labels)": lambda t: t.session.cross_entropy(t.m, t.labels),
}
MORE: dict[str, Recorder] = {
    "m + 1.0": lambda t: t.m + 1.0,
    "m.reshape(2, 8)": lambda t: t.m.reshape(2, 8),
    "m.sum(axis=0)": lambda t: t.m.sum(axis=0),
    "m.sum(axis=0, keepdims=True)": lambda t: t.m.sum(axis=0, keepdims=True),
    "m[0]": lambda t: t.m[0],
    "m[1:, :2]": lambda t: t.m[1:, :2],
    "concat([x, y])": lambda t: t.session.concat([t.x, t.y]),
    "x.tanh()": lambda t: t.x.tanh(),
}
"""Recorded too, but not part of "all of the above": that mix stays as it was."""
FLOOR = "empty method"
AVERAGE = "the first 19, in turn"
CHAIN = "tanh(a * h + b) * c, 1,000 ops"


def mixed(recorders: list[Recorder]) -> Callable[[pt.Session], int]:
    """Record all of them in turn, 2,000 ops or nearly; returns how many."""
    passes = max(1, COUNT // len(recorders))

    def record_all(session: pt.Session) -> int:
        leaves = Leaves(session)
        for _ in range(passes):
            for record in recorders:
                record(leaves)
        return passes * len(recorders)

    return record_all


def chain(session: pt.Session) -> int:
    """A long elementwise chain of operators and one method."""
    leaves = Leaves(session)
    h, a, b, c = leaves.x, leaves.y, leaves.x, leaves.y
    for _ in range(250):
        h = session.tanh(a * h + b) * c
    return 1_000


def timed(record_all: Callable[[pt.Session], int], replays: bool = True) -> Callable[[Timer], None]:
    import prooftape as pt

    again = pt.Session(scalar="float32")
    for _ in range(4):  # two recordings, then two sets of handles
        record_all(again)

    def run(timer: Timer) -> None:
        fresh = pt.Session(scalar="float32")
        with timer("record"):
            count = record_all(fresh)
        before = again.stats()
        with timer("replay"):
            record_all(again)
        after = again.stats()
        if replays and (after.replays, after.fallbacks) != (before.replays + 1, before.fallbacks):
            raise RuntimeError(f"not replayed: {after}")
        for clock in (timer.wall, timer.cpu):
            clock["record"] /= count
            clock["replay"] /= count

    return run


def measure(rounds: int) -> Table:
    ops = {**MIX, **MORE}
    runs = {name: timed(mixed([record])) for name, record in ops.items()}
    runs[AVERAGE] = timed(mixed(list(MIX.values())))
    runs[CHAIN] = timed(chain)
    runs[FLOOR] = timed(mixed([lambda t: t.empty(t.x)]), replays=False)
    return harness.interleave(runs, rounds)


def figures(samples: harness.Samples) -> tuple[str, str]:
    """Median and range in microseconds."""
    each = [1e6 * t for t in samples.cpu]
    return f"{1e6 * samples.median:.2f}", f"{min(each):.2f} to {max(each):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print JSON; write no file")
    parser.add_argument("--dry-run", action="store_true", help="print the table; write no file")
    given = parser.parse_args()
    table = measure(given.rounds)
    data = {
        "ops": {name: phases["record"].summary() for name, phases in table.items()},
        "replayed": {name: phases["replay"].summary() for name, phases in table.items()},
    }
    if given.json:
        print(json.dumps(data))
        return
    rows = []
    for name, phases in table.items():
        shown = f"`{name}`" if name in MIX or name in MORE else name
        rows.append([shown, *figures(phases["record"]), *figures(phases["replay"])])
    heads = ["recorded", "the first time, median", "range", "replayed, median", "range"]
    body = "Microseconds an op.\n\n" + harness.markdown_table(heads, rows)
    if given.dry_run:
        print(body)
        return
    print(harness.write_report("recording", "What does recording one op cost?", body, data, PACKAGES))


if __name__ == "__main__":
    main()

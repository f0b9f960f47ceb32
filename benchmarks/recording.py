"""What does recording one op cost, in Python, before anything is evaluated?

Each op of the mix is recorded 2,000 times in a row on small operands (shapes are checked, handles are made,
the node is committed), and then all of them in turn, as a program mixes them. No value is read. The loop
itself and the call of a method are in the figures; the row "empty method" says how much that is.
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
FLOOR = "empty method"
AVERAGE = "all of the above, in turn"


def timed(recorders: list[Recorder]) -> Callable[[Timer], None]:
    import prooftape as pt

    session = pt.Session(scalar="float32")
    passes = max(1, COUNT // len(recorders))

    def run(timer: Timer) -> None:
        leaves = Leaves(session)
        with timer("record"):
            for _ in range(passes):
                for record in recorders:
                    record(leaves)
        for clock in (timer.wall, timer.cpu):
            clock["record"] /= passes * len(recorders)

    return run


def measure(rounds: int) -> Table:
    runs = {name: timed([record]) for name, record in MIX.items()}
    runs[AVERAGE] = timed(list(MIX.values()))
    runs[FLOOR] = timed([lambda t: t.empty(t.x)])
    return harness.interleave(runs, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print JSON; write no file")
    parser.add_argument("--dry-run", action="store_true", help="print the table; write no file")
    given = parser.parse_args()
    table = measure(given.rounds)
    data = {"ops": {name: phases["record"].summary() for name, phases in table.items()}}
    if given.json:
        print(json.dumps(data))
        return
    rows = []
    for name, phases in table.items():
        each = [1e6 * t for t in phases["record"].cpu]
        median = 1e6 * phases["record"].median
        rows.append(
            [f"`{name}`" if name in MIX else name, f"{median:.2f}", f"{min(each):.2f}", f"{max(each):.2f}"]
        )
    body = harness.markdown_table(["recorded", "microseconds an op, median", "smallest", "largest"], rows)
    if given.dry_run:
        print(body)
        return
    print(harness.write_report("recording", "What does recording one op cost?", body, data, PACKAGES))


if __name__ == "__main__":
    main()

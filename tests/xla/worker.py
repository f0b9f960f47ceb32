"""One of the processes of test_processes.py: trains, and prints a JSON line for each thing that happened."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

import prooftape as pt
from prooftape.errors import MeshError, ProofTapeError, WorkerLostError

SHAPES = ((5, 6), (5,), (3, 5), (3,))
STEPS = 4
MESH = 2


def tell(what: str, **more: object) -> None:
    print(json.dumps({"what": what, **more}), flush=True)


def data(step: int) -> tuple[Any, Any]:
    draw = np.random.default_rng(100 + step)
    return draw.integers(-2, 3, (8, 6)).astype(np.float32), draw.integers(0, 3, 8)


class Training:
    """A small network on a session. Piecewise linear, all its numbers are small dyadic fractions."""

    def __init__(self, session: pt.Session, seed: int = 3, parts: tuple[int, int] = (0, 1)) -> None:
        self.s, self.parts = session, parts
        draw = np.random.default_rng(seed)
        values = [draw.integers(-2, 3, shape) * 0.125 for shape in SHAPES]
        self.params = [session.param(v, name=f"p{i}") for i, v in enumerate(values)]
        self.run = pt.sgd(lr=0.5, momentum=0.5)
        self.done = 0

    def step(self, smooth: bool = False) -> Any:
        s, (part, of) = self.s, self.parts
        s.reset_tape()
        x, labels = data(self.done)
        if of > 1:
            rows = len(x) // of
            mine = slice(part * rows, (part + 1) * rows)
            xs = s.input(pt.distributed.shard(s, x[mine]))
            ys = s.input_nat_vec(pt.distributed.shard(s, labels[mine]))
        else:
            xs, ys = s.input(x), s.input_nat_vec(labels)
        assert list(s.get_nat_vec(ys)) == list(labels)
        p = [s.use(q) for q in self.params]
        h = s.linear(p[0], p[1], xs)
        out = s.linear(p[2], p[3], s.tanh(h) if smooth else s.relu(h))
        loss = s.cross_entropy(out, ys) if smooth else s.nll_loss(out, ys)
        self.run.step(s, s.backward_scalar_dense_all(loss))
        self.done += 1
        return s.get_value(loss).item()

    def save(self, path: Path) -> None:
        pt.training.save_checkpoint(path, self.params, optimizer=self.run, step=self.done)

    def load(self, path: Path) -> None:
        found = pt.training.load_checkpoint(path)
        pt.training.restore(found, self.params, optimizer=self.run)
        self.done = found.step or 0

    def losses(self, n: int, smooth: bool = False) -> list[Any]:
        return [self.step(smooth) for _ in range(n)]

    def values(self) -> list[Any]:
        return [p.value.ravel().tolist() for p in self.params]


def train(rank: int, of: int, whole: bool) -> None:
    """Losses, parameters, and what can be read of divided inputs."""
    for scalar, smooth in (("float64", False), ("float32", True)):
        s = pt.Session(scalar, engine="xla", mesh=MESH)
        t = Training(s, parts=(0, 1) if whole else (rank, of))
        tell(scalar, losses=t.losses(STEPS, smooth), params=t.values())
    s.reset_tape()
    rows = np.arange(8, dtype=np.float32).reshape(4, 2)
    part = rows if of == 1 else rows[2 * rank : 2 * rank + 2]
    x = s.input(pt.distributed.shard(s, part), requires_grad=True)
    y = s.sum(s.square(x))
    grads = s.backward_scalar_dense_all(y)
    tell("read", x=s.get_value(x).tolist(), square=s.square(x).value.tolist(), grad=grads[x].tolist())
    tell("tangent", tangent=float(s.jvp_leaf(y, x, np.ones((4, 2)))))


def killed(rank: int, of: int, victim: int, folder: Path) -> None:
    """Process `victim` dies in its fourth step; the other one goes on alone from the last checkpoint."""
    t = Training(pt.Session("float64", engine="xla", mesh=of), parts=(rank, of))
    losses = t.losses(2)
    if rank != victim:
        t.save(folder / "last.safetensors")
    losses.append(t.step())
    tell("losses", losses=losses)
    if rank == victim:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        t.step()
    except WorkerLostError as e:
        tell("lost", message=str(e))
    alone = Training(pt.Session("float64", engine="xla"))
    alone.load(folder / "last.safetensors")
    tell("resumed", step=alone.done, losses=alone.losses(STEPS - alone.done), params=alone.values())


def differ(rank: int, of: int, how: str) -> None:
    """The processes do not do the same."""
    s = pt.Session(engine="xla", mesh=of)
    t = Training(s, seed=3 + rank if how == "values" else 3, parts=(0, 1))
    try:
        if how == "shapes":
            x = pt.distributed.shard(s, np.ones((2 + 2 * rank, 3)))
            s.get_value(s.square(s.input(x)))
        t.step(smooth=how == "graphs" and rank == 0)
    except ProofTapeError as e:
        tell("refused", kind=type(e).__name__, message=str(e))


def devices(rank: int, of: int) -> None:
    """Numbers of devices that are not those of all processes."""
    import jax

    for mesh in (1, of + 1, [d for d in jax.devices() if d.process_index != rank]):
        try:
            pt.Session(engine="xla", mesh=mesh)
        except MeshError as e:
            tell("refused", message=str(e))
    own = pt.Session(engine="xla", mesh=jax.local_devices())
    tell("own", value=own.square(own.input([3.0])).value.tolist())


def main() -> None:
    task, rank, of, address, *rest = sys.argv[1:]
    me, n = int(rank), int(of)
    if n > 1:
        pt.distributed.initialize(address, n, me, heartbeat_seconds=10, start_seconds=60)
    if task == "killed":
        killed(me, n, int(rest[0]), Path(rest[1]))
    elif task == "differ":
        differ(me, n, rest[0])
    elif task == "devices":
        devices(me, n)
    else:
        train(me, n, task == "whole")


if __name__ == "__main__":
    main()

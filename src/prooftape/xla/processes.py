"""Several processes that run one program: what they must agree on, and what happens when one is gone.

Every process records the same graph and makes the same calls. Where that can be seen to fail (a program or
the starting value of a parameter differs) all of them raise `MeshError`; when a process dies in a collective
operation the others raise `WorkerLostError` instead of waiting.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, Final, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from prooftape.errors import MeshError, WorkerLostError

AGREE_SECONDS: Final = 300.0
"""How long a process waits for another one to reach the same call: it may be loading data or compiling."""
SLICE_SECONDS: Final = 1.0
LINGER_SECONDS: Final = 5.0
# what the failures that a lost process causes have in their texts: gloo's, NCCL's, the coordinator's
LOST: Final = (
    "gloo",
    "connection",
    "nccl",
    "unavailable",
    "deadline",
    "coordination",
    "aborted",
    "heartbeat",
    "socket",
    "peer",
)


class Sharded(NamedTuple):
    """An input divided among processes: the array of them all, of which each holds a part."""

    array: Any
    scalar: str


class Processes:
    """The processes of a mesh that has devices of several."""

    lost: ClassVar[bool] = False
    """Whether one was found to be gone."""

    def __init__(self, mesh: Mesh) -> None:
        self.ids = _processes(mesh)
        self.me = jax.process_index()
        self._calls = 0

    @classmethod
    def of(cls, mesh: Mesh) -> Processes | None:
        """The processes of a mesh; None when there is but this one."""
        ids, me = _processes(mesh), jax.process_index()
        if me not in ids:
            raise MeshError(f"mesh: none of its devices is of this process ({me}), which has no part in it")
        return cls(mesh) if len(ids) > 1 else None

    def guarded(self, form: Callable[..., Any]) -> Callable[..., Any]:
        """A program that waits for its results, so that a process lost meanwhile is noticed here."""

        wait: Any = jax.block_until_ready

        def run(*arguments: Any) -> Any:
            with self.lost_ones():
                return wait(form(*arguments))

        return run

    @contextmanager
    def lost_ones(self) -> Iterator[None]:
        """While inside, a failure that a lost process causes is a `WorkerLostError`."""
        try:
            yield
        except (jax.errors.JaxRuntimeError, ValueError) as e:
            text = str(e)
            if not any(sign in text.lower() for sign in LOST):
                raise
            Processes.lost = True
            raise WorkerLostError(
                f"process {self.me}: a collective operation of the {len(self.ids)} processes "
                f"{self.ids} failed: another process has died or cannot be reached. Start them again from "
                f"the last checkpoint (pt.training.load_checkpoint). JAX says: {' '.join(text.split())[:300]}"
            ) from e

    def agree(self, what: str, digest: str) -> None:
        """Check that all processes are at the same call with the same content."""
        from jax._src import distributed  # JAX has no public way to its key-value store

        client: Any = distributed.global_state.client
        if client is None:
            return
        self._calls += 1
        name = f"prooftape/{'-'.join(map(str, self.ids))}/{self._calls}"
        mine = f"{what} ({digest[:16]})"
        with self.lost_ones():
            client.key_value_set(f"{name}/{self.me}", mine)
        for other in self.ids:
            if other == self.me:
                continue
            theirs = self._wait(client, f"{name}/{other}", what, other)
            if theirs != mine:
                self._linger(client, f"{name}/seen")
                raise MeshError(
                    f"mesh: the processes differ at their agreement {self._calls}: process {self.me} has "
                    f"{mine}, process {other} has {theirs}; all processes must record the same graph and "
                    "give parameters the same starting values (the same seed)"
                )

    def _wait(self, client: Any, key: str, what: str, other: int) -> str:
        end = time.monotonic() + AGREE_SECONDS
        while True:
            try:
                found: str = client.blocking_key_value_get(key, int(SLICE_SECONDS * 1000))
                return found
            except (jax.errors.JaxRuntimeError, ValueError) as e:
                if "DEADLINE_EXCEEDED" in str(e) and time.monotonic() < end:
                    continue
                Processes.lost = True
                raise WorkerLostError(
                    f"process {self.me}: process {other} did not come to {what} within {AGREE_SECONDS:.0f} "
                    "s: it has died, is stuck, or makes other calls. Start again from the last checkpoint. "
                    f"JAX says: {' '.join(str(e).split())[:200]}"
                ) from e

    def _linger(self, client: Any, name: str) -> None:
        """Let the others see it too, before the end of this process takes the store away."""
        with suppress(jax.errors.JaxRuntimeError, ValueError):
            client.key_value_set(f"{name}/{self.me}", "")
            for other in self.ids:
                client.blocking_key_value_get(f"{name}/{other}", int(LINGER_SECONDS * 1000))


def _processes(mesh: Mesh) -> list[int]:
    return sorted({d.process_index for d in mesh.devices.ravel()})


def digest(*parts: bytes) -> str:
    """Names the content of some bytes."""
    h = hashlib.sha256()
    for part in parts:
        h.update(np.int64(len(part)).tobytes())
        h.update(part)
    return h.hexdigest()

"""Several processes that train together: starting them, and giving each its part of a batch.

Needs the extra `xla`. See docs/parallel.md.
"""

from __future__ import annotations

import atexit
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from prooftape.errors import MeshError, MissingExtraError, found

if TYPE_CHECKING:
    from prooftape.session import Session

HEARTBEAT_SECONDS = 20
"""After how long a silent process counts as lost, where no collective operation tells sooner."""
END_SECONDS = 10
"""How long a process that ends waits for the others to do so."""
START_SECONDS = 120
"""How long the processes wait for one another at the start."""


def initialize(
    address: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    *,
    heartbeat_seconds: int = HEARTBEAT_SECONDS,
    start_seconds: int = START_SECONDS,
) -> None:
    """Join the processes that train together; to be called in each of them before anything uses JAX.

    address: `host:port` of process 0. processes: how many; process: which of them this is, from 0. Under
    Slurm and Open MPI all three may be left out. This is `jax.distributed.initialize`, set up so that a
    process outlives the loss of another and raises `WorkerLostError`.
    """
    try:
        import jax
    except ImportError:
        raise MissingExtraError("several processes need JAX: pip install 'prooftape[xla]'") from None
    if hasattr(jax.config, "jax_enable_recoverability"):
        settings: Any = jax.config
        settings.update("jax_enable_recoverability", True)
    try:
        jax.distributed.initialize(
            address,
            processes,
            process,
            initialization_timeout=start_seconds,
            heartbeat_timeout_seconds=heartbeat_seconds,
            shutdown_timeout_seconds=heartbeat_seconds,
        )
    except (RuntimeError, ValueError) as e:
        raise MeshError(
            f"distributed.initialize: process {process} of {processes} could not join at {address}: "
            f"{' '.join(str(e).split())[:300]}"
        ) from e
    atexit.register(_leave)  # runs before JAX's own


def _leave() -> None:
    """End together: JAX ends every process that finds process 0 gone before it has said goodbye itself."""
    from jax._src import distributed  # JAX has no public way to its coordination service

    from prooftape.xla.processes import Processes

    state: Any = distributed.global_state
    client, others = state.client, [i for i in range(state.num_processes) if i != state.process_id]
    if client is None or Processes.lost:
        return
    with suppress(RuntimeError, ValueError):  # somebody is lost: nothing to wait for
        client.wait_at_barrier("prooftape/end", END_SECONDS * 1000)
        if state.process_id:
            state.shutdown()
        end = time.monotonic() + END_SECONDS
        while not state.process_id and client.get_live_nodes(others) and time.monotonic() < end:
            time.sleep(0.02)


def shard(session: Session, part: object) -> Any:
    """This process's part of a batch, along axis 0, for `session.input` or, of integers, `input_nat_vec`.

    The graph has the whole batch: the parts of all processes in order, all of one shape. Every process must
    call this. Integers are exchanged at once, as every process checks all labels; other numbers stay where
    they are.
    """
    engine: Any = getattr(session, "_xla", None)
    devices = getattr(engine, "devices", None)
    if devices is None:
        raise MeshError(f"distributed.shard: expected a session with mesh=…, got {found(session)}")
    array = np.asarray(part)
    if not array.shape:
        raise MeshError("distributed.shard: a single number has no axis to be divided along")
    if array.dtype.kind in "iu":
        return engine.join_integers(array)
    return engine.join(session.scalar.to_array(array, "distributed.shard"))

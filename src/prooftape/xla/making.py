"""Making the XLA engine of a session: what it can run, and what it refuses."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from prooftape.errors import MissingExtraError, ScalarError, ValueTypeError
from prooftape.scalars import Scalar

if TYPE_CHECKING:
    from prooftape.xla.engine import Engine

SCALARS: Final = ("float32", "float64", "bfloat16", "float16")


def _dispatch_at_once() -> None:
    """Ask JAX to run CPU programs in the calling thread, unless its user has decided.

    Handing a step of microseconds to another thread and waiting for it costs more than the step. JAX reads
    the setting when it first touches the CPU, for the whole process; JAX_CPU_ENABLE_ASYNC_DISPATCH=1 in the
    environment keeps JAX's default.
    """
    import jax

    if "JAX_CPU_ENABLE_ASYNC_DISPATCH" not in os.environ:
        config: Any = jax.config
        config.update("jax_cpu_enable_async_dispatch", False)


def make_engine(
    scalar: Scalar, domain: str, lowerings: bool | Collection[str], donate: bool, mesh: object = None
) -> Engine:
    """The engine, or an error that says what it cannot do."""
    if scalar.name not in SCALARS:
        raise ScalarError(
            f"engine 'xla' computes in {', '.join(SCALARS)}, not in {scalar.name}; use engine='numpy'"
        )
    if domain == "raise":
        raise ValueTypeError(
            "domain='raise' looks at every value as it is computed, and an XLA program hands out only what "
            "is asked; use engine='numpy' to find the value outside its domain"
        )
    try:
        import jax  # noqa: F401
    except ImportError:
        raise MissingExtraError("engine 'xla' needs JAX: pip install 'prooftape[xla]'") from None
    _dispatch_at_once()
    from prooftape.xla.engine import Engine, enabled

    if mesh is None:
        return Engine(scalar.name, enabled(lowerings), donate)
    from prooftape.xla.mesh import MeshEngine, device_mesh

    return MeshEngine(scalar.name, enabled(lowerings), donate, device_mesh(mesh))

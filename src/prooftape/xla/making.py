"""Making the XLA engine of a session: what it can run, and what it refuses."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from prooftape.errors import MissingExtraError, ScalarError, ValueTypeError
from prooftape.scalars import Scalar

if TYPE_CHECKING:
    from prooftape.xla.engine import Engine

SCALARS: Final = ("float32", "float64", "bfloat16", "float16")


def make_engine(scalar: Scalar, domain: str, lowerings: bool | Collection[str], donate: bool) -> Engine:
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
    from prooftape.xla.engine import Engine, enabled

    return Engine(scalar.name, enabled(lowerings), donate)

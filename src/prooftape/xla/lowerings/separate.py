"""Parts of a program that XLA compiles by themselves.

XLA's CPU compiler fuses a loop into each of its consumers and then computes it anew in each; an optimization
barrier does not hold it back. A call that may not be inlined does: its arguments and results are arrays in
memory, row-major, and equal calls are compiled once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.experimental.xla_metadata import set_xla_metadata


def separately(f: Callable[..., Any], *values: Any) -> Any:
    """f(*values), on a CPU as a call of its own."""
    if jax.default_backend() != "cpu":
        return f(*values)

    def body(*inner: Any) -> Any:
        with set_xla_metadata(inlineable=None):  # type: ignore[no-untyped-call]  # not the calls that f makes
            return f(*inner)

    with set_xla_metadata(inlineable="false"):  # type: ignore[no-untyped-call]
        return jax.jit(body)(*values)

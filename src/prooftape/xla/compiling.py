"""Compiling a program: `jax.jit` with our options, and a first call that is timed, cached and shows itself.

What makes XLA slow here, measured on chains of tanh(a h + b) c: on a CPU it fuses each result with everything
cheap before it, computing it again for every result. A reverse loop hands one cotangent down a chain and
keeps a gradient per step, so the code grows with the square of the depth: a training step of 75 blocks with
their own parameters became 377 kernels of up to 1,364 operations and compiled in 62 s, in JAX's own rules in
31 s. No compiler option helps (optimization level, expensive LLVM passes, splitting, vector width: within
noise; no fusion at all: half the time, but a step of 250 blocks takes 9 times jax.jit's), and barriers are
removed before fusion. Cutting the tape into calls that are not inlined does (0.7 s for these 75 blocks):
see blocks.py. What is left is about 2 ms a kernel.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TextIO

import jax

from prooftape.xla import cache

VECTOR_BITS = 512
"""Width of vectors, where the processor has them: LLVM takes 256 by itself. Chains and small convolutions are
some per cent quicker so (W5 and W6a of benchmarks/peers); on the others it has no effect."""
PATIENCE = 1.0
"""Seconds after which a compilation shows itself."""


def compiled(
    fn: Callable[..., Any],
    *,
    donate: tuple[int, ...] = (),
    x64: bool,
    low_precision: bool,
    label: str,
    whole: Any = None,
) -> Callable[..., Any]:
    """`jax.jit` of `fn`; the first call compiles. `label` names the program in profiles and cache entries.

    `low_precision`: rounding to bfloat16 or float16 happens where the program says so, not where XLA thinks
    it may leave it out. `x64`: every call runs with 64-bit types enabled. `whole`: sharding of all results.
    """

    def program(*args: Any) -> Any:
        return fn(*args)

    program.__name__ = program.__qualname__ = "".join(c if c.isalnum() else "_" for c in label)
    shardings = {} if whole is None else {"out_shardings": whole}
    jitted: Callable[..., Any] = jax.jit(
        program, donate_argnums=donate, compiler_options=compiler_options(low_precision), **shardings
    )
    if not x64:
        return jitted

    def in_64_bits(*args: Any) -> Any:
        with jax.enable_x64(True):
            return jitted(*args)

    return in_64_bits


def compiler_options(low_precision: bool) -> dict[str, Any] | None:
    """What XLA is told for every program of this engine."""
    options: dict[str, Any] = {"xla_allow_excess_precision": False} if low_precision else {}
    if jax.default_backend() == "cpu":
        options["xla_cpu_prefer_vector_width"] = VECTOR_BITS
    return options or None


def size_label(n_instructions: int) -> str:
    """What the progress line calls a program: `a program of 1,234 instructions`."""
    return f"a program of {n_instructions:,} instruction{'' if n_instructions == 1 else 's'}"


def first_call(
    program: Callable[..., Any], args: Sequence[Any], label: str, report: TextIO | None = None
) -> tuple[Any, float, bool]:
    """`program(*args)`, which compiles: (result, seconds, whether all of it came from the persistent cache).

    Shows `compiling <label>` when it takes longer than a second: on `report`, or else on the standard error
    output unless PROOFTAPE_PROGRESS=0.
    """
    stream = report
    if stream is None and os.environ.get("PROOFTAPE_PROGRESS") != "0":
        stream = sys.stderr
    requests, hits = _seen.requests, _seen.hits
    start = time.perf_counter()
    with cache.attached(), _Progress(label, stream):
        _listen()
        result = program(*args)
    seconds = time.perf_counter() - start
    requests, hits = _seen.requests - requests, _seen.hits - hits
    return result, seconds, 0 < requests == hits


class _Progress:
    """A line about what takes long, written by a thread of its own: one rewritten on a terminal, else one."""

    def __init__(self, label: str, stream: TextIO | None) -> None:
        self.label = label
        self.stream = stream
        self.done = threading.Event()
        self.thread: threading.Thread | None = None

    def __enter__(self) -> None:
        if self.stream is not None:
            self.thread = threading.Thread(target=self._show, args=(self.stream,), daemon=True)
            self.thread.start()

    def __exit__(self, *exception: object) -> None:
        self.done.set()
        if self.thread is not None:
            self.thread.join()

    def _show(self, stream: TextIO) -> None:
        start = time.perf_counter()
        text = f"compiling {self.label} …"
        if self.done.wait(PATIENCE):
            return
        try:
            if not stream.isatty():
                print(text, file=stream, flush=True)
                return
            while True:
                line = f"{text} {time.perf_counter() - start:.0f} s"
                print(f"\r{line}", end="", file=stream, flush=True)
                if self.done.wait(PATIENCE):
                    print("\r" + " " * len(line), end="\r", file=stream, flush=True)
                    return
        except (OSError, ValueError):  # nobody reads it, or it is closed: the compilation goes on
            return


class _Seen(threading.local):
    """How often JAX asked its persistent cache in this thread, and was answered."""

    requests = 0
    hits = 0


_seen = _Seen()
_listening = False


def _listen() -> None:
    global _listening
    if not _listening:
        _listening = True
        jax.monitoring.register_event_listener(_event)


def _event(event: str, **_: str | int) -> None:
    if event == "/jax/compilation_cache/compile_requests_use_cache":
        _seen.requests += 1
    elif event == "/jax/compilation_cache/cache_hits":
        _seen.hits += 1

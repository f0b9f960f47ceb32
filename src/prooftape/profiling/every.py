"""Profiling a program that knows nothing of it: every session it makes is watched."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prooftape.profiling.collect import Profile
from prooftape.scalars import scalar
from prooftape.session import Session


@contextmanager
def every_session(engine: str | None = None, steps: int | None = None) -> Iterator[Profile]:
    """A profile of all sessions made in the `with` block.

    engine: what sessions of floats run on, whatever they ask for; steps: after so many nothing is watched.
    """
    profile = Profile(steps=steps)
    start = Session.__init__
    signature = inspect.signature(start)

    @functools.wraps(start)
    def __init__(self: Session, *args: Any, **kwargs: Any) -> None:
        given = signature.bind(self, *args, **kwargs)
        if engine is not None and scalar(given.arguments.get("scalar", "float32")).is_float:
            given.arguments["engine"] = engine
        start(*given.args, **given.kwargs)
        if profile.clock.running and profile.clock.is_mine():
            profile.add(self)

    setattr(Session, "__init__", __init__)  # noqa: B010 - mypy refuses the plain assignment
    try:
        with profile:
            yield profile
    finally:
        setattr(Session, "__init__", start)  # noqa: B010

"""`prooftape profile FILE`: run a program, and say where the time of its steps went.

The program runs as it would under `python FILE`: as `__main__`, with its own folder first on the path.
"""

from __future__ import annotations

import errno
import os
import runpy
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from prooftape.errors import ProofTapeError, ValueTypeError
from prooftape.profiling import Profile
from prooftape.profiling.every import every_session
from prooftape.session import ENGINES


def run_profile(
    file: Path, arguments: Sequence[str], engine: str | None, steps: int | None, out: Path, console: Console
) -> int:
    """Run the program, print the table, write `profile.svg` and `profile.json`; returns the exit status."""
    if engine is not None and engine not in ENGINES:
        raise ValueTypeError(f"profile: unknown engine {engine!r}; known: {', '.join(ENGINES)}")
    if not file.is_file():
        code = errno.EISDIR if file.is_dir() else errno.ENOENT
        raise OSError(code, os.strerror(code), str(file))
    out.mkdir(parents=True, exist_ok=True)
    with every_session(engine, steps) as profile:
        status = run_program(file, arguments)
    if not profile.steps:
        if status:  # it said itself why it ended
            return status
        raise ProofTapeError(
            f"profile: {file} made no session that did anything; a profile is of what sessions do: "
            "record ops, read values, step"
        )
    for line in str(profile).splitlines():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for path in written(profile, out):
        console.print(f"written: {path}", markup=False, highlight=False, soft_wrap=True)
    return status


def run_program(file: Path, arguments: Sequence[str]) -> int:
    """The program's exit status; what it raises is shown and is status 1."""
    argv, path = sys.argv, sys.path[:]
    sys.argv = [str(file), *arguments]
    sys.path[0:0] = [str(file.resolve().parent)]
    try:
        runpy.run_path(str(file), run_name="__main__")
    except SystemExit as done:
        if done.code is None or isinstance(done.code, int):
            return done.code or 0
        print(done.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("profile: interrupted; what ran until then:", file=sys.stderr)
        return 130
    except BaseException as e:  # noqa: BLE001 - whatever a program raises, its profile is kept
        show_error(file, e)
        return 1
    finally:
        sys.argv, sys.path[:] = argv, path
    return 0


def show_error(file: Path, error: BaseException) -> None:
    """The traceback as Python would print it, from the program's first frame on."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename != str(file):
        frames = frames.tb_next
    traceback.print_exception(type(error), error, frames)


def written(profile: Profile, out: Path) -> list[Path]:
    """Picture and data, each written atomically."""
    paths = [out / "profile.svg", out / "profile.json"]
    for path in paths:
        profile.save(path)
    return paths

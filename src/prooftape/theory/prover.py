"""Finding and running the Rocq prover. Nothing here trusts what a file says about itself.

`find_prover` looks for `coqc` on the path (Rocq installs it too); `Prover.run` runs it with a time and a
memory limit, so that a broken or hostile file cannot take the machine down.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from prooftape.errors import ProverError

HOW_TO_GET = "install it with your system's packages; Debian, Ubuntu: apt-get install coq libcoq-coquelicot"
MEMORY_BYTES = 12 * 2**30
VERSION_SECONDS = 30.0
# Rocq's own choice, a young heap of 256 MiB, costs a certificate a fifth of its time and 200 MiB of memory
_HEAP = "s=512k,o=300"
_FLAGS = ("-q", "-w", "-ambiguous-paths,-notation-overridden")


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of the prover gave. `status` is None when it ran out of time."""

    status: int | None
    output: str
    errors: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the file was accepted."""
        return self.status == 0


@dataclass(frozen=True, slots=True)
class Prover:
    """A prover on this machine: the folder of its programs and its version."""

    folder: Path
    version: str

    def run(
        self,
        program: str,
        arguments: Sequence[str],
        folder: Path,
        *,
        seconds: float = 600,
        flags: bool = True,
    ) -> Run:
        """Run `coqc`, `coqdep` or `coqchk` in `folder`. Never raises for what the file holds."""
        command = [str(self.folder / program), *(_FLAGS if flags else ()), *arguments]
        limits = _limits()  # here, not in the child: between fork and exec nothing should be imported
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                # JAX warns of every fork; this child sets its limits and becomes the prover
                warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
                done = subprocess.run(
                    command,
                    cwd=folder,
                    capture_output=True,
                    text=True,
                    errors="replace",
                    timeout=seconds,
                    stdin=subprocess.DEVNULL,
                    preexec_fn=limits,
                    env={
                        "OCAMLRUNPARAM": _HEAP,
                        **os.environ,
                        "LC_ALL": "C.UTF-8",
                        "COQPATH": "",
                        "ROCQPATH": "",
                    },
                )
        except subprocess.TimeoutExpired:
            return Run(None, "", f"no answer within {seconds:g} s", time.perf_counter() - start)
        except OSError as e:
            raise ProverError(f"cannot run {command[0]}: {e.strerror or e}; {HOW_TO_GET}") from None
        return Run(done.returncode, done.stdout, done.stderr, time.perf_counter() - start)


def _limits() -> Callable[[], None] | None:
    """What sets the memory limits of a child process; None where there are none to set."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    wanted = []
    for kind, limit in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_STACK, 2**30)):
        hard = resource.getrlimit(kind)[1]
        # a deep proof term needs a deep stack; never ask for more than the hard limit allows
        wanted.append((kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard)))
    set_limit = resource.setrlimit

    def apply() -> None:
        for kind, soft_and_hard in wanted:
            set_limit(kind, soft_and_hard)

    return apply


def find_prover() -> Prover | None:
    """The prover on the path, None when there is none. Raises `ProverError` for one that does not answer."""
    program = shutil.which("coqc")
    if program is None:
        return None
    folder = Path(program).parent  # as found: a link elsewhere may have no coqdep beside it
    asked = [program, "--version"]
    try:
        done = subprocess.run(
            asked, capture_output=True, text=True, errors="replace", timeout=VERSION_SECONDS,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ProverError(f"{program} --version gave no answer within {VERSION_SECONDS:g} s") from None
    except OSError as e:
        raise ProverError(f"cannot run {program}: {e.strerror or e}; {HOW_TO_GET}") from None
    version = re.search(r"version (\d+(?:\.\d+)*)", done.stdout)
    if done.returncode != 0 or version is None:
        said = " ".join((done.stderr or done.stdout).split())[:200]
        problem = f"ended with status {done.returncode}" if done.returncode else "names no version"
        raise ProverError(f"{program} --version {problem}{': ' if said else ''}{said}; {HOW_TO_GET}")
    return Prover(folder, version[1])

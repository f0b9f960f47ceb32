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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prooftape.errors import ProofTapeError

HOW_TO_GET = "install it with your system's packages; Debian, Ubuntu: apt-get install coq libcoq-coquelicot"
MEMORY_BYTES = 12 * 2**30
_FLAGS = ("-q", "-w", "-ambiguous-paths,-notation-overridden")


class ProverError(ProofTapeError, RuntimeError):
    """The prover is missing or broken, or the theory does not compile; no verdict about any certificate."""


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
        start = time.perf_counter()
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds,
                stdin=subprocess.DEVNULL,
                preexec_fn=_limit_memory if os.name == "posix" else None,
                env={**os.environ, "LC_ALL": "C.UTF-8", "COQPATH": "", "ROCQPATH": ""},
            )
        except subprocess.TimeoutExpired:
            return Run(None, "", f"no answer within {seconds:g} s", time.perf_counter() - start)
        except OSError as e:
            raise ProverError(f"cannot run {command[0]}: {e.strerror or e}; {HOW_TO_GET}") from None
        return Run(done.returncode, done.stdout, done.stderr, time.perf_counter() - start)


def _limit_memory() -> None:
    import resource

    for kind, limit in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_STACK, 2**30)):
        hard = resource.getrlimit(kind)[1]
        # a deep proof term needs a deep stack; never ask for more than the hard limit allows
        soft = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (soft, hard))


def find_prover() -> Prover | None:
    """The prover on the path, or None when there is none or it does not answer."""
    program = shutil.which("coqc")
    if program is None:
        return None
    folder = Path(program).parent  # as found: a link elsewhere may have no coqdep beside it
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"version (\d+(?:\.\d+)*)", done.stdout)
    return Prover(folder, version[1]) if version else None

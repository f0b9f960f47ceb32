"""What is installed, what is missing, and how to get it.

Libraries the package itself computes with are imported, so that a broken install shows; the heavy ones it is
only compared with are looked up. Standard library only: the doctor must answer where nothing else works.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from prooftape.errors import ProofTapeError
from prooftape.files import cache_folder
from prooftape.theory import build, sources

PYTHON = (3, 11)


@dataclass(frozen=True, slots=True)
class Library:
    """One library: import name, name on PyPI, the extra that brings it, least version, what it is for.

    extra "" is the core. Held equal to pyproject.toml by a test.
    """

    module: str
    distribution: str
    extra: str
    least: str
    use: str
    imported: bool = True
    exactly: bool = False


LIBRARIES = (
    Library("numpy", "numpy", "", "2.0", "arrays: the one library the core needs"),
    Library("typer", "typer", "cli", "0.26", "the command line"),
    Library("rich", "rich", "cli", "13.8", "tables and progress bars"),
    Library("matplotlib", "matplotlib", "cli", "3.10.7", "demo: the picture of the loss curve"),
    Library("sklearn", "scikit-learn", "cli", "1.5", "demo: the handwritten digits"),
    Library("safetensors", "safetensors", "train", "0.4.5", "checkpoints"),
    Library("ml_dtypes", "ml_dtypes", "low-precision", "0.5", "the scalar bfloat16"),
    Library("flint", "python-flint", "rigor", "0.7", "fast exact rationals (without it: fractions.Fraction)"),
    Library("jax", "jax", "xla", "0.10", "the engine `xla`"),
    Library("torch", "torch", "interop", "2.13.0", "the oracle of the golden values", False, True),
    Library("expecttest", "expecttest", "interop", "0.3", "torch's own test samples import it", False),
    Library("mygrad", "mygrad", "bench", "2.3", "benchmarks: a peer", False),
    Library("autograd", "autograd", "bench", "1.8", "benchmarks: a peer", False),
    Library("tinygrad", "tinygrad", "bench", "0.14", "benchmarks: a peer", False),
)
ROCQ = ("coqc", "8.16", "checking the proofs; Debian, Ubuntu: apt-get install coq libcoq-coquelicot")
COQUELICOT = (
    "coquelicot",
    "the real analysis of the proofs; Debian, Ubuntu: apt-get install libcoq-coquelicot",
)
THEORY = ("theory", "the proofs in compiled form, what a certificate is checked against")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `state`: `ok`, `missing`, `broken`, `old`, `other` (than pinned) or `later`.

    `later`: not there yet, and nothing to be done about it.
    """

    name: str
    state: str
    version: str
    group: str
    use: str
    remedy: str

    @property
    def good(self) -> bool:
        """Whether nothing needs to be done about it."""
        return self.state == "ok"


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, and whether what was asked for is there."""

    findings: tuple[Finding, ...]
    failed: tuple[Finding, ...]

    @property
    def status(self) -> int:
        """Exit status: 0 when what was asked for works."""
        return 1 if self.failed else 0

    def verdict(self) -> str:
        """One line."""
        if not self.failed:
            return "prooftape can run here."
        return "Not all is well: " + ", ".join(f"{f.name} ({f.state})" for f in self.failed) + "."

    def lines(self) -> Iterable[str]:
        """The report as plain text."""
        yield version_line()
        for f in self.findings:
            yield f"  {f.state:8} {f.name:14} {f.version or '-':12} {f.group:14} {f.use}"
            if f.remedy:
                yield f"           {f.remedy}"
        yield self.verdict()


def version_line() -> str:
    """`prooftape 0.1.0 (Python 3.11.7, Linux)`."""
    import prooftape

    return f"prooftape {prooftape.__version__} (Python {platform.python_version()}, {platform.system()})"


def examine(extras: Sequence[str] = ()) -> Report:
    """Look at everything. The status is 1 when the core or a named extra is not right, or anything is broken.

    What is only absent or old is no failure unless its extra is named. Raises `ProofTapeError` for an unknown
    name.
    """
    known = sorted({lib.extra for lib in LIBRARIES if lib.extra})
    for name in extras:
        if name not in known:
            raise ProofTapeError(f"doctor: unknown extra {name!r}; known: {', '.join(known)}")
    findings = [_python(), *map(_library, LIBRARIES), *_proofs()]
    asked = ("core", *extras)
    failed = [f for f in findings if not f.good and (f.group in asked or f.state == "broken")]
    return Report(tuple(findings), tuple(failed))


def _python() -> Finding:
    here = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info[:2] >= PYTHON
    least = ".".join(map(str, PYTHON))
    return Finding(
        "python", "ok" if good else "old", here, "core", f"{least} or newer", "" if good else "python.org"
    )


def _library(lib: Library) -> Finding:
    group = lib.extra or "core"
    install = "pip install prooftape" if not lib.extra else f"pip install 'prooftape[{lib.extra}]'"
    state, version, remedy = "ok", "", ""
    try:
        version = importlib.metadata.version(lib.distribution)
        if lib.imported:
            importlib.import_module(lib.module)
        elif importlib.util.find_spec(lib.module) is None:
            raise ImportError(f"there is no module {lib.module}")
    except importlib.metadata.PackageNotFoundError:
        return Finding(lib.distribution, "missing", "", group, lib.use, install)
    except Exception as e:  # noqa: BLE001 - a broken install can raise anything
        again = f"pip install --force-reinstall {lib.distribution}"
        return Finding(
            lib.distribution, "broken", version, group, lib.use, f"{type(e).__name__}: {e}; {again}"
        )
    if lib.exactly and _numbers(version) != _numbers(lib.least):
        state, remedy = "other", f"the golden values are from {lib.least}: {install}"
    elif _numbers(version) < _numbers(lib.least):
        state, remedy = "old", f"needs {lib.least} or newer: {install} --upgrade"
    return Finding(lib.distribution, state, version, group, lib.use, remedy)


def _proofs() -> Iterable[Finding]:
    """The prover, its library of real analysis, and the compiled theory, which both of them make."""
    rocq = _rocq()
    yield rocq
    yield _coquelicot() if rocq.good else _absent(*COQUELICOT)
    yield _theory(rocq.version)


def _absent(name: str, use: str) -> Finding:
    use, _, get = use.partition("; ")
    return Finding(name, "missing", "", "proofs", use, get)


def _coquelicot() -> Finding:
    """Looked for in the prover's own folder, the only one a certificate is checked against."""
    name, use = COQUELICOT
    program = shutil.which(ROCQ[0])
    assert program is not None
    try:
        asked = [program, "-where"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as e:
        return Finding(name, "broken", "", "proofs", use.partition("; ")[0], f"{type(e).__name__}: {e}")
    there = Path(done.stdout.strip()) / "user-contrib" / "Coquelicot" / "Coquelicot.vo"
    if not there.is_file():
        return _absent(name, use)
    return Finding(name, "ok", "", "proofs", use.partition("; ")[0], "")


def _theory(version: str) -> Finding:
    """Whether these sources have been compiled by this prover; nothing is compiled here."""
    name, use = THEORY
    try:
        files = sources.read()
    except ProofTapeError as e:
        return Finding(name, "broken", "", "proofs", use, f"{e}; pip install --force-reinstall prooftape")
    digest = sources.digest(files)[:12]
    if version and build.complete(build.folder_of(files, version), files):
        return Finding(name, "ok", digest, "proofs", use, "")
    remedy = f"the first certificate compiles it into {cache_folder()}, which takes minutes"
    return Finding(name, "later", digest, "proofs", use, remedy if version else "")


def _rocq() -> Finding:
    name, least, use = ROCQ
    program = shutil.which(name)
    use, _, get = use.partition("; ")
    if program is None:
        return Finding(name, "missing", "", "proofs", use, get)
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=True)
        found = re.search(r"version (\d+(?:\.\d+)*)", done.stdout)
    except (OSError, subprocess.SubprocessError) as e:
        return Finding(name, "broken", "", "proofs", use, f"{type(e).__name__}: {e}")
    version = found[1] if found else ""
    good = _numbers(version) >= _numbers(least)
    return Finding(
        name, "ok" if good else "old", version, "proofs", use, "" if good else f"needs {least} or newer"
    )


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, enough to compare releases: `2.13.0+cpu` is (2, 13, 0)."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(n) for n in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:  # 2.0 and 2.0.0 are one release
        numbers.pop()
    return tuple(numbers)

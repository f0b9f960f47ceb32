"""Compiling the theory, once per user and version, into a cache.

A compiled file is stored under a key made of the prover's version, its source and the keys of what it
imports, so a changed file recompiles itself and what depends on it, nothing else. A theory appears in the
cache by one rename: a reader sees all of it or none. The cache may be deleted at any time.
"""

from __future__ import annotations

import graphlib
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path

from prooftape.errors import ProverError
from prooftape.files import cache_folder, write_atomically
from prooftape.theory import sources
from prooftape.theory.prover import HOW_TO_GET, Prover

KEPT_THEORIES = 3
FILE_SECONDS = 1200.0
Progress = Callable[[str, int, int], None]
"""progress(file, done, total): once with an empty name and done 0, then as each file is finished."""


def compiled(prover: Prover, place: Path | None = None, progress: Progress | None = None) -> Path:
    """The folder with the compiled theory, building what is missing. Raises `ProverError` if a file fails."""
    files = sources.read(place)
    target = folder_of(files, prover.version)
    if complete(target, files):
        with suppress(OSError):  # a cache that is only read: nobody forgets theories there either
            os.utime(target)
        return target
    cache = cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / "lock") as alone:
            if not complete(target, files):
                if alone:
                    _clear_leftovers(cache)
                _build(prover, files, target, progress)
                _forget_old(cache)
    except BrokenPipeError:  # from `progress`: nobody reads what it prints
        raise
    except OSError as e:
        raise ProverError(
            f"cannot keep the compiled theory in {cache}: {e.strerror or e}; "
            "PROOFTAPE_CACHE names another folder"
        ) from e
    return target


def folder_of(files: dict[str, bytes], version: str) -> Path:
    """Where these sources are, or would be, compiled by a prover of this version."""
    return cache_folder() / f"theory-{sources.digest(files)[:24]}-{version}"


def complete(target: Path, files: dict[str, bytes]) -> bool:
    """Whether every file is there in compiled form."""
    return target.is_dir() and all((target / f).with_suffix(".vo").is_file() for f in files)


def _build(prover: Prover, files: dict[str, bytes], target: Path, progress: Progress | None) -> None:
    objects = cache_folder() / "objects"
    objects.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=".building-") as temporary:
        stage = Path(temporary) / "theory"
        for name, content in files.items():
            (stage / name).parent.mkdir(parents=True, exist_ok=True)
            (stage / name).write_bytes(content)
        needs = _dependencies(prover, stage, list(files))
        keys = _keys(prover, files, needs)
        _compile_all(prover, stage, needs, keys, objects, progress)
        (stage / "keys").write_text("".join(f"{keys[f]} {f}\n" for f in sorted(files)))
        if target.exists():  # incomplete: somebody removed files from it
            shutil.rmtree(target)
        os.replace(stage, target)


def _dependencies(prover: Prover, stage: Path, files: list[str]) -> dict[str, list[str]]:
    """Which files of the theory each file imports."""
    flags = ["-Q", ".", sources.LOGICAL_NAME]
    run = prover.run("coqdep", [*flags, *files], stage, flags=False)
    if not run.ok:
        raise ProverError(f"coqdep failed: {run.errors.strip()[:400]}")
    needs: dict[str, list[str]] = {f: [] for f in files}
    for line in run.output.splitlines():
        made, _, reads = line.partition(":")
        source = next((m[:-3] + ".v" for m in made.split() if m.endswith(".vo")), None)
        if source in needs:
            found = (r[:-3] + ".v" for r in reads.split() if r.endswith(".vo"))
            needs[source] = sorted({r for r in found if r in needs})
    return needs


def _keys(prover: Prover, files: dict[str, bytes], needs: dict[str, list[str]]) -> dict[str, str]:
    keys: dict[str, str] = {}
    for name in graphlib.TopologicalSorter(needs).static_order():
        text = f"{prover.version} {name} {' '.join(keys[n] for n in needs[name])}\n".encode()
        keys[name] = hashlib.sha256(text + files[name]).hexdigest()[:40]
    return keys


def _compile_all(
    prover: Prover,
    stage: Path,
    needs: dict[str, list[str]],
    keys: dict[str, str],
    objects: Path,
    progress: Progress | None,
) -> None:
    order = graphlib.TopologicalSorter(needs)
    order.prepare()
    done = 0
    if progress is not None:
        progress("", 0, len(needs))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        running: dict[Future[None], str] = {}
        try:
            while order.is_active():
                for name in order.get_ready():
                    running[pool.submit(_compile_one, prover, stage, name, objects / f"{keys[name]}.vo")] = (
                        name
                    )
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    name = running.pop(future)
                    future.result()
                    order.done(name)
                    done += 1
                    if progress is not None:
                        progress(name, done, len(needs))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _compile_one(prover: Prover, stage: Path, name: str, stored: Path) -> None:
    made = (stage / name).with_suffix(".vo")
    if stored.is_file():
        shutil.copyfile(stored, made)
        os.utime(stored)
        return
    run = prover.run("coqc", ["-Q", ".", sources.LOGICAL_NAME, name], stage, seconds=FILE_SECONDS)
    if not run.ok:
        hint = f"; {HOW_TO_GET}" if "logical path Coquelicot" in run.errors else ""
        raise ProverError(f"the theory does not compile: {name}: {_first_error(run.errors)}{hint}")
    if not made.is_file():
        raise ProverError(f"the theory does not compile: {name}: coqc ended well but wrote no {made.name}")
    write_atomically(stored, made.read_bytes())


def _first_error(text: str) -> str:
    """`line 3: Error: ...`, or what the prover said when it names no place."""
    found = re.search(r'File "\./?(?P<file>[^"]*)", line (?P<line>\d+).*?\n(?P<what>.*)', text, re.DOTALL)
    if found is None:
        return " ".join(text.split())[:600] or "coqc failed and does not say why"
    return f"line {found['line']}: {' '.join(found['what'].split())[:600]}"


def _forget_old(cache: Path) -> None:
    """Keep the theories used last, and the objects they are made of."""
    theories = sorted(cache.glob("theory-*"), key=lambda p: p.stat().st_mtime, reverse=True)
    for old in theories[KEPT_THEORIES:]:
        shutil.rmtree(old, ignore_errors=True)
    kept: set[str] = set()
    for theory in theories[:KEPT_THEORIES]:
        with suppress(OSError):  # somebody removed the list: its objects go when they are old
            kept.update(line.split()[0] for line in (theory / "keys").read_text().splitlines())
    week_ago = time.time() - 7 * 86400
    for stored in (cache / "objects").glob("*.vo"):
        if stored.stem not in kept and stored.stat().st_mtime < week_ago:
            stored.unlink(missing_ok=True)


def _clear_leftovers(cache: Path) -> None:
    """Remove what a builder that was killed left behind; only for who holds the lock."""
    for stage in cache.glob(".building-*"):
        shutil.rmtree(stage, ignore_errors=True)
    for part in (cache / "objects").glob(".*.part"):
        part.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """One builder at a time, True for it; a process that dies lets go of the lock."""
    with open(path, "w") as f:
        try:
            import fcntl
        except ImportError:  # Windows: two builders may do the same work, the rename keeps it whole
            yield False
            return
        fcntl.flock(f, fcntl.LOCK_EX)
        yield True

"""Compiled programs kept on disk between processes, in the user's cache folder.

JAX's persistent cache does the work: it makes the key (the whole program, compiler options, XLA_FLAGS,
jaxlib, the processor's instruction sets), serializes, compresses. What it lacks stands here, as the place
where it puts and gets its entries:

* its setting is one for the whole process. Ours is in force only while we compile, so other JAX programs of
  the process do not notice; a folder that the user configured in JAX himself is used instead of ours;
* its key leaves out the number of threads, on which the order of sums depends, and our own version. Entries
  lie in a folder named by a digest of those (and, a second time, versions and processor);
* its entries bear no checksum that survives every compression, and one damaged on disk stays there. Ours are
  checked before use; a damaged one is deleted and compiled anew;
* its bound needs a further package, and a writer that dies between two files breaks it. Ours is one file per
  entry, written by one rename, and the entries used longest ago go first.

An entry is machine code: whoever may write into the folder may run code as you. It is created for you alone.
"""

from __future__ import annotations

import hashlib
import os
import platform
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jax

from prooftape.files import cache_folder, write_atomically

MAX_BYTES = 512 << 20
"""All entries together, unless JAX's jax_compilation_cache_max_size says otherwise. W5's program is 1 MB."""
MIN_SECONDS = 0.1
"""What compiles faster is not kept: reading it back would take as long."""
DIGEST_BYTES = 32
SUFFIX = ".program"
# What the number of threads, and so the order of sums, may depend on.
THREAD_VARIABLES = ("NPROC", "PJRT_NPROC", "OMP_NUM_THREADS")


@dataclass
class Counts:
    """What happened in this process; `damaged` entries were deleted and compiled anew."""

    hits: int = 0
    misses: int = 0
    written: int = 0
    damaged: int = 0


counts = Counts()


def folder() -> Path | None:
    """Where entries are kept for programs of this process: `$PROOFTAPE_XLA_CACHE` (0: nowhere, None) or
    `xla` in the user's cache folder, and in it the folder of this machine and these versions."""
    given = os.environ.get("PROOFTAPE_XLA_CACHE")
    if given == "0":
        return None
    root = Path(given).absolute() if given else cache_folder() / "xla"
    return root / environment_digest()


def environment_digest() -> str:
    """Names what compiled programs depend on besides the program: versions, processor, threads."""
    parts = [installed("prooftape"), jax.__version__, installed("jaxlib")]
    parts += [platform.system(), platform.machine()]
    parts += [*processor(), str(threads())]
    parts += [f"{name}={os.environ.get(name, '')}" for name in THREAD_VARIABLES]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def installed(package: str) -> str:
    """The version of an installed package, "" for a source tree that is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def threads() -> int:
    """How many processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def processor() -> tuple[str, ...]:
    """Maker, model and instruction sets, as far as the system tells without asking a program."""
    told = {"vendor_id", "cpu family", "model", "model name", "stepping", "flags"}
    told |= {"CPU implementer", "CPU part", "CPU variant", "Features"}  # ARM
    try:
        first = Path("/proc/cpuinfo").read_text().strip().split("\n\n")[0]
    except OSError:
        return (platform.processor(),)
    pairs = (line.partition(":") for line in first.splitlines())
    return tuple(
        f"{name.strip()}:{' '.join(sorted(v.split()))}" for name, _, v in pairs if name.strip() in told
    )


class Store:
    """Where JAX's cache gets and puts its entries (its `CacheInterface`).

    A file holds the SHA-256 of its key and content, then the content. Never raises: a cache that cannot be
    read or written is one without entries.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self.max_bytes = max_bytes

    def _file(self, key: str) -> Path:
        return self._path / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}{SUFFIX}"

    def get(self, key: str) -> bytes | None:
        """The entry, or None where there is none or it is not what was written."""
        file = self._file(key)
        try:
            data = file.read_bytes()
        except OSError:
            counts.misses += 1
            return None
        content = data[DIGEST_BYTES:]
        if data[:DIGEST_BYTES] != _digest(key, content):
            counts.damaged += 1
            counts.misses += 1
            with suppress(OSError):
                file.unlink()
            return None
        with suppress(OSError):  # a cache that is only read
            os.utime(file)
        counts.hits += 1
        return content

    def put(self, key: str, value: bytes) -> None:
        """Keep an entry, in place of an older one of this key; forget those used longest ago."""
        if len(value) + DIGEST_BYTES > self.max_bytes:
            return
        try:
            for place in (self._path.parent, self._path):
                place.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(self._file(key), _digest(key, value) + value)
        except OSError:
            return
        counts.written += 1
        self._forget_old()

    def _forget_old(self) -> None:
        """Keep to the bound, over the folders of all machines and versions."""
        found = []
        for file in self._path.parent.glob(f"*/*{SUFFIX}"):
            with suppress(OSError):  # another process has just deleted it
                stat = file.stat()
                found.append((stat.st_mtime, stat.st_size, file))
        total = sum(size for _, size, _ in found)
        for _, size, file in sorted(found):
            if total <= self.max_bytes:
                break
            with suppress(OSError):
                file.unlink()
            total -= size


def _digest(key: str, content: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\0" + content).digest()


_lock = threading.Lock()
_users = 0


@contextmanager
def attached() -> Iterator[str]:
    """While inside, this process compiles through the store. Yields where entries are kept, "" for nowhere.

    The place is one for all threads of the process (JAX holds one): what another thread compiles meanwhile
    may be kept there too. JAX has no public way to set it for a while, hence the names with an underscore; a
    JAX in which they are missing compiles without our cache.
    """
    settings: Any = jax.config
    if settings.jax_compilation_cache_dir:
        yield str(settings.jax_compilation_cache_dir)
        return
    path, bound = folder(), settings.jax_compilation_cache_max_size
    hooks = _jax_cache()
    if path is None or hooks is None or bound == 0 or not settings.jax_enable_compilation_cache:
        yield ""
        return
    module, least_seconds = hooks
    global _users
    with ExitStack() as stack:
        stack.enter_context(least_seconds(MIN_SECONDS))  # of this thread only
        with _lock:
            _users += 1
            if module._cache is None:
                module._cache = Store(path, MAX_BYTES if bound == -1 else bound)
        try:
            yield str(path)
        finally:
            with _lock:
                _users -= 1
                if not _users and isinstance(module._cache, Store):
                    module._cache = None


def _jax_cache() -> tuple[Any, Any] | None:
    """JAX's module that holds the place of entries, and its setting of the least compile time kept."""
    try:
        from jax._src import compilation_cache, config

        least: Any = config.persistent_cache_min_compile_time_secs
        if hasattr(compilation_cache, "_cache") and hasattr(compilation_cache, "_get_cache"):
            return compilation_cache, least
    except (ImportError, AttributeError):
        pass
    return None

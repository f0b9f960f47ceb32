"""Compiling for XLA: the first call, its progress line, the programs kept on disk, tapes cut into blocks."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="needs the extra `xla`")

from prooftape.xla import cache, compiling  # noqa: E402
from prooftape.xla.arrays import JaxArrays  # noqa: E402


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache of compiled programs that keeps even what compiles at once."""
    monkeypatch.setenv("PROOFTAPE_XLA_CACHE", str(tmp_path / "programs"))
    monkeypatch.setattr(cache, "MIN_SECONDS", 0.0)
    monkeypatch.setattr(cache, "counts", cache.Counts())
    yield tmp_path / "programs"


def entries(root: Path) -> list[Path]:
    return sorted(root.glob(f"*/*{cache.SUFFIX}"))


def compile_once(factor: float = 3.0) -> tuple[float, bool]:
    """A first call of a new jit of the same program: its result, and whether it came from the disk."""
    program = compiling.compiled(
        lambda x: (x * np.float32(factor)).sum(), x64=False, low_precision=False, label="test"
    )
    result, seconds, hit = compiling.first_call(program, (np.ones(4, np.float32),), "a test")
    assert seconds > 0
    return float(result), hit


# -- the cache -----------------------------------------------------------------------------------------


def test_the_second_compilation_comes_from_the_disk(kept: Path) -> None:
    assert compile_once() == (12.0, False)
    assert compile_once() == (12.0, True)
    assert compile_once(4.0) == (16.0, False)
    assert (cache.counts.hits, cache.counts.misses, cache.counts.written) == (1, 2, 2)
    assert len(entries(kept)) == 2


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_the_folder_is_the_users_alone(kept: Path) -> None:
    compile_once()
    assert kept.stat().st_mode & 0o077 == 0
    assert entries(kept)[0].parent.stat().st_mode & 0o077 == 0


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


DAMAGES = {
    "empty": lambda d: b"",
    "short": lambda d: d[: len(d) // 2],
    "only a digest": lambda d: d[: cache.DIGEST_BYTES],
    "first byte": lambda d: flipped(d, 0),
    "a byte of the program": lambda d: flipped(d, len(d) // 2),
    "last byte": lambda d: flipped(d, len(d) - 1),
    "longer": lambda d: d + b"\0",
    "something else": lambda d: b"not a program" * 100,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_compiled_anew(kept: Path, damage: str) -> None:
    compile_once()
    (file,) = entries(kept)
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    assert compile_once() == (12.0, False)
    assert cache.counts.damaged == 1
    assert compile_once() == (12.0, True), "the damaged entry was not replaced"


def test_an_entry_under_another_name_is_not_believed(kept: Path) -> None:
    compile_once(3.0)
    (first,) = entries(kept)
    compile_once(4.0)
    second = next(f for f in entries(kept) if f != first)
    second.write_bytes(first.read_bytes())
    assert compile_once(4.0) == (16.0, False)
    assert cache.counts.damaged == 1


def test_whole_content_that_is_no_program_is_compiled_anew(kept: Path) -> None:
    """The digest is right and JAX cannot read the content: it warns, and the entry is replaced."""
    compile_once()
    (file,) = entries(kept)
    store = cache.Store(file.parent, cache.MAX_BYTES)
    keys: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache.Store, "get", lambda self, key: keys.append(key))
        compile_once()
    store.put(keys[0], b"no program")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert compile_once() == (12.0, False)
    assert any("persistent compilation cache" in str(w.message) for w in told)
    assert compile_once() == (12.0, True)


def test_a_folder_that_cannot_be_written_is_no_cache(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.write_text("a file where the folder should be")
    assert compile_once() == (12.0, False)
    assert compile_once() == (12.0, False)
    assert cache.counts.written == 0


def test_the_entries_used_longest_ago_go_first(tmp_path: Path) -> None:
    size = 1000 + cache.DIGEST_BYTES
    store, other = (cache.Store(tmp_path / name, 3 * size) for name in ("a", "b"))
    for age, (where, key) in enumerate([(store, "1"), (other, "2"), (store, "3")]):
        where.put(key, bytes(1000))
        os.utime(where._file(key), (age, age))
    assert store.get("1") is not None  # used now
    store.put("4", bytes(1000))
    assert other.get("2") is None, "the bound holds over all machines and versions"
    assert [store.get(k) is not None for k in "134"] == [True, True, True]
    store.put("too large", bytes(4000))
    assert store.get("too large") is None


def test_jax_keeps_nothing_of_ours_afterwards(kept: Path) -> None:
    from jax._src import compilation_cache

    before = jax.config.jax_persistent_cache_min_compile_time_secs
    compile_once()
    assert compilation_cache._cache is None
    assert jax.config.jax_persistent_cache_min_compile_time_secs == before
    assert not jax.config.jax_compilation_cache_dir
    jax.jit(lambda x: x * 5)(np.ones(4, np.float32))
    assert len(entries(kept)) == 1, "a program that is not ours was kept"


def test_the_place_is_shared_by_threads_and_given_up_by_the_last(kept: Path) -> None:
    from jax._src import compilation_cache

    inside, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with cache.attached():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=stay)
    thread.start()
    assert inside.wait(10)
    compile_once()
    assert isinstance(compilation_cache._cache, cache.Store)
    leave.set()
    thread.join()
    assert compilation_cache._cache is None


@pytest.mark.parametrize("given", ["0", "folder"])
def test_the_variable_moves_it_or_turns_it_off(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROOFTAPE_CACHE", str(tmp_path / "user"))
    monkeypatch.setenv("PROOFTAPE_XLA_CACHE", given)
    monkeypatch.setattr(cache, "MIN_SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)
    compile_once()
    assert compile_once() == (12.0, given != "0")
    assert len(entries(tmp_path / "folder")) == (given != "0")
    assert not (tmp_path / "user").exists()


def test_the_place_without_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROOFTAPE_XLA_CACHE", raising=False)
    monkeypatch.setenv("PROOFTAPE_CACHE", str(tmp_path))
    place = cache.folder()
    assert place is not None
    assert place.parent == tmp_path / "xla"


def test_another_environment_has_another_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = [cache.environment_digest()]
    assert cache.environment_digest() == digests[0]
    changes: list[tuple[Any, str, Any]] = [
        (cache, "processor", lambda: ("flags:sse2",)),
        (cache, "threads", lambda: 97),
        (cache, "installed", lambda package: "0"),
        (jax, "__version__", "0"),
    ]
    for owner, name, value in changes:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, name, value)
            digests.append(cache.environment_digest())
    monkeypatch.setenv("NPROC", "97")
    digests.append(cache.environment_digest())
    assert len(set(digests)) == 6


def test_a_jax_without_the_hooks_compiles_without_our_cache(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jax._src import config

    monkeypatch.delattr(config, "persistent_cache_min_compile_time_secs")
    assert cache._jax_cache() is None
    with cache.attached() as place:
        assert place == ""


FRESH = """
import sys
import jax
import numpy as np
from prooftape.xla import cache, compiling
cache.MIN_SECONDS = 0.0
if len(sys.argv) > 1:
    jax.config.update("jax_compilation_cache_dir", sys.argv[1])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
program = compiling.compiled(lambda x: (x * 3).sum(), x64=False, low_precision=False, label="test")
result, _, hit = compiling.first_call(program, (np.ones(4, np.float32),), "a test")
print(float(result), hit, cache.counts.hits)
"""


def fresh(*arguments: str, **environment: str) -> str:
    """What a new process says: result, whether it came from the disk, hits in our own store."""
    done = subprocess.run(
        [sys.executable, "-c", FRESH, *arguments],
        env=os.environ | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.mark.slow
def test_processes_share_it(tmp_path: Path) -> None:
    place = str(tmp_path / "programs")
    assert fresh(PROOFTAPE_XLA_CACHE=place) == "12.0 False 0"
    assert fresh(PROOFTAPE_XLA_CACHE=place) == "12.0 True 1"


@pytest.mark.slow
def test_a_folder_configured_in_jax_is_used_instead(tmp_path: Path) -> None:
    ours, theirs = str(tmp_path / "ours"), str(tmp_path / "theirs")
    assert fresh(theirs, PROOFTAPE_XLA_CACHE=ours) == "12.0 False 0"
    assert fresh(theirs, PROOFTAPE_XLA_CACHE=ours) == "12.0 True 0"
    assert list((tmp_path / "theirs").iterdir())
    assert not (tmp_path / "ours").exists()


# -- the first call ------------------------------------------------------------------------------------


class Screen(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def slow_call(seconds: float, stream: Screen | None) -> Any:
    return compiling.first_call(lambda x: time.sleep(seconds) or x, (7,), compiling.size_label(1234), stream)


def test_a_quick_compilation_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Screen(False)
    assert slow_call(0.0, stream)[0] == 7
    assert stream.getvalue() == ""


def test_one_line_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "PATIENCE", 0.05)
    stream = Screen(False)
    result, seconds, hit = slow_call(0.3, stream)
    assert (result, hit) == (7, False)
    assert seconds >= 0.3
    assert stream.getvalue() == "compiling a program of 1,234 instructions …\n"


def test_a_line_rewritten_on_a_terminal_and_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "PATIENCE", 0.05)
    stream = Screen(True)
    slow_call(0.3, stream)
    parts = stream.getvalue().split("\r")
    assert parts[0] == ""
    assert parts[1] == "compiling a program of 1,234 instructions … 0 s"
    assert len(parts) > 4
    assert parts[-2:] == [" " * len(parts[1]), ""]


def test_the_line_goes_to_the_error_output_or_nowhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compiling, "PATIENCE", 0.05)
    slow_call(0.3, None)
    assert capsys.readouterr().err == "compiling a program of 1,234 instructions …\n"
    monkeypatch.setenv("PROOFTAPE_PROGRESS", "0")
    slow_call(0.3, None)
    assert capsys.readouterr().err == ""


def test_a_closed_stream_does_not_stop_a_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "PATIENCE", 0.05)
    stream = Screen(False)
    stream.close()
    assert slow_call(0.2, stream)[0] == 7


def test_an_error_ends_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(x: int) -> None:
        raise RuntimeError("no")

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="no"):
        compiling.first_call(fails, (1,), "a test", Screen(False))
    assert threading.active_count() == before


def test_the_words() -> None:
    assert compiling.size_label(1) == "a program of 1 instruction"
    assert compiling.size_label(5000) == "a program of 5,000 instructions"


def test_64_bits_and_donation() -> None:
    program = compiling.compiled(lambda x: x * 2, donate=(0,), x64=True, low_precision=False, label="a b")
    with jax.enable_x64(True):
        x = jax.numpy.array([1 / 3])
    assert np.asarray(program(x)).tolist() == [2 / 3]
    assert x.is_deleted()


def test_low_precision_rounds_where_the_program_says() -> None:
    def twice_rounded(x: Any) -> Any:
        return JaxArrays("bfloat16").finish(x * np.float32(1.01))

    program = compiling.compiled(twice_rounded, x64=False, low_precision=True, label="rounded")
    assert float(program(np.float32(1))) == 1.0078125

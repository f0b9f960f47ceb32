"""Compiling the theory into the cache: once, whole or not at all, and with errors that say where.

Most tests here run small theories through programs that stand in for coqc and coqdep and write down what they
are asked to do; the last ones run the prover itself.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from stand_in import program

from prooftape.errors import ProverError
from prooftape.theory import build, sources
from prooftape.theory.prover import HOW_TO_GET, Prover, find_prover

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the programs that stand in are scripts")

# What the theory's files look like here: `needs: Spec/A.v` on the first line, then what the stand-in does.
COQDEP = """
import pathlib, sys
assert sys.argv[1:4] == ["-Q", ".", "Prooftape"]
for name in sys.argv[4:]:
    first = pathlib.Path(name).read_text().splitlines()[0]
    if first == "coqdep fails":
        sys.exit("no such library")
    needed = [n[:-2] + ".vo" for n in first.removeprefix("needs:").split()]
    made = f"{name}o {name[:-2]}.glob {name}.beautified {name[:-2]}.required_vo"
    print(f"{made}: {name} {' '.join(needed)}")
"""
COQC = """
import pathlib, sys, time
if "--version" in sys.argv:
    print("The Coq Proof Assistant, version 8.16.1")
    sys.exit()
name = sys.argv[-1]
with open({log!r}, "a") as log:
    log.write(name + "\\n")
first, *does = pathlib.Path(name).read_text().splitlines()
for needed in first.removeprefix("needs:").split():
    if not pathlib.Path(needed).with_suffix(".vo").is_file():
        sys.exit(f"{{needed}} is not compiled")
for line in does:
    what, _, rest = line.partition(" ")
    if what == "fails":
        sys.exit(f'File "./{{name}}", line {{rest}}, characters 0-3:\\nError: No.')
    if what == "says":
        sys.exit(rest)
    if what == "waits":
        while not pathlib.Path(rest).exists():
            time.sleep(0.01)
    if what == "ends":
        sys.exit()
pathlib.Path(name).with_suffix(".vo").write_text("compiled " + name)
"""


class Workshop:
    """A folder with a theory, a cache and the stand-ins."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.place, self.cache, self.log = root / "proofs", root / "cache", root / "log"
        program(root / "bin" / "coqdep", COQDEP)
        program(root / "bin" / "coqc", COQC.format(log=str(self.log)))
        self.prover = Prover(root / "bin", "8.16.1")
        self.write("Spec/A.v", "needs:")
        self.write("Core/B.v", "needs: Spec/A.v")
        self.write("Ops/C.v", "needs: Core/B.v")
        self.write("Ops/D.v", "needs: Spec/A.v")
        self.write("Theorems.v", "needs: Ops/C.v Ops/D.v")

    def write(self, name: str, *lines: str) -> None:
        path = self.place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")

    def compiled(self, progress: build.Progress | None = None) -> Path:
        return build.compiled(self.prover, self.place, progress)

    def asked(self) -> list[str]:
        """The files that were compiled since the last question."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines

    def error(self) -> str:
        with pytest.raises(ProverError) as caught:
            self.compiled()
        return str(caught.value)

    def theories(self) -> set[str]:
        return {p.name for p in self.cache.glob("theory-*")}

    def builder(self) -> subprocess.Popen[bytes]:
        """Another process that compiles the same theory into the same cache."""
        text = (
            "from pathlib import Path; from prooftape.theory import build, prover\n"
            f"place = build.compiled(prover.Prover(Path({str(self.root / 'bin')!r}), '8.16.1'), "
            f"Path({str(self.place)!r}))\nprint(place, end='')"
        )
        path = os.pathsep.join(p for p in sys.path if p)
        return subprocess.Popen(
            [sys.executable, "-c", text],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setenv("PROOFTAPE_CACHE", str(tmp_path / "cache"))
    return Workshop(tmp_path)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


# -- the cache ----------------------------------------------------------------------------------------------
def test_only_the_first_call_compiles(shop: Workshop) -> None:
    first = shop.compiled()
    assert sorted(shop.asked()) == ["Core/B.v", "Ops/C.v", "Ops/D.v", "Spec/A.v", "Theorems.v"]
    reports: list[str] = []
    assert shop.compiled(lambda name, done, total: reports.append(name)) == first
    assert shop.asked() == [] and reports == []
    os.utime(first, (1000, 1000))
    shop.compiled()
    assert first.stat().st_mtime > 1000  # it counts as used now: what is forgotten first is used least
    assert (first / "Ops" / "C.vo").read_text() == "compiled Ops/C.v"
    assert (first / "Ops" / "C.v").read_bytes() == (shop.place / "Ops" / "C.v").read_bytes()
    assert first == shop.cache / first.name
    assert first == build.folder_of(sources.read(shop.place), "8.16.1")


def test_a_changed_file_is_compiled_again_with_what_imports_it(shop: Workshop) -> None:
    before = shop.compiled()
    shop.asked()
    shop.write("Core/B.v", "needs: Spec/A.v", "changed")
    after = shop.compiled()
    assert after != before and before.is_dir()
    assert shop.asked() == ["Core/B.v", "Ops/C.v", "Theorems.v"]


def test_another_version_of_the_prover_compiles_for_itself(shop: Workshop) -> None:
    before = shop.compiled()
    shop.asked()
    shop.prover = Prover(shop.prover.folder, "9.0.0")
    after = shop.compiled()
    assert len(shop.asked()) == 5
    assert (before.name.split("-")[-1], after.name.split("-")[-1]) == ("8.16.1", "9.0.0")


def test_progress_tells_every_file_and_how_many_there_are(shop: Workshop) -> None:
    reports: list[tuple[str, int, int]] = []
    shop.compiled(lambda name, done, total: reports.append((name, done, total)))
    assert [r[1:] for r in reports] == [(k, 5) for k in range(6)]
    assert reports[0][0] == "" and reports[1][0] == "Spec/A.v" and reports[5][0] == "Theorems.v"


def test_what_is_missing_from_the_cache_is_made_again(shop: Workshop) -> None:
    target = shop.compiled()
    shop.asked()
    (target / "Ops" / "C.vo").unlink()
    assert shop.compiled() == target
    assert (target / "Ops" / "C.vo").read_text() == "compiled Ops/C.v"
    assert shop.asked() == []  # its object was still there
    for stored in (shop.cache / "objects").glob("*.vo"):
        if stored.read_text() == "compiled Ops/D.v":
            stored.unlink()
    (target / "Ops" / "D.vo").unlink()
    shop.compiled()
    assert (target / "Ops" / "D.vo").is_file() and shop.asked() == ["Ops/D.v"]


def test_the_cache_may_be_deleted(shop: Workshop) -> None:
    target = shop.compiled()
    shop.asked()
    shutil.rmtree(shop.cache)
    assert shop.compiled() == target and len(shop.asked()) == 5


def test_theories_used_long_ago_are_forgotten(shop: Workshop) -> None:
    made: list[Path] = []
    for k in range(build.KEPT_THEORIES + 2):
        shop.write("Ops/D.v", "needs: Spec/A.v", f"version {k}")
        made.append(shop.compiled())
        os.utime(made[-1], (1000 + k, 1000 + k))
    os.utime(made[2], (5000, 5000))  # the one used last
    (made[2] / "keys").unlink()  # its list is lost: nothing breaks
    shop.write("Ops/D.v", "needs: Spec/A.v", "the newest")
    newest = shop.compiled()
    assert shop.theories() == {made[2].name, made[4].name, newest.name}


def test_objects_go_when_they_are_old_and_of_no_theory_that_is_kept(shop: Workshop) -> None:
    target = shop.compiled()
    kept = {line.split()[0] for line in (target / "keys").read_text().splitlines()}
    objects = shop.cache / "objects"
    for name in ("old", "young"):
        (objects / f"{name}.vo").write_text("of no theory")
    month_ago = time.time() - 30 * 86400
    for stored in objects.glob("*.vo"):
        if stored.stem != "young":
            os.utime(stored, (month_ago, month_ago))
    shop.write("Ops/D.v", "needs: Spec/A.v", "changed")
    shop.compiled()
    left = {p.stem for p in objects.glob("*.vo")}
    assert kept <= left and "young" in left and "old" not in left


@pytest.mark.parametrize(
    ("platform", "given", "expected"),
    [
        ("linux", {"PROOFTAPE_CACHE": "/tmp/c"}, "/tmp/c"),
        ("linux", {"PROOFTAPE_CACHE": "c"}, "{here}/c"),
        ("linux", {"PROOFTAPE_CACHE": "", "XDG_CACHE_HOME": "/tmp/x"}, "/tmp/x/prooftape"),
        ("linux", {}, "{user}/.cache/prooftape"),
        ("darwin", {}, "{user}/Library/Caches/prooftape"),
        ("darwin", {"PROOFTAPE_CACHE": "/tmp/c"}, "/tmp/c"),
    ],
)
def test_the_place_of_the_cache(
    platform: str, given: dict[str, str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PROOFTAPE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.chdir(tmp_path)
    assert str(build.cache_folder()) == expected.format(here=tmp_path, user=tmp_path / "user")


def test_a_cache_that_cannot_be_written_is_named(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop.root / "file").write_text("")
    monkeypatch.setenv("PROOFTAPE_CACHE", str(shop.root / "file" / "cache"))
    assert shop.error() == (
        f"cannot keep the compiled theory in {shop.root / 'file' / 'cache'}: Not a directory; "
        "PROOFTAPE_CACHE names another folder"
    )


# -- two at once, and one that dies -------------------------------------------------------------------------
def test_two_builders_at_once_make_one_build(shop: Workshop) -> None:
    shop.write("Core/B.v", "needs: Spec/A.v", f"waits {shop.root / 'gate'}")
    builders = [shop.builder(), shop.builder()]
    until(lambda: shop.log.exists() and "Core/B.v" in shop.log.read_text())
    time.sleep(0.5)  # the other one has come to the lock, or will
    (shop.root / "gate").touch()
    places = {b.communicate(timeout=60)[0].decode() for b in builders}
    assert [b.returncode for b in builders] == [0, 0]
    assert places == {str(shop.compiled())}
    assert sorted(shop.asked()) == ["Core/B.v", "Ops/C.v", "Ops/D.v", "Spec/A.v", "Theorems.v"]


def test_a_killed_builder_leaves_nothing_half_made(shop: Workshop) -> None:
    gate = shop.root / "gate"
    shop.write("Core/B.v", "needs: Spec/A.v", f"waits {gate}")
    with shop.builder() as killed:
        until(lambda: shop.log.exists() and "Core/B.v" in shop.log.read_text())
        killed.send_signal(signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    assert shop.theories() == set() and len(list(shop.cache.glob(".building-*"))) == 1
    (shop.cache / "objects" / ".x.vo.tmp.part").write_text("half an object")
    gate.touch()
    shop.asked()
    target = shop.compiled()
    assert build.complete(target, sources.read(shop.place))
    assert "Spec/A.v" not in shop.asked()  # what was finished before counts
    assert list(shop.cache.glob(".building-*")) == []
    assert list((shop.cache / "objects").glob(".*")) == []


def test_a_failing_progress_report_leaves_nothing_half_made(shop: Workshop) -> None:
    def report(name: str, done: int, total: int) -> None:
        if done == 2:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        shop.compiled(report)
    assert shop.theories() == set() and list(shop.cache.glob(".building-*")) == []
    assert build.complete(shop.compiled(), sources.read(shop.place))


# -- what goes wrong ----------------------------------------------------------------------------------------
def test_a_file_that_fails_is_named_with_its_line(shop: Workshop) -> None:
    shop.write("Core/B.v", "needs: Spec/A.v", "fails 2")
    assert shop.error() == "the theory does not compile: Core/B.v: line 2: Error: No."
    assert shop.theories() == set()
    assert "Ops/C.v" not in shop.asked()
    shop.write("Core/B.v", "needs: Spec/A.v")
    shop.compiled()
    assert "Spec/A.v" not in shop.asked()


@pytest.mark.parametrize(
    ("does", "expected"),
    [
        ("says out of luck", "out of luck"),
        ("says ", "coqc failed and does not say why"),
        ("ends well", "coqc ended well but wrote no B.vo"),
        (
            "says Cannot find a physical path bound to logical path Coquelicot.",
            f"Cannot find a physical path bound to logical path Coquelicot.; {HOW_TO_GET}",
        ),
    ],
)
def test_what_a_broken_prover_says_is_passed_on(shop: Workshop, does: str, expected: str) -> None:
    shop.write("Core/B.v", "needs: Spec/A.v", does)
    assert shop.error() == f"the theory does not compile: Core/B.v: {expected}"


def test_a_prover_that_hangs_is_given_up(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "FILE_SECONDS", 0.3)
    shop.write("Spec/A.v", "needs:", f"waits {shop.root / 'never'}")
    assert shop.error() == "the theory does not compile: Spec/A.v: no answer within 0.3 s"


def test_a_failing_or_missing_coqdep_is_told(shop: Workshop) -> None:
    shop.write("Spec/A.v", "coqdep fails")
    assert shop.error() == "coqdep failed: no such library"
    (shop.root / "bin" / "coqdep").unlink()
    expected = f"cannot run {shop.root / 'bin' / 'coqdep'}: No such file or directory; {HOW_TO_GET}"
    assert shop.error() == expected


# -- the sources --------------------------------------------------------------------------------------------
def test_the_sources_are_the_files_of_the_theory_and_no_others(shop: Workshop) -> None:
    for name in ("Spec/note.txt", "Spec/A.vo", "gold/Gold.v", "Spec/deeper/E.v"):
        shop.write(name, "no source")
    assert list(sources.read(shop.place)) == ["Core/B.v", "Ops/C.v", "Ops/D.v", "Spec/A.v", "Theorems.v"]


def test_every_name_and_byte_is_in_the_digest() -> None:
    files = {"Spec/A.v": b"one", "Spec/B.v": b"two"}
    others = [
        {"Spec/A.v": b"one", "Spec/B.v": b"twO"},
        {"Spec/A.v": b"one", "Spec/C.v": b"two"},
        {"Spec/A.v": b"two", "Spec/B.v": b"one"},
        {"Spec/A.v": b"one"},
        {**files, "Spec/C.v": b""},
        {"Spec/A.v": b"oneSpec/B.v 3\ntwo"},
    ]
    digests = {sources.digest(f) for f in (files, *others)}
    assert len(digests) == 1 + len(others)
    assert sources.digest(dict(reversed(files.items()))) == sources.digest(files)


def test_a_checkout_has_its_sources_beside_it() -> None:
    assert sources.folder() == Path(__file__).resolve().parents[2] / "proofs"
    assert "Spec/Graph.v" in sources.read()


# -- the prover itself --------------------------------------------------------------------------------------
@pytest.fixture
def real(shop: Workshop) -> Workshop:
    found = find_prover()
    assert found is not None
    shop.prover = found
    shutil.rmtree(shop.place)
    shop.write("Spec/A.v", "Definition one := 1.")
    shop.write(
        "Core/B.v", "From Prooftape.Spec Require Import A.", "Lemma l : one = 1.", "Proof. reflexivity. Qed."
    )
    shop.write("Theorems.v", "From Prooftape.Core Require B.", "Definition l := @B.l.")
    return shop


@pytest.mark.proofs
def test_the_prover_loads_what_was_compiled(real: Workshop) -> None:
    target = real.compiled()
    text = "From Prooftape Require Theorems.\nPrint Assumptions Theorems.l.\n"
    (real.root / "question.v").write_text(text)
    done = real.prover.run("coqc", ["-Q", str(target), "Prooftape", "question.v"], real.root)
    assert done.ok and done.output.strip() == "Closed under the global context"
    (target / "Core" / "B.vo").unlink()
    assert real.compiled() == target
    assert real.prover.run("coqc", ["-Q", str(target), "Prooftape", "question.v"], real.root).ok


@pytest.mark.proofs
def test_the_prover_recompiles_what_depends_on_a_change(real: Workshop) -> None:
    before = dict(line.split()[::-1] for line in (real.compiled() / "keys").read_text().splitlines())
    real.write(
        "Core/B.v", "From Prooftape.Spec Require Import A.", "Lemma l : 1 = one.", "Proof. reflexivity. Qed."
    )
    after = dict(line.split()[::-1] for line in (real.compiled() / "keys").read_text().splitlines())
    assert [name for name in sorted(before) if before[name] != after[name]] == ["Core/B.v", "Theorems.v"]


@pytest.mark.proofs
def test_the_prover_s_error_is_named_with_file_and_line(real: Workshop) -> None:
    real.write(
        "Core/B.v", "From Prooftape.Spec Require Import A.", "Lemma l : one = 2.", "Proof. reflexivity. Qed."
    )
    message = real.error()
    assert message.startswith("the theory does not compile: Core/B.v: line 3: Error: ")
    assert 'Unable to unify "2" with "one"' in message and "\n" not in message
    assert real.theories() == set()

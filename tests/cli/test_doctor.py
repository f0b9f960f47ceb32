"""The doctor: its list is the package's own, and every state it can find is found."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import io
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from prooftape.cli import doctor, main
from prooftape.errors import ProofTapeError, ProverError

PROJECT = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]


def test_the_list_is_pyproject_s() -> None:
    extras = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
    listed = {lib.extra for lib in doctor.LIBRARIES}
    # `test`, `dev` and `all` are for those who change the package, or repeat the others
    assert listed == set(extras) - {"test", "dev", "all"}
    for extra in sorted(listed):
        wanted = set(extras[extra])
        ours = {
            f"{lib.distribution}{'==' if lib.exactly else '>='}{lib.least}"
            for lib in doctor.LIBRARIES
            if lib.extra == extra
        }
        assert ours == wanted
    least = re.fullmatch(r">=(\d+)\.(\d+)", PROJECT["requires-python"])
    assert least is not None and tuple(map(int, least.groups())) == doctor.PYTHON


def find(report: doctor.Report, name: str) -> doctor.Finding:
    (found,) = [f for f in report.findings if f.name == name]
    return found


@pytest.fixture
def app() -> ModuleType:
    """The command line, run once so that all it imports is there: ask for it before the imagined world."""
    pytest.importorskip("typer")
    module = importlib.import_module("prooftape.cli.app")
    with contextlib.redirect_stdout(io.StringIO()):
        module.run(["doctor"])
    return module


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Versions of an imagined environment in which everything imports."""
    versions = {lib.distribution: lib.least for lib in doctor.LIBRARIES}

    def version(name: str) -> str:
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(importlib, "import_module", lambda name: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    return versions


def test_all_is_well_when_all_is_there(world: dict[str, str]) -> None:
    report = doctor.examine(["train", "interop", "cli"])
    assert report.status == 0 and report.verdict() == "prooftape can run here."
    assert {f.state for f in report.findings if f.group not in ("-", "proofs")} == {"ok"}


def test_a_missing_extra_is_told_and_no_failure(world: dict[str, str]) -> None:
    del world["safetensors"]
    report = doctor.examine()
    found = find(report, "safetensors")
    assert (found.state, found.remedy) == ("missing", "pip install 'prooftape[train]'")
    assert report.status == 0


def test_a_missing_extra_that_was_asked_for_is_a_failure(world: dict[str, str]) -> None:
    del world["safetensors"]
    report = doctor.examine(["train"])
    assert report.status == 1 and report.verdict() == "Not all is well: safetensors (missing)."


def test_the_core_must_be_there_and_new_enough(world: dict[str, str]) -> None:
    world["numpy"] = "1.26.4"
    report = doctor.examine()
    found = find(report, "numpy")
    assert (found.state, found.remedy) == ("old", "needs 2.0 or newer: pip install prooftape --upgrade")
    assert report.status == 1
    del world["numpy"]
    report = doctor.examine()
    assert find(report, "numpy").state == "missing" and report.status == 1


def test_the_oracle_must_be_the_pinned_one(world: dict[str, str]) -> None:
    world["torch"] = "2.13.0+cpu"
    assert find(doctor.examine(["interop"]), "torch").state == "ok"
    world["torch"] = "2.14.1"
    found = find(doctor.examine(), "torch")
    assert found.state == "other"
    assert found.remedy == "the golden values are from 2.13.0: pip install 'prooftape[interop]'"
    assert doctor.examine().status == 0 and doctor.examine(["interop"]).status == 1


def test_a_broken_install_is_a_failure(world: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def import_module(name: str) -> None:
        if name == "flint":
            raise OSError("libflint.so: cannot open shared object file")

    monkeypatch.setattr(importlib, "import_module", import_module)
    report = doctor.examine()
    found = find(report, "python-flint")
    assert found.state == "broken" and found.remedy == (
        "OSError: libflint.so: cannot open shared object file; pip install --force-reinstall python-flint"
    )
    assert report.status == 1


def test_an_old_python_is_told(world: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PYTHON", (4, 0))
    assert find(doctor.examine(), "python").state == "old" and doctor.examine().status == 1


@pytest.mark.parametrize(
    ("says", "state", "version"),
    [
        ("The Coq Proof Assistant, version 8.16.1", "ok", "8.16.1"),
        ("The Rocq Prover, version 9.0.0", "ok", "9.0.0"),
        ("The Coq Proof Assistant, version 8.9.0", "old", "8.9.0"),
    ],
)
def test_rocq_is_asked_for_its_version(
    world: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    says: str,
    state: str,
    version: str,
) -> None:
    program = tmp_path / "coqc"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: str(program))
    found = find(doctor.examine(), "coqc")
    assert (found.state, found.version) == (state, version)
    program.write_text("#!/bin/sh\nexit 3\n")
    report = doctor.examine()
    assert find(report, "coqc").state == "broken" and report.status == 1
    assert find(report, "coquelicot").state == "missing"  # whom should one ask


def prover(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str = "8.16.1") -> Path:
    """A coqc that says where its libraries are; returns the folder of Coquelicot, which is empty."""
    program, library = folder / "coqc", folder / "lib" / "user-contrib" / "Coquelicot"
    asked = f'if [ "$1" = -where ]; then echo {folder / "lib"}; else echo "version {version}"; fi'
    program.write_text(f"#!/bin/sh\n{asked}\n")
    program.chmod(0o755)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: str(program))
    library.mkdir(parents=True)
    return library


def test_coquelicot_is_looked_for_beside_the_prover(
    world: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    library = prover(tmp_path, monkeypatch)
    report = doctor.examine()
    found = find(report, "coquelicot")
    assert (found.state, found.remedy) == ("missing", "Debian, Ubuntu: apt-get install libcoq-coquelicot")
    assert found.use == "the real analysis of the proofs" and report.status == 0
    (library / "Coquelicot.vo").write_bytes(b"")
    assert find(doctor.examine(), "coquelicot").state == "ok"


def test_without_a_prover_nothing_of_it_is_there(
    world: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROOFTAPE_CACHE", str(tmp_path))
    report = doctor.examine()
    states = {f.name: (f.state, f.remedy) for f in report.findings if f.group == "proofs"}
    assert states == {
        "coqc": ("missing", "Debian, Ubuntu: apt-get install coq libcoq-coquelicot"),
        "coquelicot": ("missing", "Debian, Ubuntu: apt-get install libcoq-coquelicot"),
        "theory": ("later", ""),
    }
    assert report.status == 0


def test_the_theory_is_compiled_or_will_be(
    world: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prover(tmp_path, monkeypatch)
    cache, files = tmp_path / "cache", {"Spec/A.v": b"", "Theorems.v": b""}
    monkeypatch.setenv("PROOFTAPE_CACHE", str(cache))
    monkeypatch.setattr(doctor.sources, "read", lambda: files)
    report = doctor.examine()
    found = find(report, "theory")
    assert (found.state, found.version) == ("later", doctor.sources.digest(files)[:12])
    assert found.remedy == f"the first certificate compiles it into {cache}, which takes minutes"
    assert report.status == 0 and not cache.exists()  # asking compiles nothing

    target = doctor.build.folder_of(files, "8.16.1")
    (target / "Spec").mkdir(parents=True)
    (target / "Spec" / "A.vo").write_bytes(b"")
    assert find(doctor.examine(), "theory").state == "later"  # half of it is not it
    (target / "Theorems.vo").write_bytes(b"")
    found = find(doctor.examine(), "theory")
    assert (found.state, found.remedy) == ("ok", "")


def test_missing_sources_of_the_theory_are_a_broken_install(
    world: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read() -> dict[str, bytes]:
        raise ProverError("the theory's sources are missing from the installation")

    monkeypatch.setattr(doctor.sources, "read", read)
    report = doctor.examine()
    found = find(report, "theory")
    assert (found.state, found.remedy) == (
        "broken",
        "the theory's sources are missing from the installation; pip install --force-reinstall prooftape",
    )
    assert report.status == 1


def test_an_unknown_extra_is_refused() -> None:
    with pytest.raises(ProofTapeError) as e:
        doctor.examine(["trian"])
    assert str(e.value) == (
        "doctor: unknown extra 'trian'; known: bench, cli, interop, low-precision, rigor, train, xla"
    )


@pytest.mark.parametrize(
    ("a", "b"), [("2.9", "2.10"), ("1.26.4", "2.0"), ("0.4.5", "0.5"), ("", "1"), ("2.12.1", "2.13.0+cpu")]
)
def test_versions_are_compared_as_numbers(a: str, b: str) -> None:
    assert doctor._numbers(a) < doctor._numbers(b)


def test_equal_releases_are_equal() -> None:
    assert doctor._numbers("2.0") == doctor._numbers("2.0.0") == doctor._numbers("2+cu121")


def test_the_command_prints_the_report(
    app: ModuleType,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    world: dict[str, str],
) -> None:
    del world["safetensors"]
    monkeypatch.setenv("COLUMNS", "120")
    assert app.run(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "safetensors: pip install 'prooftape[train]'" in text and "prooftape can run here." in text
    assert app.run(["doctor", "train"]) == 1
    assert "Not all is well: safetensors (missing)." in capsys.readouterr().out


def test_the_real_environment_can_be_examined() -> None:
    report = doctor.examine()
    assert find(report, "numpy").state == "ok"
    assert len(list(report.lines())) >= len(report.findings)


def test_main_gives_the_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "nonsense"]) == 1
    assert "unknown extra" in capsys.readouterr().err

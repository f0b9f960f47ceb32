"""The wheel as a stranger gets it: what is in it, what it asks for, and that NumPy alone is enough to run it.

The wheel is built from this tree without going to the network and installed into an environment that holds
NumPy and nothing else, so that an extra imported by accident has nowhere to hide.
"""

from __future__ import annotations

import email
import email.message
import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from prooftape import Session
from prooftape.certificates.text import emit
from prooftape.theory import sources
from prooftape.theory.contents import matches_sources

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

pytestmark = pytest.mark.slow


def run(*command: object, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs outside the source tree and without PYTHONPATH, which would put the tree back on the path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--wheel-dir",
        folder,
        ROOT,
    ]
    run(sys.executable, *build, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path, names: set[str]) -> email.message.Message:
    (name,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(zipfile.ZipFile(wheel).read(name))


@pytest.fixture(scope="module")
def stranger(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with NumPy (linked from this one) and the wheel, and nothing else."""
    folder = tmp_path_factory.mktemp("stranger")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    asked = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder)
    site = Path(asked.stdout.strip())
    for path in Path(sysconfig.get_path("platlib")).glob("numpy*"):
        (site / path.name).symlink_to(path)
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-deps",
        "--no-index",
        wheel,
        cwd=folder,
    )
    return python


def test_the_wheel_holds_the_package_the_theory_and_nothing_else(names: set[str]) -> None:
    package = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src" / "prooftape").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "prooftape/py.typed" in package and "prooftape/__init__.py" in package
    assert "prooftape/theory/contents.json" in package
    # the sources alone: no gold file, and nothing that Rocq made of them
    theory = {f"prooftape/_proofs/{name}" for name in sources.read()}
    assert "prooftape/_proofs/Spec/Graph.v" in theory
    assert {name for name in names if ".dist-info/" not in name} == package | theory
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_core_requires_numpy_only(metadata: email.message.Message) -> None:
    requirements = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert [line.replace(" ", "") for line in requirements] == ["numpy>=2.0"]
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"


def test_every_extra_is_offered(metadata: email.message.Message) -> None:
    offered = set(metadata.get_all("Provides-Extra", []))
    extras = "all bench cli dev interop low-precision rigor test train xla"
    assert offered == set(extras.split())
    for extra in offered:
        assert any(f"extra == '{extra}'" in line for line in metadata.get_all("Requires-Dist", [])), extra


def test_it_runs_with_numpy_alone(stranger: Path, tmp_path: Path) -> None:
    program = """
import prooftape as pt
s = pt.Session(scalar="float64")
x = s.input([1.0, 2.0, 3.0], requires_grad=True)
loss = s.sum(s.mul(x, x))
grads = s.backward_scalar_dense_all(loss)
print(pt.__file__, list(map(float, s.grad(grads, x))))
"""
    done = run(stranger, "-W", "error", "-c", program, cwd=tmp_path)
    place, _, gradient = done.stdout.partition(" ")
    assert not Path(place).is_relative_to(ROOT) and gradient.strip() == "[2.0, 4.0, 6.0]"


def test_an_installed_package_has_the_same_theory(stranger: Path, tmp_path: Path) -> None:
    program = """
from prooftape.theory import sources
from prooftape.theory.contents import matches_sources
print(sources.folder(), sources.digest(sources.read()), matches_sources())
"""
    found = run(stranger, "-c", program, cwd=tmp_path).stdout.split()
    assert Path(found[0]).parts[-2:] == ("prooftape", "_proofs")
    assert not Path(found[0]).is_relative_to(ROOT)
    assert found[1] == sources.digest(sources.read())
    assert found[2] == str(matches_sources())


def test_it_writes_certificates_without_a_prover(stranger: Path, tmp_path: Path) -> None:
    program = """
import os
os.environ["PATH"] = ""
import prooftape as pt
s = pt.Session()
verdict = s.certify(s.sum(s.input([1.0, 2.0])), "sum.v")
print(verdict.outcome, len(pt.theorems) > 0)
"""
    done = run(stranger, "-W", "error", "-c", program, cwd=tmp_path)
    assert done.stdout.split() == ["unchecked", "True"]
    s = Session()
    s.sum(s.input([1.0, 2.0]))
    here = emit(s.graph, s.compile_tape(), sources.digest(sources.read()))
    assert (tmp_path / "sum.v").read_text() == here


def test_the_source_archive_holds_the_theory(tmp_path: Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path, cwd=ROOT)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        held = {name.partition("/")[2] for name in opened.getnames()}
    assert {f"proofs/{name}" for name in sources.read()} <= held
    assert {"proofs/_CoqProject", "proofs/gold/statements.txt", "src/prooftape/__init__.py"} <= held
    assert not [name for name in held if name.endswith((".vo", ".glob", ".aux", ".cache"))]


def test_the_version_is_the_metadata_s(stranger: Path, tmp_path: Path) -> None:
    program = (
        "import importlib.metadata as m, prooftape; print(m.version('prooftape'), prooftape.__version__)"
    )
    assert run(stranger, "-c", program, cwd=tmp_path).stdout.split() == [PROJECT["version"]] * 2


def test_the_command_says_which_extra_is_missing(stranger: Path, tmp_path: Path) -> None:
    done = run(stranger.parent / "prooftape", "demo", cwd=tmp_path, check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in said and "prooftape[cli]" in said

"""Finding the prover on the path and running it, with limits; what a broken one is called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from stand_in import program

from prooftape.errors import ProverError
from prooftape.theory import prover
from prooftape.theory.prover import HOW_TO_GET, Prover, find_prover

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the programs that stand in are scripts")


def test_there_may_be_no_prover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_prover() is None


@pytest.mark.parametrize(
    "says", ["The Coq Proof Assistant, version 8.16.1", "The Rocq Prover, version 8.16.1"]
)
def test_the_prover_is_found_by_its_version(
    says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "coqc", f"print({says!r})")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_prover() == Prover(tmp_path, "8.16.1")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("import sys; sys.exit(3)", "--version ended with status 3; "),
        ("import sys; sys.exit('no libraries')", "--version ended with status 1: no libraries; "),
        ("print('hello')", "--version names no version: hello; "),
    ],
)
def test_a_prover_that_does_not_answer_is_no_missing_prover(
    text: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "coqc", text)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProverError) as caught:
        find_prover()
    assert str(caught.value) == f"{tmp_path / 'coqc'} {problem}{HOW_TO_GET}"


def test_a_prover_that_does_not_answer_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "coqc", "import time; time.sleep(60)")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(prover, "VERSION_SECONDS", 0.3)
    with pytest.raises(ProverError) as caught:
        find_prover()
    assert str(caught.value) == f"{tmp_path / 'coqc'} --version gave no answer within 0.3 s"


def test_a_prover_that_cannot_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "coqc").write_bytes(b"\0")
    (tmp_path / "coqc").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProverError) as caught:
        find_prover()
    assert str(caught.value) == f"cannot run {tmp_path / 'coqc'}: Exec format error; {HOW_TO_GET}"


def test_a_run_has_limits_and_no_paths_of_the_user_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "import os, resource as r, sys\n"
        "print(os.environ['COQPATH'], os.environ['ROCQPATH'], r.getrlimit(r.RLIMIT_AS)[0],"
        " r.getrlimit(r.RLIMIT_STACK)[0], sys.argv[1:])"
    )
    program(tmp_path / "coqc", text)
    monkeypatch.setenv("COQPATH", "/somewhere")
    monkeypatch.setenv("ROCQPATH", "/somewhere")
    resource = pytest.importorskip("resource")
    done = Prover(tmp_path, "8.16.1").run("coqc", ["x.v"], tmp_path)
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    memory = prover.MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(prover.MEMORY_BYTES, hard)
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    stack = 2**30 if hard == resource.RLIM_INFINITY else min(2**30, hard)
    flags = ["-q", "-w", "-ambiguous-paths,-notation-overridden", "x.v"]
    assert done.ok and done.output == f"  {memory} {stack} {flags}\n"

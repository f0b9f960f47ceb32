"""Damaged checkpoint files, and files written wrong: every one is refused, with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prooftape as pt
from prooftape.errors import CheckpointError
from prooftape.training import adam, checkpoint_file, load_checkpoint, save_checkpoint, sgd

pytest.importorskip("safetensors")


def example(tmp_path: Path, scalar: str = "float32") -> Path:
    path = tmp_path / "x.safetensors"
    s = pt.Session(scalar)
    params = [s.param([[1, 2, 3], [-4, 5, 6]], "W"), s.param(0.5, "b"), s.param(np.zeros((0, 3)), "empty")]
    run = sgd(lr=0.25, momentum=0.5) if scalar == "rational" else adam(lr=0.125)
    w, b = s.use(params[0]), s.use(params[1])
    run.step(s, s.backward_scalar_dense_all(s.mul(s.square(b), s.sum(s.mul(w, w)))))
    save_checkpoint(path, params, optimizer=run, graph=s.graph, step=1, extra={"note": "x"})
    return path


@pytest.mark.parametrize("scalar", ["float32", "rational"])
def test_a_truncated_file_is_refused(scalar: str, tmp_path: Path) -> None:
    path = example(tmp_path, scalar)
    whole = path.read_bytes()
    for n in [*range(0, len(whole), 7), len(whole) - 1]:
        path.write_bytes(whole[:n])
        with pytest.raises(CheckpointError) as e:
            load_checkpoint(path)
        assert str(e.value).startswith(f"{path}: truncated, corrupt, or no safetensors file at all: ")
    path.write_bytes(whole + b"\0")
    with pytest.raises(CheckpointError):
        load_checkpoint(path)


@pytest.mark.parametrize(("scalar", "every"), [("float32", 1), ("rational", 7)])
def test_no_changed_byte_goes_unnoticed(scalar: str, every: int, tmp_path: Path) -> None:
    path = example(tmp_path, scalar)
    whole = path.read_bytes()
    for i in range(0, len(whole), every):
        changed = bytearray(whole)
        changed[i] ^= 1
        path.write_bytes(changed)
        with pytest.raises(CheckpointError):
            load_checkpoint(path)


def test_another_program_s_file_is_told_apart(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "x"
    save_file({"a": np.zeros(2)}, path)
    with pytest.raises(CheckpointError) as e:
        load_checkpoint(path)
    assert str(e.value) == f"{path}: a safetensors file, but no prooftape checkpoint: no metadata 'prooftape'"
    path.write_text("hello, this is a text file of some length\n")
    with pytest.raises(CheckpointError, match="truncated, corrupt, or no safetensors file at all"):
        load_checkpoint(path)
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "nowhere")


def test_a_later_format_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_file, "FORMAT", 2)
    path = example(tmp_path)
    monkeypatch.undo()
    with pytest.raises(CheckpointError) as e:
        load_checkpoint(path)
    assert str(e.value) == f"{path}: checkpoint format 2; this version of prooftape reads 1"


# Each field written wrong, with a digest that holds: the reader must not trust the digest alone.
Meta = dict[str, Any]
WRONG_FIELDS: list[tuple[Callable[[Meta], object], str]] = [
    (lambda m: m.pop("step"), "metadata fields differ: 'step'"),
    (lambda m: m.update(more=1), "metadata fields differ: 'more'"),
    (lambda m: m.update(scalar="float31"), "scalar: unknown scalar 'float31'"),
    (lambda m: m.update(scalar="float64"), "'params/W': the tensor is F32, the metadata says float64"),
    (lambda m: m.update(scalar="rational"), "float tensors in a checkpoint of scalar rational: "),
    (lambda m: m["params"].update(W=[3, 2]), "'params/W': the tensor has shape (2, 3), the metadata says"),
    (lambda m: m["params"].update(W=[-2, 3]), "'W': shape: expected an integer >= 0, got -2"),
    (lambda m: m["params"].update(W="2"), "'W': the shape is '2'"),
    (lambda m: m["params"].update(V=[1]), "'params/V' is listed but its tensor is missing"),
    (lambda m: m["params"].pop("empty"), "unexpected 'params/empty'"),
    (lambda m: m.update(params=3), "malformed metadata: AttributeError"),
    (lambda m: m.update(graph="nonsense"), "graph: "),
    (lambda m: m.update(step=-1), "step: expected an integer >= 0, got -1"),
    (lambda m: m.update(extra=[]), "extra: expected an object"),
    (lambda m: m["exact"].update(a=["1"]), "exact values in a checkpoint of scalar float32: 'a'"),
    (lambda m: m["optimizer"].update(name=3), "optimizer: unexpected fields"),
    (lambda m: m["optimizer"].pop("step"), "optimizer: unexpected fields"),
    (lambda m: m["optimizer"].update(step="1"), "optimizer: step: expected an integer >= 0, got '1'"),
    (lambda m: m["optimizer"]["steps"].update(W=-1), "optimizer: steps of 'W': expected an integer >= 0"),
    (lambda m: m["optimizer"]["steps"].update(V=1), "optimizer: state for 'V', which is not a param"),
    (lambda m: m["optimizer"]["slots"].pop("W"), "malformed metadata: KeyError"),
    (lambda m: m["optimizer"]["slots"]["W"].pop(), "unexpected 'optimizer/exp_avg_sq/W'"),
    (lambda m: m["optimizer"]["slots"]["W"].append("v"), "'optimizer/v/W' is listed but its tensor is"),
    (lambda m: m["optimizer"]["settings"].update(lr="fast"), "malformed metadata: ValueError"),
    (lambda m: m.update(optimizer=None), "unexpected 'optimizer/exp_avg/W', "),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), WRONG_FIELDS, ids=[m for _, m in WRONG_FIELDS])
def test_a_wrong_field_is_named(change: Callable[[Meta], object], message: str, tmp_path: Path) -> None:
    path = example(tmp_path)
    meta, tensors = checkpoint_file.decode(path.read_bytes(), "x")
    change(meta)
    path.write_bytes(checkpoint_file.encode(meta, tensors, "x"))
    with pytest.raises(CheckpointError) as e:
        load_checkpoint(path)
    assert str(e.value).startswith(f"{path}: {message}")


WRONG_NUMBERS = ["1/0", "", "zz", "1/-2", "1.5", "1/2/3", "+1", " 1"]


@pytest.mark.parametrize("text", WRONG_NUMBERS)
def test_a_wrong_exact_number_is_named(text: str, tmp_path: Path) -> None:
    path = example(tmp_path, "rational")
    meta, tensors = checkpoint_file.decode(path.read_bytes(), "x")
    meta["exact"]["params/b"] = [text]
    path.write_bytes(checkpoint_file.encode(meta, tensors, "x"))
    with pytest.raises(CheckpointError) as e:
        load_checkpoint(path)
    assert str(e.value) == f"{path}: 'params/b': {text!r} is not an exact number"


def test_exact_values_must_fill_the_shape(tmp_path: Path) -> None:
    path = example(tmp_path, "rational")
    meta, tensors = checkpoint_file.decode(path.read_bytes(), "x")
    for change, message in (
        (["1", "2"], "'params/b': cannot reshape"),
        (None, "'params/b' is listed but its values are missing"),
    ):
        broken = json.loads(json.dumps(meta))
        broken["exact"]["params/b"] = change
        if change is None:
            del broken["exact"]["params/b"]
        path.write_bytes(checkpoint_file.encode(broken, tensors, "x"))
        with pytest.raises(CheckpointError) as e:
            load_checkpoint(path)
        assert str(e.value).startswith(f"{path}: {message}")

"""Checkpoints: exact round trips, and refusals that name what does not fit."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prooftape as pt
from prooftape.errors import CheckpointError, MissingExtraError
from prooftape.param import Param
from prooftape.training import (
    SGD,
    Adam,
    OptimizerRun,
    adam,
    adamw,
    checkpoint_file,
    load_checkpoint,
    restore,
    save_checkpoint,
    sgd,
)

pytest.importorskip("safetensors")
F = Fraction
SCALARS = ["float32", "float64", "float16", "bfloat16", "rational", "modular(101)"]
START = {"W": [[F(1, 3), 2, 3], [-4, 5, F(6, 7)]], "b": F(1, 2), "empty": np.zeros((0, 3))}


def session(name: str) -> tuple[pt.Session, dict[str, Param]]:
    if name == "bfloat16":
        pytest.importorskip("ml_dtypes")
    s = pt.Session(name)
    return s, {k: s.param(v, name=k) for k, v in START.items()}


def a_step(s: pt.Session, params: dict[str, Param], run: OptimizerRun) -> None:
    s.reset_tape()
    w, b = s.use(params["W"]), s.use(params["b"])
    run.step(s, s.backward_scalar_dense_all(s.mul(s.square(b), s.sum(s.mul(w, w)))))


def optimizer_for(name: str) -> OptimizerRun:
    return sgd(lr=F(1, 64), momentum=F(1, 2)) if name[0] in "rm" else adam(lr=0.125)


def bits(a: Any) -> Any:
    return a.tolist() if a.dtype == object else (a.dtype.name, a.shape, a.tobytes())


# -- round trips -------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", SCALARS)
def test_training_goes_on_as_if_it_had_not_stopped(name: str, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    s, params = session(name)
    run = optimizer_for(name)
    for _ in range(3):
        a_step(s, params, run)
    save_checkpoint(path, params.values(), optimizer=run, graph=s.graph, step=3, extra={"loss": [0.5, None]})

    t, others = session(name)
    for p in others.values():
        p.value = np.zeros(p.shape)
    resumed = optimizer_for(name)
    found = restore(path, others.values(), optimizer=resumed)
    assert found.step == 3 and found.extra == {"loss": [0.5, None]} and found.scalar == name
    assert found.graph == s.graph
    for k in params:
        assert bits(others[k].value) == bits(params[k].value)
    assert resumed.steps == 3
    for _ in range(2):
        a_step(s, params, run)
        a_step(t, others, resumed)
    for k in params:
        assert bits(others[k].value) == bits(params[k].value)


def test_settings_come_back_with_their_types(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    p = Param([1.0], "p")
    for rule in (
        SGD(lr=F(1, 3), momentum=0.5, nesterov=True),
        Adam(lr=1, betas=(0, 0.5)),
        SGD(lr=lambda n: 0.1),
    ):
        save_checkpoint(path, [p], optimizer=rule, state=rule.init({"p": p.value}))
        found = load_checkpoint(path)
        assert found.optimizer == rule.name and repr(found.settings) == repr(
            dict(sorted(rule.settings().items()))
        )


def test_special_floats_keep_their_bits(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for scalar, least in (("float32", 1e-45), ("float64", 5e-324)):
        s = pt.Session(scalar)
        p = s.param([np.nan, np.inf, -np.inf, -0.0, least], name="p")
        save_checkpoint(path, [p])
        assert bits(load_checkpoint(path).params["p"]) == bits(p.value)


def test_every_finite_low_precision_value_comes_back(tmp_path: Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    path = tmp_path / "x.safetensors"
    for scalar, dtype in (("float16", np.dtype(np.float16)), ("bfloat16", np.dtype(ml_dtypes.bfloat16))):
        every = np.arange(2**16, dtype=np.uint16).view(dtype)
        p = pt.Session(scalar).param(every[np.isfinite(every.astype(np.float32))], name="p")
        save_checkpoint(path, [p])
        found = load_checkpoint(path).params["p"]
        assert found.dtype == dtype and found.tobytes() == p.value.tobytes()


def test_exact_values_of_any_length(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    big = F(10**6000 + 1, 7**3000)
    assert sys.get_int_max_str_digits() < 6000
    p = pt.Session("rational").param([big, -big, F(0)], name="p")
    save_checkpoint(path, [p])
    assert load_checkpoint(path).params["p"].tolist() == [big, -big, 0]


def test_equal_contents_give_equal_files(tmp_path: Path) -> None:
    contents = []
    for file in ("a", "b"):
        s, params = session("float32")
        run = adam()
        a_step(s, params, run)
        save_checkpoint(tmp_path / file, params.values(), optimizer=run, graph=s.graph)
        contents.append((tmp_path / file).read_bytes())
    assert contents[0] == contents[1]


def test_any_safetensors_reader_can_take_the_weights(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    s, params = session("float32")
    run = adam()
    a_step(s, params, run)
    save_checkpoint(tmp_path / "x", params.values(), optimizer=run)
    found = load_file(tmp_path / "x")
    assert sorted(found) == [
        "optimizer/exp_avg/W", "optimizer/exp_avg/b", "optimizer/exp_avg_sq/W", "optimizer/exp_avg_sq/b",
        "params/W", "params/b", "params/empty",
    ]  # fmt: skip
    assert bits(found["params/W"]) == bits(params["W"].value)


def test_loaded_arrays_are_read_only(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "x", [Param([1.0], "p")])
    with pytest.raises(ValueError, match="read-only"):
        load_checkpoint(tmp_path / "x").params["p"][0] = 2.0


def test_a_run_that_has_not_begun_can_be_saved(tmp_path: Path) -> None:
    p = Param([1.0], "p")
    save_checkpoint(tmp_path / "x", [p], optimizer=adam())
    run = adam()
    restore(tmp_path / "x", [p], optimizer=run)
    assert run.steps == 0


# -- saving: what is refused ------------------------------------------------------------------------
P, Q = Param([1.0], "p"), Param([1.0, 2.0], "q")
DOUBLE = Param([1.0], "d", scalar=pt.Session("float64").scalar)
STATE = Adam().init({"p": [1.0]})
NOT_JSON = "save_checkpoint: extra must be a dict of JSON data (text keys, lists, no tuples)"
BAD_SAVES: list[tuple[Any, dict[str, Any], str]] = [
    ([], {}, "save_checkpoint: no params given"),
    (
        [P, Param([1.0])], {},
        "params: entry 1, Param(unnamed: float32[1]), has no name; checkpoints match by name: "
        "param(value, name='W')",
    ),
    ([P, Param(0.0, "p")], {}, "params: two are named 'p'; checkpoints match by name, so names are unique"),
    ([P, 3.0], {}, "params: entry 1 is a float, expected a Param"),
    (
        {"p": P}, {},
        "params: expected the Param objects, not a mapping; names come from Param.name",
    ),
    ([P, DOUBLE], {}, "params: 'p' holds float32, 'd' holds float64; a checkpoint holds one scalar"),
    ([P], {"step": -1}, "step: expected an integer >= 0, got -1"),
    ([P], {"step": True}, "step: expected an integer >= 0, got True"),
    ([P], {"extra": {"loss": np.float32(1)}}, "save_checkpoint: extra is not JSON data: "),
    ([P], {"extra": {"loss": float("nan")}}, "save_checkpoint: extra is not JSON data: "),
    ([P], {"extra": {1: 2}}, NOT_JSON),
    ([P], {"extra": [1]}, NOT_JSON),
    (
        [P], {"optimizer": Adam()},
        "save_checkpoint: optimizer must be a run such as adam(lr=1e-3), or a rule such as Adam(lr=1e-3) "
        "together with its state",
    ),
    (
        [P], {"optimizer": adam(), "state": STATE},
        "save_checkpoint: an optimizer run brings its own state; leave state out",
    ),
    (
        [Q], {"optimizer": Adam(), "state": STATE},
        "save_checkpoint: the optimizer remembers 'p', not among the params to save",
    ),
    (
        [DOUBLE], {"optimizer": Adam(), "state": STATE},
        "save_checkpoint: the optimizer state is float32, the params are float64",
    ),
    (
        [P], {"optimizer": Adam(), "state": Adam().init({3: [1.0]})},
        "save_checkpoint: the optimizer state is keyed by 3; expected a param or its name",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("params", "options", "message"), BAD_SAVES)
def test_a_save_that_does_not_fit_writes_nothing(
    params: Any, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"older")
    with pytest.raises(CheckpointError) as e:
        save_checkpoint(path, params, **options)
    assert str(e.value).startswith(message) if message.endswith(": ") else str(e.value) == message
    assert path.read_bytes() == b"older" and list(tmp_path.iterdir()) == [path]


def test_metadata_too_large_to_be_read_back_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_file, "_MAX_HEADER", 200)
    with pytest.raises(
        CheckpointError, match=r"the metadata would take \d+ bytes; safetensors reads at most 200"
    ):
        save_checkpoint(tmp_path / "x", [P])
    assert not (tmp_path / "x").exists()


def test_without_safetensors_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(MissingExtraError) as e:
        save_checkpoint(tmp_path / "x", [P])
    assert str(e.value) == "checkpoints need safetensors: pip install 'prooftape[train]'"


# -- restoring: what is refused ---------------------------------------------------------------------
REFUSALS: list[tuple[dict[str, tuple[Any, str]], OptimizerRun | None, OptimizerRun | None, str]] = [
    (
        {"W": ([[0.0], [0.0]], "float32"), "b": ([0.0], "float32")}, None, None,
        "param 'W' has shape (2, 1), the checkpoint has (1, 2)",
    ),
    (
        {"W": ([[0.0, 0.0]], "float64"), "b": ([0.0], "float64")}, None, None,
        "param 'W' holds float64, the checkpoint holds float32\n"
        "  also: param 'b' holds float64, the checkpoint holds float32",
    ),
    ({"W": ([[0.0, 0.0]], "float32")}, None, None, "the checkpoint has 'b', no such param was given"),
    (
        {"V": ([[0.0, 0.0]], "float32"), "b": ([0.0], "float32")}, None, None,
        "param 'V' is missing from the checkpoint\n"
        "  also: the checkpoint has 'W', no such param was given",
    ),
    (
        {"W": ([[0.0, 0.0]], "float32"), "b": ([0.0], "float32")}, None, adam(),
        "the checkpoint has no optimizer state for this adam",
    ),
    (
        {"W": ([[0.0, 0.0]], "float32"), "b": ([0.0], "float32")}, adam(), adamw(),
        "the checkpoint's optimizer is adam, this run is adamw",
    ),
    (
        {"W": ([[0.0, 0.0]], "float32"), "b": ([0.0], "float32")}, sgd(lr=0.1), sgd(lr=0.1, momentum=0.5),
        "optimizer state of 'W': the checkpoint has nothing, this run keeps 'momentum_buffer'\n"
        "  also: optimizer state of 'b': the checkpoint has nothing, this run keeps 'momentum_buffer'",
    ),
    (
        {"W": ([[0.0, 0.0]], "float32"), "b": ([0.0], "float32")}, sgd(lr=0.1, momentum=0.5), sgd(lr=0.1),
        "optimizer state of 'W': the checkpoint has 'momentum_buffer', this run keeps nothing\n"
        "  also: optimizer state of 'b': the checkpoint has 'momentum_buffer', this run keeps nothing",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("given", "was", "now", "message"), REFUSALS)
def test_a_checkpoint_that_does_not_fit_is_refused_by_name(
    given: dict[str, tuple[Any, str]], was: Any, now: Any, message: str, tmp_path: Path
) -> None:
    s, params = pt.Session(), [Param([[1.0, 2.0]], "W"), Param([3.0], "b")]
    path = tmp_path / "x"
    if was is not None:
        x, y = (s.use(p) for p in params)
        was = OptimizerRun(was.rule)
        was.step(s, s.backward_scalar_dense_all(s.mul(s.sum(x), s.sum(y))))
    save_checkpoint(path, params, optimizer=was)
    others = [Param(v, name, scalar=pt.Session(scalar).scalar) for name, (v, scalar) in given.items()]
    before = [p.stored for p in others]
    with pytest.raises(CheckpointError) as e:
        restore(path, others, optimizer=now)
    assert str(e.value) == f"{path}: does not fit: {message}"
    assert all(p.stored is b for p, b in zip(others, before, strict=True))
    assert now is None or now.state is None

"""Checkpoints: parameters, optimizer state, graph and your own notes in one file, saved all or nothing.

A file is written beside its target and renamed over it, so a kill in mid-save leaves the old file. Restoring
matches by name and checks everything before it changes anything.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prooftape.arrays.structure import Arr
from prooftape.errors import CheckpointError, GraphError, ScalarError
from prooftape.files import write_atomically
from prooftape.graph import Graph
from prooftape.numbers import format_number, parse_number
from prooftape.param import Param
from prooftape.scalars import Scalar, scalar
from prooftape.training import checkpoint_file as file
from prooftape.training.optimizer import Optimizer, OptimizerState, ParamState
from prooftape.training.run import OptimizerRun
from prooftape.types import Shape

PathLike = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a file holds. Arrays are read-only, in the scalar named; `state` is keyed by parameter name."""

    scalar: str
    params: Mapping[str, Arr]
    optimizer: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    state: OptimizerState[str] | None = None
    graph: Graph | None = None
    step: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


# -- saving -----------------------------------------------------------------------------------------
def save_checkpoint(
    path: PathLike,
    params: Iterable[Param],
    *,
    optimizer: OptimizerRun | Optimizer | None = None,
    state: OptimizerState[Any] | None = None,
    graph: Graph | None = None,
    step: int | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write one safetensors file, atomically. Needs the extra `train`.

    params: of one scalar, with unique names. optimizer: a run, or a pure rule together with its `state`
    (keyed by name or by `Param`). graph: stored as text. step: your own count. extra: JSON data (a dict of
    text, finite numbers, lists, …) that reads back equal. Raises `CheckpointError` and writes nothing when
    something does not fit; `OSError` when the file cannot be written.
    """
    named = _by_name(params)
    if not named:
        raise CheckpointError("save_checkpoint: no params given")
    over = _one_scalar(named)
    meta: dict[str, Any] = {
        "scalar": over.name,
        "params": {name: list(p.shape) for name, p in named.items()},
        "optimizer": None,
        "graph": None if graph is None else graph.text(),
        "step": None if step is None else _natural(step, "step"),
        "extra": _json({} if extra is None else extra),
        "exact": {},
    }
    arrays = {f"params/{name}": p.value for name, p in named.items()}
    if optimizer is not None or state is not None:
        rule, kept = _rule_and_state(optimizer, state, over)
        entries = {_key_name(key): entry for key, entry in kept.entries.items()}
        unknown = sorted(set(entries) - set(named))
        if unknown:
            raise CheckpointError(
                f"save_checkpoint: the optimizer remembers {_names(unknown)}, not among the params to save"
            )
        meta["optimizer"] = {
            "name": rule.name,
            "settings": {name: _setting(value) for name, value in rule.settings().items()},
            "step": kept.step,
            "steps": {name: entry.steps for name, entry in entries.items()},
            "slots": {name: sorted(entry.slots) for name, entry in entries.items()},
        }
        for name, entry in entries.items():
            for slot, array in entry.slots.items():
                arrays[f"optimizer/{slot}/{name}"] = over.to_user(array)
    tensors = {}
    for key, array in arrays.items():
        if over.is_float:
            tensors[key] = file.pack(array, over.name)
        else:
            meta["exact"][key] = file.exact_text(array)
    write_atomically(Path(path), file.encode(meta, tensors, str(path)))


def _by_name(params: Iterable[Param]) -> dict[str, Param]:
    if isinstance(params, Mapping):
        raise CheckpointError("params: expected the Param objects, not a mapping; names come from Param.name")
    named: dict[str, Param] = {}
    for i, p in enumerate(params):
        if not isinstance(p, Param):
            raise CheckpointError(f"params: entry {i} is a {type(p).__name__}, expected a Param")
        if not p.name or not isinstance(p.name, str):
            raise CheckpointError(
                f"params: entry {i}, {p!r}, has no name; checkpoints match by name: param(value, name='W')"
            )
        if named.setdefault(p.name, p) is not p:
            raise CheckpointError(
                f"params: two are named {p.name!r}; checkpoints match by name, so names are unique"
            )
    return named


def _one_scalar(named: Mapping[str, Param]) -> Scalar:
    first_name, first = next(iter(named.items()))
    for name, p in named.items():
        if p.scalar.name != first.scalar.name:
            raise CheckpointError(
                f"params: {first_name!r} holds {first.scalar.name}, {name!r} holds {p.scalar.name}; "
                "a checkpoint holds one scalar"
            )
    return first.scalar


def _rule_and_state(
    optimizer: OptimizerRun | Optimizer | None, state: OptimizerState[Any] | None, over: Scalar
) -> tuple[Optimizer, OptimizerState[Any]]:
    if isinstance(optimizer, OptimizerRun):
        if state is not None:
            raise CheckpointError("save_checkpoint: an optimizer run brings its own state; leave state out")
        rule, state = optimizer.rule, optimizer.state or OptimizerState(over, 0, {})
    elif isinstance(optimizer, Optimizer) and state is not None:
        rule = optimizer
    else:
        raise CheckpointError(
            "save_checkpoint: optimizer must be a run such as adam(lr=1e-3), or a rule such as Adam(lr=1e-3) "
            "together with its state"
        )
    if state.scalar.name != over.name:
        raise CheckpointError(
            f"save_checkpoint: the optimizer state is {state.scalar.name}, the params are {over.name}"
        )
    return rule, state


def _key_name(key: object) -> str:
    name = key.name if isinstance(key, Param) else key
    if not isinstance(name, str):
        raise CheckpointError(
            f"save_checkpoint: the optimizer state is keyed by {key!r}; expected a param or its name"
        )
    return name


def _setting(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    return [_setting(v) for v in value] if isinstance(value, tuple) else format_number(value)


def _json(extra: Mapping[str, Any]) -> Any:
    try:
        same = json.loads(json.dumps(extra, allow_nan=False))
    except (TypeError, ValueError) as e:
        raise CheckpointError(f"save_checkpoint: extra is not JSON data: {e}") from None
    if not isinstance(same, dict) or same != extra:
        raise CheckpointError(
            "save_checkpoint: extra must be a dict of JSON data (text keys, lists, no tuples)"
        )
    return same


def _natural(value: object, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise CheckpointError(f"{what}: expected an integer >= 0, got {value!r}")
    return value


def _names(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


# -- loading ----------------------------------------------------------------------------------------
def load_checkpoint(path: PathLike) -> Checkpoint:
    """Read a file without applying it. Raises `CheckpointError` saying what is wrong, or `OSError`."""
    meta, tensors = file.decode(Path(path).read_bytes(), str(path))
    try:
        return _checkpoint(meta, tensors)
    except CheckpointError as e:
        raise CheckpointError(f"{path}: {e}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        # the digest held, so this was written wrong rather than damaged later
        raise CheckpointError(f"{path}: malformed metadata: {type(e).__name__}: {e}") from None


def _checkpoint(meta: dict[str, Any], tensors: dict[str, file.Tensor]) -> Checkpoint:
    expected = {"format", "scalar", "params", "optimizer", "graph", "step", "extra", "exact"}
    if set(meta) != expected:
        raise CheckpointError(f"metadata fields differ: {_names(sorted(set(meta) ^ expected))}")
    try:
        over = scalar(meta["scalar"])
    except ScalarError as e:
        raise CheckpointError(f"scalar: {e}") from None
    reader = _Reader(over, tensors, meta["exact"])
    shapes = {name: _shape(name, dims) for name, dims in meta["params"].items()}
    params = {name: over.to_user(reader.take(f"params/{name}", shape)) for name, shape in shapes.items()}
    name: str | None = None
    settings: dict[str, object] = {}
    state: OptimizerState[str] | None = None
    if meta["optimizer"] is not None:
        name, settings, state = _optimizer(meta["optimizer"], shapes, reader)
    reader.check_all_used()
    graph = None
    if meta["graph"] is not None:
        try:
            graph = Graph.parse(meta["graph"])
        except GraphError as e:
            raise CheckpointError(f"graph: {e}") from None
    step = None if meta["step"] is None else _natural(meta["step"], "step")
    if not isinstance(meta["extra"], dict):
        raise CheckpointError("extra: expected an object")
    return Checkpoint(over.name, params, name, settings, state, graph, step, meta["extra"])


class _Reader:
    """Takes arrays by key, each once, checking shape and dtype."""

    def __init__(self, over: Scalar, tensors: dict[str, file.Tensor], exact: dict[str, list[str]]) -> None:
        self.over = over
        misplaced: Iterable[str] = exact if over.is_float else tensors
        if misplaced:
            kind = "exact values" if over.is_float else "float tensors"
            raise CheckpointError(f"{kind} in a checkpoint of scalar {over.name}: {_names(misplaced)}")
        self.unused = {*tensors, *exact}
        self.tensors = tensors
        self.exact = exact

    def take(self, key: str, shape: Shape) -> Arr:
        self.unused.discard(key)
        if not self.over.is_float:
            if key not in self.exact:
                raise CheckpointError(f"{key!r} is listed but its values are missing")
            try:
                return self.over.to_array(file.exact_values(self.exact[key], shape), key)
            except ValueError as e:
                raise CheckpointError(f"{key!r}: {e}") from None
        if key not in self.tensors:
            raise CheckpointError(f"{key!r} is listed but its tensor is missing")
        tensor = self.tensors[key]
        if tensor.shape != shape:
            raise CheckpointError(f"{key!r}: the tensor has shape {tensor.shape}, the metadata says {shape}")
        if tensor.dtype != file.DTYPES[self.over.name]:
            raise CheckpointError(
                f"{key!r}: the tensor is {tensor.dtype}, the metadata says {self.over.name}"
            )
        return self.over.to_array(file.unpack(tensor), key)

    def check_all_used(self) -> None:
        if self.unused:
            raise CheckpointError(f"unexpected {_names(sorted(self.unused))}")


def _shape(name: str, dims: Any) -> Shape:
    if not isinstance(dims, list):
        raise CheckpointError(f"{name!r}: the shape is {dims!r}")
    return tuple(_natural(d, f"{name!r}: shape") for d in dims)


def _optimizer(
    meta: dict[str, Any], shapes: dict[str, Shape], reader: _Reader
) -> tuple[str, dict[str, object], OptimizerState[str]]:
    if set(meta) != {"name", "settings", "step", "steps", "slots"} or not isinstance(meta["name"], str):
        raise CheckpointError(f"optimizer: unexpected fields {_names(sorted(meta))}")
    entries = {}
    for name, steps in meta["steps"].items():
        if name not in shapes:
            raise CheckpointError(f"optimizer: state for {name!r}, which is not a param of this file")
        slots = {slot: reader.take(f"optimizer/{slot}/{name}", shapes[name]) for slot in meta["slots"][name]}
        entries[name] = ParamState(_natural(steps, f"optimizer: steps of {name!r}"), slots)
    settings = {name: _read_setting(value) for name, value in meta["settings"].items()}
    step = _natural(meta["step"], "optimizer: step")
    return meta["name"], settings, OptimizerState(reader.over, step, entries)


def _read_setting(value: Any) -> object:
    if value is None or isinstance(value, bool):
        return value
    return tuple(_read_setting(v) for v in value) if isinstance(value, list) else parse_number(value)


# -- restoring --------------------------------------------------------------------------------------
def restore(
    source: PathLike | Checkpoint, params: Iterable[Param], *, optimizer: OptimizerRun | None = None
) -> Checkpoint:
    """Put a checkpoint's values into these params, and its optimizer state into this run, all or nothing.

    Names, shapes and scalar must match exactly, and the run's rule must be of the saved kind; otherwise a
    `CheckpointError` lists every difference by name and nothing has changed. The run keeps its own settings
    (a schedule cannot be saved): compare with `Checkpoint.settings` if they must agree.
    """
    checkpoint = source if isinstance(source, Checkpoint) else load_checkpoint(source)
    where = "checkpoint" if isinstance(source, Checkpoint) else str(source)
    named = _by_name(params)
    problems = _differences(checkpoint, named)
    if optimizer is not None:
        problems += _optimizer_differences(checkpoint, optimizer)
    if problems:
        raise CheckpointError(
            f"{where}: does not fit: {problems[0]}" + "".join(f"\n  also: {p}" for p in problems[1:])
        )
    new = {p: p.scalar.to_array(checkpoint.params[name], f"param {name}") for name, p in named.items()}
    if optimizer is not None and checkpoint.state is not None:
        kept = checkpoint.state
        optimizer.state = OptimizerState(
            kept.scalar, kept.step, {named[name]: entry for name, entry in kept.entries.items()}
        )
    for param, array in new.items():
        param.store(array)
    return checkpoint


def _differences(checkpoint: Checkpoint, named: Mapping[str, Param]) -> list[str]:
    problems = []
    for name, p in named.items():
        if name not in checkpoint.params:
            problems.append(f"param {name!r} is missing from the checkpoint")
            continue
        if p.scalar.name != checkpoint.scalar:
            problems.append(f"param {name!r} holds {p.scalar.name}, the checkpoint holds {checkpoint.scalar}")
        saved = checkpoint.params[name].shape
        if p.shape != saved:
            problems.append(f"param {name!r} has shape {p.shape}, the checkpoint has {saved}")
    unexpected = [name for name in checkpoint.params if name not in named]
    return problems + [f"the checkpoint has {name!r}, no such param was given" for name in unexpected]


def _optimizer_differences(checkpoint: Checkpoint, run: OptimizerRun) -> list[str]:
    if checkpoint.optimizer is None or checkpoint.state is None:
        return [f"the checkpoint has no optimizer state for this {run.rule.name}"]
    if checkpoint.optimizer != run.rule.name:
        return [f"the checkpoint's optimizer is {checkpoint.optimizer}, this run is {run.rule.name}"]
    problems = []
    for name, entry in checkpoint.state.entries.items():
        if entry.steps and set(entry.slots) != set(run.rule.slots):
            saved, kept = (_names(sorted(found)) or "nothing" for found in (entry.slots, run.rule.slots))
            problems.append(f"optimizer state of {name!r}: the checkpoint has {saved}, this run keeps {kept}")
    return problems

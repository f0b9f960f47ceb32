"""OpInfo's error inputs as data: the same bad call said in our ops, with the message PyTorch gives."""

from __future__ import annotations

from typing import Any

import torch

from .program import NotApplicable
from .registry import ADAPTERS, translate
from .samples import make_sample, seed
from .store import program_record


def error_records(name: str, info: Any) -> list[dict[str, Any]]:
    """One entry per error input: a program that must be refused, or the reason why the input says nothing
    about us."""
    if info.error_inputs_func is None:
        return []
    seed()
    found = []
    for k, case in enumerate(info.error_inputs("cpu")):
        s = case.sample_input
        sample = make_sample(name, f"error/{k}", s.input, s.args, s.kwargs, gradients_marked=False)
        record: dict[str, Any] = {
            "op": name,
            "id": sample.id,
            "call": sample.call,
            "torch_error": _names(case.error_type),
            "torch_regex": case.error_regex,
        }
        try:
            record |= _translated(name, sample)
        except NotApplicable as reason:
            record["not_applicable"] = str(reason)
        found.append(record)
    return found


def _translated(name: str, sample: Any) -> dict[str, Any]:
    sample.check_dtypes()
    if any(isinstance(v, torch.Tensor) and v.is_complex() for v in sample.flat):
        raise NotApplicable("complex operand")
    if any(not -1e6 < d < 1e6 for shape in sample.leaf_shapes for d in shape):
        raise NotApplicable("a tensor too large to build here")
    if any(len(shape) > 64 for shape in sample.leaf_shapes):
        raise NotApplicable("a tensor of more than 64 axes, which NumPy cannot hold")
    if not sample.leaves:
        raise NotApplicable("no operand is a float tensor")
    args, kwargs = sample.symbolic()
    try:
        program = translate(ADAPTERS[name][0], sample.leaf_shapes, args, kwargs)
    except TypeError as wrong_call:
        raise NotApplicable(
            "an argument that no session op has, or of a type the adapter cannot pass on"
        ) from wrong_call
    return {"leaf_shapes": sample.leaf_shapes, "program": program_record(ADAPTERS[name][0].name, program)}


def _names(error_type: Any) -> str:
    return (
        "/".join(e.__name__ for e in error_type)
        if isinstance(error_type, tuple)
        else str(error_type.__name__)
    )

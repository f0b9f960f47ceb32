"""Write records: one deterministic `.npz` per operator (JSON beside one block of float64), a manifest, error
inputs.

Block: float64 values little-endian, byte planes apart (all first bytes, then all second bytes, …), which
compresses better.
`tests/golden/loader.py` is the reader and states the format.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .program import Program
from .samples import Sample
from .truth import Truth


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside the target, then rename over it: a reader sees the old file or the new one."""
    temporary = path.with_name(f".{path.name}.partial")
    write(temporary)
    os.replace(temporary, path)


def dump_json(value: object, indent: int | None = None) -> str:
    return (
        json.dumps(value, indent=indent, ensure_ascii=True, separators=(",", ":") if indent is None else None)
        + "\n"
    )


class Block:
    """Float64 arrays, laid end to end."""

    def __init__(self) -> None:
        self.parts: list[npt.NDArray[np.float64]] = []
        self.length = 0

    def put(self, x: torch.Tensor | None) -> list[Any] | None:
        if x is None:
            return None
        array = np.ascontiguousarray(x.detach().to(torch.float64).numpy(), dtype="<f8")
        where = [self.length, list(x.shape)]  # array is at least 1-D
        self.parts.append(array.ravel())
        self.length += array.size
        return where

    def planes(self) -> npt.NDArray[np.uint8]:
        flat = np.concatenate([np.zeros(0, dtype="<f8"), *self.parts])
        return np.ascontiguousarray(flat.view(np.uint8).reshape(-1, 8).T)


def _short(scale: float | None) -> float | None:
    """Three significant digits, rounded up: a bound may only grow."""
    return None if scale is None else float(f"{scale * 1.005:.2e}")


def program_record(name: str, p: Program) -> dict[str, Any]:
    assert p.result is not None
    record: dict[str, Any] = {"variant": name, "steps": p.steps, "result": p.result.id}
    if p.constants:
        record["constants"] = [
            {"dtype": str(c.dtype), "shape": c.shape, "data": c.astype(int).ravel().tolist()}
            for c in p.constants
        ]
    for key, value in (("nats", p.nats), ("nat_vecs", p.nat_vecs), ("fillers", p.fillers)):
        if value:
            record[key] = value
    return record


def record_of(
    sample: Sample, programs: list[tuple[str, Program]], truth: Truth, block: Block
) -> dict[str, Any]:
    return {
        "op": sample.op,
        "id": sample.id,
        "call": sample.call + (" [some entries of a larger sample]" if sample.thinned else ""),
        "programs": [program_record(name, p) for name, p in programs],
        "leaves": [block.put(x) for x in sample.tensors],
        "out": block.put(truth.out),
        "boolean": truth.out.dtype == torch.bool,
        "cotangent": block.put(truth.cotangent),
        "gradients": [block.put(g) for g in truth.gradients],
        "tangents": [block.put(t) for t in truth.tangents],
        "jvp": block.put(truth.jvp),
        "out_scale": _short(truth.out_scale),
        "gradient_scales": None
        if truth.gradient_scales is None
        else [_short(s) for s in truth.gradient_scales],
        "jvp_scale": _short(truth.jvp_scale),
    }


def write_npz(path: Path, records: list[dict[str, Any]], block: Block) -> None:
    """A zip of two .npy members without time stamps, so that the same content gives the same bytes."""
    text = np.frombuffer(dump_json(records).encode(), dtype=np.uint8)

    def write(target: Path) -> None:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name, array in (("records", text), ("planes", block.planes())):
                buffer = io.BytesIO()
                np.lib.format.write_array(buffer, array, allow_pickle=False)
                archive.writestr(
                    zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)),
                    buffer.getvalue(),
                    zipfile.ZIP_DEFLATED,
                    9,
                )

    write_atomically(path, write)


def write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda target: target.write_text(text, encoding="utf-8"))

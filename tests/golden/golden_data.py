"""Read the golden values: NumPy and the standard library only.

`data/<operator>.npz` has two members. `records` is JSON text; `planes` is a (8, n) byte array, the byte
planes of n little-endian
float64 values. In a record an array is `[offset, shape]` into those values, or null. `leaves`, `gradients`
and `tangents` are
per leaf; null marks a leaf that is not differentiable. `programs` holds one or more ways to say the PyTorch
`call` as session
calls (scripts/golden/program.py). Written by scripts/make_golden.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Literal = Any  # JSON: str, int, float, bool, None, list, dict

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Program:
    """Session calls: `%i` operands are values (leaves, fillers, then steps), `@i` constants, `$i` and `#i`
    natural numbers."""

    variant: str
    steps: list[tuple[str, list[Literal], dict[str, Literal]]]
    result: int
    constants: list[npt.NDArray[Any]]
    nats: list[int]
    nat_vecs: list[list[int]]
    fillers: list[Array]

    @property
    def ops(self) -> list[str]:
        return [op for op, _, _ in self.steps]


@dataclass(frozen=True)
class Record:
    """PyTorch's answers for one call."""

    op: str
    id: str
    call: str
    programs: list[Program]
    leaves: list[Array]
    out: Array
    boolean: bool
    cotangent: Array | None
    gradients: list[Array | None]
    tangents: list[Array | None]
    jvp: Array | None
    out_scale: float | None
    gradient_scales: list[float | None] | None
    jvp_scale: float | None

    def __str__(self) -> str:
        return f"{self.id}: {self.call}"


def program_of(p: dict[str, Any]) -> Program:
    return Program(
        p["variant"],
        [(op, operands, attributes) for op, operands, attributes in p["steps"]],
        p["result"],
        [np.array(c["data"], dtype=c["dtype"]).reshape(c["shape"]) for c in p.get("constants", [])],
        p.get("nats", []),
        p.get("nat_vecs", []),
        [np.full(shape, fill) for shape, fill in p.get("fillers", [])],
    )


@cache
def records(operator: str) -> list[Record]:
    """All committed records of one OpInfo operator."""
    return read_records(DATA / f"{operator}.npz")


def read_records(path: Path) -> list[Record]:
    """One file in the format above."""
    with np.load(path, allow_pickle=False) as archive:
        entries = json.loads(archive["records"].tobytes())
        values = np.ascontiguousarray(archive["planes"].T).view("<f8").ravel()

    def array(at: list[Any] | None) -> Array | None:
        if at is None:
            return None
        n = int(np.prod(at[1], dtype=np.int64))
        found: Array = values[at[0] : at[0] + n].reshape(at[1])
        found.flags.writeable = False
        return found

    def present(at: list[Any] | None) -> Array:
        found = array(at)
        assert found is not None
        return found

    return [
        Record(
            op=e["op"],
            id=e["id"],
            call=e["call"],
            programs=[program_of(p) for p in e["programs"]],
            leaves=[present(a) for a in e["leaves"]],
            out=present(e["out"]),
            boolean=e["boolean"],
            cotangent=array(e["cotangent"]),
            gradients=[array(a) for a in e["gradients"]],
            tangents=[array(a) for a in e["tangents"]],
            jvp=array(e["jvp"]),
            out_scale=e["out_scale"],
            gradient_scales=e["gradient_scales"],
            jvp_scale=e["jvp_scale"],
        )
        for e in entries
    ]


@cache
def manifest() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / "manifest.json").read_text())
    return found


def operators() -> list[str]:
    return list(manifest()["operators"])


@cache
def error_inputs() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((DATA / "error_inputs.json").read_text())
    return found

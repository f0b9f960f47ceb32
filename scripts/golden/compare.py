"""Two folders of golden values: equal in everything but the last bits of what PyTorch computed.

PyTorch's kernels round differently on another processor. How far two right answers may lie apart is derived
in
`tests/golden/golden_bounds.py` for a session and PyTorch; the same bound holds for PyTorch and PyTorch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from golden_bounds import Bounds, bounds
from golden_data import Array, Program, Record, read_records

ENVIRONMENT = ("numpy", "python", "cpu_capability")
RELATIVE = 2.0**-40
"""Of the largest entry. Samples are a uniform deviate stretched to about [-9, 9], with or without fused
multiply-add:
entries move by some units in the last place of 9, and answers with them, far below this; formulas differ far
above it."""


def _near(a: Array | None, b: Array | None, bound: Array | float) -> bool:
    if a is None or b is None:
        return a is b
    if a.shape != b.shape:
        return False
    allowed = bound + RELATIVE * np.max(np.abs(a[np.isfinite(a)]), initial=0.0)
    with np.errstate(invalid="ignore"):
        return bool(np.all((a == b) | (np.isnan(a) & np.isnan(b)) | (np.abs(a - b) <= allowed)))


def _scale_near(a: float | None, b: float | None, bound: Array | float) -> bool:
    """A scale contains the size of the answer, so it moves with it; beyond that it is kept to three
    digits."""
    if a is None or b is None:
        return a is b
    return abs(a - b) <= 0.02 * max(a, b) + float(np.max(bound, initial=0.0))


def _same_programs(a: Sequence[Program], b: Sequence[Program]) -> bool:
    def text(p: Program) -> str:
        plain = [(c.dtype.str, c.shape, c.tolist()) for c in p.constants]
        fillers = [f.tolist() for f in p.fillers]
        return json.dumps([p.variant, p.steps, p.result, plain, p.nats, p.nat_vecs, fillers])

    return [text(p) for p in a] == [text(p) for p in b]


def _rounding(bound: Bounds, a: Record, b: Record) -> Iterator[str]:
    """Names of the quantities that differ beyond rounding."""
    if not (_near(a.out, b.out, bound.out) and _scale_near(a.out_scale, b.out_scale, bound.out)):
        yield "the value"
    scales = [r.gradient_scales or [None] * len(r.leaves) for r in (a, b)]
    for i, limit in enumerate(bound.gradients):
        near = _near(a.gradients[i], b.gradients[i], limit)
        if not (near and _scale_near(scales[0][i], scales[1][i], limit)):
            yield f"gradient {i}"
    if not (_near(a.jvp, b.jvp, bound.jvp) and _scale_near(a.jvp_scale, b.jvp_scale, bound.jvp)):
        yield "the JVP"


def _record(name: str, a: Record, b: Record) -> list[str]:
    where = f"{name} {a.id}"
    same_inputs = len(a.leaves) == len(b.leaves) and all(
        _near(x, y, 0.0) for x, y in zip(a.leaves, b.leaves, strict=True)
    )
    if a.call != b.call or not same_inputs or not _same_programs(a.programs, b.programs):
        return [f"{where}: call, inputs or programs differ"]
    seeds = zip([a.cotangent, *a.tangents], [b.cotangent, *b.tangents], strict=True)
    if not all(_near(x, y, 0.0) for x, y in seeds):
        return [f"{where}: cotangent or tangents differ"]
    return [f"{where}: {what} differs beyond rounding" for what in _rounding(bounds(a.programs[0], a), a, b)]


def differences(committed: Path, fresh: Path) -> list[str]:
    """Human-readable differences; files that `fresh` lacks only count when it is a full run (it has a
    manifest)."""
    found = []
    for path in sorted(fresh.glob("*.npz")):
        if not (committed / path.name).exists():
            found.append(f"{path.name}: not committed")
            continue
        a, b = read_records(committed / path.name), read_records(path)
        if [r.id for r in a] != [r.id for r in b]:
            found.append(f"{path.name}: other samples were chosen")
            continue
        for r, q in zip(a, b, strict=True):
            found += _record(path.stem, r, q)
    if not (fresh / "manifest.json").exists():
        return found
    found += [
        f"{p.name}: committed, but no longer made"
        for p in committed.glob("*.npz")
        if not (fresh / p.name).exists()
    ]
    manifests = [json.loads((d / "manifest.json").read_text()) for d in (committed, fresh)]
    if len({json.dumps({k: v for k, v in m.items() if k not in ENVIRONMENT}) for m in manifests}) > 1:
        found.append("manifest.json: counts or versions differ")
    if (committed / "error_inputs.json").read_text() != (fresh / "error_inputs.json").read_text():
        found.append("error_inputs.json differs")
    return found

"""Two folders of golden values: equal in everything but the last bits of what PyTorch computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ENVIRONMENT = ("numpy", "python", "cpu_capability")
RELATIVE = 2.0**-40
"""Of the largest entry. PyTorch's vector and scalar kernels differ by a few units in the last place
(2**-52), sums of the
at most 600 terms here by a few hundred; 2**-40 leaves room for both and would still show any change of
formula."""


def _read(path: Path) -> tuple[list[dict[str, Any]], npt.NDArray[np.float64]]:
    with np.load(path, allow_pickle=False) as archive:
        records = json.loads(archive["records"].tobytes())
        return records, np.ascontiguousarray(archive["planes"].T).view("<f8").ravel()


def _close(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> bool:
    if np.array_equal(a, b, equal_nan=True):
        return True
    finite = np.isfinite(a)
    if a.shape != b.shape or not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return False
    return bool(np.all(np.abs(a[finite] - b[finite]) <= RELATIVE * np.max(np.abs(a[finite]), initial=0.0)))


SCALES = ("out_scale", "gradient_scales", "jvp_scale")


def _scales_close(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_scales_close(x, y) for x, y in zip(a, b, strict=True))
    if a is None or b is None:
        return a is b
    return bool(abs(a - b) <= 0.02 * max(abs(a), abs(b)))


def _record(
    name: str, a: dict[str, Any], x: npt.NDArray[np.float64], b: dict[str, Any], y: npt.NDArray[np.float64]
) -> list[str]:
    where = f"{name} {a['id']}"
    if {k: v for k, v in a.items() if k not in SCALES} != {k: v for k, v in b.items() if k not in SCALES}:
        return [f"{where}: call, program or shapes differ"]
    found = [f"{where}: {key} differs" for key in SCALES if not _scales_close(a[key], b[key])]
    for key in ("leaves", "gradients", "tangents", "out", "cotangent", "jvp"):
        arrays = a[key] if key in ("leaves", "gradients", "tangents") else [a[key]]
        for i, at in enumerate(arrays):
            if at is not None:
                n = int(np.prod(at[1], dtype=np.int64))
                if not _close(x[at[0] : at[0] + n], y[at[0] : at[0] + n]):
                    found.append(f"{where}: {key} {i} differs beyond rounding")
    return found


def differences(committed: Path, fresh: Path) -> list[str]:
    """Human-readable differences; files that `fresh` lacks only count when it is a full run (it has a
    manifest)."""
    found = []
    for path in sorted(fresh.glob("*.npz")):
        if not (committed / path.name).exists():
            found.append(f"{path.name}: not committed")
            continue
        (a, x), (b, y) = _read(committed / path.name), _read(path)
        if [r["id"] for r in a] != [r["id"] for r in b]:
            found.append(f"{path.name}: other samples were chosen")
            continue
        for r, q in zip(a, b, strict=True):
            found += _record(path.stem, r, x, q, y)
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

"""Draw, translate, choose, evaluate, write: the whole run."""

from __future__ import annotations

import platform
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import adapters as _registered  # noqa: F401  (importing registers them)
from .choose import MAX_ELEMENTS, Candidate, biggest, choose
from .errors import error_records
from .program import NotApplicable, Program
from .registry import ADAPTERS, translate
from .samples import Sample, op_infos, samples, thin
from .store import Block, dump_json, record_of, write_npz, write_text
from .truth import truth_of

COMMAND = "python scripts/make_golden.py"

UNSTABLE_AT_NAN = frozenset({"nn.functional.elu"})
"""PyTorch 2.13's derivative of elu at nan is 1 from its AVX-512 kernel and nan from the others."""


def _programs(sample: Sample) -> list[tuple[str, Program]]:
    """Every variant that can say the sample; the first variant's reason if none can."""
    sample.check_dtypes()
    reason: NotApplicable | None = None
    found = []
    for variant in ADAPTERS[sample.op]:
        args, kwargs = sample.symbolic()
        try:
            found.append((variant.name, translate(variant, sample.leaf_shapes, args, kwargs)))
        except NotApplicable as why:
            reason = reason or why
    if not found:
        assert reason is not None
        raise reason
    return found


def _operator(name: str, info: Any) -> tuple[list[dict[str, Any]], Block, dict[str, Any]]:
    reasons: Counter[str] = Counter()
    candidates: list[Candidate] = []
    drawn = 0
    for drawn_sample in samples(name, info):
        drawn += 1
        sample = thin(drawn_sample) if ADAPTERS[name][0].elementwise else drawn_sample
        try:
            programs = _programs(sample)
            if name in UNSTABLE_AT_NAN and any(bool(x.isnan().any()) for x in sample.tensors):
                raise NotApplicable("a nan input, at which PyTorch's own kernels disagree with each other")
            if biggest(sample) > MAX_ELEMENTS:
                raise NotApplicable(f"a tensor of more than {MAX_ELEMENTS} entries")
            candidates.append(Candidate(sample, programs))
        except NotApplicable as why:
            reasons[str(why)] += 1
    block, records = Block(), []
    ops: set[str] = set()
    for c in choose(candidates):
        try:
            truth = truth_of(c.sample, info.op)
        except NotApplicable as why:
            reasons[str(why)] += 1
            continue
        records.append(record_of(c.sample, c.programs, truth, block))
        ops |= {op for _, p in c.programs for op, _, _ in p.steps}
    entry = {
        "session_ops": sorted(ops),
        "drawn": drawn,
        "not_applicable": dict(sorted(reasons.items())),
        "used": len(records),
        "probes": sum(r["id"].startswith("probe/") for r in records),
    }
    return records, block, entry


def generate(data: Path, only: list[str] | None = None) -> None:
    """Write `data/<operator>.npz`, `data/error_inputs.json` and `data/manifest.json` (the last two on a full
    run)."""
    torch.set_num_threads(1)
    data.mkdir(parents=True, exist_ok=True)
    infos = op_infos()
    names = only or list(ADAPTERS)
    missing = [n for n in names if n not in infos]
    if missing:
        raise SystemExit(f"no OpInfo named {', '.join(missing)} in PyTorch {torch.__version__}")
    operators: dict[str, Any] = {}
    errors: list[dict[str, Any]] = []
    for name in names:
        records, block, entry = _operator(name, infos[name])
        refused = error_records(name, infos[name])
        errors += refused
        reasons = Counter(r["not_applicable"] for r in refused if "not_applicable" in r)
        entry["errors"] = {
            "drawn": len(refused),
            "translated": sum("program" in r for r in refused),
            "not_applicable": dict(sorted(reasons.items())),
        }
        operators[name] = entry
        write_npz(data / f"{name}.npz", records, block)
        print(f"{name}: {entry['used']} of {entry['drawn']}", flush=True)
    if only:
        return
    manifest = {
        "command": COMMAND,
        "torch": torch.__version__.split("+")[0],
        "numpy": np.__version__,
        "python": platform.python_version(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "totals": {
            "drawn": sum(e["drawn"] for e in operators.values()),
            "not_applicable": sum(sum(e["not_applicable"].values()) for e in operators.values()),
            "used": sum(e["used"] for e in operators.values()),
            "probes": sum(e["probes"] for e in operators.values()),
        },
        "operators": operators,
    }
    write_text(data / "error_inputs.json", dump_json(errors, indent=1))
    write_text(data / "manifest.json", dump_json(manifest, indent=1))

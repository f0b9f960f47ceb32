"""A small, diverse subset of an operator's samples: greedy cover of features, under a count and a size
budget."""

from __future__ import annotations

import json
from dataclasses import dataclass

import torch

from .program import Program
from .samples import Sample

MAX_RECORDS = 24
MAX_ELEMENTS = 600
MAX_FLOATS = 7_000


@dataclass
class Candidate:
    sample: Sample
    programs: list[tuple[str, Program]]


def biggest(sample: Sample) -> int:
    return max((v.numel() for v in sample.flat if isinstance(v, torch.Tensor)), default=0)


def _cost(c: Candidate) -> int:
    """Floats that will be stored, about: each leaf with its gradient, and outputs guessed as large as the
    largest leaf."""
    leaves = sum(v.numel() for v in c.sample.tensors)
    return 2 * leaves + 2 * biggest(c.sample)


def _features(c: Candidate) -> set[str]:
    found = {f"variant {name}" for name, _ in c.programs}
    found.add(c.sample.id.split("/")[0])
    for shape in c.sample.leaf_shapes:
        found.add(f"rank {len(shape)}")
        found.add(f"empty {0 in shape}")
        found.add(f"unit {1 in shape}")
    found.add("shapes " + " ".join(str(s) for s in c.sample.leaf_shapes))
    values = [v for v in c.sample.tensors if v.numel()]
    if values:
        found.add(f"finite {all(bool(v.isfinite().all()) for v in values)}")
        found.add(f"zeros {any(bool((v == 0).any()) for v in values)}")
        found.add(f"large {any(bool((v.abs() > 1e3).any()) for v in values)}")
    for _, program in c.programs:
        found.add("ops " + " ".join(op for op, _, _ in program.steps))
        for op, _, attributes in program.steps:
            found |= {f"{op} {k}={json.dumps(v)}" for k, v in attributes.items()}
    return found


def _signature(c: Candidate) -> str:
    return json.dumps([c.sample.leaf_shapes, [p.steps for _, p in c.programs], sorted(_features(c))])


def choose(candidates: list[Candidate]) -> list[Candidate]:
    """All probes; then, one by one, the candidate with the most features not seen yet (ties: the earliest),
    none twice."""
    kept = [c for c in candidates if c.sample.id.startswith("probe/")]
    seen: set[str] = set().union(*(_features(c) for c in kept)) if kept else set()
    distinct = {_signature(c): c for c in reversed(candidates) if not c.sample.id.startswith("probe/")}
    rest = [(c, _features(c)) for c in reversed(distinct.values())]
    floats = 0
    limit = MAX_RECORDS
    while rest and limit:
        best = max(range(len(rest)), key=lambda i: (len(rest[i][1] - seen), -i))
        candidate, features = rest.pop(best)
        if floats + _cost(candidate) > MAX_FLOATS:
            continue
        kept.append(candidate)
        seen |= features
        floats += _cost(candidate)
        limit -= 1
    order = {id(c): i for i, c in enumerate(candidates)}
    return sorted(kept, key=lambda c: order[id(c)])

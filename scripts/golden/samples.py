"""What OpInfo offers for one operator, with PyTorch tensors told apart: float64 leaves, constants, plain
arguments.

Samples are drawn after seeding torch, numpy and random, so that the list is the same from run to run.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from .probes import PROBES
from .program import NotApplicable, Shape, Value

SEED = 0
THIN_ABOVE = 100
THIN_TO = 48


def op_infos() -> dict[str, Any]:
    """OpInfo records by name, the variant after a dot as PyTorch prints it."""
    return {o.name + (f".{o.variant_test_name}" if o.variant_test_name else ""): o for o in op_db}


def seed() -> None:
    torch.manual_seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002 (OpInfo draws from the global generator)
    random.seed(SEED)


@dataclass
class Sample:
    """One call `op(*args, **kwargs)`, flattened. `leaves` holds the positions of its distinct float
    tensors."""

    op: str
    id: str
    flat: list[Any]
    spec: TreeSpec
    leaves: list[list[int]]
    differentiable: list[bool]
    thinned: bool = False

    @property
    def tensors(self) -> list[torch.Tensor]:
        """The value of each leaf, detached and contiguous."""
        return [self.flat[at[0]].detach().clone(memory_format=torch.contiguous_format) for at in self.leaves]

    @property
    def leaf_shapes(self) -> list[Shape]:
        return [tuple(self.flat[at[0]].shape) for at in self.leaves]

    def arguments(self, leaves: Sequence[torch.Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments with the leaves replaced; other tensors are copied, since some ops write into them
        (running statistics)."""
        flat = [v.clone() if isinstance(v, torch.Tensor) else v for v in self.flat]
        for at, leaf in zip(self.leaves, leaves, strict=True):
            for i in at:
                flat[i] = leaf
        first, args, kwargs = tree_unflatten(flat, self.spec)
        return (first, *args), kwargs

    def symbolic(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments as adapters read them: leaves as `Value`, other tensors as integer or boolean
        arrays."""
        flat: list[Any] = []
        for v in self.flat:
            if not isinstance(v, torch.Tensor):
                flat.append(v)
            elif v.dtype == torch.bool:
                flat.append(v.numpy())
            elif not v.is_floating_point() and not v.is_complex():
                flat.append(v.numpy().astype(np.int64))
            else:
                flat.append(None)
        for i, at in enumerate(self.leaves):
            value = Value(i, tuple(self.flat[at[0]].shape))
            for position in at:
                flat[position] = value
        first, args, kwargs = tree_unflatten(flat, self.spec)
        return (first, *args), kwargs

    def check_dtypes(self) -> None:
        floats = {
            str(v.dtype)
            for v in self.flat
            if isinstance(v, torch.Tensor) and (v.is_floating_point() or v.is_complex())
        }
        if len(floats) > 1:
            raise NotApplicable("operands of different dtypes")

    @property
    def call(self) -> str:
        """The PyTorch call for a reader: shapes for tensors, values for the rest."""
        first, args, kwargs = tree_unflatten([_text(v) for v in self.flat], self.spec)
        shown = [_flat_text(a) for a in (first, *args)] + [f"{k}={_flat_text(v)}" for k, v in kwargs.items()]
        return f"{self.op}({', '.join(shown)})"


class _Shown(str):
    __slots__ = ()


def _text(v: object) -> _Shown:
    if isinstance(v, torch.Tensor):
        return _Shown(str(v.dtype).removeprefix("torch.") + str(list(v.shape)))
    return _Shown(repr(v).replace("torch.", ""))


def _flat_text(v: object) -> str:
    if isinstance(v, list | tuple):
        return "(" + ", ".join(_flat_text(e) for e in v) + ("," if len(v) == 1 else "") + ")"
    if isinstance(v, slice):
        return f"{v.start}:{v.stop}:{v.step}"
    return str(v)


def make_sample(op: str, id: str, first: Any, args: Any, kwargs: Any, gradients_marked: bool) -> Sample:
    """Flatten one call. Where no tensor is marked as requiring gradients, every float64 tensor counts as
    differentiable."""
    flat, spec = tree_flatten((first, tuple(args), dict(kwargs)))
    leaves: list[list[int]] = []
    by_identity: dict[int, list[int]] = {}
    differentiable: list[bool] = []
    for i, v in enumerate(flat):
        if not (isinstance(v, torch.Tensor) and v.is_floating_point()):
            continue
        if id_of(v) in by_identity:
            by_identity[id_of(v)].append(i)
            continue
        by_identity[id_of(v)] = [i]
        leaves.append(by_identity[id_of(v)])
        differentiable.append(bool(v.requires_grad) or not gradients_marked)
    return Sample(op, id, flat, spec, leaves, differentiable)


def id_of(v: object) -> int:
    return id(v)


def samples(name: str, info: Any) -> Iterator[Sample]:
    """Sample inputs, then the reference inputs that are not among them, then our probes of the same
    operator."""
    seen: set[tuple[object, ...]] = set()
    for kind in ("sample", "reference"):
        for k, s in enumerate(_draw(info, f"{kind}_inputs")):
            sample = make_sample(name, f"{kind}/{k}", s[0].input, s[0].args, s[0].kwargs, s[1])
            key = _fingerprint(sample)
            if key not in seen:
                seen.add(key)
                yield sample
    for k, probe in enumerate(PROBES.get(name, [])):
        yield make_sample(name, f"probe/{k}", probe.input, probe.args, probe.kwargs, gradients_marked=False)


def _draw(info: Any, kind: str) -> Iterator[tuple[Any, bool]]:
    seed()
    try:
        drawn = list(getattr(info, kind)("cpu", torch.float64, requires_grad=True))
        marked = True
    except ValueError:  # some reference inputs hold integer tensors, which cannot require gradients
        seed()
        drawn = list(getattr(info, kind)("cpu", torch.float64, requires_grad=False))
        marked = False
    for s in drawn:
        yield s, marked


def _fingerprint(sample: Sample) -> tuple[object, ...]:
    parts: list[object] = [repr(sample.spec)]
    for v in sample.flat:
        if isinstance(v, torch.Tensor):
            contiguous = v.detach().contiguous()
            parts += [str(v.dtype), tuple(v.shape), contiguous.numpy().tobytes()]
        else:
            parts.append(repr(v))
    return tuple(parts)


def thin(sample: Sample) -> Sample:
    """An elementwise call on big tensors of one shape, kept at some entries: the call is the same at each of
    them."""
    tensors = [v for v in sample.flat if isinstance(v, torch.Tensor)]
    shapes = {tuple(t.shape) for t in tensors}
    if (
        len(shapes) != 1
        or tensors[0].numel() <= THIN_ABOVE
        or any(not t.is_floating_point() for t in tensors)
    ):
        return sample
    numel = tensors[0].numel()
    if len(tensors) == 1:
        distinct = np.unique(tensors[0].detach().numpy().ravel(), return_index=True)[1]
        picked = np.sort(distinct) if len(distinct) <= THIN_ABOVE else np.arange(numel)
    else:
        picked = np.arange(numel)
    if len(picked) > THIN_TO:
        picked = picked[(np.arange(THIN_TO) * len(picked)) // THIN_TO]
    at = torch.from_numpy(picked)
    flat = [v.detach().reshape(-1)[at] if isinstance(v, torch.Tensor) else v for v in sample.flat]
    return Sample(sample.op, sample.id, flat, sample.spec, sample.leaves, sample.differentiable, thinned=True)

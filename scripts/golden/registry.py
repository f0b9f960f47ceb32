"""Which adapters exist, by OpInfo name. An adapter has the signature of the PyTorch call with the program in
front."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .program import Program, Value

Adapter = Callable[..., Value]


@dataclass(frozen=True)
class Variant:
    """One way to say a PyTorch sample as session calls. The first variant of an op gives its reasons; others
    are extra."""

    name: str
    build: Adapter
    elementwise: bool


ADAPTERS: dict[str, list[Variant]] = {}


def adapts(*torch_names: str, elementwise: bool = False) -> Callable[[Adapter], Adapter]:
    """Register a variant for some OpInfo names. `elementwise`: big samples may be thinned to some of their
    entries."""

    def register(build: Adapter) -> Adapter:
        for name in torch_names:
            ADAPTERS.setdefault(name, []).append(Variant(build.__name__, build, elementwise))
        return build

    return register


def translate(
    variant: Variant, leaf_shapes: list[tuple[int, ...]], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Program:
    """Run one adapter on a sample whose float tensors have been replaced by leaves; raises NotApplicable."""
    program = Program(leaf_shapes)
    return program.close(variant.build(program, *args, **kwargs))

"""The signature of an op's session method: operands, index references, attributes."""

from __future__ import annotations

from prooftape.attributes import REQUIRED
from prooftape.op import Op


def parameters(op: Op) -> list[tuple[str, object]]:
    """Parameter names of the op's method with defaults (`REQUIRED` for none), in order."""
    first = len(op.operands) - op.optional_operands
    required: list[tuple[str, object]] = [(n, REQUIRED) for n in op.operands[:first]]
    required += [(n, REQUIRED) for n in op.nats]
    required += [(a.name, REQUIRED) for a in op.attrs if a.default is REQUIRED]
    defaults: list[tuple[str, object]] = [(n, None) for n in op.operands[first:]]
    defaults += [(a.name, a.default) for a in op.attrs if a.default is not REQUIRED]
    return required + defaults


def argument_order(op: Op) -> tuple[str, ...]:
    """Names of the method's arguments, in order."""
    return tuple(n for n, _ in parameters(op))

"""Faults on the Python side: wrong rules put into a copy of an op's record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from planting.fault import RecordFault
from prooftape.errors import RuleError
from prooftape.op import OUT, Op, Typing
from prooftape.types import Shape


def _with(op: Op, **parts: Any) -> Op:
    return replace(op, _calls={}, **parts)


def unchanged(op: Op) -> Op:
    """No fault at all: every gate must stay green on it."""
    return _with(op)


# -- VJP ----------------------------------------------------------------------------------------------------
def _vjp(change: Callable[[Any, list[Any]], None]) -> Callable[[Op], Op]:
    def plant(op: Op) -> Op:
        def vjp(xp: Any, call: Any, saved: Any, ct: Any, wanted: Any) -> Any:
            parts = list(op.vjp(xp, call, saved, ct, wanted))
            change(xp, parts)
            return tuple(parts)

        return _with(op, vjp=vjp)

    return plant


def _present(parts: list[Any]) -> list[int]:
    return [i for i, p in enumerate(parts) if p is not None]


def _double_last(xp: Any, parts: list[Any]) -> None:
    for i in _present(parts)[-1:]:
        parts[i] = xp.scale(parts[i], 2)


def _negate_first(xp: Any, parts: list[Any]) -> None:
    for i in _present(parts)[:1]:
        parts[i] = xp.neg(parts[i])


def _zero_last(xp: Any, parts: list[Any]) -> None:
    for i in _present(parts)[-1:]:
        parts[i] = xp.scale(parts[i], 0)


def _drop_first(xp: Any, parts: list[Any]) -> None:
    for i in _present(parts)[:1]:
        parts[i] = None


VJPS = {
    "last cotangent doubled": _vjp(_double_last),
    "first cotangent negated": _vjp(_negate_first),
    "last cotangent zero": _vjp(_zero_last),
    "first cotangent absent": _vjp(_drop_first),
}


# -- JVP ----------------------------------------------------------------------------------------------------
def _jvp_negated(op: Op) -> Op:
    def jvp(xp: Any, *rest: Any) -> Any:
        found = op.jvp(xp, *rest)
        return None if found is None else xp.neg(found)

    return _with(op, jvp=jvp)


def _jvp_forgets_last(op: Op) -> Op:
    def jvp(xp: Any, call: Any, primals: Any, out: Any, tangents: Any) -> Any:
        present = _present(list(tangents))
        kept = [None if i == present[-1] else t for i, t in enumerate(tangents)]
        zero = xp.scale(op.jvp(xp, call, primals, out, tangents), 0)
        return zero if not _present(kept) else op.jvp(xp, call, primals, out, kept)

    return _with(op, jvp=jvp)


JVPS = {"negated": _jvp_negated, "last tangent forgotten": _jvp_forgets_last}


# -- both modes ---------------------------------------------------------------------------------------------
def both_doubled(op: Op) -> Op:
    """Still adjoint to each other."""

    def jvp(xp: Any, *rest: Any) -> Any:
        found = op.jvp(xp, *rest)
        return None if found is None else xp.scale(found, 2)

    def vjp(xp: Any, *rest: Any) -> Any:
        return tuple(None if p is None else xp.scale(p, 2) for p in op.vjp(xp, *rest))

    return _with(op, jvp=jvp, vjp=vjp)


# -- save lists ---------------------------------------------------------------------------------------------
def save_changed(op: Op) -> Op:
    """One save less; of an op without saves, one more."""
    return _with(op, saves=op.saves[:-1] if op.saves else (op.operands[0] if op.operands else OUT,))


# -- shape rules --------------------------------------------------------------------------------------------
def _shape(rule: Callable[[Op, Typing], Shape]) -> Callable[[Op], Op]:
    return lambda op: _with(op, shape_rule=lambda typing: rule(op, typing))


def _longer(op: Op, typing: Typing) -> Shape:
    shape = op.shape_rule(typing)
    return (*shape[:-1], shape[-1] + 1) if shape else (1,)


def _one_axis_more(op: Op, typing: Typing) -> Shape:
    return (1, *op.shape_rule(typing))


def _no_empty(op: Op, typing: Typing) -> Shape:
    """Subtle: wrong for empty arrays only."""
    if any(0 in s for s in (*typing.shapes, op.shape_rule(typing))):
        raise RuleError("empty arrays are refused", "")
    return op.shape_rule(typing)


SHAPES = {
    "result one longer": _shape(_longer),
    "one axis more": _shape(_one_axis_more),
    "empty arrays refused": _shape(_no_empty),
}

# family -> (op, VJP, JVP, shape rule); None where the op has no derivative
PLANTED: dict[str, tuple[str, str | None, str | None, str]] = {
    "elementwise": ("mul", "last cotangent doubled", "last tangent forgotten", "result one longer"),
    "smooth functions": ("tanh", "first cotangent negated", "negated", "empty arrays refused"),
    "selection": ("where", "last cotangent zero", "negated", "one axis more"),
    "comparison": ("greater", None, None, "result one longer"),
    "linear algebra": ("matmul", "last cotangent doubled", "last tangent forgotten", "empty arrays refused"),
    "shape": ("permute", "first cotangent negated", "negated", "result one longer"),
    "joining": ("concat", "last cotangent zero", "last tangent forgotten", "empty arrays refused"),
    "broadcast/reduce": ("reduce_mean", "last cotangent doubled", "negated", "one axis more"),
    "gather": ("gather_rows_ref", "last cotangent doubled", "negated", "empty arrays refused"),
    "scatter": ("scatter_add_row", "last cotangent zero", "last tangent forgotten", "result one longer"),
    "convolution": ("conv2d", "first cotangent negated", "last tangent forgotten", "result one longer"),
    "pooling": ("max_pool", "first cotangent absent", "negated", "result one longer"),
    "softmax": ("softmax", "first cotangent negated", "negated", "empty arrays refused"),
    "norm": ("layer_norm", "last cotangent zero", "last tangent forgotten", "one axis more"),
    "loss": ("cross_entropy", "first cotangent absent", "negated", "result one longer"),
    "attention": ("multi_head_attention", "last cotangent doubled", "negated", "one axis more"),
    "random": ("dropout", "last cotangent doubled", "negated", "empty arrays refused"),
    "constant": ("full", None, None, "empty arrays refused"),
    "windows": ("fold_windows", "last cotangent doubled", "negated", "result one longer"),
}  # fmt: skip


def record_faults() -> Iterator[RecordFault]:
    """All faults on the Python side."""
    for family, (op, vjp, jvp, shape) in PLANTED.items():
        if vjp is not None and jvp is not None:
            yield RecordFault(family, "VJP", op, vjp, VJPS[vjp])
            yield RecordFault(family, "JVP", op, jvp, JVPS[jvp])
            yield RecordFault(family, "slope", op, "both modes doubled", both_doubled)
        yield RecordFault(family, "save list", op, "one save more or less", save_changed)
        yield RecordFault(family, "shape rule", op, shape, SHAPES[shape])

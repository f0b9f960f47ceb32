"""Decl/Exprs.v: forward and local derivatives of the elementwise ops, as scalar expressions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from decl.entries import Elementwise, elementwise
from decl.text import HEAD, rocq_list
from prooftape.numbers import Number
from prooftape.op import Op

OPENING = (
    HEAD
    + """
(** * Elementwise ops as scalar expressions

    [X_expr] is the forward rule of op X, [X_slopes] its local derivatives, one per operand (None: a mask).
    They are what the Python rules do when run on expressions. [Arg i] is operand i, and after the operands
    the result; [Par i] is the op's i-th attribute among those that are numbers. *)
From Coq Require Import List QArith.
From Prooftape.Spec Require Import Scalar.
Import ListNotations.
Open Scope nat_scope.

"""
)
# An infinite number is no rational: an op with a use for infinite attributes is printed once more for each.
INFINITE: dict[str, dict[str, dict[str, Number]]] = {
    "clamp": {
        "clamp_above": {"lo": -math.inf},
        "clamp_below": {"hi": math.inf},
        "clamp_nowhere": {"lo": -math.inf, "hi": math.inf},
    }
}


def _definitions(name: str, rules: Elementwise) -> Iterator[str]:
    yield f"Definition {name}_expr : sx := {rules.value}."
    if rules.slopes is not None:
        slopes = ["None" if s is None else f"Some ({s})" for s in rules.slopes]
        line = f"Definition {name}_slopes : list (option sx) := {rocq_list(slopes)}."
        if len(line) > 110:
            line = f"Definition {name}_slopes : list (option sx) :=\n  [" + ";\n   ".join(slopes) + "]."
        yield line


def exprs(ops: Sequence[Op]) -> str:
    """The whole file."""
    lines: list[str] = []
    for op in ops:
        rules = elementwise(op)
        if rules is None:
            continue
        lines += _definitions(op.name, rules)
        for name, given in INFINITE.get(op.name, {}).items():
            special = elementwise(op, given)
            assert special is not None
            lines += _definitions(name, special)
    return OPENING + "\n".join(lines) + "\n"

"""Play a golden program in a session, and ask the session the questions that PyTorch was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from golden_data import Array, Literal, Program, Record

import prooftape as pt


@dataclass(frozen=True)
class Answers:
    """The session's value, gradients (per leaf, None where none was asked) and JVP."""

    out: Array
    gradients: list[Array | None]
    jvp: Array | None


def play(
    program: Program, leaves: Sequence[Array], requires_grad: Sequence[bool]
) -> tuple[pt.Session, list[Any], Any]:
    """Record the program in a fresh float64 session: the session, the handles of all leaves, the handle of
    the result."""
    s = pt.Session(scalar="float64")
    values: list[Any] = [s.input(x, requires_grad=r) for x, r in zip(leaves, requires_grad, strict=True)]
    values += [s.input(x, requires_grad=False) for x in program.fillers]
    all_leaves = list(values)
    nats = [s.input_nat(n) for n in program.nats]
    nat_vecs = [s.input_nat_vec(v) for v in program.nat_vecs]

    def read(operand: Literal) -> Any:
        if isinstance(operand, list):
            items = [read(o) for o in operand]
            return items if any(isinstance(o, pt.TensorRef) for o in items) else tuple(items)
        if isinstance(operand, str):
            table = {"%": values, "@": program.constants, "$": nats, "#": nat_vecs}
            return table[operand[0]][int(operand[1:])]
        return operand

    for op, operands, attributes in program.steps:
        call = getattr(s, op)
        values.append(call(*(read(o) for o in operands), **{k: read(v) for k, v in attributes.items()}))
    return s, all_leaves, values[program.result]


def ask(program: Program, record: Record) -> Answers:
    """Value, VJP and JVP, as far as the record has them."""
    wanted = [g is not None for g in record.gradients]
    s, leaves, out = play(program, record.leaves, wanted)
    value = np.asarray(s.get_value(out))
    gradients: list[Array | None] = [None] * len(wanted)
    if record.cotangent is not None:
        grads = s.backward_dense_all(out, record.cotangent)
        gradients = [np.asarray(grads[leaf]) if w else None for leaf, w in zip(leaves, wanted, strict=False)]
    jvp = None
    if record.jvp is not None:
        others = len(s.state.leaf_shapes) - len(record.leaves)  # fillers, and masks recorded before any node
        jvp = np.asarray(s.jvp_dense_all(out, [*record.tangents, *[None] * others]))
    return Answers(value, gradients, jvp)

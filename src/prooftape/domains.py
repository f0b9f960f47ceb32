"""`Session(domain="raise")`: stop at the first value outside an op's domain, and say exactly where.

Also in derivatives: where an op has a value but no finite derivative (sqrt at 0), a tangent or cotangent that
is not exactly zero there is refused. An exact zero absorbs, so a branch not taken is no reason to stop.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prooftape.arrays.structure import Arr
from prooftape.errors import DomainError
from prooftape.graph import Location
from prooftape.scalars import Scalar
from prooftape.semantics import ReadNats
from prooftape.tape import Instr


def check_domain(
    scalar: Scalar, instr: Instr, values: Sequence[Arr], read: ReadNats, location: Location | None
) -> None:
    """Raise `DomainError` if an operand of this instruction lies outside the op's domain."""
    outside = instr.call.op.domain.violated
    if outside is not None:
        operands = [values[a] for a in instr.args]
        naturals = [read(start, k) for start, k in instr.nats]
        bad = np.asarray(outside(scalar.xp, instr.call, *operands, *naturals))
        _refuse(instr, operands, bad, "outside its domain", location)


def check_derivative(
    scalar: Scalar,
    instr: Instr,
    values: Sequence[Arr],
    flows: Sequence[Arr | None],
    location: Location | None,
) -> None:
    """Raise `DomainError` where a tangent or cotangent in `flows` meets an infinite derivative."""
    singular, present = instr.call.op.domain.singular, [f for f in flows if f is not None]
    if singular is not None and present:
        operands = [values[a] for a in instr.args]
        spots = np.asarray(singular(scalar.xp, instr.call, *operands))
        for flow in present:
            _refuse(instr, operands, spots & (np.asarray(flow) != 0), "no finite derivative", location)


def _refuse(instr: Instr, operands: Sequence[Arr], bad: Arr, what: str, location: Location | None) -> None:
    if not bad.any():
        return
    index = tuple(int(i) for i in np.argwhere(bad)[0])
    seen = ", ".join(
        f"{name} = {np.asarray(v)[index]}"
        for name, v in zip(instr.call.op.operands, operands, strict=False)
        if v.shape == bad.shape
    )
    where = str(location) if location else "unknown source line"
    raise DomainError(
        f"{instr.kernel}: {what} ({instr.call.op.domain.text}) at index {index}: {seen}; "
        f"node %{instr.out} recorded at {where}",
        op=instr.kernel,
        node=instr.out,
        index=index,
        location=where,
    )

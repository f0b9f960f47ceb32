"""`Session(domain="raise")`: stop at the first value outside an op's domain, and say exactly where."""

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
    domain = instr.call.op.domain
    if domain.violated is None:
        return
    operands = [values[a] for a in instr.args]
    bad = np.asarray(domain.violated(scalar.xp, instr.call, *operands, *(read(s, k) for s, k in instr.nats)))
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
        f"{instr.kernel}: outside its domain ({domain.text}) at index {index}: {seen}; "
        f"node %{instr.out} recorded at {where}",
        op=instr.kernel,
        node=instr.out,
        index=index,
        location=where,
    )

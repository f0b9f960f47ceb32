"""Attention: the op's own rule with plain products, watched once.

The op's own VJP has ten absorbing products. Here a non-finite entry on the way (of x, of a weight, of the
cotangent, or an overflow) is looked for only in the results: every product passes it on, and so does the
softmax's Jacobian; it ends in the cotangent of the weight behind the product where it arose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prooftape.op import Call
from prooftape.ops.attention import multi_head_attention
from prooftape.xla.arrays import JaxArrays
from prooftape.xla.lowerings.lowering import Lowering
from prooftape.xla.lowerings.watching import watch_vectors

Arr = Any


class _PlainProducts(JaxArrays):
    """The vocabulary with products that do not absorb."""

    def amatmul(self, a: Any, b: Any, linear: int) -> Any:
        return self.matmul(a, b)


def _vjp(xp: Any, c: Call, saved: Sequence[Arr], ct: Arr, wanted: Sequence[bool]) -> tuple[Arr | None, ...]:
    if not all(wanted[:4]):
        return multi_head_attention.vjp(xp, c, saved, ct, wanted)  # type: ignore[no-any-return]
    plain = _PlainProducts(xp.storage, strict=False)
    found = multi_head_attention.vjp(plain, c, saved, ct, wanted)
    watch_vectors(xp, [v for dw in found[:4] for v in (dw[0], dw[:, 0])])
    return found  # type: ignore[no-any-return]


LOWERINGS = (
    Lowering(
        "attention",
        ("multi_head_attention",),
        "backward: plain products, watched once",
        vjp=_vjp,
    ),
)

"""What the operators of `TensorRef` do with their operands: constants, broadcasting, what is refused.

Numbers and arrays become constants and shapes broadcast NumPy-style, all of it as explicit nodes. One kind
is refused: ranks that differ when both sides would have to grow ((n,) with (n, 1)), the classic silent bug
inside losses. Nothing is recorded when the op is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from prooftape.errors import OperandError, ShapeError, check_flag, found
from prooftape.handles import BaseTensorRef
from prooftape.numbers import Number
from prooftape.same import same
from prooftape.types import broadcast_shape

if TYPE_CHECKING:
    from prooftape.handle_methods import TensorRef
    from prooftape.session import Session


def is_ref(x: object) -> TypeGuard[TensorRef]:
    """Whether x is a handle of a tensor: the class itself would import this module."""
    return isinstance(x, BaseTensorRef)


def is_number(x: object) -> TypeGuard[Number]:
    """Whether x is a number that goes beside a tensor; a boolean is none."""
    if x.__class__ is float or x.__class__ is int:
        return True
    if isinstance(x, (bool, np.bool_)):
        return False
    return isinstance(x, (Real, np.number)) or (hasattr(x, "p") and hasattr(x, "q"))


def binary(op: str, a: object, b: object) -> TensorRef:
    """Record `op(a, b)` for operators: numbers and arrays become constants, shapes broadcast. Atomic."""
    ref: Any = a if isinstance(a, BaseTensorRef) else b
    token = ref._token
    key, x, y, _, out, after = token.next
    if key is op and (x is a or same(x, a)) and (y is b or same(y, b)):
        token.next = after
        return out  # type: ignore[no-any-return]
    s = ref.session
    if is_ref(a) and is_ref(b):
        if a.type.shape == b.type.shape:
            return getattr(s, op)(a, b)  # type: ignore[no-any-return]
        s._check_handle(b, BaseTensorRef, f"{op}: operand b")

    def build(s: Session) -> TensorRef:
        left, right = (constant(op, x, other) for x, other in ((a, b), (b, a)))
        shape = operator_shape(op, left, right)
        left, right = (x if x.shape == shape else s.broadcast_to(x, shape) for x in (left, right))
        return getattr(s, op)(left, right)  # type: ignore[no-any-return]

    return whole(s, op, (a, b), build)


def whole(
    s: Session, key: str, arguments: tuple[object, ...], build: Callable[[Session], TensorRef]
) -> TensorRef:
    """Record an operator that makes several nodes, all or none; expected as one call when it comes again."""
    token = s._token
    expected = token.next
    if expected[0] is key:
        given = (*arguments, None)
        if same(expected[1], given[0]) and same(expected[2], given[1]) and same(expected[3], arguments[2:]):
            token.next = expected[5]
            return expected[4]  # type: ignore[no-any-return]
    first = len(s._nodes)
    result = s.commit(build)
    s._noted(first, key, arguments, result)
    return result


def constant(op: str, x: object, other: object) -> TensorRef:
    """`x` itself if it is a handle, else a constant in the session of `other`."""
    if is_ref(x):
        return x
    assert is_ref(other)
    if is_number(x):
        return other.session.full(other.shape, x)
    if isinstance(x, (np.ndarray, list, tuple)):
        return other.session.constant_operand(x)
    fix = {"Param": "put it into the graph with use(param)"}.get(
        type(x).__name__, "it takes TensorRefs, numbers and arrays of numbers"
    )
    raise OperandError(f"{op}: cannot combine {other._shown()} with {found(x)}; {fix}")


def choose(mask: TensorRef | NDArray[np.bool_] | Sequence[Any], a: TensorRef, b: object) -> TensorRef:
    """Record `where(mask, a, b)` with `b` broadcast to a's shape. Atomic."""

    def build(s: Session) -> TensorRef:
        other = constant("where", b, a)
        return s.where(mask, a, other if other.shape == a.shape else s.broadcast_to(other, a.shape))

    return whole(a.session, "where.method", (a, mask, b), build)


KEPT = {name: f"{name}.keepdims" for name in ("sum", "mean", "reduce_max", "var")}
"""What a replay expects in the place of `x.sum(…, keepdims=True)` and its like."""


def kept(
    x: TensorRef, op: str, part: str, axis: int | Sequence[int] | None, keepdims: object, *attrs: object
) -> TensorRef:
    """One reduction node and a reshape behind it that keeps the axes; both or neither.

    op: what reduces all entries; part: what reduces some.
    """

    def build(s: Session) -> TensorRef:
        every = tuple(range(x.ndim))
        if axis is None and op in ("sum", "mean"):
            y: TensorRef = getattr(s, op)(x)
        else:
            y = getattr(s, part)(x, every if axis is None else axis, *attrs)
        if not check_flag(f"{op}: keepdims", keepdims):
            return y
        reduced = every if axis is None else (axis,) if isinstance(axis, (int, np.integer)) else axis
        gone = {a % x.ndim for a in reduced}
        return s.reshape(y, [1 if i in gone else d for i, d in enumerate(x.shape)])

    return whole(x.session, KEPT[op], (x, axis, keepdims, *attrs), build)


def operator_shape(op: str, a: TensorRef, b: TensorRef) -> tuple[int, ...]:
    """The broadcast shape of an operator's operands; raises for the refused kinds."""
    shape = broadcast_shape(a.shape, b.shape)
    graph = a.session.graph
    if shape is None:
        raise ShapeError(
            f"{op}: shapes do not broadcast: {graph.describe(a.id)} and {graph.describe(b.id)}; "
            "trailing dimensions must be equal or 1"
        )
    if a.ndim != b.ndim and shape not in (a.shape, b.shape):
        raise ShapeError(
            f"{op}: refusing to broadcast both sides across ranks: {graph.describe(a.id)} and "
            f"{graph.describe(b.id)} would give {shape}; reshape one of them, "
            "or use broadcast_to if you mean it"
        )
    return shape

"""A golden program: the session calls one PyTorch sample stands for, as plain data.

Operands are strings: `%i` is value i (leaves first, then one per step), `@i` a constant integer or boolean
array, `$i`
a single natural number read at evaluation, `#i` a vector of naturals read at evaluation. Anything else is a
literal.
The builder does no arithmetic and knows shapes only as far as an adapter needs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Shape: TypeAlias = tuple[int, ...]
Literal: TypeAlias = "str | int | float | bool | Sequence[Literal] | None"
Step: TypeAlias = tuple[str, list[Literal], dict[str, Literal]]
Constant: TypeAlias = npt.NDArray[np.int64] | npt.NDArray[np.bool_]


class NotApplicable(Exception):
    """The sample uses something no session op has; the message is the reason that the coverage table
    counts."""


@dataclass(frozen=True)
class Value:
    """A leaf or the result of a step; `shape` is None where the adapter did not need it."""

    id: int
    known_shape: Shape | None = None

    @property
    def ref(self) -> str:
        return f"%{self.id}"

    @property
    def shape(self) -> Shape:
        if self.known_shape is None:
            raise TypeError(f"the adapter did not state the shape of value {self.id}")
        return self.known_shape

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass
class Program:
    """Leaves of given shapes, followed by steps. Extra leaves (zero biases and the like) are `fillers`."""

    leaf_shapes: list[Shape]
    steps: list[Step] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)
    nats: list[int] = field(default_factory=list)
    nat_vecs: list[list[int]] = field(default_factory=list)
    fillers: list[tuple[Shape, float]] = field(default_factory=list)
    result: Value | None = None

    def leaf(self, i: int) -> Value:
        return Value(i, self.leaf_shapes[i])

    def call(self, op: str, *operands: object, shape: Shape | None = None, **attributes: object) -> Value:
        """Append one session call. The id of its value is fixed only when the program is closed (fillers
        come first)."""
        named = {name: self._operand(o) for name, o in attributes.items()}
        self.steps.append((op, [self._operand(o) for o in operands], named))
        return Value(-len(self.steps), shape)

    def _operand(self, o: object) -> Literal:
        if isinstance(o, Value):
            return o.ref
        if isinstance(o, np.ndarray):
            self.constants.append(o.astype(np.bool_) if o.dtype == np.bool_ else o.astype(np.int64))
            return f"@{len(self.constants) - 1}"
        if isinstance(o, list | tuple):
            return [self._operand(e) for e in o]
        if o is None or isinstance(o, str | int | float | bool):
            return o
        raise TypeError(f"not an operand: {o!r}")

    def nat(self, n: int) -> str:
        self.nats.append(int(n))
        return f"${len(self.nats) - 1}"

    def nat_vec(self, v: Sequence[int] | npt.NDArray[np.int64]) -> str:
        self.nat_vecs.append([int(i) for i in v])
        return f"#{len(self.nat_vecs) - 1}"

    def filled(self, shape: Shape, fill: float) -> Value:
        """A constant float leaf (no gradient asked for): the bias of a convolution that has none, a unit
        gamma, …"""
        self.fillers.append((shape, fill))
        return Value(10_000 + len(self.fillers) - 1, shape)

    # -------------------- shape helpers
    def broadcast(self, x: Value, shape: Shape) -> Value:
        return x if x.shape == shape else self.call("broadcast_to", x, shape, shape=shape)

    def reshape(self, x: Value, shape: Shape) -> Value:
        return x if x.known_shape == shape else self.call("reshape", x, shape, shape=shape)

    def permute(self, x: Value, axes: Shape) -> Value:
        if axes == tuple(range(len(axes))):
            return x
        return self.call("permute", x, axes, shape=tuple(x.shape[a] for a in axes))

    def move_axis_first(self, x: Value, axis: int) -> tuple[Value, Shape]:
        """`x` with `axis` in front, and the permutation that puts it back."""
        axes = (axis, *(a for a in range(x.ndim) if a != axis))
        return self.permute(x, axes), tuple(int(a) for a in np.argsort(axes))

    def binary(self, op: str, a: Value, b: Value) -> Value:
        """`op(a, b)` with the broadcast PyTorch does silently written out; shapes that do not broadcast go
        in as they are."""
        try:
            shape = tuple(np.broadcast_shapes(a.shape, b.shape))
        except ValueError:
            return self.call(op, a, b)
        return self.call(op, self.broadcast(a, shape), self.broadcast(b, shape), shape=shape)

    def close(self, result: Value) -> Program:
        """Number every value: leaves, then fillers, then steps."""
        leaves = len(self.leaf_shapes)
        first_step = leaves + len(self.fillers)

        def number(i: int) -> int:
            if i < 0:
                return first_step - i - 1
            return leaves + i - 10_000 if i >= 10_000 else i

        def renumber(o: Literal) -> Literal:
            if isinstance(o, str) and o.startswith("%"):
                return f"%{number(int(o[1:]))}"
            if isinstance(o, list):
                return [renumber(e) for e in o]
            return o

        self.steps = [
            (op, [renumber(o) for o in operands], attributes) for op, operands, attributes in self.steps
        ]
        self.result = Value(number(result.id), result.known_shape)
        return self

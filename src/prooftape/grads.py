"""The result of a backward pass: one cotangent per context id, dense to the reader, sparse inside.

An absent cotangent reads as zeros (and `is_absent` tells it from a computed zero). Entries that nobody
needed (inputs with requires_grad=False) are computed the first time they are asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np

from prooftape.arrays.structure import Arr
from prooftape.errors import (
    ForeignHandleError,
    GradientError,
    IndexRangeError,
    OperandError,
    ShapeError,
    StaleHandleError,
    found,
)
from prooftape.handle_methods import TensorRef
from prooftape.handles import Token
from prooftape.scalars import Scalar
from prooftape.types import REAL, TensorType


def _references(items: list[Arr | None], i: int) -> int:
    return sys.getrefcount(items[i])


_ALONE = _references([np.empty(1)], 0)  # what this interpreter counts for an array only its list holds


def only_reference(items: list[Arr | None], i: int) -> bool:
    """Whether the list holds the only reference to its entry i (views and buffers hold references too)."""
    return _references(items, i) == _ALONE


class Grads:
    """Cotangents of every context id of one recording, for one output and seed."""

    def __init__(
        self,
        cotangents: list[Arr | None],
        types: Callable[[int], TensorType],
        needed: list[bool] | None,
        compute_all: Callable[[], list[Arr | None]],
        check: Callable[[TensorRef, str], None],
        scalar: Scalar,
    ) -> None:
        self._ct = cotangents
        self._types = types
        self._needed = needed
        self._compute_all = compute_all
        self._check = check
        self._scalar = scalar

    def __repr__(self) -> str:
        return f"<Grads {self._scalar.name}: {len(self._ct)} entries; read one with grads[ref]>"

    def __len__(self) -> int:
        """Number of context entries."""
        return len(self._ct)

    def stored(self, id: int) -> Arr | None:
        """The cotangent of a context id as the engine holds it; None when absent."""
        if not isinstance(id, (int, np.integer)) or isinstance(id, bool) or not 0 <= id < len(self._ct):
            end = len(self._ct)
            raise IndexRangeError(f"grads: id {id!r} is out of range; this pass covers 0 <= id < {end}")
        if self._types(id).dtype != REAL:
            raise GradientError(f"grads: %{id} is a mask ({self._types(id)}); masks carry no gradient")
        if self._needed is not None and not self._needed[id]:
            self._ct, self._needed = self._compute_all(), None
        return self._ct[id]

    def take(self, id: int) -> tuple[Arr | None, bool]:
        """The cotangent of a context id, and whether the caller now owns its memory (may overwrite it).

        Owned only if nobody else can see the array: no view was handed out, no other entry shares it. A taken
        entry is computed again if it is ever read.
        """
        ct, needed = self._ct, self._needed
        if needed is not None and needed[id]:
            plain = ct[id] is not None and ct[id].base is None  # type: ignore[union-attr]
            if plain and only_reference(ct, id):  # no name here may hold the array, or there would be two
                taken, ct[id], needed[id] = ct[id], None, False
                return taken, True
        return self.stored(id), False

    def of_id(self, id: int) -> Arr:
        """The cotangent of a context id (zeros when absent), read-only."""
        found = self.stored(id)
        if found is None:
            found = self._scalar.xp.full(self._types(id).shape, 0)
        return self._scalar.to_user(found)

    def __getitem__(self, ref: TensorRef) -> Arr:
        """The gradient with respect to `ref`, of its shape; zeros when nothing flows there."""
        return self.of_id(self._id(ref))

    def is_absent(self, ref: TensorRef) -> bool:
        """True when no cotangent ever reached `ref`: its gradient is zero by structure, not by value."""
        return self.stored(self._id(ref)) is None

    def _id(self, ref: TensorRef) -> int:
        self._check(ref, "grads[ref]")
        if ref.id >= len(self._ct):
            shown = ref._shown()
            raise IndexRangeError(f"grads[ref]: {shown} was recorded after this backward pass; run it again")
        if self._types(ref.id) is not ref.type:
            raise ShapeError(f"grads[ref]: {ref!r} has another type than %{ref.id}: {self._types(ref.id)}")
        return ref.id

    def __iter__(self) -> Iterator[Arr]:
        """Gradients of the real entries by ascending id."""
        return (self.of_id(i) for i in range(len(self._ct)) if self._types(i).dtype == REAL)


def owner_check(token: Token) -> Callable[[TensorRef, str], None]:
    """What refuses handles of other recordings than the token's."""

    def check(ref: TensorRef, what: str) -> None:
        if not isinstance(ref, TensorRef):
            problem = f"expected a TensorRef, got {found(ref)}"
            fix = {"Param": "use(param) gave one, and param_grads(grads) has them all"}
            hint = fix.get(type(ref).__name__, "of_id(id) takes a context id")
            raise OperandError(f"{what}: {problem}; {hint}")
        if not token.holds(ref._token):
            mine = ref._token.root()._session() is token._session()
            kind = StaleHandleError if mine else ForeignHandleError
            whose = "recording" if mine else "session"
            raise kind(f"{what}: {ref!r} is of another {whose} than these gradients")

    return check


def checked(what: str, grads: object) -> Grads:
    """The result of a backward pass, or an error that says what was given instead."""
    if not isinstance(grads, Grads):
        raise GradientError(f"{what}: expected the result of a backward pass, got {found(grads)}")
    return grads

"""Axis arithmetic that shape rules and structural rules share. No op lives here.

Shape rules read an axis attribute with `one_axis` or `some_axes`, which make it non-negative and say what is
wrong with it. `unbroadcast` is the transpose of the vocabulary's `broadcast`.
"""

from __future__ import annotations

from collections.abc import Sequence

from prooftape.errors import AttributeValueError, RuleError
from prooftape.op import Typing
from prooftape.types import Shape, normalize_axis
from prooftape.vocabulary import A, Vocabulary


def axis_range(ndim: int) -> str:
    """What an axis of a tensor of this rank may be, in words."""
    return f"axes of rank {ndim} go from {-ndim} to {ndim - 1}" if ndim else "a tensor of rank 0 has no axis"


def one_axis(t: Typing, ndim: int, name: str = "axis") -> int:
    """The axis attribute as 0 <= axis < ndim, also stored back; raises `RuleError`."""
    axis = t.int(name)
    found = normalize_axis(axis, ndim)
    if found is None:
        raise RuleError(f"{name} {axis} is out of range", axis_range(ndim), AttributeValueError)
    t.attrs[name] = found
    return found


def some_axes(t: Typing, ndim: int, name: str = "axis") -> Shape:
    """The axes attribute as increasing non-negative axes, also stored back; raises `RuleError`.

    No axes at all are accepted only for a tensor of rank 0: PyTorch reads `()` as every axis, NumPy as none.
    """
    axes = tuple(sorted(checked_axes(t.ints(name), ndim, name)))
    if not axes and ndim:
        raise RuleError(f"{name} is empty", "name the axes to reduce, e.g. axis=0", AttributeValueError)
    t.attrs[name] = axes
    return axes


def checked_axes(axes: Sequence[int], ndim: int, name: str) -> list[int]:
    """Non-negative axes in the order given, without repetition; raises `RuleError`."""
    found: list[int] = []
    for axis in axes:
        positive = normalize_axis(axis, ndim)
        if positive is None:
            raise RuleError(f"{name} {axis} is out of range", axis_range(ndim), AttributeValueError)
        if positive in found:
            raise RuleError(f"{name} {axis} is named twice", "name each axis once", AttributeValueError)
        found.append(positive)
    return found


def without(shape: Shape, axes: Sequence[int]) -> Shape:
    """The shape with these axes dropped."""
    return tuple(d for i, d in enumerate(shape) if i not in axes)


def trailing(shape: Shape, ndim: int) -> Shape:
    """The axes that NumPy's alignment gives to `shape` inside a tensor of rank `ndim`: the last ones."""
    return tuple(range(ndim - len(shape), ndim))


def broadcast(xp: Vocabulary[A], x: A, shape: Shape, axes: Shape) -> A:
    """`xp.broadcast`, or `x` itself where that is the identity."""
    return x if xp.shape(x) == shape else xp.broadcast(x, shape, axes)


def unbroadcast(xp: Vocabulary[A], g: A, shape: Shape, axes: Shape) -> A:
    """Transpose of `broadcast` from `shape` to g's shape: sums over every axis it created or stretched."""
    wide = xp.shape(g)
    if wide == shape:
        return g
    kept = {axis for axis, d in zip(axes, shape, strict=True) if wide[axis] == d}
    total = xp.sum(g, tuple(i for i in range(len(wide)) if i not in kept))
    return reshaped(xp, total, shape)


def reshaped(xp: Vocabulary[A], x: A, shape: Shape) -> A:
    """`xp.reshape`, or `x` itself where that is the identity."""
    return x if xp.shape(x) == shape else xp.reshape(x, shape)

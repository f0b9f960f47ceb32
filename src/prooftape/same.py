"""Whether an argument of a call says the same as it did when the call was recorded.

The comparison may say no when the answer is yes (the call is then recorded anew), never the other way round.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from prooftape.handles import Handle


class Unmatchable(Exception):
    """An argument that cannot be compared cheaply and safely, such as an array: never replayed."""


class Listed:
    """A list as it was when it was an argument; no list of the user's is identical with it."""

    __slots__ = ("items",)

    def __init__(self, items: tuple[object, ...]) -> None:
        self.items = items


class Entries:
    """The entries of an array as they were when it was an argument."""

    __slots__ = ("bytes", "dtype", "shape")

    def __init__(self, array: NDArray[Any]) -> None:
        self.dtype, self.shape, self.bytes = array.dtype, array.shape, array.tobytes()

    def same(self, array: NDArray[Any]) -> bool:
        """Whether an array has these very entries."""
        return self.shape == array.shape and self.dtype == array.dtype and self.bytes == array.tobytes()


_PLAIN: Final = frozenset({int, bool, str, float, type(None), Fraction, type(...)})


def frozen(given: object) -> object:
    """An argument in a form that nobody can change; raises `Unmatchable`."""
    kind = given.__class__
    if kind in _PLAIN or isinstance(given, Handle):
        return given
    if isinstance(given, tuple) and kind is tuple:
        items = tuple([frozen(x) for x in given])
        # the tuple itself where it can be: then identity decides when the same one is given again
        return given if all(map(operator.is_, items, given)) else items
    if isinstance(given, list) and kind is list:
        return Listed(tuple([frozen(x) for x in given]))
    if isinstance(given, slice):
        return slice(frozen(given.start), frozen(given.stop), frozen(given.step))
    if kind is np.ndarray and isinstance(given, np.ndarray) and given.dtype.kind in "biuf":
        return Entries(given)
    if isinstance(given, np.generic) and given.dtype.kind in "biuf":
        return given
    raise Unmatchable


def same(expected: object, given: object) -> bool:
    """Whether an argument says the same as the frozen one; when in doubt, no."""
    if expected is given:
        return True
    kind: type = given.__class__
    if kind is tuple:
        return expected.__class__ is tuple and _all_same(expected, given)  # type: ignore[arg-type]
    if kind is list:
        return isinstance(expected, Listed) and _all_same(expected.items, given)  # type: ignore[arg-type]
    if kind is np.ndarray:
        return isinstance(expected, Entries) and expected.same(given)  # type: ignore[arg-type]
    if kind is not expected.__class__:
        return False
    if kind is float:  # nan is nobody's equal; 0.0 and -0.0 are two constants
        sign = math.copysign
        return expected == given and (given != 0 or sign(1, given) == sign(1, expected))  # type: ignore[arg-type]
    if kind is int or kind is str or kind is Fraction:
        return expected == given
    if isinstance(given, slice):
        assert isinstance(expected, slice)
        if not same(expected.start, given.start) or not same(expected.stop, given.stop):
            return False
        return same(expected.step, given.step)
    if isinstance(given, np.generic):
        return given.dtype.kind in "biuf" and given.tobytes() == expected.tobytes()  # type: ignore[attr-defined]
    return False


def _all_same(expected: Sequence[object], given: Sequence[object]) -> bool:
    if len(expected) != len(given):
        return False
    return all(map(operator.is_, expected, given)) or all(map(same, expected, given))  # small integers are


def same_list(expected: object, given: object) -> bool:
    """Whether a list or tuple of operands holds the very handles expected."""
    if given.__class__ is not list and given.__class__ is not tuple:
        return False
    items = expected.items if isinstance(expected, Listed) else ()
    return len(items) == len(given) and all(map(operator.is_, items, given))

"""Whether an argument of a call says the same as it did when the call was recorded.

The comparison may say no when the answer is yes (the call is then recorded anew), never the other way round.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from prooftape.handles import Handle


class Unmatchable(Exception):
    """An argument that cannot be compared cheaply and safely, such as an array: never replayed."""


class Listed:
    """A list as it was when it was an argument; no list of the user's is identical with it."""

    __slots__ = ("items",)

    def __init__(self, items: tuple[object, ...]) -> None:
        self.items = items


_PLAIN: Final = frozenset({int, bool, str, float, type(None), Fraction})


def frozen(given: object) -> object:
    """An argument in a form that nobody can change; raises `Unmatchable`."""
    kind = given.__class__
    if kind in _PLAIN or isinstance(given, Handle):
        return given
    if kind is tuple:
        return tuple([frozen(x) for x in given])  # type: ignore[attr-defined]
    if kind is list:
        return Listed(tuple([frozen(x) for x in given]))  # type: ignore[attr-defined]
    if kind is slice:
        return slice(frozen(given.start), frozen(given.stop), frozen(given.step))  # type: ignore[attr-defined]
    raise Unmatchable


def same(expected: object, given: object) -> bool:
    """Whether an argument says the same as the frozen one; when in doubt, no."""
    if expected is given:
        return True
    kind = given.__class__
    if kind is list:
        return expected.__class__ is Listed and _all_same(expected.items, given)
    if kind is not expected.__class__:
        return False
    if kind is float:  # nan is nobody's equal; 0.0 and -0.0 are two constants
        return expected == given and (given != 0 or math.copysign(1, given) == math.copysign(1, expected))  # type: ignore[arg-type]
    if kind is int or kind is str or kind is Fraction:
        return expected == given
    if kind is tuple:
        return _all_same(expected, given)  # type: ignore[arg-type]
    if kind is slice:
        parts = ("start", "stop", "step")
        return all(same(getattr(expected, p), getattr(given, p)) for p in parts)
    return False


def _all_same(expected: Sequence[object], given: Sequence[object]) -> bool:
    return len(expected) == len(given) and all(map(same, expected, given))


def same_list(expected: object, given: object) -> bool:
    """Whether a list or tuple of operands holds the very handles expected."""
    if given.__class__ is not list and given.__class__ is not tuple:
        return False
    items = expected.items if expected.__class__ is Listed else ()
    return len(items) == len(given) and all(map(operator.is_, items, given))

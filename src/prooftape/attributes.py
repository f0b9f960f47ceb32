"""Static attributes of ops: their kinds, how a user's value is read, how it is written in graph text.

An attribute is data fixed when the op is recorded (an axis, a stride, a literal). Canonical values are
immutable and hashable: ints, bools, numbers, tuples of ints, `Literal`. What one op additionally requires
(axis in range, stride >= 1) is its shape rule's business.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral
from typing import Final

import numpy as np

from prooftape.errors import found
from prooftape.literal import Literal
from prooftape.numbers import Number, as_number, format_number

AttrValue = int | float | Fraction | bool | tuple[int, ...] | tuple[tuple[int, int], ...] | Literal | None


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Final = _Required()


def _int(value: object) -> int:
    if isinstance(value, Integral) and not isinstance(value, (bool, np.bool_)):
        return int(value)
    raise TypeError(f"expected an integer, got {found(value)}")


def _bool(value: object) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise TypeError(f"expected True or False, got {found(value)}")


def _sequence(value: object, what: str) -> Iterable[object]:
    if isinstance(value, (str, bytes, dict)) or not isinstance(value, Iterable):
        raise TypeError(f"expected {what}, got {found(value)}")
    return value


def _ints(value: object) -> tuple[int, ...]:
    if isinstance(value, Integral):
        return (_int(value),)
    return tuple(_int(v) for v in _sequence(value, "an integer or a sequence of integers"))


def _int_or_ints(value: object) -> int | tuple[int, ...]:
    """Kept apart from `_ints`: one integer means 'the same on every axis', which only the op can expand."""
    return _int(value) if isinstance(value, Integral) else _ints(value)


def _nats(value: object) -> tuple[int, ...]:
    values = _ints(value)
    for i, v in enumerate(values):
        if v < 0:
            raise ValueError(f"expected naturals (>= 0), got {v} at position {i}")
    return values


def _nat(value: object) -> int:
    v = _int(value)
    if v < 0:
        raise ValueError(f"expected a natural number (>= 0), got {v}")
    return v


def _pairs(value: object) -> tuple[tuple[int, int], ...]:
    pairs = []
    for p in _sequence(value, "a sequence of (before, after) pairs"):
        pair = _ints(p)
        if len(pair) != 2:
            raise ValueError(f"expected a (before, after) pair, got {p!r}")
        pairs.append((pair[0], pair[1]))
    return tuple(pairs)


def _literal(value: object) -> Literal:
    return value if isinstance(value, Literal) else Literal(np.asarray(value))


_READERS: Final = {
    "int": _int,
    "nat": _nat,
    "bool": _bool,
    "number": as_number,
    "ints": _ints,
    "per_axis": _int_or_ints,
    "nats": _nats,
    "shape": _nats,
    "pairs": _pairs,
    "literal": _literal,
}


@dataclass(frozen=True, slots=True)
class Attr:
    """Declaration of one attribute. `kind` names the reader; `optional` lets None through."""

    name: str
    kind: str
    default: object = REQUIRED
    optional: bool = False
    doc: str = ""

    def __post_init__(self) -> None:
        if self.kind not in _READERS:
            raise ValueError(f"attribute {self.name}: unknown kind {self.kind!r}")

    def read(self, value: object) -> AttrValue:
        """The canonical value; raises TypeError or ValueError with one clause saying what is wrong."""
        if value is None and self.optional:
            return None
        result: AttrValue = _READERS[self.kind](value)
        return result


def attr_key(value: AttrValue) -> object:
    """A hashable stand-in that tells 0.0 from -0.0, 1 from 1.0 and True, and nan equal to itself."""
    if type(value) is int or type(value) is tuple or isinstance(value, Literal):
        return value
    return (type(value).__name__, value if isinstance(value, Fraction) else repr(value))


def format_attr(value: AttrValue) -> str:
    """Graph text of a canonical attribute value."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Literal):
        return f"{value.type}{{{', '.join(value.entries())}}}"
    if isinstance(value, tuple):
        return "[" + ", ".join(format_attr(v) if isinstance(v, tuple) else str(v) for v in value) + "]"
    return format_number(value)


__all__ = ["REQUIRED", "Attr", "AttrValue", "Number", "attr_key", "format_attr"]

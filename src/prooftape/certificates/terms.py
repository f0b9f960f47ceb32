"""How the data of a graph is written as Rocq terms: attributes, types, calls.

Every function prints one form only, and the grammar in `text.py` accepts that form only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

from prooftape.attributes import Attr, AttrValue
from prooftape.literal import Literal
from prooftape.numbers import Number
from prooftape.op import Call
from prooftape.types import REAL, TensorType


class Literals:
    """Numbers the distinct literal arrays of a graph; a certificate speaks of them by number."""

    def __init__(self) -> None:
        self._ids: dict[Literal, int] = {}

    def number(self, literal: Literal) -> int:
        """The number of a literal, equal ones sharing one."""
        return self._ids.setdefault(literal, len(self._ids))

    def all(self) -> list[Literal]:
        """The literals, by number."""
        return list(self._ids)


def many(items: Iterable[object]) -> str:
    """A Rocq list."""
    return "[" + ";".join(map(str, items)) + "]"


def integer(value: int) -> str:
    """An integer; a negative one in parentheses, as list elements and arguments need it."""
    return f"({value})" if value < 0 else str(value)


def number(value: Number) -> str:
    """A number of a graph: an exact fraction in lowest terms, or one of the three that are none."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "PInf" if value > 0 else "MInf"
    q = Fraction(value)
    return f"(Fin (Qmake {integer(q.numerator)} {q.denominator}))"


def tensor_type(t: TensorType) -> str:
    """`Ty Real [2;3]`."""
    return f"Ty {'Real' if t.dtype == REAL else 'Mask'} {many(t.shape)}"


def attribute(attr: Attr, value: AttrValue, literals: Literals) -> str:
    """One attribute value."""
    if value is None:
        return "ANone"
    if isinstance(value, Literal):
        return f"ALit {literals.number(value)} ({tensor_type(value.type)})"
    if isinstance(value, bool):
        return f"ABool {str(value).lower()}"
    if attr.kind == "number":
        assert isinstance(value, (int, float, Fraction))
        return f"ANum {number(value)}"
    if isinstance(value, int):
        return f"AInt {integer(value)}%Z"
    assert isinstance(value, tuple)
    if attr.kind == "pairs":
        pairs = (f"({integer(p[0])},{integer(p[1])})" for p in value if isinstance(p, tuple))
        return f"APairs {many(pairs)}%Z"
    return f"AInts {many(integer(v) for v in value if isinstance(v, int))}%Z"


def call(c: Call, literals: Literals) -> str:
    """`Call op_matmul [] [Ty Real [2;3];Ty Real [3;4]] [] (Ty Real [2;4])`."""
    attrs = many(attribute(a, v, literals) for a, v in zip(c.op.attrs, c.attrs, strict=True))
    types = many(map(tensor_type, c.types))
    return f"Call op_{c.op.name} {attrs} {types} {many(c.nat_sizes)} ({tensor_type(c.out)})"

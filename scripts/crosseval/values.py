"""Numbers, tensors and calls as Rocq terms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

from prooftape.arrays.structure import Arr
from prooftape.certificates import terms
from prooftape.literal import Literal
from prooftape.numbers import as_fraction, as_number


def many(items: Iterable[str]) -> str:
    return "[" + ";".join(items) + "]"


LONG = 10**12
"""From here on integers are written in base 16: Rocq reads long decimal ones in quadratic time."""


def integer(n: int) -> str:
    text = f"{n:#x}" if abs(n) >= LONG else str(n)
    return f"({text})" if n < 0 else text


def rational(value: Any) -> str:
    q = as_fraction(as_number(value))
    return f"Qmake {integer(q.numerator)} {integer(q.denominator)}"


def binary64(value: Any) -> str:
    """A float as Rocq reads it back to the same bits."""
    v = float(value)
    if math.isfinite(v):
        return f"({v.hex()})%float"
    return "nan" if math.isnan(v) else "infinity" if v > 0 else "neg_infinity"


def entries(array: Arr) -> list[Any]:
    """Entries in row-major order; a mask's as 1 and 0."""
    if array.dtype.kind == "b":
        return [Fraction(int(v)) for v in array.ravel().tolist()]
    return array.ravel().tolist()


def tensor(array: Arr, number: Any = rational) -> str:
    return many(number(v) for v in entries(array))


def optional(array: Arr | None, number: Any = rational) -> str:
    return "None" if array is None else f"Some {tensor(array, number)}"


def naturals(vectors: Sequence[Sequence[int]]) -> str:
    return many(many(map(str, v)) for v in vectors)


def world(literals: Sequence[Literal], draws: Sequence[tuple[int, Sequence[int]]]) -> str:
    """The literal arrays and the random draws a case reads. A literal that is no rational reads 0."""
    values = many(many(map(_literal_entry, entries(x.array))) for x in literals)
    streams = many(f"({terms.integer(key)}%Z,{many(map(str, us))})" for key, us in draws)
    return f"(world_of {values} {streams})"


def _literal_entry(value: Any) -> str:
    try:
        return rational(value)
    except ValueError:
        return "Qmake 0 1"

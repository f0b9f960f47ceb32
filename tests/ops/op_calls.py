"""Short ways for op tests to call a session: one op on fresh leaves, its derivatives, its refusals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from prooftape import Session
from prooftape.errors import ProofTapeError
from prooftape.op import Op
from prooftape.ops import find

Array = NDArray[Any]
LOCATION = re.compile(r" \[[^\[\]]*\.py:\d+\]")


def operand_names(op: Op, given: int) -> tuple[str, ...]:
    """Names of the operands that are given: all of them, or all but the optional ones."""
    names = op.operands * given if op.variadic else op.operands
    return names[:given] if given >= len(names) - op.optional_operands else names


def record(
    op: str, values: Sequence[ArrayLike], scalar: str = "float64", **arguments: object
) -> tuple[Any, ...]:
    """A session, one leaf per value named as the op names its operands, and the result of the op."""
    s = Session(scalar=scalar)
    record = find(op)
    names = operand_names(record, len(values))
    leaves = [s.add_leaf(v, name=n) for v, n in zip(values, names, strict=True)]
    given = [leaves] if record.variadic else leaves
    return s, leaves, getattr(s, op)(*given, **arguments)


def value(op: str, *values: ArrayLike, scalar: str = "float64", **arguments: object) -> Array:
    s, _, out = record(op, values, scalar, **arguments)
    return np.asarray(s.get_value(out))


def grads(
    op: str, *values: ArrayLike, ct: ArrayLike, scalar: str = "float64", **arguments: object
) -> list[Array]:
    """Cotangents of all operands for the cotangent `ct` of the result."""
    s, leaves, out = record(op, values, scalar, **arguments)
    found = s.backward_dense_all(out, ct)
    return [np.asarray(found[leaf]) for leaf in leaves]


def tangent(
    op: str, values: Sequence[ArrayLike], moves: Sequence[ArrayLike | None], **arguments: object
) -> Array:
    """Tangent of the result for tangents of the operands (None: does not move)."""
    s, _, out = record(op, values, **arguments)
    return np.asarray(s.jvp_dense_all(out, moves))


def refusal(op: str, *values: ArrayLike, **arguments: object) -> tuple[str, str]:
    """(class, message without source locations) of the error; the session must be left as it was."""
    s = Session(scalar="float64")
    found = find(op)
    names = operand_names(found, len(values))
    leaves = [s.add_leaf(v, name=n) for v, n in zip(values, names, strict=True)]
    before = str(s.graph)
    with pytest.raises(ProofTapeError) as caught:
        getattr(s, op)(*([leaves] if found.variadic else leaves), **arguments)
    assert str(s.graph) == before and len(s) == len(leaves)
    message = str(caught.value)
    assert len(LOCATION.findall(message)) == len(leaves), "each operand is located in the test's own source"
    return type(caught.value).__name__, LOCATION.sub("", message)


def zeros(*shape: int) -> Array:
    return np.zeros(shape)


def count_up(*shape: int) -> Array:
    """1, 2, 3, … row-major."""
    return np.arange(1.0, 1.0 + int(np.prod(shape, dtype=int))).reshape(shape)


def rationals(*shape: int, start: int = 1) -> Array:
    """Distinct fractions, as an object array."""
    out = np.empty(int(np.prod(shape, dtype=int)), dtype=object)
    out[:] = [Fraction(start + 2 * i, 3 + i) * (-1) ** i for i in range(out.size)]
    return out.reshape(shape)

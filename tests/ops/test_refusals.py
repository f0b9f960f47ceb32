"""What shape rules refuse: the error's class and exact words, located operands, the session unchanged."""

from __future__ import annotations

import pytest
from op_calls import refusal, zeros
from refused_calls import REFUSED


@pytest.mark.parametrize(("op", "shapes", "arguments", "error", "message"), REFUSED)
def test_refused(
    op: str, shapes: list[tuple[int, ...]], arguments: dict[str, object], error: str, message: str
) -> None:
    assert refusal(op, *(zeros(*s) for s in shapes), **arguments) == (error, f"{op}: {message}")


def test_no_two_rows_are_the_same_call() -> None:
    calls = [(op, str(shapes), str(arguments)) for op, shapes, arguments, _, _ in REFUSED]
    assert len(calls) == len(set(calls))

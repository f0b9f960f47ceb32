"""Comparisons: non-differentiable masks, for `where`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prooftape.declare import constant, elementwise_samples, same_shape
from prooftape.op import Op


def _comparison(name: str, symbol: str, forward: Callable[..., Any]) -> Op:
    return constant(
        name,
        ("a", "b"),
        forward,
        family="comparison",
        shape_rule=same_shape,
        samples=elementwise_samples(2),
        doc=f"Mask a {symbol} b, entry by entry; false where either is nan.",
        shapes_doc="a, b: equal shapes -> a mask of that shape",
    )


greater = _comparison("greater", ">", lambda xp, c, a, b: xp.greater(a, b))
less = _comparison("less", "<", lambda xp, c, a, b: xp.greater(b, a))
greater_equal = _comparison("greater_equal", ">=", lambda xp, c, a, b: xp.greater_equal(a, b))
less_equal = _comparison("less_equal", "<=", lambda xp, c, a, b: xp.greater_equal(b, a))
equal = _comparison("equal", "==", lambda xp, c, a, b: xp.equal(a, b))

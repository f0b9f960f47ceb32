"""Constants inside a graph: literal arrays, literal masks, filled arrays."""

from __future__ import annotations

import numpy as np

from prooftape.attributes import Attr
from prooftape.declare import constant
from prooftape.errors import AttributeValueError, RuleError
from prooftape.literal import Literal
from prooftape.op import Sample, Typing
from prooftape.types import BOOL, REAL, Shape


def _literal_shape(t: Typing) -> Shape:
    value = t.attrs["value"]
    assert isinstance(value, Literal)
    if value.type.dtype != t.op.out_dtype:
        raise RuleError(f"expected {t.op.out_dtype} entries, got {value.type}", "", AttributeValueError)
    return value.shape


const = constant(
    "const",
    (),
    lambda xp, c: xp.array(c.literal("value")),
    family="constant",
    shape_rule=_literal_shape,
    samples=lambda: [
        Sample((), {"value": np.arange(6.0).reshape(2, 3)}),
        Sample((), {"value": np.array(0.5)}),
    ],
    attrs=(Attr("value", "literal", doc="the array"),),
    out_dtype=REAL,
    public=False,
    doc="A literal array of numbers.",
    shapes_doc="() -> the literal's shape",
)

const_mask = constant(
    "const_mask",
    (),
    lambda xp, c: xp.mask(c.literal("value").array.astype(np.bool_)),
    family="constant",
    shape_rule=_literal_shape,
    samples=lambda: [Sample((), {"value": np.array([True, False])})],
    attrs=(Attr("value", "literal", doc="the boolean array"),),
    out_dtype=BOOL,
    public=False,
    doc="A literal mask.",
    shapes_doc="() -> the literal's shape",
)

full = constant(
    "full",
    (),
    lambda xp, c: xp.full(c.shape, c.number("value")),
    family="constant",
    shape_rule=lambda t: t.ints("shape"),
    samples=lambda: [Sample((), {"shape": (2, 3), "value": 2}), Sample((), {"shape": (), "value": -1})],
    attrs=(Attr("shape", "shape", doc="shape of the result"), Attr("value", "number", doc="literal number")),
    out_dtype=REAL,
    public=False,
    doc="An array filled with one number.",
    shapes_doc="() -> shape",
)

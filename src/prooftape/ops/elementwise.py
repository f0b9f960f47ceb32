"""Elementwise ops: one entry in, one entry out. Local derivatives are functions of the stored input."""

from __future__ import annotations

from fractions import Fraction

from prooftape.attributes import Attr
from prooftape.declare import Gate, constant, elementwise, elementwise_samples, linear, same_shape
from prooftape.errors import AttributeValueError, RuleError, found
from prooftape.op import Call, Domain, Operand, Sample, Typing
from prooftape.types import Shape
from prooftape.vocabulary import A, Vocabulary

HALF = Fraction(1, 2)


def _zero(xp: Vocabulary[A], x: A) -> A:
    return xp.full(xp.shape(x), 0)


def _one(xp: Vocabulary[A], x: A) -> A:
    return xp.full(xp.shape(x), 1)


def _identity(xp: Vocabulary[A], c: Call, x: A) -> A:
    return x


def _negative(xp: Vocabulary[A], c: Call, x: A) -> A:
    return xp.neg(x)


def _scaled(xp: Vocabulary[A], c: Call, x: A) -> A:
    return xp.scale(x, c.number("c"))


add = linear(
    "add",
    ("a", "b"),
    lambda xp, c, a, b: xp.add(a, b),
    ((_identity, _identity),) * 2,
    family="elementwise",
    shape_rule=same_shape,
    samples=elementwise_samples(2),
    doc="Sum a + b, entry by entry.",
    shapes_doc="a, b: equal shapes -> that shape",
)

sub = linear(
    "sub",
    ("a", "b"),
    lambda xp, c, a, b: xp.sub(a, b),
    ((_identity, _identity), (_negative, _negative)),
    family="elementwise",
    shape_rule=same_shape,
    samples=elementwise_samples(2),
    doc="Difference a - b, entry by entry.",
    shapes_doc="a, b: equal shapes -> that shape",
)

neg = linear(
    "neg",
    ("x",),
    lambda xp, c, x: xp.neg(x),
    ((_negative, _negative),),
    family="elementwise",
    shape_rule=same_shape,
    samples=elementwise_samples(1),
    doc="Negation -x.",
    shapes_doc="x: any shape -> same shape",
)

scale = linear(
    "scale",
    ("x",),
    _scaled,
    ((_scaled, _scaled),),
    family="elementwise",
    shape_rule=same_shape,
    samples=elementwise_samples(1, attrs={"c": Fraction(-3, 4)}),
    attrs=(Attr("c", "number", doc="literal factor, never differentiated"),),
    doc="x * c with a literal number c.",
    shapes_doc="x: any shape -> same shape",
)

mul = elementwise(
    "mul",
    ("a", "b"),
    lambda xp, c, a, b: xp.mul(a, b),
    (lambda xp, c, a, b: b, lambda xp, c, a, b: a),
    doc="Product a * b, entry by entry.",
)

absorbing_mul = elementwise(
    "absorbing_mul",
    ("g", "d"),
    lambda xp, c, g, d: xp.amul(g, d),
    (lambda xp, c, g, d: d, lambda xp, c, g, d: g),
    doc="Product g * d in which an exactly zero g absorbs a non-finite d (0 * inf = 0 * nan = 0).",
    convention="zero g is absorbing",
    family="vocabulary",
    public=False,
)

div = elementwise(
    "div",
    ("a", "b"),
    lambda xp, c, a, b: xp.div(a, b),
    (
        lambda xp, c, a, b: xp.reciprocal(b),
        lambda xp, c, a, b: xp.neg(
            xp.div(xp.div(a, b), b)
        ),  # (a/b)/b: b*b would over- or underflow too early
    ),
    samples=lambda: [
        Sample((s.operands[0], Operand(s.operands[1].shape, "nonzero"))) for s in elementwise_samples(2)()
    ],
    domain=Domain("b != 0", lambda xp, c, a, b: xp.equal(b, _zero(xp, b))),
    doc="Quotient a / b, entry by entry.",
    convention="a/0 is IEEE: inf, -inf or nan",
)

reciprocal = elementwise(
    "reciprocal",
    ("x",),
    lambda xp, c, x: xp.reciprocal(x),
    (lambda xp, c, x: xp.neg(xp.square(xp.reciprocal(x))),),
    samples=elementwise_samples(1, "nonzero"),
    domain=Domain("x != 0", lambda xp, c, x: xp.equal(x, _zero(xp, x))),
    doc="1 / x.",
    convention="1/0 is IEEE: inf with the sign of the zero",
    accuracy="derivative within 4 ulp",
)

square = elementwise(
    "square",
    ("x",),
    lambda xp, c, x: xp.square(x),
    (lambda xp, c, x: xp.scale(x, 2),),
    doc="x * x.",
    accuracy="derivative exact",
)


def _pow_shape(t: Typing) -> Shape:
    c = t.number("c")
    if not -(2**1024) < c < 2**1024:
        problem = f"the exponent must be finite and below 2^1024 in size, got {found(c)}"
        raise RuleError(problem, "use exp(c * log(x))", AttributeValueError)
    return t.shapes[0]


def _pow_outside(xp: Vocabulary[A], c: Call, x: A) -> A:
    e, zero = Fraction(c.number("c")), _zero(xp, x)
    if e.denominator != 1:
        return xp.greater_equal(zero, x) if e < 0 else xp.greater(zero, x)
    return xp.equal(x, zero) if e < 0 else xp.greater(zero, zero)


def _pow_singular(xp: Vocabulary[A], c: Call, x: A) -> A:
    zero = _zero(xp, x)
    return xp.equal(x, zero) if 0 < Fraction(c.number("c")) < 1 else xp.greater(zero, zero)


pow_const = elementwise(
    "pow_const",
    ("x",),
    lambda xp, c, x: xp.pow(x, c.number("c")),
    (lambda xp, c, x: xp.pow_prime(x, c.number("c")),),
    attrs=(Attr("c", "number", doc="literal exponent, kept exact"),),
    samples=lambda: [
        *elementwise_samples(1, attrs={"c": 3})(),
        *elementwise_samples(1, "nonzero", attrs={"c": -2})(),
        *elementwise_samples(1, attrs={"c": 1})(),
        *elementwise_samples(1, attrs={"c": 0})(),
    ],
    shape_rule=_pow_shape,
    domain=Domain("x >= 0 unless c is an integer; x != 0 when c < 0", _pow_outside, _pow_singular),
    doc="x ** c with a literal exponent c.",
    convention="0 ** 0 is 1; negative base with a non-integer exponent is nan; derivative c * x ** (c - 1), "
    "with c - 1 exact, and 0 for c = 0",
    accuracy="derivative within 4 ulp",
)

abs_ = elementwise(
    "abs",
    ("x",),
    lambda xp, c, x: xp.abs(x),
    (lambda xp, c, x: xp.sign(x),),
    doc="Absolute value.",
    convention="abs'(0) = 0",
)

sign = constant(
    "sign",
    ("x",),
    lambda xp, c, x: xp.sign(x),
    family="vocabulary",
    shape_rule=same_shape,
    samples=elementwise_samples(1),
    doc="Sign of x: -1, 0 or 1 (0 at 0 and at nan).",
    shapes_doc="x: any shape -> same shape",
    out_dtype="real",
    public=False,
)

detach = constant(
    "detach",
    ("x",),
    lambda xp, c, x: xp.stop_gradient(x),
    family="elementwise",
    shape_rule=same_shape,
    samples=elementwise_samples(1),
    doc="Identity with derivative zero, in both modes.",
    shapes_doc="x: any shape -> same shape",
    out_dtype="real",
    convention="stop-gradient",
)

relu = elementwise(
    "relu",
    ("x",),
    lambda xp, c, x: xp.maximum(x, _zero(xp, x)),
    (Gate(lambda xp, c, x: xp.greater(x, _zero(xp, x))),),
    doc="max(x, 0).",
    convention="relu'(0) = 0",
)

leaky_relu = elementwise(
    "leaky_relu",
    ("x",),
    lambda xp, c, x: xp.where(xp.greater(x, _zero(xp, x)), x, xp.scale(x, c.number("slope"))),
    (
        lambda xp, c, x: xp.where(
            xp.greater(x, _zero(xp, x)), _one(xp, x), xp.full(xp.shape(x), c.number("slope"))
        ),
    ),
    attrs=(Attr("slope", "number", 0.01, doc="literal slope for x <= 0"),),
    samples=elementwise_samples(1, attrs={"slope": Fraction(1, 8)}),
    doc="x where x > 0, slope * x elsewhere.",
    convention="derivative at 0 is the slope",
)


def _elu_shape(t: Typing) -> Shape:
    alpha = t.number("alpha")
    if not -(10**290) < alpha < 10**290:
        problem = f"alpha must be finite and below 1e290 in size, got {found(alpha)}"
        raise RuleError(problem, "1 is the usual alpha", AttributeValueError)
    return t.shapes[0]


elu = elementwise(
    "elu",
    ("x",),
    lambda xp, c, x: xp.where(xp.greater(x, _zero(xp, x)), x, xp.scale(xp.expm1(x), c.number("alpha"))),
    (
        lambda xp, c, x: xp.where(
            xp.greater(x, _zero(xp, x)), _one(xp, x), xp.scaled_exp(x, c.number("alpha"))
        ),
    ),
    attrs=(Attr("alpha", "number", 1.0, doc="literal scale of the negative branch"),),
    samples=elementwise_samples(1, attrs={"alpha": Fraction(3, 2)}),
    shape_rule=_elu_shape,
    doc="x where x > 0, alpha * (exp(x) - 1) elsewhere.",
    convention="derivative at 0 is alpha",
    accuracy="derivative within 4 ulp",
    transcendental=True,
)


def _clamp_shape(t: Typing) -> Shape:
    lo, hi = t.number("lo"), t.number("hi")
    if not lo <= hi:
        hint = "swap them" if lo > hi else "a bound must not be nan"
        raise RuleError(f"lo must be <= hi, got lo = {lo}, hi = {hi}", hint, AttributeValueError)
    return t.shapes[0]


def _clamp(xp: Vocabulary[A], c: Call, x: A) -> A:
    # selections rather than max and min: x itself passes at a bound (derivative 1), and nan stays nan
    lo, hi = xp.full(c.shape, c.number("lo")), xp.full(c.shape, c.number("hi"))
    return xp.where(xp.greater(lo, x), lo, xp.where(xp.greater(x, hi), hi, x))


def _inside(xp: Vocabulary[A], c: Call, x: A) -> A:
    """lo <= x <= hi, as one mask: x is its own clamped value. nan compares false, so it has no gradient."""
    return xp.equal(x, _clamp(xp, c, x))


clamp = elementwise(
    "clamp",
    ("x",),
    _clamp,
    (Gate(_inside),),
    attrs=(Attr("lo", "number", doc="literal lower bound"), Attr("hi", "number", doc="literal upper bound")),
    samples=elementwise_samples(1, attrs={"lo": -1, "hi": 1}),
    shape_rule=_clamp_shape,
    doc="min(max(x, lo), hi).",
    convention="derivative at a bound is 1, beyond it 0",
)


def _larger(xp: Vocabulary[A], a: A, b: A) -> A:
    """1 where a > b, 0 where a < b, one half at ties (and nan)."""
    one, zero = _one(xp, a), _zero(xp, a)
    return xp.where(xp.greater(a, b), one, xp.where(xp.greater(b, a), zero, xp.full(xp.shape(a), HALF)))


maximum = elementwise(
    "maximum",
    ("a", "b"),
    lambda xp, c, a, b: xp.maximum(a, b),
    (lambda xp, c, a, b: _larger(xp, a, b), lambda xp, c, a, b: _larger(xp, b, a)),
    doc="Larger of a and b, entry by entry; nan if either is nan.",
    convention="tie: half to each",
)

minimum = elementwise(
    "minimum",
    ("a", "b"),
    lambda xp, c, a, b: xp.minimum(a, b),
    (lambda xp, c, a, b: _larger(xp, b, a), lambda xp, c, a, b: _larger(xp, a, b)),
    doc="Smaller of a and b, entry by entry; nan if either is nan.",
    convention="tie: half to each",
)

where = elementwise(
    "where",
    ("mask", "a", "b"),
    lambda xp, c, mask, a, b: xp.where(mask, a, b),
    (None, Gate(lambda xp, c, mask: mask), Gate(lambda xp, c, mask: mask, complement=True)),
    saves=("mask",),
    operand_dtypes=("bool", "real", "real"),
    samples=lambda: [
        Sample((Operand(s.operands[0].shape, "mask"), *s.operands[1:])) for s in elementwise_samples(3)()
    ],
    doc="a where the mask is true, b elsewhere. The mask is a comparison or a constant boolean array.",
    convention="the branch not taken gets an exact zero, which absorbs",
)

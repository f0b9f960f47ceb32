"""Smooth elementwise functions. Derivatives come from the input and keep relative accuracy everywhere."""

from __future__ import annotations

from fractions import Fraction

from prooftape.attributes import Attr
from prooftape.declare import elementwise, elementwise_samples
from prooftape.errors import AttributeValueError, RuleError
from prooftape.op import Call, Domain, Typing
from prooftape.types import Shape
from prooftape.vocabulary import A, Vocabulary, shift

ULP4 = "derivative within 4 ulp over the whole finite range (float64)"


def _nonpositive(xp: Vocabulary[A], c: Call, x: A) -> A:
    return xp.greater_equal(xp.full(xp.shape(x), 0), x)


def _negative(xp: Vocabulary[A], c: Call, x: A) -> A:
    return xp.greater(xp.full(xp.shape(x), 0), x)


exp = elementwise(
    "exp",
    ("x",),
    lambda xp, c, x: xp.exp(x),
    (lambda xp, c, y: y,),
    saves=("out",),
    doc="Exponential.",
    accuracy=ULP4,
    transcendental=True,
)

expm1 = elementwise(
    "expm1",
    ("x",),
    lambda xp, c, x: xp.expm1(x),
    (lambda xp, c, x: xp.exp(x),),
    doc="exp(x) - 1, accurate near 0.",
    accuracy=ULP4,
    transcendental=True,
)

log = elementwise(
    "log",
    ("x",),
    lambda xp, c, x: xp.log(x),
    (lambda xp, c, x: xp.reciprocal(x),),
    samples=elementwise_samples(1, "positive"),
    domain=Domain("x > 0", _nonpositive),
    doc="Natural logarithm.",
    convention="log(0) = -inf, log(x < 0) = nan, derivative 1/x",
    accuracy=ULP4,
    transcendental=True,
)

log1p = elementwise(
    "log1p",
    ("x",),
    lambda xp, c, x: xp.log1p(x),
    (lambda xp, c, x: xp.reciprocal(shift(xp, x, 1)),),
    samples=elementwise_samples(1, "positive"),
    domain=Domain("x > -1", lambda xp, c, x: xp.greater_equal(xp.full(xp.shape(x), -1), x)),
    doc="log(1 + x), accurate near 0.",
    convention="log1p(-1) = -inf, below it nan",
    accuracy=ULP4,
    transcendental=True,
)


def _eps_shape(t: Typing) -> Shape:
    if not t.number("eps") > 0:
        raise RuleError(f"eps must be > 0, got {t.attrs['eps']}", "use log for no floor", AttributeValueError)
    return t.shapes[0]


def _floored(xp: Vocabulary[A], c: Call, x: A) -> A:
    floor = xp.full(c.shape, c.number("eps"))
    return xp.where(xp.greater(floor, x), floor, x)


def _safe_log_partial(xp: Vocabulary[A], c: Call, x: A) -> A:
    below = xp.greater(xp.full(c.shape, c.number("eps")), x)
    return xp.where(below, xp.full(c.shape, 0), xp.reciprocal(_floored(xp, c, x)))


safe_log = elementwise(
    "safe_log",
    ("x",),
    lambda xp, c, x: xp.log(_floored(xp, c, x)),
    (_safe_log_partial,),
    attrs=(Attr("eps", "number", 1e-6, doc="literal floor, > 0"),),
    samples=elementwise_samples(1, attrs={"eps": Fraction(1, 4)}),
    shape_rule=_eps_shape,
    doc="log(max(x, eps)).",
    convention="derivative 0 below eps, 1/x from eps on",
    accuracy=ULP4,
    transcendental=True,
)

sqrt = elementwise(
    "sqrt",
    ("x",),
    lambda xp, c, x: xp.sqrt(x),
    (lambda xp, c, x: xp.div(xp.full(xp.shape(x), Fraction(1, 2)), xp.sqrt(x)),),
    samples=elementwise_samples(1, "positive"),
    domain=Domain(
        "x >= 0 (differentiable for x > 0)", _negative, lambda xp, c, x: xp.equal(x, xp.full(xp.shape(x), 0))
    ),
    doc="Square root.",
    convention="sqrt'(0) = inf, sqrt(x < 0) = nan",
    accuracy=ULP4,
    transcendental=True,
)

sin = elementwise(
    "sin",
    ("x",),
    lambda xp, c, x: xp.sin(x),
    (lambda xp, c, x: xp.cos(x),),
    doc="Sine (radians).",
    accuracy=ULP4,
    transcendental=True,
)

cos = elementwise(
    "cos",
    ("x",),
    lambda xp, c, x: xp.cos(x),
    (lambda xp, c, x: xp.neg(xp.sin(x)),),
    doc="Cosine (radians).",
    accuracy=ULP4,
    transcendental=True,
)

tanh = elementwise(
    "tanh",
    ("x",),
    lambda xp, c, x: xp.tanh(x),
    (lambda xp, c, x: xp.tanh_prime(x),),
    doc="Hyperbolic tangent.",
    accuracy=ULP4,
    transcendental=True,
)

tanh_prime = elementwise(
    "tanh_prime",
    ("x",),
    lambda xp, c, x: xp.tanh_prime(x),
    (lambda xp, c, x: xp.scale(xp.mul(xp.tanh(x), xp.tanh_prime(x)), -2),),
    doc="Derivative of tanh: 1 / cosh(x)^2.",
    family="vocabulary",
    public=False,
    transcendental=True,
)

sigmoid = elementwise(
    "sigmoid",
    ("x",),
    lambda xp, c, x: xp.sigmoid(x),
    (lambda xp, c, x: xp.sigmoid_prime(x),),
    doc="Logistic function 1 / (1 + exp(-x)).",
    accuracy=ULP4,
    transcendental=True,
)

sigmoid_prime = elementwise(
    "sigmoid_prime",
    ("x",),
    lambda xp, c, x: xp.sigmoid_prime(x),
    # s'' = s' (1 - 2 s) = -s' tanh(x/2)
    (lambda xp, c, x: xp.neg(xp.mul(xp.sigmoid_prime(x), xp.tanh(xp.scale(x, Fraction(1, 2))))),),
    doc="Derivative of sigmoid: sigmoid(x) * sigmoid(-x).",
    family="vocabulary",
    public=False,
    transcendental=True,
)

softplus = elementwise(
    "softplus",
    ("x",),
    lambda xp, c, x: xp.softplus(x),
    (lambda xp, c, x: xp.sigmoid(x),),
    doc="log(1 + exp(x)), without overflow.",
    accuracy=ULP4,
    transcendental=True,
)

erf = elementwise(
    "erf",
    ("x",),
    lambda xp, c, x: xp.erf(x),
    (lambda xp, c, x: xp.erf_prime(x),),
    doc="Error function.",
    accuracy=ULP4,
    transcendental=True,
)

erf_prime = elementwise(
    "erf_prime",
    ("x",),
    lambda xp, c, x: xp.erf_prime(x),
    (lambda xp, c, x: xp.scale(xp.mul(x, xp.erf_prime(x)), -2),),
    doc="Derivative of erf: 2/sqrt(pi) * exp(-x^2).",
    family="vocabulary",
    public=False,
    transcendental=True,
)

gelu = elementwise(
    "gelu",
    ("x",),
    lambda xp, c, x: xp.gelu(x),
    (lambda xp, c, x: xp.gelu_prime(x),),
    doc="x times the normal distribution function (the exact, erf form).",
    accuracy=ULP4,
    transcendental=True,
)

gelu_prime = elementwise(
    "gelu_prime",
    ("x",),
    lambda xp, c, x: xp.gelu_prime(x),
    (lambda xp, c, x: xp.mul(xp.normal_pdf(x), shift(xp, xp.neg(xp.square(x)), 2)),),
    doc="Derivative of gelu: Phi(x) + x phi(x).",
    family="vocabulary",
    public=False,
    transcendental=True,
)

normal_pdf = elementwise(
    "normal_pdf",
    ("x",),
    lambda xp, c, x: xp.normal_pdf(x),
    (lambda xp, c, x: xp.neg(xp.mul(x, xp.normal_pdf(x))),),
    doc="Density of the standard normal distribution.",
    family="vocabulary",
    public=False,
    transcendental=True,
)

silu = elementwise(
    "silu",
    ("x",),
    lambda xp, c, x: xp.silu(x),
    (lambda xp, c, x: xp.silu_prime(x),),
    doc="x * sigmoid(x).",
    accuracy=ULP4,
    transcendental=True,
)


def _silu_second(xp: Vocabulary[A], c: Call, x: A) -> A:
    # silu'' = s' (2 + x (1 - 2 s)) = s' (2 - x tanh(x/2))
    inner = xp.sub(xp.full(xp.shape(x), 2), xp.mul(x, xp.tanh(xp.scale(x, Fraction(1, 2)))))
    return xp.mul(xp.sigmoid_prime(x), inner)


silu_prime = elementwise(
    "silu_prime",
    ("x",),
    lambda xp, c, x: xp.silu_prime(x),
    (_silu_second,),
    doc="Derivative of silu: sigmoid(x) (1 + x sigmoid(-x)).",
    family="vocabulary",
    public=False,
    transcendental=True,
)

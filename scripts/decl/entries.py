"""Rules of elementwise ops, run on expressions instead of numbers.

A value here is an entry: an `Entry` holds the Rocq text of an `sx`, and a member of the array vocabulary
builds a larger one. Members that move entries around are refused, so exactly the elementwise rules run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from decl.text import rocq_rational
from prooftape.numbers import Number
from prooftape.op import Op
from prooftape.types import Shape
from prooftape.vocabulary import Vocabulary

FAMILIES: Final = ("elementwise", "comparison", "vocabulary")  # where elementwise ops are
SHAPE: Final = (2,)  # any shape would do: the rules are entry by entry


class NotElementwise(Exception):
    """The rule used a member that moves entries."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """Number attribute `place` of the op, counted among its number attributes."""

    place: int


@dataclass(frozen=True, slots=True)
class Entry:
    """An expression; `infinite` is its sign when it is an infinite literal, which no `sx` can hold."""

    text: str
    infinite: int = 0

    def inside(self) -> str:
        """The text as an argument."""
        if self.infinite:
            raise NotElementwise("an infinite literal outside a comparison")
        return f"({self.text})" if " " in self.text else self.text


def made(head: str, *parts: Entry) -> Entry:
    """`head` applied to the parts."""
    return Entry(" ".join((head, *(p.inside() for p in parts))))


def literal(value: Number | Parameter) -> Entry:
    """A number of the rule, or of the op's user."""
    if isinstance(value, Parameter):
        return Entry(f"Par {value.place}")
    if isinstance(value, float) and math.isinf(value):
        return Entry("", 1 if value > 0 else -1)
    return Entry(f"Lit {rocq_rational(Fraction(value))}")


TANGENT: Final = Entry("a tangent of 1")  # what a JVP multiplies by a local derivative
ONE, ZERO = literal(1), literal(0)
# members that are one constructor of `sx`
BUILT: Final = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "neg": "Neg", "square": "Square",
    "reciprocal": "Recip", "maximum": "Max", "minimum": "Min", "abs": "Abs", "sign": "Sign",
    "greater_equal": "Ge", "equal": "Equal",
    "exp": "Fn Exp", "expm1": "Fn Expm1", "log": "Fn Log", "log1p": "Fn Log1p", "sqrt": "Fn Sqrt",
    "sin": "Fn Sin", "cos": "Fn Cos", "tanh": "Fn Tanh", "sigmoid": "Fn Sigmoid", "softplus": "Fn Softplus",
    "erf": "Fn Erf", "gelu": "Fn Gelu", "silu": "Fn Silu", "tanh_prime": "Fn TanhPrime",
    "sigmoid_prime": "Fn SigmoidPrime", "erf_prime": "Fn ErfPrime", "gelu_prime": "Fn GeluPrime",
    "silu_prime": "Fn SiluPrime", "normal_pdf": "Fn NormalPdf",
}  # fmt: skip


def _plain(x: Entry) -> Entry:
    """A slope is read off where a tangent of 1 meets it, so a rule must not bury the tangent."""
    if x is TANGENT:
        raise NotElementwise("a tangent inside a larger expression")
    return x


class _Entries:
    """The members with a meaning of their own."""

    def shape(self, x: Entry) -> Shape:
        return SHAPE

    def full(self, shape: Shape, value: Number | Parameter) -> Entry:
        return literal(value)

    def stop_gradient(self, x: Entry) -> Entry:
        return x

    def neg(self, x: Entry) -> Entry:
        return made("Neg", ONE if x is TANGENT else x)

    def scale(self, x: Entry, c: Number | Parameter) -> Entry:
        return literal(c) if x is TANGENT else made("Mul", x, literal(c))

    def scaled_exp(self, x: Entry, c: Number | Parameter) -> Entry:
        return made("Mul", made("Fn Exp", _plain(x)), literal(c))

    def amul(self, g: Entry, d: Entry) -> Entry:
        return _plain(d) if g is TANGENT else made("Mul", g, _plain(d))  # finite: nothing to absorb

    def pow(self, x: Entry, c: Parameter) -> Entry:
        return Entry(f"Pow {_plain(x).inside()} {c.place}")

    def pow_prime(self, x: Entry, c: Parameter) -> Entry:
        return Entry(f"PowPrime {_plain(x).inside()} {c.place}")

    def greater(self, a: Entry, b: Entry) -> Entry:
        # nothing is below minus infinity, or above infinity
        return ZERO if a.infinite < 0 or b.infinite > 0 else made("Gt", _plain(a), _plain(b))

    def where(self, mask: Entry, a: Entry, b: Entry) -> Entry:
        return b if mask is ZERO else made("If", mask, _plain(a), _plain(b))

    def gate(self, mask: Entry, g: Entry, *, complement: bool = False) -> Entry:
        g = ONE if g is TANGENT else g
        return made("If", mask, ZERO, g) if complement else made("If", mask, g, ZERO)


def _builder(head: str) -> Callable[..., Entry]:
    return lambda self, *parts: made(head, *map(_plain, parts))


def _refusal(name: str) -> Callable[..., Entry]:
    def refuse(*args: object, **named: object) -> Entry:
        raise NotElementwise(name)

    return refuse


def _members() -> dict[str, Any]:
    """Every member of the vocabulary: our own, one constructor, or refused."""
    out: dict[str, Any] = {name: _refusal(name) for name in vars(Vocabulary) if not name.startswith("_")}
    out.update({name: _builder(head) for name, head in BUILT.items()})
    out.update({name: f for name, f in vars(_Entries).items() if not name.startswith("_")})
    return out


EntryRules = type("EntryRules", (Vocabulary,), _members())


class EntryCall:
    """What an elementwise rule asks of a call: its shape, and its numbers, unknown unless `given`."""

    def __init__(self, op: Op, given: dict[str, Number]) -> None:
        self.shape = SHAPE
        numbers = [a.name for a in op.attrs if a.kind == "number"]
        self._numbers: dict[str, Number | Parameter] = {n: Parameter(i) for i, n in enumerate(numbers)}
        self._numbers.update(given)

    def number(self, name: str) -> Number | Parameter:
        """The attribute."""
        return self._numbers[name]

    def __getattr__(self, name: str) -> object:
        raise NotElementwise(f"call.{name}")


@dataclass(frozen=True, slots=True)
class Elementwise:
    """An op's forward rule and, if it has derivatives, its slope with respect to each operand."""

    value: str
    slopes: tuple[str | None, ...] | None


def _slopes(op: Op, xp: Any, call: EntryCall, operands: list[Entry], out: Entry) -> list[str | None]:
    """A tangent of 1 for one operand, none for the others: the JVP is that operand's slope.

    The VJP must give the same, or the record's two rules are not each other's transpose.
    """
    result: list[str | None] = []
    arity = len(operands)
    entries = [*operands, out]
    saved = [entries[p] for p in op.save_positions(arity)]
    for i in range(arity):
        one = [TANGENT if j == i else None for j in range(arity)]
        try:
            tangent = op.jvp(xp, call, operands, out, one)
            cotangent = op.vjp(xp, call, saved, TANGENT, [j == i for j in range(arity)])[i]
        except (TypeError, IndexError) as e:
            raise ValueError(f"op {op.name}: its rules do not fit its save list {op.saves}: {e}") from None
        slopes = [None if s is None else (ONE if s is TANGENT else s).text for s in (tangent, cotangent)]
        if slopes[0] != slopes[1]:
            raise ValueError(f"op {op.name}: JVP has the slope {slopes[0]}, VJP {slopes[1]}")
        result.append(slopes[0])
    return result


def elementwise(op: Op, given: dict[str, Number] | None = None) -> Elementwise | None:
    """The op as expressions, or None if it is not elementwise. `given` fixes attributes."""
    xp, call = EntryRules(), EntryCall(op, given or {})
    arity = len(op.operands)
    operands = [Entry(f"Arg {i}") for i in range(arity)]
    try:
        if op.family not in FAMILIES or not arity or op.variadic or op.nats:
            return None
        value = op.forward(xp, call, *operands)
        slopes = _slopes(op, xp, call, operands, Entry(f"Arg {arity}")) if op.differentiable else None
    except NotElementwise:
        return None
    return Elementwise(value.text, None if slopes is None else tuple(slopes))

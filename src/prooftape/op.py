"""The op record: everything one op means, in one place.

An `Op` holds its shape rule, forward, JVP and VJP (functions over the array vocabulary), domain, kink
convention, samples and documentation; a record with a missing part does not construct. `Op.bind` checks one
use of it and returns a `Call`: the op with its attributes and types, immutable and interned, so that
recording the same kind of op again costs one dictionary lookup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from prooftape.attributes import REQUIRED, Attr, AttrValue, attr_key
from prooftape.errors import AttributeValueError, OperandError, RuleError, count
from prooftape.literal import Literal
from prooftape.numbers import Number
from prooftape.types import BOOL, REAL, Shape, TensorType
from prooftape.vocabulary import A, Vocabulary

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]
# the accessors below are named after what they return, so inside the classes `int` is a method

OUT: Final = "out"
"""Name of the op's own result in a save list."""

MAX_RANK: Final = 64  # NumPy's limit
_MAX_INTERNED: Final = 4096  # calls kept per op; beyond it (thousands of shapes) the cache starts over


class Typing:
    """What a shape rule sees: operand types, index-vector lengths, attributes (which it may canonicalise)."""

    __slots__ = ("attrs", "nat_sizes", "op", "types")

    def __init__(
        self, op: Op, types: tuple[TensorType, ...], nat_sizes: tuple[int, ...], attrs: dict[str, AttrValue]
    ) -> None:
        self.op = op
        self.types = types
        self.nat_sizes = nat_sizes
        self.attrs = attrs

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Operand shapes."""
        return tuple(t.shape for t in self.types)

    def int(self, name: str) -> int:
        """Integer attribute."""
        value = self.attrs[name]
        assert type(value) is int
        return value

    def ints(self, name: str) -> Ints:
        """Tuple-of-integers attribute."""
        value = self.attrs[name]
        assert isinstance(value, tuple)
        return cast(Ints, value)

    def number(self, name: str) -> Number:
        """Literal number attribute."""
        value = self.attrs[name]
        assert isinstance(value, (int, float, Fraction))
        return value


class Call:
    """One use of an op, fully typed: op, attributes, operand types, index lengths, result type. Immutable."""

    __slots__ = ("_named", "attrs", "nat_sizes", "op", "out", "saved", "shape", "shapes", "types")

    op: Op
    attrs: tuple[AttrValue, ...]
    types: tuple[TensorType, ...]
    nat_sizes: tuple[int, ...]
    out: TensorType
    shapes: tuple[Shape, ...]
    shape: Shape
    saved: tuple[int, ...]
    """Positions its VJP reads: operands, or `len(types)` for the result."""

    def __init__(
        self,
        op: Op,
        attrs: tuple[AttrValue, ...],
        types: tuple[TensorType, ...],
        nat_sizes: tuple[int, ...],
        out: TensorType,
    ) -> None:
        put = object.__setattr__
        put(self, "op", op)
        put(self, "attrs", attrs)
        put(self, "types", types)
        put(self, "nat_sizes", nat_sizes)
        put(self, "out", out)
        put(self, "shapes", tuple(t.shape for t in types))
        put(self, "shape", out.shape)
        put(self, "saved", op.save_positions(len(types)))
        put(self, "_named", {a.name: v for a, v in zip(op.attrs, attrs, strict=True)})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Call is immutable, cannot set {name!r}")

    def key(self) -> tuple[object, ...]:
        """Content as a hashable value."""
        return (self.op.name, tuple(map(attr_key, self.attrs)), self.types, self.nat_sizes, self.out)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Call) and self.key() == other.key())

    def __hash__(self) -> int:
        return hash(self.key())

    def attr(self, name: str) -> AttrValue:
        """Attribute by name."""
        return self._named[name]  # type: ignore[no-any-return,attr-defined]

    def int(self, name: str) -> int:
        """Integer attribute."""
        value = self.attr(name)
        assert type(value) is int
        return value

    def flag(self, name: str) -> bool:
        """Boolean attribute."""
        value = self.attr(name)
        assert type(value) is bool
        return value

    def ints(self, name: str) -> Ints:
        """Tuple-of-integers attribute."""
        value = self.attr(name)
        assert isinstance(value, tuple)
        return cast(Ints, value)

    def pairs(self, name: str) -> Pairs:
        """Tuple-of-pairs attribute."""
        value = self.attr(name)
        assert isinstance(value, tuple)
        return cast(Pairs, value)

    def number(self, name: str) -> Number:
        """Literal number attribute."""
        value = self.attr(name)
        assert isinstance(value, (int, float, Fraction))
        return value

    def literal(self, name: str) -> Literal:
        """Literal array attribute."""
        value = self.attr(name)
        assert isinstance(value, Literal)
        return value

    def __reduce__(self) -> tuple[object, ...]:
        return (_bound, (self.op, self.types, self.attrs, self.nat_sizes))

    def __repr__(self) -> str:
        return f"Call({self.op.name}, {self.attrs}, {self.types} -> {self.out})"


@dataclass(frozen=True, slots=True)
class Operand:
    """Value recipe for one operand of a sample.

    `kind`: `real` (any sign), `positive`, `nonzero`, `distinct` (no two equal entries in the array),
    `open_unit` (strictly between 0 and 1) or `mask`.
    """

    shape: Shape
    kind: str = "real"


@dataclass(frozen=True, slots=True)
class Sample:
    """One way to call the op: operand recipes, attributes, index vectors."""

    operands: tuple[Operand, ...]
    attrs: dict[str, object] = field(default_factory=dict)
    nats: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Domain:
    """Where the op is defined and differentiable.

    `violated(xp, call, *operands)` is the mask of entries outside, `singular(xp, call, *operands)` that of
    entries with a value but no finite derivative (sqrt at 0).
    """

    text: str
    violated: Callable[..., Any] | None = None
    singular: Callable[..., Any] | None = None


EVERYWHERE: Final = Domain("all finite inputs")

ShapeRule = Callable[[Typing], Shape]


@dataclass(frozen=True, eq=False)
class Op:
    """One op. See docs/architecture.md for how the parts are used.

    forward(xp, call, *operands, *indices) -> value
    jvp(xp, call, primals, out, tangents) -> tangent or None; primals = (*operands, *indices); a tangent may
        be None (absent); at least one is present
    record_check(call, naturals): raises RuleError when the naturals now stored at the index references are
        surely a mistake; asked when a session records the op, never again (evaluation is total)
    nats_below(call): of an op with one index reference, the number below which its `record_check` passes
    vjp(xp, call, saved, ct, wanted) -> one cotangent (or None) per operand; saved = (values named by `saves`,
        in that order, then the indices); only operands with wanted[i] need one
    """

    name: str
    family: str
    operands: tuple[str, ...]
    shape_rule: ShapeRule
    forward: Callable[..., Any]
    jvp: Callable[..., Any]
    vjp: Callable[..., Any]
    saves: tuple[str, ...]
    samples: Callable[[], Iterable[Sample]]
    doc: str
    shapes_doc: str
    attrs: tuple[Attr, ...] = ()
    nats: tuple[str, ...] = ()
    domain: Domain = EVERYWHERE
    convention: str = ""
    accuracy: str = ""
    out_dtype: str = REAL
    operand_dtypes: tuple[str, ...] = ()
    variadic: bool = False
    optional_operands: int = 0
    differentiable: bool = True
    transcendental: bool = False
    public: bool = True
    record_check: Callable[[Call, Sequence[NDArray[np.int64]]], None] | None = None
    nats_below: Callable[[Call], int] | None = None
    _calls: dict[object, Call] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for part in ("name", "family", "doc", "shapes_doc"):
            if not getattr(self, part):
                raise ValueError(f"op {self.name!r}: {part} is missing")
        if self.operand_dtypes and len(self.operand_dtypes) != len(self.operands):
            raise ValueError(f"op {self.name}: operand_dtypes and operands differ in length")
        if self.nats_below is not None and (self.record_check is None or len(self.nats) != 1):
            raise ValueError(f"op {self.name}: nats_below is for one index reference with a record_check")
        unknown = set(self.saves) - {*self.operands, OUT}
        if unknown:
            raise ValueError(f"op {self.name}: saves names no operand: {sorted(unknown)}")
        if self.variadic and len(self.operands) != 1:
            raise ValueError(f"op {self.name}: a variadic op declares exactly one operand name")
        if not any(True for _ in self.samples()):
            raise ValueError(f"op {self.name}: no samples")

    def operand_name(self, i: int) -> str:
        """How messages name operand i: `x`, or `xs[i]` of a variadic op."""
        if self.variadic:
            return f"{self.operands[0]}[{i}]"
        return self.operands[i] if i < len(self.operands) else f"operand {i}"

    def save_positions(self, arity: int) -> tuple[int, ...]:
        """Saved values as operand positions; `arity` stands for the result. Absent optionals are skipped."""
        where = {name: i for i, name in enumerate(self.operands)}
        present = (name for name in self.saves if name == OUT or where[name] < arity)
        return tuple(arity if name == OUT else where[name] for name in present)

    def read_attrs(self, values: Sequence[object]) -> tuple[AttrValue, ...]:
        """Canonical attribute values from a user's, in declaration order."""
        out = []
        for a, v in zip(self.attrs, values, strict=True):
            if v is REQUIRED:
                raise RuleError(f"attribute {a.name} is required", f"pass {a.name}=…", AttributeValueError)
            try:
                out.append(a.read(v))
            except (TypeError, ValueError) as e:
                raise RuleError(f"attribute {a.name}: {e}", a.doc, AttributeValueError) from None
        return tuple(out)

    def bind(
        self,
        types: tuple[TensorType, ...],
        attrs: Sequence[object] = (),
        nat_sizes: tuple[int, ...] = (),
    ) -> Call:
        """Check one use of the op and return its call; raises `RuleError` with the problem and the fix."""
        values = self.read_attrs(attrs) if self.attrs else ()
        key = (types, tuple(map(attr_key, values)), nat_sizes)
        call = self._calls.get(key)
        if call is None:
            call = self._infer(types, values, nat_sizes)
            self.remember(key, call)
        return call

    def remember(self, key: object, call: Call) -> None:
        """Intern a call under a key that determines it; bounded."""
        if len(self._calls) >= _MAX_INTERNED:
            self._calls.clear()
        self._calls[key] = call

    def _infer(
        self, types: tuple[TensorType, ...], values: tuple[AttrValue, ...], nat_sizes: tuple[int, ...]
    ) -> Call:
        self._check_operands(types, nat_sizes)
        typing = Typing(self, types, nat_sizes, {a.name: v for a, v in zip(self.attrs, values, strict=True)})
        shape = self.shape_rule(typing)
        if len(shape) > MAX_RANK:
            raise RuleError(
                f"the result would have rank {len(shape)}", f"an array has at most {MAX_RANK} axes"
            )
        canonical = tuple(typing.attrs[a.name] for a in self.attrs)
        return Call(self, canonical, types, nat_sizes, TensorType.of(shape, self.out_dtype))

    def _check_operands(self, types: tuple[TensorType, ...], nat_sizes: tuple[int, ...]) -> None:
        most = len(self.operands)
        least = most - self.optional_operands
        if self.variadic:
            if not types:
                raise RuleError("needs at least one operand", "pass a non-empty list", OperandError)
        elif not least <= len(types) <= most:
            takes = count(most, "operand") if least == most else f"{least} to {most} operands"
            raise RuleError(f"takes {takes}, got {len(types)}", "", OperandError)
        if len(nat_sizes) != len(self.nats):
            raise RuleError(
                f"takes {count(len(self.nats), 'index reference')}, got {len(nat_sizes)}", "", OperandError
            )
        for i, t in enumerate(types):
            want = self.operand_dtypes[0 if self.variadic else i] if self.operand_dtypes else REAL
            if t.dtype != want:
                what = "a mask (boolean)" if want == BOOL else "real numbers"
                hint = (
                    "build a mask with a comparison such as greater(x, y)"
                    if want == BOOL
                    else "turn a mask into numbers with where(mask, ones, zeros)"
                )
                raise RuleError(f"operand {self.operand_name(i)} must be {what}, got {t}", hint, OperandError)

    def __repr__(self) -> str:
        return f"<op {self.name}>"


def _bound(
    op: Op, types: tuple[TensorType, ...], attrs: tuple[AttrValue, ...], nat_sizes: tuple[int, ...]
) -> Call:
    """What unpickling a call does: checked and interned like any other."""
    return op.bind(types, attrs, nat_sizes)


def add_present(xp: Vocabulary[A], terms: Iterable[A | None]) -> A | None:
    """Left-to-right sum of the terms that are present; None when all are absent."""
    total: A | None = None
    for t in terms:
        if t is not None:
            total = t if total is None else xp.add(total, t)
    return total

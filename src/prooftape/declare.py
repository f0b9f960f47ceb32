"""Declarators: the few ways most ops come to be, so that JVP and VJP cannot disagree.

* `elementwise`: out = f(x, …) entry by entry; rules follow from one local derivative per operand, used by
  both modes. A local derivative may be a value (multiplied with the absorbing product) or a `Gate` (a mask
  that lets the tangent or cotangent through, or gives 0).
* `linear`: out = sum of linear maps of the operands; rules are the maps and their transposes.
* `constant`: no derivative (comparisons, masks, random draws).

A theorem about a declarator covers every op declared with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from prooftape.attributes import Attr
from prooftape.errors import RuleError
from prooftape.op import EVERYWHERE, Call, Domain, Op, Operand, Sample, ShapeRule, Typing, add_present
from prooftape.types import BOOL, REAL, Shape
from prooftape.vocabulary import A, Vocabulary


@dataclass(frozen=True, slots=True)
class Gate:
    """A local derivative that is 1 where the mask is true and 0 elsewhere (`complement`: the reverse).

    It selects and never multiplies.
    """

    mask: Callable[..., Any]
    complement: bool = False


def same_shape(t: Typing) -> Shape:
    """Shape rule: all operands have one shape, and so has the result."""
    first = t.shapes[0]
    for s in t.shapes[1:]:
        if s != first:
            raise RuleError(
                "operand shapes differ",
                "shapes must be equal; use broadcast_to (operators such as a + b insert it)",
            )
    return first


def elementwise_samples(
    arity: int, kind: str = "real", attrs: dict[str, object] | None = None
) -> Callable[[], Iterable[Sample]]:
    """Scalars, vectors, matrices, a size-0 and a size-1 dimension."""
    shapes: tuple[Shape, ...] = ((), (3,), (2, 3), (0,), (1, 2), (2, 0, 3))
    return lambda: [Sample((Operand(s, kind),) * arity, dict(attrs or {})) for s in shapes]


def _times(xp: Vocabulary[A], call: Call, g: A, partial: Any, saved: Sequence[Any]) -> A:
    if isinstance(partial, Gate):
        return xp.gate(partial.mask(xp, call, *saved), g, complement=partial.complement)
    return xp.amul(g, partial(xp, call, *saved))


def elementwise(
    name: str,
    operands: tuple[str, ...],
    forward: Callable[..., Any],
    partials: Sequence[Callable[..., Any] | Gate | None],
    *,
    doc: str,
    saves: tuple[str, ...] | None = None,
    family: str = "elementwise",
    samples: Callable[[], Iterable[Sample]] | None = None,
    attrs: tuple[Attr, ...] = (),
    domain: Domain = EVERYWHERE,
    convention: str = "",
    accuracy: str = "",
    operand_dtypes: tuple[str, ...] = (),
    shape_rule: ShapeRule = same_shape,
    transcendental: bool = False,
    public: bool = True,
) -> Op:
    """An op that maps entries to entries; `partials[i](xp, call, *saved)` is d out / d operand i.

    `saves` defaults to all operands; a partial of None means the operand has no derivative (a mask).
    """
    saved_names = operands if saves is None else saves
    positions = tuple(len(operands) if n == "out" else operands.index(n) for n in saved_names)

    def jvp(
        xp: Vocabulary[A], call: Call, primals: Sequence[A], out: A, tangents: Sequence[A | None]
    ) -> A | None:
        values = (*primals, out)
        saved = [values[p] for p in positions]
        return add_present(
            xp,
            (
                None if t is None or partial is None else _times(xp, call, t, partial, saved)
                for t, partial in zip(tangents, partials, strict=True)
            ),
        )

    def vjp(
        xp: Vocabulary[A], call: Call, saved: Sequence[A], ct: A, wanted: Sequence[bool]
    ) -> tuple[A | None, ...]:
        return tuple(
            _times(xp, call, ct, partial, saved) if w and partial is not None else None
            for w, partial in zip(wanted, partials, strict=True)
        )

    def vjp_of_one(
        xp: Vocabulary[A], call: Call, saved: Sequence[A], ct: A, wanted: Sequence[bool]
    ) -> tuple[A]:
        """The same for one operand (it is wanted, or nobody would ask): half of all nodes are such."""
        return (_times(xp, call, ct, partials[0], saved),)

    shape_text = "same shape" if len(operands) == 1 else "equal shapes"
    return Op(
        name=name,
        family=family,
        operands=operands,
        shape_rule=shape_rule,
        forward=forward,
        jvp=jvp,
        vjp=vjp_of_one if len(operands) == 1 else vjp,
        saves=saved_names,
        samples=samples or elementwise_samples(len(operands)),
        doc=doc,
        shapes_doc=f"{', '.join(operands)}: {shape_text} -> that shape",
        attrs=attrs,
        domain=domain,
        convention=convention,
        accuracy=accuracy,
        operand_dtypes=operand_dtypes,
        transcendental=transcendental,
        public=public,
    )


LinearMap = Callable[..., Any]


def linear(
    name: str,
    operands: tuple[str, ...],
    forward: Callable[..., Any],
    maps: Sequence[tuple[LinearMap, LinearMap]],
    *,
    family: str,
    shape_rule: ShapeRule,
    samples: Callable[[], Iterable[Sample]],
    doc: str,
    shapes_doc: str,
    attrs: tuple[Attr, ...] = (),
    nats: tuple[str, ...] = (),
    public: bool = True,
    convention: str = "",
    domain: Domain = EVERYWHERE,
) -> Op:
    """An op that is a sum of linear maps of its operands: `maps[i] = (map, transpose)`.

    map(xp, call, tangent, *indices) and transpose(xp, call, ct, *indices); nothing is saved but indices.
    """

    def jvp(
        xp: Vocabulary[A], call: Call, primals: Sequence[A], out: A, tangents: Sequence[A | None]
    ) -> A | None:
        indices = primals[len(tangents) :]
        return add_present(
            xp,
            (
                None if t is None else m(xp, call, t, *indices)
                for t, (m, _) in zip(tangents, maps, strict=True)
            ),
        )

    def vjp(
        xp: Vocabulary[A], call: Call, saved: Sequence[A], ct: A, wanted: Sequence[bool]
    ) -> tuple[A | None, ...]:
        return tuple(
            transpose(xp, call, ct, *saved) if w else None
            for w, (_, transpose) in zip(wanted, maps, strict=True)
        )

    return Op(
        name=name,
        family=family,
        operands=operands,
        shape_rule=shape_rule,
        forward=forward,
        jvp=jvp,
        vjp=vjp,
        saves=(),
        samples=samples,
        doc=doc,
        shapes_doc=shapes_doc,
        attrs=attrs,
        nats=nats,
        public=public,
        convention=convention,
        domain=domain,
    )


def constant(
    name: str,
    operands: tuple[str, ...],
    forward: Callable[..., Any],
    *,
    family: str,
    shape_rule: ShapeRule,
    samples: Callable[[], Iterable[Sample]],
    doc: str,
    shapes_doc: str,
    attrs: tuple[Attr, ...] = (),
    nats: tuple[str, ...] = (),
    out_dtype: str = BOOL,
    operand_dtypes: tuple[str, ...] = (),
    public: bool = True,
    convention: str = "",
) -> Op:
    """An op whose result carries no derivative."""
    return Op(
        name=name,
        family=family,
        operands=operands,
        shape_rule=shape_rule,
        forward=forward,
        jvp=lambda xp, call, primals, out, tangents: None,
        vjp=lambda xp, call, saved, ct, wanted: (None,) * len(wanted),
        saves=(),
        samples=samples,
        doc=doc,
        shapes_doc=shapes_doc,
        attrs=attrs,
        nats=nats,
        out_dtype=out_dtype,
        operand_dtypes=operand_dtypes,
        differentiable=False,
        public=public,
        convention=convention or "no derivative",
    )


__all__ = ["BOOL", "REAL", "Gate", "constant", "elementwise", "elementwise_samples", "linear", "same_shape"]

"""`check_op`: everything that can be said exactly about one op's rules, on each of its samples."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from prooftape.arrays.structure import Arr
from prooftape.handle_methods import TensorRef
from prooftape.op import Op, Sample
from prooftape.ops import find
from prooftape.scalars import Scalar
from prooftape.session import Session
from prooftape.testing.dual import Dual, DualArrays
from prooftape.testing.opaque import opaque_rationals
from prooftape.testing.values import draw, draw_reals, record
from prooftape.transforms.derivative_graphs import grad_refs, jvp_refs
from prooftape.types import REAL


class OpCheckError(AssertionError):
    """An op's rules disagree with one another; the message names op, sample and check."""


def check_op(op: Op | str, *, scalar: Scalar | None = None, seed: int = 0, second_order: bool = True) -> int:
    """Check every sample of `op` exactly; returns the number of comparisons made, raises `OpCheckError`."""
    record = find(op) if isinstance(op, str) else op
    rng = random.Random(f"{record.name} {seed}")
    total = 0
    for sample in record.samples():
        total += _SampleCheck(record, sample, scalar or opaque_rationals(), rng).run(second_order)
    return total


class _SampleCheck:
    def __init__(self, op: Op, sample: Sample, scalar: Scalar, rng: random.Random) -> None:
        self.op, self.sample, self.rng = op, sample, rng
        self.s = s = Session(scalar)
        self.xp = scalar.xp
        self.leaves = []
        for operand in sample.operands:
            value = draw(rng, operand)
            self.leaves.append(s.const(value) if operand.kind == "mask" else s.add_leaf(value))
        given = {a.name: a.default for a in op.attrs} | sample.attrs
        self.out = record(s, op, self.leaves, tuple(given.values()), sample.nats)
        self.call = s.graph.nodes[-1].call
        self.indices = [np.array(v, dtype=np.int64) for v in sample.nats]
        self.values = [s._leaf_values[x.id] for x in self.leaves]
        self.value = s._evaluate(self.out.id + 1)[self.out.id]
        self.reals = [i for i, x in enumerate(self.leaves) if x.dtype == REAL]
        self.count = 0

    def run(self, second_order: bool) -> int:
        self._expect(
            "shape", self.value.shape == self.call.shape, f"{self.value.shape} is not {self.call.shape}"
        )
        if self.op.out_dtype != REAL:
            self._expect("mask", self.value.dtype == np.bool_, f"dtype {self.value.dtype}")
            return self.count
        tangents = [self._random(x.shape) if x.dtype == REAL else None for x in self.leaves]
        ct = self._random(self.call.shape)
        tangent = self._jvp(tangents)
        self._dual(tangents, tangent)
        self._absent_tangents(tangents)
        cts = self._vjp(ct, [x.dtype == REAL for x in self.leaves])
        self._adjoint(tangents, tangent, ct, cts)
        self._wanted(ct, cts)
        if second_order and self.reals:
            self._recorded(tangents, tangent, ct, cts)
        return self.count

    # -- first order --------------------------------------------------------------------------------
    def _jvp(self, tangents: Sequence[Arr | None]) -> Arr:
        found = None
        if any(t is not None for t in tangents):
            found = self.op.jvp(self.xp, self.call, (*self.values, *self.indices), self.value, list(tangents))
        return self._dense(found, self.call.shape)

    def _vjp(self, ct: Arr, wanted: Sequence[bool]) -> list[Arr]:
        entries = [*self.values, self.value]
        saved = [entries[p] for p in self.op.save_positions(len(self.values))]
        found = self.op.vjp(self.xp, self.call, [*saved, *self.indices], ct, list(wanted))
        self._expect("vjp arity", len(found) == len(self.values), f"{len(found)} cotangents")
        for f, w, x in zip(found, wanted, self.leaves, strict=True):
            self._expect("vjp of an operand not wanted", f is None or w, x)
            self._expect("cotangent shape", f is None or self.xp.shape(f) == x.shape, x)
        return [self._dense(f, x.shape) for f, x in zip(found, self.leaves, strict=True)]

    def _dual(self, tangents: Sequence[Arr | None], tangent: Arr) -> None:
        pairs = [Dual(v, t) for v, t in zip(self.values, tangents, strict=True)]
        result = self.op.forward(DualArrays(self.xp), self.call, *pairs, *self.indices)
        self._same("dual primal", result.primal, self.value)
        if self.op.differentiable:
            self._same("JVP against dual numbers", tangent, self._dense(result.tangent, self.call.shape))

    def _absent_tangents(self, tangents: list[Arr | None]) -> None:
        """One operand moving alone: absent tangents elsewhere must mean zero tangents."""
        for i in self.reals:
            alone = [t if j == i else None for j, t in enumerate(tangents)]
            zeros = [
                t if j == i or t is None else self._dense(None, self.leaves[j].shape)
                for j, t in enumerate(tangents)
            ]
            self._same(f"JVP with only operand {i} present", self._jvp(alone), self._jvp(zeros))

    def _adjoint(self, tangents: Sequence[Arr | None], tangent: Arr, ct: Arr, cts: Sequence[Arr]) -> None:
        left = self._dot(tangent, ct)
        right = self.xp.element(0)  # type: ignore[attr-defined]
        for t, c in zip(tangents, cts, strict=True):
            if t is not None:
                right = right + self._dot(t, c)
        self._expect("adjointness <jvp dx, b> = <dx, vjp b>", left == right, f"{left} != {right}")

    def _wanted(self, ct: Arr, cts: Sequence[Arr]) -> None:
        for i in self.reals:
            alone = self._vjp(ct, [j == i for j in range(len(self.leaves))])
            self._same(f"VJP with only operand {i} wanted", alone[i], cts[i])

    # -- derivatives as graphs ------------------------------------------------------------------------
    def _recorded(self, tangents: Sequence[Arr | None], tangent: Arr, ct: Arr, cts: Sequence[Arr]) -> None:
        s = Session(self.s.scalar)
        leaves = [s.const(v) if v.dtype.kind == "b" else s.add_leaf(self._user(v)) for v in self.values]
        moving = [leaves[i] for i in self.reals]
        seed = s.add_leaf(self._user(ct))
        moves = [s.add_leaf(self._user(tangents[i])) for i in self.reals]  # type: ignore[arg-type]
        given = {a.name: a.default for a in self.op.attrs} | self.sample.attrs
        out = record(s, self.op, leaves, tuple(given.values()), self.sample.nats)
        (forward,) = jvp_refs([out], moving, moves)
        backward = grad_refs([out], [seed], moving)
        if forward is not None:
            self._same("recorded JVP", s._evaluate(forward.id + 1)[forward.id], tangent)
        for i, ref in zip(self.reals, backward, strict=True):
            if ref is not None:
                self._same(f"recorded VJP of operand {i}", s._evaluate(ref.id + 1)[ref.id], cts[i])
        for ref in (forward, *backward):
            if ref is not None and ref.id >= len(s.graph.leaves):
                self._second_order(s, ref)

    def _second_order(self, s: Session, ref: TensorRef) -> None:
        """Adjointness of a recorded derivative, as a function of every leaf."""
        dxs = [
            self._user(self._random(x.type.shape)) if x.type.dtype == REAL else None for x in s.graph.leaves
        ]
        ct = self._user(self._random(ref.shape))
        tangent, grads = s.jvp_dense_all(ref, dxs), s.backward_dense_all(ref, ct)
        left = self._dot(s.scalar.to_array(tangent, ""), s.scalar.to_array(ct, ""))
        right = self.xp.element(0)  # type: ignore[attr-defined]
        for i, dx in enumerate(dxs):
            g = grads.stored(i) if dx is not None else None
            if dx is not None and g is not None:
                right = right + self._dot(s.scalar.to_array(dx, ""), g)
        self._expect("second-order adjointness", left == right, f"{left} != {right}")

    # -- helpers --------------------------------------------------------------------------------------
    def _random(self, shape: tuple[int, ...]) -> Arr:
        return self.s.scalar.to_array(draw_reals(self.rng, shape), "random value")

    def _user(self, value: Arr) -> Arr:
        return self.s.scalar.to_user(value)

    def _dense(self, value: Arr | None, shape: tuple[int, ...]) -> Arr:
        return self.xp.full(shape, 0) if value is None else value

    def _dot(self, a: Arr, b: Arr) -> Any:
        total = self.xp.element(0)  # type: ignore[attr-defined]
        for x, y in zip(a.ravel(), b.ravel(), strict=True):
            total = total + x * y
        return total

    def _same(self, what: str, got: Arr, expected: Arr) -> None:
        ok = got.shape == expected.shape and all(
            x == y for x, y in zip(got.ravel(), expected.ravel(), strict=True)
        )
        self._expect(what, ok, lambda: f"\n  got      {got.tolist()}\n  expected {expected.tolist()}")

    def _expect(self, what: str, ok: bool, detail: object | Callable[[], str]) -> None:
        self.count += 1
        if not ok:
            text = detail() if callable(detail) else detail
            raise OpCheckError(f"{self.op.name}: {what} fails on {self.sample}: {text}")

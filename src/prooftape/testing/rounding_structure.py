"""Running error analysis, the part without rounding: moving entries, selecting among them, comparing them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from prooftape.arrays.floats import FloatArrays
from prooftape.arrays.structure import Arr
from prooftape.literal import Literal
from prooftape.numbers import Number
from prooftape.testing.rounding_model import Rounding
from prooftape.testing.rounding_values import (
    Bounded,
    apart,
    claimed,
    grain,
    same_number,
    settled_sign,
    surely_nan,
)
from prooftape.types import Shape
from prooftape.vocabulary import Index, Mask, Vocabulary


def decided(mask: Mask) -> Bounded:
    """A mask without doubt."""
    return Bounded(mask, np.zeros(mask.shape, np.bool_))


class RoundingStructure(Vocabulary[Bounded]):
    """Members that round nothing. Names of entries are even numbers; `finish` makes them odd."""

    def __init__(self, model: Rounding) -> None:
        self.model = model
        self.base = FloatArrays(np.float64)
        self._last_name = 0.0
        self._constants: dict[Number, float] = {}

    # -- names, leaves, constants -----------------------------------------------------------------
    def _named(self, value: Arr, error: Arr) -> Bounded:
        """New numbers of the engine; a bound that is not a number claims nothing."""
        names = self._last_name + 2 * np.arange(1, value.size + 1, dtype=np.float64)
        self._last_name += 2 * value.size
        error = np.where(error >= 0, error, np.inf)
        return Bounded(np.asarray(value), np.asarray(error), names.reshape(value.shape))

    def leaf(self, values: object) -> Bounded:
        """What a user stores (an array of floats or booleans), rounded to the engine's precision."""
        given = np.asarray(values)
        if given.dtype.kind == "b":
            return decided(given)
        exact = given.astype(np.float64)
        error = np.zeros(exact.shape)
        if given.dtype == object:  # exact rationals
            off = [
                abs(float(Fraction(v) - Fraction(w)))
                for v, w in zip(given.ravel(), exact.ravel().tolist(), strict=True)
            ]
            error = np.array(off, np.float64).reshape(exact.shape)
        model = self.model
        precision = min(model.precision, model.storage_precision)
        representable = (np.abs(exact) <= 2.0**precision * grain(exact)) & (error == 0)
        unit = model.unit + model.storage_unit
        error = error + np.where(representable, 0, (unit * (1 + unit)) * np.abs(exact))
        low = (np.abs(exact) < 2 * model.smallest) & (exact != 0)
        error += np.where(low, model.floor + model.storage_floor, 0)
        error = np.where(np.abs(exact) > min(model.largest, model.storage_largest), np.inf, error)
        return self._named(exact, np.where(np.isfinite(exact), error, 0))

    def array(self, value: object) -> Bounded:
        assert isinstance(value, Literal)
        return self.leaf(value.array)

    def full(self, shape: Shape, value: Number) -> Bounded:
        made = self.constant(value)
        return Bounded(*(np.broadcast_to(part, shape) for part in made))  # type: ignore[arg-type]

    def constant(self, value: Number) -> Bounded:
        """One number, the same one every time it is asked for."""
        try:
            rounded = float(value)
        except OverflowError:
            rounded = np.inf if value > 0 else -np.inf
        off = abs(float(Fraction(value) - Fraction(rounded))) if np.isfinite(rounded) else 0.0
        made = self.leaf(np.float64(rounded))
        if not np.isfinite(rounded) and isinstance(value, int | Fraction):
            made = made._replace(error=np.array(np.inf))  # beyond float64
        name = self._constants.setdefault(value, float(made.name))  # type: ignore[arg-type]
        rounding = 2 * self.model.unit * abs(rounded) if off else 0.0
        return Bounded(made.value, made.error + off + rounding, np.array(name))

    def mask(self, mask: Mask) -> Bounded:
        return decided(np.asarray(mask))

    def index(self, values: Sequence[int]) -> Index:
        return self.base.index(values)

    def shape(self, x: Bounded) -> Shape:
        return x.value.shape

    def stop_gradient(self, x: Bounded) -> Bounded:
        return x

    # -- moving entries ---------------------------------------------------------------------------
    def _moved(self, move: Callable[[Arr], Arr], x: Bounded) -> Bounded:
        name = None if x.name is None else np.asarray(move(x.name))
        return Bounded(np.asarray(move(x.value)), np.asarray(move(x.error)), name)

    def reshape(self, x: Bounded, shape: Shape) -> Bounded:
        return self._moved(lambda v: v.reshape(shape), x)

    def permute(self, x: Bounded, axes: Shape) -> Bounded:
        return self._moved(lambda v: v.transpose(axes), x)

    def broadcast(self, x: Bounded, shape: Shape, axes: Shape) -> Bounded:
        return self._moved(lambda v: self.base.broadcast(v, shape, axes), x)

    def concat(self, xs: Sequence[Bounded], axis: int) -> Bounded:
        names = [x.name for x in xs if x.name is not None]
        value = np.concatenate([x.value for x in xs], axis)
        error = np.concatenate([x.error for x in xs], axis)
        return Bounded(value, error, np.concatenate(names, axis) if len(names) == len(xs) else None)

    def slice(self, x: Bounded, axis: int, start: int, length: int) -> Bounded:
        return self._moved(lambda v: self.base.slice(v, axis, start, length), x)

    def pad(self, x: Bounded, widths: Sequence[tuple[int, int]], value: Number = 0) -> Bounded:
        fill = self.constant(value)

        def padded(part: Arr, constant: Arr) -> Arr:
            return np.pad(part, widths, constant_values=constant) if part.ndim else part

        assert x.name is not None and fill.name is not None
        name = padded(x.name, fill.name)
        return Bounded(padded(x.value, fill.value), padded(x.error, fill.error), name)

    def take(self, x: Bounded, index: Index) -> Bounded:
        return self._moved(lambda v: self.base.take(v, index), x)

    def one_hot(self, index: Index, n: int) -> Bounded:
        return decided(self.base.one_hot(index, n))

    def windows(self, x: Bounded, kernel: Shape, stride: Shape) -> Bounded:
        return self._moved(lambda v: self.base.windows(v, kernel, stride), x)

    def neg(self, x: Bounded) -> Bounded:
        return Bounded(-x.value, x.error, None if x.name is None else -x.name)

    # -- comparing --------------------------------------------------------------------------------
    def _compared(self, a: Bounded, b: Bounded, hits: Arr, when_same: bool) -> Bounded:
        known, same = apart(a, b), same_number(a, b)
        # a number compared with itself: decided unless it may be nan
        by_name = same & claimed(a) & ~surely_nan(a)
        return Bounded(np.where(by_name, when_same, hits), ~(known | by_name))

    def greater(self, a: Bounded, b: Bounded) -> Bounded:
        return self._compared(a, b, np.greater(a.value, b.value), False)

    def greater_equal(self, a: Bounded, b: Bounded) -> Bounded:
        return self._compared(a, b, np.greater_equal(a.value, b.value), True)

    def equal(self, a: Bounded, b: Bounded) -> Bounded:
        return self._compared(a, b, np.equal(a.value, b.value), True)

    # -- selecting --------------------------------------------------------------------------------
    def where(self, mask: Bounded, a: Bounded, b: Bounded) -> Bounded:
        value, error, name = (
            np.where(mask.value, p, q) for p, q in zip(a, b, strict=True) if p is not None and q is not None
        )
        same = (same_number(a, b) | ((a.error == 0) & (b.error == 0) & (a.value == b.value))) | (
            surely_nan(a) & surely_nan(b)
        )
        doubt = np.asarray(mask.error) & ~same
        if not doubt.any():
            return Bounded(value, error, name)
        distance = np.abs(a.value - b.value)
        hull = np.maximum(
            np.where(mask.value, a.error, b.error), distance + np.where(mask.value, b.error, a.error)
        )
        bounded = np.isfinite(a.value) & np.isfinite(b.value)
        hull = np.where(bounded, hull, np.inf)
        fresh = self._named(value, np.where(doubt, hull, error))
        assert fresh.name is not None
        return fresh._replace(name=np.where(doubt, fresh.name, name))

    def maximum(self, a: Bounded, b: Bounded) -> Bounded:
        first = np.greater_equal(a.value, b.value) | np.isnan(a.value)
        picked = self.where(decided(first), a, b)
        clear = apart(a, b) | same_number(a, b)
        # |max(a', b') - max(a, b)| <= max(|a' - a|, |b' - b|)
        error = np.where(clear, picked.error, np.maximum(a.error, b.error))
        nan = surely_nan(a) | surely_nan(b)
        lost = ~nan & ~(claimed(a) & claimed(b))
        fresh = self._named(np.where(nan, np.nan, picked.value), error)
        assert fresh.name is not None and picked.name is not None
        error = np.where(nan, 0, np.where(lost, np.inf, fresh.error))
        return fresh._replace(error=error, name=np.where(clear, picked.name, fresh.name))

    def minimum(self, a: Bounded, b: Bounded) -> Bounded:
        return self.neg(self.maximum(self.neg(a), self.neg(b)))

    def max(self, x: Bounded, axes: Shape) -> Bounded:
        kept = tuple(i for i in range(x.value.ndim) if i not in axes)
        shape = tuple(x.value.shape[i] for i in kept)
        count = math.prod(x.value.shape[i] for i in axes)
        flat = self.reshape(self.permute(x, (*kept, *axes)), (*shape, count))
        cells = [self.reshape(self.slice(flat, len(kept), k, 1), shape) for k in range(count)]
        while len(cells) > 1:  # pairs, then pairs of pairs
            cells = [
                self.maximum(*cells[i : i + 2]) if i + 1 < len(cells) else cells[i]
                for i in range(0, len(cells), 2)
            ]
        return cells[0]

    def first_max(self, x: Bounded, valid: Mask | None) -> Bounded:
        hits = self.base.first_max(x.value, valid)
        allowed = np.broadcast_to(np.True_ if valid is None else valid, x.value.shape)
        lower = np.where(allowed & claimed(x), x.value - np.where(claimed(x), x.error, 0), -np.inf)
        may_win = allowed & ~(x.value + x.error < lower.max(-1, keepdims=True))
        winner = hits.argmax(-1)[..., None]
        best = self._moved(lambda v: np.take_along_axis(v, winner, -1), x)
        # exact ties go to the first, which the values show
        tied = ((x.error == 0) & (best.error == 0)) | same_number(x, best)
        open_row = (may_win & ~hits & ~tied).any(-1, keepdims=True)
        open_row &= ~(surely_nan(x) & allowed).any(-1, keepdims=True)
        open_row |= (allowed & ~claimed(x)).any(-1, keepdims=True)
        return Bounded(hits, open_row & may_win)

    def abs(self, x: Bounded) -> Bounded:
        return self._named(np.abs(x.value), x.error)

    def sign(self, x: Bounded) -> Bounded:
        value = self.base.sign(x.value)
        reach = np.where(value == 0, 1.0, np.where(np.abs(x.value) < x.error, 2.0, 1.0))
        error = np.where(settled_sign(x) | surely_nan(x), 0.0, reach)
        return self._named(value, error)

    def finish(self, x: Bounded) -> Bounded:
        model = self.model
        if not model.storage_unit or x.name is None:
            return x
        size = np.abs(x.value)
        kept = (x.error == 0) & ((size <= 2.0**model.storage_precision * grain(x.value)) | ~np.isfinite(size))
        kept |= x.name % 2 != 0  # rounded before
        u = model.storage_unit
        low = np.where(size - x.error < 2 * max(model.smallest, 2.0**-14), model.storage_floor, 0)
        error = np.where(kept, x.error, x.error + u * (size + x.error) + low)
        error = np.where(~kept & (size + x.error > model.storage_largest), np.inf, error)
        sign = np.where(x.name < 0, -1.0, 1.0)
        name = np.where((x.name % 2 == 0) & (x.name != 0), x.name + sign, x.name)
        return Bounded(x.value, np.where(error >= 0, error, np.inf), name)

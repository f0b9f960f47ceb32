"""Running error analysis as an array vocabulary: every op rule then bounds its own rounding errors.

Each member computes its result in float64 and bounds |engine's result - that result|: the operands' errors
carried through, the engine's rounding as the model states it, and float64's own. See Higham, Accuracy and
Stability of Numerical Algorithms (2nd ed.), chapters 2 and 3, and docs/rounding.md.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from prooftape.arrays.structure import Arr
from prooftape.numbers import Number
from prooftape.testing.rounding_functions import Reach, reach_of
from prooftape.testing.rounding_structure import RoundingStructure
from prooftape.testing.rounding_values import (
    FLOAT64_UNIT,
    SLACK,
    Bounded,
    claimed,
    finite,
    grain,
    is_zero,
    same_number,
    settled_sign,
    surely_nan,
)
from prooftape.types import Shape
from prooftape.vocabulary import Index

KERNEL_UNITS = 8.0  # the 4 ulp of this package's float64 kernels, in units of roundoff


class RoundingArrays(RoundingStructure):
    """Values in float64 with a bound on how far an engine of the given model can be from them."""

    # -- one result --------------------------------------------------------------------------------
    def _result(
        self,
        value: Arr,
        carried: Arr,
        size: Arr,
        *,
        units: Arr | float = 1.0,
        own_units: Arr | float = 1.0,
        roundings: Arr | float = 1.0,
        exact: Arr | bool = False,
        ok: Arr | bool = True,
        known: Arr | bool = False,
        function: bool = False,
    ) -> Bounded:
        """A rounded result.

        `carried` bounds what the operands' errors do; `units * unit * (size + carried)` what rounding does,
        where |value| <= size (for a sum, size is the sum of the sizes). `exact` entries are representable and
        computed without error, `ok` says where the bound holds, `known` where value is right as it stands.
        """
        model = self.model
        relative = units * model.unit
        relative = relative / (1 - np.minimum(relative, 0.5))  # n u / (1 - n u), for any number of roundings
        error = carried + relative * (size + carried) + own_units * FLOAT64_UNIT * size
        floor = model.function_floor if function else model.floor
        low = (np.abs(value) - carried < 2 * max(model.smallest, floor)) | np.asarray(roundings > 1)
        error = (error + np.where(low, roundings * floor, 0)) * SLACK
        error = np.where(exact & (size <= model.largest) & ~((size > 0) & (size < model.smallest)), 0, error)
        claim = ok & np.isfinite(value) & (size + error < model.largest)
        error = np.where(known, 0, np.where(claim, error, np.inf))
        return self._named(value, error)

    def _fits(self, size: Arr, least: Arr) -> Arr:
        """Whether sums of multiples of `least` that are nowhere above `size` are computed without error."""
        return np.asarray(size <= 2.0**self.model.precision * least)

    # -- arithmetic ----------------------------------------------------------------------------------
    def add(self, a: Bounded, b: Bounded) -> Bounded:
        value, size = a.value + b.value, np.abs(a.value) + np.abs(b.value)
        carried = a.error + b.error
        exact = (carried == 0) & self._fits(size, np.minimum(grain(a.value), grain(b.value)))
        infinite = claimed(a) & claimed(b) & ~(np.isfinite(a.value) & np.isfinite(b.value))
        known = infinite | surely_nan(a) | surely_nan(b)
        return self._result(value, carried, np.abs(value), exact=exact, ok=finite(a) & finite(b), known=known)

    def sub(self, a: Bounded, b: Bounded) -> Bounded:
        difference = self.add(a, self.neg(b))
        # x - x is 0; where sums are contracted only if both are the same use of x: a b - (a b) may not be
        same = a is b if self.model.rewrites else same_number(a, b)
        nothing = same & finite(a)
        return difference._replace(error=np.where(nothing, 0.0, difference.error))

    def mul(self, a: Bounded, b: Bounded) -> Bounded:
        value = np.asarray(a.value * b.value)
        carried = np.abs(a.value) * b.error + a.error * np.abs(b.value) + a.error * b.error
        exact = (a.error == 0) & (b.error == 0) & self._fits(np.abs(value), grain(a.value) * grain(b.value))
        infinite = claimed(a) & claimed(b) & ~(np.isfinite(a.value) & np.isfinite(b.value))
        known = (infinite & settled_sign(a) & settled_sign(b)) | surely_nan(a) | surely_nan(b)
        ok = finite(a) & finite(b)
        zero = ok & (is_zero(a) | is_zero(b))
        return self._result(value, carried, np.abs(value), exact=exact | zero, ok=ok, known=known)

    def amul(self, g: Bounded, d: Bounded) -> Bounded:
        product, absorbed = self.mul(g, d), is_zero(g)
        value, error = np.where(absorbed, 0.0, product.value), np.where(absorbed, 0.0, product.error)
        return product._replace(value=value, error=error)

    def scale(self, x: Bounded, c: Number) -> Bounded:
        return self.mul(x, self.constant(c))

    def square(self, x: Bounded) -> Bounded:
        return self.mul(x, x)

    def div(self, a: Bounded, b: Bounded) -> Bounded:
        value = np.asarray(a.value / b.value)
        least = np.abs(b.value) - b.error
        carried = (a.error + np.abs(value) * b.error) / np.where(least > 0, least, np.nan)
        both = (a.error == 0) & (b.error == 0)
        power_of_two = np.frexp(np.abs(b.value))[0] == 0.5
        exact = both & power_of_two
        if not self.model.rewrites:
            whole = grain(value) * grain(b.value)
            divides = (np.abs(a.value) <= 2.0**53 * whole) & (value * b.value == a.value)
            exact |= both & divides & self._fits(np.abs(value), grain(value))
        ok = finite(a) & finite(b) & (least > 0)
        if self.model.rewrites:
            ok &= self._ordinary(a) & self._ordinary(b)
        infinite = claimed(a) & claimed(b) & ~(np.isfinite(a.value) & np.isfinite(b.value))
        known = infinite & settled_sign(a) & settled_sign(b) & (b.value != 0)
        known |= (is_zero(a) & is_zero(b)) | surely_nan(a) | surely_nan(b)
        exact |= ok & is_zero(a)
        units = self.model.division
        return self._result(value, carried, np.abs(value), units=units, exact=exact, ok=ok, known=known)

    def _ordinary(self, x: Bounded) -> Arr:
        """0, or far from over- and underflow: (a / b) / c and a / (b * c) then both stay in range."""
        span = float(np.sqrt(self.model.largest))
        size = np.abs(x.value)
        return is_zero(x) | ((size - x.error > 4 / span) & (size + x.error < span / 4))

    def reciprocal(self, x: Bounded) -> Bounded:
        return self.div(self.full(x.value.shape, 1), x)

    def pow(self, x: Bounded, c: Number) -> Bounded:
        e = Fraction(c)
        if e == 0:
            return self.full(x.value.shape, 1)
        if e == 1:
            return x
        if e == 2:
            return self.square(x)
        value, power, size = self.base.pow(x.value, c), float(e), np.abs(x.value)
        share = x.error / size  # inf or nan at 0
        with np.errstate(all="ignore"):
            up, down = np.expm1(power * np.log1p(share)), np.expm1(power * np.log1p(-share))
            away = np.abs(value) * np.maximum(np.abs(up), np.abs(down))
            across = abs(power) * (size + x.error) ** (power - 1) * x.error
            stretch = np.abs(power * np.log(size))
        apart_from_zero = size > x.error
        integer = e.denominator == 1
        inside = apart_from_zero if integer else x.value > x.error
        carried = np.where(inside, away, across)
        ok = finite(x) & (inside if e < 1 or not integer else True)
        nan = finite(x) & (x.value + x.error < 0) if not integer else np.zeros(size.shape, np.bool_)
        zero = is_zero(x) & (e > 0)
        # the exponent may be rounded to the engine's precision; whole powers may be repeated products
        units = self.model.function("pow") + np.where(inside, np.maximum(stretch, 0), 0)
        if integer:
            units = np.maximum(units, 2 * abs(power) + 2)
        if self.model.rewrites:
            ok = ok & (self._ordinary(self._named(value, np.zeros(value.shape))) | zero)
        return self._result(
            np.where(nan, np.nan, np.where(zero, 0.0, value)),
            carried,
            np.abs(value),
            units=units,
            own_units=KERNEL_UNITS + 2,
            exact=zero,
            ok=ok | zero,
            known=nan | surely_nan(x),
            function=True,
        )

    # -- sums -----------------------------------------------------------------------------------------
    def sum(self, x: Bounded, axes: Shape) -> Bounded:
        if not axes:
            return x
        return self._summed(
            x, lambda v: np.asarray(v.sum(axes)), lambda v: np.asarray(v.min(axes, initial=np.inf))
        )

    def _summed(self, x: Bounded, total: Reach, least: Reach | None) -> Bounded:
        """Sums in any order, with or without fused products: (n - 1) roundings of at most the sum of sizes.

        `total` adds up the entries of each group, `least` gives the smallest (None: the smallest of all).
        """
        good = finite(x)
        size = total(np.where(good, np.abs(x.value), 0))
        carried = total(np.where(good, x.error, 0))
        count = np.maximum(total((~is_zero(x)).astype(np.float64)), 1)
        value = total(np.where(good | surely_nan(x) | np.isinf(x.value), x.value, 0))
        grains = grain(x.value)
        smallest = np.min(grains, initial=np.inf) if least is None else least(grains)
        exact = (carried == 0) & ((count <= 1) | self._fits(size, smallest))
        nan = total(surely_nan(x).astype(np.float64)) > 0
        lost = total((~claimed(x)).astype(np.float64)) > 0
        infinite = total((claimed(x) & np.isinf(x.value)).astype(np.float64)) > 0
        room = size + carried < self.model.largest / 2
        return self._result(
            np.where(nan, np.nan, value),
            carried,
            size,
            units=count - 1,
            own_units=count - 1,
            roundings=count,
            exact=exact,
            ok=~lost,
            known=nan | (infinite & ~lost & room),
        )

    def put_add(self, rows: Bounded, index: Index, n: int) -> Bounded:
        return self._summed(rows, lambda v: self.base.put_add(v, index, n), None)

    def fold_windows(self, w: Bounded, size: Shape, stride: Shape) -> Bounded:
        return self._summed(w, lambda v: self.base.fold_windows(v, size, stride), None)

    def matmul(self, a: Bounded, b: Bounded) -> Bounded:
        return self._product(a, b, self.mul)

    def amatmul(self, a: Bounded, b: Bounded, linear: int) -> Bounded:
        return self._product(a, b, self.amul if linear == 0 else lambda p, q: self.amul(q, p))

    def _product(self, a: Bounded, b: Bounded, times: object) -> Bounded:
        a, b = self._factor(a), self._factor(b)
        columns = self._moved(lambda v: v[..., :, :, None], a)
        rows = self._moved(lambda v: v[..., None, :, :], b)
        if not (finite(a).all() and finite(b).all()):
            products: Bounded = times(columns, rows)  # type: ignore[operator]
            return self.sum(products, (products.value.ndim - 2,))
        sizes_a, sizes_b, terms = np.abs(a.value), np.abs(b.value), a.value.shape[-1]
        size = sizes_a @ sizes_b
        carried = sizes_a @ b.error + a.error @ (sizes_b + b.error)
        least = (grain(columns.value) * grain(rows.value)).min(-2, initial=np.inf)
        return self._result(
            a.value @ b.value,
            carried,
            size,
            units=terms,
            own_units=terms,
            roundings=2.0 * terms,
            exact=((carried == 0) & self._fits(size, least)) | ((carried == 0) & (size == 0)),
            ok=size + carried < self.model.largest / 2,
        )

    def _factor(self, x: Bounded) -> Bounded:
        unit = self.model.factor_unit
        return x if not unit else x._replace(error=x.error + unit * (np.abs(x.value) + x.error))

    # -- scalar functions -------------------------------------------------------------------------------
    def _function(
        self, member: str, x: Bounded, *, nan: Arr | bool = False, pole: Arr | bool = False
    ) -> Bounded:
        """`nan` entries are outside the domain whatever the error, `pole` entries exactly at its edge."""
        value = np.asarray(getattr(self.base, member)(x.value))
        zero = is_zero(x) & (value == 0)
        infinite = sure_infinity(x)
        units: Arr | float = self.model.function(member)
        own_units = KERNEL_UNITS
        if member == "sqrt":
            own_units, units = 1.0, self.model.root
            if not self.model.rewrites:
                zero = zero | (
                    (x.error == 0)
                    & self._fits(value, grain(value))
                    & (value * value == x.value)
                    & (value <= 2.0**26 * grain(value))
                )
        if member == "exp" and self.model.rewrites:
            units = units + np.abs(np.where(finite(x), x.value, 0))  # exp(a) exp(b) as exp(a + b)
        if member == "log":
            zero = zero | ((x.value == 1) & (x.error == 0))
        return self._result(
            np.where(nan, np.nan, value),
            reach_of(member, x.value, x.error) + self.model.absolute.get(member, 0.0) * self.model.unit,
            np.abs(value),
            units=units,
            own_units=own_units,
            exact=zero,
            ok=finite(x) | infinite,
            known=nan | pole | surely_nan(x) | (infinite & ~np.isfinite(value)),
            function=True,
        )

    def exp_difference(self, x: Bounded, y: Bounded) -> Bounded:
        value = self.base.exp_difference(x.value, y.value)
        # with contraction x may be several roundings of one product, each within its error
        uses = 3 if self.model.rewrites else 1
        carried = reach_of("exp", np.asarray(x.value - y.value), uses * (x.error + y.error))
        nan = surely_nan(x) | surely_nan(y)
        units = self.model.function("exp_difference")
        ok = finite(x) & finite(y)
        return self._result(
            value,
            carried,
            np.abs(value),
            units=units,
            own_units=KERNEL_UNITS,
            ok=ok,
            known=nan,
            function=True,
        )

    def exp(self, x: Bounded) -> Bounded:
        return self._function("exp", x)

    def scaled_exp(self, x: Bounded, c: Number) -> Bounded:
        half = self.exp(
            self.scale(x, Fraction(1, 2))
        )  # what an engine may do so that c exp(x) stays in range
        return self.mul(self.scale(half, c), half)

    def expm1(self, x: Bounded) -> Bounded:
        return self._function("expm1", x)

    def log(self, x: Bounded) -> Bounded:
        return self._function("log", x, nan=_below(x, 0), pole=is_zero(x))

    def log1p(self, x: Bounded) -> Bounded:
        return self._function("log1p", x, nan=_below(x, -1), pole=(x.value == -1) & (x.error == 0))

    def sqrt(self, x: Bounded) -> Bounded:
        return self._function("sqrt", x, nan=_below(x, 0))

    def sin(self, x: Bounded) -> Bounded:
        return self._function("sin", x)

    def cos(self, x: Bounded) -> Bounded:
        return self._function("cos", x)

    def tanh(self, x: Bounded) -> Bounded:
        return self._function("tanh", x)

    def sigmoid(self, x: Bounded) -> Bounded:
        return self._function("sigmoid", x)

    def softplus(self, x: Bounded) -> Bounded:
        return self._function("softplus", x)

    def erf(self, x: Bounded) -> Bounded:
        return self._function("erf", x)

    def gelu(self, x: Bounded) -> Bounded:
        return self._function("gelu", x)

    def silu(self, x: Bounded) -> Bounded:
        return self._function("silu", x)

    def tanh_prime(self, x: Bounded) -> Bounded:
        return self._function("tanh_prime", x)

    def sigmoid_prime(self, x: Bounded) -> Bounded:
        return self._function("sigmoid_prime", x)

    def erf_prime(self, x: Bounded) -> Bounded:
        return self._function("erf_prime", x)

    def gelu_prime(self, x: Bounded) -> Bounded:
        return self._function("gelu_prime", x)

    def silu_prime(self, x: Bounded) -> Bounded:
        return self._function("silu_prime", x)

    def normal_pdf(self, x: Bounded) -> Bounded:
        return self._function("normal_pdf", x)


def sure_infinity(x: Bounded) -> Arr:
    """Entries known to be inf or -inf."""
    return np.asarray(np.isinf(x.value) & (x.error == 0))


def _below(x: Bounded, edge: float) -> Arr:
    """Entries known to be less than `edge`."""
    return claimed(x) & (x.value + x.error < edge)

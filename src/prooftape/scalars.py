"""The number types a session can run in: how user values become arrays, and which vocabulary computes.

`float32`, `float64`, `bfloat16`, `float16`, exact `rational`, `modular(p)`. A `Scalar` never rounds silently
into an exact type: a float is the binary rational it is, and nan or inf have no exact value. Rigorous balls
will be one more `Scalar` here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pickle import PicklingError
from typing import Any

import numpy as np

from prooftape.arrays.exact import ExactArrays
from prooftape.arrays.floats import FloatArrays, LowPrecision
from prooftape.arrays.modular import MERSENNE_61, is_prime, residue
from prooftape.arrays.structure import Arr, StructuralArrays
from prooftape.errors import MissingExtraError, ScalarError, ValueTypeError, found
from prooftape.numbers import Number, as_fraction, as_number


class Scalar:
    """One number type: its name, its vocabulary, and conversions in and out."""

    def __init__(self, name: str, xp: StructuralArrays, out: Callable[[Arr], Arr]) -> None:
        self.name = name
        self.xp = xp
        self._out = out

    @property
    def is_float(self) -> bool:
        """Whether values are IEEE floats (they may be nan or inf)."""
        return isinstance(self.xp, FloatArrays)

    def to_array(self, value: object, what: str) -> Arr:
        """A user's real value as a fresh array of this scalar; `what` names it in errors."""
        a = _as_numpy(value, what)
        if a.dtype.kind == "b":
            raise ValueTypeError(
                f"{what}: expected real numbers, got booleans; a mask is const(mask) or a comparison, "
                "and mask.astype(float) makes numbers of it"
            )
        try:
            if isinstance(self.xp, ExactArrays):
                return self.xp.convert(a)
            assert isinstance(self.xp, FloatArrays)
            with np.errstate(over="ignore"):  # a number too large is inf, as in an op: nothing is raised
                return self.xp.finish(np.array(a, dtype=self.xp.dtype, order="C"))
        except (TypeError, ValueError, OverflowError) as e:
            if isinstance(e, ScalarError):
                raise ScalarError(f"{what}: {e}") from None
            raise ValueTypeError(f"{what}: not a value of scalar {self.name}: {e}") from None

    def to_user(self, array: Arr) -> Arr:
        """A stored value as a read-only array a user can keep."""
        out = np.asarray(array) if array.dtype.kind == "b" else np.asarray(self._out(array))
        if out is array:
            # stored values never change, and a view of a locked array cannot be unlocked
            owner: object = array
            while isinstance(owner, np.ndarray):
                owner.flags.writeable = False
                owner = owner.base
            return out.view()
        out.flags.writeable = False
        return out

    def __reduce__(self) -> tuple[object, ...]:
        try:
            named = scalar(self.name)
        except ScalarError:
            named = None
        if named is not self:
            raise PicklingError(f"{self!r} is not one of the scalars that go by name: {', '.join(NAMES)}")
        return (scalar, (self.name,))

    def __repr__(self) -> str:
        return f"Scalar({self.name})"


def as_array(value: object, what: str) -> Arr:
    """NumPy's array of a user's value, of whatever dtype it has; `what` names it in errors."""
    try:
        a: Arr = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as e:
        problem = "the rows differ in length" if "inhomogeneous" in str(e) else str(e)
        raise ValueTypeError(f"{what}: not an array of numbers: {problem}") from None
    return a


def _as_numpy(value: object, what: str) -> Arr:
    a = as_array(value, what)
    if a.dtype.kind in "biufO":
        if a.dtype.kind == "O":
            for v in a.ravel():
                try:
                    as_number(v)
                except TypeError as e:
                    raise ValueTypeError(f"{what}: {e}") from None
        return a
    if a.dtype.name in ("bfloat16",) or a.dtype.name.startswith("float8"):
        return a.astype(np.float32)
    kinds = {"c": "complex numbers", "U": "text", "S": "bytes", "M": "dates", "m": "time spans"}
    kind = kinds.get(a.dtype.kind, f"dtype {a.dtype}")
    raise ValueTypeError(f"{what}: expected real numbers, got {kind}")


def _float(dtype: type[np.floating[Any]]) -> Scalar:
    return Scalar(np.dtype(dtype).name, FloatArrays(dtype), lambda a: a)


def _low(name: str) -> Scalar:
    if name == "float16":
        storage: Any = np.float16
    else:
        try:
            import ml_dtypes
        except ImportError:
            raise MissingExtraError(
                "scalar bfloat16 needs ml_dtypes: pip install 'prooftape[low-precision]'"
            ) from None
        storage = ml_dtypes.bfloat16
    return Scalar(name, LowPrecision(storage), lambda a: a.astype(storage))


def _rational() -> Scalar:
    try:
        import flint
    except ImportError:
        return Scalar("rational", ExactArrays("exact rationals", as_fraction), _as_fractions)

    def element(v: Number) -> object:
        f = as_fraction(v)
        return flint.fmpq(f.numerator, f.denominator)

    return Scalar("rational", ExactArrays("exact rationals", element), _as_fractions)


def _as_fractions(a: Arr) -> Arr:
    out = np.empty(a.size, dtype=object)
    out[:] = [Fraction(as_number(v)) for v in a.ravel().tolist()]
    return out.reshape(a.shape)


def _as_ints(a: Arr) -> Arr:
    out = np.empty(a.size, dtype=object)
    out[:] = [int(v) for v in a.ravel().tolist()]
    return out.reshape(a.shape)


def modular(p: int = MERSENNE_61) -> Scalar:
    """The prime field of p elements; default 2^61 - 1. Raises `ScalarError` when p is not prime."""
    if isinstance(p, bool) or not isinstance(p, int) or not is_prime(p):
        raise ScalarError(f"modular(p): p must be a prime number, got {found(p)}")
    return _modular(p)


@cache
def _modular(p: int) -> Scalar:
    xp = ExactArrays(f"the prime field modulo {p}", lambda v: residue(v, p))
    return Scalar(f"modular({p})", xp, _as_ints)


NAMES = ("float32", "float64", "bfloat16", "float16", "rational", "modular(p)")


@cache
def _named(name: str) -> Scalar | None:
    if name in ("float32", "float64"):
        return _float(np.float32 if name == "float32" else np.float64)
    if name in ("bfloat16", "float16"):
        return _low(name)
    if name == "rational":
        return _rational()
    if name == "modular":
        return modular()
    prime = re.fullmatch(r"modular\((\d+)\)", name)
    return modular(int(prime.group(1))) if prime else None


def scalar(name: str | Scalar) -> Scalar:
    """The scalar of this name (or the scalar itself); raises `ScalarError` listing the names there are."""
    if isinstance(name, Scalar):
        return name
    if not isinstance(name, str):
        raise ScalarError(f"scalar must be a name such as 'float32', got {found(name)}")
    known = _named(name)
    if known is None:
        raise ScalarError(f"unknown scalar {name!r}; known: {', '.join(NAMES)}")
    return known

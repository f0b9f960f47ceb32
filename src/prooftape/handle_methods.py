"""`TensorRef`: operators and methods on handles, all of them short ways to write session calls.

Operators insert NumPy-style broadcasting and constants, as explicit nodes. One kind is refused: ranks that
differ when both sides would have to grow ((n,) with (n, 1)), the classic silent bug inside losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

import numpy as np

from prooftape.arrays.structure import Arr
from prooftape.errors import AttributeValueError, OperandError, ShapeError, found
from prooftape.handles import BaseTensorRef
from prooftape.numbers import Number
from prooftape.torch_names import HANDLE, not_found
from prooftape.types import broadcast_shape

if TYPE_CHECKING:
    from prooftape.session import Session

Operand = object


class TensorRef(BaseTensorRef):
    """Handle of a recorded tensor. Operators, `x[i]`, `x.sum()`, `x.reshape(...)`, … record nodes."""

    __slots__ = ()
    __array_ufunc__ = None  # `ndarray + ref` must come here, not loop over the array's entries

    # -- values ---------------------------------------------------------------------------------
    @property
    def value(self) -> Arr:
        """The value (evaluates what is needed; read-only)."""
        return self.session.get_value(self)

    def numpy(self) -> Arr:
        """Same as `value`."""
        return self.session.get_value(self)

    def item(self) -> object:
        """The value of a one-entry tensor as a Python number."""
        if self.type.size != 1:
            raise ShapeError(f"item: {self._shown()} has {self.type.size} entries, not one; use ref.value")
        return self.session.get_value(self).item()

    def _shown(self) -> str:
        """How messages name it: name, shape and source line, or the handle itself when it is stale."""
        s = self._token._session()
        return s.graph.describe(self.id) if s is not None and s._holds(self._token) else repr(self)

    def __array__(self, dtype: object = None, copy: bool | None = None) -> NoReturn:
        raise OperandError(f"{self._shown()} is a recorded value, not an array; use ref.value")

    def __bool__(self) -> NoReturn:
        raise OperandError(
            f"{self._shown()} has no truth value while recording; choose with session.where(mask, a, b), "
            "or read a number with ref.item()"
        )

    def _no_number(self) -> NoReturn:
        raise OperandError(f"{self._shown()} is a recorded value, not a number; read one with ref.item()")

    __float__ = __int__ = __index__ = __complex__ = _no_number

    def __array_function__(self, func: object, types: object, args: object, kwargs: object) -> NoReturn:
        name = getattr(func, "__name__", "a function")
        problem = f"numpy.{name}: {self._shown()} is a recorded value, not an array"
        raise OperandError(f"{problem}; use the session's ops or ref.value")

    def __format__(self, spec: str) -> str:
        if spec:
            raise OperandError(f"{self._shown()} is a recorded value, not a number; format ref.item()")
        return repr(self)

    def __len__(self) -> int:
        if not self.type.shape:
            raise OperandError(f"{self._shown()} has rank 0 and therefore no length")
        return self.type.shape[0]

    # -- arithmetic -----------------------------------------------------------------------------
    def __add__(self, other: Operand) -> TensorRef:
        if other.__class__ is TensorRef and other.type is self.type:
            return self._token.session.add(self, other)
        return binary("add", self, other)

    def __radd__(self, other: Operand) -> TensorRef:
        return binary("add", other, self)

    def __sub__(self, other: Operand) -> TensorRef:
        if other.__class__ is TensorRef and other.type is self.type:
            return self._token.session.sub(self, other)
        return binary("sub", self, other)

    def __rsub__(self, other: Operand) -> TensorRef:
        return binary("sub", other, self)

    def __mul__(self, other: Operand) -> TensorRef:
        if other.__class__ is TensorRef and other.type is self.type:
            return self._token.session.mul(self, other)
        if _is_number(other):
            return self.session.scale(self, other)
        return binary("mul", self, other)

    def __rmul__(self, other: Operand) -> TensorRef:
        if _is_number(other):
            return self.session.scale(self, other)
        return binary("mul", other, self)

    def __truediv__(self, other: Operand) -> TensorRef:
        if other.__class__ is TensorRef and other.type is self.type:
            return self._token.session.div(self, other)
        return binary("div", self, other)

    def __rtruediv__(self, other: Operand) -> TensorRef:
        return binary("div", other, self)

    def __pow__(self, exponent: object) -> TensorRef:
        if not _is_number(exponent):
            raise OperandError(f"x ** c: expected a number c, got {found(exponent)}; use exp(c * log(x))")
        return self.session.square(self) if exponent == 2 else self.session.pow_const(self, exponent)

    def __rpow__(self, base: object) -> NoReturn:
        raise OperandError("c ** x is not an op; use exp(x * log(c))")

    def __neg__(self) -> TensorRef:
        return self.session.neg(self)

    def __pos__(self) -> TensorRef:
        return self

    def __abs__(self) -> TensorRef:
        return self.session.abs(self)

    def __matmul__(self, other: Operand) -> TensorRef:
        if _is_number(other):
            return NotImplemented
        if isinstance(other, TensorRef):
            return self.session.matmul(self, other)

        def build(s: Session) -> TensorRef:
            return s.matmul(self, _constant("matmul", other, self))

        return self.session.commit(build)

    def __rmatmul__(self, other: Operand) -> TensorRef:
        if _is_number(other):
            return NotImplemented

        def build(s: Session) -> TensorRef:
            return s.matmul(_constant("matmul", other, self), self)

        return self.session.commit(build)

    # -- comparisons (masks) --------------------------------------------------------------------
    def __gt__(self, other: Operand) -> TensorRef:
        return binary("greater", self, other)

    def __lt__(self, other: Operand) -> TensorRef:
        return binary("less", self, other)

    def __ge__(self, other: Operand) -> TensorRef:
        return binary("greater_equal", self, other)

    def __le__(self, other: Operand) -> TensorRef:
        return binary("less_equal", self, other)

    # == between handles stays identity, because handles are dictionary keys; the mask is session.equal(a, b)
    __hash__ = BaseTensorRef.__hash__

    def __eq__(self, other: object) -> bool:
        if other is self:
            return True
        if _is_number(other) or isinstance(other, (np.ndarray, list, tuple)):
            raise OperandError(
                f"{self._shown()} == {found(other)}: == tells whether two handles are the same one; "
                "the mask is session.equal(a, b), with the numbers as a constant: b = session.const(b)"
            )
        return False

    # -- indexing -------------------------------------------------------------------------------
    def __getitem__(self, index: object) -> TensorRef:
        from prooftape.indexing import getitem

        return self.session.commit(lambda s: getitem(s, self, index))

    def __setitem__(self, index: object, value: object) -> NoReturn:
        raise OperandError(
            f"{self._shown()} cannot be written into: recorded values do not change; "
            "where, concat and scatter_add_vec make new ones"
        )

    def __contains__(self, value: object) -> NoReturn:
        raise OperandError(f"{self._shown()}: its entries are not known while recording; look in ref.value")

    def __iter__(self) -> NoReturn:
        raise OperandError(f"{self._shown()} is not iterable; take rows with x[0], x[1], …")

    if not TYPE_CHECKING:  # a type checker would take it for leave to use any name

        def __getattr__(self, name: str) -> NoReturn:
            raise not_found(self, name, HANDLE)

    # -- methods --------------------------------------------------------------------------------
    @property
    def T(self) -> TensorRef:
        """Transpose of a matrix."""
        return self.session.transpose2d(self)

    def sum(self, axis: int | Sequence[int] | None = None) -> TensorRef:
        """Sum of all entries, or over an axis (dropped)."""
        return self.session.sum(self) if axis is None else self.session.reduce_sum(self, axis)

    def mean(self, axis: int | Sequence[int] | None = None) -> TensorRef:
        """Mean of all entries, or over an axis (dropped)."""
        return self.session.mean(self) if axis is None else self.session.reduce_mean(self, axis)

    def max(self, axis: int | Sequence[int] | None = None) -> TensorRef:
        """Maximum of all entries, or over an axis (dropped)."""
        return self.session.reduce_max(self, tuple(range(self.ndim)) if axis is None else axis)

    def var(self, axis: int | Sequence[int] | None = None, ddof: int = 0) -> TensorRef:
        """Variance of all entries, or over an axis (dropped)."""
        return self.session.var(self, tuple(range(self.ndim)) if axis is None else axis, ddof)

    def reshape(self, *shape: int | Sequence[int]) -> TensorRef:
        """Same entries, row-major, in a new shape; one dimension may be -1."""
        return self.session.reshape(self, _flat(shape))

    def permute(self, *axes: int | Sequence[int]) -> TensorRef:
        """Axes in a new order."""
        return self.session.permute(self, _flat(axes))

    def transpose(self, axis0: int, axis1: int) -> TensorRef:
        """Two axes swapped."""
        n = self.ndim
        for axis in (axis0, axis1):
            if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)) or not -n <= axis < n:
                wanted = f"two axes of {self._shown()}, integers from {-n} to {n - 1}"
                raise AttributeValueError(f"transpose: expected {wanted}, got {found(axis)}")
        axes = list(range(n))
        axes[axis0 % n], axes[axis1 % n] = axes[axis1 % n], axes[axis0 % n]
        return self.session.permute(self, axes)

    def broadcast_to(self, *shape: int | Sequence[int]) -> TensorRef:
        """Broadcast, NumPy alignment."""
        return self.session.broadcast_to(self, _flat(shape))

    def flatten(self) -> TensorRef:
        """One axis, row-major."""
        return self.session.flatten(self)

    def detach(self) -> TensorRef:
        """Identity with derivative zero."""
        return self.session.detach(self)

    def pow(self, c: object) -> TensorRef:
        """x ** c, c a literal number."""
        return self.__pow__(c)

    def clamp(self, lo: Number, hi: Number) -> TensorRef:
        """Entries limited to [lo, hi]."""
        return self.session.clamp(self, lo, hi)

    def softmax(self, axis: int = -1) -> TensorRef:
        """Softmax along an axis."""
        return self.session.softmax(self, axis)

    def log_softmax(self, axis: int = -1) -> TensorRef:
        """Log-softmax along an axis."""
        return self.session.log_softmax(self, axis)

    def logsumexp(self, axis: int | Sequence[int]) -> TensorRef:
        """Log of the sum of exponentials over an axis (dropped)."""
        return self.session.logsumexp(self, axis)


def _add_unary_methods() -> None:
    names = (
        "abs sqrt exp log relu sigmoid tanh square reciprocal sin cos erf log1p expm1 neg softplus gelu silu"
    )

    def method(name: str) -> object:
        def call(self: TensorRef) -> TensorRef:
            return getattr(self.session, name)(self)  # type: ignore[no-any-return]

        call.__name__ = name
        call.__qualname__ = f"TensorRef.{name}"
        call.__doc__ = f"Same as session.{name}(x)."
        return call

    for name in names.split():
        setattr(TensorRef, name, method(name))


_add_unary_methods()


def _is_number(x: object) -> TypeGuard[Number]:
    if x.__class__ is float or x.__class__ is int:
        return True
    if isinstance(x, (bool, np.bool_)):
        return False
    return isinstance(x, (Real, np.number)) or (hasattr(x, "p") and hasattr(x, "q"))


def _flat(dims: Sequence[int | Sequence[int]]) -> Any:
    """What `x.reshape(2, 3)` and `x.reshape((2, 3))` mean alike; the attribute's reader checks it."""
    return dims[0] if len(dims) == 1 else dims


def binary(op: str, a: object, b: object) -> TensorRef:
    """Record `op(a, b)` for operators: numbers and arrays become constants, shapes broadcast. Atomic."""
    if isinstance(a, TensorRef):
        s = a.session
        if isinstance(b, TensorRef):
            if a.type.shape == b.type.shape:
                return getattr(s, op)(a, b)  # type: ignore[no-any-return]
            s._check_handle(b, TensorRef, f"{op}: operand b")
    else:
        assert isinstance(b, TensorRef)
        s = b.session

    def build(s: Session) -> TensorRef:
        left, right = (_constant(op, x, other) for x, other in ((a, b), (b, a)))
        shape = operator_shape(op, left, right)
        left, right = (x if x.shape == shape else s.broadcast_to(x, shape) for x in (left, right))
        return getattr(s, op)(left, right)  # type: ignore[no-any-return]

    return s.commit(build)


def _constant(op: str, x: object, other: object) -> TensorRef:
    """`x` itself if it is a handle, else a constant in the session of `other`."""
    if isinstance(x, TensorRef):
        return x
    assert isinstance(other, TensorRef)
    if _is_number(x):
        return other.session.full(other.shape, x)
    if isinstance(x, (np.ndarray, list, tuple)):
        return other.session.constant_operand(x)
    fix = {"Param": "put it into the graph with use(param)"}.get(
        type(x).__name__, "it takes TensorRefs, numbers and arrays of numbers"
    )
    raise OperandError(f"{op}: cannot combine {other._shown()} with {found(x)}; {fix}")


def operator_shape(op: str, a: TensorRef, b: TensorRef) -> tuple[int, ...]:
    """The broadcast shape of an operator's operands; raises for the refused kinds."""
    shape = broadcast_shape(a.shape, b.shape)
    graph = a.session.graph
    if shape is None:
        raise ShapeError(
            f"{op}: shapes do not broadcast: {graph.describe(a.id)} and {graph.describe(b.id)}; "
            "trailing dimensions must be equal or 1"
        )
    if a.ndim != b.ndim and shape not in (a.shape, b.shape):
        raise ShapeError(
            f"{op}: refusing to broadcast both sides across ranks: {graph.describe(a.id)} and "
            f"{graph.describe(b.id)} would give {shape}; reshape one of them, "
            "or use broadcast_to if you mean it"
        )
    return shape

"""`TensorRef`: operators and methods on handles, all of them short ways to write session calls.

What `torch.Tensor` has as a method or operator is one here; operators.py says what operators accept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from prooftape.arrays.structure import Arr
from prooftape.errors import AttributeValueError, OperandError, ShapeError, found
from prooftape.handles import BaseTensorRef
from prooftape.numbers import Number
from prooftape.operators import binary, choose, constant, is_number, kept, whole
from prooftape.ops import find
from prooftape.same import same
from prooftape.torch_names import HANDLE, names_in, point_elsewhere

if TYPE_CHECKING:
    from prooftape.session import Session

Operand = object
ADD, MUL, SCALE = map(find, ("add", "mul", "scale"))
PLUS = "add"  # what `binary` notes
GETITEM = "x[index]"
"""What a replay expects in the place of `x[index]`."""


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
        token = self._token
        key, a, b, _, out, after = token.next
        if a is self and (key is ADD or key is PLUS) and (b is other or same(b, other)):
            token.next = after
            return out  # type: ignore[no-any-return]
        if other.__class__ is TensorRef and other.type is self.type:
            return self.session.add(self, other)
        return binary("add", self, other)

    def __radd__(self, other: Operand) -> TensorRef:
        return binary("add", other, self)

    def __sub__(self, other: Operand) -> TensorRef:
        if other.__class__ is TensorRef and other.type is self.type:
            return self.session.sub(self, other)
        return binary("sub", self, other)

    def __rsub__(self, other: Operand) -> TensorRef:
        return binary("sub", other, self)

    def __mul__(self, other: Operand) -> TensorRef:
        token = self._token
        key, a, b, _, out, after = token.next
        if a is self and (key is MUL or key is SCALE) and (b is other or same(b, other)):
            token.next = after
            return out  # type: ignore[no-any-return]
        if other.__class__ is TensorRef and other.type is self.type:
            return self.session.mul(self, other)
        if other.__class__ is not TensorRef and is_number(other):
            return self.session.scale(self, other)
        return binary("mul", self, other)

    def __rmul__(self, other: Operand) -> TensorRef:
        if is_number(other):
            return self.session.scale(self, other)
        return binary("mul", other, self)

    def __truediv__(self, other: Operand) -> TensorRef:
        if other.__class__ is TensorRef and other.type is self.type:
            return self.session.div(self, other)
        return binary("div", self, other)

    def __rtruediv__(self, other: Operand) -> TensorRef:
        return binary("div", other, self)

    def __pow__(self, exponent: object) -> TensorRef:
        if not is_number(exponent):
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
        s = self._token._session()
        if s is not None and other.__class__ is TensorRef:
            return s.matmul(self, other)
        if is_number(other):
            return NotImplemented

        def build(s: Session) -> TensorRef:
            return s.matmul(self, constant("matmul", other, self))

        return whole(self.session, "matmul", (self, other), build)

    def __rmatmul__(self, other: Operand) -> TensorRef:
        if is_number(other):
            return NotImplemented

        def build(s: Session) -> TensorRef:
            return s.matmul(constant("matmul", other, self), self)

        return whole(self.session, "matmul", (other, self), build)

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
        if is_number(other) or isinstance(other, (np.ndarray, list, tuple)):
            raise OperandError(
                f"{self._shown()} == {found(other)}: == tells whether two handles are the same one; "
                "the mask is session.equal(a, b), with the numbers as a constant: b = session.const(b)"
            )
        return False

    # -- indexing -------------------------------------------------------------------------------
    def __getitem__(self, index: object) -> TensorRef:
        token = self._token
        key, x, expected, _, out, after = token.next
        if key is GETITEM and x is self and (expected is index or same(expected, index)):
            token.next = after
            return out  # type: ignore[no-any-return]
        s = self.session
        from prooftape.indexing import getitem, is_all

        if is_all(self, index):
            return self  # nothing to record
        return whole(s, GETITEM, (self, index), lambda s: getitem(s, self, index))

    def __setitem__(self, index: object, value: object) -> NoReturn:
        raise OperandError(
            f"{self._shown()} cannot be written into: recorded values do not change; "
            "where, concat and scatter_add_vec make new ones"
        )

    def __contains__(self, value: object) -> NoReturn:
        raise OperandError(f"{self._shown()}: its entries are not known while recording; look in ref.value")

    def __iter__(self) -> NoReturn:
        raise OperandError(f"{self._shown()} is not iterable; take rows with x[0], x[1], …")

    def __dir__(self) -> list[str]:
        return names_in(type(self), super().__dir__())

    # -- methods --------------------------------------------------------------------------------
    @property
    def T(self) -> TensorRef:
        """Transpose of a matrix."""
        return self.session.transpose2d(self)

    def sum(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> TensorRef:
        """Sum of all entries, or over an axis; the reduced axes are dropped, or kept with length 1."""
        if keepdims is not False:
            return kept(self, "sum", "reduce_sum", axis, keepdims)
        s = self.session
        return s.sum(self) if axis is None else s.reduce_sum(self, axis)

    def mean(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> TensorRef:
        """Mean of all entries, or over an axis; the reduced axes are dropped, or kept with length 1."""
        if keepdims is not False:
            return kept(self, "mean", "reduce_mean", axis, keepdims)
        s = self.session
        return s.mean(self) if axis is None else s.reduce_mean(self, axis)

    def max(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> TensorRef:
        """Maximum of all entries, or over an axis; the reduced axes are dropped, or kept with length 1."""
        if keepdims is not False:
            return kept(self, "reduce_max", "reduce_max", axis, keepdims)
        return self.session.reduce_max(self, tuple(range(self.ndim)) if axis is None else axis)

    def var(
        self, axis: int | Sequence[int] | None = None, ddof: int = 0, keepdims: bool = False
    ) -> TensorRef:
        """Variance of all entries, or over an axis; the reduced axes are dropped, or kept with length 1."""
        if keepdims is not False:
            return kept(self, "var", "var", axis, keepdims, ddof)
        return self.session.var(self, tuple(range(self.ndim)) if axis is None else axis, ddof)

    def reshape(self, *shape: int | Sequence[int]) -> TensorRef:
        """Same entries, row-major, in a new shape; one dimension may be -1."""
        return self.session.reshape(self, shape[0] if len(shape) == 1 else shape)  # type: ignore[arg-type]

    def permute(self, *axes: int | Sequence[int]) -> TensorRef:
        """Axes in a new order."""
        return self.session.permute(self, axes[0] if len(axes) == 1 else axes)  # type: ignore[arg-type]

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
        return self.session.broadcast_to(self, shape[0] if len(shape) == 1 else shape)  # type: ignore[arg-type]

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

    # -- elementwise ops, as torch.Tensor has them -------------------------------------------------
    def abs(self) -> TensorRef:
        """`session.abs(x)`."""
        return self.session.abs(self)

    def sqrt(self) -> TensorRef:
        """`session.sqrt(x)`."""
        return self.session.sqrt(self)

    def exp(self) -> TensorRef:
        """`session.exp(x)`."""
        return self.session.exp(self)

    def log(self) -> TensorRef:
        """`session.log(x)`."""
        return self.session.log(self)

    def relu(self) -> TensorRef:
        """`session.relu(x)`."""
        return self.session.relu(self)

    def sigmoid(self) -> TensorRef:
        """`session.sigmoid(x)`."""
        return self.session.sigmoid(self)

    def tanh(self) -> TensorRef:
        """`session.tanh(x)`."""
        return self.session.tanh(self)

    def square(self) -> TensorRef:
        """`session.square(x)`."""
        return self.session.square(self)

    def reciprocal(self) -> TensorRef:
        """`session.reciprocal(x)`."""
        return self.session.reciprocal(self)

    def sin(self) -> TensorRef:
        """`session.sin(x)`."""
        return self.session.sin(self)

    def cos(self) -> TensorRef:
        """`session.cos(x)`."""
        return self.session.cos(self)

    def erf(self) -> TensorRef:
        """`session.erf(x)`."""
        return self.session.erf(self)

    def log1p(self) -> TensorRef:
        """`session.log1p(x)`."""
        return self.session.log1p(self)

    def expm1(self) -> TensorRef:
        """`session.expm1(x)`."""
        return self.session.expm1(self)

    def neg(self) -> TensorRef:
        """`session.neg(x)`."""
        return self.session.neg(self)

    def softplus(self) -> TensorRef:
        """`session.softplus(x)`."""
        return self.session.softplus(self)

    def gelu(self) -> TensorRef:
        """`session.gelu(x)`."""
        return self.session.gelu(self)

    def silu(self) -> TensorRef:
        """`session.silu(x)`."""
        return self.session.silu(self)

    def add(self, other: Operand) -> TensorRef:
        """`x + other`."""
        return self + other

    def sub(self, other: Operand) -> TensorRef:
        """`x - other`."""
        return self - other

    def mul(self, other: Operand) -> TensorRef:
        """`x * other`."""
        return self * other

    def div(self, other: Operand) -> TensorRef:
        """`x / other`."""
        return self / other

    def matmul(self, other: Operand) -> TensorRef:
        """`x @ other`."""
        return self @ other

    def bmm(self, other: TensorRef) -> TensorRef:
        """`session.bmm(x, other)`."""
        return self.session.bmm(self, other)

    def maximum(self, other: Operand) -> TensorRef:
        """`session.maximum(x, other)`, broadcast like an operator."""
        return binary("maximum", self, other)

    def minimum(self, other: Operand) -> TensorRef:
        """`session.minimum(x, other)`, broadcast like an operator."""
        return binary("minimum", self, other)

    def where(self, mask: TensorRef | NDArray[np.bool_] | Sequence[Any], other: Operand) -> TensorRef:
        """x where the mask is true, `other` elsewhere; numbers and arrays broadcast to x's shape."""
        return choose(mask, self, other)

    def greater(self, other: Operand) -> TensorRef:
        """Mask of `x > other`."""
        return self > other

    def less(self, other: Operand) -> TensorRef:
        """Mask of `x < other`."""
        return self < other

    def greater_equal(self, other: Operand) -> TensorRef:
        """Mask of `x >= other`."""
        return self >= other

    def less_equal(self, other: Operand) -> TensorRef:
        """Mask of `x <= other`."""
        return self <= other

    def eq(self, other: Operand) -> TensorRef:
        """Mask of equal entries; `x == other` tells whether two handles are the same one."""
        return binary("equal", self, other)

    gt, lt, ge, le = greater, less, greater_equal, less_equal


point_elsewhere(TensorRef, HANDLE)

"""`grad`, `value_and_grad`, `jvp`, `vjp`, `hvp`, `jacobian`, `hessian` over plain functions.

The functions take and return what JAX's namesakes do. `fn` receives handles (`TensorRef`) and returns one; it
reaches the session as `x.session` when operators and methods are not enough. Given arrays, a fresh session
is recorded and numbers come back; given handles, the derivative is recorded into their session and handles
come back, so these functions nest: `grad(grad(f))`. A function may also close over handles of a derivative
that is being taken around it (an inner `grad` with respect to a grid, inside a loss of the parameters): the
inner derivative is then recorded beside those handles, and the outer one goes through it.

Arguments that are differentiated may be nested tuples, lists and dicts of arrays. Other arguments: float
arrays become inputs, everything else (labels, settings) is passed through untouched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from fractions import Fraction
from functools import update_wrapper
from typing import Any

import numpy as np

from prooftape.arrays.structure import Arr
from prooftape.errors import ForeignHandleError, GradientError, OperandError, ShapeError, count, found
from prooftape.handle_methods import TensorRef
from prooftape.scalars import Scalar
from prooftape.session import Session
from prooftape.transforms.derivative_graphs import grad_refs, jvp_refs, ones_like, zeros_like
from prooftape.transforms.trees import Tree, flatten, same_structure

Fn = Callable[..., Any]

# sessions of the derivatives being taken around this point, innermost last
_ENCLOSING: ContextVar[tuple[Session, ...]] = ContextVar("enclosing", default=())


class _Call:
    """One application of `fn`: its session, the handles of the differentiated arguments, its outputs."""

    def __init__(
        self,
        name: str,
        fn: Fn,
        args: Sequence[Tree],
        wrt: Sequence[int],
        scalar: str | Scalar | None,
        tangents: Tree = (),
    ) -> None:
        if not callable(fn):
            raise GradientError(f"{name}: expected a function, got {found(fn)}")
        self.name = name
        self.wrt = list(wrt)
        flat = [x for a in args for x in flatten(a)[0]]
        handles = [x for x in (*flat, *flatten(tangents)[0]) if isinstance(x, TensorRef)]
        enclosing = _ENCLOSING.get()
        if handles:
            self._record(fn, args, handles[0].session, traced=True)
            return
        try:
            self._record(fn, args, Session(scalar or _scalar_of(flat)), traced=False)
        except ForeignHandleError:
            if not enclosing:
                raise
            # plain arguments, but `fn` closes over handles: what it gives depends on the derivative outside
            self._record(fn, args, enclosing[-1], traced=True)

    def _record(self, fn: Fn, args: Sequence[Tree], session: Session, traced: bool) -> None:
        self.session, self.traced = session, traced
        self.trees = [self._lift(a, i in self.wrt) for i, a in enumerate(args)]
        self.inputs: list[TensorRef] = []
        for i in self.wrt:
            for x in flatten(self.trees[i])[0]:
                if not isinstance(x, TensorRef):
                    raise OperandError(
                        f"{self.name}: argument {i} has an entry {x!r} that is not an array of numbers"
                    )
                self.inputs.append(x)
        mark = _ENCLOSING.set((*_ENCLOSING.get(), session))
        try:
            self.result = fn(*self.trees)
        finally:
            _ENCLOSING.reset(mark)
        for x in flatten(self.result)[0]:
            if isinstance(x, TensorRef):
                session._check_handle(x, TensorRef, f"{self.name}: the function's result")

    def _lift(self, tree: Tree, differentiated: bool) -> Tree:
        leaves, rebuild = flatten(tree)
        return rebuild([self._lift_one(x, differentiated) for x in leaves])

    def _lift_one(self, x: object, differentiated: bool) -> object:
        if isinstance(x, TensorRef) or not (differentiated or _is_float_array(x)):
            return x
        if self.traced:  # always a node: a leaf would shift the tangents of the caller's session
            return self.session.constant_operand(x)
        return self.session.input(x, requires_grad=differentiated)

    def outputs(self, result: Tree) -> list[TensorRef]:
        out = flatten(result)[0]
        for x in out:
            if not isinstance(x, TensorRef):
                raise GradientError(
                    f"{self.name}: the function must return a TensorRef (or a nesting of them), "
                    f"got {found(x)}"
                )
        return out  # type: ignore[return-value]

    def scalar_output(self, result: Tree) -> TensorRef:
        outputs = self.outputs(result)
        out = outputs[0] if len(outputs) == 1 else None
        if out is None or out.shape != ():
            raise GradientError(
                f"{self.name}: the function must return one scalar, got "
                + ", ".join(x._shown() for x in outputs)
                + "; reduce it with sum or mean, or use jacobian"
            )
        return out

    def seed(self, tree: Tree, like: Sequence[TensorRef], what: str) -> list[TensorRef]:
        """Cotangents or tangents as handles of the right shapes."""
        seeds = []
        values = flatten(tree)[0]
        if len(values) != len(like):
            raise GradientError(f"{self.name}: expected {count(len(like), what[:-1])}, got {len(values)}")
        for x, ref in zip(values, like, strict=True):
            handle = x if isinstance(x, TensorRef) else self.session.constant_operand(x)
            if handle.shape != ref.shape:
                raise ShapeError(f"{self.name}: {what} of shape {handle.shape} for {ref._shown()}")
            seeds.append(handle)
        return seeds

    def read(self, ref: TensorRef) -> TensorRef | Arr:
        return ref if self.traced else self.session.get_value(ref)

    def read_tree(self, tree: Tree) -> Tree:
        leaves, rebuild = flatten(tree)
        return rebuild([self.read(x) if isinstance(x, TensorRef) else x for x in leaves])

    def structured(self, values: Sequence[object], argnums: int | Sequence[int]) -> Tree:
        """Values per differentiated entry, nested like the arguments; a bare one for a bare argnum."""
        out, at = [], 0
        for i in self.wrt:
            leaves, rebuild = flatten(self.trees[i])
            out.append(rebuild(values[at : at + len(leaves)]))
            at += len(leaves)
        return out[0] if isinstance(argnums, int) else tuple(out)

    def gradients(self, outputs: Sequence[TensorRef], seeds: Sequence[TensorRef]) -> list[TensorRef]:
        found = grad_refs(outputs, seeds, self.inputs)
        return [zeros_like(x) if g is None else g for g, x in zip(found, self.inputs, strict=True)]


def _is_float_array(x: object) -> bool:
    return isinstance(x, (np.ndarray, np.floating)) and np.asarray(x).dtype.kind == "f"


def _scalar_of(values: Sequence[object]) -> str:
    """float64 if any array is float64, exact if any entry is a Fraction, else the default float32."""
    for x in values:
        if isinstance(x, Fraction) or (isinstance(x, np.ndarray) and x.dtype.kind == "O"):
            return "rational"
    return "float64" if any(getattr(x, "dtype", None) == np.float64 for x in values) else "float32"


def _positions(argnums: int | Sequence[int], n: int, name: str) -> list[int]:
    nums: list[Any] = list(argnums) if isinstance(argnums, (tuple, list)) else [argnums]
    for i in nums:
        if isinstance(i, bool) or not isinstance(i, int) or not -n <= i < n:
            raise GradientError(f"{name}: argnums {argnums!r} out of range for {count(n, 'argument')}")
    return [i % n for i in nums]


def value_and_grad(
    fn: Fn, argnums: int | Sequence[int] = 0, *, has_aux: bool = False, scalar: str | Scalar | None = None
) -> Fn:
    """A function giving (fn(*args), gradient): the gradient of a scalar `fn` with respect to `argnums`.

    With `has_aux`, fn returns (loss, aux) and the result is ((loss, aux), gradient). `scalar` overrides the
    number type, which otherwise follows the arguments (float64 arrays: float64; Fractions: rational; else
    float32).
    """

    def run(*args: Any) -> Any:
        call = _Call("grad", fn, args, _positions(argnums, len(args), "grad"), scalar)
        if has_aux and not (isinstance(call.result, tuple) and len(call.result) == 2):
            raise GradientError("grad: with has_aux=True the function must return (loss, aux)")
        result, aux = call.result if has_aux else (call.result, None)
        loss = call.scalar_output(result)
        gradient: list[object]
        if call.traced:
            gradient = list(call.gradients([loss], [ones_like(loss)]))
        else:
            grads = call.session.backward_scalar_dense_all(loss)
            gradient = [grads[x] for x in call.inputs]
        value = call.read(loss)
        head = (value, call.read_tree(aux)) if has_aux else value
        return head, call.structured(gradient, argnums)

    return _called_like(fn, run)


def grad(
    fn: Fn, argnums: int | Sequence[int] = 0, *, has_aux: bool = False, scalar: str | Scalar | None = None
) -> Fn:
    """A function giving the gradient of a scalar `fn` in `argnums` (with `has_aux`: (gradient, aux))."""
    both = value_and_grad(fn, argnums, has_aux=has_aux, scalar=scalar)

    def run(*args: Any) -> Any:
        head, gradient = both(*args)
        return (gradient, head[1]) if has_aux else gradient

    return _called_like(fn, run)


def _called_like(fn: Fn, run: Fn) -> Fn:
    """`run` with the name and signature of `fn`, whose arguments it takes."""
    return update_wrapper(run, fn, assigned=("__name__", "__qualname__"), updated=())


def _check_paired(name: str, primals: object, tangents: object) -> None:
    sequences = isinstance(primals, (tuple, list)) and isinstance(tangents, (tuple, list))
    if not sequences or not same_structure(list(primals), list(tangents)):  # type: ignore[call-overload]
        problem = "primals and tangents must be sequences of the same structure"
        raise GradientError(f"{name}: {problem}, e.g. {name}(f, (x,), (dx,))")


def jvp(
    fn: Fn, primals: Sequence[Tree], tangents: Sequence[Tree], *, scalar: str | Scalar | None = None
) -> tuple[Any, Any]:
    """(fn(*primals), tangent of the result when the primals move by `tangents`): forward mode."""
    _check_paired("jvp", primals, tangents)
    call = _Call("jvp", fn, primals, range(len(primals)), scalar, list(tangents))
    outputs = call.outputs(call.result)
    seeds = call.seed(list(tangents), call.inputs, "tangents")
    moved = jvp_refs(outputs, call.inputs, seeds)
    found = [call.read(zeros_like(o) if t is None else t) for t, o in zip(moved, outputs, strict=True)]
    rebuild = flatten(call.result)[1]
    return call.read_tree(call.result), rebuild(found)


def vjp(
    fn: Fn, *primals: Tree, scalar: str | Scalar | None = None
) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """(fn(*primals), pullback).

    The pullback maps a cotangent of the result to a tuple of cotangents of the primals.
    """
    call = _Call("vjp", fn, primals, range(len(primals)), scalar)
    outputs = call.outputs(call.result)

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        seeds = call.seed(cotangent, outputs, "cotangents")
        found = [call.read(g) for g in call.gradients(outputs, seeds)]
        out: tuple[Any, ...] = call.structured(found, call.wrt)  # type: ignore[assignment]
        return out

    return call.read_tree(call.result), pullback


def hvp(
    fn: Fn, primals: Sequence[Tree], tangents: Sequence[Tree], *, scalar: str | Scalar | None = None
) -> Any:
    """Hessian-vector product of a scalar `fn`: the tangent of its gradient (forward over reverse).

    Nested like `primals`; for one primal, bare.
    """
    _check_paired("hvp", primals, tangents)
    argnums = tuple(range(len(primals)))
    _, found = jvp(grad(fn, argnums), primals, tangents, scalar=scalar)
    return found[0] if len(argnums) == 1 else found


def jacobian(fn: Fn, argnums: int | Sequence[int] = 0, *, scalar: str | Scalar | None = None) -> Fn:
    """A function giving the Jacobian of `fn`, by reverse mode, one row per output entry.

    For an output of shape S and an input of shape T its shape is S + T.
    """

    def run(*args: Any) -> Any:
        call = _Call("jacobian", fn, args, _positions(argnums, len(args), "jacobian"), scalar)
        outputs = call.outputs(call.result)
        rebuild = flatten(call.result)[1]
        blocks = [_rows(call, out) for out in outputs]
        return rebuild([call.structured([call.read(j) for j in block], argnums) for block in blocks])

    return _called_like(fn, run)


def _rows(call: _Call, out: TensorRef) -> list[TensorRef]:
    """Jacobian blocks of one output with respect to every input: one vjp per entry of the output."""
    s = call.session
    rows: list[list[TensorRef]] = []
    for i in range(out.size):
        basis = np.zeros(out.size)
        basis[i] = 1
        seed = s.apply("const", value=basis.reshape(out.shape))
        rows.append(call.gradients([out], [seed]))
    blocks = []
    for k, x in enumerate(call.inputs):
        if rows:
            parts = [s.reshape(row[k], (1, *x.shape)) for row in rows]
            block = s.reshape(s.concat(parts, 0), (*out.shape, *x.shape))
        else:
            block = s.full((*out.shape, *x.shape), 0)
        blocks.append(block)
    return blocks


def hessian(fn: Fn, argnums: int = 0, *, scalar: str | Scalar | None = None) -> Fn:
    """A function giving the Hessian of a scalar `fn`: shape T + T for an input of shape T."""
    return jacobian(grad(fn, argnums), argnums, scalar=scalar)

"""`Session`: record a graph by calling ops, read values, differentiate, train.

The only mutable object of the package. What it records is an immutable graph (recorder.py); what it computes
is that graph's semantics, through the compiled tape. Evaluation is lazy and cached: reading a value costs the
nodes recorded since the last read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from prooftape.arrays.structure import Arr
from prooftape.domains import check_derivative, check_domain
from prooftape.errors import (
    AttributeValueError,
    DomainError,
    GradientError,
    MeshError,
    ScalarError,
    ShapeError,
    ValueTypeError,
    check_flag,
    count,
    found,
)
from prooftape.grads import Grads, checked, owner_check
from prooftape.graph import Graph, Location, Prefix
from prooftape.handle_methods import TensorRef
from prooftape.handles import NatRef, NatVecRef, Token
from prooftape.numbers import Number, as_number
from prooftape.on_device import OnDevice
from prooftape.op import Op
from prooftape.op_methods import OpMethods
from prooftape.ops import named_op
from prooftape.recording import Mark
from prooftape.scalars import Scalar, as_array
from prooftape.scalars import scalar as named
from prooftape.semantics import jvp_ctx
from prooftape.tape import Instr, ancestors, backward_dense_from, forward_from
from prooftape.torch_names import SESSION, names_in, point_elsewhere
from prooftape.types import BOOL, REAL, TensorType

if TYPE_CHECKING:
    from prooftape.param import Param
    from prooftape.profiling import Profile

ENGINES = ("numpy", "xla")
DOMAINS = ("ieee", "raise")
SCALAR = TensorType.of(())


class Session(OnDevice, OpMethods):
    """An eager-style session. Every op of the table is a method: `y = s.matmul(w, x)`.

    scalar: `float32` (default), `float64`, `bfloat16`, `float16`, `rational`, `modular(p)`.
    engine: `numpy`, or `xla` (extra `xla`): values, gradients and whole training steps as compiled programs.
    requires_grad_by_default: what `param(…)` takes when it is not said.
    domain: `ieee` lets nan and inf through; `raise` raises `DomainError` at the first value outside an op's
    domain.
    lowerings: engine `xla` only: which faster lowerings of ops to use; True all, False none, or their names.
    donate: engine `xla` only: whether a step may take over the memory of the parameters' old values.
    mesh: engine `xla` only: the devices that share a batch: how many, a list of them, or a
    `jax.sharding.Mesh` of one axis. See docs/parallel.md.
    """

    def __init__(
        self,
        scalar: str | Scalar = "float32",
        engine: str = "numpy",
        requires_grad_by_default: bool = True,
        *,
        domain: str = "ieee",
        lowerings: bool | Collection[str] = True,
        donate: bool = True,
        mesh: object = None,
    ) -> None:
        if engine not in ENGINES:
            raise ValueTypeError(f"unknown engine {engine!r}; known: {', '.join(ENGINES)}")
        if domain not in DOMAINS:
            raise ValueTypeError(f"domain must be 'ieee' or 'raise', got {domain!r}")
        if mesh is not None and engine != "xla":
            raise MeshError(f"mesh: engine {engine!r} has one device; several need engine='xla'")
        check_flag("requires_grad_by_default", requires_grad_by_default)
        self.engine = engine
        self.domain = domain
        super().__init__(scalar, requires_grad_by_default)
        if engine == "xla":
            self._use_xla(domain, lowerings, check_flag("donate", donate), mesh)
        self._settings = (lowerings, donate, mesh)

    def _start(self, token: Token) -> None:
        super()._start(token)
        self._needed: list[bool] = []

    def _undo(self, mark: Mark) -> None:
        super()._undo(mark)
        self._needed = self._needed[: len(self)]

    def __repr__(self) -> str:
        leaves = "1 leaf" if self._n_leaves == 1 else f"{self._n_leaves} leaves"
        return f"<Session {self.scalar.name}: {leaves}, {count(len(self._nodes), 'node')}>"

    def __dir__(self) -> list[str]:
        return names_in(type(self), super().__dir__())

    # -- recording any op ---------------------------------------------------------------------------
    def apply(
        self, op: str | Op, *operands: object, nats: Sequence[NatRef | NatVecRef] = (), **attrs: object
    ) -> TensorRef:
        """Record an op by name or record, e.g. one added with `prooftape.register`. Attributes by keyword."""
        record = named_op(op)
        known = {a.name: a.default for a in record.attrs}
        for name in attrs:
            if name not in known:
                takes = f"its attributes are {', '.join(known)}" if known else "it has none"
                raise AttributeValueError(f"{record.name}: unknown attribute {name!r}; {takes}")
        return self._apply(record, operands, tuple({**known, **attrs}.values()), nats)

    def _apply_masked(
        self, op: Op, operands: tuple[object, ...], attrs: tuple[object, ...], nats: Sequence[object]
    ) -> TensorRef:
        """`_apply` for an op whose mask operands may be given as constant boolean arrays. Atomic."""
        if all(isinstance(x, TensorRef) for x in operands):
            return self._apply(op, operands, attrs, nats)

        def given(s: Session, x: object, dtype: str) -> object:
            # not a bool: it is what `a == b` gives for two handles, and no mask anybody meant
            if dtype != BOOL or not isinstance(x, (np.ndarray, list, tuple, np.bool_)):
                return x
            array = as_array(x, f"{op.name}: mask")
            return s.constant_operand(array) if array.dtype.kind == "b" else x

        def build(s: Session) -> TensorRef:
            given_as = zip(operands, op.operand_dtypes, strict=False)  # optional operands may be left out
            return s._apply(op, [given(s, x, dtype) for x, dtype in given_as], attrs, nats)

        return self.commit(build)

    # -- evaluation ---------------------------------------------------------------------------------
    def _evaluate(self, end: int) -> list[Arr]:
        """Values of the first `end` context entries, computing the missing ones.

        If an entry that the last one does not depend on has no value (an exponential in exact numbers, say),
        only what the last one depends on is computed, and the rest of the list is None.
        """
        values, base = self._values, self._n_leaves
        if len(values) < end:
            instrs = self._compiled(end - base)
            try:
                self._run(instrs[len(values) - base : end - base], values)
            except (ScalarError, DomainError):
                # if the entry that failed is one of them, it fails again, now as the first
                return self._evaluate_only(ancestors(instrs, base, end - 1, len(values)), end)
        return values

    def _evaluate_only(self, needed: set[int], end: int) -> list[Arr]:
        """Values of the entries of `needed` beyond those that are known; None for the others."""
        values: list[Any] = [*self._values, *[None] * (end - len(self._values))]
        for out in sorted(needed):
            instr = self._instrs[out - self._n_leaves]
            operands = [values[a] for a in instr.args]
            self._run([instr._replace(args=tuple(range(len(operands))))], operands)
            values[out] = operands[-1]
        return values

    def _run(self, instrs: Sequence[Instr], values: list[Arr]) -> None:
        """Run instructions, appending to `values`; errors name the source line."""
        xp, read = self.scalar.xp, self._reader()
        with np.errstate(all="ignore"):
            try:
                if self.domain == "raise":
                    for instr in instrs:
                        check_domain(self.scalar, instr, values, read, self._locations[instr.out])
                        forward_from(xp, [instr], values, read)
                else:
                    forward_from(xp, instrs, values, read)
            except ScalarError as e:
                raise located(e, self._locations) from None

    def get_value(self, ref: TensorRef) -> Arr:
        """The value of a recorded tensor, read-only. Pure: it changes neither the graph nor any state."""
        if self._xla is not None and ref.__class__ is TensorRef and ref._token is self._token:
            known = self._xla.read(self._generation, ref.id)
            if known is not None:
                return self._on_host(known, ref.type.dtype)
        ref = self._operand("get_value", ref)
        if self._xla is not None:
            return self._on_host(self._xla.value(self, ref.id), ref.type.dtype)
        return self.scalar.to_user(self._evaluate(ref.id + 1)[ref.id])

    # -- reverse mode -------------------------------------------------------------------------------
    def backward_dense_all(self, out: TensorRef, seed: object, *, require: str | None = None) -> Grads:
        """Cotangent of every context id for `seed` at `out` (an array of out's shape).

        `require="proved"` raises `TrustError`, naming it, for an op on the way whose rules are not proved.
        """
        out = self._real("backward_dense_all", out)
        array = self.scalar.to_array(seed, "backward_dense_all: seed")
        if array.shape != out.shape:
            raise GradientError(
                f"backward_dense_all: the seed has shape {array.shape}, "
                f"the output is {self.graph.describe(out.id)}; they must be equal"
            )
        self._require(out, require, "backward_dense_all")
        return self._backward(out, array)

    def backward_scalar_dense_all(self, loss: TensorRef, *, require: str | None = None) -> Grads:
        """Cotangent of every context id for a scalar loss, seed 1. `require`: see `backward_dense_all`."""
        xla = self._xla
        plain = xla is not None and require is None and loss.__class__ is TensorRef
        if xla is not None and plain and loss._token is self._token and loss.type is SCALAR:
            return xla.gradients_of(self, loss.id)
        loss = self._real("backward_scalar_dense_all", loss)
        if loss.shape != ():
            raise GradientError(
                f"backward_scalar_dense_all: the loss must be a scalar, got {self.graph.describe(loss.id)}; "
                "reduce it with sum or mean, or use backward_dense_all(out, seed)"
            )
        self._require(loss, require, "backward_scalar_dense_all")
        return self._backward(loss, None)

    def _backward(self, out: TensorRef, seed: Arr | None) -> Grads:
        if self._xla is not None:
            from prooftape.xla.grads import XlaGrads

            return XlaGrads(self, self._xla, out.id, seed)
        if seed is None:
            seed = self.scalar.xp.full((), 1)
        values = self._evaluate(out.id + 1)
        xp, base, total, read = self.scalar.xp, self._n_leaves, len(self), self._reader()
        end = max(0, out.id + 1 - base)
        tape = self._tape(end)
        seeds: list[Arr | None] = [None] * total
        seeds[out.id] = seed
        needed = self._needed_ids(total)
        strict, locations = self.domain == "raise", self._locations
        token, leaves, nodes = self._token, self._leaves, self._nodes

        def run(needed: list[bool] | None) -> list[Arr | None]:
            with np.errstate(all="ignore"):
                try:
                    ct = backward_dense_from(xp, tape, values, seeds, read, needed)
                except ScalarError as e:
                    raise located(e, locations) from None
                if strict:
                    for instr in tape.instrs:
                        if needed is None or needed[instr.out]:
                            where = locations[instr.out]
                            check_derivative(self.scalar, instr, values, [ct[instr.out]], where)
                return ct

        def type_of(id: int) -> TensorType:
            return leaves[id].type if id < base else nodes[id - base][0].out

        return Grads(run(needed), type_of, needed, lambda: run(None), owner_check(token), self.scalar)

    def _needed_ids(self, total: int) -> list[bool]:
        """Which context entries lead back to a leaf that requires a gradient."""
        needed, base = self._needed, self._n_leaves
        if len(needed) < base:
            needed[:] = [leaf.requires_grad for leaf in self._leaves]
        for call, args, _ in self._nodes[len(needed) - base :]:
            leads = False
            if call.op.differentiable:
                for a in args:
                    if needed[a]:
                        leads = True
                        break
            needed.append(leads)
        return needed[:]

    def grad(self, grads: Grads, ref: TensorRef) -> Arr:
        """One gradient: the same as `grads[ref]`."""
        return checked("grad", grads)[ref]

    def _real(self, what: str, ref: TensorRef) -> TensorRef:
        ref = self._operand(what, ref)
        if ref.type.dtype != REAL:
            raise GradientError(f"{what}: {self.graph.describe(ref.id)} is a mask; masks carry no derivative")
        return ref

    # -- forward mode -------------------------------------------------------------------------------
    def jvp_dense_all(self, out: TensorRef, dxs: Sequence[object]) -> Arr:
        """Tangent of `out` for tangents of all leaves, in creation order (None: zero); one O(nodes) pass."""
        out = self._real("jvp_dense_all", out)
        if not isinstance(dxs, Iterable):
            raise GradientError(f"jvp_dense_all: expected a list of tangents, one per leaf, got {found(dxs)}")
        given = list(dxs)
        if len(given) != self._n_leaves:
            wanted = count(self._n_leaves, "tangent")
            raise GradientError(f"jvp_dense_all: expected {wanted}, one per leaf in order, got {len(given)}")
        return self._jvp(out, [self._tangent(i, dx, "jvp_dense_all") for i, dx in enumerate(given)])

    def jvp_leaf(self, out: TensorRef, leaf: TensorRef, dx: object) -> Arr:
        """Tangent of `out` when only `leaf` moves, by `dx`."""
        out, leaf = self._real("jvp_leaf", out), self._operand("jvp_leaf", leaf)
        if leaf.id >= self._n_leaves:
            raise GradientError(f"jvp_leaf: {self.graph.describe(leaf.id)} is a node, not a leaf")
        tangents: list[Arr | None] = [None] * self._n_leaves
        tangents[leaf.id] = self._tangent(leaf.id, dx, "jvp_leaf")
        return self._jvp(out, tangents)

    def jvp_scalar_leaf(self, loss: TensorRef, leaf: TensorRef, dx: object) -> Arr:
        """`jvp_leaf` for a scalar loss."""
        loss = self._real("jvp_scalar_leaf", loss)
        if loss.shape != ():
            raise GradientError(
                f"jvp_scalar_leaf: the loss must be a scalar, got {self.graph.describe(loss.id)}"
            )
        return self.jvp_leaf(loss, leaf, dx)

    def _tangent(self, leaf: int, dx: object, what: str) -> Arr | None:
        t = self._type_of(leaf)
        if dx is None:
            return None
        if t.dtype == BOOL:
            raise GradientError(f"{what}: {self.graph.describe(leaf)} is a mask and moves nowhere; pass None")
        array = self.scalar.to_array(dx, f"{what}: tangent {leaf}")
        if array.shape != t.shape:
            raise ShapeError(
                f"{what}: tangent {leaf} has shape {array.shape}, the leaf is {self.graph.describe(leaf)}"
            )
        return array

    def _jvp(self, out: TensorRef, tangents: list[Arr | None]) -> Arr:
        if self._xla is not None:
            moved = self._xla.tangent(self, out.id, tangents)
            return self._on_host(self.scalar.xp.full(out.shape, 0) if moved is None else moved)
        values = self._evaluate(out.id + 1)
        nodes = Prefix(self._nodes, max(0, out.id + 1 - self._n_leaves))
        if values is not self._values:  # entries without a value move nothing that `out` depends on
            known = zip(nodes, values[self._n_leaves :], strict=True)
            nodes = Prefix([n if v is not None else n._replace(args=(), nats=()) for n, v in known])
        below = Graph(Prefix(self._leaves), nodes, len(self._nats))
        with np.errstate(all="ignore"):
            context = jvp_ctx(self.scalar.xp, below, values, self._reader(), tangents)
        if self.domain == "raise":
            base = self._n_leaves
            for k in sorted(ancestors(self._instrs, base, out.id, base)):
                instr = self._instrs[k - base]
                moved = [context[a] for a in instr.args]
                check_derivative(self.scalar, instr, values, moved, self._locations[k])
        found = context[out.id]
        return self.scalar.to_user(self.scalar.xp.full(out.shape, 0) if found is None else found)

    # -- training -----------------------------------------------------------------------------------
    def param_grads(self, grads: Grads) -> list[tuple[Param, Arr | None]]:
        """Each unfrozen parameter seen by `use`, once, with the sum of its cotangents (None: absent)."""
        grads = checked("param_grads", grads)
        total: dict[Param, Arr | None] = {}
        for leaf, param in self._used(grads):
            old, new = total.get(param), grads.stored(leaf)
            if old is not None and new is not None:
                new = self.scalar.xp.finish(self.scalar.xp.add(old, new))
            total[param] = old if new is None else new
        return list(total.items())

    def sgd_step_all(self, lr: float, grads: Grads) -> None:
        """`p <- p - lr * g` for every parameter seen by `use`, all or none; frozen parameters stay.

        A parameter used twice is stepped once, with the sum of its leaves' gradients.
        """
        if self._xla is not None and self._xla.quick(self, grads, lr):
            return
        try:
            rate = as_number(lr)
        except TypeError as e:
            raise ValueTypeError(f"sgd_step_all: lr: {e}") from None
        if not 0 <= rate < float("inf"):
            raise AttributeValueError(f"sgd_step_all: lr must be a finite number >= 0, got {lr}")
        xp, grads = self.scalar.xp, checked("sgd_step_all", grads)
        if self._xla is not None:
            from prooftape.xla.stepping import sgd

            return sgd(self, self._xla, grads, float(rate))
        once = len(set(self._params.values())) == len(self._params)
        with np.errstate(all="ignore"):
            if once:  # the common case: each gradient is used here for the last time
                updates = [(p, self._stepped(p, leaf, grads, rate)) for leaf, p in self._used(grads)]
            else:
                summed = self.param_grads(grads)
                updates = [
                    (p, g if g is None else xp.finish(xp.minus_scaled(p.stored, g, rate))) for p, g in summed
                ]
        for param, new in updates:
            if new is not None:
                param.store(new)

    def _stepped(self, param: Param, leaf: int, grads: Grads, rate: Number) -> Arr | None:
        g, owned = grads.take(leaf)
        if g is None:
            return None
        xp = self.scalar.xp
        return xp.finish(xp.minus_scaled(param.stored, g, rate, consume=owned))

    # -- profiles -----------------------------------------------------------------------------------
    def profile(self, *, nodes: bool = True) -> Profile:
        """`with s.profile() as p: …steps…`, then `print(p)`: where their time went, and how they look.

        Changes no result. nodes=False leaves out what engine `xla` needs for times per fused region: one more
        compilation of each program that ran.
        """
        from prooftape.profiling import Profile  # here: few sessions need it, all would load it

        return Profile(self, nodes=nodes)

    # -- other scalars ------------------------------------------------------------------------------
    def replay(self, scalar: str | Scalar) -> Session:
        """The same graph on the same stored values in another scalar, as a new session with the same ids.

        Use `other.ref(handle)` for the handle there. Params are not carried over: their leaves are values.
        """
        lowerings, donate, mesh = self._settings
        engine = self.engine
        if engine == "xla" and not named(scalar).is_float:
            engine, mesh = "numpy", None  # XLA has no exact numbers
        other = Session(
            scalar,
            engine,
            self.requires_grad_by_default,
            domain=self.domain,
            lowerings=lowerings,
            donate=donate,
            mesh=mesh,
        )
        leaves = [self._host_value(v) for v in self._leaf_values]
        other._leaf_values = [
            v if v.dtype.kind == "b" else other.scalar.to_array(self.scalar.to_user(v), f"leaf %{i}")
            for i, v in enumerate(leaves)
        ]
        other._leaves, other._nodes = self._leaves[:], self._nodes[:]
        other._locations, other._nats = self._locations[:], self._nats
        other._n_leaves, other._first_nat_node = self._n_leaves, self._first_nat_node
        other._values = other._leaf_values[:]
        return other


def located(e: ScalarError, locations: Sequence[Location | None]) -> ScalarError:
    """The error with the source line of its node."""
    where = None if e.node is None else locations[e.node]
    return ScalarError(f"{e} recorded at {where}", node=e.node) if where else e


point_elsewhere(Session, SESSION)

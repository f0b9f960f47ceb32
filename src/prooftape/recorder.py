"""Recording leaves, naturals and nodes: each call checks everything, then appends.

`Recorder` is the lower half of `Session`. Invariants: every leaf comes before the first node; no recorded
array can be changed through anything a user holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from prooftape.arrays.structure import Arr
from prooftape.errors import (
    LeafAfterNodeError,
    OperandError,
    ProofTapeError,
    RuleError,
    ShapeError,
    ValueTypeError,
    check_flag,
    check_name,
    count,
    found,
)
from prooftape.graph import Leaf, Node
from prooftape.handle_methods import TensorRef
from prooftape.handles import Handle, NatRef, NatVecRef
from prooftape.naturals import natural, naturals
from prooftape.op import Call, Op
from prooftape.param import Param
from prooftape.recording import Recording, user_location
from prooftape.replay import Nat
from prooftape.scalars import as_array
from prooftape.types import BOOL, REAL, TensorType

_new_tuple = tuple.__new__


class Recorder(Recording):
    """See the module docstring. Users meet it as `Session`."""

    # -- leaves -----------------------------------------------------------------------------------
    def ensure_no_nodes(self, what: str = "ensure_no_nodes") -> None:
        """Raise `LeafAfterNodeError` if any op has been recorded; `what` is the call that needs it."""
        if self._nodes:
            where = self._locations[self._n_leaves]
            first = f"{self._nodes[0].op}" + (f" [{where}]" if where else "")
            raise LeafAfterNodeError(
                f"{what}: all leaves come before the first op, and {first} is recorded already; "
                "add the leaf earlier, record a constant with const(), or call reset_tape() first"
            )

    def param(self, init: object, name: str | None = None, requires_grad: bool | None = None) -> Param:
        """A mutable parameter of this session's scalar, not yet in the graph; `use` puts it there."""
        grad = self.requires_grad_by_default if requires_grad is None else requires_grad
        return Param(init, name, grad, self.scalar)

    def add_leaf(self, value: object, name: str | None = None) -> TensorRef:
        """Append a differentiable leaf with this value (copied)."""
        return self._add_leaf(value, name, True, "leaf")

    def input(self, value: object, name: str | None = None, requires_grad: bool = False) -> TensorRef:
        """Append an external input (copied). Without requires_grad its gradient is computed on demand."""
        return self._add_leaf(value, name, requires_grad, "input")

    def _add_leaf(self, value: object, name: str | None, grad: bool, kind: str) -> TensorRef:
        what = "add_leaf" if kind == "leaf" else kind
        self.ensure_no_nodes(what)
        check_name(what, name)
        grad = check_flag(f"{what}: requires_grad", grad)
        _refuse_recorded(what, "an array of numbers", value)
        array = self._given(value, f"{kind} {name or ''}".strip())
        return self._append_leaf(array, Leaf(TensorType.of(array.shape), name, grad, kind))

    def _given(self, value: object, what: str) -> Arr:
        """An input's value as this session's leaf."""
        return self.scalar.to_array(value, what)

    def use(self, param: Param) -> TensorRef:
        """Append a leaf with the parameter's current value; a training step will update the parameter."""
        self.ensure_no_nodes("use")
        if not isinstance(param, Param):
            fix = "make one with param(init), or pass data with input(value)"
            raise OperandError(f"use: expected a Param, got {found(param)}; {fix}")
        if param.scalar is not self.scalar and param.scalar.name != self.scalar.name:
            raise ValueTypeError(
                f"use: {param!r} holds {param.scalar.name}, this session runs in {self.scalar.name}; "
                "make the param with this session's param()"
            )
        ref = self._append_leaf(self._hold(param), param.leaf())
        self._params[ref.id] = param
        return ref

    def _hold(self, param: Param) -> Arr:
        """The parameter's value as this session's leaf."""
        return param.stored

    def const(self, value: object, name: str | None = None) -> TensorRef:
        """A constant: a leaf before the first op, a constant node after it. Booleans make a mask."""
        check_name("const", name)
        _refuse_recorded("const", "an array of numbers or booleans", value)
        return self._add_const(self._const_array(value, f"const {name or ''}".strip()), name)

    def _add_const(self, array: Arr, name: str | None) -> TensorRef:
        if self._nodes:
            return self._const_node(array)
        dtype = BOOL if array.dtype.kind == "b" else REAL
        return self._append_leaf(array, Leaf(TensorType.of(array.shape, dtype), name, False, "const"))

    def constant_operand(self, value: object) -> TensorRef:
        """An array met where an op takes a tensor: a constant node, even before the first op.

        As a leaf it would shift the tangents that `jvp_dense_all` takes, one per leaf the user made.
        """
        return self._const_node(self._const_array(value, "const"))

    def _const_array(self, value: object, what: str) -> Arr:
        mask = as_array(value, what)
        if mask.dtype.kind == "b":
            return np.array(mask, dtype=np.bool_, order="C")
        return self.scalar.to_array(mask, what)

    def _const_node(self, array: Arr) -> TensorRef:
        from prooftape.literal import Literal
        from prooftape.ops import find

        op = find("const_mask" if array.dtype.kind == "b" else "const")
        return self._apply(op, (), (Literal(self._exact(array)),))

    def _exact(self, array: Arr) -> Arr:
        """The entries of a constant as a literal holds them."""
        exact = array if array.dtype.kind == "b" else self.scalar.to_user(array)
        if exact.dtype.kind not in "bfO":
            exact = np.asarray(exact).astype(np.float32)  # bfloat16 is exact in float32
        return exact

    def _append_leaf(self, array: Arr, leaf: Leaf) -> TensorRef:
        self._leaves.append(leaf)
        self._leaf_values.append(array)
        self._values.append(array)
        self._locations.append(user_location(3))
        self._n_leaves += 1
        return TensorRef(self._token, self._n_leaves - 1, leaf.type)

    # -- naturals -----------------------------------------------------------------------------------
    def input_nat(self, n: int) -> NatRef:
        """Append a natural number (an index); it may be overwritten later with `set_nat`."""
        value, start = natural(n, "input_nat"), len(self._nats)
        self._nats = np.append(self._nats, np.int64(value))
        self._nat_log.append(Nat(self._n_leaves, len(self._nodes), start, 1, False))
        return NatRef(self._token, start)

    def input_nat_vec(self, v: Sequence[int] | NDArray[np.integer]) -> NatVecRef:
        """Append a vector of naturals (labels, token ids)."""
        _refuse_recorded("input_nat_vec", "a vector of naturals", v)
        values = naturals(v, "input_nat_vec")
        start = len(self._nats)
        self._nats = np.concatenate([self._nats, values]) if start else values
        self._nat_log.append(Nat(self._n_leaves, len(self._nodes), start, len(values), True))
        return NatVecRef(self._token, start, len(values))

    def get_nat(self, ref: NatRef) -> int:
        """The natural number at `ref`."""
        self._check_handle(ref, NatRef, "get_nat")
        return int(self._nats[ref.id])

    def set_nat(self, ref: NatRef, n: int) -> None:
        """Overwrite it; evaluating the recorded graph again uses the new value."""
        self._check_handle(ref, NatRef, "set_nat")
        self._write_nats(ref.id, np.array([natural(n, "set_nat")], np.int64))

    def get_nat_vec(self, ref: NatVecRef) -> NDArray[np.int64]:
        """The vector of naturals at `ref`, as a copy."""
        self._check_handle(ref, NatVecRef, "get_nat_vec")
        return self._nats[ref.id : ref.id + ref.length].copy()

    def set_nat_vec(self, ref: NatVecRef, v: Sequence[int] | NDArray[np.integer]) -> None:
        """Overwrite it; the length must stay the same."""
        self._check_handle(ref, NatVecRef, "set_nat_vec")
        values = naturals(v, "set_nat_vec")
        if len(values) != ref.length:
            raise ShapeError(f"set_nat_vec: expected {ref.length} naturals for {ref!r}, got {len(values)}")
        self._write_nats(ref.id, values)

    def _write_nats(self, start: int, values: NDArray[np.int64]) -> None:
        nats = self._nats.copy()
        nats[start : start + len(values)] = values
        self._nats = nats
        if self._first_nat_node is not None:  # values from the first reader on are out of date
            self._values = self._values[: self._first_nat_node]

    def nat_at(self, i: int) -> int:
        """Total read of the nat environment: 0 when i is out of range."""
        if isinstance(i, bool) or not isinstance(i, (int, np.integer)):
            raise ValueTypeError(f"nat_at: expected an integer slot, got {found(i)}")
        return int(self._nats[i]) if 0 <= i < len(self._nats) else 0

    def nat_vec_at(self, start: int, k: int) -> NDArray[np.int64]:
        """Total read of k naturals from `start`; 0 where out of range."""
        natural(k, "nat_vec_at: length")
        return np.array([self.nat_at(start + j) for j in range(k)], dtype=np.int64)

    def _reader(self) -> Callable[[int, int], NDArray[np.int64]]:
        nats = self._nats
        return lambda start, k: nats[start : start + k]

    # -- nodes --------------------------------------------------------------------------------------
    def _several(self, op: Op, xs: object) -> tuple[object, ...]:
        """The operands of an op that takes a list of them."""
        if isinstance(xs, (Handle, Param, str, np.ndarray)) or not isinstance(xs, Iterable):
            what = f"{op.name}: operand {op.operands[0]}"
            raise OperandError(f"{what}: expected a list of TensorRefs, got {found(xs)}")
        return tuple(xs)

    def _apply(
        self,
        op: Op,
        operands: Sequence[object],
        attrs: tuple[object, ...] = (),
        nats: Sequence[object] = (),
    ) -> TensorRef:
        """Record one node: check everything, then append. The one way into the graph for every op."""
        refs: list[TensorRef] = []
        for i, x in enumerate(operands):
            if x.__class__ is not TensorRef or x._token is not self._token:
                masked = i < len(op.operand_dtypes) and op.operand_dtypes[i] == BOOL
                x = self._operand(f"{op.name}: operand {op.operand_name(i)}", x, masked)
            refs.append(x)
        slots = self._nat_slots(op, nats) if op.nats or nats else ()
        sizes = tuple([n for _, n in slots])
        call = self._call(op, refs, attrs, sizes)
        if op.record_check is not None:
            try:
                op.record_check(call, [self._nats[start : start + n] for start, n in slots])
            except RuleError as e:
                raise self._refusal(op, refs, e) from None
        if slots and self._first_nat_node is None:
            self._first_nat_node = len(self)
        nodes, locations = self._nodes, self._locations
        if attrs:
            self._raws[len(nodes)] = attrs
        ids = tuple([r.id for r in refs])
        nodes.append(_new_tuple(Node, (call, ids, tuple([start for start, _ in slots]) if slots else ())))
        locations.append(user_location(3))
        return TensorRef(self._token, len(locations) - 1, call.out)

    def _call(self, op: Op, refs: list[TensorRef], attrs: tuple[object, ...], sizes: tuple[int, ...]) -> Call:
        """The typed call; attributes given before in exactly this form need no second reading."""
        try:
            key = (tuple([r.type for r in refs]), attrs, attrs and _kinds(attrs), sizes)
            call = op._calls.get(key)
        except TypeError:  # a list or an array among the attributes
            return self._bind(op, refs, attrs, sizes)
        if call is None:
            call = self._bind(op, refs, attrs, sizes)
            if not _ambiguous(attrs):
                op.remember(key, call)
        return call

    def _apply1a(self, op: Op, x: object, attrs: tuple[object, ...]) -> TensorRef:
        """`_apply` for one operand and attributes."""
        token = self._token
        if x.__class__ is not TensorRef or x._token is not token:
            x = self._operand(f"{op.name}: operand {op.operands[0]}", x)
        try:
            key = (x.type, attrs, _kinds(attrs))
            call = op._calls.get(key)
        except TypeError:
            key, call = None, None
        if call is None:
            call = self._bind(op, (x,), attrs)
            if key is not None and not _ambiguous(attrs):
                op.remember(key, call)
        nodes = self._nodes
        self._raws[len(nodes)] = attrs
        nodes.append(_new_tuple(Node, (call, (x.id,), ())))
        locations = self._locations
        locations.append(user_location(3))
        return TensorRef(token, len(locations) - 1, call.out)

    def _nat_slots(self, op: Op, nats: Sequence[object]) -> list[tuple[int, int]]:
        """(start, length) in the nat environment of each index operand."""
        if len(nats) != len(op.nats):
            raise OperandError(f"{op.name}: takes {count(len(op.nats), 'index reference')}, got {len(nats)}")
        slots = []
        for name, ref in zip(op.nats, nats, strict=True):
            what = f"{op.name}: index {name}"
            if not isinstance(ref, (NatRef, NatVecRef)):
                raise OperandError(
                    f"{what}: expected a NatRef or NatVecRef, got {found(ref)}; "
                    "record the naturals first with input_nat(n) or input_nat_vec(v)"
                )
            self._check_handle(ref, type(ref), what)
            slots.append((ref.id, ref.length if isinstance(ref, NatVecRef) else 1))
        return slots

    def _apply1(self, op: Op, x: object) -> TensorRef:
        """`_apply` for one operand and no attributes, the commonest case, with one cache lookup."""
        token = self._token
        if x.__class__ is not TensorRef or x._token is not token:
            x = self._operand(f"{op.name}: operand {op.operands[0]}", x)
        call = op._calls.get(x.type)
        if call is None:
            call = self._bind(op, (x,))
            op.remember(x.type, call)
        self._nodes.append(_new_tuple(Node, (call, (x.id,), ())))
        locations = self._locations  # one for each context entry, so their number is the id
        locations.append(user_location(3))
        return TensorRef(token, len(locations) - 1, call.out)

    def _apply2(self, op: Op, a: object, b: object) -> TensorRef:
        """`_apply` for two operands and no attributes."""
        token = self._token
        if a.__class__ is not TensorRef or a._token is not token:
            a = self._operand(f"{op.name}: operand {op.operands[0]}", a)
        if b.__class__ is not TensorRef or b._token is not token:
            b = self._operand(f"{op.name}: operand {op.operands[-1]}", b)
        key = (a.type, b.type)
        call = op._calls.get(key)
        if call is None:
            call = self._bind(op, (a, b))
            op.remember(key, call)
        self._nodes.append(_new_tuple(Node, (call, (a.id, b.id), ())))
        locations = self._locations  # one for each context entry, so their number is the id
        locations.append(user_location(3))
        return TensorRef(token, len(locations) - 1, call.out)

    def _apply3(self, op: Op, a: object, b: object, c: object) -> TensorRef:
        """`_apply` for three operands and no attributes."""
        token = self._token
        if a.__class__ is not TensorRef or a._token is not token:
            a = self._operand(f"{op.name}: operand {op.operands[0]}", a)
        if b.__class__ is not TensorRef or b._token is not token:
            b = self._operand(f"{op.name}: operand {op.operands[1]}", b)
        if c.__class__ is not TensorRef or c._token is not token:
            c = self._operand(f"{op.name}: operand {op.operands[2]}", c)
        key = (a.type, b.type, c.type)
        call = op._calls.get(key)
        if call is None:
            call = self._bind(op, (a, b, c))
            op.remember(key, call)
        self._nodes.append(_new_tuple(Node, (call, (a.id, b.id, c.id), ())))
        locations = self._locations  # one for each context entry, so their number is the id
        locations.append(user_location(3))
        return TensorRef(token, len(locations) - 1, call.out)

    def _bind(
        self, op: Op, refs: Sequence[TensorRef], attrs: Sequence[object] = (), sizes: tuple[int, ...] = ()
    ) -> Call:
        try:
            return op.bind(tuple([r.type for r in refs]), attrs, sizes)
        except RuleError as e:
            raise self._refusal(op, refs, e) from None

    def _refusal(self, op: Op, refs: Sequence[TensorRef], e: RuleError) -> ProofTapeError:
        """What a user reads: the op, the problem, the operands with shapes and source lines, the fix."""
        names = [op.operand_name(i) for i in range(len(refs))]
        graph = self.graph
        shown = ", ".join(f"{n} = {graph.describe(r.id)}" for n, r in zip(names, refs, strict=True))
        text = f"{op.name}: {e.problem}" + (f": {shown}" if shown else "")
        return e.kind(text + (f"; {e.hint}" if e.hint else ""))


def _refuse_recorded(what: str, expected: str, value: object) -> None:
    if isinstance(value, (Handle, Param)):
        fix = "put it into the graph with use(param)"
        fix = fix if isinstance(value, Param) else "it is recorded already"
        raise ValueTypeError(f"{what}: expected {expected}, got {value!r}; {fix}")


def _kinds(attrs: tuple[object, ...]) -> tuple[object, ...]:
    """The classes of the attributes, inside tuples too: a dictionary takes 1, 1.0 and True for one key."""
    return tuple([(a.__class__, _kinds(a)) if isinstance(a, tuple) else a.__class__ for a in attrs])


def _ambiguous(attrs: tuple[object, ...]) -> bool:
    """Whether a dictionary would take these attributes for others of their kinds: -0.0, nan, sets."""
    return any(
        _ambiguous(a)
        if isinstance(a, tuple)
        else isinstance(a, frozenset) or (isinstance(a, (float, np.floating)) and (a == 0 or a != a))
        for a in attrs
    )

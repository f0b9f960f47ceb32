# ruff: noqa: E501 - a message is easier to review on one line
"""Misuse of handles: stale, foreign, undone, of the wrong kind, or used as if they were numbers."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from misuse import Misuse, World, fresh

import prooftape as pt
from prooftape.errors import (
    ForeignHandleError,
    HandleError,
    IndexRangeError,
    OperandError,
    ShapeError,
    StaleHandleError,
    ValueTypeError,
)


def after_reset(w: World) -> World:
    """A world whose handles are all stale; new leaves and a node are recorded."""
    w.s.reset_tape()
    w.fresh = w.s.use(w.W)
    w.fresh_loss = w.s.sum(w.fresh)
    return w


def undone(w: World) -> Any:
    """A handle and a natural recorded inside a commit that failed."""
    kept = []

    def build(s: pt.Session) -> None:
        kept.extend([s.neg(w.v), s.input_nat(3)])
        raise RuntimeError("on purpose")

    with contextlib.suppress(RuntimeError):
        w.s.commit(build)
    return kept


def orphan(w: World) -> pt.TensorRef:
    """A handle whose session is gone."""
    return pt.Session().input([1.0], "alone")


def stale(name: str, do: Callable[[Any, Any], object], message: str) -> Misuse:
    """After reset_tape()."""
    return Misuse(name, do, StaleHandleError, message, given=after_reset)


CASES: list[Misuse] = [
    # stale
    stale("op on a stale handle", lambda w, _: w.s.neg(w.v), "neg: operand x: TensorRef(%2: real[3]) is from before reset_tape() (generation 0, now 1); record it again"),
    stale("op on a stale second operand", lambda w, _: w.s.add(w.fresh, w.w), "add: operand b: TensorRef(%0: real[2,3]) is from before reset_tape() (generation 0, now 1); record it again"),
    stale("operator on a stale handle", lambda w, _: w.fresh + w.w, "add: operand b: TensorRef(%0: real[2,3]) is from before reset_tape() (generation 0, now 1); record it again"),
    stale("method of a stale handle", lambda w, _: w.w.relu(), "relu: operand x: TensorRef(%0: real[2,3]) is from before reset_tape() (generation 0, now 1); record it again"),
    stale("stale mask", lambda w, _: w.s.where(w.mask, w.fresh, w.fresh), "where: operand mask: TensorRef(%10: bool[3]) is from before reset_tape() (generation 0, now 1); record it again"),
    stale("stale operand in a list", lambda w, _: w.s.concat([w.fresh, w.w]), "concat: operand xs[1]: TensorRef(%0: real[2,3]) is from before reset_tape() (generation 0, now 1); record it again"),
    stale("stale index", lambda w, _: w.s.gather_row_ref(w.fresh, w.n), "gather_row_ref: index i: NatRef(nat[0]) is from before reset_tape() (generation 0, now 1); record it again"),
    stale("stale labels", lambda w, _: w.s.cross_entropy(w.fresh, w.labels), "cross_entropy: index labels: NatVecRef(nat[1:4]) is from before reset_tape() (generation 0, now 1); record it again"),
    stale("value of a stale handle", lambda w, _: w.w.value, "get_value: TensorRef(%0: real[2,3]) is from before reset_tape() (generation 0, now 1); record it again"),
    stale("get_value of a stale handle", lambda w, _: w.s.get_value(w.loss), "get_value: TensorRef(%12: real[]) is from before reset_tape() (generation 0, now 1); record it again"),
    stale("item of a stale handle", lambda w, _: w.loss.item(), "get_value: TensorRef(%12: real[]) is from before reset_tape() (generation 0, now 1); record it again"),
    stale("indexing a stale handle", lambda w, _: w.w[0], "slice: operand x: TensorRef(%0: real[2,3]) is from before reset_tape() (generation 0, now 1); record it again"),
    stale("indexing by a stale natural", lambda w, _: w.fresh[w.n], "gather_row_ref: index i: NatRef(nat[0]) is from before reset_tape() (generation 0, now 1); record it again"),
    stale("backward from a stale loss", lambda w, _: w.s.backward_scalar_dense_all(w.loss), "backward_scalar_dense_all: TensorRef(%12: real[]) is from before reset_tape() (generation 0, now 1); record it again"),
    stale("gradient of a stale leaf", lambda w, _: w.s.backward_scalar_dense_all(w.fresh_loss)[w.w], "grads[ref]: TensorRef(%0: real[2,3]) is of another recording than these gradients"),
    stale("jvp of a stale output", lambda w, _: w.s.jvp_dense_all(w.loss, [None]), "jvp_dense_all: TensorRef(%12: real[]) is from before reset_tape() (generation 0, now 1); record it again"),
    stale("jvp of a stale leaf", lambda w, _: w.s.jvp_leaf(w.fresh_loss, w.w, np.ones((2, 3))), "jvp_leaf: TensorRef(%0: real[2,3]) is from before reset_tape() (generation 0, now 1); record it again"),
    # undone
    Misuse("op on an undone handle", lambda w, kept: w.s.neg(kept[0]), StaleHandleError, "neg: operand x: TensorRef(%13: real[3]) was recorded inside an operation that failed and was undone; record it again", given=undone),
    Misuse("value of an undone handle", lambda w, kept: kept[0].value, StaleHandleError, "get_value: TensorRef(%13: real[3]) was recorded inside an operation that failed and was undone; record it again", given=undone),
    Misuse("undone natural", lambda w, kept: w.s.get_nat(kept[1]), StaleHandleError, "get_nat: NatRef(nat[4]) was recorded inside an operation that failed and was undone; record it again", given=undone),
    Misuse("gathering by an undone natural", lambda w, kept: w.s.gather_scalar_ref(w.v, kept[1]), StaleHandleError, "gather_scalar_ref: index i: NatRef(nat[4]) was recorded inside an operation that failed and was undone; record it again", given=undone),
    Misuse("value of a handle of no session", lambda w, ref: ref.value, StaleHandleError, "TensorRef(%0: real[1]): its session no longer exists; keep a reference to the session", given=orphan),
    Misuse("operator on a handle of no session", lambda w, ref: ref + 1, StaleHandleError, "TensorRef(%0: real[1]): its session no longer exists; keep a reference to the session", given=orphan),
    Misuse("operand of no session", lambda w, ref: w.s.neg(ref), StaleHandleError, "neg: operand x: TensorRef(%0: real[1]) belongs to a session that no longer exists", given=orphan),
    # foreign
    Misuse("op on a foreign handle", lambda w: w.s.neg(w.z), ForeignHandleError, "neg: operand x: TensorRef(%0: real[2,3]) belongs to another session; record its value in this one, e.g. const(other.get_value(ref))"),
    Misuse("op on two sessions", lambda w: w.s.add(w.w, w.z), ForeignHandleError, "add: operand b: TensorRef(%0: real[2,3]) belongs to another session; record its value in this one, e.g. const(other.get_value(ref))"),
    Misuse("operator on two sessions", lambda w: w.w * w.z, ForeignHandleError, "mul: operand b: TensorRef(%0: real[2,3]) belongs to another session; record its value in this one, e.g. const(other.get_value(ref))"),
    Misuse("broadcasting operator on two sessions", lambda w: w.z - w.v, ForeignHandleError, "sub: operand b: TensorRef(%2: real[3]) belongs to another session; record its value in this one, e.g. const(other.get_value(ref))"),
    Misuse("matmul operator on two sessions", lambda w: w.w @ w.z, ForeignHandleError, "matmul: operand b: TensorRef(%0: real[2,3]) belongs to another session; record its value in this one, e.g. const(other.get_value(ref))"),
    Misuse("comparison on two sessions", lambda w: w.w > w.z, ForeignHandleError, "greater: operand b: TensorRef(%0: real[2,3]) belongs to another session; record its value in this one, e.g. const(other.get_value(ref))"),
    Misuse("foreign handle in a list", lambda w: w.s.concat([w.w, w.z]), ForeignHandleError, "concat: operand xs[1]: TensorRef(%0: real[2,3]) belongs to another session; record its value in this one, e.g. const(other.get_value(ref))"),
    Misuse("foreign natural", lambda w: w.s.gather_scalar_ref(w.v, w.other_n), ForeignHandleError, "gather_scalar_ref: index i: NatRef(nat[0]) belongs to another session; record its value in this one, e.g. input_nat(other.get_nat(ref))"),
    Misuse("indexing by a foreign natural", lambda w: w.v[w.other_n], ForeignHandleError, "gather_scalar_ref: index i: NatRef(nat[0]) belongs to another session; record its value in this one, e.g. input_nat(other.get_nat(ref))"),
    Misuse("value of a foreign handle", lambda w: w.s.get_value(w.z), ForeignHandleError, "get_value: TensorRef(%0: real[2,3]) belongs to another session; record its value in this one, e.g. const(other.get_value(ref))"),
    Misuse("backward from a foreign loss", lambda w: w.other.backward_scalar_dense_all(w.loss), ForeignHandleError, "backward_scalar_dense_all: TensorRef(%12: real[]) belongs to another session; record its value in this one, e.g. const(other.get_value(ref))"),
    Misuse("gradient of a foreign leaf", lambda w: w.s.backward_scalar_dense_all(w.loss)[w.z], ForeignHandleError, "grads[ref]: TensorRef(%0: real[2,3]) is of another session than these gradients"),
    # not a handle
    Misuse("array as operand", lambda w: w.s.add(w.v, np.ones(3)), OperandError, "add: operand b: expected a TensorRef, got ndarray of shape (3,); record it first: input(value) before the first op, const(value) any time"),
    Misuse("list as operand", lambda w: w.s.add(w.v, [1.0, 2.0, 3.0]), OperandError, "add: operand b: expected a TensorRef, got list [1.0, 2.0, 3.0]; record it first: input(value) before the first op, const(value) any time"),
    Misuse("number as operand", lambda w: w.s.mul(w.v, 2.0), OperandError, "mul: operand b: expected a TensorRef, got float 2.0; record it first: input(value) before the first op, const(value) any time"),
    Misuse("array as the only operand", lambda w: w.s.exp(np.ones(3)), OperandError, "exp: operand x: expected a TensorRef, got ndarray of shape (3,); record it first: input(value) before the first op, const(value) any time"),
    Misuse("None as operand", lambda w: w.s.relu(None), OperandError, "relu: operand x: expected a TensorRef, got None; record it first: input(value) before the first op, const(value) any time"),
    Misuse("text as operand", lambda w: w.s.tanh("x"), OperandError, "tanh: operand x: expected a TensorRef, got str 'x'; record it first: input(value) before the first op, const(value) any time"),
    Misuse("Param as operand", lambda w: w.s.matmul(w.W, w.v), OperandError, "matmul: operand a: expected a TensorRef, got Param(W: float64[2, 3]); put it into the graph with use(param)"),
    Misuse("NatRef as operand", lambda w: w.s.neg(w.n), OperandError, "neg: operand x: expected a TensorRef, got NatRef(nat[0]); naturals are read by gather_scalar_ref and gather_row_ref"),
    Misuse("NatVecRef as operand", lambda w: w.s.softmax(w.labels), OperandError, "softmax: operand x: expected a TensorRef, got NatVecRef(nat[1:4]); naturals are read by gather_vec_ref, gather_rows_ref and cross_entropy"),
    Misuse("context id as operand", lambda w: w.s.sqrt(3), OperandError, "sqrt: operand x: expected a TensorRef, got int 3; record it first: input(value) before the first op, const(value) any time"),
    Misuse("list of handles as operand", lambda w: w.s.sum([w.c, w.c]), OperandError, "sum: operand x: expected a TensorRef, got list [TensorRef(%4: real[]), TensorRef(%4: real[])]; record it first: input(value) before the first op, const(value) any time"),
    Misuse("array with attributes", lambda w: w.s.scale(np.ones(3), 2), OperandError, "scale: operand x: expected a TensorRef, got ndarray of shape (3,); record it first: input(value) before the first op, const(value) any time"),
    Misuse("array among the operands of concat", lambda w: w.s.concat([w.v, np.ones(3)]), OperandError, "concat: operand xs[1]: expected a TensorRef, got ndarray of shape (3,); record it first: input(value) before the first op, const(value) any time"),
    Misuse("one handle in place of a list", lambda w: w.s.concat(w.x), OperandError, "concat: operand xs: expected a list of TensorRefs, got TensorRef(%1: real[3,4])"),
    Misuse("concat of nothing", lambda w: w.s.concat([]), OperandError, "concat: needs at least one operand; pass a non-empty list"),
    Misuse("concat of None", lambda w: w.s.concat(None), OperandError, "concat: operand xs: expected a list of TensorRefs, got None"),
    Misuse("labels as an array", lambda w: w.s.cross_entropy(w.x, np.array([0, 1, 2])), OperandError, "cross_entropy: index labels: expected a NatRef or NatVecRef, got ndarray of shape (3,); record the naturals first with input_nat(n) or input_nat_vec(v)"),
    Misuse("labels as a tensor", lambda w: w.s.nll_loss(w.x, w.v), OperandError, "nll_loss: index labels: expected a NatRef or NatVecRef, got TensorRef(%2: real[3]); record the naturals first with input_nat(n) or input_nat_vec(v)"),
    Misuse("index as a number", lambda w: w.s.gather_scalar_ref(w.v, 1), OperandError, "gather_scalar_ref: index i: expected a NatRef or NatVecRef, got int 1; record the naturals first with input_nat(n) or input_nat_vec(v)"),
    Misuse("indices as a list", lambda w: w.s.gather_vec_ref(w.v, [0, 1]), OperandError, "gather_vec_ref: index idx: expected a NatRef or NatVecRef, got list [0, 1]; record the naturals first with input_nat(n) or input_nat_vec(v)"),
    Misuse("value of an id", lambda w: w.s.get_value(0), OperandError, "get_value: expected a TensorRef, got int 0; record it first: input(value) before the first op, const(value) any time"),
    Misuse("value of an array", lambda w: w.s.get_value(np.ones(3)), OperandError, "get_value: expected a TensorRef, got ndarray of shape (3,); record it first: input(value) before the first op, const(value) any time"),
    Misuse("value of a Param", lambda w: w.s.get_value(w.W), OperandError, "get_value: expected a TensorRef, got Param(W: float64[2, 3]); put it into the graph with use(param)"),
    Misuse("value of a natural", lambda w: w.s.get_value(w.n), OperandError, "get_value: expected a TensorRef, got NatRef(nat[0]); naturals are read by gather_scalar_ref and gather_row_ref"),
    # not a number
    Misuse("truth value", lambda w: bool(w.c), OperandError, "c () [misuse.py:N] has no truth value while recording; choose with session.where(mask, a, b), or read a number with ref.item()"),
    Misuse("if on a comparison", lambda w, mask: 1 if mask else 0, OperandError, "%13 (3,) [cases_handles.py:N] has no truth value while recording; choose with session.where(mask, a, b), or read a number with ref.item()", given=lambda w: w.v > w.v),
    Misuse("and of two handles", lambda w: w.c and w.v, OperandError, "c () [misuse.py:N] has no truth value while recording; choose with session.where(mask, a, b), or read a number with ref.item()"),
    Misuse("not of a handle", lambda w: not w.mask, OperandError, "mask (3,) [misuse.py:N] has no truth value while recording; choose with session.where(mask, a, b), or read a number with ref.item()"),
    Misuse("float of a handle", lambda w: float(w.c), OperandError, "c () [misuse.py:N] is a recorded value, not a number; read one with ref.item()"),
    Misuse("int of a handle", lambda w: int(w.c), OperandError, "c () [misuse.py:N] is a recorded value, not a number; read one with ref.item()"),
    Misuse("complex of a handle", lambda w: complex(w.c), OperandError, "c () [misuse.py:N] is a recorded value, not a number; read one with ref.item()"),
    Misuse("range of a handle", lambda w: range(w.c), OperandError, "c () [misuse.py:N] is a recorded value, not a number; read one with ref.item()"),
    Misuse("list index by a handle", lambda w: [1, 2, 3][w.c], OperandError, "c () [misuse.py:N] is a recorded value, not a number; read one with ref.item()"),
    Misuse("iterating over a handle", lambda w: list(w.v), OperandError, "v (3,) [misuse.py:N] is not iterable; take rows with x[0], x[1], …"),
    Misuse("unpacking a handle", lambda w: (lambda a, b, c: a)(*w.v), OperandError, "v (3,) [misuse.py:N] is not iterable; take rows with x[0], x[1], …"),
    Misuse("membership in a handle", lambda w: 1.0 in w.v, OperandError, "v (3,) [misuse.py:N]: its entries are not known while recording; look in ref.value"),
    Misuse("length of a scalar", lambda w: len(w.c), OperandError, "c () [misuse.py:N] has rank 0 and therefore no length"),
    Misuse("NumPy array of a handle", lambda w: np.asarray(w.v), OperandError, "v (3,) [misuse.py:N] is a recorded value, not an array; use ref.value"),
    Misuse("NumPy function of a handle", lambda w: np.mean(w.v), OperandError, "numpy.mean: v (3,) [misuse.py:N] is a recorded value, not an array; use the session's ops or ref.value"),
    Misuse("NumPy ufunc of a handle", lambda w: np.exp(w.v), TypeError, "operand 'TensorRef' does not support ufuncs (__array_ufunc__=None)"),
    Misuse("item of a vector", lambda w: w.v.item(), ShapeError, "item: v (3,) [misuse.py:N] has 3 entries, not one; use ref.value"),
    Misuse("item assignment", lambda w: operator.setitem(w.v, 0, 1.0), OperandError, "v (3,) [misuse.py:N] cannot be written into: recorded values do not change; where, concat and scatter_add_vec make new ones"),
    Misuse("writing into a value", lambda w: operator.setitem(w.v.value, 0, 7.0), ValueError, "assignment destination is read-only"),
    Misuse("writing into a node's value", lambda w: operator.setitem(w.loss.value, (), 7.0), ValueError, "assignment destination is read-only"),
    Misuse("making a value writable", lambda w: w.v.value.setflags(write=True), ValueError, "cannot set WRITEABLE flag to True of this array"),
    Misuse("adding text", lambda w: w.v + "1", OperandError, "add: cannot combine v (3,) [misuse.py:N] with str '1'; it takes TensorRefs, numbers and arrays of numbers"),
    Misuse("adding None", lambda w: w.v + None, OperandError, "add: cannot combine v (3,) [misuse.py:N] with None; it takes TensorRefs, numbers and arrays of numbers"),
    Misuse("multiplying by True", lambda w: w.v * True, OperandError, "mul: cannot combine v (3,) [misuse.py:N] with bool True; it takes TensorRefs, numbers and arrays of numbers"),
    Misuse("multiplying by a mask array", lambda w: w.v * np.array([True, False, True]), OperandError, "mul: operand b must be real numbers, got bool[3]: a = v (3,) [misuse.py:N], b = %13 (3,) [cases_handles.py:N]; turn a mask into numbers with where(mask, ones, zeros)"),
    Misuse("multiplying by a Param", lambda w: w.w * w.W, OperandError, "mul: cannot combine W (2, 3) [misuse.py:N] with Param(W: float64[2, 3]); put it into the graph with use(param)"),
    Misuse("adding a natural", lambda w: w.v + w.n, OperandError, "add: cannot combine v (3,) [misuse.py:N] with NatRef(nat[0]); it takes TensorRefs, numbers and arrays of numbers"),
    Misuse("adding a complex number", lambda w: w.v + 1j, OperandError, "add: cannot combine v (3,) [misuse.py:N] with complex 1j; it takes TensorRefs, numbers and arrays of numbers"),
    Misuse("comparing with text", lambda w: w.v > "a", OperandError, "greater: cannot combine v (3,) [misuse.py:N] with str 'a'; it takes TensorRefs, numbers and arrays of numbers"),
    Misuse("power with a handle", lambda w: w.v**w.v, OperandError, "x ** c: expected a number c, got TensorRef(%2: real[3]); use exp(c * log(x))"),
    Misuse("number to the power of a handle", lambda w: 2**w.v, OperandError, "c ** x is not an op; use exp(x * log(c))"),
    Misuse("remainder", lambda w: w.v % 2, TypeError, "unsupported operand type(s) for %: 'TensorRef' and 'int'"),
    Misuse("floor division", lambda w: w.v // 2, TypeError, "unsupported operand type(s) for //: 'TensorRef' and 'int'"),
    Misuse("bitwise and of masks", lambda w: w.mask & w.mask, TypeError, "unsupported operand type(s) for &: 'TensorRef' and 'TensorRef'"),
    Misuse("matmul with a number", lambda w: w.x @ 2, TypeError, "unsupported operand type(s) for @: 'TensorRef' and 'int'"),
    Misuse("text @ handle", lambda w: "a" @ w.x, OperandError, "matmul: cannot combine x (3, 4) [misuse.py:N] with str 'a'; it takes TensorRefs, numbers and arrays of numbers"),
    # ids
    Misuse("mk_idx beyond the end", lambda w: w.s.mk_idx(99), IndexRangeError, "mk_idx: id 99 is not a context id: expected an integer 0 <= id < 13"),
    Misuse("mk_idx negative", lambda w: w.s.mk_idx(-1), IndexRangeError, "mk_idx: id -1 is not a context id: expected an integer 0 <= id < 13"),
    Misuse("mk_idx of a boolean", lambda w: w.s.mk_idx(True), IndexRangeError, "mk_idx: id True is not a context id: expected an integer 0 <= id < 13"),
    Misuse("mk_idx of a float", lambda w: w.s.mk_idx(1.0), IndexRangeError, "mk_idx: id 1.0 is not a context id: expected an integer 0 <= id < 13"),
    Misuse("mk_idx of a handle", lambda w: w.s.mk_idx(w.v), IndexRangeError, "mk_idx: id TensorRef(%2: real[3]) is not a context id: expected an integer 0 <= id < 13"),
    Misuse("mk_idx with another shape", lambda w: w.s.mk_idx(0, (3, 2)), ShapeError, "mk_idx: id 0: expected shape (3, 2), got (2, 3): W (2, 3) [misuse.py:N]"),
    Misuse("mk_idx with a number as shape", lambda w: w.s.mk_idx(2, 3), ValueTypeError, "mk_idx: expected a shape, a tuple of integers, got int 3"),
    Misuse("mk_leaf_idx of a node", lambda w: w.s.mk_leaf_idx(11), IndexRangeError, "mk_leaf_idx: id 11 is not a leaf id: expected an integer 0 <= id < 11"),
    Misuse("mk_leaf_idx with another shape", lambda w: w.s.mk_leaf_idx(1, [3]), ShapeError, "mk_leaf_idx: id 1: expected shape (3,), got (3, 4): x (3, 4) [misuse.py:N]"),
    Misuse("ref of an id that is not there", lambda w: w.other.ref(w.loss), IndexRangeError, "ref: id 12 is not a context id: expected an integer 0 <= id < 1"),
    Misuse("ref of another shape", lambda w, ref: w.s.ref(ref), ShapeError, "ref: %1 is real[3,4] here, not real[2,3]: x (3, 4) [misuse.py:N]", given=lambda w: w.other.neg(w.z)),
    Misuse("ref of another dtype", lambda w, ref: w.s.ref(ref), ShapeError, "ref: %0 is real[2,3] here, not bool[2,3]: W (2, 3) [misuse.py:N]", given=lambda w: pt.Session().const([[True] * 3] * 2)),
    Misuse("ref of text", lambda w: w.s.ref("w"), IndexRangeError, "ref: id 'w' is not a context id: expected an integer 0 <= id < 13"),
    # commit
    Misuse("reset inside a commit", lambda w: w.s.commit(lambda s: s.reset_tape()), HandleError, "reset_tape() inside commit(builder): finish the builder first"),
    Misuse("commit of no function", lambda w: w.s.commit(w.v), OperandError, "commit: expected a function that takes the session, got TensorRef(%2: real[3])"),
    Misuse("run_graph of no function", lambda w: w.s.run_graph("build"), OperandError, "commit: expected a function that takes the session, got str 'build'"),
    Misuse("a builder that raises", lambda w: w.s.commit(lambda s: s.add(s.neg(w.v), w.u)), ShapeError, "add: operand shapes differ: a = %13 (3,) [cases_handles.py:N], b = u (4,) [misuse.py:N]; shapes must be equal; use broadcast_to (operators such as a + b insert it)"),
    Misuse("a nested builder that raises", lambda w: w.s.commit(lambda s: s.commit(lambda s: [s.input_nat(1), s.neg(w.v), 1 / 0])), ZeroDivisionError, "division by zero"),
    Misuse("a leaf in a builder that raises", lambda w: w.s.commit(lambda s: [s.use(w.W), s.neg(w.v), s.use(w.W)]), pt.errors.LeafAfterNodeError, "use: all leaves come before the first op, and neg [cases_handles.py:N] is recorded already; add the leaf earlier, record a constant with const(), or call reset_tape() first", world=fresh),
]  # fmt: skip

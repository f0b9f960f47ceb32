# ruff: noqa: E501 - a message is easier to review on one line
"""Misuse of leaves, parameters, constants and naturals."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from misuse import Misuse, World, fresh, modular, rational

import prooftape as pt
from prooftape.errors import (
    ForeignHandleError,
    LeafAfterNodeError,
    OperandError,
    ScalarError,
    ShapeError,
    StaleHandleError,
    ValueTypeError,
)


def leaf(name: str, do: Callable[[World], object], error: type[Exception], message: str) -> Misuse:
    """Before the first op."""
    return Misuse(name, do, error, message, world=fresh)


CASES: list[Misuse] = [
    # values
    leaf("input of text", lambda w: w.s.input("1.0"), ValueTypeError, "input: expected real numbers, got text"),
    leaf("input of a list of text", lambda w: w.s.input(["a", "b"], "names"), ValueTypeError, "input names: expected real numbers, got text"),
    leaf("input of None", lambda w: w.s.input(None), ValueTypeError, "input: expected a number, got None"),
    leaf("input of complex numbers", lambda w: w.s.input([1 + 2j]), ValueTypeError, "input: expected real numbers, got complex numbers"),
    leaf("input of bytes", lambda w: w.s.input(b"12"), ValueTypeError, "input: expected real numbers, got bytes"),
    leaf("input of dates", lambda w: w.s.input(np.array(["2024-01-01"], "datetime64[D]")), ValueTypeError, "input: expected real numbers, got dates"),
    leaf("input of time spans", lambda w: w.s.input(np.array([3], "timedelta64[s]")), ValueTypeError, "input: expected real numbers, got time spans"),
    leaf("input of a ragged list", lambda w: w.s.input([[1.0, 2.0], [3.0]], "x0"), ValueTypeError, "input x0: not an array of numbers: the rows differ in length"),
    leaf("input of booleans", lambda w: w.s.input([True, False], "keep"), ValueTypeError, "input keep: expected real numbers, got booleans; a mask is const(mask) or a comparison, and mask.astype(float) makes numbers of it"),
    leaf("input of True", lambda w: w.s.input(True), ValueTypeError, "input: expected real numbers, got booleans; a mask is const(mask) or a comparison, and mask.astype(float) makes numbers of it"),
    leaf("input of a dict", lambda w: w.s.input({"a": 1.0}), ValueTypeError, "input: expected a number, got dict {'a': 1.0}"),
    leaf("input of a set", lambda w: w.s.input({1.0, 2.0}), ValueTypeError, "input: expected a number, got set {1.0, 2.0}"),
    leaf("input of a generator", lambda w: w.s.input(i for i in range(3)), ValueTypeError, "input: expected a number, got a generator"),
    leaf("input of a structured array", lambda w: w.s.input(np.zeros(2, [("a", float)])), ValueTypeError, "input: expected real numbers, got dtype [('a', '<f8')]"),
    leaf("input of a list with None", lambda w: w.s.input([1.0, None]), ValueTypeError, "input: expected a number, got None"),
    leaf("input of a list with a boolean object", lambda w: w.s.input(np.array([1, True], object)), ValueTypeError, "input: expected a number, got the boolean True"),
    leaf("input of a handle", lambda w: w.s.input(w.x), ValueTypeError, "input: expected an array of numbers, got TensorRef(%1: real[3,4]); it is recorded already"),
    leaf("input of a list of handles", lambda w: w.s.input([w.c, w.c]), ValueTypeError, "input: not an array of numbers: c () [misuse.py:N] is a recorded value, not an array; use ref.value"),
    leaf("input of a param", lambda w: w.s.input(w.W), ValueTypeError, "input: expected an array of numbers, got Param(W: float64[2, 3]); put it into the graph with use(param)"),
    leaf("input of naturals", lambda w: w.s.input(w.labels), ValueTypeError, "input: expected an array of numbers, got NatVecRef(nat[1:4]); it is recorded already"),
    leaf("input too large for a float", lambda w: w.s.input([10**400], "big"), ValueTypeError, "input big: not a value of scalar float64: int too large to convert to float"),
    leaf("add_leaf of text", lambda w: w.s.add_leaf("1.0", "weights"), ValueTypeError, "leaf weights: expected real numbers, got text"),
    leaf("add_leaf of a param", lambda w: w.s.add_leaf(w.W), ValueTypeError, "add_leaf: expected an array of numbers, got Param(W: float64[2, 3]); put it into the graph with use(param)"),
    Misuse("nan in exact rationals", lambda w: w.s.input([1.0, float("nan")], "data"), ValueTypeError, "input data: not a value of scalar rational: nan has no rational value", world=lambda: World("rational", True)),
    Misuse("inf in exact rationals", lambda w: w.s.input(float("inf")), ValueTypeError, "input: not a value of scalar rational: inf has no rational value", world=lambda: World("rational", True)),
    Misuse("nan in a prime field", lambda w: w.s.input(np.nan), ValueTypeError, "input: not a value of scalar modular(7): nan has no rational value", world=lambda: World("modular(7)", True)),
    Misuse("1/7 modulo 7", lambda w: w.s.input(Fraction(1, 7), "seventh"), ScalarError, "input seventh: 1/7 has no value modulo 7: its denominator is divisible by 7", world=lambda: World("modular(7)", True)),
    # names and flags
    leaf("input name", lambda w: w.s.input([1.0], 3), ValueTypeError, "input: the name must be a str or None, got int 3"),
    leaf("add_leaf name", lambda w: w.s.add_leaf([1.0], b"w"), ValueTypeError, "add_leaf: the name must be a str or None, got bytes b'w'"),
    leaf("const name", lambda w: w.s.const([1.0], ["a"]), ValueTypeError, "const: the name must be a str or None, got list ['a']"),
    leaf("param name", lambda w: w.s.param([1.0], 3.5), ValueTypeError, "param: the name must be a str or None, got float 3.5"),
    leaf("input requires_grad as an integer", lambda w: w.s.input([1.0], requires_grad=1), ValueTypeError, "input: requires_grad must be True or False, got int 1"),
    leaf("input requires_grad as None", lambda w: w.s.input([1.0], requires_grad=None), ValueTypeError, "input: requires_grad must be True or False, got None"),
    leaf("param requires_grad as text", lambda w: w.s.param([1.0], requires_grad="yes"), ValueTypeError, "param: requires_grad must be True or False, got str 'yes'"),
    leaf("name in place of requires_grad", lambda w: w.s.input([1.0], "x0", "y0"), ValueTypeError, "input: requires_grad must be True or False, got str 'y0'"),
    # order
    Misuse("input after an op", lambda w: w.s.input([1.0]), LeafAfterNodeError, "input: all leaves come before the first op, and square [misuse.py:N] is recorded already; add the leaf earlier, record a constant with const(), or call reset_tape() first"),
    Misuse("add_leaf after an op", lambda w: w.s.add_leaf([1.0]), LeafAfterNodeError, "add_leaf: all leaves come before the first op, and square [misuse.py:N] is recorded already; add the leaf earlier, record a constant with const(), or call reset_tape() first"),
    Misuse("use after an op", lambda w: w.s.use(w.W), LeafAfterNodeError, "use: all leaves come before the first op, and square [misuse.py:N] is recorded already; add the leaf earlier, record a constant with const(), or call reset_tape() first"),
    Misuse("ensure_no_nodes after ops", lambda w: w.s.ensure_no_nodes(), LeafAfterNodeError, "ensure_no_nodes: all leaves come before the first op, and square [misuse.py:N] is recorded already; add the leaf earlier, record a constant with const(), or call reset_tape() first"),
    # params
    leaf("use of an array", lambda w: w.s.use(np.ones(3)), OperandError, "use: expected a Param, got ndarray of shape (3,); make one with param(init), or pass data with input(value)"),
    leaf("use of a handle", lambda w: w.s.use(w.x), OperandError, "use: expected a Param, got TensorRef(%1: real[3,4]); make one with param(init), or pass data with input(value)"),
    leaf("use of None", lambda w: w.s.use(None), OperandError, "use: expected a Param, got None; make one with param(init), or pass data with input(value)"),
    leaf("use across scalars", lambda w: w.s.use(pt.Session("float32").param([1.0], name="small")), ValueTypeError, "use: Param(small: float32[1]) holds float32, this session runs in float64; make the param with this session's param()"),
    leaf("use of a default param", lambda w: w.s.use(pt.Param([1.0])), ValueTypeError, "use: Param(unnamed: float32[1]) holds float32, this session runs in float64; make the param with this session's param()"),
    leaf("param of text", lambda w: w.s.param("zeros", name="b"), ValueTypeError, "param b: expected real numbers, got text"),
    leaf("param of booleans", lambda w: w.s.param([True], name="b"), ValueTypeError, "param b: expected real numbers, got booleans; a mask is const(mask) or a comparison, and mask.astype(float) makes numbers of it"),
    leaf("param of a handle", lambda w: w.s.param(w.x), ValueTypeError, "param: not an array of numbers: x (3, 4) [misuse.py:N] is a recorded value, not an array; use ref.value"),
    leaf("param of a param", lambda w: w.s.param(w.W, name="W2"), ValueTypeError, "param W2: expected a number, got Param(W: float64[2, 3])"),
    Misuse("param given another shape", lambda w: setattr(w.W, "value", np.ones((3, 2))), ShapeError, "param W: cannot assign shape (3, 2) to a parameter of shape (2, 3); make a new param instead"),
    Misuse("param given a number", lambda w: setattr(w.W, "value", 0.5), ShapeError, "param W: cannot assign shape () to a parameter of shape (2, 3); make a new param instead"),
    Misuse("unnamed param given another shape", lambda w, p: setattr(p, "value", [1.0, 2.0]), ShapeError, "param (unnamed): cannot assign shape (2,) to a parameter of shape (1,); make a new param instead", given=lambda w: w.s.param([1.0])),
    Misuse("param given text", lambda w: setattr(w.W, "value", "zeros"), ValueTypeError, "param W: expected real numbers, got text"),
    Misuse("param given a handle", lambda w: setattr(w.W, "value", w.w), ValueTypeError, "param W: not an array of numbers: W (2, 3) [misuse.py:N] is a recorded value, not an array; use ref.value"),
    Misuse("writing into a param's value", lambda w: w.W.value.__setitem__(0, 7.0), ValueError, "assignment destination is read-only"),
    Misuse("param frozen with an integer", lambda w: setattr(w.W, "requires_grad", 0), ValueTypeError, "param W: requires_grad must be True or False, got int 0"),
    Misuse("standalone param's scalar", lambda w: pt.Param([1.0], scalar="float31"), ScalarError, "unknown scalar 'float31'; known: float32, float64, bfloat16, float16, rational, modular(p)"),
    # constants
    leaf("const of text", lambda w: w.s.const("1.0"), ValueTypeError, "const: expected real numbers, got text"),
    leaf("const of None", lambda w: w.s.const(None), ValueTypeError, "const: expected a number, got None"),
    leaf("const of a handle", lambda w: w.s.const(w.x), ValueTypeError, "const: expected an array of numbers or booleans, got TensorRef(%1: real[3,4]); it is recorded already"),
    leaf("const of a param", lambda w: w.s.const(w.W), ValueTypeError, "const: expected an array of numbers or booleans, got Param(W: float64[2, 3]); put it into the graph with use(param)"),
    leaf("const of numbers and a boolean", lambda w: w.s.const(np.array([1.5, True], object)), ValueTypeError, "const: expected a number, got the boolean True"),
    Misuse("const node of a ragged list", lambda w: w.s.const([[1.0], [2.0, 3.0]]), ValueTypeError, "const: not an array of numbers: the rows differ in length"),
    Misuse("const node of complex numbers", lambda w: w.s.const(1j), ValueTypeError, "const: expected real numbers, got complex numbers"),
    Misuse("const node of nan in rationals", lambda w: w.s.const([np.nan]), ValueTypeError, "const: not a value of scalar rational: nan has no rational value", world=rational),
    Misuse("const node of 1/7 modulo 7", lambda w: w.s.const(Fraction(1, 7)), ScalarError, "const: 1/7 has no value modulo 7: its denominator is divisible by 7", world=modular),
    # naturals
    leaf("negative natural", lambda w: w.s.input_nat(-1), ValueTypeError, "input_nat: expected a natural number 0 <= n < 2^62, got -1"),
    leaf("float natural", lambda w: w.s.input_nat(1.0), ValueTypeError, "input_nat: expected a natural number, got float 1.0; cast it first, e.g. int(n) or labels.astype(int)"),
    leaf("boolean natural", lambda w: w.s.input_nat(True), ValueTypeError, "input_nat: expected a natural number, got bool True"),
    leaf("text natural", lambda w: w.s.input_nat("3"), ValueTypeError, "input_nat: expected a natural number, got str '3'"),
    leaf("None natural", lambda w: w.s.input_nat(None), ValueTypeError, "input_nat: expected a natural number, got None"),
    leaf("huge natural", lambda w: w.s.input_nat(2**62), ValueTypeError, "input_nat: expected a natural number 0 <= n < 2^62, got 4611686018427387904"),
    leaf("natural beyond 64 bits", lambda w: w.s.input_nat(2**70), ValueTypeError, "input_nat: expected a natural number 0 <= n < 2^62, got 1180591620717411303424"),
    leaf("vector as one natural", lambda w: w.s.input_nat([1, 2]), ValueTypeError, "input_nat: expected a natural number, got list [1, 2]"),
    leaf("negative label", lambda w: w.s.input_nat_vec([0, 2, -1]), ValueTypeError, "input_nat_vec: expected a natural number 0 <= n < 2^62, got -1 at position 2"),
    leaf("nan label", lambda w: w.s.input_nat_vec([0, np.nan]), ValueTypeError, "input_nat_vec: expected a natural number, got float nan at position 1; cast it first, e.g. int(n) or labels.astype(int)"),
    leaf("float labels", lambda w: w.s.input_nat_vec(np.array([0.0, 1.0])), ValueTypeError, "input_nat_vec: expected a natural number, got float 0.0 at position 0; cast it first, e.g. int(n) or labels.astype(int)"),
    leaf("float32 labels", lambda w: w.s.input_nat_vec(np.array([0.0, 1.5], np.float32)), ValueTypeError, "input_nat_vec: expected a natural number, got float 0.0 at position 0; cast it first, e.g. int(n) or labels.astype(int)"),
    leaf("boolean labels", lambda w: w.s.input_nat_vec(np.array([True, False])), ValueTypeError, "input_nat_vec: expected a natural number, got bool True at position 0"),
    leaf("one boolean among labels", lambda w: w.s.input_nat_vec([0, True]), ValueTypeError, "input_nat_vec: expected a natural number, got bool True at position 1"),
    leaf("text labels", lambda w: w.s.input_nat_vec(["cat", "dog"]), ValueTypeError, "input_nat_vec: expected a natural number, got str 'cat' at position 0"),
    leaf("text of labels", lambda w: w.s.input_nat_vec("012"), ShapeError, "input_nat_vec: expected a vector of naturals, got str '012'"),
    leaf("None labels", lambda w: w.s.input_nat_vec(None), ShapeError, "input_nat_vec: expected a vector of naturals, got None"),
    leaf("one-hot labels", lambda w: w.s.input_nat_vec(np.eye(3, dtype=int)), ShapeError, "input_nat_vec: expected a vector of naturals, got shape (3, 3); from one-hot rows: rows.argmax(axis=1)"),
    leaf("a number as labels", lambda w: w.s.input_nat_vec(3), ShapeError, "input_nat_vec: expected a vector of naturals, got int 3; input_nat takes a single one"),
    leaf("ragged labels", lambda w: w.s.input_nat_vec([[1], [2, 3]]), ValueTypeError, "input_nat_vec: not a vector of naturals: the rows differ in length"),
    leaf("huge label", lambda w: w.s.input_nat_vec([1, 2**62]), ValueTypeError, "input_nat_vec: expected a natural number 0 <= n < 2^62, got 4611686018427387904 at position 1"),
    leaf("label beyond 64 bits", lambda w: w.s.input_nat_vec([1, 10**30]), ValueTypeError, "input_nat_vec: expected a natural number 0 <= n < 2^62, got 1000000000000000000000000000000 at position 1"),
    leaf("a handle as labels", lambda w: w.s.input_nat_vec(w.v), ValueTypeError, "input_nat_vec: expected a vector of naturals, got TensorRef(%2: real[3]); it is recorded already"),
    leaf("a NatVecRef as labels", lambda w: w.s.input_nat_vec(w.labels), ValueTypeError, "input_nat_vec: expected a vector of naturals, got NatVecRef(nat[1:4]); it is recorded already"),
    Misuse("set_nat to a negative number", lambda w: w.s.set_nat(w.n, -2), ValueTypeError, "set_nat: expected a natural number 0 <= n < 2^62, got -2"),
    Misuse("set_nat to a float", lambda w: w.s.set_nat(w.n, 1.5), ValueTypeError, "set_nat: expected a natural number, got float 1.5; cast it first, e.g. int(n) or labels.astype(int)"),
    Misuse("set_nat of a vector reference", lambda w: w.s.set_nat(w.labels, 1), OperandError, "set_nat: expected a NatRef, got NatVecRef(nat[1:4])"),
    Misuse("set_nat of a slot number", lambda w: w.s.set_nat(0, 1), OperandError, "set_nat: expected a NatRef, got int 0"),
    Misuse("set_nat of a tensor", lambda w: w.s.set_nat(w.c, 1), OperandError, "set_nat: expected a NatRef, got TensorRef(%4: real[])"),
    Misuse("set_nat_vec of another length", lambda w: w.s.set_nat_vec(w.labels, [1, 2]), ShapeError, "set_nat_vec: expected 3 naturals for NatVecRef(nat[1:4]), got 2"),
    Misuse("set_nat_vec of a matrix", lambda w: w.s.set_nat_vec(w.labels, [[1, 2, 3]]), ShapeError, "set_nat_vec: expected a vector of naturals, got shape (1, 3); from one-hot rows: rows.argmax(axis=1)"),
    Misuse("set_nat_vec to floats", lambda w: w.s.set_nat_vec(w.labels, [0.0, 1.0, 2.0]), ValueTypeError, "set_nat_vec: expected a natural number, got float 0.0 at position 0; cast it first, e.g. int(n) or labels.astype(int)"),
    Misuse("set_nat_vec to a negative label", lambda w: w.s.set_nat_vec(w.labels, [0, -5, 2]), ValueTypeError, "set_nat_vec: expected a natural number 0 <= n < 2^62, got -5 at position 1"),
    Misuse("set_nat_vec of one natural", lambda w: w.s.set_nat_vec(w.n, [1]), OperandError, "set_nat_vec: expected a NatVecRef, got NatRef(nat[0])"),
    Misuse("get_nat of a vector", lambda w: w.s.get_nat(w.labels), OperandError, "get_nat: expected a NatRef, got NatVecRef(nat[1:4])"),
    Misuse("get_nat of a tensor", lambda w: w.s.get_nat(w.c), OperandError, "get_nat: expected a NatRef, got TensorRef(%4: real[])"),
    Misuse("get_nat_vec of one natural", lambda w: w.s.get_nat_vec(w.n), OperandError, "get_nat_vec: expected a NatVecRef, got NatRef(nat[0])"),
    Misuse("get_nat of another session", lambda w: w.s.get_nat(w.other_n), ForeignHandleError, "get_nat: NatRef(nat[0]) belongs to another session; record its value in this one, e.g. input_nat(other.get_nat(ref))"),
    Misuse("set_nat of another session", lambda w: w.s.set_nat(w.other_n, 1), ForeignHandleError, "set_nat: NatRef(nat[0]) belongs to another session; record its value in this one, e.g. input_nat(other.get_nat(ref))"),
    Misuse("get_nat after reset", lambda w, n: w.s.get_nat(n), StaleHandleError, "get_nat: NatRef(nat[0]) is from before reset_tape() (generation 0, now 1); record it again", given=lambda w: (w.n, w.s.reset_tape(), w.s.use(w.W))[0]),
    Misuse("nat_at of a float", lambda w: w.s.nat_at(1.5), ValueTypeError, "nat_at: expected an integer slot, got float 1.5"),
    Misuse("nat_vec_at of a negative length", lambda w: w.s.nat_vec_at(0, -1), ValueTypeError, "nat_vec_at: length: expected a natural number 0 <= n < 2^62, got -1"),
]  # fmt: skip

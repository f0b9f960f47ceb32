# ruff: noqa: E501 - a message is easier to review on one line
"""Misuse of indexing, and of handles as if they were numbers."""

from __future__ import annotations

import numpy as np
from misuse import Misuse

from prooftape.errors import IndexRangeError, OperandError, ShapeError

CASES: list[Misuse] = [
    Misuse("index beyond the end", lambda w: w.v[3], IndexRangeError, "indexing v (3,) [misuse.py:N]: index 3 is out of range for axis 0 of length 3"),
    Misuse("index before the beginning", lambda w: w.v[-4], IndexRangeError, "indexing v (3,) [misuse.py:N]: index -4 is out of range for axis 0 of length 3"),
    Misuse("second index beyond the end", lambda w: w.x[0, 4], IndexRangeError, "indexing x (3, 4) [misuse.py:N]: index 4 is out of range for axis 1 of length 4"),
    Misuse("too many indices", lambda w: w.x[0, 0, 0], IndexRangeError, "indexing x (3, 4) [misuse.py:N]: got more indices, 3, than it has axes, 2"),
    Misuse("indexing a scalar", lambda w: w.c[0], IndexRangeError, "indexing c () [misuse.py:N]: got more indices, 1, than it has axes, 0"),
    Misuse("indexing an empty axis", lambda w: w.empty[0], IndexRangeError, "indexing empty (0, 4) [misuse.py:N]: index 0 is out of range for axis 0 of length 0"),
    Misuse("text index", lambda w: w.x["a"], OperandError, "indexing x (3, 4) [misuse.py:N]: cannot index with str 'a'; use integers, slices of step 1, None and Ellipsis, or a single list of integers, NatRef or NatVecRef"),
    Misuse("float index", lambda w: w.v[1.0], OperandError, "indexing v (3,) [misuse.py:N]: cannot index with float 1.0; use integers, slices of step 1, None and Ellipsis, or a single list of integers, NatRef or NatVecRef"),
    Misuse("boolean index", lambda w: w.v[True], OperandError, "indexing v (3,) [misuse.py:N]: cannot index with bool True; use integers, slices of step 1, None and Ellipsis, or a single list of integers, NatRef or NatVecRef"),
    Misuse("two ellipses", lambda w: w.t3[..., 0, ...], OperandError, "indexing t3 (2, 3, 4) [misuse.py:N]: more than one Ellipsis"),
    Misuse("slice with a step", lambda w: w.v[::2], OperandError, "indexing v (3,) [misuse.py:N]: a slice takes step 1, got slice(None, None, 2); the first axis takes a list of indices"),
    Misuse("slice backwards", lambda w: w.v[::-1], OperandError, "indexing v (3,) [misuse.py:N]: a slice takes step 1, got slice(None, None, -1); the first axis takes a list of indices"),
    Misuse("slice with step 0", lambda w: w.v[0:2:0], OperandError, "indexing v (3,) [misuse.py:N]: a slice takes integers or None, and step 1, got slice(0, 2, 0)"),
    Misuse("slice with text bounds", lambda w: w.v["a":"b"], OperandError, "indexing v (3,) [misuse.py:N]: a slice takes integers or None, and step 1, got slice('a', 'b', None)"),
    Misuse("slice with float bounds", lambda w: w.v[0.0:2.0], OperandError, "indexing v (3,) [misuse.py:N]: a slice takes integers or None, and step 1, got slice(0.0, 2.0, None)"),
    Misuse("slice with a handle as bound", lambda w: w.v[: w.c], OperandError, "indexing v (3,) [misuse.py:N]: a slice takes integers or None, and step 1, got slice(None, TensorRef(%4: real[]), None)"),
    Misuse("slice with a natural as bound", lambda w: w.v[: w.n], OperandError, "indexing v (3,) [misuse.py:N]: a slice takes integers or None, and step 1, got slice(None, NatRef(nat[0]), None)"),
    Misuse("list with an index beyond the end", lambda w: w.v[[0, 3]], IndexRangeError, "indexing v (3,) [misuse.py:N]: index 3 is out of range for axis 0 of length 3"),
    Misuse("list with an index before the beginning", lambda w: w.x[[-4]], IndexRangeError, "indexing x (3, 4) [misuse.py:N]: index -4 is out of range for axis 0 of length 3"),
    Misuse("list of lists", lambda w: w.x[[[0], [1]]], OperandError, "indexing x (3, 4) [misuse.py:N]: expected a vector of integers, got int64 of shape (2, 1)"),
    Misuse("list of floats", lambda w: w.v[[0.0, 1.0]], OperandError, "indexing v (3,) [misuse.py:N]: expected a vector of integers, got float64 of shape (2,)"),
    Misuse("list of booleans", lambda w: w.v[[True, False, True]], OperandError, "indexing v (3,) [misuse.py:N]: a mask picks a number of rows that is not known while recording; use where(mask, x, zeros), or a list of integers"),
    Misuse("boolean array", lambda w: w.v[np.array([True, False, True])], OperandError, "indexing v (3,) [misuse.py:N]: a mask picks a number of rows that is not known while recording; use where(mask, x, zeros), or a list of integers"),
    Misuse("ragged list", lambda w: w.v[[[0], [1, 2]]], OperandError, "indexing v (3,) [misuse.py:N]: not an array of numbers: the rows differ in length"),
    Misuse("list of text", lambda w: w.v[["a"]], OperandError, "indexing v (3,) [misuse.py:N]: expected a vector of integers, got <U1 of shape (1,)"),
    Misuse("list on a scalar", lambda w: w.c[[0]], IndexRangeError, "indexing c () [misuse.py:N]: it has rank 0 and no rows"),
    Misuse("list among indices", lambda w: w.x[0, [1, 2]], OperandError, "indexing x (3, 4) [misuse.py:N]: cannot index with list [1, 2]; use integers, slices of step 1, None and Ellipsis, or a single list of integers, NatRef or NatVecRef"),
    Misuse("array of rank 0", lambda w: w.v[np.array(1.5)], OperandError, "indexing v (3,) [misuse.py:N]: cannot index with ndarray 1.5; use integers, slices of step 1, None and Ellipsis, or a single list of integers, NatRef or NatVecRef"),
    Misuse("mask handle as index", lambda w: w.v[w.mask], OperandError, "indexing v (3,) [misuse.py:N]: cannot index with TensorRef(%10: bool[3]); use integers, slices of step 1, None and Ellipsis, or a single list of integers, NatRef or NatVecRef"),
    Misuse("handle as index", lambda w: w.v[w.c], OperandError, "indexing v (3,) [misuse.py:N]: cannot index with TensorRef(%4: real[]); use integers, slices of step 1, None and Ellipsis, or a single list of integers, NatRef or NatVecRef"),
    Misuse("Param as index", lambda w: w.v[w.W], OperandError, "indexing v (3,) [misuse.py:N]: cannot index with Param(W: float64[2, 3]); use integers, slices of step 1, None and Ellipsis, or a single list of integers, NatRef or NatVecRef"),
    Misuse("set as index", lambda w: w.v[{0}], OperandError, "indexing v (3,) [misuse.py:N]: cannot index with set {0}; use integers, slices of step 1, None and Ellipsis, or a single list of integers, NatRef or NatVecRef"),
    Misuse("natural on a scalar", lambda w: w.c[w.n], ShapeError, "gather_row_ref: operand x has rank 0, expected rank 2 or more: x = c () [misuse.py:N]; gather_scalar_ref takes a vector"),
    Misuse("naturals on a scalar", lambda w: w.c[w.labels], ShapeError, "gather_rows_ref: operand x has rank 0, expected rank 2 or more: x = c () [misuse.py:N]; gather_vec_ref takes a vector"),
    Misuse("natural among indices", lambda w: w.x[w.n, 0], OperandError, "indexing x (3, 4) [misuse.py:N]: cannot index with NatRef(nat[0]); use integers, slices of step 1, None and Ellipsis, or a single list of integers, NatRef or NatVecRef"),
    Misuse("value indexed after NumPy's rules", lambda w: w.v.value[7], IndexError, "index 7 is out of bounds for axis 0 with size 3"),
    Misuse("== a number", lambda w: w.v == 0, OperandError, "v (3,) [misuse.py:N] == int 0: == tells whether two handles are the same one; the mask is session.equal(a, b), with the numbers as a constant: b = session.const(b)"),
    Misuse("!= a number", lambda w: w.v != 1.5, OperandError, "v (3,) [misuse.py:N] == float 1.5: == tells whether two handles are the same one; the mask is session.equal(a, b), with the numbers as a constant: b = session.const(b)"),
    Misuse("an array == a handle", lambda w: np.ones(3) == w.v, OperandError, "v (3,) [misuse.py:N] == ndarray of shape (3,): == tells whether two handles are the same one; the mask is session.equal(a, b), with the numbers as a constant: b = session.const(b)"),
    Misuse("== of two handles as a mask", lambda w: w.s.where(w.c == w.loss, w.c, w.loss), OperandError, "where: operand mask: expected a TensorRef, got bool False; a mask is a boolean array, or a comparison such as greater(x, y)"),
    Misuse("format with a specification", lambda w: f"{w.loss:.3f}", OperandError, "%12 () [misuse.py:N] is a recorded value, not a number; format ref.item()"),
]  # fmt: skip

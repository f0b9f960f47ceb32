"""Data copies and pickles, here and into another process; what belongs to one session refuses, saying why."""

from __future__ import annotations

import copy
import os
import pickle
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import prooftape as pt
from prooftape.literal import Literal
from prooftape.ops import find, table
from prooftape.testing import opaque_rationals
from prooftape.testing.values import draw, record
from prooftape.types import BOOL

READ_IN_ANOTHER_PROCESS = """
import pickle, sys
import numpy as np
from prooftape import Session
s = Session("float64")
x = s.input([1.0, 2.0])
s.where([True, False], s.scale(x + np.array([1.0, 2.5]), 0.5), x)
tape, literal = pickle.load(sys.stdin.buffer)
assert list(tape.instrs) == list(s.compile_tape().instrs), str(tape)
assert literal == s.graph.nodes[0].call.literal("value") and hash(literal) == hash(
    s.graph.nodes[0].call.literal("value"))
"""


def one_op(name: str) -> pt.Session:
    """A session that records one sample of an op."""
    op, rng = find(name), random.Random(name)
    s = pt.Session("float64")
    sample = next(iter(op.samples()))
    values = [(draw(rng, o), o.kind) for o in sample.operands]
    operands = [s.const(v) if kind == "mask" else s.input(v) for v, kind in values]
    given = {a.name: a.default for a in op.attrs} | sample.attrs
    record(s, op, operands, tuple(given.values()), sample.nats)
    return s


@pytest.mark.parametrize("name", sorted(table()))
def test_a_tape_is_data(name: str) -> None:
    tape = one_op(name).compile_tape()
    for same in (pickle.loads(pickle.dumps(tape)), copy.copy(tape), copy.deepcopy(tape)):
        assert same.n_leaves == tape.n_leaves
        assert list(same.instrs) == list(tape.instrs)
        assert same.instrs[0].call.op is find(name)


def test_a_tape_reads_back_in_another_process() -> None:
    s = pt.Session("float64")
    x = s.input([1.0, 2.0])
    s.where([True, False], s.scale(x + np.array([1.0, 2.5]), 0.5), x)
    literal = s.graph.nodes[0].call.literal("value")
    assert isinstance(literal, Literal)
    hash(literal)  # what is stored must not travel
    data = pickle.dumps((s.compile_tape(), literal))
    env = {**os.environ, "PYTHONPATH": str(Path(pt.__file__).parents[1]), "PYTHONHASHSEED": "random"}
    subprocess.run(
        [sys.executable, "-c", READ_IN_ANOTHER_PROCESS], input=data, check=True, timeout=60, env=env
    )


def test_an_op_is_pickled_by_name() -> None:
    add = find("add")
    assert pickle.loads(pickle.dumps(add)) is copy.deepcopy(add) is copy.copy(add) is add
    with pytest.raises(pickle.PicklingError, match=r"op 'add' is not in the table; register\(op\) adds it"):
        pickle.dumps(replace(add, _calls={}))


@pytest.mark.parametrize("scalar", ["float32", "float64", "float16", "rational", "modular(101)"])
def test_a_parameter_is_pickled_with_its_scalar(scalar: str) -> None:
    p = pt.Session(scalar).param([1, 2], name="p", requires_grad=False)
    for same in (pickle.loads(pickle.dumps(p)), copy.deepcopy(p)):
        assert (same.name, same.requires_grad) == ("p", False)
        assert same.scalar is p.scalar
        assert same.value.tolist() == p.value.tolist()
        assert same.value.dtype == p.value.dtype


def test_a_scalar_without_a_name_to_be_found_by_is_not_pickled() -> None:
    with pytest.raises(pickle.PicklingError, match="is not one of the scalars that go by name: float32"):
        pickle.dumps(opaque_rationals())


def test_a_session_is_neither_copied_nor_pickled() -> None:
    """A shallow copy would append to the lists of the original."""
    s = pt.Session()
    s.neg(s.input([1.0]))
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match=r"neither copied nor pickled: keep session\.graph"):
            attempt(s)
    assert len(s) == 2


def test_a_state_is_pickled() -> None:
    s = pt.Session("rational")
    s.gather_row_ref(s.input([[1, 2], [3, 4]]), s.input_nat(1))
    assert pickle.loads(pickle.dumps(s.state)) == s.state


def test_a_handle_is_its_own_copy_and_is_not_pickled() -> None:
    s = pt.Session()
    x, n, v = s.input([1.0]), s.input_nat(1), s.input_nat_vec([1, 2])
    net = {"x": x, "labels": [n, v]}
    assert copy.copy(x) is x
    assert copy.deepcopy(net) == net
    assert s.neg(copy.deepcopy(x)).value.tolist() == [-1.0]
    for ref in (x, n, v):
        with pytest.raises(TypeError, match=r"means nothing without its session and is not pickled"):
            pickle.dumps(ref)


@pytest.mark.parametrize(
    "first", ["operator", "left operator", "matmul", "mask", "attention mask", "comparison"]
)
def test_an_array_operand_of_the_first_op_is_a_node(first: str) -> None:
    """As a leaf it would shift the list of tangents: one per leaf the user made."""
    array = np.array([[1.0, 2.0], [3.0, 4.0]])
    s = pt.Session("float64")
    x = s.input(array)
    calls = {
        "operator": lambda: x * array,
        "left operator": lambda: array - x,
        "matmul": lambda: array @ x,
        "mask": lambda: s.where(array > 2, x, x),
        "attention mask": lambda: s.multi_head_attention(x, x, x, x, x, mask=array > 0, num_heads=1),
        "comparison": lambda: s.where(x > array, x, x),
    }
    out = calls[first]()
    assert len(s.graph.leaves) == 1
    assert s.graph.nodes[0].op in ("const", "const_mask")
    assert s.graph.nodes[0].type.dtype == (BOOL if "mask" in first else "real")
    assert s.jvp_dense_all(out, [array]).shape == out.shape
    before = out.value.copy()
    array[:] = 9.0  # the recorded constant is a copy
    assert (out.value == before).all()


def test_a_constant_that_was_asked_for_is_a_leaf_before_the_first_op() -> None:
    s = pt.Session()
    s.const([1.0])
    s.const([True])
    assert [leaf.kind for leaf in s.graph.leaves] == ["const", "const"]
    s.neg(s.mk_idx(0))
    s.const([1.0])
    assert len(s.graph.leaves) == 2

"""Vectors of naturals from users: the quick way says the same as the slow one."""

from __future__ import annotations

import numpy as np
import pytest

import prooftape as pt
from prooftape.errors import ProofTapeError, RuleError
from prooftape.naturals import INT32, INT64, counted
from prooftape.ops import table
from prooftape.types import TensorType

SIZES = (1, 3, 256, 257, 1000)


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "int16", "uint64", ">i8"])
@pytest.mark.parametrize("size", SIZES)
def test_counts_the_largest_and_copies(dtype: str, size: int) -> None:
    given = (np.arange(size) % 100).astype(dtype)
    for format in (INT64, INT32):
        found, top = counted(given, "labels", format)
        assert found.dtype == format
        assert top == min(size, 100) - 1
        assert found.tolist() == given.tolist()
        assert not np.shares_memory(found, given)


@pytest.mark.parametrize("bad", [-1, -(2**31), -(2**63), 2**62])
@pytest.mark.parametrize("size", SIZES)
def test_refuses_what_is_no_natural_wherever_it_stands(bad: int, size: int) -> None:
    for dtype in ("int64", "int32"):
        if not np.iinfo(dtype).min <= bad <= np.iinfo(dtype).max:
            continue
        given = np.ones(size, dtype)
        given[size // 2] = bad
        with pytest.raises(ProofTapeError, match=f"position {size // 2}"):
            counted(given, "labels")


def test_keeps_what_32_bits_do_not_hold_in_64() -> None:
    found, top = counted(np.array([0, 2**31]), "labels", INT32)
    assert found.dtype == INT64
    assert top == 2**31
    assert counted([], "labels", INT32)[1] == -1


def test_the_bound_that_an_op_states_is_the_one_its_check_has() -> None:
    checked = [op for op in table().values() if op.nats_below is not None]
    assert {op.name for op in checked} == {op.name for op in table().values() if op.record_check is not None}
    for op in checked:
        assert op.nats_below is not None
        assert op.record_check is not None
        for sample in op.samples():
            types = tuple([TensorType.of(x.shape) for x in sample.operands])
            sizes = tuple(map(len, sample.nats))
            call = op.bind(types, (), sizes)
            end = op.nats_below(call)
            op.record_check(call, [np.full(sizes[0], end - 1)])
            with pytest.raises(RuleError):
                op.record_check(call, [np.full(sizes[0], end)])


def test_a_label_out_of_range_is_found_while_replaying() -> None:
    s = pt.Session()
    for labels in ([0, 1], [1, 2], [2, 0]):
        s.reset_tape()
        s.cross_entropy(s.input(np.zeros((2, 3)), "x"), s.input_nat_vec(labels))
    s.reset_tape()
    x = s.input(np.zeros((2, 3)), "x")
    with pytest.raises(ProofTapeError, match="label 3 at position 1"):
        s.cross_entropy(x, s.input_nat_vec([2, 3]))

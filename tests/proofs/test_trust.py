"""`trust` and `require="proved"`: what a gradient rests on is told op by op, and can be insisted on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

import prooftape as pt
import prooftape.ops
from prooftape.certificates.trust import COLUMNS, Row, Trust, trust
from prooftape.errors import TrustError, ValueTypeError
from prooftape.ops import find, table
from prooftape.theory.contents import facts_of, op_facts, proved_ops


@pytest.fixture
def twice() -> Iterator[pt.Op]:
    """An op from outside the theory, registered for one test."""
    op = pt.register(replace(find("neg"), name="twice", _calls={}))
    yield op
    del prooftape.ops._outside["twice"]


def recorded(scalar: str = "float32") -> tuple[pt.Session, pt.TensorRef]:
    s = pt.Session(scalar)
    x = s.input([1.0, 2.0], name="x", requires_grad=True)
    return s, s.sum(s.mul(s.relu(x), s.detach(s.mul(x, x))))


# -- the table ----------------------------------------------------------------------------------------------
def test_one_row_for_each_op_that_is_used() -> None:
    s, _ = recorded()
    found = s.trust()
    assert isinstance(found, Trust) and len(found) == 4
    assert {r.op: r.nodes for r in found} == {"relu": 1, "mul": 2, "detach": 1, "sum": 1}
    rows = {r.op: r for r in found}
    assert rows["mul"] == Row(
        op="mul",
        nodes=2,
        link="proved",
        adjoint="proved",
        derivative="proved: everywhere",
        exact_tested="tested",
        tail_accuracy="no tail: arithmetic alone",
        kernel="tested: NumPy float32",
    )
    assert rows["relu"].derivative == "proved: where relu_side holds"
    assert rows["detach"].derivative == "proved: 0 by definition"
    assert found[0] == found.rows[0] and found.weakest == found[-1]


def test_it_prints_as_a_table_that_ends_with_the_weakest_link() -> None:
    s = pt.Session("float64")
    s.exp(s.neg(s.input(1.0)))
    lines = str(s.trust()).splitlines()
    assert lines == s.trust().lines() and len(lines) == 4
    assert [name for name in COLUMNS if name not in lines[0]] == []
    assert lines[1].split()[:4] == ["neg", "1", "proved", "proved"]
    assert lines[2].split()[:4] == ["exp", "1", "proved", "proved"]
    assert lines[2].startswith("exp  1      proved  proved   proved: everywhere  tested        tested: ")
    assert lines[3] == "weakest link: exp, tested in exact-tested, tail accuracy, kernel"
    assert repr(s.trust()) == f"<trust: 2 ops; {lines[3]}>"
    starts = [lines[0].index(name) for name in COLUMNS]
    for line in lines[1:3]:  # every cell starts below its heading
        assert all(line[k] != " " and line[k - 1 : k] in (" ", "") for k in starts)


def test_a_graph_without_ops_has_nothing_to_trust() -> None:
    s = pt.Session()
    s.input(1.0)
    assert len(s.trust()) == 0 and s.trust().weakest is None
    assert str(s.trust()) == "no ops: nothing to trust" and repr(s.trust()) == "<trust: no ops>"


def test_an_op_from_outside_comes_last(twice: pt.Op) -> None:
    s = pt.Session()
    s.exp(s.apply("twice", s.log(s.input(1.0))))
    weakest = s.trust().weakest
    assert weakest is not None and weakest.op == "twice"
    assert (weakest.adjoint, weakest.derivative, weakest.exact_tested) == ("assumed",) * 3
    assert str(s.trust()).splitlines()[-1] == (
        "weakest link: twice, assumed in adjoint, derivative, exact-tested"
    )


def test_the_name_of_a_proved_op_is_not_enough() -> None:
    wrong = replace(find("relu"), vjp=find("neg").vjp, _calls={})
    s = pt.Session()
    x = s.input(1.0, requires_grad=True)
    y = s.apply(wrong, s.relu(x))
    assert facts_of(find("relu")) is op_facts()["relu"] and facts_of(wrong) is None
    assert [(r.op, r.adjoint) for r in s.trust()] == [("relu", "proved"), ("relu", "assumed")]
    with pytest.raises(TrustError) as caught:
        s.backward_scalar_dense_all(y, require="proved")
    assert (caught.value.op, caught.value.node) == ("relu", 2)


def test_rows_are_ordered_by_how_much_is_assumed_then_tested() -> None:
    def row(op: str, adjoint: str, kernel: str) -> Row:
        return Row(op, 1, "proved", adjoint, "proved", "tested", "no tail", kernel)

    rows = [row("d", "assumed", "proved"), row("c", "tested", "tested"), row("b", "proved", "tested")]
    rows += [
        row("a", "proved", "tested"),
        row("e", "checked: so far", "tested"),
        row("f", "proved", "proved"),
    ]
    assert [r.op for r in Trust(rows)] == ["f", "a", "b", "e", "c", "d"]
    assert Trust(rows).lines()[-1] == "weakest link: d, assumed in adjoint"
    assert Trust(rows[1:]).lines()[-1] == "weakest link: c, tested in adjoint, exact-tested, kernel"


@pytest.mark.parametrize(
    ("scalar", "tail", "kernel"),
    [
        ("float64", "tested: ", "tested: NumPy float64"),
        ("bfloat16", "assumed: 16 bits", "tested: NumPy bfloat16"),
        ("rational", "no tail: exact numbers", "tested: rational"),
    ],
)
def test_the_scalar_decides_what_rounds(scalar: str, tail: str, kernel: str) -> None:
    s = pt.Session()
    s.exp(s.input(1.0))
    (row,) = trust(s.graph, scalar)
    assert row.tail_accuracy.startswith(tail) and row.kernel == kernel


def test_nothing_is_a_derivative_in_a_prime_field() -> None:
    s = pt.Session(pt.modular(7))
    s.square(s.input([3]))
    (row,) = s.trust()
    assert (row.adjoint, row.derivative) == ("proved", "no limits in a prime field")
    assert trust(s.graph, "rational")[0].derivative == "proved: everywhere"


def test_a_remark_on_accuracy_is_no_promise() -> None:
    def tail(op: str) -> str:
        s = pt.Session()
        x = s.input(np.ones((2, 2)))
        s.apply(op, *[x] * len(find(op).operands))
        return s.trust()[0].tail_accuracy

    assert tail("matmul") == "no tail: arithmetic alone, sums in the order of the BLAS library"
    assert tail("mul") == "no tail: arithmetic alone"
    assert tail("sqrt").startswith("tested: derivative within 4 ulp")
    s = pt.Session()
    x = s.input(np.ones((2, 2)))
    s.layer_norm(x, s.const(np.ones(2)), s.const(np.ones(2)))
    assert s.trust().weakest is not None and s.trust()[-1].tail_accuracy == "assumed: no bound promised"


def test_the_theory_knows_every_op_of_the_table() -> None:
    assert proved_ops() == set(table())
    for name, op in table().items():
        facts = facts_of(op)
        assert facts is not None and facts.name == name
        assert facts.file.startswith("Ops/") and facts.side
        assert not (facts.everywhere and facts.never)


# -- require="proved" ---------------------------------------------------------------------------------------
def test_a_proved_graph_gives_the_same_gradient() -> None:
    s, loss = recorded()
    x = s.ref(0)
    plain = s.backward_scalar_dense_all(loss)[x]
    assert np.array_equal(s.backward_scalar_dense_all(loss, require="proved")[x], plain)
    seeded = s.backward_dense_all(s.ref(1), np.ones(2, np.float32), require="proved")
    assert np.array_equal(seeded[x], [1.0, 1.0])


def test_an_unproved_op_on_the_way_is_named(twice: pt.Op) -> None:
    s = pt.Session()
    x = s.input([1.0, 2.0], name="x", requires_grad=True)
    loss = s.sum(s.square(s.apply("twice", s.neg(x))))
    for name, call in (
        ("backward_scalar_dense_all", lambda: s.backward_scalar_dense_all(loss, require="proved")),
        ("backward_dense_all", lambda: s.backward_dense_all(loss, 1.0, require="proved")),
    ):
        with pytest.raises(TrustError) as caught:
            call()
        assert (caught.value.op, caught.value.node) == ("twice", 2)
        message = str(caught.value)
        assert message.startswith(f'{name}: require="proved", but twice (%2 (2,) [test_trust.py:')
        assert message.endswith(
            ") is not an op of the theory; its rules are tested at best: add its Rocq file "
            "(docs/adding-an-op.md), or drop `require`"
        )
    assert isinstance(caught.value, ValueError) and pt.errors.TrustError is TrustError
    assert np.array_equal(s.backward_scalar_dense_all(loss)[x], [2.0, 4.0])


def test_an_unproved_op_off_the_way_does_not_matter(twice: pt.Op) -> None:
    s = pt.Session()
    x = s.input([1.0, 2.0], requires_grad=True)
    before = s.sum(s.square(x))
    s.apply("twice", x)
    after = s.sum(x)
    for loss in (before, after):
        assert s.backward_scalar_dense_all(loss, require="proved")[x].shape == (2,)
    assert s.backward_dense_all(x, [1.0, 1.0], require="proved")[x].shape == (2,)  # a leaf has no way


@pytest.mark.parametrize("value", ["checked", "Proved", True, 1])
def test_another_level_is_not_asked_for(value: object) -> None:
    s, loss = recorded()
    with pytest.raises(ValueTypeError) as caught:
        s.backward_scalar_dense_all(loss, require=value)  # type: ignore[arg-type]
    shown = f"{type(value).__name__} {value!r}"
    assert str(caught.value) == (f'backward_scalar_dense_all: require must be "proved" or None, got {shown}')

"""Graph text: every graph prints and parses back equal; anything else is refused, naming line and column."""

from __future__ import annotations

import random
import time
from fractions import Fraction

import graph_cases as cases
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refused_texts import HEAD, REFUSED

from prooftape.attributes import attr_key
from prooftape.errors import GraphError, GraphParseError
from prooftape.graph import Graph, Leaf
from prooftape.graph_text import quote
from prooftape.literal import Literal
from prooftape.numbers import format_number, parse_number
from prooftape.ops import find
from prooftape.session import Session
from prooftape.types import TensorType


# -- what is printed ------------------------------------------------------------------------------------
def test_the_form() -> None:
    s = Session("float64")
    x = s.input(np.ones((2, 3)), "x")
    w = s.use(s.param(np.ones((2, 3)), name="w"))
    mask = s.const(np.array([[True, False, True], [False, False, True]]))
    s.input_nat_vec([0, 1, 1])
    y = s.clamp(s.mul(x, w), -1.0, Fraction(1, 2))
    s.where(mask, y, s.const([[0.5, -0.0, np.nan], [np.inf, 1e-300, 3.0]]))
    assert s.graph.text() == (
        "prooftape graph 1\n"
        "nats 3\n"
        '%0: input real[2,3] "x"\n'
        '%1: param real[2,3] "w" requires_grad\n'
        "%2: const bool[2,3]\n"
        "%3 = mul(%0, %1) : real[2,3]\n"
        "%4 = clamp(%3, lo=-1.0, hi=1/2) : real[2,3]\n"
        "%5 = const(value=real[2,3]{0.5, -0.0, nan, inf, 1e-300, 3.0}) : real[2,3]\n"
        "%6 = where(%2, %4, %5) : real[2,3]\n"
    )
    assert Graph.parse(s.graph.text()) == s.graph


def test_the_empty_graph() -> None:
    assert Graph().text() == "prooftape graph 1\nnats 0\n"
    assert Graph.parse("prooftape graph 1\nnats 0") == Graph()


# -- round trips ----------------------------------------------------------------------------------------
def round_trip(graph: Graph) -> None:
    text = graph.text()
    again = Graph.parse(text)
    assert again == graph
    assert again.text() == text
    again.check()


@pytest.mark.parametrize("call", cases.every_call(), ids=lambda c: c.op.name)
def test_every_op_in_every_sample(call: object) -> None:
    round_trip(cases.graph_of([call]))  # type: ignore[list-item]


@pytest.mark.parametrize("call", cases.every_call(), ids=lambda c: c.op.name)
def test_canonical_attributes_bind_to_themselves(call: cases.Call) -> None:
    again = call.op.bind(call.types, call.attrs, call.nat_sizes)
    assert again == call
    assert list(map(attr_key, again.attrs)) == list(map(attr_key, call.attrs))


@given(st.randoms(use_true_random=False), st.integers(0, 12))
def test_random_graphs(rng: random.Random, size: int) -> None:
    round_trip(cases.random_graph(rng, size))


@given(st.text(st.characters(codec=None), max_size=20) | st.sampled_from(cases.NAMES).filter(bool))
def test_any_name(name: str) -> None:
    graph = Graph(
        [Leaf(TensorType.of((2,)), name, True, "leaf"), Leaf(TensorType.of(()), None, False, "input")]
    )
    assert len(graph.text().splitlines()) == 4  # a name cannot break its line, whatever counts as a line end
    graph.text().encode()
    round_trip(graph)


def test_what_names_look_like() -> None:
    assert quote("γ ü_1") == '"γ ü_1"'
    assert quote('a"b\\c\n\r\t\x00\x85\u2028\ud800😀') == r'"a\"b\\c\n\r\t\x00\x85\u2028\ud800\U0001f600"'


NUMBERS = st.one_of(
    st.integers(), st.floats(), st.fractions(), st.integers(10**5000, 10**5001),
    st.sampled_from([0.0, -0.0, float("inf"), float("-inf"), float("nan"), 5e-324]),
    st.sampled_from([Fraction(-(7**6000), 3**9000), -(9**9999)]),
)  # fmt: skip


@given(NUMBERS)
def test_numbers_are_exact(value: int | float | Fraction) -> None:
    again = parse_number(format_number(value))
    assert type(again) is type(value)
    assert attr_key(again) == attr_key(value)


@given(NUMBERS)
def test_number_attributes(value: int | float | Fraction) -> None:
    t = TensorType.of((2,))
    round_trip(cases.graph_of([find("scale").bind((t,), (value,))]))


@given(
    st.lists(st.floats() | st.floats(width=32), max_size=6),
    st.sampled_from([np.float64, np.float32, np.float16]),
)
def test_float_literals(values: list[float], dtype: type) -> None:
    with np.errstate(over="ignore"):
        array = np.array(values, dtype)
    round_trip(cases.graph_of([find("const").bind((), (array,))]))


@given(st.lists(st.fractions() | st.integers(), max_size=6), st.booleans())
def test_exact_literals(values: list[Fraction], column: bool) -> None:
    array = np.empty(len(values), object)
    array[:] = values
    round_trip(cases.graph_of([find("const").bind((), (array.reshape(-1, 1) if column else array,))]))


@given(st.lists(st.booleans(), max_size=6))
def test_mask_literals(values: list[bool]) -> None:
    round_trip(cases.graph_of([find("const_mask").bind((), (np.array(values, bool),))]))


def test_all_nans_are_one_literal() -> None:
    other = np.array([0x7FF8000000000001], np.uint64).view(np.float64)
    assert Literal(other) == Literal(np.array([np.nan]))
    assert Literal(np.array([0.0])) != Literal(np.array([-0.0]))


# -- what is read ---------------------------------------------------------------------------------------
def test_spaces_comments_blank_lines_and_line_ends() -> None:
    want = Graph.parse(HEAD + "%2 = scale(%1, c=-1/2) : real[2,3]\n%3 = add(%0, %2) : real[2,3]\n")
    loose = (
        '\n# made by hand\nprooftape graph 1 # version\r\n\r\n nats 3#three\r\n%0: input real[ 2 , 3 ] "x"\n'
        '\t%1 :param real[2,3]"w" requires_grad # trained\n'
        "   # the ops\n"
        "%2=scale ( %1 , c = -2/4 ):real[2,3]\n"
        "%3 = add(%0,%2) : real[2,3] # = scale(%1, c=1) : real[]"
    )
    assert Graph.parse(loose) == want


def test_attributes_in_any_order_and_in_canonical_form() -> None:
    a = Graph.parse(HEAD + "%2 = clamp(%0, hi=1, lo=0) : real[2,3]")
    assert a == Graph.parse(HEAD + "%2 = clamp(%0, lo=0, hi=1) : real[2,3]")


@pytest.mark.parametrize(("text", "reason"), REFUSED, ids=range(len(REFUSED)))
def test_refused_naming_line_and_column(text: str, reason: str) -> None:
    with pytest.raises(GraphParseError) as caught:
        Graph.parse(text)
    assert str(caught.value) == f"graph text, {reason}"


def test_only_text_is_parsed() -> None:
    with pytest.raises(GraphParseError, match=r"^graph text: expected a str, got bytes$"):
        Graph.parse(b"prooftape graph 1")  # type: ignore[arg-type]


# -- any text at all ------------------------------------------------------------------------------------
SNIPPETS = st.sampled_from(
    [*"%=:()[]{},\"\\#/-. \n\r\x00\ud800é0", "%0", "%1", "%9", "nat[0:1]", "nat[0:9]", "real", "bool",
     "real[2]", "none", "true", "nan", "inf", "1e999", "-0.0", "1/3", "0x1f", "[1,2]", "[[0,1]]", "[]",
     "axis=", "c=",     "requires_grad", "leaf", "99999999999999999999", "1e3"]
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> str:
    rng = draw(st.randoms(use_true_random=False))
    text = cases.random_graph(rng, draw(st.integers(1, 4))).text()
    for _ in range(draw(st.integers(1, 3))):
        at, size = draw(st.integers(0, len(text))), draw(st.integers(0, 8))
        text = text[:at] + draw(SNIPPETS | st.text(max_size=3)) + text[at + size :]
    return text


@given(mutated() | st.text())
@settings(max_examples=150)
def test_mutated_text_parses_to_a_good_graph_or_is_refused(text: str) -> None:
    try:
        graph = Graph.parse(text)
    except GraphError as e:
        assert str(e).startswith("graph text, line ")
        return
    round_trip(graph)


@pytest.mark.slow
def test_long_graphs_take_seconds_and_no_recursion() -> None:
    s = Session("float64")
    y = s.input(np.ones(3), "x")
    for i in range(200_000):
        y = s.tanh(y) if i % 2 else s.scale(y, 0.5)
    start = time.perf_counter()
    text = s.graph.text()
    again = Graph.parse(text)
    assert again == s.graph
    again.check()
    assert (
        time.perf_counter() - start < 30
    )  # seconds; about 4 on two shared cores, and 200 if it were quadratic

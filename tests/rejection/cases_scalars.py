# ruff: noqa: E501 - a message is easier to review on one line
"""Misuse of sessions, scalars, domains, graph text, files and op records."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from fractions import Fraction
from typing import Any

import numpy as np
from misuse import Misuse, World, modular, rational, strict

import prooftape as pt
from prooftape.attributes import Attr
from prooftape.errors import (
    AttributeValueError,
    DomainError,
    GraphError,
    GraphParseError,
    OperandError,
    ScalarError,
    ShapeError,
    ValueTypeError,
)
from prooftape.ops import find


def nodes(w: World, *ops: str) -> Any:
    """The last of these unary ops, one on the other, on the vector 1, 2, 3."""
    x = w.v
    for op in ops:
        x = getattr(w.s, op)(x)
    return x


def zeros(w: World) -> Any:
    """A vector with a zero in the middle: x - 2."""
    return w.s.sub(w.v, w.s.full((3,), 2))


def evaluated(name: str, build: Any, error: type[Exception], message: str, world: Any) -> Misuse:
    """Recording is fine, reading the value is not."""
    return Misuse(name, lambda w, ref: ref.value, error, message, build, world, readable=False)


CASES: list[Misuse] = [
    # sessions
    Misuse("unknown scalar", lambda w: pt.Session("float128"), ScalarError, "unknown scalar 'float128'; known: float32, float64, bfloat16, float16, rational, modular(p)"),
    Misuse("NumPy dtype as scalar", lambda w: pt.Session(np.float32), ScalarError, "scalar must be a name such as 'float32', got type <class 'numpy.float32'>"),
    Misuse("None as scalar", lambda w: pt.Session(None), ScalarError, "scalar must be a name such as 'float32', got None"),
    Misuse("number as scalar", lambda w: pt.Session(32), ScalarError, "scalar must be a name such as 'float32', got int 32"),
    Misuse("modular without a prime", lambda w: pt.Session("modular(4)"), ScalarError, "modular(p): p must be a prime number, got int 4"),
    Misuse("modular(0)", lambda w: pt.Session("modular(0)"), ScalarError, "modular(p): p must be a prime number, got int 0"),
    Misuse("modular of a negative number", lambda w: pt.Session("modular(-7)"), ScalarError, "unknown scalar 'modular(-7)'; known: float32, float64, bfloat16, float16, rational, modular(p)"),
    Misuse("modular of text", lambda w: pt.modular("7"), ScalarError, "modular(p): p must be a prime number, got str '7'"),
    Misuse("modular of 1", lambda w: pt.modular(1), ScalarError, "modular(p): p must be a prime number, got int 1"),
    Misuse("modular of a float", lambda w: pt.modular(7.0), ScalarError, "modular(p): p must be a prime number, got float 7.0"),
    Misuse("modular of True", lambda w: pt.modular(True), ScalarError, "modular(p): p must be a prime number, got bool True"),
    Misuse("modular of a large composite", lambda w: pt.modular((2**61 - 1) * 97), ScalarError, "modular(p): p must be a prime number, got int 223666771893728313247"),
    Misuse("modular of a pseudoprime", lambda w: pt.modular(3215031751), ScalarError, "modular(p): p must be a prime number, got int 3215031751"),
    Misuse("ball without a precision", lambda w: pt.Session("ball"), ScalarError, "unknown scalar 'ball'; known: float32, float64, bfloat16, float16, rational, modular(p)"),
    Misuse("unknown engine", lambda w: pt.Session(engine="cuda"), ValueTypeError, "unknown engine 'cuda'; known: numpy, xla"),
    Misuse("no engine", lambda w: pt.Session(engine=None), ValueTypeError, "unknown engine None; known: numpy, xla"),
    Misuse("unknown domain", lambda w: pt.Session(domain="warn"), ValueTypeError, "domain must be 'ieee' or 'raise', got 'warn'"),
    Misuse("domain as a flag", lambda w: pt.Session(domain=True), ValueTypeError, "domain must be 'ieee' or 'raise', got True"),
    Misuse("requires_grad_by_default as an integer", lambda w: pt.Session(requires_grad_by_default=1), ValueTypeError, "requires_grad_by_default must be True or False, got int 1"),
    Misuse("unknown setting", lambda w: pt.Session(dtype="float32"), TypeError, "Session.__init__() got an unexpected keyword argument 'dtype'"),
    Misuse("domain as a positional argument", lambda w: pt.Session("float32", "numpy", True, "raise"), TypeError, "Session.__init__() takes from 1 to 4 positional arguments but 5 were given"),
    Misuse("changing a graph", lambda w: setattr(w.s.graph, "nodes", ()), AttributeError, "Graph is immutable, cannot set 'nodes'"),
    Misuse("changing a node", lambda w: setattr(w.s.graph.nodes[0], "args", ()), AttributeError, "can't set attribute"),
    Misuse("changing a state", lambda w: setattr(w.s.state, "nats", ()), FrozenInstanceError, "cannot assign to field 'nats'"),
    Misuse("writing into a state", lambda w: w.s.state.leaf_values[0].__setitem__(0, 0.0), ValueError, "assignment destination is read-only"),
    Misuse("appending to a graph's leaves", lambda w: w.s.graph.leaves.append(None), AttributeError, "'Prefix' object has no attribute 'append'"),
    # exact scalars
    evaluated("exp of rationals", lambda w: nodes(w, "exp"), ScalarError, "exp: exp has no exact value in exact rationals; replay the graph in a float scalar, e.g. session.replay(scalar=\"float64\"); node %13 recorded at cases_scalars.py:N", rational),
    evaluated("log of rationals", lambda w: nodes(w, "neg", "log"), ScalarError, "log: log has no exact value in exact rationals; replay the graph in a float scalar, e.g. session.replay(scalar=\"float64\"); node %14 recorded at cases_scalars.py:N", rational),
    evaluated("sqrt of rationals", lambda w: nodes(w, "sqrt"), ScalarError, "sqrt: sqrt has no exact value in exact rationals; replay the graph in a float scalar, e.g. session.replay(scalar=\"float64\"); node %13 recorded at cases_scalars.py:N", rational),
    evaluated("softmax of rationals", lambda w: nodes(w, "softmax"), ScalarError, "softmax: exp has no exact value in exact rationals; replay the graph in a float scalar, e.g. session.replay(scalar=\"float64\"); node %13 recorded at cases_scalars.py:N", rational),
    evaluated("gelu of rationals", lambda w: nodes(w, "gelu"), ScalarError, "gelu: gelu has no exact value in exact rationals; replay the graph in a float scalar, e.g. session.replay(scalar=\"float64\"); node %13 recorded at cases_scalars.py:N", rational),
    evaluated("layer_norm of rationals", lambda w: w.s.layer_norm(w.x, w.u, w.u), ScalarError, "layer_norm: sqrt has no exact value in exact rationals; replay the graph in a float scalar, e.g. session.replay(scalar=\"float64\"); node %13 recorded at cases_scalars.py:N", rational),
    evaluated("half power of rationals", lambda w: w.v**0.5, ScalarError, "pow_const: x ** 0.5 has no exact value in exact rationals; replay the graph in a float scalar, e.g. session.replay(scalar=\"float64\"); node %13 recorded at cases_scalars.py:N", rational),
    evaluated("scale by nan of rationals", lambda w: w.s.scale(w.v, float("nan")), ScalarError, "scale: nan has no rational value; node %13 recorded at cases_scalars.py:N", rational),
    evaluated("full of inf of rationals", lambda w: w.s.full((2,), float("inf")), ScalarError, "full: inf has no rational value; node %13 recorded at cases_scalars.py:N", rational),
    evaluated("division by zero of rationals", lambda w: w.s.div(w.v, zeros(w)), ScalarError, "div: division by zero has no value in exact rationals; node %15 recorded at cases_scalars.py:N", rational),
    evaluated("reciprocal of zero in rationals", lambda w: zeros(w).reciprocal(), ScalarError, "reciprocal: division by zero has no value in exact rationals; node %15 recorded at cases_scalars.py:N", rational),
    evaluated("negative power of zero in rationals", lambda w: zeros(w) ** -1, ScalarError, "pow_const: division by zero has no value in exact rationals; node %15 recorded at cases_scalars.py:N", rational),
    evaluated("rand_uniform of rationals", lambda w: w.s.exp(w.s.rand_uniform((2,), 0)), ScalarError, "exp: exp has no exact value in exact rationals; replay the graph in a float scalar, e.g. session.replay(scalar=\"float64\"); node %14 recorded at cases_scalars.py:N", rational),
    evaluated("relu in a prime field", lambda w: nodes(w, "relu"), ScalarError, "relu: the prime field modulo 7 has no order (relu, max, abs, comparisons need one); replay the graph in scalar=\"rational\" instead; node %13 recorded at cases_scalars.py:N", modular),
    evaluated("comparison in a prime field", lambda w: w.v > w.v, ScalarError, "greater: the prime field modulo 7 has no order (relu, max, abs, comparisons need one); replay the graph in scalar=\"rational\" instead; node %13 recorded at cases_scalars.py:N", modular),
    evaluated("maximum in a prime field", lambda w: w.s.maximum(w.v, w.v), ScalarError, "maximum: the prime field modulo 7 has no order (relu, max, abs, comparisons need one); replay the graph in scalar=\"rational\" instead; node %13 recorded at cases_scalars.py:N", modular),
    evaluated("abs in a prime field", lambda w: nodes(w, "abs"), ScalarError, "abs: the prime field modulo 7 has no order (relu, max, abs, comparisons need one); replay the graph in scalar=\"rational\" instead; node %13 recorded at cases_scalars.py:N", modular),
    evaluated("max_pool in a prime field", lambda w: w.s.max_pool2d(w.image, 2), ScalarError, "max_pool2d: the prime field modulo 7 has no order (relu, max, abs, comparisons need one); replay the graph in scalar=\"rational\" instead; node %13 recorded at cases_scalars.py:N", modular),
    evaluated("division by 7 modulo 7", lambda w: w.s.div(w.v, w.s.full((3,), 7)), ScalarError, "div: division by zero has no value in the prime field modulo 7; node %14 recorded at cases_scalars.py:N", modular),
    evaluated("a seventh modulo 7", lambda w: w.s.scale(w.v, Fraction(1, 7)), ScalarError, "scale: 1/7 has no value modulo 7: its denominator is divisible by 7; node %13 recorded at cases_scalars.py:N", modular),
    evaluated("tanh in a prime field", lambda w: nodes(w, "tanh"), ScalarError, "tanh: tanh has no exact value in the prime field modulo 7; replay the graph in a float scalar, e.g. session.replay(scalar=\"float64\"); node %13 recorded at cases_scalars.py:N", modular),
    Misuse("backward through a square root of rationals", lambda w, ref: w.s.backward_dense_all(ref, [1, 1, 1]), ScalarError, "sqrt: sqrt has no exact value in exact rationals; replay the graph in a float scalar, e.g. session.replay(scalar=\"float64\"); node %13 recorded at cases_scalars.py:N", given=lambda w: nodes(w, "sqrt"), world=rational, readable=False),
    Misuse("jvp through exp of rationals", lambda w, ref: w.s.jvp_leaf(ref, w.v, [1, 1, 1]), ScalarError, "exp: exp has no exact value in exact rationals; replay the graph in a float scalar, e.g. session.replay(scalar=\"float64\"); node %13 recorded at cases_scalars.py:N", given=lambda w: nodes(w, "exp"), world=rational, readable=False),
    Misuse("replay in an unknown scalar", lambda w: w.s.replay("float8"), ScalarError, "unknown scalar 'float8'; known: float32, float64, bfloat16, float16, rational, modular(p)"),
    Misuse("replay of nan in rationals", lambda w: w.s.replay("rational"), ValueTypeError, "leaf %11: not a value of scalar rational: nan has no rational value", world=lambda: with_nan()),
    # domain="raise"
    evaluated("log of zero, strict", lambda w: zeros(w).square().log(), DomainError, "log: outside its domain (x > 0) at index (1,): x = 0.0; node %16 recorded at cases_scalars.py:N", strict),
    evaluated("log of a negative number, strict", lambda w: zeros(w).log(), DomainError, "log: outside its domain (x > 0) at index (0,): x = -1.0; node %15 recorded at cases_scalars.py:N", strict),
    evaluated("sqrt of a negative number, strict", lambda w: zeros(w).sqrt(), DomainError, "sqrt: outside its domain (x >= 0 (differentiable for x > 0)) at index (0,): x = -1.0; node %15 recorded at cases_scalars.py:N", strict),
    evaluated("division by zero, strict", lambda w: w.v / zeros(w), DomainError, "div: outside its domain (b != 0) at index (1,): a = 2.0, b = 0.0; node %15 recorded at cases_scalars.py:N", strict),
    evaluated("reciprocal of zero, strict", lambda w: zeros(w).reciprocal(), DomainError, "reciprocal: outside its domain (x != 0) at index (1,): x = 0.0; node %15 recorded at cases_scalars.py:N", strict),
    evaluated("log1p of -1, strict", lambda w: (zeros(w) - 1).log1p(), DomainError, "log1p: outside its domain (x > -1) at index (0,): x = -2.0; node %17 recorded at cases_scalars.py:N", strict),
    evaluated("negative power of zero, strict", lambda w: zeros(w) ** -2, DomainError, "pow_const: outside its domain (x >= 0 unless c is an integer; x != 0 when c < 0) at index (1,): x = 0.0; node %15 recorded at cases_scalars.py:N", strict),
    evaluated("fractional power of a negative number, strict", lambda w: zeros(w) ** Fraction(1, 2), DomainError, "pow_const: outside its domain (x >= 0 unless c is an integer; x != 0 when c < 0) at index (0,): x = -1.0; node %15 recorded at cases_scalars.py:N", strict),
    evaluated("log in a matrix, strict", lambda w: (w.x - 7).log(), DomainError, "log: outside its domain (x > 0) at index (0, 0): x = -6.0; node %15 recorded at cases_scalars.py:N", strict),
    evaluated("log of a scalar, strict", lambda w: (w.c - 2).log(), DomainError, "log: outside its domain (x > 0) at index (): x = 0.0; node %15 recorded at cases_scalars.py:N", strict),
    Misuse("backward through a bad log, strict", lambda w, ref: w.s.backward_scalar_dense_all(ref), DomainError, "log: outside its domain (x > 0) at index (0,): x = -1.0; node %15 recorded at cases_scalars.py:N", given=lambda w: zeros(w).log().sum(), world=strict, readable=False),
    # graph text and checks
    Misuse("parse of nothing", lambda w: pt.Graph.parse(""), GraphParseError, "graph text, line 1: expected the header 'prooftape graph 1', found the end of the text"),
    Misuse("parse of a path", lambda w: pt.Graph.parse("net.graph"), GraphParseError, "graph text, line 1, column 1: expected the header 'prooftape graph 1', found 'net.graph'"),
    Misuse("parse of bytes", lambda w: pt.Graph.parse(b""), GraphParseError, "graph text: expected a str, got bytes"),
    Misuse("parse of a graph", lambda w: pt.Graph.parse(w.s.graph), GraphParseError, "graph text: expected a str, got Graph"),
    Misuse("parse of a graph without its last line's end", lambda w: pt.Graph.parse(w.s.graph.text()[:-5]), GraphParseError, "graph text, line 15, column 18: expected a type such as real[3,4], found 're'"),
    Misuse("parse of a renamed op", lambda w: pt.Graph.parse(w.s.graph.text().replace("square", "sqare")), GraphParseError, "graph text, line 14, column 7: expected the name of an op, found 'sqare'; did you mean square or sqrt or scale?"),
    Misuse("parse of a changed shape", lambda w: pt.Graph.parse(w.s.graph.text().replace("real[2,3]", "real[2,4]", 1)), GraphParseError, "graph text, line 14, column 20: expected real[2,4], the type that square gives here, found real[2,3]"),
    Misuse("parse of two graphs", lambda w: pt.Graph.parse(w.s.graph.text() * 2), GraphParseError, "graph text, line 16, column 1: expected a leaf such as '%0: input real[3]' or a node such as '%1 = neg(%0)', found 'prooftape graph 1'"),
    Misuse("check of a forged operand", lambda w: forged(w).check(), GraphError, "graph: node %11 is ill-formed: operand 0 must be an id below the node's own (11), got 12\n    %9: input real[5]\n    %10: const bool[3] \"mask\"\n  > %11 = square(%12) : real[2,3]\n    %12 = sum(%11) : real[]"),
    Misuse("load of a missing file", lambda w: pt.Graph.load("missing.graph"), FileNotFoundError, "[Errno 2] No such file or directory: 'missing.graph'"),
    Misuse("load of a folder", lambda w: pt.Graph.load("/"), IsADirectoryError, "[Errno 21] Is a directory: '/'"),
    Misuse("save into a missing folder", lambda w: w.s.graph.save("missing/net.graph"), FileNotFoundError, "[Errno 2] no such folder: 'missing'"),
    Misuse("save over a folder", lambda w: w.s.graph.save("."), IsADirectoryError, "[Errno 21] Is a directory: '.'"),
    Misuse("diff with text", lambda w: w.s.graph.diff(w.s.graph.text()), GraphError, "diff: expected a Graph, got str 'prooftape graph 1\\nnats 4\\n%0: param real[2,3] \"W\" r..."),
    # op records
    Misuse("register of a taken name", lambda w: pt.register(replace(find("neg"))), ValueError, "register: an op named 'neg' exists already"),
    Misuse("register of no op", lambda w: pt.register("neg"), OperandError, "register: expected an Op, got str 'neg'"),
    Misuse("op without a doc", lambda w: replace(find("neg"), doc=""), ValueError, "op 'neg': doc is missing"),
    Misuse("op without samples", lambda w: replace(find("neg"), samples=list), ValueError, "op neg: no samples"),
    Misuse("op that saves what it has not", lambda w: replace(find("neg"), saves=("y",)), ValueError, "op neg: saves names no operand: ['y']"),
    Misuse("op with a dtype too many", lambda w: replace(find("neg"), operand_dtypes=("real", "bool")), ValueError, "op neg: operand_dtypes and operands differ in length"),
    Misuse("variadic op with two names", lambda w: replace(find("add"), variadic=True), ValueError, "op add: a variadic op declares exactly one operand name"),
    Misuse("attribute of an unknown kind", lambda w: Attr("axis", "integer"), ValueError, "attribute axis: unknown kind 'integer'"),
    Misuse("op record with a missing part", lambda w: pt.Op(name="mine"), TypeError, "Op.__init__() missing 10 required positional arguments: 'family', 'operands', 'shape_rule', 'forward', 'jvp', 'vjp', 'saves', 'samples', 'doc', and 'shapes_doc'"),
    Misuse("unregistered op by name", lambda w: w.s.apply("mine", w.v), OperandError, "apply: unknown op 'mine'; did you mean linear?"),
    Misuse("rule that refuses", lambda w: w.s.apply(find("one_hot_nat"), idx=[0, 1], n=-1), AttributeValueError, "one_hot_nat: attribute n: expected a natural number (>= 0), got -1; number of rows of the result"),
    Misuse("rule that refuses a shape", lambda w: w.s.apply("put_add_nat", w.v, idx=[0], n=2), ShapeError, "put_add_nat: 3 rows for 1 indices: rows = v (3,) [misuse.py:N]; give one index per row"),
]  # fmt: skip


def with_nan() -> World:
    """A world with a nan in a leaf."""
    w = World(leaves_only=True)
    w.s.input([1.0, float("nan")], "gap")
    w.loss = w.s.sum(w.w)
    return w


def forged(w: World) -> pt.Graph:
    """The world's graph with an operand that comes later."""
    g = w.s.graph
    return pt.Graph(g.leaves, [g.nodes[0]._replace(args=(12,)), g.nodes[1]])

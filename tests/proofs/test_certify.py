"""`certify` and `verify` as users call them: what is written, what is answered, what is refused."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import prooftape as pt
import prooftape.ops
from prooftape.certificates import certify as certify_module
from prooftape.certificates.text import STATEMENT, read
from prooftape.certificates.verdict import THEOREMS
from prooftape.certificates.verify import ALLOWED_AXIOMS
from prooftape.errors import ForeignHandleError, GraphError, OperandError, ProverError, StaleHandleError
from prooftape.ops import find
from prooftape.theory import build
from prooftape.theory.contents import op_facts
from prooftape.theory.prover import HOW_TO_GET

NO_PROVER = f"there is no Rocq prover on the path; {HOW_TO_GET}"


def mlp(s: pt.Session) -> pt.TensorRef:
    """Two linear layers and a cross entropy, the labels by reference."""
    w1, b1 = s.use(s.param(np.full((4, 3), 0.5), name="w1")), s.use(s.param(np.zeros(4), name="b1"))
    w2, b2 = s.use(s.param(np.full((2, 4), 0.5), name="w2")), s.use(s.param(np.zeros(2), name="b2"))
    x = s.input(np.ones((5, 3)), name="x")
    hidden = s.relu(s.linear(w1, b1, x))
    return s.cross_entropy(s.linear(w2, b2, hidden), s.input_nat_vec([0, 1, 1, 0, 1]))


@pytest.fixture
def no_prover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing here"))


@pytest.fixture
def twice() -> Iterator[pt.Op]:
    """An op from outside the theory, registered for one test."""
    op = pt.register(replace(find("neg"), name="twice", _calls={}))
    yield op
    del prooftape.ops._outside["twice"]


# -- what is written, with or without a prover --------------------------------------------------------------
@pytest.mark.usefixtures("no_prover")
def test_without_a_prover_it_is_written_and_unchecked(tmp_path: Path) -> None:
    s = pt.Session()
    loss = mlp(s)
    verdict = s.certify(loss, tmp_path / "mlp.v")
    assert verdict == pt.Verdict("unchecked", nodes=4, reason=NO_PROVER, path=tmp_path / "mlp.v")
    assert not verdict.proved and str(verdict) == f"unchecked: {NO_PROVER}"
    _, contents = read((tmp_path / "mlp.v").read_bytes())
    assert (contents.nodes, contents.graph) == (4, s.graph.digest())
    assert contents.ops == ("linear", "relu", "cross_entropy")
    assert pt.verify(tmp_path / "mlp.v", s.graph) == verdict


@pytest.mark.usefixtures("no_prover")
def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    s = pt.Session()
    verdict = s.certify(mlp(s))
    assert verdict.outcome == "unchecked" and verdict.path is None and os.listdir(tmp_path) == []


def written(s: pt.Session, out: pt.TensorRef, folder: Path) -> bytes:
    s.certify(out, folder / "c.v")
    return (folder / "c.v").read_bytes()


@pytest.mark.usefixtures("no_prover")
@pytest.mark.parametrize("scalar", ["float32", "float64", "rational", "modular"])
def test_equal_graphs_have_the_same_certificate_byte_for_byte(scalar: str, tmp_path: Path) -> None:
    def poly(s: pt.Session, value: object) -> pt.TensorRef:
        x = s.input(value, name="x", requires_grad=True)
        return s.sum(s.mul(s.add(x, s.const([1, 2])), s.scale(x, 3)))

    expected = written(s := pt.Session("float32"), poly(s, [1, 2]), tmp_path)
    s = pt.Session(pt.modular(7) if scalar == "modular" else scalar)
    assert written(s, poly(s, [3, 4]), tmp_path) == expected
    s.reset_tape()
    assert written(s, poly(s, [5, 6]), tmp_path) == expected
    graph = s.graph
    assert certify_module.certify(graph, path=tmp_path / "g.v").outcome == "unchecked"
    assert (tmp_path / "g.v").read_bytes() == expected
    assert written(s, s.relu(s.ref(3)), tmp_path) != expected


@pytest.mark.usefixtures("no_prover")
def test_it_is_about_the_graph_up_to_the_output(tmp_path: Path) -> None:
    s = pt.Session()
    loss = mlp(s)
    expected = written(s, loss, tmp_path)
    s.square(loss)
    assert written(s, loss, tmp_path) == expected
    with pytest.raises(ZeroDivisionError):
        s.commit(lambda s: [s.exp(loss), 1 / 0])
    assert written(s, loss, tmp_path) == expected


@pytest.mark.usefixtures("no_prover")
def test_an_existing_file_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    s = pt.Session()
    loss = mlp(s)
    (tmp_path / "c.v").write_text("before")

    def fails(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as m:
        m.setattr(os, "replace", fails)
        with pytest.raises(OSError, match="No space left on device"):
            s.certify(loss, tmp_path / "c.v")
    assert (tmp_path / "c.v").read_text() == "before" and os.listdir(tmp_path) == ["c.v"]
    s.certify(loss, str(tmp_path / "c.v"))  # a str will do
    assert read((tmp_path / "c.v").read_bytes())[1].nodes == 4


def test_a_path_is_no_graph() -> None:
    for what, call in (
        ("certify", lambda: pt.certify("net.graph")),  # type: ignore[arg-type]
        ("verify", lambda: pt.verify(__file__, "net.graph")),  # type: ignore[arg-type]
    ):
        with pytest.raises(GraphError) as caught:
            call()
        problem = f"{what}: expected a Graph, got str 'net.graph'; Graph.load reads a saved one"
        assert str(caught.value) == problem


@pytest.mark.usefixtures("no_prover")
def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    s = pt.Session()
    loss = mlp(s)
    with pytest.raises(FileNotFoundError, match="no such folder") as missing:
        s.certify(loss, tmp_path / "nowhere" / "c.v")
    assert missing.value.filename == str(tmp_path / "nowhere")
    with pytest.raises(IsADirectoryError) as folder:
        s.certify(loss, tmp_path)
    assert folder.value.filename == str(tmp_path)
    with pytest.raises(FileNotFoundError):
        pt.verify(tmp_path / "c.v")


# -- handles ------------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("no_prover")
def test_handles_that_cannot_be_certified() -> None:
    s, other = pt.Session(), pt.Session()
    x = s.input(1.0)
    y = s.neg(x)
    with pytest.raises(ForeignHandleError, match=r"^certify: TensorRef\(%1: real\[\]\) belongs to another"):
        other.certify(y)
    s.reset_tape()
    with pytest.raises(StaleHandleError, match=r"^certify: .* is from before reset_tape\(\)"):
        s.certify(y)
    with pytest.raises(OperandError, match=r"^certify: expected a TensorRef, got ndarray of shape \(2,\)"):
        s.certify(np.ones(2))  # type: ignore[arg-type]
    with pytest.raises(OperandError, match="put it into the graph with use"):
        s.certify(s.param(1.0))  # type: ignore[arg-type]


# -- what the theory has nothing to say about ---------------------------------------------------------------
@pytest.mark.usefixtures("no_prover")
def test_an_op_from_outside_is_refused_by_name_and_node(tmp_path: Path, twice: pt.Op) -> None:
    s = pt.Session()
    y = s.neg(s.apply("twice", s.input(1.0)))
    verdict = s.certify(y, tmp_path / "c.v")
    reason = f"node %1: twice is not an op of the theory, which knows {len(op_facts())} ops"
    assert verdict == pt.Verdict("refused", nodes=2, reason=reason, node=1)
    assert str(verdict) == f"refused: {reason}"
    assert os.listdir(tmp_path) == []  # there is no Rocq name for it: nothing could be written
    assert s.certify(s.ref(0)).outcome == "unchecked"  # before it there is nothing to refuse


def test_the_name_of_an_op_of_the_theory_is_not_enough() -> None:
    wrong = replace(find("relu"), vjp=find("neg").vjp, _calls={})
    s = pt.Session()
    reason = "node %2: it runs another op than the relu of the theory, under the same name"
    verdict = s.certify(s.apply(wrong, s.relu(s.input(1.0))))
    assert verdict == pt.Verdict("refused", nodes=2, reason=reason, node=2)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (lambda s, x: s.scale(x, math.inf), "attribute c of scale is inf, which is no real number"),
        (
            lambda s, x: s.leaky_relu(x, math.nan),
            "attribute slope of leaky_relu is nan, which is no real number",
        ),
        (
            lambda s, x: s.clamp(x, math.inf, math.inf),
            "attribute lo of clamp is inf, which is no real number",
        ),
    ],
)
def test_an_attribute_that_is_no_number_is_refused(
    record: Callable[[pt.Session, pt.TensorRef], pt.TensorRef], reason: str
) -> None:
    s = pt.Session()
    x = s.input([1.0, 2.0])
    assert s.certify(record(s, s.neg(x))) == pt.Verdict(
        "refused", nodes=2, reason=f"node %2: {reason}", node=2
    )


@pytest.mark.usefixtures("no_prover")
def test_no_bound_is_no_number_either_and_not_refused() -> None:
    s = pt.Session()
    x = s.input([1.0, 2.0])
    assert s.certify(s.clamp(x, -math.inf, 3)).outcome == "unchecked"
    assert s.certify(s.const([math.nan, math.inf])).outcome == "unchecked"  # data, like a leaf's


# -- verdicts -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (
            pt.Verdict("proved", nodes=1, theorems=tuple(THEOREMS), seconds=1.26),
            "proved: 1 node, Linked, Adjoint, Derivative, 1.3 s",
        ),
        (pt.Verdict("proved", nodes=0, theorems=("Linked",)), "proved: 0 nodes, Linked, 0.0 s"),
        (pt.Verdict("refused", reason="no", line=7), "refused: line 7: no"),
        (pt.Verdict("refused", reason="node %3: no", node=3), "refused: node %3: no"),
        (pt.Verdict("unchecked", nodes=9, reason="no prover"), "unchecked: no prover"),
    ],
)
def test_a_verdict_in_one_line(verdict: pt.Verdict, text: str) -> None:
    assert str(verdict) == text
    assert verdict.proved == (verdict.outcome == "proved")


def test_a_verdict_is_true_where_it_is_proved() -> None:
    assert pt.Verdict("proved")
    assert not pt.Verdict("refused") and not pt.Verdict("unchecked")


def test_a_verdict_is_a_value() -> None:
    a, b = pt.Verdict("refused", reason="no"), pt.Verdict("refused", reason="no")
    assert a == b and hash(a) == hash(b) and a != replace(a, line=1)
    with pytest.raises(AttributeError):
        a.outcome = "proved"  # type: ignore[misc]


def test_the_file_is_there_when_the_prover_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "coqc").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "coqc").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    s = pt.Session()
    with pytest.raises(ProverError, match="--version ended with status 3"):
        s.certify(mlp(s), tmp_path / "c.v")
    assert read((tmp_path / "c.v").read_bytes())[1].nodes == 4


def test_the_public_functions_are_these() -> None:
    assert pt.certify is certify_module.certify and pt.verify.__module__ == "prooftape.certificates.verify"
    with pytest.raises(AttributeError, match="module 'prooftape' has no attribute 'certifi'"):
        pt.certifi  # type: ignore[attr-defined]  # noqa: B018


# -- with the prover ----------------------------------------------------------------------------------------
def dropout(s: pt.Session) -> pt.TensorRef:
    x = s.input(np.ones((3, 4)), requires_grad=True)
    keep = s.bernoulli_mask((3, 4), 0.75, 5)
    return s.mean(s.mul(s.dropout(x, 0.5, 3), s.mul(keep, x)))


def masks(s: pt.Session) -> pt.TensorRef:
    x, y = s.input([[1.0, 2.0], [3.0, 4.0]]), s.input([[4.0, 3.0], [2.0, 1.0]], requires_grad=True)
    given = s.where(np.array([[True, False], [False, True]]), x, y)
    return s.sum(s.where(s.greater(given, y), s.square(x), s.where(s.less(x, y), y, s.neg(x))))


def attention(s: pt.Session) -> pt.TensorRef:
    w = [s.input(np.full((4, 4), 0.1 * k), requires_grad=True) for k in range(1, 5)]
    x = s.input(np.ones((2, 3, 4)))
    causal = s.constant_operand(np.tril(np.ones((3, 3), bool)))
    return s.sum(s.apply("multi_head_attention", *w, x, causal, num_heads=2))


def second_order(s: pt.Session) -> pt.TensorRef:
    """A derivative of a derivative, recorded with the ops the derivative rules are made of."""
    w = s.input(np.full((2, 3), 0.5), requires_grad=True)
    x = s.input(np.ones((3, 2)))

    def loss(w: pt.TensorRef) -> pt.TensorRef:
        return s.sum(s.square(s.log_softmax(s.tanh(s.matmul(w, x)))))

    slope = pt.grad(loss)(w)
    return pt.grad(lambda w: s.sum(s.square(pt.grad(loss)(w))))(slope)


def picture(s: pt.Session) -> pt.TensorRef:
    w, b = s.use(s.param(np.ones((2, 1, 3, 3)), name="w")), s.use(s.param(np.zeros(2), name="b"))
    gamma, beta = s.use(s.param(np.ones(2), name="gamma")), s.use(s.param(np.zeros(2), name="beta"))
    x = s.input(np.ones((3, 1, 8, 8)))
    normed = s.batchnorm_channel_first(s.conv2d(w, b, x, padding=1, stride=2), gamma, beta)
    return s.mean(s.avg_pool2d(s.relu(normed), 2))


def gathers(s: pt.Session) -> pt.TensorRef:
    table = s.input(np.ones((5, 2)), requires_grad=True)
    rows = s.gather_rows_ref(table, s.input_nat_vec([4, 0, 9]))  # 9 is out of range: a row of zeros
    return s.sum(s.mul(rows, s.const([[1.0, 2.0]] * 3)))


def leaf(s: pt.Session) -> pt.TensorRef:
    return s.input(np.ones((2, 0)), name="empty")


def constant(s: pt.Session) -> pt.TensorRef:
    return s.const([[1.5, -2.0], [0.0, 1e-3]])


def polynomial(s: pt.Session) -> pt.TensorRef:
    x = s.input([1, 2, 3], requires_grad=True)
    return s.sum(s.mul(s.scale(x, 2), s.mul(x, x)))


RECORDED: dict[str, tuple[str, Callable[[pt.Session], pt.TensorRef]]] = {
    "mlp": ("float32", mlp),
    "mlp in double precision": ("float64", mlp),
    "polynomial": ("rational", polynomial),
    "dropout": ("float32", dropout),
    "masks": ("float64", masks),
    "attention": ("float32", attention),
    "second order": ("float64", second_order),
    "picture": ("float32", picture),
    "gathers": ("float64", gathers),
    "a leaf, no node": ("float32", leaf),
    "a constant, no leaf": ("float64", constant),
}


@pytest.mark.slow
@pytest.mark.proofs
@pytest.mark.parametrize("name", RECORDED)
def test_what_users_record_is_proved(name: str, tmp_path: Path) -> None:
    scalar, record = RECORDED[name]
    s = pt.Session(scalar)
    out = record(s)
    verdict = s.certify(out, tmp_path / "c.v")
    assert verdict.proved, str(verdict)
    assert verdict.nodes == len(s.graph.nodes) and verdict.path == tmp_path / "c.v"
    assert verdict.theorems == ("Linked", "Adjoint", "Derivative") and verdict.statement == STATEMENT
    assert set(verdict.assumptions) <= ALLOWED_AXIOMS
    assert verdict.seconds > 0 and verdict.reason == "" and verdict.node is None and verdict.line is None


@pytest.mark.slow
@pytest.mark.proofs
def test_the_tape_that_is_certified_is_the_one_that_runs() -> None:
    s = pt.Session("float64")
    x, y = s.input(2.0, requires_grad=True), s.input(5.0, requires_grad=True)
    z = s.sub(x, y)
    assert s.certify(z).proved
    s._instrs[0] = s._instrs[0]._replace(args=(1, 0))
    assert s.get_value(z) == 3.0
    verdict = s.certify(z)
    assert verdict.outcome == "refused" and verdict.node == 2
    assert verdict.reason == "node %2: the instruction reads operands [1,0], but the node's are [0,1]"


@pytest.mark.slow
@pytest.mark.proofs
def test_verify_holds_a_certificate_against_a_graph(tmp_path: Path) -> None:
    s, t = pt.Session(), pt.Session()
    loss = mlp(s)
    s.certify(loss, tmp_path / "c.v")
    assert pt.verify(tmp_path / "c.v").proved
    assert pt.verify(tmp_path / "c.v", s.graph).proved
    t.neg(mlp(t))
    verdict = pt.verify(tmp_path / "c.v", t.graph)
    assert verdict.outcome == "refused" and verdict.line == 3
    names = (s.graph.digest()[:16], t.graph.digest()[:16])
    assert verdict.reason == f"it names graph {names[0]}…, the given one is {names[1]}…"


@pytest.mark.proofs
def test_progress_is_told_only_while_the_theory_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[int] = []
    s = pt.Session()
    y = s.neg(s.input(1.0))
    s.certify(y)
    s.certify(y, progress=lambda name, done, total: reports.append(done))
    assert reports == []

    def stops(name: str, done: int, total: int) -> None:
        raise BrokenPipeError

    monkeypatch.setenv("PROOFTAPE_CACHE", str(tmp_path))
    with pytest.raises(BrokenPipeError):
        s.certify(y, progress=stops)
    assert list(build.cache_folder().glob("theory-*")) == []


@pytest.mark.proofs
def test_two_zeros_of_different_sign_in_one_graph_are_refused() -> None:
    """A certificate writes 0.0 and -0.0 alike, and T1 has one kernel for each call it is written about."""
    s = pt.Session("float64")
    x = s.input([1.0])
    both = s.add(s.scale(x, 0.0), s.scale(x, -0.0))
    verdict = s.certify(both)
    assert (verdict.outcome, verdict.node) == ("refused", 2)
    assert verdict.reason == "node %2: scale with a zero of another sign than before, which floats tell apart"
    alone = pt.Session("float64")
    y = alone.input([1.0])
    assert alone.certify(alone.add(alone.scale(y, -0.0), alone.scale(y, -0.0))).outcome != "refused"
    mixed = pt.Session("float64")
    z = mixed.input([1.0])
    assert mixed.certify(mixed.add(mixed.scale(z, 0), mixed.scale(z, 0.0))).outcome != "refused"

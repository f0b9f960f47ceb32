"""Forward, JVP and VJP of every op: Rocq computes what Python computes, exactly."""

from __future__ import annotations

import dataclasses
import random
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from crossevaluation import SCRIPTS, cases, evaluate, faults, samples, theory, values

from prooftape.op import Call, Op
from prooftape.ops import find, table
from prooftape.types import TensorType

pytestmark = [pytest.mark.proofs, pytest.mark.slow]

NOT_POLYNOMIAL = """
multi_head_attention equal elu clamp where huber_loss bce_with_logits cross_entropy reduce_max logsumexp
layer_norm rms_norm batchnorm_channel_first group_norm smooth_max_pool smooth_max_pool2d exp expm1 log log1p
safe_log sqrt sin cos tanh tanh_prime sigmoid sigmoid_prime softplus erf erf_prime gelu gelu_prime normal_pdf
silu silu_prime
"""
"""Ops without any polynomial case: every sample needs an order, a division by a variable or a function."""


def test_every_op_agrees_with_rocq_on_rationals() -> None:
    found = evaluate.evaluate(*theory(), list(table().values()), ["ops"])
    assert [str(d) for d in found.differences] == []
    assert {name: n for name, n in found.counts["rational"].items() if n < 6} == {}
    assert set(found.counts["rational"]) == set(table())
    # agreement on polynomials is agreement on all numbers; no op may drop out of that unnoticed
    assert set(table()) - set(found.counts["polynomial"]) == set(NOT_POLYNOMIAL.split())


def test_edge_cases_are_among_the_samples() -> None:
    def has(name: str, what: Callable[[Any], bool]) -> bool:
        return any(what(s) for s in samples.samples(find(name)))

    def beyond(s: Any) -> bool:
        return any(i >= s.operands[0].shape[0] for i in s.nats[0])

    def repeated(s: Any) -> bool:
        return len(set(s.nats[0])) < len(s.nats[0])

    readers = [op.name for op in table().values() if op.nats and op.operands]
    assert [n for n in readers if not has(n, lambda s: s.operands[0].shape and beyond(s))] == []
    assert [n for n in readers if not has(n, repeated)] == ["gather_scalar_ref", "gather_row_ref"]
    for name in ("max_pool", "max_pool2d", "reduce_max", "maximum", "minimum", "first_max"):
        assert has(name, lambda s: s.operands[0].kind == "real"), f"{name}: no ties"
    for kind in (samples.NOTHING, samples.FIRST_ROW):
        assert has("multi_head_attention", lambda s, kind=kind: s.operands[-1].kind == kind)
    for name in ("dropout", "bernoulli_mask"):
        rates = {Fraction(s.attrs.get("p", s.attrs.get("keep_prob"))) for s in samples.samples(find(name))}
        assert {0, 1} < rates
    for name in ("conv", "conv_transpose", "max_pool", "avg_pool", "smooth_max_pool"):
        ranks = {len(s.operands[-1].shape) for s in samples.samples(find(name))}
        assert len(ranks) >= 3, name
    for name in ("layer_norm", "rms_norm", "batchnorm_channel_first", "group_norm"):
        assert len({Fraction(s.attrs["eps"]) for s in samples.samples(find(name))}) >= 4
    bounds = {(s.attrs["lo"], s.attrs["hi"]) for s in samples.samples(find("clamp"))}
    assert (-float("inf"), 0) in bounds and (0, float("inf")) in bounds
    zero_size = {name for name in table() if has(name, lambda s: any(0 in o.shape for o in s.operands))}
    assert len(zero_size) >= 80


# -- tests of the test: whatever is changed in a record of Python's results is found, and named ----
FAMILIES = {
    "mul": "elementwise",
    "relu": "elementwise",
    "matmul": "linear algebra",
    "conv": "convolution",
    "max_pool": "pooling",
    "softmax": "softmax",
    "layer_norm": "norm",
    "huber_loss": "loss",
    "gather_rows_ref": "dynamic gather",
    "scatter_add_row": "scatter",
    "concat": "joining",
    "permute": "shape",
    "reduce_mean": "broadcast/reduce",
    "multi_head_attention": "attention",
    "dropout": "random",
    "windows": "vocabulary",
}


def recorded(name: str) -> cases.Recorded:
    op = find(name)
    sample = next(iter(op.samples()))
    drawer = cases._drawer(op, sample, random.Random(name), 0)
    return cases.recorded(op, sample, cases.RATIONALS, drawer)


def bumped(array: Any) -> Any:
    """The array with its last entry larger by one."""
    new = np.array(array)
    new.flat[-1] = new.flat[-1] + cases.RATIONALS.element(1)
    return new


def with_out(r: cases.Recorded, out: TensorType) -> Call:
    return Call(r.call.op, r.call.attrs, r.call.types, r.call.nat_sizes, out)


def test_every_kind_of_difference_is_found_in_every_family() -> None:
    assert {find(n).family for n in FAMILIES} == set(FAMILIES.values())
    terms, wanted = [], []

    def add(r: cases.Recorded, fault: str, **change: Any) -> None:
        terms.append(cases.term(dataclasses.replace(r, **change), values.rational))
        wanted.append(fault)

    for name in FAMILIES:
        r = recorded(name)
        add(r, "")
        add(r, "WrongForward", value=bumped(r.value))
        add(r, "WrongJvp", moved=bumped(r.moved))
        add(r, "WrongJvp", moved=None)
        for i in range(len(r.parts)):
            before, after = list(r.parts[:i]), list(r.parts[i + 1 :])
            add(r, "WrongVjp", parts=[*before, bumped(r.parts[i]), *after])
            add(r, "WrongVjp", parts=[*before, None, *after])
        add(r, "WrongVjp", parts=list(r.parts)[:-1])
    found = faults(terms)
    assert [found.get(i, ("",)) for i in range(len(terms))] == [(w,) for w in wanted]


def test_a_wrong_result_type_is_found() -> None:
    r = recorded("permute")
    other = TensorType.of((*r.call.shape, 1))
    masked = TensorType.of(r.call.shape, "bool")
    terms = [
        cases.term(dataclasses.replace(r, call=with_out(r, t)), values.rational) for t in (other, masked)
    ]
    assert faults(terms) == {0: ("WrongType",), 1: ("WrongType",)}


def test_a_wrong_coefficient_is_found() -> None:
    *_, good = cases.polynomial_cases(find("matmul"))
    assert "Qmake 1 1" in good.term
    at = good.term.rindex("Qmake 1 1")
    bad = good.term[:at] + "Qmake 2 1" + good.term[at + len("Qmake 1 1") :]
    assert faults([good.term, bad], "polynomial") == {1: ("WrongVjp",)}


def planted(name: str, **rules: Any) -> Op:
    return dataclasses.replace(find(name), **rules)


@pytest.mark.parametrize(
    ("op", "what"),
    [
        (planted("sin", vjp=find("cos").vjp), "the VJP"),
        (planted("sin", jvp=find("cos").jvp), "the JVP"),
        (planted("mul", forward=find("add").forward), "the forward value"),
        (planted("tanh", forward=find("sin").forward, vjp=find("sin").vjp), "the forward value and the VJP"),
    ],
    ids=["vjp", "jvp", "forward", "two"],
)
def test_a_planted_rule_is_found_with_op_and_sample(op: Op, what: str) -> None:
    found = evaluate.evaluate(*theory(), [op], ["ops"])
    shown = [str(d) for d in found.differences]
    assert f"rational: {op.name}: [2, 3]" + (", [2, 3]" if op.name == "mul" else "") in "\n".join(shown)
    assert all(s.endswith(f"Rocq and Python differ in {what}") for s in shown if s.startswith("rational"))


def test_a_term_that_is_none_is_named() -> None:
    from prooftape.theory.prover import ProverError

    good = next(cases.rational_cases(find("relu"), random.Random(0))).term
    with pytest.raises(ProverError, match=r"(?s)case 1: .*op_nothing was not found"):
        faults([good, good.replace("op_relu", "op_nothing")])


# -- the command -----------------------------------------------------------------------------------
def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, str(SCRIPTS / "cross_evaluate.py"), *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)


def test_the_command_prints_a_row_per_op() -> None:
    done = command("--ops", "relu,clamp")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["op", *evaluate.COLUMNS, "verdict"]
    assert [(row[0], row[-1]) for row in rows[1:3]] == [("relu", "agrees"), ("clamp", "agrees")]
    assert "uses, not finite: a number attribute that is infinite or nan is no real number" in done.stdout
    assert "no difference in" in done.stdout


def test_the_command_fails_on_a_difference(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import cross_evaluate

    wrong = planted("sin", vjp=find("cos").vjp)
    monkeypatch.setattr(cross_evaluate, "table", lambda: {"sin": wrong})
    assert cross_evaluate.main(["--parts", "ops", "--terms"]) == 1
    out = capsys.readouterr().out
    assert "sin                                   12" in out and "DIFFERS" in out
    assert (
        "rational: sin: [3]: Rocq and Python differ in the VJP\none_case (Call op_sin [] [Ty Real [3]]" in out
    )
    assert "8 differences in" in out  # two draws of four shapes that have entries


def test_the_command_says_what_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no such op: nothing" in command("--ops", "nothing").stderr
    assert "no such part: all; parts: ops, shapes, graphs, floats" in command("--parts", "all").stderr
    monkeypatch.setenv("PATH", "")
    done = command("--ops", "relu")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no Rocq prover on the path" in done.stderr

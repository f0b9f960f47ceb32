"""The demo: it tells the truth, including when the truth is bad."""

from __future__ import annotations

import dataclasses
import io
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prooftape as pt
from prooftape.certificates.text import emit
from prooftape.certificates.verdict import THEOREMS
from prooftape.ops import find
from prooftape.theory import sources
from prooftape.theory.prover import HOW_TO_GET
from prooftape.training import load_checkpoint

pytest.importorskip("typer")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
from rich.console import Console

from prooftape.cli import demo, digits, exact_check, gradient_check, main


@pytest.fixture(scope="module")
def few() -> digits.Digits:
    """A hundred images instead of 1,797."""
    data = digits.load_digits()
    return digits.Digits(data.train[:80], data.train_labels[:80], data.test[:20], data.test_labels[:20])


def first_step(data: digits.Digits, batch: int = 6) -> gradient_check.FirstStep:
    net = digits.Network.fresh(pt.Session(), np.random.default_rng(3))
    return gradient_check.first_step(net, data.train[:batch], data.train_labels[:batch])


def run(data: digits.Digits, out: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[bool, str]:
    monkeypatch.setattr(digits, "load_digits", lambda: data)
    text = io.StringIO()
    good = demo.run_demo(out, 2, 0, Console(file=text, width=100))
    return good, text.getvalue()


@dataclasses.dataclass
class Unchecked:
    """One run with too little training and without a prover."""

    good: bool
    text: str
    out: Path


@pytest.fixture(scope="module")
def unchecked(few: digits.Digits, tmp_path_factory: pytest.TempPathFactory) -> Unchecked:
    out = tmp_path_factory.mktemp("demo") / "new"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("PATH", str(out / "nothing here"))
        return Unchecked(*run(few, out, monkeypatch), out)


def test_too_little_training_is_reported_as_failure(unchecked: Unchecked) -> None:
    text = unchecked.text
    assert not unchecked.good
    assert "FAILED test accuracy of 97%" in text
    assert "ok     gradient = forward mode within rounding" in text
    assert "ok     exact equality on the reduced copy" in text
    assert "unchecked certificate of the training step's graph and tape" in text
    assert (unchecked.out / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_the_checkpoint_has_the_trained_weights_and_the_graph(unchecked: Unchecked) -> None:
    pytest.importorskip("safetensors")
    found = load_checkpoint(unchecked.out / "digits.safetensors")
    assert found.step == 4 and found.state is not None and found.state.step == 4
    assert found.graph is not None and found.graph.nodes[-1].op == "cross_entropy"
    assert set(found.params) == {"w1", "b1", "w2", "b2", "w3", "b3"}


@pytest.mark.slow
def test_the_whole_demo_reaches_its_accuracy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing here"))
    assert main(["demo", "--out", str(tmp_path)]) == 0  # no prover is no failure
    text = capsys.readouterr().out
    assert "FAILED" not in text and "ok     test accuracy of 97%" in text
    assert "\nunchecked certificate of the training step's graph and tape\n" in text
    assert (tmp_path / "loss.png").exists()


# -- the certificate ----------------------------------------------------------------------------------------
def ending(text: str) -> list[str]:
    """What the demo prints from the certificate on."""
    lines = [line.rstrip() for line in text.splitlines()]
    return lines[lines.index("The certificate of a training step, from weights and images to the loss:") :]


def test_without_a_prover_the_demo_says_how_to_get_one(unchecked: Unchecked) -> None:
    cert, graph = unchecked.out / "digits.v", unchecked.out / "digits.graph"
    assert ending(unchecked.text)[1:7] == [
        "7 leaves, 9 nodes; 2 of the 4 steps ran this graph,",
        "the others one for a smaller batch.",
        f"  unchecked: there is no Rocq prover on the path; {HOW_TO_GET}",
        f"  certificate: {cert}   (check it: prooftape verify {cert} --graph {graph})",
        f"  what the gradients rest on, op by op: prooftape trust {graph}",
        "  weakest link: cross_entropy, tested in exact-tested, tail accuracy, kernel",
    ]


def test_what_is_certified_is_the_graph_that_was_trained_with(
    few: digits.Digits, unchecked: Unchecked
) -> None:
    pytest.importorskip("safetensors")
    graph = pt.Graph.load(unchecked.out / "digits.graph")
    s = pt.Session()
    net = digits.Network.fresh(s, np.random.default_rng(0))
    scores = digits.record(s, net, few.train[: digits.BATCH]).scores
    s.cross_entropy(scores, s.input_nat_vec(few.train_labels[: digits.BATCH]))
    assert graph == s.graph == load_checkpoint(unchecked.out / "digits.safetensors").graph
    theory = sources.digest(sources.read())
    assert (unchecked.out / "digits.v").read_text() == emit(graph, s.compile_tape(), theory)


def test_a_broken_prover_fails_no_network(
    few: digits.Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "coqc").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "coqc").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    _, text = run(few, tmp_path, monkeypatch)
    assert ending(text)[3].startswith(f"  unchecked: {tmp_path / 'coqc'} --version ended with status 3; ")
    assert "unchecked certificate of the training step's graph and tape" in text
    assert (tmp_path / "digits.v").is_file()


def test_a_refused_certificate_is_a_failure(
    few: digits.Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "REQUIRED_ACCURACY", 0.0)  # the certificate alone decides
    refused = pt.Verdict("refused", nodes=9, reason="node %7: no", node=7)
    monkeypatch.setattr(pt.Session, "certify", lambda *given: refused)
    good, text = run(few, tmp_path, monkeypatch)
    assert not good and text.count("FAILED") == 1
    assert "FAILED certificate of the training step's graph and tape" in text
    assert ending(text)[3] == "  refused: node %7: no"


@pytest.mark.slow
@pytest.mark.proofs
def test_the_demo_ends_with_a_proof(
    few: digits.Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, text = run(few, tmp_path, monkeypatch)
    lines = [line for line in ending(text) if not line.startswith("compiling the theory")]
    assert re.fullmatch(
        r"  proved by Rocq in \d+\.\d s, of this very graph and the tape that ran it:", lines[3]
    )
    assert lines[4:7] == [f"    {name}: {meaning}" for name, meaning in THEOREMS.items()]
    assert lines[7].startswith("    from the axioms ") and "functional_extensionality_dep" in lines[7]
    assert "ok     certificate of the training step's graph and tape" in lines
    assert pt.verify(tmp_path / "digits.v", pt.Graph.load(tmp_path / "digits.graph")).proved


def test_the_split_keeps_test_images_out_of_training() -> None:
    data = digits.load_digits()
    assert len(data.train) == 1437 and len(data.test) == 360
    train = {image.tobytes() for image in data.train}
    assert sum(image.tobytes() in train for image in data.test) == 0
    assert np.bincount(data.test_labels).min() >= 34
    again = digits.load_digits()
    assert np.array_equal(data.test, again.test)


def test_images_are_moved_by_at_most_one_cell() -> None:
    rng = np.random.default_rng(0)
    image = np.zeros((200, 1, 8, 8), np.float32)
    image[:, 0, 3, 4] = 1
    places = {tuple(map(int, np.argwhere(m[0] == 1)[0])) for m in digits.moved(image, rng)}
    assert places == {(i, j) for i in (2, 3, 4) for j in (3, 4, 5)}


def test_an_epoch_sees_every_image_once(few: digits.Digits) -> None:
    seen = list(digits.batches(few, np.random.default_rng(0)))
    assert [len(labels) for _, labels in seen] == [64, 16]
    assert len(seen) == digits.steps_per_epoch(few)
    assert sorted(np.concatenate([labels for _, labels in seen])) == sorted(few.train_labels)


# -- the gradient check -------------------------------------------------------------------------------
def test_reverse_and_forward_agree_within_the_bound(few: digits.Digits) -> None:
    found = list(gradient_check.check(first_step(few), np.random.default_rng(1)))
    assert len(found) == 2 * (3 + 6)
    assert all(a.holds for a in found)
    # the bound means something: far below the derivative itself in float64, yet not below the rounding
    for a in found:
        if a.scalar == "float64":
            assert 2.0**-53 < a.allowed_relative < 1e-8


def test_the_path_sum_of_a_net_without_signs_is_its_tangent(few: digits.Digits) -> None:
    # Without negative weights, images or direction nothing cancels before the loss, so S is the sum of
    # |dloss/dscore| * dscore, which jvp gives.
    rng = np.random.default_rng(5)
    net = digits.Network.fresh(pt.Session(), rng)
    for p in net.params():
        p.value = abs(p.value)
    first = gradient_check.first_step(net, few.train[:4], few.train_labels[:4])
    s = first.session.replay("float64")
    direction = [abs(rng.standard_normal(p.shape)) for p in net.params()]
    scores = s.ref(first.recorded.scores)
    tangent = s.jvp_dense_all(scores, [*direction, None])
    slope = s.backward_scalar_dense_all(s.ref(first.loss))[scores]
    found = gradient_check.path_sum(first, s, direction)
    assert found == pytest.approx(1.001 * np.sum(abs(slope) * tangent), rel=1e-12)


def test_the_path_sum_bounds_the_tangent(few: digits.Digits) -> None:
    first = first_step(few)
    s = first.session.replay("float64")
    rng = np.random.default_rng(8)
    for _ in range(5):
        d = [rng.standard_normal(p.shape) for p in first.recorded.params]
        assert abs(float(s.jvp_dense_all(s.ref(first.loss), [*d, None]))) < gradient_check.path_sum(
            first, s, d
        )


def test_roundings_are_counted_from_the_shapes(few: digits.Digits) -> None:
    reverse, forward = gradient_check.roundings(first_step(few, batch=6))
    c1, c2 = digits.CHANNELS
    assert reverse == 4 + 10 + c2 + 9 + 6 * 64 + 2
    assert forward == (9 + 2) + (9 * c1 + 2) + (4 * c2 + 2) + (1 + 9 + 2 + 5 + 1)


WRONG = {
    "conv2d": lambda op: dataclasses.replace(op, vjp=_scaled_vjp(op), _calls={}),
    "linear": lambda op: dataclasses.replace(op, jvp=_scaled_jvp(op), _calls={}),
}


def _scaled_vjp(op: Any) -> Any:
    def vjp(xp: Any, c: Any, saved: Any, ct: Any, wanted: Any) -> Any:
        dw, db, dx = op.vjp(xp, c, saved, ct, wanted)
        return None if dw is None else xp.scale(dw, 1.0 + 2.0**-20), db, dx

    return vjp


def _scaled_jvp(op: Any) -> Any:
    return lambda xp, *rest: xp.scale(op.jvp(xp, *rest), 1.0 + 2.0**-20)


@pytest.mark.parametrize("name", WRONG)
def test_a_rule_wrong_by_a_millionth_is_noticed(
    name: str, few: digits.Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = WRONG[name](find(name))
    monkeypatch.setattr(pt.Session, name, lambda self, w, b, x, **attrs: self.apply(wrong, w, b, x, **attrs))
    found = list(gradient_check.check(first_step(few), np.random.default_rng(1)))
    assert not all(a.holds for a in found)
    net = exact_check.reduced(few, np.random.default_rng(2))
    assert not all(a.holds for a in exact_check.check(net, np.random.default_rng(2), random=2))


def test_a_nan_does_not_pass_as_agreement() -> None:
    assert not gradient_check.Agreement("d", "float64", float("nan"), 1.0, 1.0).holds


# -- the exact check -----------------------------------------------------------------------------------
def test_the_reduced_copy_is_exact(few: digits.Digits) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        found = list(exact_check.check(exact_check.reduced(few, rng), rng, random=3))
        assert [(a.equal, a.pairs) for a in found] == [(47, 47), (3, 3), (3, 3)]
        assert all(isinstance(a.example, Fraction) and a.example != 0 for a in found)


def test_float_errors_are_roundings(few: digits.Digits) -> None:
    net = exact_check.reduced(few, np.random.default_rng(0))
    errors = dict(exact_check.float_errors(net))
    assert 0 < errors["float64"] < 1e-14 and 1e-10 < errors["float32"] < 1e-5


def test_long_numbers_are_shortened_in_the_middle() -> None:
    assert demo.shortened("1/3") == "1/3"
    short = demo.shortened("1234567890" * 9)
    assert short.startswith("123456") and short.endswith("567890") and "…" in short and len(short) <= 30

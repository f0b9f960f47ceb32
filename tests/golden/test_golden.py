"""Every session op against PyTorch's own values, VJPs and JVPs. The data are committed; only the last test
needs PyTorch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disagreements import ACCEPTED_ERRORS, DISAGREEMENTS, REFUSALS, WITHOUT_GOLDEN, Disagreement, Refusal
from golden_bounds import U, bounds, roundings
from golden_data import Array, Program, Record, error_inputs, operators, program_of, records
from golden_play import Answers, ask, play

from prooftape.errors import ProofTapeError
from prooftape.ops import table

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "make_golden.py"


@dataclass(frozen=True)
class Quantity:
    """One array to compare: what PyTorch says, what the session says, how far apart they may be."""

    name: str
    leaf: int
    torch: Array
    session: Array
    bound: Array | float

    @property
    def agrees(self) -> Any:
        """Entry by entry; nan agrees with nan, an infinity with itself."""
        with np.errstate(invalid="ignore"):
            near = np.abs(self.session - self.torch) <= self.bound
        return near | (self.session == self.torch) | (np.isnan(self.session) & np.isnan(self.torch))


def quantities(record: Record, program: Program, answers: Answers) -> Iterator[Quantity]:
    bound = bounds(program, record)
    yield Quantity("value", 0, record.out, answers.out.astype(np.float64), bound.out)
    for i, (torch, session) in enumerate(zip(record.gradients, answers.gradients, strict=True)):
        if torch is not None and session is not None:
            yield Quantity("vjp", i, torch, session, bound.gradients[i])
    if record.jvp is not None and answers.jvp is not None:
        yield Quantity("jvp", 0, record.jvp, answers.jvp, bound.jvp)


def refusal_of(record: Record) -> Refusal | None:
    return next((r for r in REFUSALS if (r.operator, r.record) == (record.op, record.id)), None)


def listed(d: Disagreement, record: Record, program: Program, q: Quantity) -> Any:
    """Entries of `q` that the list speaks of."""
    core = " ".join(op for op in program.ops if op != "broadcast_to")
    fits = d.op == core and d.quantity == q.name and d.variant in (None, program.variant)
    nowhere = np.zeros(q.torch.shape, dtype=np.bool_)
    if not fits:
        return nowhere
    with np.errstate(all="ignore"):
        mask = d.where(record)
    return mask if mask.shape == q.torch.shape else nowhere


def documented(d: Disagreement, record: Record, q: Quantity) -> Any:
    """What the list says the session gives."""
    v = [t for t in record.tangents if t is not None] if q.name == "jvp" else [record.cotangent]
    with np.errstate(all="ignore"):
        return np.broadcast_to(d.ours(record, [x for x in v if x is not None], q.leaf), q.torch.shape)


@cache
def compared(operator: str) -> list[tuple[Record, Program, list[Quantity]]]:
    """All programs of an operator, played once."""
    return [
        (record, program, list(quantities(record, program, ask(program, record))))
        for record in records(operator)
        if refusal_of(record) is None
        for program in record.programs
    ]


@pytest.mark.parametrize("operator", operators())
def test_agrees_with_pytorch(operator: str) -> None:
    problems = []
    for record, program, found in compared(operator):
        for q in found:
            assert q.session.shape == q.torch.shape, (
                f"{record} [{program.variant}] {q.name}: {q.session.shape} != {q.torch.shape}"
            )
            excused = np.zeros(q.torch.shape, dtype=np.bool_)
            for d in DISAGREEMENTS:
                excused |= listed(d, record, program, q)
            wrong = np.argwhere(~q.agrees & ~excused)
            if len(wrong):
                i = tuple(int(k) for k in wrong[0])
                bound = np.broadcast_to(q.bound, q.torch.shape)[i]
                problems.append(
                    f"{record} [{program.variant}] {q.name} {q.leaf}: {len(wrong)} entries, first {i}: "
                    f"session {q.session[i]!r}, PyTorch {q.torch[i]!r}, bound {bound:.3g}"
                )
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    "d", DISAGREEMENTS, ids=lambda d: f"{d.op}-{d.quantity}-{d.condition}".replace(" ", "_")
)
def test_listed_disagreement_is_real_and_as_described(d: Disagreement) -> None:
    """Wherever the condition holds the session gives what is written, and somewhere PyTorch really
    differs."""
    differing = 0
    for operator in operators():
        if not any(
            d.op == " ".join(op for op in p.ops if op != "broadcast_to")
            for r in records(operator)
            for p in r.programs
        ):
            continue
        for record, program, found in compared(operator):
            for q in found:
                here = listed(d, record, program, q)
                if not here.any():
                    continue
                ours = documented(d, record, q)[here]
                session = q.session[here]
                close = np.isclose(session, ours, rtol=16 * U, atol=0.0, equal_nan=True)
                where = f"{record} [{program.variant}] {q.name}"
                assert close.all(), f"{where}: the session gives {session}, the list says {ours}"
                differing += int(np.sum(~q.agrees & here))
    assert differing, "PyTorch gives the same everywhere: take the entry off the list"


@pytest.mark.parametrize("r", REFUSALS, ids=lambda r: f"{r.operator}-{r.record}")
def test_listed_refusal_is_real(r: Refusal) -> None:
    record = next(c for c in records(r.operator) if c.id == r.record)
    for program in record.programs:
        with pytest.raises(ProofTapeError) as refusal:
            ask(program, record)
        assert type(refusal.value).__name__ == r.error


# -------------------- error inputs
TRANSLATED = [e for e in error_inputs() if "program" in e]


@pytest.mark.parametrize("case", TRANSLATED, ids=lambda e: f"{e['op']}-{e['id']}")
def test_refuses_what_pytorch_refuses(case: dict[str, Any]) -> None:
    """Our own error, with the op's name in it, and a session that goes on working."""
    program = program_of(case["program"])
    leaves = [np.ones(shape) for shape in case["leaf_shapes"]]
    reason = ACCEPTED_ERRORS.get((case["op"], case["id"]))
    if reason is not None:
        play(program, leaves, [True] * len(leaves))
        return
    with pytest.raises(ProofTapeError) as refusal:
        play(program, leaves, [True] * len(leaves))
    assert any(op in str(refusal.value) for op in program.ops), (
        f"{case['call']}: the message does not name the op: {refusal.value}"
    )


def test_accepted_errors_are_error_inputs() -> None:
    assert set(ACCEPTED_ERRORS) <= {(e["op"], e["id"]) for e in TRANSLATED}


# -------------------- the data, by itself
@pytest.mark.parametrize("operator", operators())
def test_pytorch_is_adjoint_to_itself(operator: str) -> None:
    """<cotangent, J tangent> = <Jᵀ cotangent, tangent>: the records are whole, and no cotangent went to the
    wrong leaf."""
    for r in records(operator):
        if r.jvp is None or r.cotangent is None or r.out_scale is None:
            continue
        pairs = [
            (g, t) for g, t in zip(r.gradients, r.tangents, strict=True) if g is not None and t is not None
        ]
        if not all(np.isfinite(x).all() for x in [r.jvp, *(g for g, _ in pairs)]):
            continue
        left, right = float(np.sum(r.cotangent * r.jvp)), sum(float(np.sum(g * t)) for g, t in pairs)
        program = r.programs[0]
        magnitude = float(np.sum(np.abs(r.cotangent * r.jvp))) + sum(
            float(np.sum(np.abs(g * t))) for g, t in pairs
        )
        n = max(x.size for x in [*r.leaves, r.out])
        bound = bounds(program, r)
        slack = float(np.sum(np.abs(r.cotangent) * bound.jvp)) + sum(
            float(np.sum(np.abs(t) * b))
            for (_, t), b in zip(
                pairs,
                [b for g, b in zip(r.gradients, bound.gradients, strict=True) if g is not None],
                strict=True,
            )
        )
        assert abs(left - right) <= 2 * n * U * magnitude + slack, f"{r}: {left} != {right}"


def test_bounds_are_small() -> None:
    """A bound that would let a wrong formula through is no bound: at most 1e-9 of the scale it is taken of,
    over all records."""
    worst = max(
        roundings(p, r, derivative=True) * U for op in operators() for r in records(op) for p in r.programs
    )
    assert worst < 1e-9


@pytest.mark.parametrize("operator", operators())
def test_a_wrong_answer_is_noticed(operator: str) -> None:
    """Test of the test: for each operator and quantity some record notices an answer that is off by one part
    in 10**8 of its largest entry, everywhere."""
    asked, noticed = set(), set()
    for _, _, found in compared(operator):
        for q in found:
            finite = np.isfinite(q.torch)
            size = float(np.max(np.abs(q.torch[finite]), initial=0.0))
            if size:
                asked.add(q.name)
                moved = Quantity(q.name, q.leaf, q.torch, q.torch + 1e-8 * size, q.bound)
                if not moved.agrees[finite].any():
                    noticed.add(q.name)
    assert "value" in asked and asked == noticed


def test_data_stay_small() -> None:
    """They are cloned with the repository."""
    assert sum(p.stat().st_size for p in (Path(__file__).parent / "data").iterdir()) < 2_500_000


def test_coverage_page_is_what_the_manifest_says() -> None:
    """Rendered without PyTorch, from the manifest and the list of disagreements."""
    result = subprocess.run(
        [sys.executable, str(SCRIPT), "--page"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == (ROOT / "docs" / "golden-coverage.md").read_text(encoding="utf-8"), (
        f"run {SCRIPT.name}"
    )


def test_every_op_has_golden_values_or_a_reason() -> None:
    used = {op for operator in operators() for r in records(operator) for p in r.programs for op in p.ops}
    public = {name for name, op in table().items() if op.public}
    assert public - used == set(WITHOUT_GOLDEN), (
        "give the op a probe in scripts/golden/probes.py, or a reason"
    )


@pytest.mark.slow
@pytest.mark.interop
def test_committed_data_are_what_the_script_makes() -> None:
    if find_spec("torch") is None:
        pytest.skip("PyTorch is not installed: pip install 'prooftape[interop]'")
    result = subprocess.run(
        [sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr

"""A small network in floating point: Rocq's primitive floats give the bits of the reference floats."""

from __future__ import annotations

import dataclasses
import math
import struct
from fractions import Fraction

import numpy as np
import pytest
from crossevaluation import faults, floats, graphs, run, theory, values

from prooftape import Session
from prooftape.certificates.verify import run_text
from prooftape.errors import ScalarError
from prooftape.testing.reference import reference_floats, total

ULPS = 16
"""The most that NumPy's gradients of the small network may be off, in units in the last place of each
gradient's largest entry. Measured over seeds 0 to 99: at most 10. Another order of a sum of n numbers
moves it by at most about n units of its largest partial sum; here n is 2 to 8."""


@pytest.mark.proofs
def test_networks_and_a_training_step_agree_bit_for_bit() -> None:
    traces = floats.traces()
    found = faults([t.term for t in traces], "float", "trace")
    assert {traces[i].what: what for i, what in found.items()} == {}
    assert [t.what for t in traces] == [
        "network 4-8-2 on 4 examples",
        "network 3-5-4-1 on 8 examples",
        "one step of network 4-8-2 on 4 examples",
    ]


@pytest.mark.proofs
def test_a_changed_bit_is_found() -> None:
    r = floats.replay(floats.Network())
    terms, wanted = [], []
    for at in range(len(r.values)):
        for name, faulty in (
            ("values", ("WrongForward", "WrongTapeValues")),
            ("moved", ("WrongJvp",)),
            ("cotangents", ("WrongVjp", "WrongTapeGradients")),
        ):
            entries = list(getattr(r, name))
            new = np.array(entries[at])
            new.flat[-1] = math.nextafter(new.flat[-1], math.inf)
            entries[at] = new
            terms.append(graphs.term(dataclasses.replace(r, **{name: entries}), values.binary64))
            wanted.append(faulty)
    found = faults(terms, "float", "trace")
    assert [found[i] for i in range(len(terms))] == wanted


@pytest.mark.proofs
def test_same_bits_tells_zeros_apart_and_knows_one_nan() -> None:
    numbers = [0.0, -0.0, 1.0, math.nextafter(1.0, 2), math.inf, -math.inf, math.nan, 5e-324, -5e-324]
    lines = [run._HEAD.format(module="FloatNum", num="Fn64")]
    terms = [values.binary64(v) for v in numbers]
    lines.append(f"Definition numbers := [{';'.join(terms)}].")
    lines.append("Eval vm_compute in (map (fun a => map (same_bits a) numbers) numbers).")
    done = run_text(*theory(), "\n".join(lines))
    assert done.ok, done.errors
    answers = "".join(c for c in done.output.replace("true", "1").replace("false", "0") if c in "01")
    bits = [struct.pack(">d", v) for v in numbers]
    assert answers == "".join("1" if a == b else "0" for a in bits for b in bits)


# -- the reference floats themselves ---------------------------------------------------------------
def test_numpy_is_close_to_the_reference_but_not_equal() -> None:
    apart = [floats.units_apart(floats.Network(), seed) for seed in range(20)]
    assert 0 < max(apart) <= ULPS


def test_sums_run_from_the_left_uncompensated() -> None:
    numbers = [1e16, 1.0, 1.0, -1e16]
    assert total(numbers) == 0.0
    assert math.fsum(numbers) == 2.0
    xp = reference_floats().xp
    x = xp.convert(np.array(numbers))  # type: ignore[attr-defined]
    assert xp.sum(x, (0,)).item() == 0.0
    assert xp.matmul(x.reshape(1, 4), xp.full((4, 1), 1)).item() == 0.0
    assert math.copysign(1, xp.sum(xp.full((2,), -0.0), (0,)).item()) == 1.0  # they start at +0


def test_several_axes_are_summed_in_row_major_order() -> None:
    xp = reference_floats().xp
    x = xp.convert(np.array([[[1e16, 1.0], [0.0, 0.0]], [[1.0, -1e16], [2.0, 3.0]]]))  # type: ignore[attr-defined]
    assert xp.sum(x, (0, 2)).tolist() == [0.0, 5.0]
    assert xp.sum(x, (0, 1, 2)).item() == total(x.ravel().tolist())
    assert xp.sum(x, ()) is x


def test_the_reference_floats_are_a_scalar_of_a_session() -> None:
    s = Session(reference_floats())
    x = s.input([0.1, 0.2, 4.0])
    cubes = s.pow_const(s.sqrt(x), c=3)
    want = [r * (r * (r * 1.0)) for r in map(math.sqrt, (0.1, 0.2, 4.0))]
    assert cubes.value.tolist() == want
    assert s.sum(cubes).value.item() == 0.0 + want[0] + want[1] + want[2]
    assert s.scale(x, Fraction(1, 3)).value.dtype == np.float64
    assert math.isnan(s.sqrt(s.neg(x)).value[0])
    with pytest.raises(ScalarError, match="exp has no exact value in the reference floats"):
        s.exp(x).value  # noqa: B018
    with pytest.raises(ScalarError, match=r"x \*\* 1/2 has no exact value"):
        s.pow_const(x, c=Fraction(1, 2)).value  # noqa: B018
    with pytest.raises(ScalarError, match="division by zero has no value in the reference floats"):
        s.reciprocal(s.sub(x, x)).value  # noqa: B018

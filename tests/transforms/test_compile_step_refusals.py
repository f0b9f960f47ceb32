"""compile_step: what it cannot do is refused, clearly."""

from __future__ import annotations

import numpy as np
import pytest
from exact_cases import exact, poly
from stepping_cases import ENGINES, data, network, program

import prooftape as pt
from prooftape.errors import (
    AttributeValueError,
    CompiledStepError,
    ForeignHandleError,
    OperandError,
    ScalarError,
    ShapeError,
    ValueTypeError,
)

jax = pytest.importorskip("jax")
jnp = jax.numpy

# -- refusals ---------------------------------------------------------------------------------------------
OUTER = pt.Session()


def pollute(x: pt.TensorRef) -> pt.TensorRef:
    OUTER.const([1.0])
    return x


REFUSED = {
    "a number": (lambda x: x.size, r"returned int 2, which would be the same at every call"),
    "an array": (lambda x: {"y": np.ones(2)}, r"returned ndarray of shape \(2,\)"),
    "a value": (
        lambda x: x * x.value[0],
        r"value of x \(2,\) \[.*\] was asked for .*test_compile_step_refusals.py:\d+",
    ),
    "item": (lambda x: x * x.sum().item(), r"was asked for while the step is recorded"),
    "backward": (
        lambda x: x.session.backward_scalar_dense_all(x.sum()),
        r"a backward pass was asked for .* use pt.grad",
    ),
    "tangent": (lambda x: x.session.jvp_leaf(x, x, np.ones(2)), r"a tangent was asked for .* use pt.jvp"),
    "reset": (lambda x: x.session.reset_tape(), r"reset_tape\(\) was called"),
    "input": (lambda x: x + x.session.input([1.0, 2.0]), r"input\(\) was called .* as an argument"),
    "leaf": (lambda x: x + x.session.add_leaf([1.0, 2.0]), r"add_leaf\(\) was called"),
    "param": (lambda x: x + x.session.use(x.session.param(np.ones(2), name="p")), r"use\(\) was called"),
    "naturals": (
        lambda x: x[x.session.input_nat_vec([0])],
        r"input_nat_vec\(\) was called .* vector of integers",
    ),
    "natural": (lambda x: x[x.session.input_nat(0)], r"input_nat\(\) was called"),
    "state": (lambda x: x.session.state, r"the state of the session was asked for"),
    "replay": (lambda x: x.session.replay("float64"), r"a replay was asked for"),
    "surroundings": (
        pollute,
        r"pollute \[test_compile_step_refusals.py:\d+\] records into <Session.*x.session",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_step_cannot_do_is_refused(name: str) -> None:
    OUTER.reset_tape()
    fn, message = REFUSED[name]
    step = pt.compile_step(fn, engine="numpy")
    with pytest.raises(CompiledStepError, match=message):
        step(np.ones(2, np.float32))
    assert step.stats().structures == 0


def test_naturals_of_a_step_cannot_be_read_or_written() -> None:
    for act in (
        lambda i: i.session.get_nat_vec(i),
        lambda i: i.session.set_nat_vec(i, [0]),
    ):
        step = pt.compile_step(lambda i, act=act: act(i), engine="numpy")
        with pytest.raises(CompiledStepError, match="while the step is recorded"):
            step(np.array([1]))


def test_handles_of_other_sessions_are_refused() -> None:
    s = pt.Session()
    y = s.input(np.ones(2))
    for fn in (lambda x: x + y, lambda x: y):
        with pytest.raises(ForeignHandleError, match="belongs to another session"):
            pt.compile_step(fn, engine="numpy")(np.ones(2, np.float32))


UNSUPPORTED = {
    "a parameter": (pt.Param([1.0]), r"x is Param.* pass param.value"),
    "a session": (pt.Session(), "x is a Session"),
    "a generator": (np.random.default_rng(0), "x is a random generator"),
    "a matrix of integers": (np.ones((2, 2), int), r"x is an array of int64 of shape \(2, 2\).*ravel"),
    "an integer array": (np.array(3), r"x is an array of int64 of shape \(\).*int\(n\)"),
    "complex numbers": (np.ones(2, complex), "x is an array of complex128"),
    "text": (np.array(["a"]), "x is an array of <U1"),
    "a set": ({1, 2}, "x is set .*cannot be compared from call to call"),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported_arguments_are_named(engine: str, name: str) -> None:
    value, message = UNSUPPORTED[name]
    with pytest.raises(CompiledStepError, match=message):
        pt.compile_step(lambda x: x, engine=engine)(value)
    with pytest.raises(CompiledStepError, match=message.replace("x is", r"x\['k'\]\[1\] is")):
        pt.compile_step(lambda x: x["k"][0], engine=engine)({"k": [np.ones(2), value]})


class Foreign:
    dtype, shape = "torch.float32", (2,)


def test_arrays_of_other_libraries_are_refused() -> None:
    for engine in ENGINES:
        with pytest.raises(
            CompiledStepError, match=r"x is .*, an array of another library; pass a NumPy array"
        ):
            pt.compile_step(lambda x: x, engine=engine)(Foreign())


def test_wrong_settings() -> None:
    f = lambda x, y: x  # noqa: E731
    with pytest.raises(CompiledStepError, match="expected a function, got int 3"):
        pt.compile_step(3)  # type: ignore[arg-type]
    with pytest.raises(ValueTypeError, match="unknown engine 'torch'; known: xla, numpy"):
        pt.compile_step(f, engine="torch")
    with pytest.raises(ScalarError, match=r"XLA computes in float32.*not in rational; use engine='numpy'"):
        pt.compile_step(f, scalar="rational")
    with pytest.raises(ScalarError, match=r"not in rational"):
        pt.compile_step(lambda x: x)(exact([1]))
    with pytest.raises(
        AttributeValueError, match=r"donate='z': .* has no argument of this name, it takes x, y"
    ):
        pt.compile_step(f, donate="z")
    with pytest.raises(AttributeValueError, match=r"donate=2: .* takes the arguments x, y"):
        pt.compile_step(f, donate=2)
    with pytest.raises(ValueTypeError, match="donate takes names or positions of arguments, got float"):
        pt.compile_step(f, donate=[0.5])  # type: ignore[list-item]
    assert pt.compile_step(lambda *a: a[0], donate=7, engine="numpy")(np.ones(1)) == 1


def test_a_missing_jax_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(pt.errors.MissingExtraError, match=r"prooftape\[xla\].*engine='numpy'"):
        pt.compile_step(poly)


def test_an_error_of_the_function_leaves_the_step_usable() -> None:
    step = pt.compile_step(lambda x, y: x + y.sum() @ x, engine="numpy")
    with pytest.raises((ShapeError, OperandError)):
        step(np.ones(2), np.ones(3))
    assert step.stats().structures == 0
    exp = pt.compile_step(lambda x: x.exp(), engine="numpy")
    with pytest.raises(ScalarError, match=r"exp: .*recorded at test_compile_step_refusals.py:\d+"):
        exp(exact([1]))
    assert exp(np.zeros(1)) == 1


def test_names_come_from_the_function() -> None:
    assert repr(pt.compile_step(pt.grad(poly), engine="numpy")).startswith(
        "<compiled step poly [exact_cases.py:"
    )
    step = pt.compile_step(pt.value_and_grad(network), engine="numpy", donate="params")
    step(*data())
    assert program(step).function.graph.leaves[0].name == "params['b'][0]"

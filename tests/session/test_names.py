"""What a user sees of the objects: representations, and names that other libraries have."""

from __future__ import annotations

import copy
import pickle

import pytest

import prooftape as pt
from prooftape.torch_names import HANDLE, SESSION


def recorded() -> tuple[pt.Session, pt.TensorRef]:
    s = pt.Session("float64")
    return s, s.sum(s.input([1.0, 2.0], "x"))


@pytest.mark.parametrize("name", HANDLE)
def test_a_handle_says_what_serves_instead(name: str) -> None:
    _, y = recorded()
    with pytest.raises(AttributeError) as caught:
        getattr(y, name)
    assert str(caught.value) == f"'TensorRef' object has no attribute '{name}'; {HANDLE[name]}"


@pytest.mark.parametrize("name", SESSION)
def test_a_session_says_what_serves_instead(name: str) -> None:
    s, _ = recorded()
    with pytest.raises(AttributeError) as caught:
        getattr(s, name)
    assert str(caught.value) == f"'Session' object has no attribute '{name}'; {SESSION[name]}"


def test_python_can_still_suggest_a_name() -> None:
    s, y = recorded()
    for owner in (s, y):
        with pytest.raises(AttributeError, match=r"has no attribute 'sofmax'$") as caught:
            owner.sofmax  # type: ignore[union-attr]  # noqa: B018
        assert caught.value.name == "sofmax" and caught.value.obj is owner


def test_missing_names_are_missing_to_python() -> None:
    s, y = recorded()
    assert not hasattr(y, "view") and not hasattr(s, "view") and getattr(y, "view", None) is None
    assert copy.copy(y) is y
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(y)


def test_representations() -> None:
    s, y = recorded()
    assert repr(s) == "<Session float64: 1 leaf, 1 node>"
    assert repr(y) == f"{y}" == str(y) == "TensorRef(%1: real[])"
    assert repr(s.backward_scalar_dense_all(y)) == "<Grads float64: 2 entries; read one with grads[ref]>"


def test_handles_are_dictionary_keys() -> None:
    s = pt.Session()
    x, y = s.input(1.0), s.input(2.0)
    names = {x: "x", y: "y"}
    assert names[x] == "x" and names[y] == "y" and x == x and x != y and x != "x" and x is not None


def test_names_that_are_elsewhere_are_not_listed_and_cost_nothing() -> None:
    s, y = recorded()
    assert "view" not in dir(s) and "view" not in dir(y) and "relu" in dir(s) and "relu" in dir(y)
    for owner in (pt.Session, pt.TensorRef):
        # one of these would take every attribute access off CPython's fast path: a third of recording time
        assert not hasattr(owner, "__getattr__") and owner.__getattribute__ is object.__getattribute__

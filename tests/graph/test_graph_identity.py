"""Equality, digest, hash, pickling and files agree about what the same graph is."""

from __future__ import annotations

import copy
import os
import pickle
import random
import threading
from pathlib import Path

import graph_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prooftape.errors import GraphParseError
from prooftape.graph import Graph, Leaf, Node
from prooftape.ops import find
from prooftape.session import Session
from prooftape.types import TensorType

RANDOMS = st.randoms(use_true_random=False)


def altered(rng: random.Random, graph: Graph) -> Graph:
    """The graph, or one a small step from it (not always well-formed: identity does not ask)."""
    leaves, nodes, n_nats = list(graph.leaves), list(graph.nodes), graph.n_nats
    step = rng.randrange(6)
    if step == 1:
        n_nats += 1
    elif step == 2 and leaves:
        i = rng.randrange(len(leaves))
        leaves[i] = leaves[i]._replace(name=rng.choice(cases.NAMES))
    elif step == 3 and leaves:
        i = rng.randrange(len(leaves))
        leaves[i] = leaves[i]._replace(requires_grad=not leaves[i].requires_grad)
    elif step == 4 and nodes:
        nodes.pop()
    elif step == 5 and nodes:
        k = rng.randrange(len(nodes))
        nodes[k] = nodes[k]._replace(args=tuple(rng.randrange(len(leaves)) for _ in nodes[k].args))
    return Graph(leaves, nodes, n_nats)


@given(RANDOMS, st.integers(0, 6))
def test_equal_graphs_and_only_they_share_a_digest(rng: random.Random, size: int) -> None:
    a = cases.random_graph(rng, size)
    b = altered(rng, a)
    assert (a == b) == (a.digest() == b.digest()) == (hash(a) == hash(b))
    assert (a == b) == (a.text() == b.text())


@pytest.mark.parametrize("values", [(0.0, -0.0), (1, 1.0), (True, 1), (None, "")])
def test_near_misses(values: tuple[object, object]) -> None:
    t = TensorType.of((2,))
    if values[1] == 1 and values[0] is True:
        one, other = (Graph([Leaf(t, None, v, "input")]) for v in (False, True))
    elif values[0] is None:
        one, other = (Graph([Leaf(t, v, False, "input")]) for v in values)  # type: ignore[arg-type]
    else:
        leaf = Leaf(t, None, False, "input")
        one, other = (Graph([leaf], [Node(find("scale").bind((t,), (v,)), (0,))]) for v in values)
    assert one != other
    assert one.digest() != other.digest()
    assert one.diff(other)


def test_source_locations_are_not_identity() -> None:
    def record() -> Graph:
        s = Session()
        s.neg(s.input([1.0]))
        return s.graph

    one = record()
    other = record()
    assert one.locations is not None
    assert one == other == Graph(one.leaves, one.nodes, one.n_nats)


@given(RANDOMS, st.integers(0, 6))
def test_pickle_and_copy(rng: random.Random, size: int) -> None:
    graph = cases.random_graph(rng, size)
    for same in (pickle.loads(pickle.dumps(graph)), copy.copy(graph), copy.deepcopy(graph)):
        assert same == graph
        assert same.digest() == graph.digest()


def test_a_snapshot_does_not_change() -> None:
    s = Session()
    x = s.input([1.0])
    before, text = s.graph, s.graph.text()
    s.neg(x)
    assert before.text() == text
    assert before != s.graph


def test_save_and_load(tmp_path: Path) -> None:
    graph = cases.graph_of(cases.every_call(), random.Random(1))
    path = tmp_path / "net.graph"
    graph.save(path)
    assert Graph.load(path) == graph
    assert Graph.load(str(path)) == graph
    assert os.listdir(tmp_path) == ["net.graph"]
    path.write_bytes(graph.text().replace("\n", "\r\n").encode())
    assert Graph.load(path) == graph


def test_saving_replaces_the_file_in_one_step(tmp_path: Path) -> None:
    """A reader that looks all the time sees the one graph or the other, whole."""
    small, large = Graph(), cases.graph_of(cases.every_call())
    path = tmp_path / "net.graph"
    small.save(path)
    seen: set[str] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.add(path.read_text(encoding="utf-8"))

    reader = threading.Thread(target=look)
    reader.start()
    for k in range(40):
        (large if k % 2 else small).save(path)
    done.set()
    reader.join()
    assert seen <= {small.text(), large.text()}


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.graph"
    Graph().save(path)

    def fail(source: object, target: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        cases.graph_of(cases.every_call()).save(path)
    assert path.read_text(encoding="utf-8") == Graph().text()
    assert os.listdir(tmp_path) == ["net.graph"]


def test_loading_something_else(tmp_path: Path) -> None:
    path = tmp_path / "net.graph"
    path.write_bytes(b"prooftape graph 1\nnats 0\n\xff")
    with pytest.raises(GraphParseError) as caught:
        Graph.load(path)
    assert str(caught.value) == "net.graph: not UTF-8 text: invalid start byte at byte 25"
    path.write_text("prooftape graph 1\nnats x\n")
    with pytest.raises(GraphParseError) as caught:
        Graph.load(path)
    assert str(caught.value) == (
        "net.graph: graph text, line 2, column 1: expected a line such as 'nats 0', found 'nats x'"
    )
    with pytest.raises(FileNotFoundError):
        Graph.load(tmp_path / "missing.graph")


def test_immutable() -> None:
    graph = cases.graph_of([cases.every_call()[0]])
    with pytest.raises(AttributeError, match=r"^Graph is immutable, cannot set 'n_nats'$"):
        graph.n_nats = 3
    with pytest.raises(AttributeError, match=r"^Call is immutable, cannot set 'out'$"):
        graph.nodes[0].call.out = TensorType.of(())
    value = next(n.call for n in cases.graph_of(cases.every_call()).nodes if n.op == "const").literal("value")
    with pytest.raises(ValueError, match="read-only"):
        value.array[...] = 7
    assert not np.shares_memory(value.array, np.ones(3))

"""The recorded graph: immutable, typed SSA data over a context of leaves followed by nodes.

Ids are positions in that context: `id < len(leaves)` is a leaf, `len(leaves) + k` is node k. Operands of a
node have smaller ids. Nothing here is a closure: a node is (call, operand ids, nat slots), so a graph prints,
parses back, hashes, diffs and saves. Source locations ride along but are not part of a graph's identity.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, NamedTuple, TypeVar, overload

from prooftape.errors import GraphParseError
from prooftape.op import Call
from prooftape.types import TensorType

if TYPE_CHECKING:
    from prooftape.graph_diff import GraphDiff

T = TypeVar("T")


class Location(NamedTuple):
    """Where user code made a leaf or node, kept as (code, instruction) and resolved to a line on demand."""

    code: CodeType
    instruction: int

    @property
    def line(self) -> int:
        """Line number, 0 when unknown."""
        for start, stop, line in self.code.co_lines():
            if start <= self.instruction < stop and line is not None:
                return line
        return self.code.co_firstlineno

    @property
    def path(self) -> str:
        """File name as Python recorded it."""
        return self.code.co_filename

    def __str__(self) -> str:
        return f"{os.path.basename(self.path)}:{self.line}"


class Leaf(NamedTuple):
    """A context entry with a value of its own. `kind`: `input`, `param`, `const` or `leaf`."""

    type: TensorType
    name: str | None
    requires_grad: bool
    kind: str


class Node(NamedTuple):
    """One op applied: its typed call, operand ids, and the nat slot where each index vector starts."""

    call: Call
    args: tuple[int, ...]
    nats: tuple[int, ...] = ()

    @property
    def op(self) -> str:
        """Name of the op."""
        return self.call.op.name

    @property
    def type(self) -> TensorType:
        """Type of the result."""
        return self.call.out


class Prefix(Sequence[T]):
    """A read-only view of the first n items of an append-only list, so that a snapshot costs O(1)."""

    __slots__ = ("_items", "_n")

    def __init__(self, items: list[T], n: int | None = None) -> None:
        self._items = items
        self._n = len(items) if n is None else n

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            start, stop, step = index.indices(self._n)
            return [self._items[i] for i in range(start, stop, step)]
        i = index + self._n if index < 0 else index
        if not 0 <= i < self._n:
            raise IndexError(f"index {index} out of range for {self._n} items")
        return self._items[i]

    def __iter__(self) -> Iterator[T]:
        return islice(self._items, self._n)  # bounded: the list may grow while we iterate

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, (str, bytes)):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Prefix({list(self)!r})"


def _prefix(items: Iterable[T]) -> Prefix[T]:
    return items if isinstance(items, Prefix) else Prefix(list(items))


class Graph:
    """Leaves, nodes and the size of the nat environment. Immutable; equality ignores source locations."""

    __slots__ = ("leaves", "locations", "n_nats", "nodes")

    leaves: Prefix[Leaf]
    nodes: Prefix[Node]
    n_nats: int
    locations: Prefix[Location | None] | None

    def __init__(
        self,
        leaves: Iterable[Leaf] = (),
        nodes: Iterable[Node] = (),
        n_nats: int = 0,
        locations: Iterable[Location | None] | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "leaves", _prefix(leaves))
        put(self, "nodes", _prefix(nodes))
        put(self, "n_nats", n_nats)
        put(self, "locations", None if locations is None else _prefix(locations))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Graph is immutable, cannot set {name!r}")

    def __len__(self) -> int:
        """Number of context entries: leaves and nodes."""
        return len(self.leaves) + len(self.nodes)

    def type_of(self, id: int) -> TensorType:
        """Type of a context entry."""
        n = len(self.leaves)
        return self.leaves[id].type if id < n else self.nodes[id - n].call.out

    def location_of(self, id: int) -> Location | None:
        """Source location of a context entry, where known."""
        return None if self.locations is None else self.locations[id]

    def describe(self, id: int) -> str:
        """How error messages name a context entry: `W (128, 784) [train.py:12]`."""
        n = len(self.leaves)
        name = (self.leaves[id].name if id < n else None) or f"%{id}"
        shape = self.type_of(id).shape
        where = self.location_of(id)
        return f"{name} {shape}" + (f" [{where}]" if where else "")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Graph):
            return NotImplemented
        return self.n_nats == other.n_nats and self.leaves == other.leaves and self.nodes == other.nodes

    def __hash__(self) -> int:
        return hash(self.digest())

    def __reduce__(self) -> tuple[object, ...]:
        return (Graph.parse, (self.text(),))

    def digest(self) -> str:
        """Structural hash (SHA-256, hex) of the text form: equal graphs, and only they, share it."""
        h = hashlib.sha256()
        for line in self.lines():
            h.update(line.encode())
            h.update(b"\n")
        return h.hexdigest()

    def lines(self) -> Iterator[str]:
        """The text form line by line."""
        from prooftape.graph_text import graph_lines

        return graph_lines(self)

    def text(self) -> str:
        """The graph as text that `Graph.parse` reads back to an equal graph."""
        return "\n".join(self.lines()) + "\n"

    __str__ = text

    def __repr__(self) -> str:
        return f"<Graph: {len(self.leaves)} leaves, {len(self.nodes)} nodes, {self.n_nats} nats>"

    @staticmethod
    def parse(text: str) -> Graph:
        """Read the text form (`load` reads a file of it); raises `GraphParseError` naming line and column."""
        from prooftape.graph_text import parse_graph

        return parse_graph(text)

    def check(self) -> None:
        """Raise `GraphError` naming the first ill-formed leaf or node; return None when all is well."""
        from prooftape.graph_check import check_graph

        check_graph(self)

    def diff(self, other: Graph) -> GraphDiff:
        """What changed from this graph to `other`, node by node; falsy when they are equal."""
        from prooftape.graph_diff import diff_graphs

        return diff_graphs(self, other)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the text form to a file, atomically."""
        from prooftape.files import write_atomically

        write_atomically(Path(path), self.text().encode())

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Graph:
        """Read a graph saved by `save`."""
        path = Path(path)
        try:
            return Graph.parse(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError as e:
            raise GraphParseError(f"{path.name}: not UTF-8 text: {e.reason} at byte {e.start}") from None
        except GraphParseError as e:
            raise GraphParseError(f"{path.name}: {e}") from None

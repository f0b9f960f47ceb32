"""An immutable snapshot of a session: graph, leaf values, nat environment."""

from __future__ import annotations

from dataclasses import dataclass, field

from prooftape.arrays.structure import Arr
from prooftape.graph import Graph
from prooftape.literal import Literal
from prooftape.types import Shape


@dataclass(frozen=True, slots=True, eq=False)
class SessionState:
    """What a session holds at one moment. Taking one costs O(leaves); nothing recorded later changes it."""

    graph: Graph = field(default_factory=Graph)
    leaf_values: tuple[Arr, ...] = ()
    nats: tuple[int, ...] = ()

    @classmethod
    def empty(cls) -> SessionState:
        """No leaves, no nodes, no naturals."""
        return cls()

    def __eq__(self, other: object) -> bool:
        """Same graph, same naturals, same leaf values entry for entry (nan equals nan, -0.0 is not 0.0)."""
        if not isinstance(other, SessionState):
            return NotImplemented
        if self.graph != other.graph or self.nats != other.nats:
            return False
        pairs = zip(self.leaf_values, other.leaf_values, strict=True)
        return all(a is b or (a.dtype == b.dtype and Literal(a) == Literal(b)) for a, b in pairs)

    def __hash__(self) -> int:
        return hash((self.graph, self.nats))

    @property
    def leaf_shapes(self) -> tuple[Shape, ...]:
        """Γ: the shapes of the leaves."""
        return tuple(leaf.type.shape for leaf in self.graph.leaves)

    @property
    def node_shapes(self) -> tuple[Shape, ...]:
        """ss: the shapes of the nodes."""
        return tuple(node.call.out.shape for node in self.graph.nodes)

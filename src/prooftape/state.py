"""An immutable snapshot of a session: graph, leaf values, nat environment."""

from __future__ import annotations

from dataclasses import dataclass, field

from prooftape.arrays.structure import Arr
from prooftape.graph import Graph
from prooftape.types import Shape


@dataclass(frozen=True, slots=True)
class SessionState:
    """What a session holds at one moment. Taking one costs O(leaves); nothing recorded later changes it."""

    graph: Graph = field(default_factory=Graph)
    leaf_values: tuple[Arr, ...] = ()
    nats: tuple[int, ...] = ()

    @classmethod
    def empty(cls) -> SessionState:
        """No leaves, no nodes, no naturals."""
        return cls()

    @property
    def leaf_shapes(self) -> tuple[Shape, ...]:
        """Γ: the shapes of the leaves."""
        return tuple(leaf.type.shape for leaf in self.graph.leaves)

    @property
    def node_shapes(self) -> tuple[Shape, ...]:
        """ss: the shapes of the nodes."""
        return tuple(node.call.out.shape for node in self.graph.nodes)

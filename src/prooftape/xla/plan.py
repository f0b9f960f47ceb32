"""What is prepared once per recorded graph and set of parameters, and what is known of one recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from prooftape.arrays.structure import Arr
from prooftape.param import Param
from prooftape.xla.bank import Bank
from prooftape.xla.program import Layout, Program
from prooftape.xla.structure import Structure

if TYPE_CHECKING:
    from prooftape.replay import Track
    from prooftape.xla.arguments import Arguments

MAX_INDEX: Final = 2**31 - 1  # larger indices are out of range anyway, and XLA's are of 32 bits
Rows = tuple[tuple[float, ...], ...]
"""The moving numbers of an update rule, one row per group of parameters."""


class Plan:
    """A structure with the parameters of one session: where each leaf's value comes from."""

    def __init__(self, engine: Arguments, st: Structure, params: dict[int, Param]) -> None:
        self.structure = st
        self.params = params
        self.unique = list(dict.fromkeys(params.values()))
        self.engine = engine
        self.read_later: set[int] = set()  # values, and
        self.grads_later: set[int] = set()  # cotangents that were read after a step
        self.calm = 0  # steps since the last such discovery
        self.freezes = -1
        self.quick: Quick | None = None
        self.nat_places: WeakKeyDictionary[Track, tuple[int, ...]] = WeakKeyDictionary()
        self.trained: Bank
        self.frozen: Bank
        self.check_frozen()

    def check_frozen(self) -> None:
        """Sort the parameters into trained and frozen ones, as they are now."""
        trained = [p for p in self.unique if p.requires_grad]
        if self.freezes >= 0 and trained == self.trained.params:
            self.freezes = Param.freezes
            return
        self.freezes, self.quick = Param.freezes, None
        self.trained = Bank(trained, self.engine.put)
        self.frozen = Bank([p for p in self.unique if not p.requires_grad], self.engine.put)
        where: dict[Param, tuple[int, int]] = {p: (0, i) for i, p in enumerate(trained)}
        where.update({p: (1, i) for i, p in enumerate(self.frozen.params)})
        sources, others = [], len(self.frozen.params)
        for i in range(self.structure.base):
            if i in self.params:
                sources.append(where[self.params[i]])
            else:
                sources.append((1, others))
                others += 1
        self.layout = Layout(tuple(sources))
        leaves: dict[Param, list[int]] = {p: [] for p in trained}
        for i, p in self.params.items():
            if p.requires_grad:
                leaves[p].append(i)
        self.leaves = tuple([tuple(found) for found in leaves.values()])
        self.wanted = tuple([i for found in self.leaves for i in found])
        self.steps: dict[Any, Any] = {}


class Quick:
    """All that a step of plain gradient descent needs when nothing has changed since the last one."""

    __slots__ = ("fast", "grads_out", "moving", "program", "rate", "root", "values_out")

    def __init__(
        self, rate: float, root: int, moving: Any, program: Program, values_out: Any, grads_out: Any
    ) -> None:
        self.rate, self.root, self.moving = rate, root, moving
        self.program, self.fast = program, program.fast
        self.values_out, self.grads_out = values_out, grads_out


class Now:
    """What the engine knows of the present recording of its session."""

    __slots__ = (
        *("generation", "gone", "grads", "handed", "kept"),
        *("known", "nats", "others", "stepped", "written"),
    )

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.known: dict[int, Any] = {}  # context id -> device value, or what a step still owes
        self.kept: dict[Param, Any] = {}  # parameters' values before the step, where they were kept
        self.gone: Sequence[Param] = ()  # parameters that a step has changed
        self.stepped: Plan | None = None
        self.written: list[Arr] = []  # the naturals as they were before each change
        self.nats: Arr | None = None  # the naturals to compute with, if not the present ones
        self.others: dict[int, Any] = {}  # leaf values put on the device
        self.grads: Any = None  # cotangents that a step has handed out
        self.handed: tuple[int, Any, int] = (-1, None, 0)  # their root, seed, and changes of naturals

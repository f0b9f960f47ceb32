"""Speculative replay: recording again what was recorded before, without doing the work again.

A session that records the same graph twice keeps a `Track` of it: the calls in order, each with its arguments
as the user wrote them and the handle it returned. After the next `reset_tape` every call is compared with the
one expected, by identity where identity decides, and on a match the handle made earlier is returned. At the
first call that differs the session goes back to recording (`Recording._settle`): it takes over the part of
the graph that has matched, so a wrong guess costs time and never an answer.

Handles may be given out again only when nobody holds them, or a stale handle would pass for a fresh one. So a
track has several sets of handles, and a set is used again when the reference counts of its handles and of its
token are those of an untouched set.
"""

from __future__ import annotations

import operator
import sys
from typing import Any, Final, NamedTuple

from prooftape.graph import Leaf, Location, Node
from prooftape.handle_methods import TensorRef
from prooftape.handles import Expected, Handle, NatRef, NatVecRef, Token
from prooftape.literal import Literal
from prooftape.op import Op
from prooftape.param import Param
from prooftape.same import Entries, Listed, Unmatchable, frozen
from prooftape.tape import Instr
from prooftape.types import TensorType

MAX_NODES: Final = 100_000
"""Larger graphs are not tracked: their handles would be kept alive for a repetition that seldom comes."""
MAX_SETS: Final = 4
MAX_TRACKS: Final = 16
COUNTED: Final = getattr(sys, "_is_gil_enabled", lambda: True)()
"""Whether reference counts can be trusted; without the global lock they cannot, and nothing is replayed."""

# what an expected call is recognised by, when it is not an op of the table
USE: Final = "use"
LEAF: Final = "leaf"
NAT: Final = "nat"
NAT_VEC: Final = "nat_vec"
CONST: Final = "const"
CONSTANTS: Final = ("const", "const_mask")
"""Names of the ops that record a constant node."""


class Nat(NamedTuple):
    """One call of `input_nat` or `input_nat_vec`: where it stood, its slots, whether it was a vector."""

    n_leaves: int
    n_nodes: int
    start: int
    length: int
    vector: bool


class Note(NamedTuple):
    """An operator that recorded several nodes: its key and arguments, and the nodes from first to end.

    arguments: frozen, handles as `_Ref`; None if they cannot be compared.
    """

    key: str
    arguments: tuple[object, ...] | None
    first: int
    end: int


class Recorded(NamedTuple):
    """All that a track is made from: a finished recording."""

    leaves: list[Leaf]
    nodes: list[Node]
    locations: list[Location | None]
    params: dict[int, Param]
    instrs: list[Instr]
    nats: list[Nat]
    raws: dict[int, tuple[object, ...]]
    notes: dict[int, Note]

    def key(self) -> tuple[object, ...]:
        """What must agree for one recording to repeat another: structure, parameters, and how it was said."""
        said = tuple([(k, id(n.call), n.args, n.nats) for k, n in enumerate(self.nodes)])
        params = tuple([(i, id(p)) for i, p in self.params.items()])
        return (tuple(self.leaves), said, params, tuple(self.nats), tuple(self.notes))


class Step(NamedTuple):
    """One expected call as positions, from which each set of handles makes its own `Expected`.

    kind: `leaf`, `nat` or `node`; at: the id or slot of the handle it returns; n_nodes: nodes after it.
    """

    key: object
    kind: str
    at: int
    arguments: tuple[object, ...]
    n_leaves: int
    n_nodes: int
    n_nats: int

    def name(self) -> str:
        """What the user called."""
        if isinstance(self.key, Op):
            return self.key.name
        if self.key is LEAF:
            kind = str(self.arguments[0])
            return "add_leaf" if kind == "leaf" else kind
        return "input_" + str(self.key) if self.kind == "nat" else str(self.key)


class HandleSet:
    """One set of handles of a track and the chain of expected calls that returns them."""

    __slots__ = ("_counts", "_token_count", "first", "handles", "places", "token")

    def __init__(self, track: Track, token: Token) -> None:
        self.token = token
        refs: dict[int, TensorRef] = {}
        nats: dict[tuple[int, int], Handle] = {}
        self.handles: list[Handle] = []
        for step in track.steps:
            handle: Handle
            if step.kind == "nat":
                n = track.recorded.nats[step.at]
                handle = NatVecRef(token, n.start, n.length) if n.vector else NatRef(token, n.start)
                nats[n.start, n.length] = handle
            else:
                handle = refs[step.at] = TensorRef(token, step.at, track.type_of(step.at))
            self.handles.append(handle)
        chain: Expected = (None, None, None, None, None, None)  # each set has its own end
        self.places: dict[int, int] = {id(chain): len(track.steps)}
        for k in range(len(track.steps) - 1, -1, -1):
            step = track.steps[k]
            args = tuple([_bound(x, refs, nats) for x in step.arguments])
            first, second = (*args, None, None)[:2]
            chain = (step.key, first, second, args[2:], self.handles[k], chain)
            self.places[id(chain)] = k
        self.first = chain
        self._counts: list[int] = []
        self._token_count = 0

    def seal(self) -> None:
        """Take the reference counts of an untouched set: nobody else may hold a handle of it yet."""
        self._counts = list(map(sys.getrefcount, self.handles))
        self._token_count = sys.getrefcount(self.token)

    def free(self) -> bool:
        """Whether nobody but this set holds one of its handles, or its token."""
        return (
            sys.getrefcount(self.token) == self._token_count
            and list(map(sys.getrefcount, self.handles)) == self._counts
        )


class _Ref(NamedTuple):
    """Stands for a handle among the arguments of a `Step`; `length` is that of naturals, else None."""

    id: int
    length: int | None = None


def _bound(x: object, refs: dict[int, TensorRef], nats: dict[tuple[int, int], Handle]) -> object:
    """The handles that a `_Ref` stands for; what contains none stays identical."""
    if isinstance(x, _Ref):
        return refs[x.id] if x.length is None else nats[x.id, x.length]
    if x.__class__ is tuple and isinstance(x, tuple):
        items = tuple([_bound(y, refs, nats) for y in x])
        return x if all(map(operator.is_, items, x)) else items
    if isinstance(x, Listed):
        return Listed(tuple([_bound(y, refs, nats) for y in x.items]))
    return x


class Track:
    """A recording that was made twice, ready to be replayed."""

    def __init__(self, recorded: Recorded) -> None:
        self.recorded = recorded
        self.successor: Track = self
        self.failures = 0  # how often it was expected and something else came
        self.sets: list[HandleSet] = []
        self.params: list[Param] = list(recorded.params.values())
        self.bounds: dict[int, tuple[int, int]] = {}  # what `bound` has found
        self.prefixes: dict[object, Any] = {}  # engines keep here what they know of the graph up to a node
        self.steps = self._steps()

    def __len__(self) -> int:
        """Number of context entries."""
        return len(self.recorded.leaves) + len(self.recorded.nodes)

    def relearn(self, recorded: Recorded) -> None:
        """Take over how the same graph is written now: `axis=1` for `axis=-1`, say."""
        self.recorded = recorded
        self.sets = []
        self.steps = self._steps()

    def bound(self, id: int) -> tuple[int, int]:
        """Of a node that checks its naturals: which of the vectors it reads, and what they must be below."""
        r = self.recorded
        call, _, nats = r.nodes[id - len(r.leaves)]
        assert call.op.nats_below is not None  # as every op with a check and a method has it
        slots = [(n.start, n.length) for n in r.nats]
        return slots.index((nats[0], call.nat_sizes[0])), call.op.nats_below(call)

    def type_of(self, id: int) -> TensorType:
        """Type of a context id."""
        leaves = self.recorded.leaves
        return leaves[id].type if id < len(leaves) else self.recorded.nodes[id - len(leaves)].call.out

    def _steps(self) -> list[Step]:
        r, steps = self.recorded, []
        todo = iter(enumerate(r.nats))
        nat = next(todo, None)

        def naturals_before(n_leaves: int, n_nodes: int) -> None:
            nonlocal nat
            while nat is not None and (nat[1].n_leaves, nat[1].n_nodes) <= (n_leaves, n_nodes):
                i, n = nat
                sizes = (n.length,) if n.vector else ()
                steps.append(Step(NAT_VEC if n.vector else NAT, "nat", i, sizes, n_leaves, n_nodes, i + 1))
                nat = next(todo, None)

        count = len(r.leaves)
        for i, leaf in enumerate(r.leaves):
            naturals_before(i, 0)
            param = r.params.get(i)
            given: tuple[object, ...] = (param, leaf)
            if param is None:
                given = (leaf.kind, leaf.type.shape, leaf, [None])  # the last: see Replaying.input
            n_nats = steps[-1].n_nats if steps else 0
            steps.append(Step(LEAF if param is None else USE, "leaf", i, given, i + 1, 0, n_nats))
        k = 0
        while k < len(r.nodes):
            naturals_before(count, k)
            n_nats = steps[-1].n_nats if steps else 0
            note = r.notes.get(k)
            try:
                if note is not None:
                    if note.arguments is None:
                        raise Unmatchable
                    key: object = note.key
                    given, end = note.arguments, note.end
                elif r.nodes[k].call.op.name in CONSTANTS:
                    key, given, end = CONST, self._constant(k), k + 1
                else:
                    key, given, end = r.nodes[k].call.op, self._said(k), k + 1
            except Unmatchable:
                break  # from here on the graph is recorded anew every time
            steps.append(Step(key, "node", count + end - 1, given, count, end, n_nats))
            k = end
        else:
            naturals_before(count, k)
        return steps

    def _constant(self, k: int) -> tuple[object, ...]:
        """The entries of a constant node, as `const` compares them."""
        (literal,) = self.recorded.nodes[k].call.attrs
        if k == 0 or not isinstance(literal, Literal) or literal.array.dtype.kind not in "bf":
            raise Unmatchable  # before the first node, const makes a leaf
        return (Entries(literal.array),)

    def _said(self, k: int) -> tuple[object, ...]:
        """The arguments of the op's method, in its own order, that record node k."""
        from prooftape.signatures import argument_order

        call, args, nats = self.recorded.nodes[k]
        op: Op = call.op
        raw = self.recorded.raws.get(k, ())
        if len(raw) != len(op.attrs):
            raise Unmatchable
        attrs = tuple([frozen(x) for x in raw])
        if op.attrs and op.bind(call.types, tuple(raw), call.nat_sizes) is not call:
            raise Unmatchable  # a list that was changed after it was an argument
        said: dict[str, object] = dict(zip([a.name for a in op.attrs], attrs, strict=True))
        if op.variadic:
            said[op.operands[0]] = Listed(tuple([_Ref(a) for a in args]))
        else:
            said.update(dict.fromkeys(op.operands[len(args) :]))
            said.update(zip(op.operands, map(_Ref, args), strict=False))
        said.update(zip(op.nats, map(_Ref, nats, call.nat_sizes), strict=True))
        return tuple([said[name] for name in argument_order(op)])

    def start(self, session: Any, generation: int, current: Token) -> HandleSet:
        """A set of handles that nobody holds, for a new generation."""
        for found in self.sets:
            if found.token is not current and found.free():
                found.token.generation = generation
                return found
        fresh = HandleSet(self, Token(session, generation))
        fresh.seal()
        if len(self.sets) >= MAX_SETS:
            del self.sets[0]
        self.sets.append(fresh)
        return fresh


def arguments_of(given: tuple[object, ...]) -> tuple[object, ...] | None:
    """The arguments of an operator for its `Note`: as they are now, whatever becomes of them."""
    try:
        return tuple([_unbound(frozen(x)) for x in given])
    except Unmatchable:
        return None


def _unbound(x: object) -> object:
    """Handles as what stands for them in a `Step`."""
    if isinstance(x, NatVecRef):
        return _Ref(x.id, x.length)
    if isinstance(x, Handle):
        return _Ref(x.id, None if isinstance(x, TensorRef) else 1)
    if x.__class__ is tuple and isinstance(x, tuple):
        items = tuple([_unbound(y) for y in x])
        return x if all(map(operator.is_, items, x)) else items
    if isinstance(x, Listed):
        return Listed(tuple([_unbound(y) for y in x.items]))
    return x

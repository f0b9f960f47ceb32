"""A recorder that replays what it has recorded before: see `replay.py` for the idea.

While it replays, the attributes of an ordinary recording (lists of leaves, nodes, values, …) do not exist.
Whatever code reads one of them gets it from `_settle`, which makes them from the track and ends the replay;
so no code needs to know of replays to be right, only those few calls that shall be fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from prooftape.arrays.floats import FloatArrays, LowPrecision
from prooftape.arrays.structure import Arr
from prooftape.errors import HandleError
from prooftape.graph import Node
from prooftape.handle_methods import TensorRef
from prooftape.handles import NOTHING, Handle, NatRef, NatVecRef, Token
from prooftape.naturals import INT64, counted, natural
from prooftape.param import WATCHERS, Param
from prooftape.recorder import Recorder
from prooftape.recording import called
from prooftape.replay import (
    CONST,
    COUNTED,
    LEAF,
    MAX_NODES,
    MAX_TRACKS,
    NAT,
    NAT_VEC,
    USE,
    HandleSet,
    Note,
    Recorded,
    Step,
    Track,
    arguments_of,
)
from prooftape.same import same
from prooftape.scalars import Scalar
from prooftape.statistics import Stats
from prooftape.types import BOOL


class History:
    """What a session remembers of its earlier recordings, and what it counts."""

    __slots__ = ("fallbacks", "reason", "replays", "seen", "tracks", "whole")

    def __init__(self) -> None:
        self.tracks: dict[tuple[object, ...], Track] = {}
        self.seen: dict[tuple[object, ...], None] = {}
        self.whole: list[Node] | None = None  # the nodes, when a replay ended after its last call
        self.replays = self.fallbacks = 0
        self.reason: tuple[int, Step, str] | None = None

    def failed(self, generation: int, expected: Step, found: str) -> None:
        """A replay ended before the last call that was expected."""
        self.fallbacks += 1
        self.reason = (generation, expected, found)

    def stats(self) -> Stats:
        """The counts as users read them."""
        text = None
        if self.reason is not None:
            generation, step, found = self.reason
            expected = step.name()
            other = " with other arguments" if found.strip("_") == expected else ""
            text = f"step {generation}: expected {expected}, got {found}{other}"
        return Stats(self.replays, self.fallbacks, text, len(self.tracks))


class _Settled:
    """A recording's attribute while it is replaying: reading it ends the replay."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, obj: Any, owner: type) -> Any:
        if obj is None:
            return self
        if obj.__dict__.get("_set") is None:
            raise AttributeError(f"{owner.__name__!r} object has no attribute {self.name!r}")
        obj._settle()
        return obj.__dict__[self.name]


class Replaying(Recorder):
    """See the module docstring."""

    def __init__(self, scalar_name: str | Scalar, requires_grad_by_default: bool) -> None:
        self._track: Track | None = None  # the last one begun, and the one replayed while `_set` is there
        self._set: HandleSet | None = None
        self._history = History()
        self._fed: list[Arr] = []
        self._fed_nats: list[NDArray[Any]] = []
        self._tops: list[int] = []  # the largest of each
        self._nat_format: np.dtype[Any] = INT64  # what this session keeps vectors of naturals in meanwhile
        self._captured: list[Arr] | None = None
        self._watching = False  # whether this session is among the WATCHERS
        super().__init__(scalar_name, requires_grad_by_default)

    # -- life cycle ---------------------------------------------------------------------------------
    def __del__(self) -> None:
        token = self.__dict__.get("_token")
        if token is not None:
            token.next = NOTHING  # what handles of a session that is gone say about it has to be an error

    def reset_tape(self) -> None:
        """Empty graph, leaves, naturals and the leaf-to-parameter map. Params survive; handles do not."""
        if self._drafting:
            raise HandleError("reset_tape() inside commit(builder): finish the builder first")
        track = self._expected_track()
        self._generation += 1
        if track is None:
            self._set, self._token.next = None, NOTHING
            WATCHERS.discard(self)
            self._watching = False
            self._start(Token(self, self._generation))  # type: ignore[arg-type]
        else:
            self._begin(track)

    def _expected_track(self) -> Track | None:
        """What will probably be recorded next: what followed the present recording the last time."""
        if self._set is not None:
            assert self._track is not None
            return self._track.successor
        if not COUNTED or not 0 < len(self._nodes) <= MAX_NODES or self._drafting:
            return None
        whole, self._history.whole = self._history.whole, None
        if whole is self._nodes and self._track is not None:  # undoing would have made a new list
            r = self._track.recorded
            if len(whole) == len(r.nodes) and len(self._nat_log) == len(r.nats):
                return self._track.successor
        self._compiled(len(self._nodes))  # type: ignore[attr-defined]
        recorded = Recorded(
            self._leaves,
            self._nodes,
            self._locations,
            self._params,
            self._instrs,  # type: ignore[attr-defined]
            self._nat_log,
            self._raws,
            self._notes,
        )
        key, known = recorded.key(), self._history
        track = known.tracks.pop(key, None)
        if track is None:
            if key not in known.seen:
                _remember(known.seen, key, None)
                return None
            track = Track(recorded)
        elif track is self._track and track.failures > 1 and not track.failures & (track.failures - 1):
            # the same graph came, and yet a call differed: it is written otherwise now. Tried again and
            # again, but ever more seldom, as reading a value half-way looks the same from here
            track.relearn(recorded)
        _remember(known.tracks, key, track)
        if self._track is not None:
            self._track.successor = track
        self._track = track
        return track.successor

    def _begin(self, track: Track) -> None:
        """Expect the calls of this track."""
        mine = self.__dict__
        if "_nodes" in mine:
            for name in RECORDED:
                mine.pop(name, None)
        self._track = track
        current, before = track.start(self, self._generation, self._token), self._token
        current.token.next = current.first
        # nothing can come between these; the handles of the token before are stale from now on
        self._set, self._token, before.next = current, current.token, NOTHING
        self._fed, self._fed_nats, self._tops, self._captured = [], [], [], None
        self._history.replays += 1
        if not self._watching:
            WATCHERS.add(self)
            self._watching = True

    def _settle(self) -> None:
        """End the replay: what has matched becomes an ordinary recording."""
        track, current = self._track, self._set
        assert track is not None and current is not None
        place = current.places[id(current.token.next)]
        current.token.next, self._set = NOTHING, None
        WATCHERS.discard(self)
        self._watching = False
        if place < len(track.steps):
            track.failures += 1
            self._history.failed(self._generation, track.steps[place], called())
        last = track.steps[place - 1] if place else None
        leaves, nodes, nats = (last.n_leaves, last.n_nodes, last.n_nats) if last else (0, 0, 0)
        self._start(current.token)
        self._restore(track, leaves, nodes, nats)
        if place == len(track.steps) and nodes == len(track.recorded.nodes):
            self._history.whole = self._nodes

    def _restore(self, track: Track, leaves: int, nodes: int, nats: int) -> None:
        r = track.recorded
        self._leaves, self._nodes, self._n_leaves = r.leaves[:leaves], r.nodes[:nodes], leaves
        self._locations = r.locations[:leaves] + r.locations[len(r.leaves) : len(r.leaves) + nodes]
        self._params = {i: p for i, p in r.params.items() if i < leaves}
        self._nat_log = r.nats[:nats]
        self._raws = {k: v for k, v in r.raws.items() if k < nodes}
        self._notes = {k: v for k, v in r.notes.items() if v.end <= nodes}
        if nats:
            self._nats = np.concatenate(self._fed_nats).astype(np.int64, copy=False)
        readers = (k for k, node in enumerate(self._nodes) if node.nats) if nats else iter(())
        first = next(readers, None)
        self._first_nat_node = None if first is None else leaves + first
        fed = iter(self._fed)
        held = iter(self._captured if self._captured is not None else self._held_params(leaves))
        self._leaf_values = [next(held if i in r.params else fed) for i in range(leaves)]
        self._values = self._leaf_values[:]

    def _held_params(self, leaves: int) -> list[Arr]:
        track = self._track
        assert track is not None
        return [self._hold(p) for i, p in track.recorded.params.items() if i < leaves]

    def _capture(self) -> None:
        """Some parameter is about to change: take the values that the leaves recorded so far have."""
        track, current = self._track, self._set
        if current is not None and track is not None and self._captured is None:
            place = current.places[id(current.token.next)]
            self._captured = self._held_params(track.steps[place - 1].n_leaves if place else 0)

    def stats(self) -> Stats:
        """What recording the same graph again has saved, and why it did not where it did not."""
        return self._history.stats()

    # -- fast ways through the calls that are not ops -----------------------------------------------------
    def use(self, param: Param) -> TensorRef:
        """Append a leaf with the parameter's current value; a training step will update the parameter."""
        token = self._token
        key, a, leaf, _, out, after = token.next
        if key is USE and a is param and (param._leaf is leaf or param.leaf() == leaf):
            if self._captured is not None:
                self._captured.append(self._hold(param))
            token.next = after
            return out  # type: ignore[no-any-return]
        return super().use(param)

    def input(self, value: object, name: str | None = None, requires_grad: bool = False) -> TensorRef:
        """Append an external input (copied). Without requires_grad its gradient is computed on demand."""
        token = self._token
        key, a, _, rest, out, after = token.next
        # an array that nobody can write to, and the one given here the last time, needs no second look
        again = key is LEAF and value is rest[1][0] and value is not None and a == "input"
        if again and rest[0].name is name and rest[0].requires_grad is requires_grad:
            self._fed.append(value)  # type: ignore[arg-type]
            token.next = after
            return out  # type: ignore[no-any-return]
        return self._add_leaf(value, name, requires_grad, "input")

    def _add_leaf(self, value: object, name: str | None, grad: bool, kind: str) -> TensorRef:
        token = self._token
        key, a, shape, rest, out, after = token.next
        if key is LEAF and a == kind and same(rest[0].name, name) and rest[0].requires_grad is grad:
            array = self._simple(value, shape)
            if array is None and not isinstance(value, (Handle, Param)):
                array = self._given(value, f"{kind} {name or ''}".strip())
                array = array if array.shape == shape else None
            if array is not None:
                rest[1][0] = value if array is value else None  # an engine's own array: see `input`
                self._fed.append(array)
                token.next = after
                return out  # type: ignore[no-any-return]
        return super()._add_leaf(value, name, grad, kind)

    def _simple(self, value: object, shape: tuple[int, ...]) -> Arr | None:
        """A copy of an array that needs no conversion; None for everything else."""
        xp = self.scalar.xp
        plain = value.__class__ is np.ndarray and isinstance(xp, FloatArrays)
        if plain and not isinstance(xp, LowPrecision) and value.shape == shape and value.dtype == xp.dtype:  # type: ignore[attr-defined]
            return np.array(value, order="C")
        return None

    def _add_const(self, array: Arr, name: str | None) -> TensorRef:
        token = self._token
        key, a, shape, rest, out, after = token.next
        if key is LEAF and a == "const" and same(rest[0].name, name) and array.shape == shape:
            if (array.dtype.kind == "b") == (rest[0].type.dtype == BOOL):
                self._fed.append(array)
                token.next = after
                return out  # type: ignore[no-any-return]
        elif key is CONST and a.same(self._exact(array)):
            token.next = after
            return out  # type: ignore[no-any-return]
        return super()._add_const(array, name)

    def input_nat(self, n: int) -> NatRef:
        """Append a natural number (an index); it may be overwritten later with `set_nat`."""
        token = self._token
        key, _, _, _, out, after = token.next
        if key is NAT:
            top = natural(n, "input_nat")
            self._fed_nats.append(np.array([top], np.int64))
            self._tops.append(top)
            token.next = after
            return out  # type: ignore[no-any-return]
        return super().input_nat(n)

    def input_nat_vec(self, v: Sequence[int] | NDArray[np.integer]) -> NatVecRef:
        """Append a vector of naturals (labels, token ids)."""
        token = self._token
        key, length, _, _, out, after = token.next
        if key is NAT_VEC and not isinstance(v, (Handle, Param)):
            values, top = counted(v, "input_nat_vec", self._nat_format)
            if len(values) == length:
                self._fed_nats.append(values)
                self._tops.append(top)
                token.next = after
                return out  # type: ignore[no-any-return]
        return super().input_nat_vec(v)

    def _agrees(self, out: TensorRef) -> bool:
        """Whether the naturals given this time pass the check that recording the op asks for."""
        track = self._track
        assert track is not None
        found = track.bounds.get(out.id)
        if found is None:
            found = track.bounds[out.id] = track.bound(out.id)
        place, end = found
        return self._tops[place] < end  # else recording the op refuses it, and says where

    def _noted(self, first: int, key: str, arguments: tuple[object, ...], result: TensorRef) -> None:
        """Remember that one operator recorded all nodes from `first` on."""
        end = len(self._nodes)
        if self._drafting == 0 and end > first and result.id == self._n_leaves + end - 1:
            self._notes[first] = Note(key, arguments_of(arguments), first, end)


def _remember(kept: dict[Any, Any], key: object, value: object) -> None:
    """Put last into a bounded dictionary."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > MAX_TRACKS:
        del kept[next(iter(kept))]


RECORDED: Final = (
    "_leaves",
    "_nodes",
    "_n_leaves",
    "_locations",
    "_leaf_values",
    "_nats",
    "_params",
    "_values",
    "_first_nat_node",
    "_nat_log",
    "_raws",
    "_notes",
    "_instrs",
    "_needed",
)
for _name in RECORDED:
    setattr(Replaying, _name, _Settled(_name))

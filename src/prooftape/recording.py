"""What a session holds while it records: graph, values, naturals, handles, and drafts that can be undone.

`Recording` is the lowest layer of `Session`; `Recorder` adds leaves, naturals and nodes to it. Invariants: a
call that raises leaves everything as it was; a handle is accepted only in the recording that made it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from prooftape.arrays.structure import Arr
from prooftape.errors import (
    ForeignHandleError,
    IndexRangeError,
    OperandError,
    ShapeError,
    StaleHandleError,
    ValueTypeError,
    found,
)
from prooftape.graph import Graph, Leaf, Location, Node, Prefix
from prooftape.handle_methods import TensorRef
from prooftape.handles import Handle, NatRef, NatVecRef, Token
from prooftape.param import Param
from prooftape.replay import Nat, Note
from prooftape.scalars import Scalar, scalar
from prooftape.state import SessionState
from prooftape.types import TensorType

T = TypeVar("T")
_new_tuple = tuple.__new__
_NO_NATURALS: NDArray[np.int64] = np.zeros(0, np.int64)
_PACKAGE = __name__.partition(".")[0]
Mark = tuple[int, int, NDArray[np.int64], int | None, list[Arr]]
"""What `_undo` goes back to: leaf and node counts, naturals, first node reading them, cached values."""


_inside: dict[str, bool] = {}  # file name of a code object -> whether it is this package's


def user_location(depth: int) -> Location | None:
    """(code, instruction) of the innermost frame outside this package, `depth` frames up or more."""
    frame = sys._getframe(depth)
    while True:
        code = frame.f_code
        inside = _inside.get(code.co_filename)
        if inside is None:
            name = frame.f_globals.get("__name__", "")
            inside = _inside[code.co_filename] = name.partition(".")[0] == _PACKAGE
        if not inside:
            return _new_tuple(Location, (code, frame.f_lasti))
        if frame.f_back is None:
            return None
        frame = frame.f_back


def called() -> str:
    """Name of the function of this package that the user has called."""
    frame: FrameType | None = sys._getframe(1)
    name = "a call"
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        name, frame = frame.f_code.co_name, frame.f_back
    return name


class Recording:
    """See the module docstring."""

    def __init__(self, scalar_name: str | Scalar, requires_grad_by_default: bool) -> None:
        self.scalar = scalar(scalar_name)
        self.requires_grad_by_default = requires_grad_by_default
        self._generation = 0
        self._drafting = 0
        self._start(Token(self, 0))  # type: ignore[arg-type]

    def _start(self, token: Token) -> None:
        """An empty recording whose handles carry this token."""
        self._token = token
        self._leaves: list[Leaf] = []
        self._nodes: list[Node] = []
        self._n_leaves = 0
        self._locations: list[Location | None] = []
        self._leaf_values: list[Arr] = []
        self._nats: NDArray[np.int64] = _NO_NATURALS
        self._params: dict[int, Param] = {}
        self._values: list[Arr] = []
        self._first_nat_node: int | None = None
        self._nat_log: list[Nat] = []
        self._raws: dict[int, tuple[object, ...]] = {}
        self._notes: dict[int, Note] = {}

    # -- state ------------------------------------------------------------------------------------
    @property
    def graph(self) -> Graph:
        """The recorded graph: an immutable snapshot, O(1)."""
        return Graph(Prefix(self._leaves), Prefix(self._nodes), len(self._nats), Prefix(self._locations))

    @property
    def state(self) -> SessionState:
        """An immutable snapshot of graph, leaf values and naturals."""
        values = tuple(self.scalar.to_user(self._host_value(v)) for v in self._leaf_values)
        return SessionState(self.graph, values, tuple(int(n) for n in self._nats))

    def _host_value(self, value: Arr) -> Arr:
        """A leaf's value as a NumPy array."""
        return value

    @property
    def generation(self) -> int:
        """How many times `reset_tape` has been called."""
        return self._generation

    def __len__(self) -> int:
        return self._n_leaves + len(self._nodes)

    def __reduce__(self) -> NoReturn:
        # a shallow copy would share the lists both append to, and every handle has one owner
        raise TypeError(
            "a Session is neither copied nor pickled: keep session.graph or session.state, "
            "or make another of the same graph with session.replay(scalar)"
        )

    # -- handles ------------------------------------------------------------------------------------
    def mk_idx(self, id: int, shape: Sequence[int] | None = None) -> TensorRef:
        """The handle of a context id, checked: in range, and of the expected shape when one is given."""
        return self._checked_id("mk_idx", id, shape, len(self), "context")

    def mk_leaf_idx(self, id: int, shape: Sequence[int] | None = None) -> TensorRef:
        """Like `mk_idx`, but the id must be a leaf's."""
        return self._checked_id("mk_leaf_idx", id, shape, self._n_leaves, "leaf")

    def _checked_id(self, call: str, id: int, shape: Sequence[int] | None, end: int, what: str) -> TensorRef:
        if isinstance(id, bool) or not isinstance(id, (int, np.integer)) or not 0 <= id < end:
            raise IndexRangeError(
                f"{call}: id {id!r} is not a {what} id: expected an integer 0 <= id < {end}"
            )
        type = self._type_of(int(id))
        if shape is not None and not isinstance(shape, Sequence):
            raise ValueTypeError(f"{call}: expected a shape, a tuple of integers, got {found(shape)}")
        if shape is not None and type.shape != tuple(shape):
            shown = self.graph.describe(int(id))
            raise ShapeError(f"{call}: id {id}: expected shape {tuple(shape)}, got {type.shape}: {shown}")
        return TensorRef(self._token, int(id), type)

    def ref(self, x: TensorRef | int) -> TensorRef:
        """The handle here of a context id, or of another session's handle with the same id and type."""
        if isinstance(x, TensorRef):
            mine = self._checked_id("ref", x.id, None, len(self), "context")
            if mine.type is not x.type:
                shown = self.graph.describe(x.id)
                raise ShapeError(f"ref: %{x.id} is {mine.type} here, not {x.type}: {shown}")
            return mine
        return self._checked_id("ref", x, None, len(self), "context")

    def _type_of(self, id: int) -> TensorType:
        n = self._n_leaves
        return self._leaves[id].type if id < n else self._nodes[id - n][0].out

    def _holds(self, token: Token) -> bool:
        """Whether handles with this token are of the present recording, drafts under way included."""
        return self._token.holds(token)

    def _check_handle(self, ref: Handle, kind: type[Handle], what: str) -> None:
        if not isinstance(ref, kind):
            raise OperandError(f"{what}: expected a {kind.__name__}, got {found(ref)}")
        if ref._token is self._token:
            return
        if self._holds(ref._token):
            return
        root = ref._token.root()
        owner = root._session()
        if owner is None:
            raise StaleHandleError(f"{what}: {ref!r} belongs to a session that no longer exists")
        if owner is not self:
            fix = {
                NatRef: "input_nat(other.get_nat(ref))",
                NatVecRef: "input_nat_vec(other.get_nat_vec(ref))",
            }.get(type(ref), "const(other.get_value(ref))")
            raise ForeignHandleError(
                f"{what}: {ref!r} belongs to another session; record its value in this one, e.g. {fix}"
            )
        if root.generation == self._generation:
            raise StaleHandleError(
                f"{what}: {ref!r} was recorded inside an operation that failed and was undone; "
                "record it again"
            )
        raise StaleHandleError(
            f"{what}: {ref!r} is from before reset_tape() (generation {root.generation}, now "
            f"{self._generation}); record it again"
        )

    def _operand(self, what: str, x: object, mask: bool = False) -> TensorRef:
        """The operand as a handle of this recording, or a clear error."""
        if isinstance(x, TensorRef):
            self._check_handle(x, TensorRef, what)
            return x
        hints = {
            "Param": "put it into the graph with use(param)",
            "NatRef": "naturals are read by gather_scalar_ref and gather_row_ref",
            "NatVecRef": "naturals are read by gather_vec_ref, gather_rows_ref and cross_entropy",
        }
        hint = hints.get(
            type(x).__name__, "record it first: input(value) before the first op, const(value) any time"
        )
        if mask:
            hint = "a mask is a boolean array, or a comparison such as greater(x, y)"
        raise OperandError(f"{what}: expected a TensorRef, got {found(x)}; {hint}")

    # -- drafts -------------------------------------------------------------------------------------
    def commit(self, builder: Callable[..., T]) -> T:
        """Run `builder(session)`; keep what it recorded if it returns, undo all of it if it raises."""
        result, draft, parent = self._run_draft(builder)
        draft.merged = True
        # give the caller a handle of the main recording: cheaper to check. Only of what was recorded now: the
        # builder may also return a handle that is stale, or of another session
        if isinstance(result, TensorRef) and result._token is draft:
            return TensorRef(parent, result.id, result.type)  # type: ignore[return-value]
        return result

    def run_graph(self, builder: Callable[..., object]) -> SessionState:
        """The state `builder(session)` would lead to; the session itself stays as it is."""
        mark = self._mark()
        self._run_draft(builder)
        state = self.state
        self._undo(mark)
        return state

    def _run_draft(self, builder: Callable[..., T]) -> tuple[T, Token, Token]:
        if not callable(builder):
            raise OperandError(f"commit: expected a function that takes the session, got {found(builder)}")
        parent, mark = self._token, self._mark()
        draft = Token(self, self._generation, parent)  # type: ignore[arg-type]
        self._token = draft
        self._drafting += 1
        try:
            result = builder(self)
        except BaseException:
            self._undo(mark)
            raise
        finally:
            self._token = parent
            self._drafting -= 1
        return result, draft, parent

    def _mark(self) -> Mark:
        return (self._n_leaves, len(self._nodes), self._nats, self._first_nat_node, self._values)

    def _undo(self, mark: Mark) -> None:
        # fresh lists: a snapshot taken by the builder keeps seeing what it saw
        n_leaves, n_nodes, nats, first_nat, values = mark
        self._leaves = self._leaves[:n_leaves]
        self._leaf_values = self._leaf_values[:n_leaves]
        self._nodes = self._nodes[:n_nodes]
        self._locations = self._locations[: n_leaves + n_nodes]
        self._values = values[: n_leaves + n_nodes]
        self._n_leaves, self._nats, self._first_nat_node = n_leaves, nats, first_nat
        self._params = {i: p for i, p in self._params.items() if i < n_leaves}
        self._nat_log = [n for n in self._nat_log if n.start + n.length <= len(nats)]
        self._raws = {k: raw for k, raw in self._raws.items() if k < n_nodes}
        self._notes = {k: note for k, note in self._notes.items() if note.end <= n_nodes}

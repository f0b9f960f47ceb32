"""What users hold: handles to recorded values, and parameters.

A handle is an id with a token. The token names the session and its generation (it changes at every
`reset_tape`), so a stale handle, or one of another session, is recognised before its id means anything.
Operators and methods of `TensorRef` come from `handle_methods.py`.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

from prooftape.errors import StaleHandleError
from prooftape.types import Shape, TensorType

if TYPE_CHECKING:
    from prooftape.session import Session


Expected = tuple[Any, Any, Any, Any, Any, Any]
"""(key, first argument, second argument, further arguments, handle returned, what is expected after it)."""
NOTHING: Final[Expected] = (None, None, None, None, None, None)
"""Expected by a session that does not replay, and after the last call of a track: no call matches it."""


class Token:
    """Identity of one recording: a session between two resets, or one draft inside `commit`.

    `merged` is set on a draft's token when the draft became part of its parent's recording. `next` is the
    call that a replay expects, an `Expected` of replay.py: here, because every handle leads here at once.
    """

    __slots__ = ("_session", "generation", "merged", "next", "parent")

    def __init__(self, session: Session, generation: int, parent: Token | None = None) -> None:
        self._session = weakref.ref(session)
        self.generation = generation
        self.parent = parent
        self.merged = False
        self.next: Expected = NOTHING

    @property
    def session(self) -> Session:
        """The owner; raises `StaleHandleError` when it is gone."""
        found = self._session()
        if found is None:
            raise StaleHandleError("the session of this handle no longer exists; keep a reference to it")
        return found

    def root(self) -> Token:
        """The recording this token ended up in."""
        t = self
        while t.parent is not None and t.merged:
            t = t.parent
        return t

    def holds(self, other: Token) -> bool:
        """Whether a handle with token `other` is of this recording, or of one that this is a draft of."""
        root = other.root()
        current: Token | None = self
        while current is not None:
            if current.root() is root:
                return True
            current = current.parent
        return False


class Handle:
    """Owner and position; see the module docstring."""

    __slots__ = ("_token", "id")
    _token: Token
    id: int

    def __init__(self, token: Token, id: int) -> None:
        self._token = token
        self.id = id

    @property
    def session(self) -> Session:
        """The session that recorded this; raises `StaleHandleError` when it is gone."""
        found = self._token._session()
        if found is None:
            raise StaleHandleError(f"{self!r}: its session no longer exists; keep a reference to the session")
        return found

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self  # an id in one session: a copied owner would know nothing of it

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} means nothing without its session and is not pickled; keep ref.id or its value"
        )

    @property
    def generation(self) -> int:
        """Which recording of the session it belongs to (grows by one at each reset)."""
        return self._token.generation


class NatRef(Handle):
    """A natural number in the nat environment; `id` is its slot."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"NatRef(nat[{self.id}])"


class NatVecRef(Handle):
    """A vector of `length` naturals starting at slot `id` of the nat environment."""

    __slots__ = ("length",)
    length: int

    def __init__(self, token: Token, id: int, length: int) -> None:
        self._token = token
        self.id = id
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __repr__(self) -> str:
        return f"NatVecRef(nat[{self.id}:{self.id + self.length}])"


class BaseTensorRef(Handle):
    """A recorded tensor: context id and type."""

    __slots__ = ("type",)
    type: TensorType

    def __init__(self, token: Token, id: int, type: TensorType) -> None:
        self._token = token
        self.id = id
        self.type = type

    @property
    def shape(self) -> Shape:
        """Shape, outermost dimension first."""
        return self.type.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.type.shape)

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.type.size

    @property
    def dtype(self) -> str:
        """`real` (a number of the session's scalar) or `bool` (a mask)."""
        return self.type.dtype

    def __repr__(self) -> str:
        return f"TensorRef(%{self.id}: {self.type})"

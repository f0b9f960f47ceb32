"""The op table. Ops are found, not listed: every `Op` at the top level of a module in this package is one.

`table()` maps names to records, in module and definition order; `register` adds an op from outside the tree.
"""

from __future__ import annotations

import copyreg
import importlib
import pickle
import pkgutil
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache

from prooftape.errors import OperandError, found
from prooftape.op import Op

_outside: dict[str, Op] = {}


@cache
def _found() -> dict[str, Op]:
    ops: dict[str, Op] = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for value in vars(module).values():
            if isinstance(value, Op) and ops.setdefault(value.name, value) is not value:
                raise ValueError(f"two ops are named {value.name!r}")
    return ops


def table() -> dict[str, Op]:
    """All ops by name."""
    return {**_found(), **_outside}


def find(name: str) -> Op:
    """The op of this name; raises KeyError when there is none."""
    found = _found().get(name)
    return _outside[name] if found is None else found


def _by_name(op: Op) -> tuple[Callable[[str], Op], tuple[str]]:
    """How an op is pickled and copied: its rules are code, so it is the op of this name or nothing."""
    if table().get(op.name) is not op:
        raise pickle.PicklingError(f"op {op.name!r} is not in the table; register(op) adds it")
    return (find, (op.name,))


copyreg.pickle(Op, _by_name)


def is_outside(op: Op) -> bool:
    """Whether the op was added with `register`."""
    return _outside.get(op.name) is op


def is_own(op: Op) -> bool:
    """Whether it is one of this package's own records: neither registered nor another of the same name."""
    return _found().get(op.name) is op


def named_op(op: object) -> Op:
    """The op of this name, or the op itself; raises `OperandError` with the closest names there are."""
    if isinstance(op, Op):
        return op
    if not isinstance(op, str):
        raise OperandError(f"apply: expected the name of an op or an Op, got {found(op)}")
    try:
        return find(op)
    except KeyError:
        close = get_close_matches(op, table(), n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else "; register(op) adds one"
        raise OperandError(f"apply: unknown op {op!r}{hint}") from None


def register(op: Op) -> Op:
    """Add an op defined outside this package, so that graphs using it parse and check. Names are unique.

    Use it as `s.apply(name, x, …)`. The theory does not know it: a gradient through it is right if its rules
    are, `certify` refuses graphs with it, and `require="proved"` raises.
    """
    if not isinstance(op, Op):
        raise OperandError(f"register: expected an Op, got {found(op)}")
    if op.name in _found() or (op.name in _outside and _outside[op.name] is not op):
        raise ValueError(f"register: an op named {op.name!r} exists already")
    _outside[op.name] = op
    return op

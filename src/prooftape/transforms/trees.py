"""Nested arguments: tuples, lists and dicts of arrays, flattened and rebuilt (what JAX calls pytrees)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

Tree = object
Nesting = tuple[Any, tuple[Any, ...], tuple[Any, ...]] | None
"""None of a single entry; else kind (dict, list, tuple, a class with fields), keys, nestings of the parts."""


def flatten(tree: Tree) -> tuple[list[object], Callable[[Sequence[object]], Tree]]:
    """The entries of nested tuples, lists and dicts (by sorted key), and a function that rebuilds them."""
    if isinstance(tree, dict):
        keys = sorted(tree)
        leaves, rebuild_all = _flatten_many(tree[k] for k in keys)
        return leaves, lambda xs: dict(zip(keys, rebuild_all(xs), strict=True))
    if isinstance(tree, (list, tuple)) and not isinstance(tree, str):
        leaves, rebuild_all = _flatten_many(tree)
        if isinstance(tree, tuple) and hasattr(tree, "_fields"):
            named: Callable[..., Tree] = type(tree)
            return leaves, lambda xs: named(*rebuild_all(xs))
        if isinstance(tree, tuple):
            return leaves, lambda xs: tuple(rebuild_all(xs))
        return leaves, rebuild_all
    return [tree], lambda xs: xs[0]


def _flatten_many(trees: Iterable[Tree]) -> tuple[list[object], Callable[[Sequence[object]], list[Tree]]]:
    leaves: list[object] = []
    parts: list[tuple[int, Callable[[Sequence[object]], Tree]]] = []
    for tree in trees:
        found, rebuild = flatten(tree)
        leaves += found
        parts.append((len(found), rebuild))

    def rebuild_all(xs: Sequence[object]) -> list[Tree]:
        out, at = [], 0
        for n, rebuild in parts:
            out.append(rebuild(xs[at : at + n]))
            at += n
        return out

    return leaves, rebuild_all


def same_structure(a: Tree, b: Tree) -> bool:
    """Whether two trees have the same nesting (entries aside)."""
    if isinstance(a, dict) or isinstance(b, dict):
        return (
            isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys()
            and all(same_structure(a[k], b[k]) for k in a)
        )  # fmt: skip
    if isinstance(a, (list, tuple)) or isinstance(b, (list, tuple)):
        return (
            isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b)
            and all(map(same_structure, a, b))
        )  # fmt: skip
    return True


def nesting(tree: Tree) -> tuple[list[object], Nesting]:
    """The entries as `flatten` gives them, and how they are nested as a value that can be compared."""
    if isinstance(tree, dict):
        keys = tuple(sorted(tree))
        leaves, parts = _nestings([tree[k] for k in keys])
        return leaves, ("dict", keys, parts)
    if isinstance(tree, (list, tuple)):
        leaves, parts = _nestings(tree)
        named = isinstance(tree, tuple) and hasattr(tree, "_fields")
        return leaves, (type(tree) if named else "tuple" if isinstance(tree, tuple) else "list", (), parts)
    return [tree], None


def _nestings(trees: Iterable[Tree]) -> tuple[list[object], tuple[Nesting, ...]]:
    leaves: list[object] = []
    parts = []
    for tree in trees:
        found, part = nesting(tree)
        leaves += found
        parts.append(part)
    return leaves, tuple(parts)


def nested(how: Nesting, entries: Iterable[object]) -> Tree:
    """The tree of this nesting with these entries."""
    return _built(how, iter(entries))


def _built(how: Nesting, entries: Iterator[object]) -> Tree:
    if how is None:
        return next(entries)
    kind, keys, parts = how
    built = [_built(part, entries) for part in parts]
    if kind == "dict":
        return dict(zip(keys, built, strict=True))
    if kind == "list":
        return built
    if kind == "tuple":
        return tuple(built)
    make: Callable[..., Tree] = kind
    return make(*built)


def paths(how: Nesting) -> list[tuple[object, ...]]:
    """The way to each entry: keys, positions and field names."""
    if how is None:
        return [()]
    kind, keys, parts = how
    names = keys or getattr(kind, "_fields", None) or range(len(parts))
    return [(name, *rest) for name, part in zip(names, parts, strict=True) for rest in paths(part)]

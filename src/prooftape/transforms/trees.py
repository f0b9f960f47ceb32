"""Nested arguments: tuples, lists and dicts of arrays, flattened and rebuilt (what JAX calls pytrees)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

Tree = object


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

"""The calls that random programs are made of, as functions of a world and of earlier results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import prooftape as pt


@dataclass
class World:
    """A session with what a user has at hand."""

    s: pt.Session
    other: pt.Session
    params: list[pt.Param]
    old: list[list[Any]] = field(default_factory=list)  # results of earlier steps that somebody keeps
    results: list[Any] = field(default_factory=list)
    log: list[Any] = field(default_factory=list)
    lists: dict[Any, list[Any]] = field(default_factory=dict)
    step: int = 0


Form = Callable[..., Any]
OPS1 = ("relu", "tanh", "neg", "exp", "square", "sigmoid", "abs", "detach")
OPS2 = ("add", "sub", "mul", "div", "maximum", "minimum")


def values(w: World, shape: tuple[int, ...], seed: int, dtype: str = "float32") -> Any:
    rng = np.random.default_rng((seed, w.step))
    return np.round(rng.normal(size=shape), 2).astype(dtype)


def fixed(shape: tuple[int, ...], seed: int, dtype: str = "float32") -> Any:
    return np.round(np.random.default_rng(seed).normal(size=shape), 2).astype(dtype)


def mutated(w: World, x: Any, axes: list[Any]) -> Any:
    """A list that is changed after it was an argument."""
    given = list(axes)
    out = x.reshape(given)
    given.reverse()
    return out


def rows_of_a_kept_list(w: World, x: Any, rows: tuple[int, ...]) -> Any:
    """One list object in all steps, which the call finds changed again and again."""
    mine = w.lists.setdefault(rows, list(rows))
    out = x[mine]
    mine[0] = 1 - mine[0] if mine[0] in (0, 1) else 0
    return out


def failing(w: World, x: Any) -> None:
    def build(s: pt.Session) -> Any:
        y = s.relu(x)
        w.results.append(y)  # escapes, and is stale afterwards
        raise ZeroDivisionError("in the builder")

    w.s.commit(build)


def of_session(name: str) -> Form:
    """The session's method of this name."""
    return lambda w, *xs: getattr(w.s, name)(*xs)


def of_handle(name: str) -> Form:
    """The handle's method of this name."""
    return lambda w, x: getattr(x, name)()


UNARY: dict[str, Form] = {
    **{f"s.{name}": of_session(name) for name in OPS1},
    **{f"x.{name}": of_handle(name) for name in OPS1},
    "apply relu": lambda w, x: w.s.apply("relu", x),
    "-x": lambda w, x: -x,
    "x.T": lambda w, x: x.T,
    "x[:]": lambda w, x: x[:],
    "x[...]": lambda w, x: x[...],
    "flatten": lambda w, x: x.flatten(),
    "keyword": lambda w, x: w.s.relu(x=x),
    "commit": lambda w, x: w.s.commit(lambda s: s.tanh(x)),
    "commit +": lambda w, x: w.s.commit(lambda s: [x + 1.0, s.relu(x)])[1],
    "commit old": lambda w, x: w.s.commit(lambda s: x),
}
BINARY: dict[str, Form] = {
    **{f"s.{name}": of_session(name) for name in OPS2},
    "a + b": lambda w, a, b: a + b,
    "a - b": lambda w, a, b: a - b,
    "a * b": lambda w, a, b: a * b,
    "a / b": lambda w, a, b: a / b,
    "a @ b": lambda w, a, b: a @ b,
    "a @ b.T": lambda w, a, b: a @ b.T,
    "a.maximum(b)": lambda w, a, b: a.maximum(b),
    "a.where(a > b, b)": lambda w, a, b: a.where(a > b, b),
    "s.where(a < b, a, b)": lambda w, a, b: w.s.where(w.s.less(a, b), a, b),
    "apply add": lambda w, a, b: w.s.apply("add", a, b),
    "keywords": lambda w, a, b: w.s.sub(b=a, a=b),
    "concat list": lambda w, a, b: w.s.concat([a, b], axis=0),
    "concat tuple": lambda w, a, b: w.s.concat((a, b), 0),
    "concat thrice": lambda w, a, b: w.s.concat([a, b, a]),
    "commit": lambda w, a, b: w.s.commit(lambda s: s.add(a, b) * a),
}
NUMBER: dict[str, Form] = {
    "x + c": lambda w, x, c: x + c,
    "c - x": lambda w, x, c: c - x,
    "x * c": lambda w, x, c: x * c,
    "c * x": lambda w, x, c: c * x,
    "x / c": lambda w, x, c: x / c,
    "x ** c": lambda w, x, c: x.square() ** c,
    "scale": lambda w, x, c: w.s.scale(x, c),
    "scale=": lambda w, x, c: w.s.scale(x, c=c),
    "full": lambda w, x, c: w.s.full(x.shape, c),
    "clamp": lambda w, x, c: x.clamp(c, 2),
    "x.maximum(c)": lambda w, x, c: x.maximum(c),
    "x.where(array, c)": lambda w, x, c: x.where(np.ones(x.shape, bool), c),
    "x > c": lambda w, x, c: w.s.where(x > c, x, x),
}
NUMBERS = (
    1, 1.0, True, 2, 2.0, 0, 0.0, -0.0, False, -1, -1.0, 0.5, float("nan"), float("inf"),
    np.float32(0.5), np.float64(0.5), np.int64(1), "1", None,
)  # fmt: skip
AXIS: dict[str, Form] = {
    "x.sum": lambda w, x, a: x.sum(axis=a),
    "x.sum keep": lambda w, x, a: x.sum(a, keepdims=True),
    "x.mean": lambda w, x, a: x.mean(a),
    "x.mean keep": lambda w, x, a: x.mean(a, True),
    "x.max": lambda w, x, a: x.max(a),
    "x.max keep": lambda w, x, a: x.max(a, keepdims=True),
    "x.var": lambda w, x, a: x.var(a),
    "x.var ddof": lambda w, x, a: x.var(a, 1),
    "s.softmax": lambda w, x, a: w.s.softmax(x, a),
    "s.softmax=": lambda w, x, a: w.s.softmax(x, axis=a),
    "s.reduce_sum": lambda w, x, a: w.s.reduce_sum(x, a),
    "apply reduce_sum": lambda w, x, a: w.s.apply("reduce_sum", x, axis=a),
}
AXES = (0, 1, -1, -2, (0,), [0], (0, 1), [0, 1], [1, 0], (1,), None, 1.0, True, np.int64(0))
INDEX: dict[str, Form] = {"x[i]": lambda w, x, i: x[i]}
INDICES = (
    0, 1, -1, slice(None), slice(0, 2), slice(1, None), slice(None, 2), slice(0, 3), ..., None, (0, 1),
    (slice(None), 0), (..., 0), (0, ...), (None, slice(None)), [0, 1], [1, 0], (0, 0), np.int64(1), True,
    slice(None, None, 2), 99, (slice(None), slice(None)), (slice(None), slice(1, 2)),
)  # fmt: skip
ARRAY: dict[str, Form] = {
    "x + array": lambda w, x, seed, t: x + fixed(x.shape, seed, t),
    "array * x": lambda w, x, seed, t: fixed(x.shape, seed, t) * x,
    "x + row": lambda w, x, seed, t: x + fixed(x.shape[-1:], seed, t),
    "x @ array": lambda w, x, seed, t: x @ fixed((x.shape[-1], 3), seed, t),
    "x.where(mask)": lambda w, x, seed, t: x.where(fixed(x.shape, seed, t) > 0, 0.5),
    "s.where(mask)": lambda w, x, seed, t: w.s.where(fixed(x.shape, seed, t) > 0, x, x),
    "x + const": lambda w, x, seed, t: x + w.s.const(fixed(x.shape, seed, t)),
    "x + const()": lambda w, x, seed, t: x + w.s.const(fixed((), seed, t), "c"),
    "x + new": lambda w, x, seed, t: x + values(w, x.shape, seed, t),
    "const new": lambda w, x, seed, t: x * w.s.const(values(w, x.shape, seed, t)),
    "x[array]": lambda w, x, seed, t: x[np.random.default_rng(seed).integers(0, 2, 2)],
}
SHAPE: dict[str, Form] = {
    "reshape list": lambda w, x, d: x.reshape(list(d)),
    "reshape tuple": lambda w, x, d: x.reshape(tuple(d)),
    "reshape args": lambda w, x, d: x.reshape(*d),
    "s.reshape": lambda w, x, d: w.s.reshape(x, tuple(d)),
    "reshape mutated": mutated,
    "x[kept list]": rows_of_a_kept_list,
}
SHAPES = ((2, 3), (3, 2), (6,), (1, 6), (-1,), (3, 3), (9,), (4,), (2, 2), (0, 1), (1, 0))
OPTIONAL: dict[str, Form] = {
    "layer_norm": lambda w, x, g, eps: w.s.layer_norm(x, w.s.sum(g) * x[0], x[0], eps),
    "layer_norm=": lambda w, x, g, eps: w.s.layer_norm(x, gamma=x[0], beta=x[0], eps=eps),
}
NAT: dict[str, Form] = {
    "rows": lambda w, x, n: w.s.gather_rows_ref(x, n),
    "x[n]": lambda w, x, n: x[n],
    "cross_entropy": lambda w, x, n: w.s.cross_entropy(x, n),
    "row": lambda w, x, n: w.s.gather_row_ref(x, n),
    "set_nat": lambda w, x, n: w.s.set_nat(n, 1),
    "set_nat_vec": lambda w, x, n: w.s.set_nat_vec(n, [1] * len(n)),
    "get_nat_vec": lambda w, x, n: w.log.append(w.s.get_nat_vec(n).tolist()),
    "no nat": lambda w, x, n: w.s.gather_rows_ref(x, x),
}
LEAVES: dict[str, Form] = {
    "input": lambda w, shape, seed, name, grad: w.s.input(values(w, shape, seed), name, grad),
    "input64": lambda w, shape, seed, name, grad: w.s.input(values(w, shape, seed, "float64"), name, grad),
    "input list": lambda w, shape, seed, name, grad: w.s.input(values(w, shape, seed).tolist(), name),
    "add_leaf": lambda w, shape, seed, name, grad: w.s.add_leaf(values(w, shape, seed), name),
    "const leaf": lambda w, shape, seed, name, grad: w.s.const(values(w, shape, seed), name),
    "mask leaf": lambda w, shape, seed, name, grad: w.s.const(values(w, shape, seed) > 0, name),
    "use": lambda w, shape, seed, name, grad: w.s.use(w.params[seed % len(w.params)]),
    "input F": lambda w, shape, seed, name, grad: w.s.input(np.asfortranarray(values(w, shape, seed))),
    "input bad name": lambda w, shape, seed, name, grad: w.s.input(values(w, shape, seed), np.ones(2)),
    "input handle": lambda w, shape, seed, name, grad: w.s.input(w.results[0]),
}
NATS: dict[str, Form] = {
    "nat": lambda w, v: w.s.input_nat(v[0] if v else 0),
    "nat_vec": lambda w, v: w.s.input_nat_vec(v),
    "nat_vec array": lambda w, v: w.s.input_nat_vec(np.array(v, np.int64)),
    "nat handle": lambda w, v: w.s.input_nat_vec(w.results[0]),
    "nat new": lambda w, v: w.s.input_nat_vec([(n + w.step) % 3 for n in v]),
}
LABELS: tuple[list[Any], ...] = (
    [0, 1],
    [1, 0],
    [0],
    [],
    [2, 2],
    [0, 1, 2],
    [99, 0],
    [-1, 0],
    [0, 1.5],
    [True, 0],
)
READS: dict[str, Form] = {
    "value": lambda w, x: w.log.append(shown(x.value)),
    "len": lambda w, x: w.log.append(len(w.s)),
    "graph": lambda w, x: w.log.append(str(w.s.graph)),
    "repr": lambda w, x: w.log.append(repr(w.s)),
    "state": lambda w, x: w.log.append([shown(v) for v in w.s.state.leaf_values]),
    "ref": lambda w, x: w.s.ref(x.id),
    "mk_idx": lambda w, x: w.s.relu(w.s.mk_idx(x.id)),
    "run_graph": lambda w, x: w.log.append(len(w.s.run_graph(lambda s: x + 1.0).graph.nodes)),
    "failing commit": failing,
    "assign": lambda w, x: setattr(w.params[0], "value", values(w, w.params[0].shape, 5)),
    "freeze": lambda w, x: setattr(w.params[1], "requires_grad", not w.params[1].requires_grad),
    "rename": lambda w, x: setattr(w.params[1], "name", "again"),
    "reset in commit": lambda w, x: w.s.commit(lambda s: s.reset_tape()),
    "stale": lambda w, x: w.s.relu(kept(w)),
    "x + stale": lambda w, x: x + kept(w),
    "stale + 1": lambda w, x: kept(w) + 1.0,
    "stale[:]": lambda w, x: w.s.tanh(kept(w)[:]),
    "stale commit": lambda w, x: w.s.commit(lambda s: kept(w)),
    "stale value": lambda w, x: kept(w).value,
    "generation": lambda w, x: w.log.append((kept(w).generation, x.generation)),
    "foreign": lambda w, x: w.s.add(x, w.other.input([1.0])),
    "foreign right": lambda w, x: w.other.input([1.0]) + x,
    "step other": lambda w, x: step_other(w),
    "iterate": lambda w, x: list(x),
    "bool": lambda w, x: bool(x),
    "number": lambda w, x: w.s.relu(1.0),
}


def kept(w: World) -> Any:
    """Some handle of an earlier step that was kept, chosen without chance."""
    if not w.old:
        raise LookupError("nothing is kept")
    step = w.old[(w.step * 7) % len(w.old)]
    return step[(w.step * 5) % len(step)]


def step_other(w: World) -> None:
    """Another session trains a parameter that this one has used."""
    s, p = w.other, w.params[0]
    s.reset_tape()
    s.sgd_step_all(0.5, s.backward_scalar_dense_all(s.sum(s.square(s.use(p)))))


def shown(array: Any) -> tuple[object, ...]:
    a = np.asarray(array)
    return (a.dtype.str, a.shape, a.tobytes())


FORMS: dict[str, dict[str, Form]] = {
    "unary": UNARY, "binary": BINARY, "number": NUMBER, "axis": AXIS, "index": INDEX, "array": ARRAY,
    "shape": SHAPE, "optional": OPTIONAL, "nat": NAT, "leaf": LEAVES, "nats": NATS, "read": READS,
}  # fmt: skip
ALL: dict[str, tuple[str, Form]] = {
    f"{kind}: {name}": (kind, form) for kind, forms in FORMS.items() for name, form in forms.items()
}

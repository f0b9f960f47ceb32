"""Training steps for benchmarks/lowerings.py: forward, backward and SGD of one tape in one program."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from prooftape.session import Session
from prooftape.tape import backward_dense_from, forward_from
from prooftape.xla import lowerings
from prooftape.xla.arrays import JaxArrays
from prooftape.xla.structure import structure

RATE = 0.05


@dataclass(frozen=True)
class Workload:
    """Parameters, one input, labels or none; the loss recorded on a session, and the same in JAX."""

    name: str
    params: list[Any]
    x: Any
    labels: Any
    record: Callable[..., Any]
    rival: Callable[..., Any]


def workloads(jx: Any) -> list[Workload]:
    """The steps whose ops have lowerings; `jx` is the module with the rivals."""
    draw = np.random.default_rng(0)

    def normal(*shape: int, size: float | None = None) -> Any:
        factor = size if size is not None else 1 / math.sqrt(shape[-1] if len(shape) > 1 else 1)
        return (draw.standard_normal(shape) * factor).astype(np.float32)

    def zeros(n: int) -> Any:
        return np.zeros(n, np.float32)

    def ones(n: int) -> Any:
        return np.ones(n, np.float32)

    # W2: MLP
    mlp = [normal(256, 784), zeros(256), normal(128, 256), zeros(128), normal(10, 128), zeros(10)]

    def w2(s: Session, p: Any, x: Any, y: Any) -> Any:
        h = s.relu(s.linear(p[2], p[3], s.relu(s.linear(p[0], p[1], x))))
        return s.cross_entropy(s.linear(p[4], p[5], h), y)

    def w2_jax(p: Any, x: Any, y: Any) -> Any:
        h = jax.nn.relu(jax.nn.relu(x @ p[0].T + p[1]) @ p[2].T + p[3])
        return jx.cross_entropy(h @ p[4].T + p[5], y)

    # W3: CNN
    cnn = [normal(16, 1, 3, 3), zeros(16), normal(32, 16, 3, 3, size=0.1), zeros(32)]
    cnn += [normal(10, 1568, size=0.02), zeros(10)]

    def w3(s: Session, p: Any, x: Any, y: Any) -> Any:
        h = s.max_pool2d(s.relu(s.conv2d(p[0], p[1], x, padding=1)), 2)
        h = s.max_pool2d(s.relu(s.conv2d(p[2], p[3], h, padding=1)), 2)
        return s.cross_entropy(s.linear(p[4], p[5], s.reshape(h, (32, 1568))), y)

    def w3_jax(p: Any, x: Any, y: Any) -> Any:
        block, pool = jx.conv(1, 1), jx.max_pool(2, 2, 0)
        h = pool(jax.nn.relu(block(p[0], p[1], x)))
        h = pool(jax.nn.relu(block(p[2], p[3], h)))
        return jx.cross_entropy(h.reshape(32, -1) @ p[4].T + p[5], y)

    # W4: transformer block
    d, heads, tokens, batch = 256, 4, 128, 4
    block = [*(normal(d, d) for _ in range(4)), ones(d), zeros(d), ones(d), zeros(d)]
    block += [normal(4 * d, d), zeros(4 * d), normal(d, 4 * d), zeros(d), normal(d, d), zeros(d)]

    def w4(s: Session, p: Any, x: Any, y: Any) -> Any:
        a = s.multi_head_attention(*p[:4], s.layer_norm(x, p[4], p[5]), num_heads=heads)
        h = s.add(x, a)
        m = s.gelu(s.linear(p[8], p[9], s.layer_norm(h, p[6], p[7])))
        h = s.add(h, s.linear(p[10], p[11], m))
        return s.cross_entropy(s.linear(p[12], p[13], s.reshape(h, (batch * tokens, d))), y)

    def w4_jax(p: Any, x: Any, y: Any) -> Any:
        h = x + jx.attention(heads)(*p[:4], jx.layer_norm(x, p[4], p[5]))
        m = jax.nn.gelu(jx.layer_norm(h, p[6], p[7]) @ p[8].T + p[9], approximate=False)
        h = h + m @ p[10].T + p[11]
        return jx.cross_entropy(h.reshape(batch * tokens, d) @ p[12].T + p[13], y)

    def squared(op: Callable[..., Any]) -> Callable[..., Any]:
        return lambda s, p, x, y: s.mean(s.square(op(s, p, x)))

    def squared_jax(f: Callable[..., Any]) -> Callable[..., Any]:
        return lambda p, x, y: jnp.mean(f(p, x) ** 2)

    def labels(n: int, classes: int) -> Any:
        return draw.integers(0, classes, n)

    return [
        Workload("W2", mlp, normal(64, 784, size=1), labels(64, 10), w2, w2_jax),
        Workload("W3", cnn, normal(32, 1, 28, 28, size=1), labels(32, 10), w3, w3_jax),
        Workload("W4", block, normal(batch, tokens, d, size=1), labels(batch * tokens, d), w4, w4_jax),
        Workload(
            "W6a",
            [normal(16, 3, 3, 3), zeros(16)],
            normal(3, 32, 32, size=1),
            None,
            squared(lambda s, p, x: s.conv2d(*p, x, padding=1)),
            squared_jax(lambda p, x: jx.conv(1, 1)(*p, x)),
        ),
        Workload(
            "W6b",
            [ones(64), zeros(64)],
            normal(32, 64, size=1),
            None,
            squared(lambda s, p, x: s.layer_norm(x, *p)),
            squared_jax(lambda p, x: jx.layer_norm(x, *p)),
        ),
        Workload(
            "W6c",
            [normal(64, 64) for _ in range(4)],
            normal(32, 64, size=1),
            None,
            squared(lambda s, p, x: s.multi_head_attention(*p, x, num_heads=4)),
            squared_jax(lambda p, x: jx.attention(4)(*p, x)),
        ),
    ]


def taped(work: Workload, on: frozenset[str]) -> Callable[..., Any]:
    """Loss, whether a zero may have been missed, and gradients of the graph, as a function to trace."""
    s = Session("float32")
    params, x = [s.add_leaf(a) for a in work.params], s.input(work.x)
    y = None if work.labels is None else s.input_nat_vec(work.labels)
    root = work.record(s, params, x, y).id
    st = structure("float32", on, s.graph.leaves, s.graph.nodes)
    wanted = range(len(params))
    tape, needed = st.tape({root, *wanted}), st.needed(wanted)
    above = st.above([root], tape)

    def f(params: Sequence[Any], x: Any, labels: Any) -> Any:
        xp = JaxArrays("float32", strict=False)
        values: list[Any] = [*params, x]
        for instr in tape.instrs:
            if instr.out in above:
                forward_from(xp, [instr], values, lambda start, k: labels)
            else:  # inside a chain that is traced as one instruction
                values.append(None)
        seeds: list[Any] = [None] * len(values)
        seeds[root] = xp.full((), 1)
        ct = backward_dense_from(xp, tape, values, seeds, lambda start, k: labels, needed)
        missed = jnp.zeros((), bool)
        for flag in xp.suspects:
            missed = missed | flag
        return (values[root], missed), ct[: len(params)]

    return f


def stepper(work: Workload, program: Callable[..., Any]) -> Callable[[], Any]:
    """One step after another on parameters that stay where they are; returns the loss, waited for."""

    def step(params: Any, x: Any, labels: Any) -> Any:
        loss, grads = program(params, x, labels)
        return loss, [p - RATE * g for p, g in zip(params, grads, strict=True)]

    compiled = jax.jit(step, donate_argnums=0)
    state = [[jnp.array(a) for a in work.params]]
    x = jnp.array(work.x)
    labels = None if work.labels is None else jnp.array(work.labels, jnp.int32)

    def run() -> Any:
        (loss, missed), state[0] = compiled(state[0], x, labels)
        loss.block_until_ready()
        assert not missed
        return loss

    return run


def steps(work: Workload) -> list[Callable[[], Any]]:
    """Steps by the ops' own rules, lowered, and in JAX; their first five losses agree."""

    def theirs(params: Any, x: Any, labels: Any) -> Any:
        loss, grads = jax.value_and_grad(work.rival)(params, x, labels)
        return (loss, jnp.zeros((), bool)), grads

    programs = (taped(work, frozenset()), taped(work, lowerings.enabled(True)), theirs)
    runs = [stepper(work, program) for program in programs]
    losses = np.array([[float(run()) for _ in range(5)] for run in runs])
    if not np.abs(losses - losses[0]).max() <= 1e-3 * np.abs(losses).max():
        raise AssertionError(f"{work.name}: the losses do not agree: {losses.tolist()}")
    return runs

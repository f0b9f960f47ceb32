"""What does each lowering gain? The op's own rules, the lowered ones, and JAX's own code.

An op runs forward and backward in one compiled program. A step is forward, backward and SGD of one tape, with
donated parameters. This is about the program alone: recording and the engine's calls are measured elsewhere.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import harness
from harness import Samples, Timer

harness.pin()

import jax  # noqa: E402  (after pinning)
import jax.numpy as jnp  # noqa: E402
import lowering_steps  # noqa: E402
import numpy as np  # noqa: E402
from jax import lax  # noqa: E402

from prooftape.ops import find  # noqa: E402
from prooftape.types import BOOL, REAL, TensorType  # noqa: E402
from prooftape.xla import lowerings  # noqa: E402
from prooftape.xla.arrays import JaxArrays  # noqa: E402

PACKAGES = ("prooftape", "jax", "jaxlib", "numpy")
ENGINES = ("own rules", "lowered", "jax")
Run = Callable[[], object]


# -- JAX as its users write it -----------------------------------------------------------------------------
def conv(stride: int, padding: int) -> Callable[..., Any]:
    def f(w: Any, b: Any, x: Any) -> Any:
        image = x if x.ndim == 4 else x[None]
        y = lax.conv_general_dilated(image, w, (stride,) * 2, [(padding,) * 2] * 2) + b[:, None, None]
        return y if x.ndim == 4 else y[0]

    return f


def max_pool(kernel: int, stride: int, padding: int) -> Callable[..., Any]:
    edges = [(0, 0), (0, 0), (padding,) * 2, (padding,) * 2]
    window, steps = (1, 1, kernel, kernel), (1, 1, stride, stride)
    return lambda x: lax.reduce_window(x, -jnp.inf, lax.max, window, steps, edges)


def normalized(x: Any, axes: Any) -> Any:
    mean = x.mean(axes, keepdims=True)
    return (x - mean) * lax.rsqrt(((x - mean) ** 2).mean(axes, keepdims=True) + 1e-5)


def layer_norm(x: Any, gamma: Any, beta: Any) -> Any:
    return normalized(x, -1) * gamma + beta


def batch_norm(x: Any, gamma: Any, beta: Any) -> Any:
    return normalized(x, (0, 2, 3)) * gamma[:, None, None] + beta[:, None, None]


def group_norm(x: Any, gamma: Any, beta: Any) -> Any:
    y = normalized(x.reshape(x.shape[0], 4, -1), -1).reshape(x.shape)
    return y * gamma[:, None, None] + beta[:, None, None]


def attention(heads: int) -> Callable[..., Any]:
    def f(wq: Any, wk: Any, wv: Any, wo: Any, x: Any, mask: Any = None) -> Any:
        n, width = x.shape[-2:]
        q, k, v = ((x @ w).reshape(*x.shape[:-1], heads, width // heads) for w in (wq, wk, wv))
        scores = jnp.einsum("...qhd,...khd->...hqk", q, k) / math.sqrt(width // heads)
        p = jax.nn.softmax(scores if mask is None else jnp.where(mask, scores, -1e9), -1)
        return jnp.einsum("...hqk,...khd->...qhd", p, v).reshape(*x.shape[:-2], n, width) @ wo

    return f


def nll(x: Any, labels: Any) -> Any:
    return -jnp.mean(x[jnp.arange(x.shape[0]), labels])


def cross_entropy(x: Any, labels: Any) -> Any:
    return nll(jax.nn.log_softmax(x), labels)


# -- one op ----------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Case:
    """An op on operands of these shapes, and the same in JAX."""

    op: str
    shapes: tuple[tuple[int, ...], ...]
    rival: Callable[..., Any]
    attrs: dict[str, object] = field(default_factory=dict)
    labels: bool = False

    @property
    def name(self) -> str:
        said = " ".join(f"{k}={v}" for k, v in self.attrs.items())
        return f"{self.op} {'; '.join(map(str, self.shapes))} {said}".strip()


def image(channels: int, out: int, size: int, kernel: int, batch: int = 0, stride: int = 1) -> Case:
    padding = kernel // 2
    x = (channels, size, size)
    shapes = ((out, channels, kernel, kernel), (out,), (batch, *x) if batch else x)
    return Case("conv2d", shapes, conv(stride, padding), {"stride": stride, "padding": padding})


def pool(shape: tuple[int, ...], kernel: int, stride: int, padding: int) -> Case:
    attrs: dict[str, object] = {"kernel": kernel, "stride": stride, "padding": padding}
    return Case("max_pool2d", (shape,), max_pool(kernel, stride, padding), attrs)


def attend(x: tuple[int, ...], heads: int, masked: bool = False) -> Case:
    shapes = ((x[-1],) * 2,) * 4 + (x,) + ((x[-2],) * 2,) * masked
    return Case("multi_head_attention", shapes, attention(heads), {"num_heads": heads})


CASES = (
    image(1, 16, 28, 3, batch=32),
    image(3, 32, 32, 3, batch=32),
    image(16, 32, 14, 3, batch=32),
    image(64, 64, 14, 3, batch=8),
    image(64, 128, 14, 3, batch=8, stride=2),
    image(3, 16, 32, 3),
    image(16, 16, 28, 3),
    pool((32, 16, 28, 28), 2, 2, 0),
    pool((8, 64, 28, 28), 3, 2, 1),
    pool((8, 16, 28, 28), 3, 1, 1),
    Case("batchnorm_channel_first", ((32, 64, 14, 14), (64,), (64,)), batch_norm),
    Case("group_norm", ((32, 16, 28, 28), (16,), (16,)), group_norm, {"num_groups": 4}),
    Case("layer_norm", ((512, 256), (256,), (256,)), layer_norm),
    attend((32, 64), 4),
    attend((32, 64), 4, masked=True),
    attend((4, 128, 256), 4),
    Case("softmax", ((512, 256),), lambda x: jax.nn.softmax(x, -1)),
    Case("log_softmax", ((512, 256),), lambda x: jax.nn.log_softmax(x, -1)),
    Case("cross_entropy", ((512, 256),), cross_entropy, labels=True),
    Case("cross_entropy", ((256, 4096),), cross_entropy, labels=True),
    Case("nll_loss", ((256, 4096),), nll, labels=True),
    Case("linear", ((256, 784), (256,), (64, 784)), lambda w, b, x: x @ w.T + b),
    Case("linear", ((1024, 256), (1024,), (512, 256)), lambda w, b, x: x @ w.T + b),
    Case("gelu", ((512, 1024),), lambda x: jax.nn.gelu(x, approximate=False)),
    Case("gather_rows_ref", ((10000, 128),), lambda x, i: x[i], labels=True),
)


def prepared(case: Case) -> tuple[dict[str, Run], str | None]:
    """A run for every engine, and the name of the lowering."""
    draw = np.random.default_rng(0)
    masked = [case.op == "multi_head_attention" and i == 5 for i in range(len(case.shapes))]
    values = [
        jnp.asarray(draw.random(s) < 0.6 if m else draw.standard_normal(s, dtype=np.float32))
        for s, m in zip(case.shapes, masked, strict=True)
    ]
    count = 512 if case.op.startswith("gather") else case.shapes[0][0]
    index = [jnp.asarray(draw.integers(0, case.shapes[0][-1], count), jnp.int32)] if case.labels else []
    op = find(case.op)
    types = tuple(TensorType.of(s, BOOL if m else REAL) for s, m in zip(case.shapes, masked, strict=True))
    given = {a.name: a.default for a in op.attrs} | case.attrs
    call = op.bind(types, tuple(given.values()), (count,) * case.labels)
    ct = jnp.asarray(draw.standard_normal(call.shape, dtype=np.float32))

    def ours(on: frozenset[str]) -> Callable[..., Any]:
        rules = lowerings.choose(call, on)

        def f(values: Any, index: Any, ct: Any) -> Any:
            xp = JaxArrays("float32", strict=False)
            out = rules.forward(xp, call, *values, *index)
            saved = [(*values, out)[p] for p in call.saved]
            grads = rules.vjp(xp, call, [*saved, *index], ct, [not m for m in masked])
            return out, [g for g in grads if g is not None], any_of(xp.suspects)

        return f

    def theirs(values: Any, index: Any, ct: Any) -> Any:
        real = len(values) - sum(masked)
        out, back = jax.vjp(lambda *v: case.rival(*v, *values[real:], *index), *values[:real])
        return out, back(ct)

    everything = lowerings.enabled(True)
    programs = dict(zip(ENGINES, (ours(frozenset()), ours(everything), theirs), strict=True))

    def run(program: Callable[..., Any]) -> Run:
        compiled = jax.jit(program)
        return lambda: jax.block_until_ready(compiled(values, index, ct))

    runs = {name: run(program) for name, program in programs.items()}
    agree(case.name, [r() for r in runs.values()])
    return runs, lowerings.choose(call, everything).lowering


def agree(name: str, results: Sequence[Any]) -> None:
    """Every engine computes the same, to a thousandth of the largest entry: rounding is smaller."""
    first = jax.tree.leaves(results[0][:2])
    for other in results[1:]:
        for a, b in zip(first, jax.tree.leaves(other[:2]), strict=True):
            if not np.abs(a - b).max(initial=0) <= 1e-3 * max(1e-6, np.abs(b).max(initial=0)):
                raise AssertionError(f"{name}: the engines do not agree")


def any_of(flags: Sequence[Any]) -> Any:
    found = jnp.zeros((), bool)
    for flag in flags:
        found = found | flag
    return found


# -- measuring ---------------------------------------------------------------------------------------------
def measure(runs: dict[str, Run], rounds: int, seconds: float) -> dict[str, Samples]:
    """Each sample is the mean of runs for about `seconds`, after one that warms the caches again."""
    start = time.perf_counter()
    next(iter(runs.values()))()
    repeats = max(1, int(seconds / (time.perf_counter() - start)))

    def timed(run: Run) -> Callable[[Timer], None]:
        def sample(timer: Timer) -> None:
            run()
            with timer("run"):
                for _ in range(repeats):
                    run()

        return sample

    table = harness.interleave({name: timed(run) for name, run in runs.items()}, rounds)
    found = {name: phases["run"] for name, phases in table.items()}
    return {
        name: Samples([t / repeats for t in x.wall], [t / repeats for t in x.cpu])
        for name, x in found.items()
    }


def row(name: str, lowering: str, found: dict[str, Samples]) -> list[str]:
    own, lowered, rival = (found[engine] for engine in ENGINES)
    cells = [f"{1e6 * x.median:.0f}" for x in (own, lowered, rival)]
    ratios = []
    for other in (own, rival):
        middle, low, high = lowered.ratio_to(other)
        ratios.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
    return [name, lowering, *cells, *ratios]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.01, help="about how long one sample runs")
    parser.add_argument("--dry-run", action="store_true", help="print the table; write no file")
    given = parser.parse_args()
    rows: list[list[str]] = []
    data: dict[str, object] = {}

    def take(name: str, lowering: str, runs: dict[str, Run]) -> None:
        found = measure(runs, given.rounds, given.seconds)
        rows.append(row(name, lowering, found))
        data[name] = {engine: samples.summary() for engine, samples in found.items()}
        print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)

    for work in lowering_steps.workloads(sys.modules[__name__]):
        if given.only in work.name:
            take(work.name, "all", dict(zip(ENGINES, lowering_steps.steps(work), strict=True)))
    for case in CASES:
        if given.only in case.name:
            runs, lowering = prepared(case)
            take(case.name, lowering or "none", runs)
    header = ["step, or op forward and backward", "lowering", "own rules, us", "lowered, us", "JAX, us"]
    header += ["lowered over own rules", "lowered over JAX"]
    body = harness.markdown_table(header, rows)
    if given.dry_run:
        print(body)
        return
    print(harness.write_report("lowerings", "What does each lowering gain?", body, {"cases": data}, PACKAGES))


if __name__ == "__main__":
    main()

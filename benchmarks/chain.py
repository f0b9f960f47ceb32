"""What does a node cost? A chain of N `relu` nodes on a float32 vector of 4, for growing N.

The arithmetic is nearly nothing, so this measures recording, evaluating and differentiating, and whether they
grow linearly. Every engine starts from the same vector, gets the same seed and must return the same
value and gradient, bit for bit (relu and its VJP copy or zero entries: nothing is rounded).
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable

import harness
from harness import Memory, Samples, Table, Timer

harness.pin()

import numpy as np  # noqa: E402  (after pinning: BLAS reads its thread count when it is loaded)
import numpy.typing as npt  # noqa: E402

Array = npt.NDArray[np.float32]
Chain = Callable[[int, Timer], tuple[Array, Array]]

START = np.array([1.5, -1.0, 2.0, 0.25], np.float32)
SEED = np.array([1.0, 2.0, 3.0, 4.0], np.float32)
VALUE = np.array([1.5, 0.0, 2.0, 0.25], np.float32)
GRADIENT = np.array([1.0, 0.0, 3.0, 4.0], np.float32)

SIZES = (1_000, 4_000, 16_000, 64_000, 250_000, 1_000_000)
ROUNDS = {1_000: 15, 4_000: 15, 16_000: 11, 64_000: 7, 250_000: 5, 1_000_000: 3}
PHASES = ("record+forward", "backward")
PACKAGES = ("prooftape", "numpy", "mygrad", "autograd", "torch")


def prooftape_chain() -> Chain:
    import prooftape as pt

    def run(nodes: int, timer: Timer) -> tuple[Array, Array]:
        with timer("record+forward"):
            with timer("record"):
                session = pt.Session(scalar="float32")
                x = session.input(START, requires_grad=True)
                y = x
                for _ in range(nodes):
                    y = session.relu(y)
            value = session.get_value(y)
        with timer("backward"):
            grads = session.backward_dense_all(y, SEED)
            gradient = grads[x]
        return np.asarray(value), np.asarray(gradient)

    return run


def _mygrad_chain(guarded: bool) -> Chain:
    mg = harness.peer("mygrad")
    relu = harness.peer("mygrad.nnet.activations").relu

    def run(nodes: int, timer: Timer) -> tuple[Array, Array]:
        (mg.turn_memory_guarding_on if guarded else mg.turn_memory_guarding_off)()
        with timer("record+forward"):
            x = mg.tensor(START)
            y = x
            for _ in range(nodes):
                y = relu(y)
        with timer("backward"):
            y.backward(SEED)
            gradient = x.grad
        return y.data, gradient

    return run


def mygrad_chain() -> Chain:
    """As installed: MyGrad locks the arrays a graph depends on."""
    return _mygrad_chain(guarded=True)


def mygrad_unguarded_chain() -> Chain:
    """With `turn_memory_guarding_off()`, its documented faster setting."""
    return _mygrad_chain(guarded=False)


def hips_chain() -> Chain:
    """HIPS autograd has no relu: one primitive, defined as its tutorial does (`np.maximum` costs it more)."""
    make_vjp = harness.peer("autograd.core").make_vjp
    extend = harness.peer("autograd.extend")

    zero = np.float32(0)
    relu = extend.primitive(lambda x: np.maximum(x, zero))
    extend.defvjp(relu, lambda ans, x: lambda g: g * (x > 0))

    def run(nodes: int, timer: Timer) -> tuple[Array, Array]:
        def chain(x: Array) -> Array:
            for _ in range(nodes):
                x = relu(x)
            return x

        with timer("record+forward"):
            vjp, value = make_vjp(chain, START)
        with timer("backward"):
            gradient = vjp(SEED)
        return value, gradient

    return run


def torch_chain() -> Chain:
    torch = harness.peer("torch")

    torch.set_num_threads(1)

    def run(nodes: int, timer: Timer) -> tuple[Array, Array]:
        seed = torch.from_numpy(SEED)
        with timer("record+forward"):
            x = torch.tensor(START, requires_grad=True)
            y = x
            for _ in range(nodes):
                y = torch.relu(y)
        with timer("backward"):
            y.backward(seed)
        return y.detach().numpy(), x.grad.numpy()

    return run


def numpy_chain() -> Chain:
    """By hand: a list of arrays forward, a loop backward. What any recorder is built on top of."""

    def run(nodes: int, timer: Timer) -> tuple[Array, Array]:
        with timer("record+forward"):
            y = START
            values = [y]
            for _ in range(nodes):
                y = np.maximum(y, 0)
                values.append(y)
        with timer("backward"):
            g = SEED
            for k in range(nodes - 1, -1, -1):
                g = g * (values[k] > 0)
        return y, g

    return run


ENGINES: dict[str, Callable[[], Chain]] = {
    "prooftape": prooftape_chain,
    "MyGrad": mygrad_chain,
    "MyGrad, unguarded": mygrad_unguarded_chain,
    "HIPS autograd": hips_chain,
    "torch eager": torch_chain,
    "NumPy by hand": numpy_chain,
}


def checked(name: str, chain: Chain, nodes: int) -> Callable[[Timer], None]:
    def run(timer: Timer) -> None:
        value, gradient = chain(nodes, timer)
        if not (np.array_equal(value, VALUE) and np.array_equal(gradient, GRADIENT)):
            raise AssertionError(f"{name}: value {value}, gradient {gradient}; expected {VALUE}, {GRADIENT}")

    return run


def memory_child(name: str, nodes: int) -> None:
    chain = ENGINES[name]()
    run = checked(name, chain, nodes)
    harness.print_memory(harness.measure_memory(lambda: chain(10, Timer()), lambda: run(Timer())))


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """Least-squares slope of log time over log N: 1 is linear, 2 quadratic."""
    xs, ys = [math.log(n) for n in sizes], [math.log(t) for t in seconds]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return slope / sum((x - mean_x) ** 2 for x in xs)


def measure(
    names: list[str], sizes: list[int], rounds: int | None
) -> tuple[dict[int, Table], dict[int, dict[str, Memory | str]]]:
    times: dict[int, Table] = {}
    memory: dict[int, dict[str, Memory | str]] = {}
    chains: dict[str, Chain] = {}
    for nodes in sizes:
        # The fresh process comes first: an engine that cannot stand this depth dies there and not here.
        size = ["--sizes", str(nodes)]
        memory[nodes] = {name: harness.peak_memory(__file__, ["--memory-of", name, *size]) for name in names}
        alive = [name for name in names if isinstance(memory[nodes][name], Memory)]
        for name in alive:
            if name not in chains:
                chains[name] = ENGINES[name]()
        runs = {name: checked(name, chains[name], nodes) for name in alive}
        times[nodes] = harness.interleave(runs, rounds or ROUNDS.get(nodes, 5))
        print(f"{nodes} nodes done", file=sys.stderr, flush=True)
    return times, memory


def per_node(samples: Samples, nodes: int) -> str:
    each = [1e6 * seconds / nodes for seconds in samples.cpu]
    return f"{1e6 * samples.median / nodes:.2f} ({min(each):.2f} to {max(each):.2f})"


def in_mib(seen: Memory | str) -> str:
    return f"{seen.peak:.1f} (+{seen.added:.1f})" if isinstance(seen, Memory) else f"fails: {seen}"


def render(times: dict[int, Table], memory: dict[int, dict[str, Memory | str]], names: list[str]) -> str:
    sizes = list(times)
    parts: list[str] = []
    for phase in PHASES:
        rows = []
        for name in names:
            timed = [n for n in sizes if phase in times[n].get(name, {})]
            cells = [
                per_node(times[n][name][phase], n) if n in timed else f"fails: {memory[n][name]}"
                for n in sizes
            ]
            slope = "-"
            if len(timed) > 1:
                slope = f"{exponent(timed, [times[n][name][phase].median for n in timed]):.3f}"
            rows.append([name, *cells, slope])
        parts.append(f"## {phase}: microseconds a node, median (smallest to largest)\n")
        parts.append(harness.markdown_table(["engine", *(f"N = {n:,}" for n in sizes), "exponent"], rows))
    rows = []
    for name in names:
        rows.append([name, *(in_mib(memory[n][name]) for n in sizes)])
    parts.append("## peak memory of a fresh process: MiB in all (added after imports)\n")
    parts.append(harness.markdown_table(["engine", *(f"N = {n:,}" for n in sizes)], rows))
    if "prooftape" in names:
        parts.append("## prooftape over each peer: median of the per-round ratios (smallest to largest)\n")
        rows = []
        for name in names:
            if name == "prooftape":
                continue
            for phase in PHASES:
                cells = []
                for n in sizes:
                    ours, theirs = times[n].get("prooftape", {}), times[n].get(name, {})
                    if phase in ours and phase in theirs:
                        middle, low, high = ours[phase].ratio_to(theirs[phase])
                        cells.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
                    else:
                        cells.append("-")
                rows.append([name, phase, *cells])
        parts.append(harness.markdown_table(["peer", "phase", *(f"N = {n:,}" for n in sizes)], rows))
    return "\n".join(parts)


def as_data(times: dict[int, Table], memory: dict[int, dict[str, Memory | str]]) -> dict[str, object]:
    return {
        "sizes": {
            str(n): {
                name: {
                    "phases": {phase: samples.summary() for phase, samples in table.get(name, {}).items()},
                    "memory_mib": {"baseline": seen.baseline, "peak": seen.peak}
                    if isinstance(seen, Memory)
                    else {"fails": seen},
                }
                for name, seen in memory[n].items()
            }
            for n, table in times.items()
        }
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", help="comma-separated node counts (default: 1,000 to 1,000,000)")
    parser.add_argument("--engines", help="separated by ';' (default: all): " + "; ".join(ENGINES))
    parser.add_argument("--rounds", type=int, help="timed rounds at every size (default: fewer as N grows)")
    parser.add_argument("--json", action="store_true", help="print JSON; write no file")
    parser.add_argument("--dry-run", action="store_true", help="print the table; write no file")
    parser.add_argument("--memory-of", metavar="ENGINE", help="internal: measure one engine in this process")
    given = parser.parse_args()
    sizes = [int(text) for text in given.sizes.split(",")] if given.sizes else list(SIZES)
    if given.memory_of:
        memory_child(given.memory_of, sizes[0])
        return
    names = given.engines.split(";") if given.engines else list(ENGINES)
    times, memory = measure(names, sizes, given.rounds)
    if given.json:
        import json

        print(json.dumps(as_data(times, memory)))
        return
    body = render(times, memory, names)
    if given.dry_run:
        print(body)
        return
    print(harness.write_report("chain", "What does a node cost?", body, as_data(times, memory), PACKAGES))


if __name__ == "__main__":
    main()

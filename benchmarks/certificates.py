"""What does a certificate cost? `certify` on growing graphs and on the training graph of a transformer.

Three kinds of graph: random ones over the whole op table, an MLP (linear, relu, ...), and a 12-layer
transformer of the sizes of GPT-2 small, as recorded and with its recorded gradient. What is timed is
`certify(graph, tape)`, with the theory compiled before: writing the text, reading it back by the grammar, and
the prover's run, of which loading the theory is a part. Time of the prover's process is counted in.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import harness
from harness import Memory, Samples

harness.pin()

import numpy as np  # noqa: E402  (after pinning: BLAS reads its thread count when it is loaded)

import prooftape as pt  # noqa: E402
from prooftape.certificates import verify  # noqa: E402
from prooftape.certificates.certify import certify  # noqa: E402
from prooftape.certificates.text import HEAD, emit, read  # noqa: E402
from prooftape.graph import Graph, Prefix  # noqa: E402
from prooftape.tape import compile_tape  # noqa: E402
from prooftape.testing.graphs import random_session  # noqa: E402
from prooftape.theory import sources  # noqa: E402
from prooftape.theory.build import compiled  # noqa: E402
from prooftape.theory.prover import HOW_TO_GET, Prover, find_prover  # noqa: E402
from prooftape.transforms.derivative_graphs import grad_refs  # noqa: E402

SIZES = (10, 30, 100, 300, 1000, 3000)
ROUNDS = 5
LAYERS, WIDTH, HEADS, TOKENS, VOCABULARY = 12, 768, 12, 1024, 50257
PROMISED = {"random 1000": 3.0, "random 3000": 8.0, "transformer": 10.0, "transformer, gradient": 10.0}
"""Seconds of wall time for the whole of `certify`."""


# -- graphs --------------------------------------------------------------------------------------------
def random_graph(nodes: int) -> Graph:
    """The first nodes of a random session over all ops."""
    session, _ = random_session(random.Random(nodes), n_nodes=nodes)
    graph = session.graph
    return Graph(Prefix(graph.leaves), Prefix(graph.nodes, nodes), graph.n_nats)


def mlp_graph(nodes: int) -> Graph:
    """linear, relu, linear, ...: every layer with weights of its own."""
    session = pt.Session()
    x = session.input(np.ones((8, 16)))
    layers = [
        (session.input(np.ones((16, 16)), requires_grad=True), session.input(np.ones(16), requires_grad=True))
        for _ in range((nodes + 1) // 2)
    ]
    for k in range(nodes):
        x = session.relu(x) if k % 2 else session.linear(*layers[k // 2], x)
    return session.graph


def transformer_graph(gradient: bool) -> Graph:
    """Embedding, blocks of masked attention and MLP, norm, logits, cross-entropy; its gradient as nodes."""
    s = pt.Session("float32")
    weights: list[pt.TensorRef] = []

    def weight(*shape: int) -> pt.TensorRef:
        weights.append(s.input(np.zeros(shape, np.float32), requires_grad=True))
        return weights[-1]

    def norm() -> tuple[pt.TensorRef, pt.TensorRef]:
        return weight(WIDTH), weight(WIDTH)

    tokens, positions = weight(VOCABULARY, WIDTH), weight(TOKENS, WIDTH)
    blocks = [
        {
            "norm1": norm(),
            "attention": tuple(weight(WIDTH, WIDTH) for _ in range(4)),
            "norm2": norm(),
            "up": (weight(4 * WIDTH, WIDTH), weight(4 * WIDTH)),
            "down": (weight(WIDTH, 4 * WIDTH), weight(WIDTH)),
        }
        for _ in range(LAYERS)
    ]
    last = norm()
    allowed = s.input(np.zeros((TOKENS, TOKENS), np.float32))
    text = s.input_nat_vec(np.zeros(TOKENS, np.int64))
    labels = s.input_nat_vec(np.zeros(TOKENS, np.int64))
    mask = s.greater(allowed, s.full((TOKENS, TOKENS), 0))
    x = s.add(s.gather_rows_ref(tokens, text), positions)
    for block in blocks:
        h = s.layer_norm(x, *block["norm1"])
        x = s.add(x, s.multi_head_attention(*block["attention"], h, mask=mask, num_heads=HEADS))
        h = s.linear(*block["up"], s.layer_norm(x, *block["norm2"]))
        x = s.add(x, s.linear(*block["down"], s.gelu(h)))
    x = s.layer_norm(x, *last)
    loss = s.cross_entropy(s.matmul(x, s.transpose2d(tokens)), labels)
    if gradient:
        grad_refs([loss], [s.full((), 1)], weights)
    return s.graph


GRAPHS: dict[str, Callable[[], Graph]] = {
    **{f"random {n}": lambda n=n: random_graph(n) for n in SIZES},  # type: ignore[misc]
    **{f"MLP {n}": lambda n=n: mlp_graph(n) for n in SIZES},  # type: ignore[misc]
    "transformer": lambda: transformer_graph(gradient=False),
    "transformer, gradient": lambda: transformer_graph(gradient=True),
}


# -- measuring -----------------------------------------------------------------------------------------
def cpu_seconds() -> float:
    """CPU time of this process and of the children it waited for."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


@dataclass
class Measured:
    """One graph: how large it is, and the samples of each phase."""

    nodes: int
    leaves: int
    calls: int
    bytes: int
    memory: Memory | str
    phases: dict[str, Samples] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), cpu_seconds()
        yield
        samples = self.phases.setdefault(name, Samples())
        samples.cpu.append(cpu_seconds() - cpu)
        samples.wall.append(time.perf_counter() - wall)


def measure(names: list[str], rounds: int) -> dict[str, Measured]:
    """Every graph once a round, in rotating order; the first round is thrown away."""
    prover, theory = the_prover()
    digest = sources.digest(sources.read())
    graphs = {name: GRAPHS[name]() for name in names}
    tapes = {name: compile_tape(graph) for name, graph in graphs.items()}
    table: dict[str, Measured] = {}
    for name, graph in graphs.items():
        text = emit(graph, tapes[name], digest)
        calls = text.count("\nDefinition c")
        memory = prover_memory(text)
        table[name] = Measured(len(graph.nodes), len(graph.leaves), calls, len(text), memory)
    for number in range(-1, rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            seen, graph, tape = table[name], graphs[name], tapes[name]
            with seen.phase("certify"):
                verdict = certify(graph, tape)
            if not verdict.proved:
                raise AssertionError(f"{name}: {verdict}")
            with seen.phase("emit"):
                text = emit(graph, tape, digest)
            with seen.phase("read"):
                read(text.encode())
            with seen.phase("load"):
                run = verify.run_text(prover, theory, HEAD)
            if not run.ok:
                raise AssertionError(f"the theory does not load: {run.errors}")
            if number < 0:
                seen.phases.clear()
        print(f"round {number + 1} of {rounds} done", file=sys.stderr, flush=True)
    return table


def the_prover() -> tuple[Prover, Path]:
    """The prover and the compiled theory, with everything that is kept beside it."""
    prover = find_prover()
    if prover is None:
        raise SystemExit(f"there is no Rocq prover on the path; {HOW_TO_GET}")
    theory = compiled(prover)
    verify.theory_axioms(prover, theory)
    return prover, theory


def prover_memory(text: str) -> Memory | str:
    """Resident memory of the prover: after loading the theory, and at its peak.

    Measured in a small process: a child's high-water mark begins at the size of the process that forked it.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "certificate.v"
        path.write_text(text)
        return harness.peak_memory(__file__, ["--memory-of", str(path)])


def memory_child(path: Path) -> None:
    prover, theory = the_prover()
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    peaks = []
    for text in (HEAD, path.read_text()):
        run = verify.run_text(prover, theory, text)
        assert run.ok, run.errors
        peaks.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit)
    harness.print_memory(Memory(*peaks))


# -- report --------------------------------------------------------------------------------------------
def render(table: dict[str, Measured]) -> str:
    rows = []
    for name, seen in table.items():
        whole, load = seen.phases["certify"], seen.phases["load"]
        bound = f"{PROMISED[name]:g}" if name in PROMISED else "-"
        memory = f"{seen.memory.peak:.0f}" if isinstance(seen.memory, Memory) else f"fails: {seen.memory}"
        rows.append(
            [
                *[name, f"{seen.nodes:,}", f"{seen.leaves:,}", f"{seen.calls:,}", f"{seen.bytes / 1024:.1f}"],
                *[f"{1000 * seen.phases[phase].median:.1f}" for phase in ("emit", "read")],
                *[f"{load.median:.2f}", f"{whole.median:.2f} ({min(whole.cpu):.2f} to {max(whole.cpu):.2f})"],
                *[f"{min(whole.wall):.2f}, {wall_median(whole):.2f}", bound, memory],
            ]
        )
    header = (
        "graph;nodes;leaves;distinct calls;text, KiB;emit, ms;read, ms;loading the theory, s;"
        "certify: CPU s;certify: wall s, smallest, median;promised, s;peak memory of the prover, MiB"
    )
    parts = [harness.markdown_table(header.split(";"), rows)]
    for kind in ("random", "MLP"):
        small, large = table.get(f"{kind} {SIZES[-2]}"), table.get(f"{kind} {SIZES[-1]}")
        if small and large:
            seconds = large.phases["certify"].median - small.phases["certify"].median
            text = large.bytes - small.bytes
            extra = large.nodes - small.nodes
            parts.append(
                f"{kind}: from {small.nodes:,} to {large.nodes:,} nodes, one more node costs "
                f"{1e6 * seconds / extra:.0f} microseconds and {text / extra:.0f} bytes.\n"
            )
    return "\n".join(parts)


def wall_median(samples: Samples) -> float:
    return float(np.median(samples.wall))


def as_data(table: dict[str, Measured]) -> dict[str, object]:
    prover = find_prover()
    return {
        "prover": prover.version if prover else None,
        "graphs": {
            name: {
                "nodes": seen.nodes,
                "leaves": seen.leaves,
                "calls": seen.calls,
                "bytes": seen.bytes,
                "memory_mib": {"loaded": seen.memory.baseline, "peak": seen.memory.peak}
                if isinstance(seen.memory, Memory)
                else {"fails": seen.memory},
                "phases": {
                    phase: {**samples.summary(), "wall_min_s": min(samples.wall), "wall_s": samples.wall}
                    for phase, samples in seen.phases.items()
                },
            }
            for name, seen in table.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", help="separated by ';' (default: all): " + "; ".join(GRAPHS))
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"timed rounds (default: {ROUNDS})")
    parser.add_argument("--json", action="store_true", help="print JSON; write no file")
    parser.add_argument("--dry-run", action="store_true", help="print the table; write no file")
    parser.add_argument(
        "--memory-of", metavar="FILE", help="internal: the prover's memory on one certificate"
    )
    given = parser.parse_args()
    if given.memory_of:
        memory_child(Path(given.memory_of))
        return
    table = measure(given.graphs.split(";") if given.graphs else list(GRAPHS), given.rounds)
    data = as_data(table)
    if given.json:
        print(json.dumps(data))
        return
    body = f"Rocq {data['prover']}.\n\n{render(table)}"
    if given.dry_run:
        print(body)
        return
    print(
        harness.write_report(
            "certificates", "What does a certificate cost?", body, data, ["prooftape", "numpy"]
        )
    )


if __name__ == "__main__":
    main()

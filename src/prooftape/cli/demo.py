"""`prooftape demo`: train, look at the result, check the first gradient, certify the graph.

Every number is computed live.
"""

from __future__ import annotations

import importlib
import io
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from prooftape.certificates.verdict import THEOREMS, Outcome, Verdict
from prooftape.cli import digits, exact_check, gradient_check
from prooftape.cli.certificates import axioms, size_of, theory_progress
from prooftape.errors import MissingExtraError, ProverError
from prooftape.files import write_atomically
from prooftape.session import Session
from prooftape.training import OptimizerRun, adam, save_checkpoint

REQUIRED_ACCURACY = 0.97
PEAK_RATE = 0.005
# What is unchecked is neither right nor wrong: a machine without a prover has not failed.
CERTIFICATE = {"proved": "ok", "refused": "FAILED", "unchecked": "unchecked"}
STYLES = {"ok": "green", "FAILED": "bold red"}


@dataclass
class History:
    """Loss and graph (its digest) of every step, test accuracy after every epoch, seconds."""

    losses: list[float] = field(default_factory=list)
    graphs: list[str] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    seconds: float = 0.0


def run_demo(out: Path, epochs: int, seed: int, console: Console) -> bool:
    """Everything, in order; True when the accuracy is reached and every check holds."""
    out.mkdir(parents=True, exist_ok=True)
    data = digits.load_digits()
    rng = np.random.default_rng(seed)
    net = digits.Network.fresh(Session(), rng)
    n = sum(math.prod(p.shape) for p in net.params())
    console.print(
        f"Training a conv net of {n:,} weights on {len(data.train):,} handwritten digits\n"
        f"(float32, batches of {digits.BATCH}, Adam); {len(data.test)} images are held out for the test."
    )
    run = adam(lr=cosine(PEAK_RATE, epochs * digits.steps_per_epoch(data)))
    with one_thread():
        history, first = train(net, data, run, epochs, rng, console)
    reached = report_training(history, console)
    picture = save_picture(history, out / "loss.png")
    console.print(f"  loss curve: {picture}", markup=False, soft_wrap=True)
    report_checkpoint(net, run, first, history, out / "digits.safetensors", console)
    floats = report_floats(first, rng, console)
    exact = report_exact(data, rng, console)
    outcome = report_certificate(first, history, out, console)
    results = (
        ("ok" if reached else "FAILED", f"test accuracy of {REQUIRED_ACCURACY:.0%}"),
        ("ok" if floats else "FAILED", "gradient = forward mode within rounding"),
        ("ok" if exact else "FAILED", "exact equality on the reduced copy"),
        (CERTIFICATE[outcome], "certificate of the training step's graph and tape"),
    )
    console.print()
    for result, what in results:
        console.print(Text(f"{result:6} {what}", style=STYLES.get(result, "yellow")))
    return all(result != "FAILED" for result, _ in results)


def one_thread() -> AbstractContextManager[object]:
    """Matrices this small gain nothing from a second BLAS thread; on a busy machine it costs severalfold."""
    try:
        library: Any = importlib.import_module("threadpoolctl")  # comes with scikit-learn
    except ImportError:
        return nullcontext()
    limits: AbstractContextManager[object] = library.threadpool_limits(limits=1, user_api="blas")
    return limits


def cosine(peak: float, steps: int) -> Callable[[int], float]:
    """A learning rate that falls from `peak` to 0 along half a cosine (Loshchilov and Hutter, ICLR 2017)."""
    return lambda step: peak * 0.5 * (1 + math.cos(math.pi * min(step, steps) / steps))


def train(
    net: digits.Network,
    data: digits.Digits,
    run: OptimizerRun,
    epochs: int,
    rng: np.random.Generator,
    console: Console,
) -> tuple[History, gradient_check.FirstStep]:
    """The training loop. The first step is recorded in a session of its own and kept for the checks."""
    history, first = History(), None
    s = Session()
    columns = (
        TextColumn("  epoch {task.fields[epoch]:>3}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}  test accuracy {task.fields[accuracy]:.1%}"),
        TimeElapsedColumn(),
    )
    start = time.perf_counter()
    with Progress(*columns, console=console) as progress:
        total = epochs * digits.steps_per_epoch(data)
        task = progress.add_task("", total=total, epoch=1, loss=math.nan, accuracy=math.nan)
        for epoch in range(1, epochs + 1):
            for images, labels in digits.batches(data, rng):
                if first is None:
                    first = gradient_check.first_step(net, images, labels)
                    loss = float(first.session.get_value(first.loss))
                    run.step(first.session, first.grads)
                    history.graphs.append(first.session.graph.digest())
                else:
                    s.reset_tape()
                    scores = digits.record(s, net, images).scores
                    ref = s.cross_entropy(scores, s.input_nat_vec(labels))
                    loss = float(s.get_value(ref))
                    run.step(s, s.backward_scalar_dense_all(ref))
                    history.graphs.append(s.graph.digest())
                history.losses.append(loss)
                progress.update(task, advance=1, epoch=epoch, loss=loss)
            history.accuracies.append(digits.accuracy(net, data.test, data.test_labels))
            progress.update(task, accuracy=history.accuracies[-1])
    history.seconds = time.perf_counter() - start
    assert first is not None
    return history, first


def report_training(history: History, console: Console) -> bool:
    """What came of it; True when the last epoch's test accuracy is reached."""
    found = history.accuracies[-1]
    reached = found >= REQUIRED_ACCURACY
    console.print(
        f"  {len(history.losses)} steps in {history.seconds:.1f} s "
        f"({1000 * history.seconds / len(history.losses):.1f} ms each, testing included); "
        f"loss {history.losses[0]:.3f} -> {history.losses[-1]:.3f}"
    )
    style = "bold green" if reached else "bold red"
    console.print(Text(f"  test accuracy {found:.2%} (at least {REQUIRED_ACCURACY:.0%} wanted)", style=style))
    return reached


def save_picture(history: History, path: Path) -> Path:
    """Loss per step (logarithmic) and test accuracy per epoch."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("the loss curve needs matplotlib: pip install 'prooftape[cli]'") from None
    figure = Figure(figsize=(7, 4), layout="constrained")
    left = figure.subplots()
    per_epoch = len(history.losses) / len(history.accuracies)
    left.semilogy(range(1, len(history.losses) + 1), history.losses, color="tab:blue", linewidth=0.8)
    left.set_xlabel("step")
    left.set_ylabel("training loss (cross-entropy)", color="tab:blue")
    right = left.twinx()
    ends = [per_epoch * (i + 1) for i in range(len(history.accuracies))]
    right.plot(ends, [100 * a for a in history.accuracies], color="tab:orange", marker=".")
    right.axhline(100 * REQUIRED_ACCURACY, color="tab:orange", linestyle=":", linewidth=0.8)
    right.set_ylabel("test accuracy [%]", color="tab:orange")
    left.set_title("prooftape demo: handwritten digits")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_atomically(path, buffer.getvalue())
    return path


def report_checkpoint(
    net: digits.Network,
    run: OptimizerRun,
    first: gradient_check.FirstStep,
    history: History,
    path: Path,
    console: Console,
) -> None:
    """Save weights, optimizer and the graph of a training step, when safetensors is there."""
    try:
        save_checkpoint(
            path,
            net.params(),
            optimizer=run,
            graph=first.session.graph,
            step=len(history.losses),
            extra={"test accuracy": history.accuracies[-1]},
        )
    except MissingExtraError as e:
        console.print(f"  no checkpoint: {e}", markup=False, soft_wrap=True)
    else:
        console.print(
            f"  checkpoint: {path}   (look inside: prooftape show {path})", markup=False, soft_wrap=True
        )


def report_floats(first: gradient_check.FirstStep, rng: np.random.Generator, console: Console) -> bool:
    """The table of gradient_check."""
    found = list(gradient_check.check(first, rng))
    reverse, forward = gradient_check.roundings(first)
    console.print()
    console.print(
        "The first step's gradient (reverse mode) against forward mode, along directions\n"
        "d. Both sum the same products in another order; one product meets at most\n"
        f"{reverse} + {forward} roundings, whence the bound on the relative difference."
    )
    grid = table("direction d", "scalar", "<gradient, d>", "jvp along d", "differ", "bound", "")
    for a in found:
        grid.add_row(
            a.direction,
            a.scalar,
            f"{a.reverse:+.8e}",
            f"{a.forward:+.8e}",
            f"{a.relative:.1e}",
            f"{a.allowed_relative:.1e}",
            mark(a.holds),
        )
    console.print(grid)
    return all(a.holds for a in found)


def report_exact(data: digits.Digits, rng: np.random.Generator, console: Console) -> bool:
    """The table of exact_check."""
    net = exact_check.reduced(data, rng)
    found = list(exact_check.check(net, rng))
    console.print()
    console.print(
        "A reduced copy (3 images of 4x4 cells, one convolution, mean squared error) in\n"
        "exact rationals, without a tolerance:"
    )
    grid = table("claim", "equal", "one of the numbers", "")
    for a in found:
        grid.add_row(a.what, f"{a.equal} of {a.pairs}", shortened(str(a.example)), mark(a.holds))
    console.print(grid)
    errors = ", ".join(f"{scalar} {error:.1e}" for scalar, error in exact_check.float_errors(net))
    console.print(
        f"The same graph replayed in floats, largest error of its gradient against the exact one: {errors}"
    )
    return all(a.holds for a in found)


def report_certificate(
    first: gradient_check.FirstStep, history: History, out: Path, console: Console
) -> Outcome:
    """Certify the graph and the tape of a training step; what came of it."""
    graph, file = first.session.graph, out / "digits.v"
    alike = history.graphs.count(graph.digest())
    graph.save(out / "digits.graph")
    console.print()
    console.print(
        f"The certificate of a training step, from weights and images to the loss:\n"
        f"{size_of(graph)}; {alike} of the {len(history.graphs)} steps ran this graph,\n"
        "the others one for a smaller batch."
    )
    try:
        with theory_progress(console) as report:
            verdict = first.session.certify(first.loss, file, report)
    except ProverError as e:  # not the network's fault: the file can be checked elsewhere
        verdict = Verdict("unchecked", len(graph.nodes), reason=str(e), path=file)
    for line in certificate_lines(verdict):
        console.print(f"  {line}", markup=False, soft_wrap=True)
    console.print(f"  {first.session.trust().lines()[-1]}", markup=False, soft_wrap=True)
    return verdict.outcome


def certificate_lines(verdict: Verdict) -> Iterator[str]:
    """A verdict for somebody who sees the first one."""
    if verdict.proved:
        yield f"proved by Rocq in {verdict.seconds:.1f} s, of this very graph and the tape that ran it:"
        yield from (f"  {name}: {THEOREMS[name]}" for name in verdict.theorems)
        yield f"  from the axioms {axioms(verdict) or '(none)'}"
        if verdict.theory_seconds > 1:
            yield f"(compiling the theory, once on this machine: {verdict.theory_seconds:.0f} s)"
    else:
        yield str(verdict)
    if verdict.path is not None:
        graph = verdict.path.with_suffix(".graph")
        yield f"certificate: {verdict.path}   (check it: prooftape verify {verdict.path} --graph {graph})"
        yield f"what the gradients rest on, op by op: prooftape trust {graph}"


def table(*headings: str) -> Table:
    """A plain table."""
    grid = Table(box=None, pad_edge=False)
    for heading in headings:
        grid.add_column(heading, no_wrap=True)
    return grid


def mark(good: bool) -> Text:
    """`ok` or `FAILED`."""
    return Text("ok", style="green") if good else Text("FAILED", style="bold red")


def shortened(text: str, most: int = 30) -> str:
    """A long number by its ends."""
    return text if len(text) <= most else f"{text[: most // 2 - 1]}…{text[-(most // 2 - 1) :]}"

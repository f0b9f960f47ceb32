"""The picture of a run: for every workload, each engine's step over the fastest peer's, on a log scale."""

from __future__ import annotations

from typing import Any

import harness
import report
from registry import ENGINES

STYLES = {
    "prooftape, xla": ("#d1495b", "D"),
    "prooftape, numpy": ("#edae49", "D"),
    "torch eager": ("#30638e", "o"),
    "torch.compile": ("#5fa8d3", "o"),
    "jax.jit": ("#2e8b57", "s"),
    "tinygrad": ("#8d6cab", "v"),
    "HIPS autograd": ("#7f7f7f", "P"),
    "MyGrad": ("#b9a38a", "X"),
    "NumPy by hand": ("#222222", "|"),
}


def draw(results: report.Results) -> None:
    """results/peers.svg and results/peers.png."""
    matplotlib = harness.peer("matplotlib")
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "peers"  # the same data give the same file
    pyplot = harness.peer("matplotlib.pyplot")
    figure, axes = pyplot.subplots(figsize=(10, 0.72 * len(results) + 1.9), layout="constrained")
    labels = []
    for place, (name, result) in enumerate(results.items()):
        rows, best = report.timed(result), report.fastest_peer(result)
        axes.axhspan(place - 0.42, place + 0.42, color="#f4f4f2" if place % 2 else "#fbfbfa", zorder=0)
        ratios = {engine: report.ratio(rows, engine, best) for engine in rows}
        seen = [value for value in ratios.values() if value is not None]
        if seen:
            axes.plot([min(seen), max(seen)], [place, place], color="#d5d5d0", linewidth=1.5, zorder=1)
        for engine, value in ratios.items():
            if value is None:
                continue
            colour, marker = STYLES[engine]
            ours = ENGINES[engine].ours
            axes.scatter(
                value,
                place,
                s=95 if ours else 60,
                marker=marker,
                color=colour,
                edgecolors="white" if marker not in "|" else None,
                linewidths=0.8 if marker not in "|" else 2,
                zorder=4 if ours else 3,
            )
        target = report.TARGETS[name]
        axes.plot([target, target], [place - 0.3, place + 0.3], color="#d1495b", linewidth=1.6, zorder=2)
        time = f"{report._microseconds(rows[best]['median_s'])} us" if best else ""
        labels.append(f"{name}  {result['title']}\nfastest peer {best}, {time}")
    axes.axvline(1, color="#555555", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}x")
    axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}x" if f"{value:.0e}"[0] in "25" else "")
    axes.set_yticks(range(len(labels)), labels, fontsize=8.5)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlabel("time of a training step over the fastest peer's (left is faster)")
    axes.grid(axis="x", which="major", color="#e3e3df", linewidth=0.8)
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    handles: list[Any] = [
        pyplot.Line2D([], [], linestyle="", marker=m, color=c, markersize=8, label=engine)
        for engine, (c, m) in STYLES.items()
    ]
    handles.append(pyplot.Line2D([], [], color="#d1495b", linewidth=1.6, label="promised for prooftape, xla"))
    figure.legend(handles=handles, loc="outside upper center", ncols=5, frameon=False, fontsize=8.5)
    harness.RESULTS.mkdir(exist_ok=True)
    figure.savefig(harness.RESULTS / "peers.svg", metadata={"Date": None})
    figure.savefig(harness.RESULTS / "peers.png", dpi=150)
    pyplot.close(figure)

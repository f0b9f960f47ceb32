"""The results of a run as JSON, as Markdown and as a picture."""

from __future__ import annotations

import json
import statistics
from typing import Any

import harness
from registry import ENGINES, PACKAGES

Results = dict[str, dict[str, Any]]
"""workload -> what `run.measured` says"""

TARGETS = {
    "W1": 1.3,
    "W2": 1.06,
    "W3": 0.55,
    "W4": 1.02,
    "W5": 1.4,
    "W5p": 3.0,
    "W6a": 1.2,
    "W6b": 1.6,
    "W6c": 1.2,
}
"""Promised: the XLA engine's step, recording included, over the fastest peer's."""
FIRST_CALL_TARGET = 1.0
QUESTION = "What does a whole training step cost, against every peer?"


def timed(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Rows that have times and the right losses."""
    return {n: row for n, row in result["engines"].items() if "median_s" in row and row["agrees"]}


def fastest_peer(result: dict[str, Any], key: str = "median_s") -> str | None:
    rows = result["engines"] if key == "first_call_s" else timed(result)
    peers = {n: row[key] for n, row in rows.items() if ENGINES[n].peer and key in row}
    if key == "first_call_s":  # a library that compiles nothing has no first call worth the name
        peers = {n: t for n, t in peers.items() if n in ("torch.compile", "jax.jit", "tinygrad")}
    return min(peers, key=lambda n: peers[n]) if peers else None


def ratio(rows: dict[str, dict[str, Any]], one: str, other: str | None) -> float | None:
    """Median of the round-by-round ratios."""
    if other is None or one not in rows or other not in rows:
        return None
    pairs = zip(rows[one]["cpu_s"], rows[other]["cpu_s"], strict=True)
    return statistics.median(a / b for a, b in pairs)


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _microseconds(seconds: float) -> str:
    value = 1e6 * seconds
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def workload_table(name: str, result: dict[str, Any]) -> str:
    rows = timed(result)
    best = fastest_peer(result)
    lines = []
    for engine, row in result["engines"].items():
        first = f"{row['first_call_s']:.2f}" if "first_call_s" in row else "-"
        if "median_s" not in row:
            cells = [engine, "-", "-", "-", "-", first, row.get("reason", "")]
        else:
            spread = f"{_microseconds(row['min_s'])} to {_microseconds(row['max_s'])}"
            told = "" if row["agrees"] else f"**losses off by {row['deviation']:.2g}**"
            cells = [
                f"**{engine}**" if ENGINES[engine].ours else engine,
                f"{_microseconds(row['median_s'])} ({spread})",
                _microseconds(row["wall_median_s"]),
                _number(ratio(rows, engine, best)),
                _number(ratio(rows, engine, "torch eager")),
                first,
                told,
            ]
        lines.append(cells)
    header = ["engine", "CPU us a step, median (range)", "wall us", f"over {best}", "over torch eager"]
    header += ["first call, s", ""]
    if not any("first_call_s" in row for row in result["engines"].values()):
        header.pop(5)
        for cells in lines:
            cells.pop(5)
    told = (
        f"\nLosses of 20 steps, {result['first_loss']:.4g} to {result['last_loss']:.4g}, agree with float64 "
    )
    told += f"within {result['tolerance']:.1g}.\n"
    return f"## {name}: {result['title']}\n\n" + harness.markdown_table(header, lines) + told


def summary_table(results: Results) -> str:
    """Ours against the fastest peer, beside what is promised."""
    lines = []
    for name, result in results.items():
        rows, best = timed(result), fastest_peer(result)
        xla, ours = ratio(rows, "prooftape, xla", best), ratio(rows, "prooftape, numpy", best)
        verdict = "-" if xla is None else "pass" if xla <= TARGETS[name] else "miss"
        eager = ratio(rows, "prooftape, xla", "torch eager")
        cells = [
            name,
            best or "-",
            f"<= {TARGETS[name]:g}",
            _number(xla),
            verdict,
            _number(eager),
            _number(ours),
        ]
        lines.append(cells)
    if "W5" in results:
        rows = results["W5"]["engines"]
        best = fastest_peer(results["W5"], "first_call_s")
        seen = rows.get("prooftape, xla", {}).get("first_call_s")
        over = seen / rows[best]["first_call_s"] if seen and best else None
        verdict = "-" if over is None else "pass" if over <= FIRST_CALL_TARGET else "miss"
        cells = ["first call, W5", best or "-", f"<= {FIRST_CALL_TARGET:g}", _number(over), verdict, "-", "-"]
        lines.append(cells)
    header = [
        "workload",
        "fastest peer",
        "promised",
        "xla engine over it",
        "",
        "over torch eager",
        "numpy engine over it",
    ]
    return harness.markdown_table(header, lines)


def render(results: Results) -> str:
    tables = "\n".join(workload_table(name, result) for name, result in results.items())
    return summary_table(results) + "\n" + tables


def write(results: Results, rounds: int) -> str:
    facts, found, head = harness.machine(), harness.versions(PACKAGES), harness.commit()
    told = [
        f"# {QUESTION}",
        "",
        f"Written by `python benchmarks/peers/run.py`. Commit {head}.",
        "Machine: "
        + "; ".join(f"{k} {', '.join(map(str, v)) if isinstance(v, list) else v}" for k, v in facts.items())
        + ".",
        "Versions: " + ", ".join(f"{key} {value}" for key, value in found.items()) + ".",
        f"CPU time, one thread, one core, interleaved, medians of {rounds} rounds. Compare inside one table.",
        "",
        "![Time of a step over the fastest peer's](peers.svg)",
        "",
    ]
    text = "\n".join(told) + "\n" + render(results)
    record = {"benchmark": "peers", "question": QUESTION, "commit": head, "machine": facts, "versions": found}
    record |= {"rounds": rounds, "workloads": results}
    harness.atomic_write(harness.RESULTS / "peers.md", text)
    harness.atomic_write(harness.RESULTS / "peers.json", json.dumps(record, indent=1) + "\n")
    import plot

    plot.draw(results)
    return text

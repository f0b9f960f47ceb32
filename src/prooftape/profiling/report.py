"""A profile as text, as plain data, as a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from prooftape.errors import count
from prooftape.files import write_atomically
from prooftape.profiling.clock import PHASES

if TYPE_CHECKING:
    from prooftape.profiling.collect import NodeTime, Profile

ROWS: Final = 15
"""How many nodes and regions the table shows."""


def lines(p: Profile) -> list[str]:
    """The table."""
    steps = len(p.steps)
    out = [f"profile: {count(steps, 'step')}, {time(p.total)}, engine {', '.join(p.engines) or 'none'}"]
    step, many, what = p.typical()
    if step is not None:
        out[0] += f"; the median of {many} {what}: {time(step.duration)}"
    out += ["", f"{'phase':34}{'median step':>12}{'share':>8}{'all':>12}{'share':>8}"]
    for name, seconds in p.phases.items():
        mine = 0.0 if step is None else step.seconds.get(name, 0.0)
        whole = 0.0 if step is None else step.duration
        cells = f"{time(mine):>12}{percent(mine, whole):>8}{time(seconds):>12}{percent(seconds, p.total):>8}"
        out.append(f"{PHASES[name]:34}{cells}")
    whole = 0.0 if step is None else step.duration
    out.append(f"{'total':34}{time(whole):>12}{'100 %':>8}{time(p.total):>12}{'100 %':>8}")
    out += [f"transfers: {moved(p)}"] if "xla" in p.engines else []
    out += ["", *_nodes(p)]
    if p.regions:
        out += ["", *_regions(p)]
    out += ["", *(f"note: {text}" for text in explained(p))]
    return out


def _nodes(p: Profile) -> list[str]:
    found = p.nodes
    if not found:
        return ["no node was timed" if "program" in p.phases else "no node was run"]
    whole = sum(n.seconds for n in found)
    heads = f"{'forward':>10}{'backward':>10}{'share':>8}{'runs':>7}"
    whole += p.update_seconds
    out = [f"{'node':8}{'op':22}{'result':24}{'line':22}{heads}"]
    for n in found[:ROWS]:
        place = f"%{n.id:<7}{short(n.op, 21):22}{short(n.shape, 23):24}{short_line(n.line, 21):22}"
        times = f"{time(each(n, n.forward)):>10}{time(each(n, n.backward)):>10}"
        out.append(f"{place}{times}{percent(n.seconds, whole):>8}{n.runs:>7}")
    rest = found[ROWS:]
    if p.update_seconds:
        out.append(f"{'update and what belongs to no node':96}{percent(p.update_seconds, whole):>8}")
    if rest:
        left = percent(sum(n.seconds for n in rest), whole)
        out.append(f"and {count(len(rest), 'more node')} with {left} of the time of all nodes")
    return out


def _regions(p: Profile) -> list[str]:
    whole = sum(r.seconds * r.runs for r in p.regions)
    out = [f"{'region of a program':32}{'a run':>10}{'share':>8}  covers"]
    for r in p.regions[:ROWS]:
        ids = sorted({id for _, id in r.nodes if id >= 0})
        shown = ", ".join(f"%{i}" for i in ids[:6]) + (f" and {len(ids) - 6} more" if len(ids) > 6 else "")
        share = percent(r.seconds * r.runs, whole)
        label = f"{r.label} ({shown})" if ids else r.label
        out.append(f"{short(r.name, 31):32}{time(r.seconds):>10}{share:>8}  {label}")
    for program in p.programs:
        inside = sum(r.seconds for r in p.regions if r.program == program.label)
        usual = f"{time(program.seconds)} a run in the steps, " if program.seconds else ""
        again = f"{time(program.again)} when run again, {time(inside)} of it in regions"
        out.append(f"{program.label}: {usual}{again}")
    rest = p.regions[ROWS:]
    if rest:
        left = percent(sum(r.seconds * r.runs for r in rest), whole)
        out.append(f"and {count(len(rest), 'more region')} with {left} of the time of all regions")
    return out


def explained(p: Profile) -> list[str]:
    """How the figures came about, and what is missing."""
    each = p.wrapper_seconds * 1e6
    out = [
        "phases exclude each other and add up to the total; every watched call adds about "
        f"{each:.1f} µs to the figures"
    ]
    if "numpy" in p.engines:
        out.append("engine numpy: times of nodes were taken in the steps themselves; each is that of one run")
    if "xla" in p.engines:
        out.append(
            "engine xla: while profiled, arguments are put on the device before the call and each program is "
            "waited for, so nothing overlaps and a step takes longer"
        )
    if p.regions:
        out.append(
            "engine xla: regions were timed afterwards, by running each program again, compiled once more "
            "with the names of the nodes"
        )
        out.append(
            "engine xla: the time of a region is divided among its nodes by their numbers of instructions: "
            "an estimate; regions may run side by side"
        )
    return out + p.notes


def as_data(p: Profile) -> dict[str, Any]:
    """The profile as plain data; seconds everywhere."""
    step, many, what = p.typical()
    return {
        "engines": p.engines,
        "seconds": p.total,
        "phases": p.phases,
        "steps": [{"seconds": s.duration, "phases": s.seconds} for s in p.steps],
        "typical": None if step is None else {"seconds": step.duration, "of": many, "which": what},
        "transfers": {way: {"count": m.count, "bytes": m.bytes} for way, m in p.moved.items()},
        "update_seconds": p.update_seconds,
        "nodes": [
            {
                "id": n.id,
                "op": n.op,
                "result": n.shape,
                "line": n.line,
                "forward": n.forward,
                "backward": n.backward,
                "runs": n.runs,
            }
            for n in p.nodes
        ],
        "programs": [vars(program) for program in p.programs],
        "regions": [
            {
                "program": r.program,
                "name": r.name,
                "seconds": r.seconds,
                "runs": r.runs,
                "label": r.label,
                "nodes": [{"way": way, "id": id, "instructions": n} for (way, id), n in r.nodes.items()],
            }
            for r in p.regions
        ],
        "notes": explained(p),
    }


def save(p: Profile, path: str | os.PathLike[str]) -> None:
    """Picture or data into a file, by its ending."""
    target = Path(path)
    if target.suffix == ".json":
        write_atomically(target, (json.dumps(p.json(), indent=1) + "\n").encode())
        return
    from prooftape.profiling.picture import draw

    write_atomically(target, draw(p, target.suffix))


# -- words --------------------------------------------------------------------------------------------
def time(seconds: float) -> str:
    """`1.23 ms`, with three digits."""
    if not seconds:
        return "0"
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        n = seconds / factor
        if n >= 1 or unit == "µs":
            return f"{n:.2f} {unit}" if n < 9.995 else f"{n:.1f} {unit}" if n < 99.95 else f"{n:.0f} {unit}"
    raise AssertionError(seconds)


def percent(part: float, whole: float) -> str:
    """`12 %`."""
    return f"{100 * part / whole:.1f} %" if whole else ""


def each(n: NodeTime, seconds: float) -> float:
    """Seconds of one run."""
    return seconds / n.runs if n.runs else 0.0


def short(text: str, most: int) -> str:
    """Text that fits into a column."""
    return text if len(text) <= most else text[: most - 1] + "…"


def short_line(text: str, most: int) -> str:
    """File and line that fit into a column: the line matters most."""
    return text if len(text) <= most else "…" + text[-(most - 1) :]


def moved(p: Profile) -> str:
    """What went to the device and back."""
    to, back = p.moved["to_device"], p.moved["to_host"]
    return (
        f"{count(to.count, 'array')} ({size(to.bytes)}) to the device, "
        f"{count(back.count, 'array')} ({size(back.bytes)}) to the host"
    )


def size(n: int) -> str:
    """`12.3 MB`."""
    for factor, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if n >= factor:
            return f"{n / factor:.3g} {unit}"
    return f"{n} B"

"""The picture of a profile: one step as a line in time, and below it what the nodes cost."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

from prooftape.errors import AttributeValueError, MissingExtraError, count
from prooftape.profiling.clock import PHASES, Step
from prooftape.profiling.report import percent, short, time

if TYPE_CHECKING:
    from prooftape.profiling.collect import NodeTime, Profile

BARS: Final = 12
INK: Final = "#22272e"
DIM: Final = "#7a828c"
COLOURS: Final = {
    "inputs": "#7fc8b5",
    "record": "#2a9d8f",
    "forward": "#3d6fb4",
    "backward": "#e58a3a",
    "tangent": "#6a8fd0",
    "program": "#56657a",
    "update": "#8463b5",
    "to_device": "#e4c04f",
    "read": "#d1699a",
    "prepare": "#9db4c9",
    "compile": "#a63d40",
    "other": "#dfe3e8",
    "profile": "#f1f3f5",
}
ENDINGS: Final = (".svg", ".png", ".pdf")
TINY: Final = 2e-4
"""Pieces shorter than this part of a step melt into their neighbours in the picture."""


def draw(p: Profile, ending: str) -> bytes:
    """The picture as the content of a file."""
    if ending not in ENDINGS:  # said before anything is imported
        raise AttributeValueError(
            f"profile: cannot draw a {ending or 'file without an ending'}; it is one of "
            f"{', '.join(ENDINGS)}, or .json for the data"
        )
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("the picture needs matplotlib: pip install 'prooftape[cli]'") from None
    rows = bars(p)
    height = 2.6 + 0.42 * max(1, len(rows))
    fonts: Any = {"font.family": "DejaVu Sans", "svg.fonttype": "path", "svg.hashsalt": "prooftape"}
    with matplotlib.rc_context(fonts):
        figure = Figure(figsize=(11, height), facecolor="white")
        step, many, what = p.typical()
        head = f"{time(step.duration)} a step" if step is not None else "no step ran"
        x, top = 0.035, 1 - 0.42 / height
        figure.text(x, top, head, fontsize=17, fontweight="bold", color=INK, va="center")
        told = f"median of {count(many, what[:-1]) if what.endswith('steps') else f'{many} {what}'}"
        told += f"  ·  engine {', '.join(p.engines) or 'none'}"
        figure.text(x, 1 - 0.72 / height, told, fontsize=9.5, color=DIM, va="center")
        line = figure.add_axes((x, 1 - 1.42 / height, 1 - 2 * x, 0.42 / height))
        timeline(line, p, step)
        legend(figure, step, x, 1 - 1.78 / height, height)
        bottom = 0.30 / height
        nodes = figure.add_axes((0.30, bottom, 0.57, 1 - 2.52 / height - bottom))
        node_bars(nodes, rows)
        y = 1 - 2.34 / height
        figure.text(x, y, "the nodes, one run each", fontsize=11, fontweight="bold", color=INK, va="center")
        for k, way in enumerate(("forward", "backward")):
            figure.text(0.30 + 0.085 * k, y, f"■ {way}", fontsize=9.5, color=COLOURS[way], va="center")
        if p.regions:
            told = "shares of fused regions, by their instructions"
            figure.text(0.48, y, told, fontsize=8.5, color=DIM, va="center")
        buffer = io.BytesIO()
        metadata = {"Date": None} if ending == ".svg" else None
        figure.savefig(buffer, format=ending[1:], dpi=150, metadata=metadata)
    return buffer.getvalue()


def timeline(axes: Any, p: Profile, step: Step | None) -> None:
    """One step from left to right, a colour per phase; times inside where there is room."""
    axes.set_axis_off()
    if step is None or not step.duration:
        return
    axes.set_xlim(0, step.duration)
    axes.set_ylim(0, 1)
    for phase, a, b in merged(step):
        axes.broken_barh([(a - step.start, b - a)], (0, 1), facecolors=COLOURS[phase], linewidth=0)
        share = (b - a) / step.duration
        if share > 0.075 and phase not in ("other", "profile"):
            name = {"program": "XLA program"}.get(phase, PHASES[phase].split(" (")[0].split(",")[0])
            text = f"{name}\n{time(b - a)}" if share > 0.011 * len(name) else time(b - a)
            middle = (a + b) / 2 - step.start
            ink = INK if phase in ("to_device", "inputs", "prepare") else "white"
            style = {"fontsize": 8.5, "color": ink, "ha": "center", "va": "center", "linespacing": 1.25}
            axes.text(middle, 0.58 if phase == "program" and p.regions else 0.5, text, **style)
        if phase == "program":
            _divided(axes, p, a - step.start, b - a)


def _divided(axes: Any, p: Profile, left: float, width: float) -> None:
    """Along the foot of a program: how much of it is forward, backward and update."""
    parts = [
        ("forward", sum(n.forward for n in p.nodes)),
        ("backward", sum(n.backward for n in p.nodes)),
        ("update", p.update_seconds),
    ]
    whole = sum(seconds for _, seconds in parts)
    for name, seconds in parts:
        if whole:
            part = width * seconds / whole
            axes.broken_barh([(left, part)], (0, 0.2), facecolors=COLOURS[name], linewidth=0)
            left += part


def merged(step: Step) -> list[tuple[str, float, float]]:
    """The segments of a step, with those too short to be seen given to the one before."""
    found: list[list[Any]] = []
    segments = step.segments or _stacked(step)
    for phase, a, b in segments:
        if found and (phase == found[-1][0] or b - a < TINY * step.duration):
            found[-1][2] = b
        else:
            if found:
                a = found[-1][2]  # the clock stands still for a moment between phases
            found.append([phase, a, b])
    return [(phase, a, b) for phase, a, b in found]


def _stacked(step: Step) -> list[tuple[str, float, float]]:
    """Where only sums were kept: the phases one after the other."""
    out, at = [], step.start
    for phase in PHASES:
        seconds = step.seconds.get(phase, 0.0)
        if seconds:
            out.append((phase, at, at + seconds))
            at += seconds
    return out


def legend(figure: Any, step: Step | None, x: float, y: float, height: float) -> None:
    """Phases of the step with time and share, largest first, in two rows."""
    if step is None:
        return
    found = sorted(step.seconds.items(), key=lambda kv: -kv[1])
    shown = [(phase, s) for phase, s in found if s >= 0.002 * step.duration][:8]
    width = (1 - 2 * x) / 4
    for k, (phase, seconds) in enumerate(shown):
        left, row = x + width * (k % 4), y - 0.2 * (k // 4) / height
        figure.text(left, row, "■", fontsize=9, color=COLOURS[phase], va="center")
        name = PHASES[phase].split(" (")[0].replace("inputs and parameters into the graph", "inputs")
        text = f"{name}  {time(seconds)}, {percent(seconds, step.duration)}"
        figure.text(left + 0.014, row, text, fontsize=8, color=INK, va="center")


Bar = tuple[str, str, float, float, str, str]
"""Name, what it is, seconds forward, seconds backward, share of all, colour of the first part."""


def bars(p: Profile) -> list[Bar]:
    """The most expensive nodes, and the others together."""
    whole = sum(n.seconds for n in p.nodes) + p.update_seconds

    def run(n: NodeTime) -> tuple[float, float]:
        return (n.forward / n.runs, n.backward / n.runs) if n.runs else (0.0, 0.0)

    out = []
    for n in p.nodes[:BARS]:
        shape = n.shape.removeprefix("real")
        what = f"{'number' if shape == '[]' else shape}  {n.line}".strip()
        out.append((f"%{n.id} {n.op}", what, *run(n), percent(n.seconds, whole), "forward"))
    rest = p.nodes[BARS:]
    if rest:
        forward, backward = (sum(times) for times in zip(*map(run, rest), strict=True))
        share = percent(sum(n.seconds for n in rest), whole)
        out.append((count(len(rest), "more node"), "", forward, backward, share, "forward"))
    runs = max((n.runs for n in p.nodes), default=0)
    if p.update_seconds and runs:
        mine = ("update", "and what belongs to no node", p.update_seconds / runs, 0.0)
        out.append((*mine, percent(p.update_seconds, whole), "update"))
    return out


def node_bars(axes: Any, rows: list[Bar]) -> None:
    """A bar per node, forward and backward end to end."""
    for side in ("top", "right", "bottom", "left"):
        axes.spines[side].set_visible(False)
    axes.set_xticks([])
    axes.set_yticks([])
    if not rows:
        axes.text(0, 0.5, "no node was run, or none was timed", color=DIM, transform=axes.transAxes)
        return
    longest = max(f + b for _, _, f, b, _, _ in rows) or 1.0
    axes.set_xlim(0, longest)
    axes.set_ylim(len(rows) - 0.45, -0.55)
    beside = axes.get_yaxis_transform()
    for k, (name, what, forward, backward, share, first) in enumerate(rows):
        axes.barh(k, longest, height=0.62, color="#f5f6f8", linewidth=0, zorder=0)
        axes.barh(k, forward, height=0.62, color=COLOURS[first], linewidth=0)
        axes.barh(k, backward, left=forward, height=0.62, color=COLOURS["backward"], linewidth=0)
        below = 0.17 if what else 0.0
        name, what = short(name, 32), short(what, 48)
        style = {"transform": beside, "va": "center", "clip_on": False}
        axes.text(-0.464, k - below, name, fontsize=9.5, color=INK, fontweight="bold", **style)
        axes.text(-0.464, k + 0.24, what, fontsize=7.5, color=DIM, **style)
        axes.text(1.015, k - 0.14, time(forward + backward), fontsize=9, color=INK, **style)
        axes.text(1.015, k + 0.24, share, fontsize=7.5, color=DIM, **style)

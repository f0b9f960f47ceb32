"""`prooftape show FILE`: a saved graph, or a checkpoint with the graph in it, as text.

The text is exactly what the file parses to, so what is shown can be piped, compared and read back. When a
file cannot be read, the line at fault is shown with its neighbours and a mark under the column.
"""

from __future__ import annotations

import re
from pathlib import Path

from rich.console import Console
from rich.highlighter import RegexHighlighter
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from prooftape.errors import GraphParseError, ProofTapeError
from prooftape.graph import Graph
from prooftape.training import Checkpoint, load_checkpoint

THEME = Theme(
    {
        "graph.id": "bold cyan",
        "graph.type": "green",
        "graph.op": "bold",
        "graph.name": "yellow",
        "graph.index": "magenta",
    }
)


class GraphHighlighter(RegexHighlighter):
    """Colours for the text form of a graph."""

    base_style = "graph."
    highlights = (
        r"(?P<id>%\d+)",
        r"(?P<type>(?:real|bool)\[[\d, ]*\])",
        r"= (?P<op>\w+)\(",
        r"(?P<name>\"(?:[^\"\\]|\\.)*\")",
        r"(?P<index>nat\[\d+:\d+\])",
    )


def show(path: Path, console: Console) -> None:
    """Print the file. Raises `ProofTapeError` (with the place of the fault) or `OSError`."""
    with path.open("rb") as f:
        start = f.read(9)
    # a safetensors file begins with the length of a JSON object in eight bytes, and the object; no text has
    # a zero byte, and a file cut short should be called that
    if start[8:9] == b"{" and 0 in start[:8]:
        show_checkpoint(load_checkpoint(path), console)
        return
    try:
        graph = Graph.load(path)
    except GraphParseError as e:
        raise ProofTapeError(f"{e}{_place(path, str(e))}") from None
    show_graph(graph, console)


def show_graph(graph: Graph, console: Console) -> None:
    """The text form, then one comment line of totals."""
    highlight = GraphHighlighter()
    for line in graph.lines():
        console.print(highlight(Text(line)), soft_wrap=True)
    console.print(
        Text(f"# {len(graph.leaves)} leaves, {len(graph.nodes)} nodes", style="dim"), soft_wrap=True
    )


def show_checkpoint(found: Checkpoint, console: Console) -> None:
    """Parameters, optimizer, notes, graph. Everything but the graph is printed as comments of graph text."""
    grid = Table(box=None, pad_edge=False)
    for heading in ("param", "shape", "numbers", "remembered by the optimizer"):
        grid.add_column(heading, justify="right" if heading == "numbers" else "left")
    for name, array in found.params.items():
        entry = None if found.state is None else found.state.entries.get(name)
        kept = "" if entry is None else f"{', '.join(entry.slots) or 'nothing'} after {entry.steps} steps"
        grid.add_row(Text(name), Text(str(array.shape)), str(array.size), kept)
    total = sum(array.size for array in found.params.values())
    console.print(
        f"checkpoint: scalar {found.scalar}, {len(found.params)} params, {total} numbers", highlight=False
    )
    if found.step is not None:
        console.print(f"step: {found.step}", highlight=False)
    if found.optimizer is not None and found.state is not None:
        settings = ", ".join(f"{k}={'a function' if v is None else v}" for k, v in found.settings.items())
        text = f"optimizer: {found.optimizer}({settings}), {found.state.step} steps"
        console.print(Text(text), soft_wrap=True)
    for key, value in found.extra.items():
        console.print(Text(f"{key}: {value}"), soft_wrap=True)
    console.print(grid)
    if found.graph is None:
        console.print("no graph was saved", highlight=False)
    else:
        console.print()
        show_graph(found.graph, console)


def _place(path: Path, message: str) -> str:
    """The line that the message names, its neighbours, and a mark under its column; or nothing."""
    place = re.search(r"line (\d+)(?:, column (\d+))?", message)
    if place is None:
        return ""
    lines = path.read_text(encoding="utf-8").split("\n")
    at = int(place[1])
    out = []
    for number in range(max(1, at - 2), min(len(lines), at + 1) + 1):
        text = lines[number - 1].rstrip("\r").replace("\t", " ")
        if not text and number > at:
            continue
        out.append(f"{'>' if number == at else ' '} {number:5}  {text}")
        if number == at and place[2]:
            out.append(" " * (9 + int(place[2]) - 1) + "^")
    return "\n" + "\n".join(out)

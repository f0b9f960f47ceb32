"""The op table, read from the records: for a terminal, or as Markdown for the README."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from prooftape.attributes import REQUIRED
from prooftape.errors import ProofTapeError
from prooftape.op import Op
from prooftape.op_methods import document
from prooftape.ops import table
from prooftape.signatures import parameters


def families() -> dict[str, list[Op]]:
    """Public ops by family, in the order of the table."""
    out: dict[str, list[Op]] = {}
    for op in table().values():
        if op.public:
            out.setdefault(op.family, []).append(op)
    return out


def chosen(family: str | None) -> dict[str, list[Op]]:
    """All families, or the one named (a unique beginning of its name is enough)."""
    found = families()
    if family is None:
        return found
    names = [name for name in found if name == family] or [n for n in found if n.startswith(family.lower())]
    if len(names) != 1:
        raise ProofTapeError(f"ops: no one family is called {family!r}; families: {', '.join(found)}")
    return {names[0]: found[names[0]]}


def signature(op: Op) -> str:
    """How the session method is called: `clamp(x, lo, hi)`, `softmax(x, axis=-1)`."""
    shown = [name if default is REQUIRED else f"{name}={default!r}" for name, default in parameters(op)]
    return f"{op.name}({', '.join(shown)})"


def one_op(name: str) -> str:
    """Everything the record says about one op, as text."""
    op = table().get(name)
    if op is None:
        close = get_close_matches(name, table(), n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise ProofTapeError(f"ops: no op is called {name!r}{hint}")
    return f"{signature(op)}    [{op.family}]\n\n{document(op)}"


def rich_table(found: dict[str, list[Op]], console: Console) -> RenderableType:
    """One table per family."""
    parts: list[RenderableType] = []
    for family, ops in found.items():
        grid = Table(title=f"{family} ({len(ops)})", title_justify="left", title_style="bold", expand=True)
        for heading, ratio in (("op", 3), ("shapes", 4), ("domain", 3), ("convention", 4)):
            grid.add_column(heading, ratio=ratio, overflow="fold")
        for op in ops:  # Text: what a record says is not markup, whatever brackets it has
            cells = (signature(op), op.shapes_doc, op.domain.text, op.convention)
            grid.add_row(Text(cells[0], style="cyan"), *map(Text, cells[1:]))
        parts.append(grid)
    return Group(*parts)


def markdown(found: dict[str, list[Op]]) -> Iterator[str]:
    """The same as Markdown, line by line."""
    for i, (family, ops) in enumerate(found.items()):
        if i:
            yield ""
        yield f"### {family}"
        yield ""
        yield "| op | what | shapes | domain | convention |"
        yield "|---|---|---|---|---|"
        for op in ops:
            cells = (op.doc, op.shapes_doc, op.domain.text, op.convention)
            yield f"| `{signature(op)}` | {' | '.join(_cells(cells))} |"


def _cells(texts: Iterable[str]) -> Iterator[str]:
    """Text that a Markdown table shows as it is."""
    for text in texts:
        one_line = " ".join(text.split())
        for special in "\\|*_<`":
            one_line = one_line.replace(special, "\\" + special)
        yield one_line

"""The commands and their options. What they do is in the module of the same name."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from prooftape.cli import doctor as doctor_module
from prooftape.cli import ops_table
from prooftape.errors import ProofTapeError, ProverError

app = typer.Typer(
    name="prooftape",
    help="An autodiff session whose gradients can be checked.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def run(arguments: list[str]) -> int:
    """Run the command; a mistake of the user's is one message and status 1, without a traceback."""
    try:
        app(args=arguments, prog_name="prooftape")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    except BrokenPipeError:  # the reader of our output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as e:
        print(f"prooftape: {e.filename}: {e.strerror}" if e.filename else f"prooftape: {e}", file=sys.stderr)
        return 1
    except ProverError as e:  # it says nothing about the certificate, so not the status of a refusal
        print(f"prooftape: {e}", file=sys.stderr)
        return 2
    except ProofTapeError as e:
        print(f"prooftape: {e}", file=sys.stderr)
        return 1
    return 0


def _version(asked: bool) -> None:
    if asked:
        print(doctor_module.version_line())
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """An autodiff session whose gradients can be checked."""


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for the picture, the checkpoint and the certificate.")
    ] = Path("."),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Of the weights and of the order of the images.")] = 0,
) -> None:
    """Train a small conv net on handwritten digits, then check its first gradient.

    The certificate of the training step comes last: without a Rocq prover it is written, not checked.
    Leaves `loss.png`, `digits.safetensors`, `digits.graph` and `digits.v`. Exit status 1 when the test
    accuracy is below 97 % or a check fails.
    """
    from prooftape.cli.demo import run_demo

    raise typer.Exit(0 if run_demo(out, epochs, seed, Console(highlight=False)) else 1)


@app.command()
def ops(
    name: Annotated[str | None, typer.Argument(help="Show one op in full.")] = None,
    family: Annotated[str | None, typer.Option(help="Only this family, e.g. loss.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As Markdown tables.")] = False,
) -> None:
    """List the ops with their shapes, domains and conventions."""
    if name is not None:
        print(ops_table.one_op(name))
        return
    found = ops_table.chosen(family)
    if markdown:
        print("\n".join(ops_table.markdown(found)))
        return
    console = Console(highlight=False)
    console.print(ops_table.rich_table(found, console))


@app.command()
def show(
    file: Annotated[
        Path, typer.Argument(help="A graph saved by Graph.save, or a checkpoint.", metavar="FILE")
    ],
) -> None:
    """Print a saved graph, or a checkpoint and the graph in it."""
    from prooftape.cli import show as show_module

    show_module.show(file, Console(theme=show_module.THEME, highlight=False))


GraphFile = Annotated[Path, typer.Argument(help="A graph saved by Graph.save.", metavar="FILE")]


@app.command()
def certify(
    file: GraphFile,
    out: Annotated[
        Path | None, typer.Option(help="The certificate to write; default: FILE with the ending .v.")
    ] = None,
) -> None:
    """Write the certificate of a saved graph and of its tape, and let Rocq check it.

    Exit status 0 when it is proved, 1 when it is refused, 2 when there is no prover here that works.
    """
    from prooftape.cli import certificates

    raise typer.Exit(certificates.certify_file(file, out or file.with_suffix(".v"), Console(highlight=False)))


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A certificate.", metavar="CERT.v")],
    graph: Annotated[
        Path | None, typer.Option(help="A saved graph that the certificate must be about.")
    ] = None,
) -> None:
    """Check a certificate, trusting nothing about how it was made.

    Exit status 0 when it is proved, 1 when it is refused, 2 when there is no prover here that works.
    """
    from prooftape.cli import certificates

    raise typer.Exit(certificates.verify_file(file, graph, Console(highlight=False)))


@app.command()
def trust(
    file: GraphFile,
    scalar: Annotated[str, typer.Option(help="The numbers it is to run in.")] = "float32",
) -> None:
    """For each op of a saved graph, what its gradient rests on; the weakest link last."""
    from prooftape.cli import certificates

    certificates.trust_file(file, scalar, Console(highlight=False))


@app.command()
def profile(
    file: Annotated[Path, typer.Argument(help="A Python program.", metavar="FILE")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="The program's own arguments, after --.", metavar="ARGUMENTS")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="What its sessions run on, numpy or xla, whatever they ask for.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Measure so many steps; the program runs on to its end.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for profile.svg and profile.json.")] = Path("."),
) -> None:
    """Run a program and say where the time of its steps went: phases, nodes, fused regions, transfers.

    A step is what happens between two calls of reset_tape(). Exit status: the program's.
    """
    from prooftape.cli import profile as profile_module

    console = Console(highlight=False)
    raise typer.Exit(profile_module.run_profile(file, arguments or [], engine, steps, out, console))


@app.command()
def doctor(
    extras: Annotated[list[str] | None, typer.Argument(help="Extras that must be there too.")] = None,
) -> None:
    """Say what is installed, what is missing, and how to get it.

    Exit status 1 when the core or an extra named here is incomplete, or when anything installed is broken.
    """
    report = doctor_module.examine(extras or ())
    grid = Table(title=doctor_module.version_line(), title_justify="left", box=None, pad_edge=False)
    for heading in ("", "library", "version", "extra", "what for"):
        grid.add_column(heading, no_wrap=heading != "what for")
    colours = {"ok": "green", "missing": "dim", "later": "dim", "broken": "bold red"}
    for f in report.findings:
        state = Text(f.state, style=colours.get(f.state, "yellow"))
        grid.add_row(state, *map(Text, (f.name, f.version, f.group, f.use)))
    console = Console(highlight=False)
    console.print(grid)
    console.print()
    for f in report.findings:
        if f.remedy:
            console.print(Text(f"{f.name}: {f.remedy}"), soft_wrap=True)
    console.print(Text(report.verdict(), style="bold red" if report.failed else "bold green"))
    raise typer.Exit(report.status)

"""The table of commands."""

from __future__ import annotations

from typing import Annotated

import typer

import fctfast
from fctfast.cli import attacks, dbr, demo, detect, doctor, dst, evaluate, poison, report, score
from fctfast.memory import keep_freed_memory

app = typer.Typer(
    name="fctfast",
    help="Find poisoned training images by FCT, repair backdoored models, train secure ones.",
    epilog="Exit codes: 0 done, 1 suspicious (only with --fail-on-suspicious), 2 failed, "
    "130 interrupted: run the same command again to go on.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fctfast {fctfast.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Options before the command."""
    keep_freed_memory()


# In the order in which a newcomer meets them.
for _module in (demo, attacks, poison, detect, score, dbr, dst, evaluate, report, doctor):
    app.command(_module.__name__.rpartition(".")[2])(_module.run)

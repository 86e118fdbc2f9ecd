"""The command `alexnet`; each subcommand has a file of its own in `alexnet/cli/`."""

from typing import Annotated

import typer

from alexnet import __version__
from alexnet.cli import data
from alexnet.cli.describe import describe
from alexnet.cli.ensemble import ensemble
from alexnet.cli.export import export
from alexnet.cli.import_caffe import import_caffe
from alexnet.cli.neighbors import neighbors
from alexnet.cli.predict import predict
from alexnet.cli.state import state
from alexnet.core.errors import shown_plainly
from alexnet.core.terminal import say

app = typer.Typer(
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Describe, apply, average, export and import networks; look after the records and the state.",
)
for command in (describe, ensemble, export, import_caffe, neighbors, predict, state):
    app.command()(shown_plainly(command))
app.add_typer(data.app, name="data")


def _print_version(asked: bool) -> None:
    if asked:
        say(f"alexnet {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Take the options that stand before a subcommand."""


def main() -> None:
    """Run the command."""
    app()

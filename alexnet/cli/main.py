"""The command `alexnet`; each subcommand has a file of its own in `alexnet/cli/`."""

import typer

from alexnet.cli import data
from alexnet.cli.describe import describe
from alexnet.cli.ensemble import ensemble
from alexnet.cli.export import export
from alexnet.cli.import_caffe import import_caffe
from alexnet.cli.neighbors import neighbors
from alexnet.cli.predict import predict
from alexnet.core.errors import shown_plainly

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Describe networks, classify pictures, find similar ones, average, export and import networks.",
)
for command in (describe, ensemble, export, import_caffe, neighbors, predict):
    app.command()(shown_plainly(command))
app.add_typer(data.app, name="data")


def main() -> None:
    """Run the command."""
    app()

"""The command `alexnet`; each subcommand has a file of its own in `alexnet/commands/`."""

from __future__ import annotations

import typer

from alexnet.commands import data
from alexnet.commands.describe import describe
from alexnet.commands.ensemble import ensemble
from alexnet.commands.export import export
from alexnet.commands.import_caffe import import_caffe
from alexnet.commands.neighbors import neighbors
from alexnet.commands.predict import predict
from alexnet.errors import shown_plainly

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Describe a network, classify pictures, find similar ones, average and hand on networks.",
)
for command in (describe, ensemble, export, import_caffe, neighbors, predict):
    app.command()(shown_plainly(command))
app.add_typer(data.app, name="data")


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()

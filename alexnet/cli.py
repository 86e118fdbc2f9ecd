"""The command `alexnet`; each subcommand has a file of its own in `alexnet/commands/`."""

from __future__ import annotations

import typer

from alexnet.commands.describe import describe
from alexnet.commands.ensemble import ensemble
from alexnet.commands.predict import predict
from alexnet.errors import shown_plainly

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Describe a network, classify pictures, average several networks.",
)
for command in (describe, ensemble, predict):
    app.command()(shown_plainly(command))


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()

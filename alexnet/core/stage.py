"""What all stages share: options, default places, and how a stage runs."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from alexnet.core.durations import recorded
from alexnet.core.errors import shown_plainly
from alexnet.core.processes import end_with_parent

Params = Annotated[
    list[str],
    typer.Option(help="a parameter file; further --params KEY=VALUE or FILE:KEY replace values"),
]
MachineFile = Annotated[
    Path, typer.Option("--machine", help="the settings of your machine; the file is optional")
]

PARAMS_FILE = Path("params.yaml")
PARAMS = [str(PARAMS_FILE)]
MACHINE = Path("machine.yaml")
CHECKED = Path("data/checked")
SAMPLE = Path("data/sample")
INDEX = Path("data/index")
RECORDS = Path("data/records")
STATISTICS = Path("data/statistics.npz")
WEIGHTS = Path("models/alexnet.safetensors")
PREDICTIONS = Path("data/predictions")
RETRIEVAL = Path("data/retrieval")
REPORTS = Path("reports")


def run(stage: Callable[..., Any]) -> None:
    """Run `stage` as a command that ends with its parent and shows user errors in one line.

    How long it took is kept for the report.
    """
    end_with_parent()
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(shown_plainly(recorded(stage, Path(sys.argv[0]).stem)))
    app()

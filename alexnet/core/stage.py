"""What all stages share: their options, and how a stage runs."""

import contextlib
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from alexnet.core.durations import recorded
from alexnet.core.errors import shown_plainly
from alexnet.core.places import PARAMS_FILE
from alexnet.core.processes import end_with_parent

Params = Annotated[
    list[str],
    typer.Option(help="a parameter file; further --params KEY=VALUE or FILE:KEY replace values"),
]
ParamsFile = Annotated[Path, typer.Option(help="the parameter file")]
MachineFile = Annotated[
    Path, typer.Option("--machine", help="the settings of your machine; the file is optional")
]

PARAMS = [str(PARAMS_FILE)]
# DVC's flag to run what has not changed, perhaps in one word with others that take no value.
_FORCE = re.compile(r"--force|-[hikpPqRsv]*f[fhikpPqRsv]*")


def is_forced() -> bool:
    """Return whether DVC runs this stage because of ``--force``; only its own command line says so."""
    if "DVC_STAGE" not in os.environ:
        return False
    words = []
    # Some systems show a process to its own user only.
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{os.getppid()}/cmdline").read_text(errors="replace").split("\0")
    return any(_FORCE.fullmatch(word) for word in words)


def run(stage: Callable[..., Any]) -> None:
    """Run `stage` as a command that ends with its parent and shows user errors in one line.

    The time that it took under DVC is kept for the report.
    """
    end_with_parent()
    # A pipe to another process would take the number of one that is closed.
    for number in range(3):
        with contextlib.suppress(OSError):
            os.fstat(number)
            continue
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    # Until now `stages` may have had a handler of its own.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(shown_plainly(recorded(stage)))
    app()

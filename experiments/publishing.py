"""How an experiment makes its page, and makes it known to the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alexnet.pages import enter
from alexnet.reporting.writing import Part, write_document
from stages.options import REPORTS

FOLDER = REPORTS / "experiments"


def publish(out: Path, name: str, title: str, summary: str, parts: Sequence[Part]) -> None:
    """Write the page `name` into the folder `out`; where the report looks, it is listed from now on.

    Arguments as of `write_document`.
    """
    write_document(out / name, title, summary, parts)
    if out == FOLDER:
        enter(name, title, summary)

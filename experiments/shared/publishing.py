"""How an experiment makes its page, and makes it known to the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alexnet.core.stage import REPORTS
from alexnet.report.listed import list_page
from alexnet.report.writing import Part, write_document

FOLDER = REPORTS / "experiments"


def publish(out: Path, name: str, title: str, summary: str, parts: Sequence[Part]) -> None:
    """Write the page `name` into the folder `out`; where the report looks, it is listed from now on.

    Arguments as of `write_document`.
    """
    write_document(out / name, title, summary, parts)
    if out == FOLDER:
        list_page(name, title, summary)

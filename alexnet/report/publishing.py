"""The pages of the experiments: how one is written, and the list of those that the report links to.

The list is in Git, and the report depends on it. The pages themselves are no dependency of the report, or DVC
would run all of those pipelines first.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from alexnet.core.files import write_json
from alexnet.core.stage import REPORTS
from alexnet.report.page import Part, write_page

PAGES = Path("experiments/pages.json")
FOLDER = REPORTS / "experiments"


class Published(BaseModel):
    """An experiment's page: the name of its files without a suffix, and what it found."""

    name: str
    title: str
    summary: str


class PublishedPages(BaseModel):
    """The content of `PAGES`, by name."""

    pages: list[Published]


def publish(out: Path, name: str, title: str, summary: str, parts: Sequence[Part]) -> None:
    """Write the page `name` into the folder `out`. If the report looks there, it lists the page from now on.

    Arguments as of `write_page`.
    """
    write_page(out / name, title, summary, parts)
    if out == FOLDER:
        list_page(Published(name=name, title=title, summary=summary))


def list_page(page: Published, pages: Path = PAGES) -> None:
    """Enter `page` into the list `pages`, in place of an older one of its name."""
    listed = PublishedPages(pages=[])
    if pages.exists():
        listed = PublishedPages.model_validate_json(pages.read_bytes())
    entries = [*(other for other in listed.pages if other.name != page.name), page]
    sorted_pages = PublishedPages(pages=sorted(entries, key=lambda entry: entry.name))
    write_json(pages, sorted_pages.model_dump())

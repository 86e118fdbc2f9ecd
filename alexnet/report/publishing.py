"""The pages of the experiments: how one is written, and the list of those that the report links to.

The list is in Git, and the report depends on it. The pages themselves are no dependency of the report, or DVC
would run all of those pipelines first.
"""

from collections.abc import Sequence
from pathlib import Path

from alexnet.core.files import write_json
from alexnet.core.places import REPORTS
from alexnet.core.reading import Written, read_json
from alexnet.report.page import Part, write_page

PAGES = Path("experiments/pages.json")
FOLDER = REPORTS / "experiments"


class Published(Written):
    """An experiment's page: the name of its files without a suffix, and what it found."""

    name: str
    title: str
    summary: str


class PublishedPages(Written):
    """The content of `PAGES`, by name."""

    pages: list[Published]


def publish(out: Path, name: str, title: str, summary: str, parts: Sequence[Part]) -> None:
    """Write the page `name` as `write_page` does into `out`; if the report looks there, it lists the page."""
    write_page(out / name, title, summary, parts)
    if out == FOLDER:
        list_page(name, title, summary)


def list_page(name: str, title: str, summary: str, pages: Path = PAGES) -> None:
    """Enter the page of the experiment `name` into `pages`, in place of an older one."""
    listed = read_json(pages, PublishedPages).pages if pages.exists() else []
    by_name = {page.name: page for page in [*listed, Published(name=name, title=title, summary=summary)]}
    ordered = PublishedPages(pages=[by_name[each] for each in sorted(by_name)])
    write_json(pages, ordered.model_dump())

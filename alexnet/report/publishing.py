"""The pages of the experiments, and the list of those that the report links to.

The list is in Git, and the report depends on it. The pages themselves are no dependency of the report, or DVC
would run all of those pipelines first.
"""

from pathlib import Path

from alexnet.core.files import write_json
from alexnet.core.places import REPORTS
from alexnet.core.reading import Written, read_json

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


def list_page(name: str, title: str, summary: str, pages: Path = PAGES) -> None:
    """Enter the page of the experiment `name` into `pages`, in place of an older one."""
    listed = read_json(pages, PublishedPages).pages if pages.exists() else []
    by_name = {page.name: page for page in [*listed, Published(name=name, title=title, summary=summary)]}
    ordered = PublishedPages(pages=[by_name[each] for each in sorted(by_name)])
    write_json(pages, ordered.model_dump())

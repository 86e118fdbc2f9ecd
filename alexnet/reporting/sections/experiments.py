"""The pages of the experiments beside the pipeline."""

from __future__ import annotations

from urllib.parse import quote

from alexnet.reporting.document import Markdown, Section
from alexnet.reporting.markdown import escape
from alexnet.reporting.results import ExperimentPage

FOLDER = "experiments"
FORMS = {".html": "page", ".md": "Markdown"}


def section(pages: tuple[ExperimentPage, ...]) -> Section:
    """Return a link to every page with what it found."""
    return Section(FOLDER, "Experiments", (Markdown("\n".join(map(_item, pages))),))


def _item(page: ExperimentPage) -> str:
    links = [
        f"[{form}]({quote(f'{FOLDER}/{name}')})"
        for name in page.files
        for suffix, form in FORMS.items()
        if name.endswith(suffix)
    ]
    return f"- **{escape(page.title)}** ({', '.join(links)}). {escape(page.summary)}"

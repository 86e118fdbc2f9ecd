"""The pages of the experiments beside the pipeline."""

from __future__ import annotations

from urllib.parse import quote

from alexnet.report.document import Markdown, Section
from alexnet.report.markdown import escape
from alexnet.report.results import ExperimentPage

FOLDER = "experiments"
FORMS = {"page": ".html", "Markdown": ".md"}


def section(pages: tuple[ExperimentPage, ...]) -> Section:
    """Return a link to every page with what it found."""
    return Section(FOLDER, "Experiments", (Markdown("\n".join(map(_item, pages))),))


def _item(page: ExperimentPage) -> str:
    links = [f"[{form}]({quote(f'{FOLDER}/{page.name}{suffix}')})" for form, suffix in FORMS.items()]
    return f"- **{escape(page.title)}** ({', '.join(links)}). {escape(page.summary)}"

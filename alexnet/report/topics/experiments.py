"""The pages of the experiments beside the pipeline."""

from urllib.parse import quote

from alexnet.report.facts import Facts
from alexnet.report.markup import escape
from alexnet.report.page import Part
from alexnet.report.publishing import FOLDER, Published


def topic(facts: Facts) -> list[Part]:
    """Return a link to every page with what was found; nothing without pages."""
    if not facts.experiments:
        return []
    return ["## Experiments", "\n".join(map(_item, facts.experiments))]


def _item(page: Published) -> str:
    forms = (("page", "html"), ("Markdown", "md"))
    links = [f"[{form}]({quote(f'{FOLDER.name}/{page.name}.{suffix}')})" for form, suffix in forms]
    return f"- **{escape(page.title)}** ({', '.join(links)}). {escape(page.summary)}"

"""The pages of the experiments, which pipelines of their own make.

No dependency of the report's, or DVC would run all of those pipelines first.
"""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any


def find_pages(folder: Path) -> list[dict[str, Any]]:
    """Return title, summary and files of the pages that `write_document` left in `folder`, by name."""
    found = []
    for page in sorted(folder.glob("*.html")):
        head = _Head(page.read_text(encoding="utf-8", errors="replace"))
        if head.title:
            twin = page.with_suffix(".md")
            files = [page.name, *([twin.name] if twin.exists() else [])]
            found.append({"title": head.title, "summary": head.summary, "files": files})
    return found


class _Head(HTMLParser):
    """Title and description of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.title = self.summary = ""
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "title"
        named = dict(attrs)
        if tag == "meta" and named.get("name") == "description":
            self.summary = named.get("content") or ""

    def handle_data(self, data: str) -> None:
        if self._inside and not self.title:
            self.title = data.strip()

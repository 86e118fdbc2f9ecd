"""Which pages the experiments have made: a list in Git, on which the report depends.

The pages themselves are no dependency of the report's, or DVC would run all of those pipelines first.
"""

from __future__ import annotations

import json
from pathlib import Path

from alexnet.core.files import write_json

PAGES = Path("experiments/pages.json")


def list_page(name: str, title: str, summary: str, pages: Path = PAGES) -> None:
    """Enter the page of the experiment `name` into `pages`, in place of an older one."""
    listed = json.loads(pages.read_text(encoding="utf-8"))["pages"] if pages.exists() else []
    others = [page for page in listed if page["name"] != name]
    entries = [*others, {"name": name, "title": title, "summary": summary}]
    write_json(pages, {"pages": sorted(entries, key=lambda page: page["name"])})

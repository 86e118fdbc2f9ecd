"""Pages beside the report: one list of parts, written as HTML and as Markdown in the report's own style."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from alexnet.core.files import replacing, write_text
from alexnet.report.document import Block, Document, Markdown, Picture, Pictures, Row, Section, Table
from alexnet.report.html import render_html
from alexnet.report.markdown import render_markdown
from alexnet.report.text import MINUS, NOTHING, printable

HEADING = "## "
Part = str | Block | Picture


def write_document(path: Path, title: str, summary: str, parts: Sequence[Part]) -> None:
    """Write `path`.html, which needs no other file, and `path`.md with its pictures as files beside it.

    The report lists the pages under ``reports/experiments`` by title and `summary`.

    Args:
        path: without a suffix, e.g. ``reports/experiments/figure1``.
        summary: what was found, in a sentence or two.
        parts: in reading order. A text is Markdown (paragraphs, lists, `code`, links; no HTML); one that
            begins with ``## `` opens a section of that heading. `table_of` makes a table of a DataFrame. A
            picture's name must begin with the page's, and is its file's.

    Raises:
        ValueError: a picture of another name.
        UserError: the files cannot be written.
    """
    document = compose(title, summary, parts)
    for picture in document.pictures():
        if not picture.name.startswith(path.name):
            raise ValueError(f"a picture of {path.name} is named {picture.name}, as if of another page")
    write_files(document, path, "")


def write_files(document: Document, path: Path, figures: str) -> None:
    """Write `document` as `path`.html and `path`.md, its pictures into the folder `figures` beside them."""
    for picture in document.pictures():
        with replacing(path.parent / figures / picture.file) as temporary:
            temporary.write_bytes(picture.image)
    write_text(path.with_name(f"{path.name}.html"), render_html(document))
    write_text(path.with_name(f"{path.name}.md"), render_markdown(document, figures))


def compose(title: str, summary: str, parts: Sequence[Part]) -> Document:
    """Return the document of `parts`; see `write_document`."""
    notes: list[Block] = []
    sections: list[tuple[str, list[Block]]] = []
    for part in parts:
        blocks = sections[-1][1] if sections else notes
        if isinstance(part, Picture):
            blocks.append(Pictures((replace(part, caption=""),), part.caption))
        elif not isinstance(part, str):
            blocks.append(part)
        elif part.startswith(HEADING):
            heading, _, text = part.removeprefix(HEADING).partition("\n")
            sections.append((heading, [Markdown(text)] if text.strip() else []))
        else:
            blocks.append(Markdown(part))
    return Document(
        title=printable(title),
        summary=printable(summary),
        notes=tuple(notes),
        sections=tuple(
            # Numbered, for headings may be alike.
            Section(f"{_anchor(heading)}-{number}", heading, tuple(blocks))
            for number, (heading, blocks) in enumerate(sections, 1)
        ),
    )


def table_of(
    frame: pd.DataFrame,
    caption: str,
    formats: Mapping[str, str] | None = None,
    note: str = "",
    numeric: bool = True,
    names: int = 1,
    sortable: bool = False,
) -> Table:
    """Return a table with a row a line of `frame`; its columns are the header, its index is left out.

    Args:
        formats: by column a format of Python, e.g. ``{"error": ".1%"}``; without one, values as they print.
        numeric: whether columns are numbers, flush right on one line; or words, flush left and wrapped.
        names: how many of the first columns are words all the same.
    """
    formats = formats or {}
    rows = [
        Row(
            tuple(
                _cell(value, formats.get(name, "")) for name, value in zip(frame.columns, line, strict=True)
            )
        )
        for line in frame.itertuples(index=False, name=None)
    ]
    return Table(caption, tuple(map(str, frame.columns)), tuple(rows), numeric, names, note, sortable)


def _cell(value: Any, form: str) -> str:
    if value is None or value is pd.NA or value != value:
        return NOTHING
    if isinstance(value, str):
        return printable(value)
    return re.sub("^-", MINUS, format(value, form))


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")

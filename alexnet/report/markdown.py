"""The report as GitHub-flavoured Markdown."""

from __future__ import annotations

import re
from urllib.parse import quote

from alexnet.report.document import Block, Code, Document, Fold, Markdown, Pictures, SideBySide, Table, Text

# Markdown gives these a meaning anywhere in a line; a backslash takes it away.
SPECIAL = re.compile(r"([\\`*_\[\]<>|~&$#])")


def render_markdown(document: Document, figures: str) -> str:
    """Return `document` as Markdown.

    Args:
        figures: the folder of the pictures, as a path relative to the Markdown file's; empty: beside it.
    """
    parts = [f"# {escape(document.title)}", escape(document.summary)]
    if document.headline is not None:
        parts.append(_table(document.headline))
    parts.extend(_block(note, figures) for note in document.notes)
    for section in document.sections:
        parts.append(f"## {escape(section.heading)}")
        parts.extend(_block(block, figures) for block in section.blocks)
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Return `text` on one line and without meaning to Markdown, in a table or outside."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _block(block: Block, figures: str) -> str:
    match block:
        case Text():
            return ("> " if block.warning else "") + escape(block.text)
        case Markdown():
            return block.text.strip()
        case Table():
            return _table(block)
        case SideBySide():
            return "\n\n".join(map(_table, block.tables))
        case Pictures():
            return _pictures(block, figures)
        case Code():
            return _code(block.text)
        case Fold():
            inside = _block(block.block, figures)
            return f"<details><summary>{escape(block.summary)}</summary>\n\n{inside}\n\n</details>"


def _table(table: Table) -> str:
    right = [table.numeric and column >= table.names for column in range(len(table.header))]
    rule = ["---:" if flush else ":---" for flush in right]
    lines = [[escape(cell) for cell in table.header], rule]
    for row in table.rows:
        emphasis = "**" if row.ours else "*" if row.italic else ""
        cells = map(escape, row.cells)
        lines.append([f"{emphasis}{cell}{emphasis}" if cell else "" for cell in cells])
    grid = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    note = f"\n\n{escape(table.note)}" if table.note else ""
    return f"**{escape(table.caption)}**\n\n{grid}{note}"


def _pictures(block: Pictures, figures: str) -> str:
    images = []
    for picture in block.pictures:
        below = f"\n\n{escape(picture.caption)}\n" if picture.caption else ""
        address = quote(f"{figures}/{picture.file}" if figures else picture.file)
        images.append(f"![{escape(picture.alt)}]({address}){below}")
    return ("\n".join(images).rstrip() + f"\n\n{escape(block.caption)}").rstrip()


def _code(text: str) -> str:
    # The fence must be longer than any run of backticks inside.
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}yaml\n{text.rstrip()}\n{fence}"

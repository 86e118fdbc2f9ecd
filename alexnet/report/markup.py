"""The parts of a page as Markdown that GitHub shows well, and from which `html` makes more.

- A table: a bold line above it is its caption, an italic paragraph below it its note. Columns that are
  flush right hold numbers. Bold rows are of this run, italic ones of others. ``<!-- sortable -->`` above it
  lets the reader of the HTML sort it; ``<!-- headline -->`` shows its first three columns large.
- A blockquote is a warning; ``<details>`` is a fold, and no other HTML is let through.
"""

import html
import re
from collections.abc import Collection, Sequence

import pandas as pd

from alexnet.core.terminal import escaped

# A backslash takes away the meaning that Markdown gives these, anywhere or where a line begins.
SPECIAL = re.compile(r"([\\`*_\[\]<>|~&$#]|^[-+](?=[\s-]|$))")
NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")


def escape(text: str) -> str:
    """Return `text` on one line, printable, and without meaning to Markdown, in a table or outside."""
    line = escaped(" ".join(text.split()))
    return NUMBERED.sub(r"\1\\\2", SPECIAL.sub(r"\\\1", line))


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    caption: str,
    note: str = "",
    numeric: bool = True,
    names: int = 1,
    ours: Collection[int] = (),
    others: Collection[int] = (),
    sortable: bool = False,
) -> str:
    """Return a table whose first column names the rows; all its texts are shown as they are.

    Args:
        rows: cells, already worded.
        numeric: whether columns are numbers, flush right on one line; or words, flush left and wrapped.
        names: how many of the first columns are words nevertheless.
        ours, others: the numbers of the rows that are this run's (bold), and others' (italic).
        sortable: whether a reader of the HTML may sort it by a column.
    """
    flush = [":---" if not numeric or column < names else "---:" for column in range(len(header))]
    lines = [[_cell(cell) for cell in header], flush]
    for number, row in enumerate(rows):
        emphasis = "**" if number in ours else "*" if number in others else ""
        lines.append([f"{emphasis}{_cell(cell)}{emphasis}" if cell else "" for cell in row])
    mark, below = "<!-- sortable -->" if sortable else "", f"*{escape(note)}*" if note else ""
    body = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return "\n\n".join(filter(None, (mark, f"**{escape(caption)}**", body, below)))


def _cell(text: str) -> str:
    # Quotation marks are escaped, or those in names would be made typographic.
    return re.sub(r"(['\"])", r"\\\1", escape(text))


def table_of(frame: pd.DataFrame, caption: str, note: str = "", numeric: bool = True) -> str:
    """Return a table with one row per row of `frame`, which holds texts; its index is left out.

    The other arguments are those of `table`.
    """
    return table([*frame], frame.to_numpy().tolist(), caption, note, numeric=numeric)


def fold(summary: str, inside: str) -> str:
    """Return Markdown that the reader opens by a click on `summary`."""
    return f"<details><summary>{html.escape(summary, quote=False)}</summary>\n\n{inside}\n\n</details>"


def code(text: str) -> str:
    """Return `text`, YAML, to be shown as it is."""
    # The fence must be longer than any run of backticks inside.
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}yaml\n{text.rstrip()}\n{fence}"


def warning(text: str) -> str:
    """Return a paragraph that is set apart; `text` is shown as it is."""
    return f"> {escape(text)}"

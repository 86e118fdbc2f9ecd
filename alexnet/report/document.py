"""What a page is made of, before any markup: sections of text, tables and pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from PIL import Image


@dataclass(frozen=True)
class Row:
    """Cells of a table; `ours` marks a row of this run, `italic` the best of others."""

    cells: tuple[str, ...]
    ours: bool = False
    italic: bool = False


@dataclass(frozen=True)
class Table:
    """A table whose first column names the rows.

    `numeric` sets the other columns flush right, but for the first `names`; `sortable` lets a reader
    of the page sort it.
    """

    kind: ClassVar[str] = "table"

    caption: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    numeric: bool = True
    names: int = 1
    note: str = ""
    sortable: bool = False


@dataclass(frozen=True)
class Text:
    """A paragraph; a `warning` is set apart."""

    kind: ClassVar[str] = "text"

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Markdown:
    """Text of our own with the little markup of CommonMark: paragraphs, lists, code, links; no HTML."""

    kind: ClassVar[str] = "markdown"

    text: str


@dataclass(frozen=True)
class Picture:
    """An image with its alternative text, and perhaps another for dark pages.

    Attributes:
        name: of its file, without the suffix.
        image: the bytes of a PNG; of photographs, of a WebP, a tenth as large.
        caption: what stands below this picture alone.
        width: pixels of the page, or 0: as much as there is room.
        least: pixels below which it is scrolled sideways instead of shrunk.
    """

    name: str
    image: bytes
    alt: str
    dark: bytes | None = None
    caption: str = ""
    width: int = 0
    least: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        with Image.open(io.BytesIO(self.image)) as image:
            return image.size

    @property
    def file(self) -> str:
        """Its file's name."""
        return f"{self.name}.{kind_of(self.image)}"


def kind_of(image: bytes) -> str:
    """Return ``png`` or ``webp``: the suffix of a file of these bytes."""
    return "webp" if image[8:12] == b"WEBP" else "png"


@dataclass(frozen=True)
class Pictures:
    """Pictures side by side, as many as `across` where there is room, with one caption."""

    kind: ClassVar[str] = "pictures"

    pictures: tuple[Picture, ...]
    caption: str
    across: int = 1


@dataclass(frozen=True)
class SideBySide:
    """Tables beside one another where there is room."""

    kind: ClassVar[str] = "side by side"

    tables: tuple[Table, ...]


@dataclass(frozen=True)
class Code:
    """Text to be shown as it is."""

    kind: ClassVar[str] = "code"

    text: str


@dataclass(frozen=True)
class Fold:
    """A block that the reader opens."""

    kind: ClassVar[str] = "fold"

    summary: str
    block: Table | Code


Block = Text | Markdown | Table | SideBySide | Pictures | Code | Fold


@dataclass(frozen=True)
class Section:
    """A heading, the name it is linked by, and what stands under it."""

    anchor: str
    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A whole page; `headline` is None where there is no error rate, `notes` stand before the sections."""

    title: str
    summary: str
    headline: Table | None = None
    notes: tuple[Block, ...] = ()
    sections: tuple[Section, ...] = ()

    def pictures(self) -> Iterator[Picture]:
        """Yield every picture in the order of the page."""
        for block in (*self.notes, *(block for section in self.sections for block in section.blocks)):
            if isinstance(block, Pictures):
                yield from block.pictures

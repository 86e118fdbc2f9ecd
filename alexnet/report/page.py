"""Pages: a list of parts, written as one HTML file and as Markdown that GitHub shows."""

import base64
import hashlib
import html
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from urllib.parse import quote

from PIL import Image

from alexnet.core.files import replacing, write_text
from alexnet.core.terminal import escaped
from alexnet.report import markup
from alexnet.report.html import as_html


@dataclass(frozen=True)
class Figure:
    """An image (PNG; of photographs WebP, a tenth as large), and perhaps another for dark pages.

    Attributes:
        name: of its file, without the suffix.
        caption: what stands below this image alone; plain text.
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
    def kind(self) -> str:
        """``png`` or ``webp``: the suffix of its file."""
        return "webp" if self.image[8:12] == b"WEBP" else "png"


@dataclass(frozen=True)
class Figures:
    """Figures side by side, as many as `across` where there is room, with one caption, plain text."""

    figures: tuple[Figure, ...]
    caption: str = ""
    across: int = 1


# A text is Markdown: paragraphs, lists, links, `## Heading`, and what `markup` makes.
Part = str | Figures | Figure


def write_page(path: Path, title: str, summary: str, parts: Sequence[Part], folder: str = "") -> None:
    """Write `path`.html, which needs no other file, and `path`.md with its figures as files beside it.

    Args:
        path: without a suffix, e.g. ``reports/experiments/figure1``.
        title, summary: plain text; what was found, in a sentence or two.
        folder: where the figures' files are put, relative to the page. If it is empty they lie beside the
            page, and a figure's name must begin with the page's.

    Raises:
        ValueError: a figure has another page's name.
        UserError: the files cannot be written.
    """
    groups = [part for part in map(_grouped, parts) if isinstance(part, Figures)]
    figures = [figure for group in groups for figure in group.figures]
    for figure in figures:
        if not folder and not figure.name.startswith(path.name):
            raise ValueError(f"a figure of {path.name} is named {figure.name}, as if of another page")
    for figure in figures:
        with replacing(path.parent / folder / f"{figure.name}.{figure.kind}") as temporary:
            temporary.write_bytes(figure.image)
    write_text(path.with_name(f"{path.name}.html"), page_as_html(title, summary, parts))
    write_text(path.with_name(f"{path.name}.md"), page_as_markdown(title, summary, parts, folder))


def page_as_markdown(title: str, summary: str, parts: Sequence[Part], folder: str = "") -> str:
    """Return a page as Markdown; arguments as of `write_page`."""
    texts = [f"# {markup.escape(title)}", markup.escape(summary)]
    for part in map(_grouped, parts):
        texts.append(part.strip() if isinstance(part, str) else _figures_as_markdown(part, folder))
    return "\n\n".join(texts) + "\n"


def page_as_html(title: str, summary: str, parts: Sequence[Part]) -> str:
    """Return a page as HTML that needs no other file and no network; arguments as of `write_page`.

    Browsers are told to run no script but the page's own, known by its hash. Equal parts give equal bytes.
    """
    anchors: dict[str, str] = {}
    body = ""
    # Texts in a row are one text, so that tables in a row are seen to be so.
    for is_text, run in itertools.groupby(map(_grouped, parts), lambda part: isinstance(part, str)):
        if is_text:
            body += as_html("\n\n".join(map(str, run)), anchors)
        else:
            body += "".join(_figures_as_html(part) for part in run if isinstance(part, Figures))
    if anchors:
        items = "".join(f'<li><a href="#{name}">{heading}</a></li>\n' for name, heading in anchors.items())
        nav = f'<nav aria-label="Sections">\n<ul>\n{items}</ul>\n</nav>\n'
        body = body.replace("<section", f"{nav}<section", 1) + "</section>"
    here = Path(__file__).parent
    style, script, page = (
        (here / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js", "html")
    )
    digest = base64.b64encode(hashlib.sha256(f"\n{script}".encode()).digest()).decode("ascii")
    title, summary = _escaped(title), _escaped(summary)
    return Template(page).substitute(
        title=title,
        summary=summary,
        lede=_typeset(summary),
        style=style,
        script=script,
        digest=digest,
        body=body,
    )


def _grouped(part: Part) -> str | Figures:
    if isinstance(part, Figure):
        return Figures((replace(part, caption=""),), part.caption)
    return part


def _figures_as_markdown(group: Figures, folder: str) -> str:
    lines = []
    for figure in group.figures:
        address = quote("/".join(filter(None, (folder, f"{figure.name}.{figure.kind}"))))
        lines.append(f"![{markup.escape(figure.alt)}]({address})")
        if figure.caption:
            lines.append(f"\n{markup.escape(figure.caption)}\n")
    return "\n".join([*lines, "", markup.escape(group.caption)]).strip()


def _figures_as_html(group: Figures) -> str:
    scrolled = group.figures[0].least
    region = f' role="region" aria-label="{group.figures[0].name}" tabindex="0"' if scrolled else ""
    return (
        f'<figure class="pictures">\n<div class="side-by-side across-{group.across}"{region}>\n'
        f"{''.join(map(_figure_as_html, group.figures))}</div>\n{_caption(group.caption)}</figure>\n"
    )


def _figure_as_html(figure: Figure) -> str:
    with Image.open(io.BytesIO(figure.image)) as image:
        width, height = image.size
    style = f' style="min-width: {figure.least}px"' if figure.least else ""
    style = f' style="width: {figure.width}px"' if figure.width else style
    light, dark = (
        f"data:image/{figure.kind};base64,{base64.b64encode(image or b'').decode('ascii')}"
        for image in (figure.image, figure.dark)
    )
    source = f'<source media="screen and (prefers-color-scheme: dark)" srcset="{dark}">\n'
    picture = (
        f'<picture>\n{source if figure.dark else ""}<img src="{light}" alt="{_escaped(figure.alt)}"'
        f' width="{width}" height="{height}"{style}>\n</picture>\n'
    )
    if not figure.caption:
        return picture
    return f'<figure class="one">\n{picture}{_caption(figure.caption)}</figure>\n'


def _caption(text: str) -> str:
    return f"<figcaption>{_typeset(_escaped(text))}</figcaption>\n" if text else ""


def _escaped(text: str) -> str:
    return html.escape(escaped(text))


def _typeset(text: str) -> str:
    return text.replace("&#x27;", "\N{RIGHT SINGLE QUOTATION MARK}")

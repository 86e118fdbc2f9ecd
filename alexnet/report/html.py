"""A document as one HTML page with its style, script and pictures inside."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from alexnet.report.document import Document, kind_of

TEMPLATE = "report.html.j2"
STYLE = "report.css"
SCRIPT = "report.js"


def render_html(document: Document) -> str:
    """Return `document` as one page that needs no other file and no network.

    Browsers are told to run no script but the page's own, known by its hash.
    """
    here = Path(__file__).parent
    # Autoescape: titles, file names and reasons are text, whatever they hold.
    environment = Environment(
        loader=FileSystemLoader(here),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "data_uri": _data_uri,
        "typeset": _typeset,
        "markup": _markup,
        "breakable": _breakable,
    }
    style, script = (f"\n{(here / name).read_text(encoding='utf-8')}" for name in (STYLE, SCRIPT))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return environment.get_template(TEMPLATE).render(
        document=document, style=style, script=script, script_hash=f"sha256-{digest}"
    )


def _data_uri(image: bytes) -> str:
    return f"data:image/{kind_of(image)};base64,{base64.b64encode(image).decode('ascii')}"


def _breakable(cell: str) -> Markup:
    # Keys and file names may break after their separators, and numbers nowhere.
    return Markup(re.sub(r"(?<=[_./])(?=[A-Za-z])", "<wbr>", str(escape(cell))))


def _markup(markdown: str) -> str:
    # Of pictures the page has its own, with the browser forbidden to load others.
    reader = (
        MarkdownIt("commonmark", {"html": False, "typographer": True}).enable("smartquotes").disable("image")
    )
    return reader.render(markdown)


def _typeset(prose: str) -> str:
    return prose.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}")

"""From the Markdown of `markup` to HTML, and figures to HTML with their images inside."""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Iterator
from html import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token

# HTML is parsed so that folds and marks are found; all other HTML is shown as text. Images are the page's
# own: the browser is forbidden to load others.
READER = MarkdownIt("commonmark", {"html": True, "typographer": True})
READER.enable(["table", "smartquotes"]).disable("image")
READER.add_render_rule("html_inline", lambda _self, tokens, place, *_: escape(tokens[place].content))
READER.add_render_rule("html_block", lambda _self, tokens, place, *_: _as_text(tokens[place].content))

FOLD = re.compile(r"<details><summary>[^<]*</summary>|</details>")
MARK = re.compile(r"<!-- (sortable|headline) -->")
NUMBERS = '<figure class="table numbers">'

Block = list[Token]


def as_html(markdown: str, anchors: dict[str, str]) -> str:
    """Return `markdown` as HTML.

    A heading of the second level ends the section before it and begins a section, whose end is left open.
    It is entered into `anchors`, which has the headings so far by the names that links use.
    """
    blocks = [*_blocks(READER.parse(markdown))]
    pieces: list[str] = []
    mark, caption = "", None
    while blocks:
        block = blocks.pop(0)
        content = block[0].content.strip()
        if found := MARK.fullmatch(content):
            mark = found[1]
        elif _wholly(block, "strong") and blocks and blocks[0][0].type == "table_open":
            caption = block
        elif block[0].type == "table_open":
            note = blocks.pop(0) if blocks and _wholly(blocks[0], "em") else None
            pieces.append(_headline(block) if mark == "headline" else _table(block, caption, note, mark))
            mark, caption = "", None
        elif block[0].tag == "h2":
            pieces.append(_section(block, anchors))
        elif FOLD.fullmatch(content):
            pieces.append(f"{content}\n")
        elif block[0].type == "fence":
            pieces.append(f'<pre tabindex="0"><code>{escape(block[0].content)}</code></pre>\n')
        else:
            pieces.append(READER.renderer.render(block, READER.options, {}))
    return "".join(_side_by_side(pieces))


def _blocks(tokens: list[Token]) -> Iterator[Block]:
    """Yield the tokens of each paragraph, table, list and so on."""
    block: Block = []
    depth = 0
    for token in tokens:
        block.append(token)
        depth += token.nesting
        if depth == 0:
            yield block
            block = []


def _side_by_side(pieces: list[str]) -> Iterator[str]:
    """Put tables of numbers that follow one another beside one another, where there is room."""
    for numbers, run in itertools.groupby(pieces, lambda piece: piece.startswith(NUMBERS)):
        tables = [*run]
        if numbers and len(tables) > 1:
            tables = ['<div class="tables">\n', *tables, "</div>\n"]
        yield from tables


def _section(heading: Block, anchors: dict[str, str]) -> str:
    name = slug = re.sub(r"[^a-z0-9]+", "-", heading[1].content.lower()).strip("-")
    for number in itertools.count(2):
        if name not in anchors:
            break
        name = f"{slug}-{number}"
    end = "</section>\n" if anchors else ""
    anchors[name] = _inline(heading[1])
    return f'{end}<section id="{name}">\n<h2>{anchors[name]}</h2>\n'


def _wholly(block: Block, emphasis: str) -> bool:
    """Return whether a block is a paragraph or a cell that is emphasised as a whole."""
    if block[0].type not in ("paragraph_open", "th_open", "td_open"):
        return False
    inline = [token.type for token in _children(block[1])]
    closed = [place for place, kind in enumerate(inline) if kind == f"{emphasis}_close"]
    return inline[:1] == [f"{emphasis}_open"] and closed == [len(inline) - 1]


def _children(inline: Token) -> list[Token]:
    # The reader leaves empty texts where it found the signs of emphasis.
    return [token for token in inline.children or [] if token.type != "text" or token.content]


def _inline(inline: Token, emphasised: bool = False) -> str:
    if emphasised:
        inline = inline.copy(children=_children(inline)[1:-1])
    return READER.renderer.render([inline], READER.options, {})


def _rows(table: Block) -> list[list[Block]]:
    """Return the cells of each row of a table, three tokens each."""
    rows: list[list[Block]] = []
    for place, token in enumerate(table):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("th_open", "td_open"):
            rows[-1].append(table[place : place + 3])
    return rows


def _headline(table: Block) -> str:
    """Return a table of a name, a rate and its interval per row, to be set in large figures."""
    items = [
        f"<div>\n<dt>{name}</dt>\n"
        f'<dd class="error">{rate}</dd>\n'
        f'<dd class="interval"><span class="hidden">95% interval: </span>{interval}</dd>\n</div>\n'
        for name, rate, interval, *_ in ([_inline(cell[1]) for cell in row] for row in _rows(table)[1:])
    ]
    return f'<dl class="headline">\n{"".join(items)}</dl>\n'


def _table(table: Block, caption: Block | None, note: Block | None, mark: str) -> str:
    header, *rows = _rows(table)
    right = ["right" in str(cell[0].attrGet("style")) for cell in header]
    heads = "".join(
        f'<th scope="col"{_name(right[place])}>{text}</th>\n' if text else "<td></td>\n"
        for place, text in enumerate(_inline(cell[1]) for cell in header)
    )
    sortable = ' class="sortable"' if mark == "sortable" else ""
    kind = "numbers" if any(right) else "words"
    above = f"<figcaption>{_inline(caption[1], True)}</figcaption>\n" if caption else ""
    label = f' aria-label="{escape(_plain(caption[1]))}"' if caption else ""
    below = f'<p class="note">{_inline(note[1], True)}</p>\n' if note else ""
    return (
        f'<figure class="table {kind}">\n{above}'
        f'<div class="scroll" role="region"{label} tabindex="0">\n'
        f"<table{sortable}>\n"
        f"<thead>\n<tr>\n{heads}</tr>\n</thead>\n<tbody>\n"
        f"{''.join(_row(row, right) for row in rows)}"
        f"</tbody>\n</table>\n</div>\n{below}</figure>\n"
    )


def _row(cells: list[Block], right: list[bool]) -> str:
    filled = [cell for cell in cells if cell[1].content]
    ours = bool(filled) and all(_wholly(cell, "strong") for cell in filled)
    others = bool(filled) and all(_wholly(cell, "em") for cell in filled)
    first, *rest = [
        _breakable(_inline(cell[1], emphasised=(ours or others) and bool(cell[1].content))) for cell in cells
    ]
    look = ' class="ours"' if ours else ' class="others"' if others else ""
    data = "".join(f"<td{_name(flush)}>{text}</td>\n" for flush, text in zip(right[1:], rest, strict=True))
    return f'<tr{look}>\n<th scope="row">{first}</th>\n{data}</tr>\n'


def _name(right: bool) -> str:
    return "" if right else ' class="name"'


def _plain(inline: Token) -> str:
    return "".join(token.content for token in _children(inline))


def _breakable(cell: str) -> str:
    # Keys and file names may break after their separators, and numbers nowhere.
    return re.sub(r"(<[^>]*>)|(?<=[_./])(?=[A-Za-z])", lambda found: found[1] or "<wbr>", cell)


def _as_text(content: str) -> str:
    return f"<p>{escape(content)}</p>\n"


def data_uri(image: bytes, kind: str) -> str:
    """Return an image as an address that holds it."""
    return f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"

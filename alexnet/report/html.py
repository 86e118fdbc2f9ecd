"""From the Markdown of `markup` to HTML.

Markdown-it writes plain HTML in which all text is escaped and every cell and paragraph has its line; the
patterns below find the tables, headings and so on in it, and give them what Markdown cannot say.
"""

import itertools
import re
from html import escape

from markdown_it import MarkdownIt

# The only HTML that is let through; all other is shown as text.
OURS = re.compile(r"<details><summary>[^<]*</summary>\n?|</details>\n?|<!-- (sortable|headline) -->\n?")
# A table with its mark, the bold line above it and the italic paragraph below it.
TABLE = re.compile(
    r"(?:<!-- (?P<mark>\w+) -->\n)?(?:<p><strong>(?P<caption>.*)</strong></p>\n)?"
    r"<table>\n(?P<rows>(?s:.*?))</table>\n?(?:<p><em>(?P<note>.*)</em></p>\n)?"
)
NUMBERS = '<figure class="table numbers">'
IN_A_ROW = re.compile(rf"(?:{NUMBERS}(?s:(?!</figure>).)*</figure>\n){{2,}}")


def _let_through(content: str) -> str:
    return content if OURS.fullmatch(content) else f"<p>{escape(content)}</p>\n"


# Images are the page's own: the browser is forbidden to load others.
READER = MarkdownIt("commonmark", {"html": True, "typographer": True})
READER.enable(["table", "smartquotes"]).disable("image")
READER.add_render_rule("html_inline", lambda _self, tokens, place, *_: escape(tokens[place].content))
READER.add_render_rule("html_block", lambda _self, tokens, place, *_: _let_through(tokens[place].content))


def as_html(markdown: str, anchors: dict[str, str]) -> str:
    """Return `markdown` as HTML.

    A heading of the second level ends the section before it and begins a section, whose end is left open.
    It is entered into `anchors`, which has the headings so far by the names that links use.
    """
    html = TABLE.sub(_table, READER.render(markdown))
    # Tables of numbers that follow one another stand beside one another, where there is room.
    html = IN_A_ROW.sub(lambda tables: f'<div class="tables">\n{tables[0]}</div>\n', html)
    html = html.replace("<blockquote>", '<blockquote role="note">')
    html = re.sub("<pre><code[^>]*>", '<pre tabindex="0"><code>', html)
    return re.sub("<h2>(.*)</h2>", lambda heading: _section(heading[1], anchors), html)


def _section(heading: str, anchors: dict[str, str]) -> str:
    slug = re.sub(r"(<[^>]*>|[^a-z0-9])+", "-", heading.lower()).strip("-")
    names = itertools.chain([slug], (f"{slug}-{number}" for number in itertools.count(2)))
    name = next(name for name in names if name not in anchors)
    end = "</section>\n" if anchors else ""
    anchors[name] = heading
    return f'{end}<section id="{name}">\n<h2>{heading}</h2>'


def _table(found: re.Match[str]) -> str:
    caption, rows, note = found["caption"], found["rows"], found["note"]
    if found["mark"] == "headline":
        return _headline(rows)
    kind = "numbers" if '"text-align:right"' in rows else "words"
    sortable = ' class="sortable"' if found["mark"] == "sortable" else ""
    label = f' aria-label="{escape(re.sub("<[^>]*>", "", caption))}"' if caption else ""
    above = f"<figcaption>{caption}</figcaption>\n" if caption else ""
    below = f'<p class="note">{note}</p>\n' if note else ""
    rows = re.sub("<tr>\n<td[^>]*>(.*)</td>", r'<tr>\n<th scope="row">\1</th>', rows)
    rows = re.sub("<th [^>]*></th>", "<td></td>", rows)
    rows = re.sub('<(t[hd]) style="text-align:left">', r'<\1 class="name">', rows)
    rows = rows.replace(' style="text-align:right"', "").replace("<th>", '<th scope="col">')
    rows = rows.replace('<th class="name">', '<th scope="col" class="name">')
    return (
        f'<figure class="table {kind}">\n{above}<div class="scroll" role="region"{label} tabindex="0">\n'
        f"<table{sortable}>\n{_breakable(rows)}</table>\n</div>\n{below}</figure>\n"
    )


def _headline(rows: str) -> str:
    """Return a table with a name, a rate and its interval in each row, to be set in large figures."""
    cells = [re.findall("<td[^>]*>(.*)</td>", row) for row in rows.split("<tr>")[2:]]
    items = [
        f'<div>\n<dt>{name}</dt>\n<dd class="error">{rate}</dd>\n'
        f'<dd class="interval"><span class="hidden">95% interval: </span>{interval}</dd>\n</div>\n'
        for name, rate, interval, *_ in cells
    ]
    return f'<dl class="headline">\n{"".join(items)}</dl>\n'


def _breakable(rows: str) -> str:
    # Keys and file names may break after their separators, and numbers nowhere.
    return re.sub(r"(<[^>]*>)|(?<=[_./])(?=[A-Za-z])", lambda found: found[1] or "<wbr>", rows)

"""The report as a self-contained HTML page and as GitHub-flavoured Markdown.

Both are written from one `Document`, so that they cannot tell different stories.
"""

from __future__ import annotations

import base64
import math
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from alexnet.params.report import Report
from alexnet.reporting import figures as draw
from alexnet.reporting import tables
from alexnet.reporting.results import Results
from alexnet.reporting.tables import Table, percent

# Markdown gives these a meaning anywhere in a line; a backslash takes it away.
MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&$#])")


@dataclass(frozen=True)
class Text:
    """A paragraph; a `warning` is set apart."""

    kind: ClassVar[str] = "text"

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Picture:
    """A PNG with its alternative text, and perhaps another for dark pages."""

    name: str
    png: bytes
    alt: str
    dark: bytes | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, from the PNG's header."""
        width, height = struct.unpack(">II", self.png[16:24])
        return width, height


@dataclass(frozen=True)
class Pictures:
    """Pictures side by side where there is room, with one caption."""

    kind: ClassVar[str] = "pictures"

    pictures: tuple[Picture, ...]
    caption: str


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


Block = Text | Table | SideBySide | Pictures | Code | Fold


@dataclass(frozen=True)
class Section:
    """A heading, the name it is linked by, and what stands under it."""

    anchor: str
    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """The whole report, before any markup."""

    title: str
    summary: str
    headline: Table
    notes: tuple[Text, ...]
    sections: tuple[Section, ...]


def write_report(results: Results, settings: Report, html: Path, markdown: Path, figures: Path) -> None:
    """Write the page `html`, its `markdown` twin and the PNGs of both into the folder `figures`.

    Equal results and settings give equal bytes.
    """
    document = compose(results, settings)
    for folder in (html.parent, markdown.parent, figures):
        folder.mkdir(parents=True, exist_ok=True)
    for picture in _pictures(document):
        (figures / f"{picture.name}.png").write_bytes(picture.png)
    html.write_text(render_html(document), encoding="utf-8")
    link = Path(os.path.relpath(figures, markdown.parent)).as_posix()
    markdown.write_text(render_markdown(document, link), encoding="utf-8")


def compose(results: Results, settings: Report) -> Document:
    """Return the report of `results`."""
    return Document(
        title=tables.printable(settings.title),
        summary=_summary(results),
        headline=tables.headline(results),
        notes=tuple(_notes(results)),
        sections=(
            _beside_the_paper(results),
            _learning_curves(results, settings),
            _kernels(results, settings),
            _colours(results, settings),
            _data(results),
            _provenance(results),
        ),
    )


def _pictures(document: Document) -> Iterator[Picture]:
    for section in document.sections:
        for block in section.blocks:
            if isinstance(block, Pictures):
                yield from block.pictures


def _summary(results: Results) -> str:
    metrics = results.metrics
    return (
        f"Shown {metrics.images:,} pictures of {results.data.classes:,} classes, the network's "
        f"likeliest label is wrong for {percent(metrics.top1_error)} of them; for "
        f"{percent(metrics.top5_error)} the right label is not among its five likeliest."
    )


def _notes(results: Results) -> Iterator[Text]:
    top1, top5, *_ = tables.error_rates(results)
    yield Text(
        f"Guessing would be wrong for {percent(top1.chance)} (top-1) and {percent(top5.chance)} "
        f"(top-5). The mean loss over ten patches is {results.metrics.loss:.2f} nats. Ten patches: "
        "the four corners and the centre with their mirrors, the outputs averaged; one patch: the "
        "centre. The intervals are exact binomial 95% intervals (Clopper and Pearson): they say "
        "how well this many pictures fix the rate of these weights, not what another seed would "
        "give."
    )
    if tables.evaluated_split(results) == "train":
        yield Text(
            "These are the pictures that the network was trained on: the rates say how well it "
            "remembers, not how well it would do on others.",
            warning=True,
        )
    if top5.by_definition:
        yield Text(
            f"With {results.data.classes} classes five guesses name every class: the top-5 error "
            "is zero by definition and says nothing.",
            warning=True,
        )
    if top1.low <= top1.chance <= top1.high:
        yield Text(
            "The top-1 error cannot be told apart from guessing, which lies in its interval.",
            warning=True,
        )


def _beside_the_paper(results: Results) -> Section:
    return Section(
        "paper",
        "Beside the paper",
        (
            _verdict(results),
            SideBySide((tables.table_1(results), tables.table_2(results))),
            tables.differences(results),
        ),
    )


def _verdict(results: Results) -> Text:
    data = results.data
    table = tables.comparable_table(results)
    if table:
        return Text(
            f"The pictures evaluated come from the paper's own set (Table {table}), so these error "
            "rates may be compared with its single CNN trained without other data. What else "
            "differs is listed below the tables."
        )
    train = data.splits.get("train")
    trained = f" and {train.pictures:,} pictures to learn from" if train else ""
    return Text(
        "These error rates cannot be compared with the paper's. This network was evaluated on "
        f"{tables.describe_data(results)}, with {data.classes:,} classes to choose from{trained}; "
        "the paper's chose from 1,000 classes and learnt from 1.2 million pictures. A lower number "
        "here does not mean a better network.",
        warning=True,
    )


def _learning_curves(results: Results, settings: Report) -> Section:
    outputs = results.run.class_count
    return Section(
        "curves",
        "Learning curves",
        (
            Text(
                "Training is measured while the network learns, on random patches with noise; "
                "validation after each epoch, on the centre patch without. The training curve can "
                "therefore lie above the validation's. A network that finds every class equally "
                f"likely has a loss of ln {outputs:,} = {math.log(outputs):.2f}."
            ),
            Pictures(
                (_loss_picture(results, settings), _error_picture(results, settings)),
                f"Loss and error rate by epoch. {_falls(results)}",
            ),
            Fold("The curves in numbers", tables.history(results)),
        ),
    )


def _loss_picture(results: Results, settings: Report) -> Picture:
    history, outputs, dpi = results.history, results.run.class_count, settings.figure_dpi
    first, last = history[0], history[-1]
    return Picture(
        "loss",
        draw.loss_curves(history, outputs, dpi, draw.LIGHT),
        f"Loss by epoch, from the first to the last of {len(history)}: training "
        f"{first.train_loss:.2f} to {last.train_loss:.2f}, validation {first.val_loss:.2f} to "
        f"{last.val_loss:.2f}.",
        dark=draw.loss_curves(history, outputs, dpi, draw.DARK),
    )


def _error_picture(results: Results, settings: Report) -> Picture:
    history, outputs, dpi = results.history, results.run.class_count, settings.figure_dpi
    first, last = history[0], history[-1]
    training, top1, top5 = (
        f"{percent(getattr(first, name))} to {percent(getattr(last, name))}"
        for name in ("train_error", "val_top1_error", "val_top5_error")
    )
    return Picture(
        "error",
        draw.error_curves(history, outputs, dpi, draw.LIGHT),
        f"Error rate by epoch, from the first to the last of {len(history)}: training {training}, "
        f"validation top-1 {top1}, validation top-5 {top5}.",
        dark=draw.error_curves(history, outputs, dpi, draw.DARK),
    )


def _falls(results: Results) -> str:
    falls = draw.learning_rate_falls(results.history)
    first = f"{tables.decimal(results.history[0].learning_rate)}"
    if not falls:
        return f"The learning rate began at {first} and never fell."
    steps = ", ".join(f"to {tables.decimal(row.learning_rate)} at epoch {row.epoch}" for row in falls)
    return f"The vertical lines mark where the learning rate, {first} at first, fell: {steps}."


def _kernels(results: Results, settings: Report) -> Section:
    count, _, height, width = results.kernels.shape
    columns = results.run.columns
    picture = Picture(
        "kernels",
        draw.kernels(results.kernels, columns, settings.kernel_pixels),
        f"The {count} kernels of the first convolution, drawn as small colour pictures.",
    )
    order = "column 1 above, column 2 below" if columns == 2 else "all of one column"
    return Section(
        "kernels",
        "First-layer kernels",
        (
            Pictures(
                (picture,),
                f"The {count} kernels of conv1, {height} by {width} by 3 weights each, set as in "
                f"the paper's Figure 3: {order}. Each is scaled by its own largest weight; zero is "
                "grey.",
            ),
        ),
    )


def _colours(results: Results, settings: Report) -> Section:
    pca, dpi = results.rgb_pca, settings.figure_dpi
    picture = Picture(
        "rgb_components",
        draw.rgb_components(pca, dpi, draw.LIGHT),
        "Three strips of colour, one a component, from two standard deviations below the mean "
        "colour to two above.",
        dark=draw.rgb_components(pca, dpi, draw.DARK),
    )
    return Section(
        "colours",
        "Colours",
        (
            Text(
                "The colour noise of training (Section 4.1 of the paper) shifts a picture along "
                "these three directions. The authors' values, shipped with their cuda-convnet2, "
                "are ImageNet's; a small sample's need not be near them."
            ),
            tables.rgb_components(results),
            Pictures((picture,), "The colours along each component, through the mean colour."),
            tables.channel_means(results),
        ),
    )


def _data(results: Results) -> Section:
    listing: Block = Text("No picture was skipped.")
    if results.skipped:
        listing = Fold(f"Why {len(results.skipped):,} could not be used", tables.skipped(results))
    return Section("data", "Data", (tables.pictures(results), listing))


def _provenance(results: Results) -> Section:
    return Section(
        "provenance",
        "How it came to be",
        (
            Text(
                f"The weights evaluated are the last, those after epoch {len(results.history)}. No "
                "epoch was chosen by its validation error."
            ),
            tables.provenance(results),
            Fold("All parameters (params.yaml)", Code(results.params)),
        ),
    )


def render_html(document: Document) -> str:
    """Return `document` as one HTML page with its style and pictures inside."""
    # Autoescape: titles, file names and reasons are text, whatever they hold.
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"data_uri": _data_uri, "typeset": _typeset}
    return environment.get_template("report.html.j2").render(document=document)


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _typeset(prose: str) -> str:
    return prose.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}")


def render_markdown(document: Document, figures: str) -> str:
    """Return `document` as GitHub-flavoured Markdown.

    Args:
        figures: the folder of the PNGs, as a path relative to the Markdown file's.
    """
    parts = [
        f"# {escape_markdown(document.title)}",
        escape_markdown(document.summary),
        _markdown_table(document.headline),
        *(_markdown_block(note, figures) for note in document.notes),
    ]
    for section in document.sections:
        parts.append(f"## {escape_markdown(section.heading)}")
        parts.extend(_markdown_block(block, figures) for block in section.blocks)
    return "\n\n".join(parts) + "\n"


def escape_markdown(text: str) -> str:
    """Return `text` on one line and without meaning to Markdown, in a table or outside."""
    return MARKDOWN_SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _markdown_block(block: Block, figures: str) -> str:
    match block:
        case Text():
            return ("> " if block.warning else "") + escape_markdown(block.text)
        case Table():
            return _markdown_table(block)
        case SideBySide():
            return "\n\n".join(map(_markdown_table, block.tables))
        case Pictures():
            return _markdown_pictures(block, figures)
        case Code():
            return _markdown_code(block.text)
        case Fold():
            inside = _markdown_block(block.block, figures)
            summary = escape_markdown(block.summary)
            return f"<details><summary>{summary}</summary>\n\n{inside}\n\n</details>"


def _markdown_table(table: Table) -> str:
    rule = [":---", *("---:" if table.numeric else ":---" for _ in table.header[1:])]
    lines = [[escape_markdown(cell) for cell in table.header], rule]
    for row in table.rows:
        emphasis = "**" if row.ours else "*" if row.italic else ""
        cells = map(escape_markdown, row.cells)
        lines.append([f"{emphasis}{cell}{emphasis}" if cell else "" for cell in cells])
    grid = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    note = f"\n\n{escape_markdown(table.note)}" if table.note else ""
    return f"**{escape_markdown(table.caption)}**\n\n{grid}{note}"


def _markdown_pictures(block: Pictures, figures: str) -> str:
    images = [
        f"![{escape_markdown(picture.alt)}]({quote(f'{figures}/{picture.name}.png')})"
        for picture in block.pictures
    ]
    return "\n".join(images) + f"\n\n{escape_markdown(block.caption)}"


def _markdown_code(text: str) -> str:
    # The fence must be longer than any run of backticks inside.
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}yaml\n{text.rstrip()}\n{fence}"

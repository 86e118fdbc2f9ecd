"""Figure 4 of the paper, right: the nearest training pictures, and how well short codes find them."""

from collections.abc import Iterator, Sequence

from PIL import Image

from alexnet.core.progress import bytes_in_words
from alexnet.report.facts import Facts
from alexnet.report.markup import table
from alexnet.report.page import Figure, Figures, Part
from alexnet.report.photographs import GAP, Photograph, webp
from alexnet.report.text import NOTHING, percent, short
from alexnet.retrieval.summary import Example


def topic(facts: Facts) -> list[Part]:
    """Return queries beside their nearest training pictures, and the table of codes against exact search."""
    found = facts.retrieval
    figures = tuple(
        figure for number, each in enumerate(found.examples, 1) for figure in _example(facts, each, number)
    )
    return [
        "## Nearest pictures",
        f"Pictures that excite the {found.dimensions:,} neurons of fc7 alike are alike to the network"
        " (Section 6 of the paper). The distance is the Euclidean one between the activations of the centre"
        f" patches, and the search among {found.pictures:,} training pictures is exact.",
        Figures(
            figures,
            f"Pictures of the split {facts.predictions.split}, drawn by a fixed seed (large), and the"
            f" {found.neighbours} training pictures nearest to each, the nearest first. The paper's Figure 4"
            " shows five pictures.",
            across=2,
        )
        if figures
        else facts.photographs.absence,
        _agreement(facts),
        codes_table(facts),
    ]


def _example(facts: Facts, example: Example, number: int) -> Iterator[Figure]:
    found, training = facts.predictions, facts.photographs.records("train")
    query = facts.photographs.pixels(found.split, example.query)
    others = {record: facts.photographs.pixels("train", record) for record in example.nearest}
    readable = {record: other for record, other in others.items() if other is not None}
    if query is None or training is None or not readable:
        return
    words = [short(words) for _, words in found.classes]
    name = str(found.names[example.query])
    true = words[found.labels[example.query]] if found.labelled else ""
    names = [words[training.labels[record]] for record in readable]
    grouped = ", ".join(f"{names.count(one)} × {one}" for one in dict.fromkeys(names))
    apart = zip(example.nearest, example.distances, strict=True)
    distances = ", ".join(f"{distance:.1f}" for record, distance in apart if record in readable)
    yield Figure(
        f"neighbours-{number}",
        beside_six(query, [*readable.values()]),
        f"{f'{name}: {true}' if true else name}; nearest training pictures: {', '.join(names)}; distances"
        f" {distances}.",
        caption=f"{true or name}. Nearest: {grouped}",
    )


def beside_six(query: Photograph, others: Sequence[Photograph]) -> bytes:
    """Set a photograph beside six others, half as large, in two rows of three (Figure 4, right)."""
    half = (len(query) - GAP) // 2
    sheet = Image.new("RGBA", (len(query) + 3 * (GAP + half) + GAP, len(query)))
    sheet.paste(Image.fromarray(query))
    for place, other in enumerate(others[:6]):
        small = Image.fromarray(other).resize((half, half), Image.Resampling.LANCZOS)
        left, top = len(query) + 2 * GAP + place % 3 * (half + GAP), place // 3 * (half + GAP)
        sheet.paste(small, (left, top))
    return webp(sheet)


def _agreement(facts: Facts) -> str:
    found = facts.retrieval
    if found.same_class_exact is None or found.same_class_codes is None:
        return "Whether neighbours show the same class cannot be said without labels."
    return (
        f"Of the {found.neighbours} nearest pictures, {percent(found.same_class_exact)} show the class of the"
        f" query; of the {found.neighbours} that the short codes find (the nearest among the"
        f" {found.shortlist} best by Hamming distance), {percent(found.same_class_codes)}. This was measured"
        f" on {found.queries:,} queries."
    )


def codes_table(facts: Facts) -> str:
    """Return how many of the exact neighbours are among the first by code, and what either search costs."""
    found, rows = facts.retrieval, []
    for row in found.candidates:
        chance = min(1.0, row.candidates / found.pictures)
        rows.append((f"{row.candidates:,}", percent(row.learned), percent(row.random), percent(chance)))
    return table(
        ("First by code", "Auto-encoder", "Random signs", "Chance"),
        rows,
        f"Recall of the {found.neighbours} nearest by codes of {found.code_bits} bits",
        "The share of the exact nearest pictures that is among this many first by Hamming distance; random"
        " signs are those of as many random projections. Exact search:"
        f" {_cost(found.milliseconds_exact, found.exact_megabytes)}. By code,"
        f" with making the query's code and comparing the {found.shortlist} best in fc7:"
        f" {_cost(found.milliseconds_codes, found.code_megabytes)}. Times as measured where this ran.",
    )


def _cost(milliseconds: float, megabytes: float) -> str:
    size = bytes_in_words(round(1e6 * megabytes))
    return f"{milliseconds:,.3f} ms per query, {size} to search" if milliseconds else NOTHING

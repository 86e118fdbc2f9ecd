"""Figure 4 of the paper, right: the nearest training pictures, and how well short codes find them."""

from __future__ import annotations

from alexnet.report.document import Block, Picture, Pictures, Row, Section, Table, Text
from alexnet.report.figures.photographs import beside_six
from alexnet.report.results import Example, Results
from alexnet.report.text import NOTHING, percent, printable, short


def section(results: Results) -> Section:
    """Return queries beside their nearest training pictures, and the table of codes against exact search."""
    found = results.retrieval
    pictures = [
        picture
        for number, example in enumerate(found.examples, 1)
        if (picture := _example(results, example, number)) is not None
    ]
    blocks: list[Block] = [
        Text(
            f"Pictures that excite the {found.dimensions:,} neurons of fc7 alike are alike to the network "
            "(Section 6 of the paper). The distance is Euclidean, of the centre patches, searched exactly "
            f"among {found.pictures:,} training pictures."
        )
    ]
    if pictures:
        blocks.append(
            Pictures(
                tuple(pictures),
                f"Pictures of the split {results.predictions.split}, drawn by a fixed seed (large), and "
                "the six training pictures nearest to each, the nearest first, as in the paper's Figure 4.",
                across=2,
            )
        )
    else:
        blocks.append(Text("None of these pictures could be read.", warning=True))
    blocks.append(Text(_agreement(results)))
    blocks.append(codes_table(results))
    return Section("neighbours", "Nearest pictures", tuple(blocks))


def _example(results: Results, example: Example, number: int) -> Picture | None:
    query = results.photographs.pixels(results.predictions.split, example.query)
    others = [results.photographs.pixels("train", record) for record in example.nearest]
    readable = [other for other in others if other is not None]
    if query is None or not readable:
        return None
    labels = results.predictions.labels
    true = f": {_words(results, int(labels[example.query]))}" if results.predictions.labelled else ""
    training = results.photographs.records("train")
    assert training is not None
    names = [
        _words(results, int(training.labels[record]))
        for record, other in zip(example.nearest, others, strict=True)
        if other is not None
    ]
    grouped = ", ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names))
    name = printable(str(results.predictions.names[example.query]))
    distances = ", ".join(f"{distance:.1f}" for distance in example.distances)
    return Picture(
        f"neighbours-{number}",
        beside_six(query, readable),
        f"{name}{true}; nearest training pictures: {', '.join(names)}; distances {distances}.",
        caption=f"{_words(results, int(labels[example.query])) if true else name}. Nearest: {grouped}",
    )


def _words(results: Results, label: int) -> str:
    return short(results.predictions.classes[label][1])


def _agreement(results: Results) -> str:
    found = results.retrieval
    if found.same_class_exact is None or found.same_class_codes is None:
        return "Whether neighbours show the same class cannot be said without labels."
    return (
        f"Of the {found.neighbours} nearest pictures, {percent(found.same_class_exact)} show the class of "
        f"the query; of the {found.neighbours} that the short codes find (the nearest of the first "
        f"{found.shortlist} by Hamming distance), {percent(found.same_class_codes)}. Measured on "
        f"{found.queries:,} queries."
    )


def codes_table(results: Results) -> Table:
    """Return how many of the exact neighbours are among the first by code, and what either search costs."""
    found = results.retrieval
    rows = [
        Row((f"{row.candidates:,}", percent(row.learned), percent(row.random), percent(chance)))
        for row in found.candidates
        for chance in [min(1.0, row.candidates / found.pictures)]
    ]
    return Table(
        caption=f"Recall of the {found.neighbours} nearest by codes of {found.code_bits} bits",
        header=("First by code", "Auto-encoder", "Random signs", "Chance"),
        rows=tuple(rows),
        note="Of the exact nearest, the share that is among so many first by Hamming distance; random signs: "
        "of as many random projections. "
        f"Exact search: {_cost(found.milliseconds_exact, found.exact_megabytes)}; by code: "
        f"{_cost(found.milliseconds_codes, found.code_megabytes)}. Times as measured where this ran.",
    )


def _cost(milliseconds: float, megabytes: float) -> str:
    if not milliseconds:
        return NOTHING
    return f"{milliseconds:.3g} ms a query, {megabytes:.3g} MB to search"

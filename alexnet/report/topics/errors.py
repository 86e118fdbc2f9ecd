"""The error rates and how far to trust them, beside the paper's, and what differs."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from alexnet.core.progress import duration
from alexnet.report import paper
from alexnet.report.facts import Facts
from alexnet.report.markup import table, warning
from alexnet.report.page import Part
from alexnet.report.rates import comparable_table, describe_data, error_rates
from alexnet.report.text import NOTHING, percent

OTHER_DATA = "\N{DAGGER}"


def topic(facts: Facts) -> list[Part]:
    """Return our error rates, the paper's tables with our rows, and what differs in data and recipe."""
    return [
        *opening(facts),
        "## Beside the paper",
        _verdict(facts),
        table_1(facts),
        table_2(facts),
        differences(facts),
        recipe_differences(facts),
    ]


def summary(facts: Facts) -> str:
    """Return the report in a sentence or two."""
    images, classes = len(facts.predictions), facts.data.classes
    if facts.rates is None:
        return (
            f"Of {classes:,} classes, the network named the five likeliest for each of the {images:,}"
            f" pictures of the split {facts.predictions.split}. Their labels are not known, so there is no"
            " error rate."
        )
    top1, top5 = (percent(facts.rates[kind]) for kind in ("top1_error", "top5_error"))
    return (
        f"Of {images:,} pictures of {classes:,} classes, the network's likeliest label is wrong for {top1};"
        f" for {top5} the right label is not among its five likeliest."
    )


def opening(facts: Facts) -> Iterator[str]:
    """Yield the error rates and what must be known to read them."""
    if facts.rates is None:
        found = facts.predictions
        form = " in the format of the ILSVRC server," if found.ids else ""
        yield warning(
            "Without labels nothing can be counted. The guesses, five for each picture,"
            f"{form} are in data/predictions/{found.guesses_file}."
        )
    else:
        yield from _labelled_opening(facts)
    if facts.ended_early:
        yield warning(f"The training was ended after {facts.epochs} epochs, as .state/finish asked.")


def _labelled_opening(facts: Facts) -> Iterator[str]:
    found, rates = facts.predictions, error_rates(facts)
    yield "<!-- headline -->"
    yield table(
        ("", "Error", "95% interval", "Guessing"),
        [(rate.name, percent(rate.error), rate.interval, percent(rate.chance)) for rate in rates],
        f"Error rates on {len(found):,} pictures",
    )
    top1, top5, *_ = rates
    yield (
        f"Guessing the most frequent classes would be wrong for {percent(top1.chance)} (top-1) and"
        f" {percent(top5.chance)} (top-5). The mean loss over ten patches is {found.loss():.2f} nats. Ten"
        " patches are the four corners and the"
        " centre with their mirror images, and the outputs are averaged; one patch is the centre. The"
        " intervals are exact binomial 95% intervals (Clopper and Pearson): they say how precisely this many"
        " pictures measure the error rate of these weights, not what another seed would give."
    )
    if found.split == "train":
        yield warning(
            "These are the pictures that the network was trained on: the rates say how well it remembers"
            " them, not how well it would do on others."
        )
    if top5.by_definition:
        yield warning(
            f"There are only {facts.data.classes} classes, so five guesses name every class: the top-5 error"
            " is zero by definition and says nothing."
        )
    if top1.bounds[1] >= top1.chance:
        yield warning("The top-1 error is not clearly below that of guessing, which needs no network.")


def _verdict(facts: Facts) -> str:
    comparable = comparable_table(facts)
    if facts.rates is None:
        return warning("These pictures have no public labels, so the tables have no row of this run.")
    if comparable:
        return (
            f"The pictures evaluated are the paper's own set (Table {comparable}), so these error rates may"
            " be compared with those of a single CNN there (those with * had other data before). What else"
            " differs is listed below the tables."
        )
    train = facts.data.splits.get("train")
    trained = f" and {train.pictures:,} training pictures" if train else ""
    return warning(
        "These error rates cannot be compared with the paper's. This network was evaluated on"
        f" {describe_data(facts)}, with {facts.data.classes:,} classes{trained}; the paper's had 1,000"
        " classes and 1.2 million training pictures. A lower number here does not mean a better network."
    )


def table_1(facts: Facts) -> str:
    """Return the paper's Table 1 with our rows added."""
    columns = {"Top-1": "top1", "Top-5": "top5"}
    note = "One patch: from the paper's text, not its table."
    return _with_ours(facts, 1, "ILSVRC-2010 test set", paper.TABLE_1, columns, note)


def table_2(facts: Facts) -> str:
    """Return the paper's Table 2 with our rows added."""
    columns = {"Top-1, val": "top1", "Top-5, val": "top5", "Top-5, test": "top5_test"}
    classes, top1, top5 = paper.IMAGENET_2009
    note = (
        "* pre-trained on the ImageNet 2011 Fall release. The authors' logs give 40.66%, 18.21% for 1 CNN and"
        f" 38.99%, 16.62% for 1 CNN*. On ImageNet 2009 with its {classes:,} classes, the paper reports"
        f" {top1}%, {top5}%."
    )
    return _with_ours(facts, 2, "ILSVRC-2012", paper.TABLE_2, columns, note)


def _with_ours(
    facts: Facts,
    number: int,
    data: str,
    published: Sequence[paper.Printed],
    columns: dict[str, str],
    note: str,
) -> str:
    """Return a table of the paper; `columns` are fields of its rows by their headings."""
    rows = []
    for row in published:
        errors = [getattr(row, field) for field in columns.values()]
        rows.append((row.model, *(NOTHING if error is None else f"{error}%" for error in errors)))
    elsewhere = facts.rates is not None and comparable_table(facts) != number
    mark = f" {OTHER_DATA}" if elsewhere else ""
    tested = number == 2 and facts.predictions.split == "test"
    for name, top1, top5 in _ours(facts):
        ours = {"top5_test": top5} if tested else {"top1": top1, "top5": top5}
        rows.append((f"{name}{mark}", *(percent(ours.get(field, math.nan)) for field in columns.values())))
    return table(
        ("Model", *columns),
        rows,
        f"The paper's Table {number}: {data}",
        f"{note}{mark} on other data than this table's: not comparable." if elsewhere else note,
        ours=range(len(published), len(rows)),
        others=[place for place, row in enumerate(published) if row.by_others],
    )


def _ours(facts: Facts) -> list[tuple[str, float, float]]:
    """Return name, top-1 and top-5 error of our rows in the paper's tables."""
    if facts.rates is None:
        return []
    top1, top5, top1_one_patch, top5_one_patch = facts.rates.values()
    return [("This run", top1, top5), ("This run, one patch", top1_one_patch, top5_one_patch)]


def differences(facts: Facts) -> str:
    """Return what the error rates are measured on and with, in the paper and here (Sections 2 to 6)."""
    data, run, found = facts.data, facts.run, facts.predictions
    train = data.splits.get("train")
    trained, evaluated = f"{train.pictures:,}" if train else NOTHING, f"{len(found):,} ({found.split})"
    # The exact counts of pictures are those of the challenges.
    rows = (
        ("Data set", "ILSVRC-2010 (Table 1), ILSVRC-2012 (Table 2)", describe_data(facts)),
        ("Classes", f"{paper.CLASSES:,}", f"{data.classes:,}"),
        ("Training pictures", "1,261,406 (2010), 1,281,167 (2012)", trained),
        ("Pictures evaluated", "150,000 (2010 test), 50,000 (2012 validation)", evaluated),
        ("Recipe", "as printed", run.recipe),
        ("Epochs", "about 90", facts.epochs),
        ("Batch size", "128", f"{run.batch_size:,}"),
        ("Columns", "2, one on each GPU", f"{run.columns}"),
        ("Parameters", "60,965,224, printed as 60 million", f"{run.parameter_count:,}"),
        ("Patches averaged", "ten", "ten"),
        ("Networks averaged", "one, five or seven, as the rows say", "one"),
        ("Weights evaluated", "not said", "those after the last epoch"),
        ("Devices", "two GTX 580, 3 GB each", run.devices),
        ("Training time, without validation", "five to six days", duration(run.seconds)),
    )
    return table(("", "The paper", "This run"), rows, "What the numbers rest on", numeric=False)


def recipe_differences(facts: Facts) -> str:
    """Return the recipe's parameters in which this run departs from the paper."""
    ours, printed, run_in_2012 = facts.recipes
    rows = [
        (key, *(_shown(each) for each in (printed.get(key), run_in_2012.get(key), value)))
        for key, value in ours.items()
        if key != "train.seed" and value != printed.get(key)
    ]
    if not rows:
        return "Every parameter of the recipe is the one that the paper prints."
    return table(
        ("Parameter", "As printed", "As run in 2012", "This run"),
        rows,
        "Where the recipe departs from the printed one",
        "As printed and as run: what profiles/imagenet-2012-paper.yaml and"
        " profiles/imagenet-2012-source.yaml set; if the paper gives no number, our choice.",
        numeric=False,
    )


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    if isinstance(value, dict):
        return " ".join(f"{key} {_shown(inner)}" for key, inner in value.items())
    return str(value)

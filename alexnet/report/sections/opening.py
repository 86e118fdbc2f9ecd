"""What a reader sees first: the error rates and how far to trust them."""

from __future__ import annotations

from collections.abc import Iterator

from alexnet.report.document import Row, Table, Text
from alexnet.report.rates import error_rates
from alexnet.report.results import Results
from alexnet.report.text import percent


def summary(results: Results) -> str:
    """Return the report in a sentence or two."""
    errors, images = results.metrics.errors, results.metrics.images
    classes = results.data.classes
    if errors is None:
        return (
            f"Shown {images:,} pictures of the split {results.metrics.split}, the network named five of "
            f"{classes:,} classes for each. Their labels are not known, so there is no error rate."
        )
    return (
        f"Shown {images:,} pictures of {classes:,} classes, the network's likeliest label is wrong for "
        f"{percent(errors.top1_error)} of them; for {percent(errors.top5_error)} the right label is "
        "not among its five likeliest."
    )


def headline(results: Results) -> Table | None:
    """Return our error rates with intervals and chance levels, or None without labels."""
    rates = error_rates(results)
    if not rates:
        return None
    rows = [Row((rate.name, percent(rate.error), rate.interval, percent(rate.chance))) for rate in rates]
    return Table(
        caption=f"Error rates on {results.metrics.images:,} pictures",
        header=("", "Error", "95% interval", "Guessing"),
        rows=tuple(rows),
    )


def notes(results: Results) -> Iterator[Text]:
    """Yield what must be known to read the rates."""
    errors = results.metrics.errors
    if errors is None:
        yield Text(
            "Without labels nothing can be counted. The guesses, five a picture"
            + (", in the format of the ILSVRC server," if results.predictions.ids else "")
            + f" are in data/predictions/{results.predictions.guesses_file}.",
            warning=True,
        )
        return
    top1, top5, *_ = error_rates(results)
    yield Text(
        f"Guessing would be wrong for {percent(top1.chance)} (top-1) and {percent(top5.chance)} "
        f"(top-5). The mean loss over ten patches is {errors.loss:.2f} nats. Ten patches: "
        "the four corners and the centre with their mirrors, the outputs averaged; one patch: the "
        "centre. The intervals are exact binomial 95% intervals (Clopper and Pearson): they say "
        "how well this many pictures fix the rate of these weights, not what another seed would "
        "give."
    )
    if results.metrics.split == "train":
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

"""The report's tables, as text in cells: no markup, no layout."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.stats import beta

from alexnet.progress import duration
from alexnet.reporting import paper
from alexnet.reporting.results import Results

CONFIDENCE = 0.95
OTHER_DATA = "\N{DAGGER}"
NOTHING = "\N{EM DASH}"
MINUS = "\N{MINUS SIGN}"
SKIPPED_SHOWN = 20

_LAYOUT_NAMES = {"ilsvrc-2010": "ILSVRC-2010", "ilsvrc-2012": "ILSVRC-2012"}


@dataclass(frozen=True)
class Row:
    """Cells of a table; `ours` marks a row of this run, `italic` the best of others."""

    cells: tuple[str, ...]
    ours: bool = False
    italic: bool = False


@dataclass(frozen=True)
class Table:
    """A table whose first column names the rows; `numeric` sets the other columns flush right."""

    kind: ClassVar[str] = "table"

    caption: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    numeric: bool = True
    note: str = ""


@dataclass(frozen=True)
class ErrorRate:
    """An error rate with its interval and the rate of guessing, all as fractions.

    `by_definition` is true where there are too few classes for a prediction to be wrong.
    """

    name: str
    error: float
    low: float
    high: float
    chance: float
    by_definition: bool


def exact_interval(error: float, images: int) -> tuple[float, float]:
    """Return the exact binomial interval (Clopper and Pearson 1934) of an error rate.

    Args:
        error: the fraction of `images` that was wrong; shared credit for ties may make the count
            of wrong images a fraction, which the beta form of the interval allows.
        images: the number of images, at least 1.

    Returns:
        The bounds of the two-sided 95 % interval, as fractions.
    """
    wrong, tail = error * images, (1 - CONFIDENCE) / 2
    low = float(beta.ppf(tail, wrong, images - wrong + 1)) if wrong > 0 else 0.0
    high = float(beta.ppf(1 - tail, wrong + 1, images - wrong)) if wrong < images else 1.0
    return low, high


def error_rates(results: Results) -> tuple[ErrorRate, ...]:
    """Return top-1 and top-5 over ten patches, then top-1 and top-5 over one (Section 4.1)."""
    metrics = results.metrics
    return (
        _error_rate(results, "Top-1 error, ten patches", metrics.top1_error, 1),
        _error_rate(results, "Top-5 error, ten patches", metrics.top5_error, 5),
        _error_rate(results, "Top-1 error, one patch", metrics.top1_error_one_patch, 1),
        _error_rate(results, "Top-5 error, one patch", metrics.top5_error_one_patch, 5),
    )


def _error_rate(results: Results, name: str, error: float, guesses: int) -> ErrorRate:
    low, high = exact_interval(error, results.metrics.images)
    classes = results.data.classes
    chance = max(0.0, 1 - guesses / classes)
    return ErrorRate(name, error, low, high, chance, by_definition=classes <= guesses)


def percent(fraction: float) -> str:
    """Return a fraction as the paper prints error rates: ``37.5%``."""
    return f"{100 * fraction:.1f}%"


def decimal(value: float) -> str:
    """Return a learning rate with four significant digits and no exponent: ``0.00005``."""
    return np.format_float_positional(value, precision=4, unique=False, fractional=False, trim="-")


def printable(text: str) -> str:
    """Return `text` with control and direction-changing characters shown as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def interval(rate: ErrorRate) -> str:
    """Return the interval in words, e.g. ``34.2% to 40.9%``, or why there is none."""
    if rate.by_definition:
        return "zero by definition"
    return f"{percent(rate.low)} to {percent(rate.high)}"


def describe_data(results: Results) -> str:
    """Return what was evaluated, e.g. ``ILSVRC-2012`` or ``a sample laid out as ILSVRC-2012``."""
    name = _LAYOUT_NAMES.get(results.data.layout)
    if name is None:
        return f"pictures laid out as {results.data.layout}"
    return name if results.data.classes == paper.CLASSES else f"a sample laid out as {name}"


def evaluated_split(results: Results) -> str | None:
    """Return the split that was evaluated: as named, else the only one of that many pictures."""
    if results.metrics.split is not None:
        return results.metrics.split
    names = [name for name, split in results.data.splits.items() if split.pictures == results.metrics.images]
    return names[0] if len(names) == 1 else None


def comparable_table(results: Results) -> int | None:
    """Return which table of the paper our error rates may stand in, 1 or 2, or None.

    Both tables are about 1000 classes. Table 2 uses the validation set of ILSVRC-2012, the only
    pictures besides those for training whose labels are public; Table 1 the test set of
    ILSVRC-2010.
    """
    split = evaluated_split(results)
    if results.data.classes != paper.CLASSES or split == "train":
        return None
    if results.data.layout == "ilsvrc-2012":
        return 2
    return 1 if results.data.layout == "ilsvrc-2010" and split == "test" else None


def headline(results: Results) -> Table:
    """Return our error rates with intervals and chance levels."""
    rows = [
        Row((rate.name, percent(rate.error), interval(rate), percent(rate.chance)))
        for rate in error_rates(results)
    ]
    return Table(
        caption=f"Error rates on {results.metrics.images:,} pictures",
        header=("", "Error", "95% interval", "Guessing"),
        rows=tuple(rows),
    )


def table_1(results: Results) -> Table:
    """Return the paper's Table 1 with our rows set in."""
    mark = "" if comparable_table(results) == 1 else f" {OTHER_DATA}"
    metrics = results.metrics
    published = [
        Row((row.model, _printed(row.top1), _printed(row.top5)), italic=row.by_others)
        for row in paper.TABLE_1
    ]
    ours = [
        Row((label + mark, percent(top1), percent(top5)), ours=True)
        for label, top1, top5 in (
            ("This run", metrics.top1_error, metrics.top5_error),
            ("This run, one patch", metrics.top1_error_one_patch, metrics.top5_error_one_patch),
        )
    ]
    return Table(
        caption="The paper's Table 1: ILSVRC-2010 test set",
        header=("Model", "Top-1", "Top-5"),
        rows=(*published, *ours),
        note=_table_note(mark, "One patch: from the paper's text, not its table."),
    )


def table_2(results: Results) -> Table:
    """Return the paper's Table 2 with our row set in."""
    mark = "" if comparable_table(results) == 2 else f" {OTHER_DATA}"
    metrics = results.metrics
    published = [
        Row(
            (row.model, _printed(row.top1_val), _printed(row.top5_val), _printed(row.top5_test)),
            italic=row.by_others,
        )
        for row in paper.TABLE_2
    ]
    ours = Row(
        (f"This run{mark}", percent(metrics.top1_error), percent(metrics.top5_error), NOTHING),
        ours=True,
    )
    return Table(
        caption="The paper's Table 2: ILSVRC-2012",
        header=("Model", "Top-1 (val)", "Top-5 (val)", "Top-5 (test)"),
        rows=(*published, ours),
        note=_table_note(mark, "* pre-trained on the ImageNet 2011 Fall release."),
    )


def _printed(error: float | None) -> str:
    return NOTHING if error is None else f"{error:.1f}%"


def _table_note(mark: str, note: str) -> str:
    if not mark:
        return note
    return f"{note} {OTHER_DATA} on other data than this table's: not comparable."


def differences(results: Results) -> Table:
    """Return what the error rates rest on, in the paper and here (Sections 2 to 6)."""
    data, run = results.data, results.run
    train = data.splits.get("train")
    rows = (
        ("Data set", paper.DATA_SET, describe_data(results)),
        ("Classes", f"{paper.CLASSES:,}", f"{data.classes:,}"),
        ("Training pictures", paper.TRAINING_PICTURES, f"{train.pictures:,}" if train else NOTHING),
        ("Pictures evaluated", paper.EVALUATED_PICTURES, _evaluated(results)),
        ("Recipe", "as printed", run.recipe),
        ("Epochs", paper.EPOCHS, f"{len(results.history):,}"),
        ("Batch size", paper.BATCH_SIZE, f"{run.batch_size:,}"),
        ("Columns", paper.COLUMNS, f"{run.columns}"),
        ("Parameters", paper.PARAMETERS, f"{run.parameters:,}"),
        ("Patches averaged", "ten", "ten"),
        ("Devices", paper.DEVICES, run.devices),
        ("Training time", paper.TRAINING_TIME, duration(run.seconds)),
    )
    return Table(
        caption="What the numbers rest on",
        header=("", "The paper", "This run"),
        rows=tuple(Row(row) for row in rows),
        numeric=False,
    )


def _evaluated(results: Results) -> str:
    split = evaluated_split(results)
    return f"{results.metrics.images:,}" + (f" ({split})" if split else "")


def rgb_components(results: Results) -> Table:
    """Return the principal components of the RGB values beside the authors' (Section 4.1)."""
    pca = results.rgb_pca
    variance = sum(pca.eigenvalues_unit)
    rows = [
        Row(
            (
                f"{number}",
                f"{deviation:.2f}",
                f"{theirs:.2f}",
                percent(eigenvalue / variance if variance else 0.0),
                *(f"{weight:+.3f}".replace("-", MINUS) for weight in vector),
            )
        )
        for number, (deviation, theirs, eigenvalue, vector) in enumerate(
            zip(
                pca.standard_deviations,
                paper.RGB_STANDARD_DEVIATIONS,
                pca.eigenvalues_unit,
                pca.eigenvectors,
                strict=True,
            ),
            start=1,
        )
    ]
    return Table(
        caption=f"Principal components over {pca.images:,} training pictures",
        header=("Component", "This run", "The authors", "Variance", "Red", "Green", "Blue"),
        rows=tuple(rows),
        note="This run, the authors: standard deviations in grey levels, 0 to 255. The sign of a "
        "component is arbitrary.",
    )


def channel_means(results: Results) -> Table:
    """Return the mean image's channel means beside the authors'."""
    return Table(
        caption="Channel means, in grey levels",
        header=("", "Red", "Green", "Blue"),
        rows=(
            Row(
                ("This run", *(f"{mean:.2f}" for mean in results.rgb_pca.channel_means)),
                ours=True,
            ),
            Row(("The authors", *(f"{mean:.2f}" for mean in paper.CHANNEL_MEANS))),
        ),
    )


def pictures(results: Results) -> Table:
    """Return how many pictures each split holds and how many were skipped."""
    return Table(
        caption="Pictures",
        header=("Split", "Pictures", "Skipped"),
        rows=tuple(
            Row((name, f"{split.pictures:,}", f"{split.skipped:,}"))
            for name, split in results.data.splits.items()
        ),
    )


def skipped(results: Results) -> Table:
    """Return the first skipped pictures and why they were skipped."""
    shown = results.skipped[:SKIPPED_SHOWN]
    total = len(results.skipped)
    first = f", the first {len(shown)} of {total:,}" if total > len(shown) else ""
    return Table(
        caption=f"Skipped pictures{first}",
        header=("Split", "Picture", "Reason"),
        rows=tuple(Row((row.split, printable(row.name), printable(row.reason))) for row in shown),
        numeric=False,
    )


def provenance(results: Results) -> Table:
    """Return how the network came to be: seed, code, devices, durations and versions."""
    run, history = results.run, results.history
    rate = statistics.median(epoch.pictures_per_second for epoch in history)
    seconds = sum(epoch.seconds for epoch in history)
    waiting = sum(epoch.data_wait_seconds for epoch in history) / seconds if seconds else 0.0
    rows = (
        ("Recipe", run.recipe),
        ("Seed", f"{run.seed}"),
        ("Git commit", run.git_commit or "not under version control"),
        ("Devices", run.devices),
        ("Precision", run.precision),
        ("Loader", run.loader),
        ("Training time", f"{duration(run.seconds)} for {len(history):,} of {run.epochs:,} epochs"),
        ("Speed", f"{rate:,.0f} pictures/s (median of the epochs)"),
        ("Waiting for data", f"{percent(waiting)} of the epochs' time"),
        ("Parameters", f"{run.parameters:,}"),
        ("Network outputs", f"{run.class_count:,}"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())),
    )
    return Table(
        caption="Training run",
        header=("", "This run"),
        rows=tuple(Row(row) for row in rows),
        numeric=False,
    )


def history(results: Results) -> Table:
    """Return the learning curves in numbers, one row an epoch."""
    return Table(
        caption="Learning curves in numbers",
        header=(
            "Epoch",
            "Rate",
            "Rate, biases",
            "Loss",
            "Error",
            "Val. loss",
            "Val. top-1",
            "Val. top-5",
            "Time",
        ),
        rows=tuple(
            Row(
                (
                    f"{row.epoch}",
                    decimal(row.learning_rate),
                    decimal(row.bias_learning_rate),
                    f"{row.train_loss:.3f}",
                    percent(row.train_error),
                    f"{row.val_loss:.3f}",
                    percent(row.val_top1_error),
                    percent(row.val_top5_error),
                    duration(row.seconds),
                )
            )
            for row in results.history
        ),
    )


def terminal_summary(results: Results) -> str:
    """Return our error rates and the paper's as plain text without a last newline."""
    top1, top5, top1_one_patch, top5_one_patch = error_rates(results)
    table = comparable_table(results)
    verdict = (
        f"The data is that of the paper's Table {table}."
        if table
        else "On other data than the paper's: these error rates cannot be compared with it."
    )
    classes, images = results.data.classes, results.metrics.images
    blocks = (
        (
            f"This run: {images:,} pictures, {classes:,} classes, 95% intervals",
            [
                ("ten patches", _with_interval(top1), _with_interval(top5)),
                ("one patch", _with_interval(top1_one_patch), _with_interval(top5_one_patch)),
                ("guessing", percent(top1.chance), percent(top5.chance)),
            ],
        ),
        (
            "The paper: ILSVRC-2010 test",
            [(row.model, f"{row.top1:.1f}%", f"{row.top5:.1f}%") for row in paper.TABLE_1],
        ),
        (
            "The paper: ILSVRC-2012 validation",
            [
                (row.model, f"{row.top1_val:.1f}%", f"{row.top5_val:.1f}%")
                for row in paper.TABLE_2
                if row.top1_val is not None
            ],
        ),
    )
    heading = _plain_line("Error rates", "top-1", "top-5")
    lines = [
        line
        for title, rows in blocks
        for line in (title, *(_plain_line(f"  {name}", *errors) for name, *errors in rows))
    ]
    return "\n".join([heading, *lines, verdict])


def _with_interval(rate: ErrorRate) -> str:
    return f"{percent(rate.error)} ({interval(rate)})"


def _plain_line(name: str, top1: str, top5: str) -> str:
    return f"{name:<20}{top1:<28}{top5}"

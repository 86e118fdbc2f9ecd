"""Which classes the network gets wrong, and what it takes them for."""

from __future__ import annotations

import numpy as np
import pandas as pd

from alexnet.evaluation.confusion import confusion, most_confused, per_class
from alexnet.report.document import Block, Fold, Picture, Pictures, Row, Section, Table, Text
from alexnet.report.figures import DARK, LIGHT
from alexnet.report.figures.confusion import NAMED, confusion_matrix
from alexnet.report.params import Report
from alexnet.report.results import Results
from alexnet.report.text import NOTHING, percent, printable, short

PAIRS = 20


def section(results: Results, settings: Report) -> Section:
    """Return the confusion matrix, the most confused pairs, and the error of every class."""
    found = results.predictions
    if not found.labelled:
        return Section("classes", "Classes", (Text("Without labels no class has an error rate."),))
    guesses, _ = found.guesses(1)
    matrix = confusion(found.labels, guesses[:, 0], len(found.classes))
    names = [short(words) for _, words in found.classes]
    right = np.trace(matrix) / matrix.sum()
    order = (
        ""
        if len(names) <= NAMED
        else " The classes are ordered so that those taken for one another stand together; some rows "
        "are named, and mistakes are drawn larger than their cells."
    )
    blocks: list[Block] = [
        Pictures(
            (
                Picture(
                    "confusion",
                    confusion_matrix(matrix, names, settings.figure_dpi, LIGHT),
                    f"Confusion matrix of {len(names):,} classes: {percent(float(right))} of "
                    f"{matrix.sum():,} pictures lie on the diagonal.",
                    dark=confusion_matrix(matrix, names, settings.figure_dpi, DARK),
                    least=560,
                ),
            ),
            "What each class was taken for. A row is a true class; the colours follow the square root of its "
            f"shares, so that rare mistakes show.{order}",
        ),
        confused_table(results, matrix),
        Fold("The error rates of every class", class_table(per_class_errors(results))),
    ]
    absent = [words for (_, words), row in zip(found.classes, matrix, strict=True) if not row.any()]
    if absent:
        named = ", ".join(short(words) for words in absent[:10])
        blocks.append(
            Text(
                f"{len(absent):,} of the classes have no picture in this split, so they have no error rate: "
                f"{named}{', …' if len(absent) > 10 else ''}.",
                warning=True,
            )
        )
    return Section("classes", "Classes", tuple(blocks))


def per_class_errors(results: Results) -> pd.DataFrame:
    """Return each class' pictures and error rates, ties counted as in the run's rates."""
    return per_class(results.predictions, results.share_ties)


def confused_table(results: Results, matrix: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Table:
    """Return the pairs of classes that are most often confused."""
    words = [printable(words) for _, words in results.predictions.classes]
    pairs = most_confused(matrix, PAIRS)
    return Table(
        caption="Most confused",
        header=("True class", "Taken for", "Pictures", "Of the class"),
        rows=tuple(
            Row((words[t], words[g], f"{pictures:,}", percent(pictures / matrix[t].sum())))
            for t, g, pictures in pairs
        ),
        names=2,
        note="" if pairs else "No picture's likeliest label was wrong.",
        sortable=True,
    )


def class_table(table: pd.DataFrame) -> Table:
    """Return the error of every class, the worst first."""
    worst_first = table.sort_values(["top1_error", "top5_error"], ascending=False, kind="stable")
    return Table(
        caption="Error rates by class",
        header=("Class", "WNID", "Pictures", "Top-1", "Top-5"),
        rows=tuple(
            Row(
                (
                    printable(row.words),
                    printable(row.wnid),
                    f"{row.images:,}",
                    percent(row.top1_error) if row.images else NOTHING,
                    percent(row.top5_error) if row.images else NOTHING,
                )
            )
            for row in worst_first.itertuples()
        ),
        names=2,
        note="Over ten patches. The same is in per_class.csv.",
        sortable=True,
    )

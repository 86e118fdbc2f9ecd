"""The report: all topics on one page, and the tables beside it."""

from pathlib import Path

import numpy as np
import pandas as pd

from alexnet.core.files import naming_what_cannot_be_written, write_table
from alexnet.report.facts import Facts
from alexnet.report.page import Part, write_page
from alexnet.report.text import short
from alexnet.report.topics import (
    calibration,
    classes,
    curves,
    errors,
    experiments,
    guesses,
    kernels,
    neighbours,
    pictures,
    provenance,
)


def write_report(facts: Facts, folder: Path) -> None:
    """Write all that people open into `folder`.

    ``report.html`` and ``report.md`` with ``figures/``; ``per_class.csv`` with each class' errors; and
    ``confusion.csv``, one row per picture, which DVC draws. The two tables are empty without labels. Equal
    facts give equal bytes.
    """
    with naming_what_cannot_be_written(folder / "figures"):
        for old in (folder / "figures").glob("*.*"):
            if old.is_file():
                old.unlink()
    write_page(folder / "report", facts.settings.title, errors.summary(facts), all_parts(facts), "figures")
    found = facts.predictions
    wrong = pd.DataFrame(columns=["wnid", "words", "images", "top1_error", "top5_error"])
    taken = pd.DataFrame(columns=["actual", "predicted"])
    if found.labelled:
        wrong = found.per_class(facts.share_ties)
        likeliest, _ = found.guesses(1)
        names = np.array([f"{short(words)} ({wnid})" for wnid, words in found.classes])
        taken = pd.DataFrame({"actual": names[found.labels], "predicted": names[likeliest[:, 0]]})
    write_table(folder / "per_class.csv", wrong)
    write_table(folder / "confusion.csv", taken)


def all_parts(facts: Facts) -> list[Part]:
    """Return the parts of the page, topic by topic."""
    results = errors, guesses, classes, calibration, neighbours
    origins = curves, kernels, pictures, experiments, provenance
    return [part for each in (*results, *origins) for part in each.topic(facts)]

"""The report: one `Document`, written as a page and as Markdown, so that they tell one story."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from alexnet.core.files import replacing
from alexnet.evaluation.confusion import per_class
from alexnet.report.document import Document
from alexnet.report.params import Report
from alexnet.report.results import Results
from alexnet.report.sections import (
    calibration,
    classes,
    comparison,
    curves,
    ensemble,
    experiments,
    guesses,
    kernels,
    neighbours,
    provenance,
)
from alexnet.report.sections.opening import headline, notes, summary
from alexnet.report.sections.training_data import colours_section, data_section
from alexnet.report.text import printable, short
from alexnet.report.writing import write_files


def write_report(results: Results, settings: Report, folder: Path) -> None:
    """Write all that people open into `folder`.

    ``report.html`` and ``report.md`` with ``figures/``; ``per_class.csv`` with each class' errors; and
    ``confusion.csv``, a row a picture, which DVC draws. The two tables are empty without labels.
    Equal results and settings give equal bytes.
    """
    for old in (folder / "figures").glob("*.*"):
        old.unlink()
    write_files(compose(results, settings), folder / "report", "figures")
    _write_tables(results, folder)


def compose(results: Results, settings: Report) -> Document:
    """Return the report of `results`."""
    sections = [
        comparison.section(results),
        *([ensemble.section(results, results.ensemble)] if results.ensemble else []),
        guesses.section(results, settings),
        classes.section(results, settings),
        calibration.section(results, settings),
        neighbours.section(results),
        curves.section(results, settings),
        kernels.section(results, settings),
        colours_section(results, settings),
        data_section(results),
        *([experiments.section(results.experiments)] if results.experiments else []),
    ]
    # Last, for it names the pictures that the others could not read.
    sections.append(provenance.section(results))
    return Document(
        title=printable(settings.title),
        summary=summary(results),
        headline=headline(results),
        notes=tuple(notes(results)),
        sections=tuple(sections),
    )


def _write_tables(results: Results, folder: Path) -> None:
    found = results.predictions
    errors = pd.DataFrame(columns=["wnid", "words", "images", "top1_error", "top5_error"])
    taken = pd.DataFrame(columns=["actual", "predicted"])
    if found.labelled:
        errors = per_class(found, results.share_ties)
        guesses, _ = found.guesses(1)
        names = np.array([f"{short(words)} ({wnid})" for wnid, words in found.classes])
        taken = pd.DataFrame({"actual": names[found.labels], "predicted": names[guesses[:, 0]]})
    for name, table in (("per_class", errors), ("confusion", taken)):
        with replacing(folder / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False)

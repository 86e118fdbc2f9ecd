"""The error table as plain text, for the terminal."""

from __future__ import annotations

from alexnet.report.paper import TABLE_1, TABLE_2
from alexnet.report.rates import ErrorRate, comparable_table, error_rates
from alexnet.report.results import Results
from alexnet.report.text import percent


def terminal_summary(results: Results) -> str:
    """Return our error rates and the paper's as plain text without a last newline."""
    rates = error_rates(results)
    if not rates:
        return (
            f"{results.metrics.images:,} pictures of {results.metrics.split} without labels: no error rates."
            " The predictions are in data/predictions."
        )
    top1, top5, top1_one_patch, top5_one_patch = rates
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
                *_ensemble(results),
                ("guessing", percent(top1.chance), percent(top5.chance)),
            ],
        ),
        (
            "The paper: ILSVRC-2010 test",
            [(row.model, f"{row.top1:.1f}%", f"{row.top5:.1f}%") for row in TABLE_1],
        ),
        (
            "The paper: ILSVRC-2012 validation",
            [
                (row.model, f"{row.top1_val:.1f}%", f"{row.top5_val:.1f}%")
                for row in TABLE_2
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


def _ensemble(results: Results) -> list[tuple[str, str, str]]:
    if results.ensemble is None:
        return []
    together = results.ensemble.together
    return [(f"{together.name}, averaged", percent(together.top1_error), percent(together.top5_error))]


def _with_interval(rate: ErrorRate) -> str:
    return f"{percent(rate.error)} ({rate.interval})"


def _plain_line(name: str, top1: str, top5: str) -> str:
    return f"{name:<20}{top1:<28}{top5}"

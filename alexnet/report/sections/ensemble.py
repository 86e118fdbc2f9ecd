"""Several networks averaged (Section 6.1 of the paper)."""

from __future__ import annotations

from alexnet.evaluation.intervals import exact_interval
from alexnet.report.document import Row, Section, Table, Text
from alexnet.report.paper import TABLE_2
from alexnet.report.results import Averaged, Ensemble, Results
from alexnet.report.text import percent, printable


def section(results: Results, ensemble: Ensemble) -> Section:
    """Return the error rates of each network and of their averaged predictions."""
    one, several = (next(row for row in TABLE_2 if row.model == name) for name in ("1 CNN", "5 CNNs"))
    gain = (ensemble.members[0].top1_error - ensemble.together.top1_error) * 100
    return Section(
        "ensemble",
        "Several networks",
        (
            Text(
                f"Averaging the predictions of {len(ensemble.members)} networks, this run's and those that "
                f"report.ensemble names, {'lowers' if gain >= 0 else 'raises'} this run's top-1 error by "
                f"{abs(gain):.1f} points (Section 6.1 of the paper, where five instead of one lower it from "
                f"{one.top1_val}% to {several.top1_val}% and the top-5 error from {one.top5_val}% to "
                f"{several.top5_val}%). Counted from stored predictions; no network was run."
            ),
            _table(results, ensemble),
        ),
    )


def _table(results: Results, ensemble: Ensemble) -> Table:
    images = results.metrics.images
    return Table(
        caption=f"Error rates of each network and of their average, {images:,} pictures",
        header=("", "Top-1", "95% interval", "Top-5", "95% interval", "Top-1, one patch", "Top-5, one patch"),
        rows=(
            *(_row(member, images) for member in ensemble.members),
            _row(ensemble.together, images, ours=True),
        ),
        note="Ten patches but for the last two columns.",
    )


def _row(rates: Averaged, images: int, ours: bool = False) -> Row:
    cells = []
    for error in (rates.top1_error, rates.top5_error):
        low, high = exact_interval(error, images)
        cells += [percent(error), f"{percent(low)} to {percent(high)}"]
    one_patch = percent(rates.top1_error_one_patch), percent(rates.top5_error_one_patch)
    return Row((printable(rates.name), *cells, *one_patch), ours=ours)

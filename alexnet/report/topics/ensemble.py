"""Several networks averaged (Section 6 of the paper)."""

from alexnet.evaluation.intervals import exact_interval
from alexnet.report.facts import Facts
from alexnet.report.markup import table
from alexnet.report.page import Part
from alexnet.report.paper import TABLE_2
from alexnet.report.text import interval, percent, printable


def topic(facts: Facts) -> list[Part]:
    """Return the error rates of each network and of their averaged predictions; nothing without others."""
    if facts.ensemble is None:
        return []
    members, together = facts.ensemble.members, facts.ensemble.together
    one, several = (next(row for row in TABLE_2 if row.model == name) for name in ("1 CNN", "5 CNNs"))
    gain = (next(iter(members.values())).top1 - together.top1) * 100
    pictures, rows = len(facts.predictions), []
    for name, rates in (*members.items(), (facts.ensemble.name, together)):
        bounds1, bounds5 = (interval(exact_interval(rate, pictures)) for rate in (rates.top1, rates.top5))
        by_one_patch = percent(rates.top1_one_patch), percent(rates.top5_one_patch)
        rows.append(
            (printable(name), percent(rates.top1), bounds1, percent(rates.top5), bounds5, *by_one_patch)
        )
    return [
        "## Several networks",
        f"Averaging the predictions of {len(members)} networks, this run's and those that `report.ensemble`"
        f" names, {'lowers' if gain >= 0 else 'raises'} this run's top-1 error by {abs(gain):.1f} points. In"
        f" the paper (Section 6) five networks instead of one lower the top-1 error from {one.top1}% to"
        f" {several.top1}% and the top-5 error from {one.top5}% to {several.top5}%. The rates are"
        " counted from stored predictions; no network was run.",
        table(
            ("", "Top-1", "95% interval", "Top-5", "95% interval", "Top-1, one patch", "Top-5, one patch"),
            rows,
            f"Error rates of each network and of their average, {pictures:,} pictures",
            "All but the last two columns are over ten patches.",
            ours=[len(members)],
        ),
    ]

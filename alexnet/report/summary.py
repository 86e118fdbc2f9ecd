"""The error table as plain text, for the terminal."""

from alexnet.report.facts import Facts
from alexnet.report.paper import TABLE_1, TABLE_2
from alexnet.report.rates import ErrorRate, comparable_table, error_rates
from alexnet.report.text import percent


def terminal_summary(facts: Facts) -> str:
    """Return our error rates and the paper's as plain text without a last newline."""
    rates, images = error_rates(facts), len(facts.predictions)
    if not rates:
        return (
            f"{images:,} pictures of {facts.predictions.split} without labels: no error rates."
            " The predictions are in data/predictions."
        )
    top1, top5, top1_one_patch, top5_one_patch = rates
    ours = [
        ("ten patches", _with_interval(top1), _with_interval(top5)),
        ("one patch", _with_interval(top1_one_patch), _with_interval(top5_one_patch)),
    ]
    if facts.ensemble:
        together = facts.ensemble.together
        ours.append((f"{facts.ensemble.name}, averaged", percent(together.top1), percent(together.top5)))
    early = f"; training ended after {facts.epochs} epochs" if facts.ended_early else ""
    lines = [
        _line("Error rates", "top-1", "top-5"),
        f"This run: {images:,} pictures, {facts.data.classes:,} classes, 95% intervals{early}",
        *(_line(f"  {name}", *errors) for name, *errors in ours),
        _line("  guessing", percent(top1.chance), percent(top5.chance)),
        "The paper: ILSVRC-2010 test",
        *(_line(f"  {row.model}", f"{row.top1:.1f}%", f"{row.top5:.1f}%") for row in TABLE_1),
        "The paper: ILSVRC-2012 validation",
        *(
            _line(f"  {row.model}", f"{row.top1_val:.1f}%", f"{row.top5_val:.1f}%")
            for row in TABLE_2
            if row.top1_val is not None
        ),
    ]
    table = comparable_table(facts)
    verdict = (
        f"The data is that of the paper's Table {table}."
        if table
        else "On other data than the paper's: these error rates cannot be compared with it."
    )
    return "\n".join([*lines, verdict])


def _with_interval(rate: ErrorRate) -> str:
    return f"{percent(rate.error)} ({rate.interval})"


def _line(name: str, top1: str, top5: str) -> str:
    return f"{name:<20}{top1:<28}{top5}"

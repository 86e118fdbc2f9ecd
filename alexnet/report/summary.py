"""The error table as plain text, for the terminal."""

from alexnet.report.facts import Facts
from alexnet.report.paper import TABLE_1, TABLE_2
from alexnet.report.rates import comparable_table, error_rates
from alexnet.report.text import percent


def terminal_summary(facts: Facts) -> str:
    """Return our error rates and the paper's as plain text without a last newline."""
    rates, images = error_rates(facts), len(facts.predictions)
    if not rates:
        return (
            f"{images:,} pictures of {facts.predictions.split} without labels: no error rates."
            " The predictions are in data/predictions."
        )
    early = f"; training ended after {facts.epochs} epochs" if facts.ended_early else ""
    top1, top5, top1_one_patch, top5_one_patch = (
        f"{percent(rate.error)} ({rate.interval})" for rate in rates
    )
    lines = [
        ("Error rates", "top-1", "top-5"),
        (f"This run: {images:,} pictures, {facts.data.classes:,} classes, 95% intervals{early}",),
        ("  ten patches", top1, top5),
        ("  one patch", top1_one_patch, top5_one_patch),
    ]
    if facts.ensemble:
        together = facts.ensemble.together
        averaged = f"  {facts.ensemble.name}, averaged"
        lines.append((averaged, percent(together.top1), percent(together.top5)))
    lines.append(("  guessing", percent(rates[0].chance), percent(rates[1].chance)))
    for name, printed in (("ILSVRC-2010 test", TABLE_1), ("ILSVRC-2012 validation", TABLE_2)):
        lines.append((f"The paper: {name}",))
        lines += [(f"  {row.model}", f"{row.top1}%", f"{row.top5}%") for row in printed if row.top1]
    number = comparable_table(facts)
    verdict = (
        f"The data is that of the paper's Table {number}."
        if number
        else "On other data than the paper's: these error rates cannot be compared with it."
    )
    return "\n".join([*map(_line, lines), verdict])


def _line(cells: tuple[str, ...]) -> str:
    name, *errors = cells
    return f"{name:<20}{errors[0]:<28}{errors[1]}" if errors else name

"""Our error rates, what they may be compared with, and both as plain text for the terminal."""

from dataclasses import dataclass

import numpy as np

from alexnet.evaluation.intervals import exact_interval
from alexnet.evaluation.predictions import KINDS
from alexnet.report import paper
from alexnet.report.facts import Facts
from alexnet.report.text import interval, percent

LAYOUT_NAMES = {
    "ilsvrc-2010": "ILSVRC-2010",
    "ilsvrc-2012": "ILSVRC-2012",
    "kaggle": "ILSVRC-2012 (Kaggle)",
    "cifar-10": "CIFAR-10",
}


@dataclass(frozen=True)
class ErrorRate:
    """An error rate with its 95 % interval and the error rate of guessing, all as fractions.

    Guessing is to name the most frequent classes of the split for every picture.
    `by_definition` is true if there are too few classes for a prediction to be wrong.
    """

    name: str
    error: float
    bounds: tuple[float, float]
    chance: float
    by_definition: bool

    @property
    def interval(self) -> str:
        """The interval in words, e.g. ``34.2% to 40.9%``, or why there is none."""
        return "zero by definition" if self.by_definition else interval(self.bounds)


def error_rates(facts: Facts) -> list[ErrorRate]:
    """Return top-1 and top-5 over ten patches, then over one (Section 4.1); none without labels."""
    if facts.rates is None:
        return []
    classes, found = facts.data.classes, []
    shares = sorted(np.bincount(facts.predictions.labels) / len(facts.predictions), reverse=True)
    for kind, (k, of) in KINDS.items():
        error, patches = facts.rates[kind], "ten patches" if of == "ten" else "one patch"
        bounds = exact_interval(error, len(facts.predictions))
        chance = max(0.0, 1 - float(sum(shares[:k])))
        found.append(ErrorRate(f"Top-{k} error, {patches}", error, bounds, chance, classes <= k))
    return found


def describe_data(facts: Facts) -> str:
    """Return what was evaluated, e.g. ``ILSVRC-2012`` or ``a sample laid out as ILSVRC-2012``."""
    name = LAYOUT_NAMES.get(facts.data.layout)
    if name is None:
        return f"pictures laid out as {facts.data.layout}"
    whole = not name.startswith("ILSVRC") or facts.data.classes == paper.CLASSES
    return name if whole else f"a sample laid out as {name}"


def comparable_table(facts: Facts) -> int | None:
    """Return which table of the paper our error rates may stand in, 1 or 2, or None.

    Both tables are about 1000 classes. Table 2 uses the validation set of ILSVRC-2012, the only pictures
    besides those for training whose labels are public; Table 1 the test set of ILSVRC-2010. A part of
    either is another set.
    """
    split = facts.predictions.split
    number, pictures = paper.EVALUATED.get((facts.data.layout, split), (None, 0))
    stored = facts.data.splits.get(split)
    if facts.rates is None or facts.data.classes != paper.CLASSES or stored is None:
        return None
    return number if stored.pictures + stored.skipped == pictures else None


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
        ("  guessing", percent(rates[0].chance), percent(rates[1].chance)),
    ]
    for name, printed in (("ILSVRC-2010 test", paper.TABLE_1), ("ILSVRC-2012 validation", paper.TABLE_2)):
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

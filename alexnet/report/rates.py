"""Our error rates, and what they may be compared with."""

from __future__ import annotations

from dataclasses import dataclass

from alexnet.evaluation.intervals import exact_interval
from alexnet.report import paper
from alexnet.report.results import Results
from alexnet.report.text import percent

_LAYOUT_NAMES = {
    "ilsvrc-2010": "ILSVRC-2010",
    "ilsvrc-2012": "ILSVRC-2012",
    "kaggle": "ILSVRC-2012 (Kaggle)",
    "cifar-10": "CIFAR-10",
}
_ILSVRC_2012 = ("ilsvrc-2012", "kaggle")


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

    @property
    def interval(self) -> str:
        """The interval in words, e.g. ``34.2% to 40.9%``, or why there is none."""
        if self.by_definition:
            return "zero by definition"
        return f"{percent(self.low)} to {percent(self.high)}"


def error_rates(results: Results) -> tuple[ErrorRate, ...]:
    """Return top-1 and top-5 over ten patches, then top-1 and top-5 over one (Section 4.1).

    Of a split without labels there are none.
    """
    errors = results.metrics.errors
    if errors is None:
        return ()
    return (
        _error_rate(results, "Top-1 error, ten patches", errors.top1_error, 1),
        _error_rate(results, "Top-5 error, ten patches", errors.top5_error, 5),
        _error_rate(results, "Top-1 error, one patch", errors.top1_error_one_patch, 1),
        _error_rate(results, "Top-5 error, one patch", errors.top5_error_one_patch, 5),
    )


def _error_rate(results: Results, name: str, error: float, guesses: int) -> ErrorRate:
    low, high = exact_interval(error, results.metrics.images)
    classes = results.data.classes
    chance = max(0.0, 1 - guesses / classes)
    return ErrorRate(name, error, low, high, chance, by_definition=classes <= guesses)


def describe_data(results: Results) -> str:
    """Return what was evaluated, e.g. ``ILSVRC-2012`` or ``a sample laid out as ILSVRC-2012``."""
    name = _LAYOUT_NAMES.get(results.data.layout)
    if name is None:
        return f"pictures laid out as {results.data.layout}"
    if not name.startswith("ILSVRC"):
        return name
    return name if results.data.classes == paper.CLASSES else f"a sample laid out as {name}"


def comparable_table(results: Results) -> int | None:
    """Return which table of the paper our error rates may stand in, 1 or 2, or None.

    Both tables are about 1000 classes. Table 2 uses the validation set of ILSVRC-2012, the only
    pictures besides those for training whose labels are public; Table 1 the test set of
    ILSVRC-2010. A part of either is another set.
    """
    layout, split = results.data.layout, results.metrics.split
    if results.data.classes != paper.CLASSES or results.metrics.errors is None:
        return None
    stored = results.data.splits.get(split)
    whole = stored is not None and stored.pictures + stored.skipped == paper.SPLIT_SIZES.get((layout, split))
    if not whole:
        return None
    if layout in _ILSVRC_2012:
        return 2
    return 1 if layout == "ilsvrc-2010" and split == "test" else None

"""Whether the network is as often right as it says: the reliability diagram."""

import numpy as np
from matplotlib.ticker import PercentFormatter

from alexnet.evaluation.calibration import BINS, Reliability, reliability
from alexnet.evaluation.intervals import exact_interval
from alexnet.report.canvas import Theme, canvas, drawn
from alexnet.report.facts import Facts
from alexnet.report.page import Part
from alexnet.report.text import percent


def topic(facts: Facts) -> list[Part]:
    """Return the reliability diagram and its expected calibration error."""
    found = facts.predictions
    if not found.labelled:
        return ["## Calibration", "Without labels there is no calibration."]
    guesses, shares = found.guesses(1)
    right = guesses[:, 0] == found.labels
    measured = reliability(shares[:, 0], right)
    sure, correct = float(shares.mean()), float(right.mean())
    low, high = exact_interval(correct, len(right))
    way = "surer than it is right" if sure > high else "right more often than it is sure"
    if low <= sure <= high:
        way = "as sure as it is right, as far as so many pictures can tell"
    return [
        "## Calibration",
        f"The likeliest label has a probability of {percent(sure)} on average and is right for"
        f" {percent(correct)} of the pictures: on the whole the network is {way}. The expected calibration"
        f" error is {percent(measured.error)}: how far the two lie apart within a bin, averaged over the"
        f" pictures ({BINS} bins of equal width; Guo et al. 2017).",
        drawn(
            "reliability",
            lambda theme: reliability_diagram(measured, facts.settings.figure_dpi, theme),
            f"Reliability diagram in {BINS} bins; expected calibration error {percent(measured.error)}.",
            "How often the likeliest label is right, by its probability, and how many pictures that is. Bars"
            " below the line: surer than right.",
            width=520,
        ),
    ]


def reliability_diagram(found: Reliability, dpi: int, theme: Theme) -> bytes:
    """Draw how often the network was right by how sure it was, above how many pictures that is."""
    bins = len(found.pictures)
    edges = np.linspace(0, 1, bins + 1)
    middle, wide = (edges[1:] + edges[:-1]) / 2, 0.9 / bins
    filled = found.pictures > 0
    with canvas(theme, dpi, 4.4, 4.0) as (figure, png):
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        for axes in (above, below):
            axes.set_facecolor("none")
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        above.plot([0, 1], [0, 1], color=theme.train, linestyle=":", linewidth=1.2, label="as sure as right")
        above.bar(middle[filled], found.accuracy[filled], wide, color=theme.top1, label="right")
        # From what was right up or down to what was said.
        gap, right = (found.confidence - found.accuracy)[filled], found.accuracy[filled]
        look = {"facecolor": "none", "edgecolor": theme.top5, "linewidth": 1, "hatch": "////"}
        above.bar(middle[filled], gap, wide, right, label="gap to what it said", **look)
        above.set_ylabel("right")
        above.set_ylim(0, 1)
        below.bar(middle, found.pictures / found.pictures.sum(), wide, color=theme.train)
        below.set_ylabel("pictures")
        below.set_xlabel("probability of the likeliest label")
        below.set_xlim(0, 1)
        below.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        figure.legend(loc="outside upper left", ncols=3, columnspacing=1, handlelength=1.6, handletextpad=0.5)
    return png.getvalue()

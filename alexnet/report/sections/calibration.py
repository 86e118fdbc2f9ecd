"""Whether the network is as often right as it says."""

from __future__ import annotations

from alexnet.evaluation.calibration import BINS, reliability
from alexnet.report.document import Picture, Pictures, Section, Text
from alexnet.report.figures import DARK, LIGHT
from alexnet.report.figures.calibration import reliability_diagram
from alexnet.report.params import Report
from alexnet.report.results import Results
from alexnet.report.text import percent


def section(results: Results, settings: Report) -> Section:
    """Return the reliability diagram and its expected calibration error."""
    found = results.predictions
    if not found.labelled:
        return Section("calibration", "Calibration", (Text("Without labels there is no calibration."),))
    guesses, shares = found.guesses(1)
    right = guesses[:, 0] == found.labels
    measured = reliability(shares[:, 0], right)
    sure = float(shares.mean())
    way = "surer than it is right" if sure > right.mean() else "more often right than it is sure"
    return Section(
        "calibration",
        "Calibration",
        (
            Text(
                f"The likeliest label has a probability of {percent(sure)} on average and is right for "
                f"{percent(float(right.mean()))} of the pictures: on the whole the network is {way}. "
                f"The expected calibration error is {percent(measured.error)}: how far the two lie apart "
                f"within a bin, averaged over the pictures ({BINS} bins of equal width; Guo et al. 2017)."
            ),
            Pictures(
                (
                    Picture(
                        "reliability",
                        reliability_diagram(measured, settings.figure_dpi, LIGHT),
                        f"Reliability diagram in {BINS} bins; expected calibration error "
                        f"{percent(measured.error)}.",
                        dark=reliability_diagram(measured, settings.figure_dpi, DARK),
                        width=520,
                    ),
                ),
                "How often the likeliest label is right, by its probability, and how many pictures that is. "
                "Bars below the line: surer than right.",
            ),
        ),
    )

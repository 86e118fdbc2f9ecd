"""Figure 3 of the paper: what the first layer looks for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alexnet.report.document import Picture, Pictures, Row, Section, Table, Text
from alexnet.report.figures import DARK, LIGHT
from alexnet.report.figures.kernels import colour_specificity, kernels, specificity
from alexnet.report.params import Report
from alexnet.report.results import Results
from alexnet.report.text import percent

# Of weights drawn alike for three channels: two of three dimensions are colour.
RANDOM = 2 / 3


def section(results: Results, settings: Report) -> Section:
    """Return the kernels of conv1, column 1 above column 2, and how colourful each column is."""
    count, _, height, width = results.kernels.shape
    columns = results.run.columns
    shares = [colour_specificity(column) for column in np.split(results.kernels, columns)]
    table = specificity_table(shares)
    order = "column 1 above, column 2 below" if columns == 2 else "all of one column"
    return Section(
        "kernels",
        "First-layer kernels",
        (
            Pictures(
                (
                    Picture(
                        "kernels",
                        kernels(results.kernels, columns, settings.kernel_pixels),
                        f"The {count} kernels of the first convolution, drawn as small colour pictures.",
                    ),
                ),
                f"The {count} kernels of conv1, {height} by {width} by 3 weights each, set as in "
                f"the paper's Figure 3: {order}. Each is scaled by its own largest weight; zero is "
                "grey.",
            ),
            Text(_finding(shares)),
            Pictures(
                (
                    Picture(
                        "specificity",
                        specificity(shares, settings.figure_dpi, LIGHT),
                        "Every kernel's share of colour, a row a column. "
                        + " ".join(f"{row.cells[0]}: median {row.cells[2]}." for row in table.rows),
                        dark=specificity(shares, settings.figure_dpi, DARK),
                        least=480,
                    ),
                ),
                "Each stroke is a kernel. Where random weights stand, no preference has been learnt.",
            ),
            table,
        ),
    )


def _finding(shares: list[NDArray[np.float64]]) -> str:
    measured = (
        "The colour-specificity of a kernel is the share of its energy that no grey picture could excite: "
        "0 for a kernel that sees light and dark alone, 1 for opposed colours alone, 2/3 for random weights."
    )
    if len(shares) < 2:
        return measured
    medians = [float(np.nanmedian(column)) if np.isfinite(column).any() else np.nan for column in shares]
    return (
        f"{measured} In the paper one column turned out colour-agnostic and the other colour-specific, and "
        "which is which changed from run to run. Here the medians of the two columns are "
        f"{percent(medians[0])} and {percent(medians[1])}."
    )


def specificity_table(shares: list[NDArray[np.float64]]) -> Table:
    """Return how colourful the kernels of each column are."""
    rows = []
    for number, column in enumerate(shares, 1):
        known = column[np.isfinite(column)]
        spread = (
            [percent(value) for value in (np.median(known), known.min(), known.max())] if len(known) else []
        )
        rows.append(
            Row(
                (
                    f"Column {number}",
                    f"{len(column)}",
                    *(spread or 3 * [percent(np.nan)]),
                    f"{int((known < RANDOM / 2).sum())}",
                    f"{int((known > RANDOM).sum())}",
                )
            )
        )
    return Table(
        caption="Share of colour in the kernels' energy",
        header=("", "Kernels", "Median", "Least", "Most", "Below 1/3", "Above 2/3"),
        rows=tuple(rows),
    )

"""Figure 3 of the paper: the kernels of conv1, and how colourful each is."""

import io
import math
from typing import Any

import numpy as np
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray
from PIL import Image
from scipy.special import betaincinv

from alexnet.report.canvas import Theme, drawn, one_axes
from alexnet.report.facts import Facts
from alexnet.report.markup import table
from alexnet.report.page import Figure, Part
from alexnet.report.text import interval, percent

KERNELS_PER_ROW = 16
# In units of one weight: between kernels, and between the two columns.
KERNEL_GAP, COLUMN_GAP = 1, 4
# The share of weights with one distribution for all three channels: two of three dimensions are colour.
RANDOM = 2 / 3

Shares = list[NDArray[np.float64]]


def topic(facts: Facts) -> list[Part]:
    """Return the kernels of conv1, column 1 above column 2, and how colourful each column is."""
    count, _, height, width = facts.kernels.shape
    columns = facts.run.columns
    shares = [colour_specificity(column) for column in np.split(facts.kernels, columns)]
    order = "column 1 above, column 2 below" if columns == 2 else "all of one column"
    medians = [percent(_spread(column)[0]) for column in shares]
    said = " ".join(f"Column {number}: median {median}." for number, median in enumerate(medians, 1))
    return [
        "## First-layer kernels",
        Figure(
            "kernels",
            kernels(facts.kernels, columns, facts.settings.kernel_pixels),
            f"The {count} kernels of the first convolution, drawn as small colour pictures.",
            caption=f"The {count} kernels of conv1, {height} by {width} by 3 weights each, arranged as in the"
            f" paper's Figure 3: {order}. Each is scaled by its own largest weight; zero is grey.",
        ),
        _finding(medians),
        drawn(
            "specificity",
            lambda theme: specificity(shares, (height, width), facts.settings.figure_dpi, theme),
            f"Every kernel's share of colour, one row per column. {said}",
            "Each stroke is a kernel. The band holds 95% of random kernels.",
            least=480,
        ),
        specificity_table(shares, (height, width)),
    ]


def _finding(medians: list[str]) -> str:
    measured = (
        "The colour-specificity of a kernel is the share of its energy that no grey picture could excite: 0"
        " for a kernel that sees only light and dark, 1 for one of opposed colours only, 2/3 for random"
        " weights."
    )
    if len(medians) < 2:
        return measured
    return (
        f"{measured} In the paper one column became colour-agnostic and the other colour-specific, and which"
        " of them did changed from run to run. Here the medians of the two columns are"
        f" {' and '.join(medians)}."
    )


def _spread(column: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the median, the least and the most of a column's shares."""
    known = column[np.isfinite(column)]
    return (np.median(known), known.min(), known.max()) if len(known) else 3 * (np.nan,)


def random_range(size: tuple[int, int]) -> tuple[float, float]:
    """Return between which shares 95 % of kernels of this height and width lie if all weights are random."""
    # Of Gaussian weights, a third of the squares' degrees of freedom are grey.
    grey = math.prod(size) / 2
    low, high = betaincinv(2 * grey, grey, [0.025, 0.975])
    return float(low), float(high)


def specificity_table(shares: Shares, size: tuple[int, int]) -> str:
    """Return how colourful the kernels of each column are."""
    rows = []
    for number, column in enumerate(shares, 1):
        extremes = (column < RANDOM / 2).sum(), (column > RANDOM).sum()
        rows.append(
            (f"Column {number}", f"{len(column)}", *map(percent, _spread(column)), *map(str, extremes))
        )
    return table(
        ("", "Kernels", "Median", "Least", "Most", "Below 1/3", "Above 2/3"),
        rows,
        "Share of colour in the kernels' energy",
        "Of random kernels of this size, half lie above 2/3, and 95% in the range"
        f" {interval(random_range(size))}.",
    )


def kernels(weights: NDArray[np.float32], columns: int, pixels: int) -> bytes:
    """Draw the kernels of conv1 as Figure 3 of the paper: column 1 above column 2, 16 in a row.

    Each kernel is scaled by its own largest weight, with zero as mid-grey, so that its colours keep
    their meaning. The gaps are transparent.

    Args:
        weights: (kernels, 3, height, width); the first kernels are column 1's.
        pixels: side of one weight in pixels of the figure.
    """
    blocks = [_tile(_as_colours(column)) for column in np.split(weights, columns)]
    gap = np.zeros((COLUMN_GAP, blocks[0].shape[1], 4), np.uint8)
    stacked = [part for block in blocks for part in (gap, block)][1:]
    picture = np.concatenate(stacked).repeat(pixels, axis=0).repeat(pixels, axis=1)
    png = io.BytesIO()
    Image.fromarray(picture).save(png, format="PNG")
    return png.getvalue()


def colour_specificity(weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the share of each kernel's energy that no grey picture could excite, (kernels,).

    At each place a kernel's three weights split into their mean, which answers to grey, and the rest,
    which answers to colour; the share is the sum of squares of the rest over that of the whole. A
    grey kernel has 0, weights with one distribution for all channels have 2/3, opposed colours alone have 1;
    a kernel of zeros has NaN. `weights` are (kernels, 3, height, width).
    """
    energy = weights.astype(np.float64) ** 2
    grey = 3 * weights.astype(np.float64).mean(1) ** 2
    whole = energy.sum((1, 2, 3))
    with np.errstate(invalid="ignore"):
        return np.asarray(1 - grey.sum((1, 2)) / whole)


def specificity(shares: Shares, size: tuple[int, int], dpi: int, theme: Theme) -> bytes:
    """Draw each column's kernels by their colour-specificity, one row of strokes per column."""
    with one_axes(theme, dpi, 6.6, 0.75 + 0.45 * len(shares)) as (axes, png):
        low, high = random_range(size)
        axes.axvspan(low, high, color=theme.faint, alpha=0.5, linewidth=0, zorder=0)
        look: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8, "color": theme.train}
        axes.annotate("random weights", (low, 1), (0, 1), ("data", "axes fraction"), **look)
        for number, column in enumerate(shares, 1):
            colour = theme.top1 if number == 1 else theme.top5
            known = column[np.isfinite(column)]
            axes.scatter(known, np.full(len(known), number), s=90, marker="|", color=colour, linewidths=1.4)
            if len(known):
                axes.scatter(np.median(known), number, s=46, color=colour, zorder=3)
        axes.set_xlim(-0.02, 1.02)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_ylim(len(shares) + 0.5, 0.5)
        axes.set_yticks(range(1, len(shares) + 1), [f"column {n}" for n in range(1, len(shares) + 1)])
        axes.set_xlabel("share of colour in a kernel's energy (dot: the column's median)")
        axes.spines["left"].set_visible(False)
        axes.tick_params("y", length=0)
    return png.getvalue()


def _as_colours(weights: NDArray[np.float32]) -> NDArray[np.uint8]:
    finite = np.nan_to_num(weights.astype(np.float64), posinf=0, neginf=0)
    largest = np.abs(finite).max(axis=(1, 2, 3), keepdims=True)
    scaled = finite / np.where(largest > 0, largest, 1)
    colours = np.rint(127.5 + 127.5 * scaled).astype(np.uint8).transpose(0, 2, 3, 1)
    return np.pad(colours, [(0, 0), (0, 0), (0, 0), (0, 1)], constant_values=255)


def _tile(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay pictures of shape (n, height, width, 4) in rows with transparent gaps between them."""
    across = min(KERNELS_PER_ROW, len(pictures))
    gaps = [(0, -len(pictures) % across), (0, KERNEL_GAP), (0, KERNEL_GAP), (0, 0)]
    padded = np.pad(pictures, gaps)
    rows = [np.concatenate(row, 1) for row in np.split(padded, len(padded) // across)]
    return np.concatenate(rows)[:-KERNEL_GAP, :-KERNEL_GAP]

"""The confusion matrix, readable at ten classes and at a thousand."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from alexnet.report.figures import DARK, LIGHT, Dress, canvas

# Up to so many classes every row is named, and up to so many every cell has its number.
NAMED = 40
NUMBERED = 20
# With more classes, so many rows in all are named.
MARKED = 28
# What nothing is drawn as; the page's own colours.
GROUND = {LIGHT: "#ffffff", DARK: "#15171b"}


def confusion_matrix(matrix: NDArray[np.int64], names: list[str], dpi: int, dress: Dress = LIGHT) -> bytes:
    """Draw each true class' row: the shares of its pictures that were taken for each class.

    The scale of colours is the square root, so that rare mistakes show. Beyond `NAMED` classes the
    rows are ordered by `by_likeness` and some of them named, and a mistake is drawn larger than its
    cell, which would be less than a pixel.

    Args:
        matrix: counts, (classes, classes), a true class a row.
        names: of the classes, short.
        dpi: pixels per inch; the figure is 7.4 inches wide.
    """
    count = len(matrix)
    order = np.arange(count) if count <= NAMED else by_likeness(matrix)
    with np.errstate(invalid="ignore"):
        shares = np.nan_to_num(matrix / matrix.sum(1, keepdims=True))[np.ix_(order, order)]
    labels = [names[place] for place in order]
    colours = LinearSegmentedColormap.from_list("shares", _stops(dress))
    with canvas(dress, dpi, 7.4, 6.3) as (figure, png):
        axes = figure.add_subplot(facecolor="none")
        shown = shares if count <= NAMED else _thickened(shares, max(1, count // 250))
        image = axes.imshow(np.sqrt(shown), cmap=colours, vmin=0, vmax=1, interpolation="nearest")
        _name_rows(axes, labels)
        if count <= NUMBERED:
            _number_cells(axes, matrix, shares, dress)
        axes.set_xlabel("taken for")
        axes.set_ylabel("true class")
        bar = figure.colorbar(
            image, ax=axes, shrink=0.6, ticks=np.sqrt([0, 0.01, 0.1, 0.25, 0.5, 1]), pad=0.01
        )
        bar.ax.yaxis.set_major_formatter(lambda root, _: f"{root**2:.0%}")
        bar.outline.set_visible(False)
        bar.set_label("of the true class' pictures")
    return png.getvalue()


def _stops(dress: Dress) -> list[tuple[float, str]]:
    # One picture of fifty is to be seen at once, hence the early step away from the ground.
    return [(0.0, GROUND[dress]), (0.12, dress.tint), (0.5, dress.middle), (1.0, dress.top1)]


def by_likeness(matrix: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return an order of the classes in which those that are taken for one another stand together.

    The leaves of average linkage, the distance of two classes being 1 less the mean share of their
    pictures that were taken for the other.
    """
    with np.errstate(invalid="ignore"):
        shares = np.nan_to_num(matrix / matrix.sum(1, keepdims=True))
    distance = 1 - (shares + shares.T) / 2
    np.fill_diagonal(distance, 0)
    return np.asarray(leaves_list(linkage(squareform(distance, checks=False), "average")), np.int64)


def _thickened(shares: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Let each cell show the largest share within `reach` of it."""
    padded = np.pad(shares, reach)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(windows.max((2, 3)))


def _name_rows(axes: Axes, labels: list[str]) -> None:
    count = len(labels)
    places = range(count) if count <= NAMED else np.linspace(0, count - 1, MARKED).round().astype(int)
    names = [labels[place] for place in places]
    size = 8.5 if count <= NUMBERED else 7
    axes.set_yticks(list(places), names, fontsize=size)
    if count <= NAMED:
        axes.set_xticks(list(places), names, fontsize=size, rotation=45, ha="right", rotation_mode="anchor")
    else:
        axes.set_xticks([])
    axes.tick_params(length=0 if count <= NAMED else 2)
    axes.spines[:].set_visible(count > NAMED)


def _number_cells(axes: Axes, matrix: NDArray[np.int64], shares: NDArray[np.float64], dress: Dress) -> None:
    for row, column in zip(*np.nonzero(matrix), strict=True):
        strong = shares[row, column] > 0.45
        axes.text(
            column,
            row,
            f"{matrix[row, column]}",
            ha="center",
            va="center",
            fontsize=8,
            color=GROUND[dress] if strong else dress.ink,
        )

"""Which classes the network gets wrong, and what it takes them for."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.ndimage import maximum_filter
from scipy.spatial.distance import squareform

from alexnet.evaluation.predictions import Predictions
from alexnet.report.canvas import Theme, canvas, drawn
from alexnet.report.facts import Facts
from alexnet.report.markup import fold, table, warning
from alexnet.report.page import Part
from alexnet.report.text import percent, short

PAIRS = 20
# Up to this many classes every row is named, and up to this many every cell has its number.
NAMED = 40
NUMBERED = 20
# With more classes, this many rows in all are named.
MARKED = 28


def topic(facts: Facts) -> list[Part]:
    """Return the confusion matrix, the most confused pairs, and the error of every class."""
    found = facts.predictions
    if not found.labelled:
        return ["## Classes", "Without labels no class has an error rate."]
    matrix = confusion(found)
    names = [short(words) for _, words in found.classes]
    order = (
        ""
        if len(names) <= NAMED
        else " Classes that are taken for one another stand next to each other; some of the rows are named,"
        " and mistakes are drawn larger than their cells."
    )
    parts: list[Part] = [
        "## Classes",
        drawn(
            "confusion",
            lambda theme: confusion_matrix(matrix, names, facts.settings.figure_dpi, theme),
            f"Confusion matrix of {len(names):,} classes: {percent(np.trace(matrix) / matrix.sum())} of"
            f" {matrix.sum():,} pictures lie on the diagonal.",
            "What each class was taken for. A row is a true class; the colours follow the square root of its"
            f" shares, so that rare mistakes show.{order}",
            least=560,
        ),
        _confused_table(matrix, found.classes),
        fold("The error rates of every class", class_table(found.per_class(facts.share_ties))),
    ]
    absent = [name for name, row in zip(names, matrix, strict=True) if not row.any()]
    if absent:
        parts.append(
            warning(
                f"{len(absent):,} of the classes have no picture in this split, so they have no error rate:"
                f" {', '.join(absent[:10])}{', …' if len(absent) > 10 else ''}."
            )
        )
    return parts


def confusion(found: Predictions) -> NDArray[np.int64]:
    """Count pictures by true class (row) and likeliest label (column), (classes, classes)."""
    (guesses, _), count = found.guesses(1), len(found.classes)
    return np.bincount(found.labels * count + guesses[:, 0], minlength=count**2).reshape(count, count)


def most_confused(matrix: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return at most `PAIRS` of true and likeliest label, the most often confused first; equals in order."""
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    return [divmod(place, len(matrix)) for place in order.tolist() if wrong.flat[place]]


def _confused_table(matrix: NDArray[np.int64], classes: Sequence[tuple[str, str]]) -> str:
    rows = []
    for true, guess in most_confused(matrix):
        words, pictures = [classes[label][1] for label in (true, guess)], matrix[true, guess]
        rows.append((*words, f"{pictures:,}", percent(pictures / matrix[true].sum())))
    return table(
        ("True class", "Taken for", "Pictures", "Of the class"),
        rows,
        "Most confused",
        "" if rows else "No picture's likeliest label was wrong.",
        names=2,
        sortable=True,
    )


def class_table(errors: pd.DataFrame) -> str:
    """Return the error of every class, the worst first; `errors` as `per_class` returns them."""
    worst_first = errors.sort_values(["top1_error", "top5_error"], ascending=False, kind="stable")
    return table(
        ("Class", "WNID", "Pictures", "Top-1", "Top-5"),
        [
            (words, wnid, f"{images:,}", percent(top1), percent(top5))
            for wnid, words, images, top1, top5 in worst_first.itertuples(index=False)
        ],
        "Error rates by class",
        "Over ten patches. per_class.csv holds the same.",
        names=2,
        sortable=True,
    )


def confusion_matrix(matrix: NDArray[np.int64], names: list[str], dpi: int, theme: Theme) -> bytes:
    """Draw each true class' row of `matrix`: the shares of its pictures that were taken for each class.

    The scale of colours is the square root, so that rare mistakes show. Beyond `NAMED` classes the
    rows are ordered by `by_likeness` and some of them named, and a mistake is drawn larger than its
    cell, which would be less than a pixel.
    """
    count = len(matrix)
    order = np.arange(count) if count <= NAMED else by_likeness(matrix)
    shares = _shares(matrix)[np.ix_(order, order)]
    # One picture of fifty is to be seen at once, hence the early step away from the ground.
    stops = [(0.0, theme.paper), (0.12, theme.tint), (0.5, theme.middle), (1.0, theme.top1)]
    colours = LinearSegmentedColormap.from_list("shares", stops)
    with canvas(theme, dpi, 7.4, 6.3) as (figure, png):
        axes = figure.add_subplot(facecolor="none")
        if count > NAMED:
            shares = maximum_filter(shares, 2 * max(1, count // 250) + 1, mode="constant")
        image = axes.imshow(np.sqrt(shares), cmap=colours, vmin=0, vmax=1, interpolation="nearest")
        _name_rows(axes, [names[place] for place in order])
        if count <= NUMBERED:
            for row, column in zip(*np.nonzero(matrix), strict=True):
                colour = theme.paper if shares[row, column] > 0.45 else theme.ink
                said = f"{matrix[row, column]}"
                axes.text(column, row, said, ha="center", va="center", fontsize=8, color=colour)
        axes.set_xlabel("taken for")
        axes.set_ylabel("true class")
        ticks = np.sqrt([0, 0.01, 0.1, 0.25, 0.5, 1])
        bar = figure.colorbar(image, ax=axes, shrink=0.6, ticks=ticks, pad=0.01)
        bar.ax.yaxis.set_major_formatter(lambda root, _: f"{root**2:.0%}")
        bar.outline.set_visible(False)
        bar.set_label("of the true class' pictures")
    return png.getvalue()


def by_likeness(matrix: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return an order of the classes in which those that are taken for one another stand together.

    The leaves of average linkage, the distance of two classes being 1 less the mean share of their
    pictures that were taken for the other.
    """
    shares = _shares(matrix)
    distance = 1 - (shares + shares.T) / 2
    np.fill_diagonal(distance, 0)
    return np.asarray(leaves_list(linkage(squareform(distance, checks=False), "average")), np.int64)


def _shares(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each true class' shares; 0 where it has no picture."""
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(matrix / matrix.sum(1, keepdims=True))


def _name_rows(axes: Axes, labels: list[str]) -> None:
    count = len(labels)
    places = np.linspace(0, count - 1, count if count <= NAMED else MARKED).round().astype(int)
    names = [labels[place] for place in places]
    size = 8.5 if count <= NUMBERED else 7
    axes.set_yticks(places, names, fontsize=size)
    axes.set_xticks([])
    if count <= NAMED:
        axes.set_xticks(places, names, fontsize=size, rotation=45, ha="right", rotation_mode="anchor")
    axes.tick_params(length=0 if count <= NAMED else 2)
    axes.spines[:].set_visible(count > NAMED)

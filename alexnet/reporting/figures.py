"""The report's figures as PNG bytes; equal input gives equal bytes, for DVC hashes them.

The curves come in a light dress and a dark one. The kernels are plain pixels without text and need
one only.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray
from PIL import Image

from alexnet.reporting.results import Epoch, RgbPca
from alexnet.reporting.tables import decimal

KERNELS_PER_ROW = 16
# Gaps in units of one weight: between kernels, and between the two columns.
KERNEL_GAP = 1
COLUMN_GAP = 4

# A component is drawn this many standard deviations to either side of the mean colour.
DEVIATIONS_SHOWN = 2


@dataclass(frozen=True)
class Dress:
    """Colours of a figure; `paper` is its background."""

    paper: str
    ink: str
    faint: str
    train: str
    top1: str
    top5: str


LIGHT = Dress("white", "#23262b", "#b9bec6", "#7a818c", "#1f5fa8", "#b3541e")
DARK = Dress("none", "#d9dce1", "#555c66", "#9aa1ab", "#7db4f0", "#e8955c")


def loss_curves(history: Sequence[Epoch], classes: int, dpi: int, dress: Dress = LIGHT) -> bytes:
    """Draw the training and validation loss in nats by epoch.

    Args:
        history: the epochs in order, at least one.
        classes: outputs of the network; ln(classes), the loss of guessing, is drawn beside.
        dpi: pixels per inch; the figure is 4.4 by 3.2 inches.
        dress: its colours.
    """
    with _axes(dress, dpi) as (axes, png):
        _curve(axes, history, "train_loss", "training", color=dress.train, linestyle="--")
        _curve(axes, history, "val_loss", "validation", color=dress.top1)
        _guessing(axes, math.log(classes), "guessing", dress)
        axes.set_ylabel("loss, nats")
        _finish(axes, history, dress)
    return png.getvalue()


def error_curves(history: Sequence[Epoch], classes: int, dpi: int, dress: Dress = LIGHT) -> bytes:
    """Draw the training error and the validation's top-1 and top-5 error by epoch.

    Arguments as of `loss_curves`; the top-1 error of guessing, 1 - 1/classes, is drawn beside.
    """
    with _axes(dress, dpi) as (axes, png):
        _curve(axes, history, "train_error", "training", color=dress.train, linestyle="--")
        _curve(axes, history, "val_top1_error", "validation, top-1", color=dress.top1)
        _curve(axes, history, "val_top5_error", "top-5", color=dress.top5, linestyle=(0, (4, 1, 1, 1)))
        _guessing(axes, 1 - 1 / classes, "guessing, top-1", dress)
        axes.set_ylabel("error rate")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        _finish(axes, history, dress)
    return png.getvalue()


def learning_rate_falls(history: Sequence[Epoch]) -> list[Epoch]:
    """Return the epochs that began with a lower learning rate than the epoch before had."""
    return [now for before, now in itertools.pairwise(history) if now.learning_rate < before.learning_rate]


def kernels(weights: NDArray[np.float32], columns: int, pixels: int) -> bytes:
    """Draw the kernels of conv1 as Figure 3 of the paper: column 1 above column 2, 16 in a row.

    Args:
        weights: shape (kernels, 3, height, width); the first kernels are column 1's.
        columns: columns of the network; they divide the kernels evenly.
        pixels: side of one weight in pixels of the figure.

    Each kernel is scaled by its own largest weight, with zero as mid-grey, so that its colours keep
    their meaning. The gaps are transparent.
    """
    blocks = [_tile(_as_colours(column)) for column in np.split(weights, columns)]
    gap = np.zeros((COLUMN_GAP, blocks[0].shape[1], 4), np.uint8)
    stacked = [part for block in blocks for part in (gap, block)][1:]
    picture = np.concatenate(stacked).repeat(pixels, axis=0).repeat(pixels, axis=1)
    png = io.BytesIO()
    Image.fromarray(picture).save(png, format="PNG")
    return png.getvalue()


def rgb_components(pca: RgbPca, dpi: int, dress: Dress = LIGHT) -> bytes:
    """Draw the colours along each RGB component, two standard deviations either side of the mean.

    Along these directions the colour noise (Section 4.1) shifts a picture, by far less. The figure
    is 4.4 by 1.5 inches.
    """
    reach = np.linspace(-DEVIATIONS_SHOWN, DEVIATIONS_SHOWN, 256)
    shifts = np.array(pca.eigenvectors) * np.array(pca.standard_deviations)[:, np.newaxis]
    colours = np.array(pca.channel_means) + reach[:, np.newaxis] * shifts[:, np.newaxis, :]
    with _axes(dress, dpi, height=1.5) as (axes, png):
        for position, strip in enumerate(np.clip(colours, 0, 255).astype(np.uint8), start=1):
            extent = (-DEVIATIONS_SHOWN, DEVIATIONS_SHOWN, position + 0.45, position - 0.45)
            axes.imshow(strip[np.newaxis], aspect="auto", extent=extent, interpolation="nearest")
        axes.set_ylim(3.5, 0.5)
        axes.set_yticks([1, 2, 3])
        axes.set_ylabel("component")
        axes.set_xticks([-2, -1, 0, 1, 2])
        axes.set_xlabel("standard deviations from the mean colour")
        axes.spines[:].set_visible(False)
    return png.getvalue()


@contextmanager
def _axes(dress: Dress, dpi: int, height: float = 3.2) -> Iterator[tuple[Axes, io.BytesIO]]:
    # From the defaults, so that a user's matplotlibrc cannot change the bytes.
    settings: dict[str, Any] = {
        "font.size": 9.5,
        "axes.edgecolor": dress.faint,
        "axes.labelcolor": dress.ink,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "text.color": dress.ink,
        "xtick.color": dress.faint,
        "xtick.labelcolor": dress.ink,
        "ytick.color": dress.faint,
        "ytick.labelcolor": dress.ink,
        "legend.fontsize": 8.5,
        "legend.frameon": False,
    }
    png = io.BytesIO()
    with style.context(["default", settings]):
        figure = Figure(figsize=(4.4, height), dpi=dpi, facecolor=dress.paper, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot(facecolor="none")
        yield axes, png
        # Without being told, Matplotlib writes its version into the file.
        figure.savefig(png, format="png", metadata={"Software": None})


def _curve(axes: Axes, history: Sequence[Epoch], field: str, label: str, **look: Any) -> None:
    epochs = [row.epoch for row in history]
    # A lone epoch is a point: a line would not show.
    marker = "o" if len(history) == 1 else ""
    axes.plot(
        epochs,
        [getattr(row, field) for row in history],
        label=label,
        linewidth=1.6,
        marker=marker,
        **look,
    )


def _guessing(axes: Axes, value: float, label: str, dress: Dress) -> None:
    axes.axhline(value, color=dress.train, linestyle=":", linewidth=1.2, label=label, zorder=0)


def _finish(axes: Axes, history: Sequence[Epoch], dress: Dress) -> None:
    axes.set_ylim(bottom=0)
    axes.set_xlim(0.5, max(len(history), 2) + 0.5)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for row in learning_rate_falls(history):
        _mark_fall(axes, row, dress)
    axes.figure.legend(
        loc="outside upper left", ncols=4, columnspacing=1, handlelength=1.6, handletextpad=0.5
    )


def _mark_fall(axes: Axes, row: Epoch, dress: Dress) -> None:
    # Between the last epoch at the old rate and the first at the new.
    position = row.epoch - 0.5
    axes.axvline(position, color=dress.faint, linewidth=0.8, zorder=0)
    axes.annotate(
        f"rate {decimal(row.learning_rate)}",
        xy=(position, 0.92),
        xycoords=("data", "axes fraction"),
        xytext=(2, 0),
        textcoords="offset points",
        rotation=90,
        va="top",
        fontsize=8,
    )


def _as_colours(weights: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return kernels as RGBA pictures of shape (kernels, height, width, 4)."""
    finite = np.nan_to_num(weights.astype(np.float64), posinf=0, neginf=0)
    largest = np.abs(finite).max(axis=(1, 2, 3), keepdims=True)
    scaled = finite / np.where(largest > 0, largest, 1)
    colours = np.rint(127.5 + 127.5 * scaled).astype(np.uint8).transpose(0, 2, 3, 1)
    return np.pad(colours, [(0, 0), (0, 0), (0, 0), (0, 1)], constant_values=255)


def _tile(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay pictures of shape (n, height, width, 4) in rows with transparent gaps between them."""
    count, height, width, _ = pictures.shape
    across = min(KERNELS_PER_ROW, count)
    down = math.ceil(count / across)
    step_y, step_x = height + KERNEL_GAP, width + KERNEL_GAP
    sheet = np.zeros((down * step_y - KERNEL_GAP, across * step_x - KERNEL_GAP, 4), np.uint8)
    for position, picture in enumerate(pictures):
        y, x = position // across * step_y, position % across * step_x
        sheet[y : y + height, x : x + width] = picture
    return sheet

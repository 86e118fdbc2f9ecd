"""Loss and error rates by epoch, with the moments where the learning rate fell."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from alexnet.report.figures import LIGHT, Dress, one_axes
from alexnet.report.results import Epoch
from alexnet.report.text import decimal


def loss_curves(history: Sequence[Epoch], classes: int, dpi: int, dress: Dress = LIGHT) -> bytes:
    """Draw the training and validation loss in nats by epoch.

    Args:
        history: the epochs in order, at least one.
        classes: outputs of the network; ln(classes), the loss of guessing, is drawn beside.
        dpi: pixels per inch; the figure is 4.4 by 3.2 inches.
        dress: its colours.
    """
    with one_axes(dress, dpi) as (axes, png):
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
    with one_axes(dress, dpi) as (axes, png):
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

"""How training went, epoch by epoch: the learning curves, drawn and in numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from alexnet.core.progress import duration
from alexnet.report.canvas import DARK, LIGHT, Dress, one_axes
from alexnet.report.facts import Facts
from alexnet.report.markup import fold, table
from alexnet.report.page import Figure, Figures, Part
from alexnet.report.params import Report
from alexnet.report.text import decimal, percent
from alexnet.training.measures import EpochRow

History = Sequence[EpochRow]


def topic(facts: Facts, settings: Report) -> list[Part]:
    """Return the learning curves, drawn and in numbers."""
    history, outputs, dpi = facts.history, facts.run.class_count, settings.figure_dpi
    loss, error = (
        Figure(
            name,
            draw(history, outputs, dpi, LIGHT),
            f"{kind} by epoch, from the first to the last of {len(history)}: {_ends(history, fields)}.",
            dark=draw(history, outputs, dpi, DARK),
        )
        for name, draw, kind, fields in (
            ("loss", loss_curves, "Loss", LOSSES),
            ("error", error_curves, "Error rate", ERRORS),
        )
    )
    return [
        "## Learning curves",
        "Training is measured while the network learns, on random patches with dropout and colour noise;"
        " validation after each epoch, on the centre patch without them. The training curve can therefore"
        " lie above the validation curve. A network that finds every class equally likely has a loss of"
        f" ln {outputs:,} = {math.log(outputs):.2f}.",
        Figures((loss, error), f"Loss and error rate by epoch. {_falls(history)}", across=2),
        fold("The curves in numbers", history_table(history)),
    ]


LOSSES = {"training": "train_loss", "validation": "val_loss"}
ERRORS = {
    "training": "train_error",
    "validation top-1": "val_top1_error",
    "validation top-5": "val_top5_error",
}


def _ends(history: History, fields: dict[str, str]) -> str:
    def shown(row: EpochRow, field: str) -> str:
        value = getattr(row, field)
        return percent(value) if field.endswith("error") else f"{value:.2f}"

    first, last = history[0], history[-1]
    return ", ".join(f"{name} {shown(first, f)} to {shown(last, f)}" for name, f in fields.items())


def _falls(history: History) -> str:
    falls, first = learning_rate_falls(history), decimal(history[0].learning_rate)
    if not falls:
        return f"The learning rate began at {first} and never fell."
    steps = ", ".join(f"to {decimal(row.learning_rate)} at epoch {row.epoch}" for row in falls)
    return f"The vertical lines mark where the learning rate, {first} at first, fell: {steps}."


def history_table(history: History) -> str:
    """Return the learning curves in numbers, one row per epoch."""
    header = ("Epoch", "Rate", "Rate, biases", "Rate, conv1", "Rate, fc8")
    return table(
        (*header, "Loss", "Error", "Val. loss", "Val. top-1", "Val. top-5", "Time"),
        [
            (
                f"{row.epoch}",
                decimal(row.learning_rate),
                decimal(row.bias_learning_rate),
                decimal(row.conv1_learning_rate),
                decimal(row.fc8_learning_rate),
                f"{row.train_loss:.3f}",
                percent(row.train_error),
                f"{row.val_loss:.3f}",
                percent(row.val_top1_error),
                percent(row.val_top5_error),
                duration(row.seconds),
            )
            for row in history
        ],
        "Learning curves in numbers",
        "Rate: the learning rate of the weights, where conv1's and fc8's are not their own.",
    )


def loss_curves(history: History, classes: int, dpi: int, dress: Dress = LIGHT) -> bytes:
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


def error_curves(history: History, classes: int, dpi: int, dress: Dress = LIGHT) -> bytes:
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


def learning_rate_falls(history: History) -> list[EpochRow]:
    """Return the epochs that began with a lower learning rate than the epoch before had."""
    return [now for before, now in itertools.pairwise(history) if now.learning_rate < before.learning_rate]


def _curve(axes: Axes, history: History, field: str, label: str, **look: Any) -> None:
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


def _finish(axes: Axes, history: History, dress: Dress) -> None:
    axes.set_ylim(bottom=0)
    axes.set_xlim(0.5, max(len(history), 2) + 0.5)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for row in learning_rate_falls(history):
        _mark_fall(axes, row, dress)
    axes.figure.legend(
        loc="outside upper left", ncols=4, columnspacing=1, handlelength=1.6, handletextpad=0.5
    )


def _mark_fall(axes: Axes, row: EpochRow, dress: Dress) -> None:
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

"""How training went, epoch by epoch: the learning curves, drawn and in numbers."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from matplotlib.ticker import MaxNLocator, PercentFormatter

from alexnet.core.progress import duration
from alexnet.report.canvas import Theme, drawn, one_axes
from alexnet.report.facts import Facts
from alexnet.report.markup import fold, table
from alexnet.report.page import Figures, Part
from alexnet.report.text import decimal, enumerated, percent
from alexnet.training.measures import EpochRow

History = Sequence[EpochRow]


@dataclass(frozen=True)
class Chart:
    """What a chart draws: the fields of an epoch by what they are called, and what guessing gives."""

    name: str
    fields: dict[str, str]
    guessing: tuple[str, float]
    is_rate: bool


def charts(classes: int) -> tuple[Chart, Chart]:
    """Return the charts of a network with that many outputs: of loss and of error rate."""
    losses = {"training": "train_loss", "validation": "val_loss"}
    errors = {"training": "train_error", "validation, top-1": "val_top1_error", "top-5": "val_top5_error"}
    return (
        Chart("loss", losses, ("guessing", math.log(classes)), is_rate=False),
        Chart("error", errors, ("guessing, top-1", 1 - 1 / classes), is_rate=True),
    )


def topic(facts: Facts) -> list[Part]:
    """Return the learning curves, drawn and in numbers."""
    history, outputs = facts.history, facts.run.class_count
    figures = [
        drawn(chart.name, partial(curves, history, chart, facts.settings.figure_dpi), _alt(history, chart))
        for chart in charts(outputs)
    ]
    return [
        "## Learning curves",
        f"{_conditions(facts)} A network that finds every class equally likely has a loss of ln {outputs:,} ="
        f" {math.log(outputs):.2f}.",
        Figures((*figures,), f"Loss and error rate by epoch. {_rate_in_words(history)}", across=2),
        fold("The curves in numbers", _numbers(history)),
    ]


def _conditions(facts: Facts) -> str:
    """Say on what training and validation are measured."""
    augment, noisy = facts.augment, facts.recipes.ours["model.dropout.rate"] > 0
    noise = [*(["dropout"] if noisy else []), *(["colour noise"] if augment.colour_noise != "none" else [])]
    with_noise = f" with {enumerated(noise)}" if noise else ""
    patches = "random patches" if augment.crop == "random" else "centre patches"
    precision = facts.run.precision
    rounded = "" if precision == "float32" else f", both in {precision} (the error rates above: float32)"
    return (
        f"Training is measured while the network learns, on {patches}{with_noise}; validation after each"
        f" epoch, on centre patches{' without them' if noise else ''}{rounded}. So the two curves cannot be"
        " compared exactly: at the same state, training may have more errors."
    )


def _alt(history: History, chart: Chart) -> str:
    said = []
    for name, field in chart.fields.items():
        ends = getattr(history[0], field), getattr(history[-1], field)
        words = [percent(value) if chart.is_rate else f"{value:.2f}" for value in ends]
        said.append(f"{name}: {' to '.join(words)}")
    return f"The {chart.name} by epoch, from the first to the last of {len(history)}; {'; '.join(said)}."


def _rate_in_words(history: History) -> str:
    falls, first = _falling(history), decimal(history[0].learning_rate)
    if not falls:
        return f"The learning rate began at {first} and never fell."
    steps = ", ".join(f"to {decimal(row.learning_rate)} at epoch {row.epoch}" for row in falls)
    return f"The vertical lines mark where the learning rate, {first} at first, fell: {steps}."


def _falling(history: History) -> list[EpochRow]:
    """Return the epochs that began with a lower learning rate than the epoch before had."""
    return [now for before, now in itertools.pairwise(history) if now.learning_rate < before.learning_rate]


def _numbers(history: History) -> str:
    rows = []
    for row in history:
        rates = row.learning_rate, row.bias_learning_rate, row.conv1_learning_rate, row.fc8_learning_rate
        training = f"{row.train_loss:.3f}", percent(row.train_error)
        validation = f"{row.val_loss:.3f}", percent(row.val_top1_error), percent(row.val_top5_error)
        rows.append((f"{row.epoch}", *map(decimal, rates), *training, *validation, duration(row.seconds)))
    of_rates = "Rate", "Rate, biases", "Rate, conv1", "Rate, fc8"
    return table(
        ("Epoch", *of_rates, "Loss", "Error", "Val. loss", "Val. top-1", "Val. top-5", "Time"),
        rows,
        "Learning curves in numbers",
        "Rate: the learning rate of the weights; conv1 and fc8 may have rates of their own.",
    )


def curves(history: History, chart: Chart, dpi: int, theme: Theme) -> bytes:
    """Draw a chart by epoch, and where the learning rate fell."""
    looks = ((theme.train, "--"), (theme.top1, "-"), (theme.top5, (0, (4, 1, 1, 1))))
    # A lone epoch is a point: a line would not show.
    marker = "o" if len(history) == 1 else ""
    epochs = [row.epoch for row in history]
    with one_axes(theme, dpi) as (axes, png):
        for (label, field), (colour, line) in zip(chart.fields.items(), looks, strict=False):
            values = [getattr(row, field) for row in history]
            axes.plot(epochs, values, label=label, linewidth=1.6, marker=marker, color=colour, linestyle=line)
        label, value = chart.guessing
        axes.axhline(value, color=theme.train, linestyle=":", linewidth=1.2, label=label, zorder=0)
        axes.set_ylabel("error rate" if chart.is_rate else "loss, nats")
        if chart.is_rate:
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_ylim(bottom=0)
        axes.set_xlim(0.5, max(len(history), 2) + 0.5)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        for row in _falling(history):
            # Between the last epoch at the old rate and the first at the new.
            axes.axvline(row.epoch - 0.5, color=theme.faint, linewidth=0.8, zorder=0)
            look: dict[str, Any] = {"textcoords": "offset points", "rotation": 90, "va": "top", "fontsize": 8}
            place = (row.epoch - 0.5, 0.92)
            axes.annotate(
                f"rate {decimal(row.learning_rate)}", place, (2, 0), ("data", "axes fraction"), **look
            )
        axes.figure.legend(
            loc="outside upper left", ncols=4, columnspacing=1, handlelength=1.6, handletextpad=0.5
        )
    return png.getvalue()

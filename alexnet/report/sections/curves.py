"""How training went, epoch by epoch."""

from __future__ import annotations

import math

from alexnet.core.progress import duration
from alexnet.report.document import Fold, Picture, Pictures, Row, Section, Table, Text
from alexnet.report.figures import DARK, LIGHT
from alexnet.report.figures.curves import error_curves, learning_rate_falls, loss_curves
from alexnet.report.params import Report
from alexnet.report.results import Results
from alexnet.report.text import decimal, percent


def section(results: Results, settings: Report) -> Section:
    """Return the learning curves, drawn and in numbers."""
    outputs = results.run.class_count
    return Section(
        "curves",
        "Learning curves",
        (
            Text(
                "Training is measured while the network learns, on random patches with noise; "
                "validation after each epoch, on the centre patch without. The training curve can "
                "therefore lie above the validation's. A network that finds every class equally "
                f"likely has a loss of ln {outputs:,} = {math.log(outputs):.2f}."
            ),
            Pictures(
                (_loss(results, settings), _error(results, settings)),
                f"Loss and error rate by epoch. {_falls(results)}",
                across=2,
            ),
            Fold("The curves in numbers", history(results)),
        ),
    )


def _loss(results: Results, settings: Report) -> Picture:
    history, outputs, dpi = results.history, results.run.class_count, settings.figure_dpi
    first, last = history[0], history[-1]
    return Picture(
        "loss",
        loss_curves(history, outputs, dpi, LIGHT),
        f"Loss by epoch, from the first to the last of {len(history)}: training "
        f"{first.train_loss:.2f} to {last.train_loss:.2f}, validation {first.val_loss:.2f} to "
        f"{last.val_loss:.2f}.",
        dark=loss_curves(history, outputs, dpi, DARK),
    )


def _error(results: Results, settings: Report) -> Picture:
    history, outputs, dpi = results.history, results.run.class_count, settings.figure_dpi
    first, last = history[0], history[-1]
    training, top1, top5 = (
        f"{percent(getattr(first, name))} to {percent(getattr(last, name))}"
        for name in ("train_error", "val_top1_error", "val_top5_error")
    )
    return Picture(
        "error",
        error_curves(history, outputs, dpi, LIGHT),
        f"Error rate by epoch, from the first to the last of {len(history)}: training {training}, "
        f"validation top-1 {top1}, validation top-5 {top5}.",
        dark=error_curves(history, outputs, dpi, DARK),
    )


def _falls(results: Results) -> str:
    falls = learning_rate_falls(results.history)
    first = f"{decimal(results.history[0].learning_rate)}"
    if not falls:
        return f"The learning rate began at {first} and never fell."
    steps = ", ".join(f"to {decimal(row.learning_rate)} at epoch {row.epoch}" for row in falls)
    return f"The vertical lines mark where the learning rate, {first} at first, fell: {steps}."


def history(results: Results) -> Table:
    """Return the learning curves in numbers, one row an epoch."""
    return Table(
        caption="Learning curves in numbers",
        header=(
            "Epoch",
            "Rate",
            "Rate, biases",
            "Loss",
            "Error",
            "Val. loss",
            "Val. top-1",
            "Val. top-5",
            "Time",
        ),
        rows=tuple(
            Row(
                (
                    f"{row.epoch}",
                    decimal(row.learning_rate),
                    decimal(row.bias_learning_rate),
                    f"{row.train_loss:.3f}",
                    percent(row.train_error),
                    f"{row.val_loss:.3f}",
                    percent(row.val_top1_error),
                    percent(row.val_top5_error),
                    duration(row.seconds),
                )
            )
            for row in results.history
        ),
    )

"""When the learning rates fall: on a plateau (paper, section 5) or by the diary of the 2012 run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alexnet.training.params import OwnRate, Train


@dataclass(frozen=True)
class Rates:
    """The learning rates of one epoch; `fc8_weights` is None where they are the others'."""

    weights: float
    biases: float
    conv1_weights: float
    conv1_biases: float
    fc8_weights: float | None = None

    def of(self, layer: str, kind: str) -> float:
        """Return the rate of a layer's ``weight`` or ``bias``."""
        if layer == "conv1":
            return self.conv1_weights if kind == "weight" else self.conv1_biases
        if layer == "fc8" and self.fc8_weights is not None:
            frozen = self.fc8_weights == 0
            return self.fc8_weights if kind == "weight" or frozen else self.biases
        return self.weights if kind == "weight" else self.biases


class Schedule:
    """Learning rates by epoch (from 1); depends on the past alone, never on the planned length.

    ``plateau``: ÷ `factor` once the validation error has not improved by more than
    `min_improvement` for `patience` epochs, at most `drops` times. ``diary``: ÷ `factor` from the
    start of each of `drop_epochs` on. Changes of conv1 and of fc8 are absolute rates under either.
    """

    def __init__(self, settings: Train) -> None:
        self.settings = settings
        self.dropped = 0
        self.best_error = float("inf")
        self.epochs_without_improvement = 0

    def rates(self, epoch: int) -> Rates:
        """Return the rates that hold throughout `epoch`."""
        settings, schedule = self.settings, self.settings.schedule
        drops = {
            "plateau": self.dropped,
            "diary": sum(epoch >= drop for drop in schedule.drop_epochs),
            "constant": 0,
        }[schedule.kind]
        fallen = schedule.factor**drops
        weights = settings.learning_rate / fallen
        biases = settings.bias_learning_rate / (fallen if schedule.biases_too else 1)
        conv1 = _own_rate(schedule.conv1, epoch)
        conv1_weights = weights if conv1 is None else conv1
        conv1_biases = biases if conv1_weights > 0 else 0.0
        return Rates(weights, biases, conv1_weights, conv1_biases, _own_rate(schedule.fc8, epoch))

    def observe(self, validation_error: float) -> None:
        """Take note of an epoch's validation error (a fraction)."""
        schedule = self.settings.schedule
        if validation_error < self.best_error - schedule.min_improvement:
            self.best_error, self.epochs_without_improvement = validation_error, 0
            return
        self.epochs_without_improvement += 1
        if self.epochs_without_improvement >= schedule.patience and self.dropped < schedule.drops:
            self.dropped += 1
            self.epochs_without_improvement = 0

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs."""
        return {
            "dropped": self.dropped,
            "best_error": self.best_error,
            "epochs_without_improvement": self.epochs_without_improvement,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from an earlier `state`."""
        self.dropped = state["dropped"]
        self.best_error = state["best_error"]
        self.epochs_without_improvement = state["epochs_without_improvement"]


def _own_rate(changes: list[OwnRate], epoch: int) -> float | None:
    """Return the last rate that a layer was given of its own by `epoch`, or None."""
    begun = [change.learning_rate for change in changes if epoch >= change.epoch]
    return begun[-1] if begun else None

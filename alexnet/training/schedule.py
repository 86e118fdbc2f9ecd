"""When the learning rates fall: on a plateau (paper, section 5) or at fixed epochs, as in the 2012 run."""

from collections.abc import Iterable
from typing import Any

from alexnet.training.params import OwnRate, Train


class Schedule:
    """Learning rates by epoch (from 1), which depend on the past alone, never on the planned length.

    ``plateau``: ÷ `factor` once the validation error has not improved by more than
    `min_improvement` for `patience` epochs, at most `drops` times. ``steps``: ÷ `factor` from the
    start of each of `drop_epochs` on. ``constant``: no drops. Whatever the kind, `conv1` and `fc8` set the
    rates of those layers' weights outright, and a rate of 0 stops their biases, too.
    """

    def __init__(self, settings: Train) -> None:
        self.settings = settings
        self.dropped = 0
        self.best_error = float("inf")
        self.epochs_without_improvement = 0

    def rates(self, epoch: int, names: Iterable[str]) -> dict[str, float]:
        """Return the rate of each parameter throughout `epoch`.

        Args:
            names: of parameters, such as ``conv1.weight`` and ``conv1.bias``.
        """
        settings, schedule = self.settings, self.settings.schedule
        fallen = schedule.factor ** self._drops(epoch)
        weights = settings.learning_rate / fallen
        biases = settings.bias_learning_rate / (fallen if schedule.biases_too else 1)
        own = {"conv1": _own_rate(schedule.conv1, epoch), "fc8": _own_rate(schedule.fc8, epoch)}
        rates = {}
        for name in names:
            layer, kind = name.rsplit(".", 1)
            own_rate = own.get(layer)
            if own_rate == 0:
                # In the 2012 source a rate of 0 freezes the layer, its biases included.
                rates[name] = 0.0
            elif kind == "bias":
                rates[name] = biases
            else:
                rates[name] = weights if own_rate is None else own_rate
        return rates

    def _drops(self, epoch: int) -> int:
        schedule = self.settings.schedule
        if schedule.kind == "plateau":
            return self.dropped
        return sum(epoch >= drop for drop in schedule.drop_epochs) if schedule.kind == "steps" else 0

    def observe(self, validation_error: float) -> None:
        """Record the validation error (a fraction) after an epoch."""
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
        """Go back to an earlier `state`."""
        self.dropped = state["dropped"]
        self.best_error = state["best_error"]
        self.epochs_without_improvement = state["epochs_without_improvement"]


def _own_rate(changes: list[OwnRate], epoch: int) -> float | None:
    """Return the last own rate that a layer was given by `epoch`, or None."""
    begun = [change.learning_rate for change in changes if epoch >= change.epoch]
    return begun[-1] if begun else None

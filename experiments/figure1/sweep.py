"""The learning rate with the fewest epochs to the goal: python -m experiments.figure1.sweep relu"""

import math

from alexnet.core.errors import UserError
from alexnet.core.progress import Style
from alexnet.core.stage import run
from experiments.figure1.settings import PARAMS, Activation, Figure1
from experiments.figure1.training import Data, Result, begin, begin_four_layers, epochs_to


def sweep(settings: Figure1, activation: Activation, data: Data, style: Style) -> dict[float, list[float]]:
    """Return each rate's training errors by epoch.

    All rates train side by side until one is at the goal, so that none is rejected for a slow start. While
    the best is at an end of the grid, the grid is continued there by a step of √10. Then it is refined by √3
    above and below the best.
    """
    errors: dict[float, list[float]] = {}

    def train(*rates: float) -> None:
        """Train an epoch of each rate in turn, until one of them is at the goal."""
        begun = {
            rate: begin_four_layers(settings, activation, rate, settings.sweep.seed, data)
            for rate in rates
            if rate not in errors
        }
        # Once a rate has reached the goal, training another for longer cannot make it the best.
        done = [len(row) for row in errors.values() if epochs_to(row, settings.goal)]
        for epoch in range(1, min([settings.epochs, *done]) + 1):
            for rate, training in begun.items():
                row = errors.setdefault(rate, [])
                if row and not math.isfinite(row[-1]):
                    continue
                if len(training.errors) < epoch:
                    training.train_epoch(f"{activation} at {rate:g}", style)
                row.append(training.errors[epoch - 1])
            if any(epochs_to(errors[rate], settings.goal) for rate in begun):
                return

    train(*settings.sweep.learning_rates)
    for _ in range(settings.sweep.more_steps):
        chosen = best(errors, settings.goal)
        if min(errors) < chosen < max(errors):
            break
        train(_rounded(chosen * (math.sqrt(10) if chosen == max(errors) else 1 / math.sqrt(10))))
    chosen = best(errors, settings.goal)
    train(_rounded(chosen * (1 / math.sqrt(3))), _rounded(chosen * math.sqrt(3)))
    return errors


def _rounded(rate: float) -> float:
    return float(f"{rate:.2g}")


def best(errors: dict[float, list[float]], goal: float) -> float:
    """Return the rate with the fewest epochs to the `goal`, or with the lowest last error if none came there.

    If all diverged, a UserError says so.
    """
    finite = {rate: row for rate, row in errors.items() if math.isfinite(row[-1])}
    if not finite:
        raise UserError(f"{PARAMS}: sweep.learning_rates: every rate diverged; name lower rates")
    return min(finite, key=lambda rate: (epochs_to(finite[rate], goal) or math.inf, finite[rate][-1]))


def main(activation: Activation) -> None:
    """Write the errors of every rate, and the rate that was chosen."""
    settings, data, style = begin()
    errors = sweep(settings, activation, data, style)
    rate = best(errors, settings.goal)
    swept = {f"{each:g}": errors[each] for each in sorted(errors)}
    result = Result(made_with=settings.of_sweep(), learning_rate=rate, errors=errors[rate], swept=swept)
    result.write(f"sweep-{activation}")
    print(f"sweep: {activation}: rate {rate:g} of {', '.join(swept)}")


if __name__ == "__main__":
    run(main)

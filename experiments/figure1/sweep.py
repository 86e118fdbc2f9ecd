"""The learning rate of one activation: all rates train, and the worse half is dropped at every rung.

python -m experiments.figure1.sweep relu
"""

import math

from alexnet.core.errors import UserError
from alexnet.core.files import write_json
from alexnet.core.machine import read_machine
from alexnet.core.params import read
from alexnet.core.places import MACHINE
from alexnet.core.progress import Style
from alexnet.core.stage import run
from alexnet.parallel.device import choose_device
from experiments.figure1.settings import HERE, PARAMS, Activation, Figure1
from experiments.figure1.training import Data, Result, begin_four_layers, load


def sweep(settings: Figure1, activation: Activation, data: Data, style: Style) -> dict[float, list[float]]:
    """Return each rate's training errors by epoch; all lists but one end early."""
    errors: dict[float, list[float]] = {rate: [] for rate in settings.sweep.learning_rates}
    left = list(errors)
    for rung in settings.sweep.rungs:
        for rate in left:
            training = begin_four_layers(settings, activation, rate, settings.sweep.seed, data)
            while len(training.errors) < rung and math.isfinite(([0.0, *training.errors])[-1]):
                training.train_epoch(f"{activation} at {rate:g}", style)
            errors[rate] = training.errors[:rung]
        left = sorted(left, key=lambda rate: (math.isnan(errors[rate][-1]), errors[rate][-1]))
        left = left[: max(1, len(left) // 2)]
    return errors


def best(errors: dict[float, list[float]]) -> float:
    """Return the rate that came furthest: of those that trained longest the lowest last error.

    Raises:
        UserError: all diverged.
    """
    finite = {rate: row for rate, row in errors.items() if math.isfinite(row[-1])}
    if not finite:
        raise UserError(f"{PARAMS}: sweep.learning_rates: every rate diverged; name lower rates")
    return min(finite, key=lambda rate: (-len(finite[rate]), finite[rate][-1]))


def main(activation: Activation) -> None:
    """Write the errors of every rate, and the rate that was chosen."""
    settings, machine = read(PARAMS, Figure1), read_machine(MACHINE)
    data = load(choose_device(machine), settings.beginning == "unit-gain")
    errors = sweep(settings, activation, data, machine.progress)
    rate = best(errors)
    swept = {f"{each:g}": row for each, row in errors.items()}
    result = Result(made_with=settings.of_sweep(), learning_rate=rate, errors=errors[rate], swept=swept)
    write_json(HERE / f"sweep-{activation}.json", result.model_dump())
    print(f"sweep: {activation}: rate {rate:g} of {', '.join(swept)}")


if __name__ == "__main__":
    run(main)

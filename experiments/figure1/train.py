"""One run of Figure 1: an activation and a seed, at the rate its sweep chose, until the goal.

python -m experiments.figure1.train relu 1
"""

import math

from alexnet.core.errors import UserError
from alexnet.core.files import write_json
from alexnet.core.machine import read_machine
from alexnet.core.params import read
from alexnet.core.places import MACHINE
from alexnet.core.stage import run
from alexnet.parallel.device import choose_device
from experiments.figure1.settings import HERE, PARAMS, Activation, Figure1
from experiments.figure1.training import Result, begin_four_layers, load, read_result


def main(activation: Activation, seed: int) -> None:
    """Write the training error of every epoch."""
    settings, machine = read(PARAMS, Figure1), read_machine(MACHINE)
    path = HERE / f"sweep-{activation}.json"
    chosen = read_result(path, settings.of_sweep())
    if chosen is None:
        raise UserError(
            f"{path}: missing; run the sweep first (python -m experiments.figure1.sweep {activation})"
        )
    data = load(choose_device(machine), settings.beginning == "unit-gain")
    training = begin_four_layers(settings, activation, chosen.learning_rate, seed, data)
    errors: list[float] = []
    # A state may be further than a changed goal or number of epochs.
    while len(errors) < settings.epochs and (not errors or errors[-1] > settings.goal):
        if len(errors) == len(training.errors):
            training.train_epoch(f"{activation} seed {seed}", machine.progress)
        errors = training.errors[: len(errors) + 1]
        print(f"{activation} seed {seed}: epoch {len(errors)}: training error {errors[-1]:.1%}", flush=True)
        if not math.isfinite(errors[-1]):
            break
    result = Result(made_with=settings.of_training(), learning_rate=chosen.learning_rate, errors=errors)
    write_json(HERE / f"{activation}-{seed}.json", result.model_dump())


if __name__ == "__main__":
    run(main)

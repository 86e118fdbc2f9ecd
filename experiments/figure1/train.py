"""One run of Figure 1: an activation and a seed, at the rate its sweep chose, until the goal.

python -m experiments.figure1.train relu 1
"""

from alexnet.core.errors import UserError
from alexnet.core.stage import run
from experiments.figure1.settings import HERE, Activation
from experiments.figure1.training import Result, begin, begin_four_layers, read_result


def main(activation: Activation, seed: int) -> None:
    """Write the training error of every epoch."""
    settings, data, style = begin()
    path = HERE / f"sweep-{activation}.json"
    chosen = read_result(path, settings.of_sweep())
    if chosen is None:
        raise UserError(f"{path}: missing; first run python -m experiments.figure1.sweep {activation}")
    training = begin_four_layers(settings, activation, chosen.learning_rate, seed, data)
    errors: list[float] = []
    # A state may be further than a changed goal or number of epochs.
    while len(errors) < settings.epochs and (not errors or errors[-1] > settings.goal):
        if len(errors) == len(training.errors):
            training.train_epoch(f"{activation} seed {seed}", style)
        errors = training.errors[: len(errors) + 1]
        print(f"{activation} seed {seed}: epoch {len(errors)}: training error {errors[-1]:.1%}", flush=True)
    result = Result(made_with=settings.of_training(), learning_rate=chosen.learning_rate, errors=errors)
    result.write(f"{activation}-{seed}")


if __name__ == "__main__":
    run(main)

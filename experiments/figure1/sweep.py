"""The learning rate of one activation: all rates train, and the worse half is dropped at every rung.

python -m experiments.figure1.sweep relu
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import pandas as pd
import torch
import typer

from alexnet.core.errors import UserError
from alexnet.core.files import replacing, write_json
from alexnet.core.machine import read_machine
from alexnet.core.params import read
from alexnet.core.progress import Style
from alexnet.core.stage import MACHINE, MachineFile, run
from alexnet.parallel.device import choose_device
from alexnet.training.precision import Precision
from experiments.figure1.loading import Data, load
from experiments.figure1.networks import FOUR_LAYERS_WEIGHTS, FourLayers, initialise, unit_gain
from experiments.figure1.settings import PARAMS, PICTURES, SWEEPS, Activation, Figure1
from experiments.figure1.training import Training
from experiments.shared.values import write_made_with


def begin(settings: Figure1, activation: Activation, rate: float, seed: int, data: Data) -> Training:
    """Return the training of one network, begun or gone on with."""
    network = FourLayers(activation, settings.side, int(data.labels.max()) + 1)
    unit = settings.beginning == "unit-gain"
    initialise(network, unit_gain(network) if unit else FOUR_LAYERS_WEIGHTS, seed)
    device = data.labels.device
    network.to(device)
    groups = [{"params": list(network.parameters()), "full_rate": rate, "weight_decay": 0.0}]
    return Training(
        network,
        groups,
        data,
        settings.batch_size,
        settings.momentum,
        seed,
        Precision(settings.precision, device),
        {
            "activation": activation,
            "rate": rate,
            "side": settings.side,
            "beginning": settings.beginning,
        },
    )


def load_for(settings: Figure1, pictures: Path, device: torch.device) -> Data:
    """Return the training pictures as `settings.beginning` has them."""
    return load(pictures, device, unit_deviation=settings.beginning == "unit-gain")


def sweep(settings: Figure1, activation: Activation, data: Data, style: Style) -> dict[float, list[float]]:
    """Return each rate's training errors, an epoch each; all but one list end early."""
    errors: dict[float, list[float]] = {rate: [] for rate in settings.sweep.learning_rates}
    left = list(errors)
    for rung in settings.sweep.rungs:
        for rate in left:
            training = begin(settings, activation, rate, settings.sweep.seed, data)
            while len(training.errors) < rung and math.isfinite(([0.0, *training.errors])[-1]):
                training.train_epoch(f"{activation} at {rate:g}", style)
            errors[rate] = training.errors[:rung]
        left = sorted(left, key=lambda rate: (math.isnan(errors[rate][-1]), errors[rate][-1]))
        left = left[: max(1, len(left) // 2)]
    return errors


def best(errors: dict[float, list[float]]) -> float:
    """Return the rate that came furthest: of those that trained longest the lowest last error."""
    finite = {rate: row for rate, row in errors.items() if math.isfinite(row[-1])}
    return min(finite, key=lambda rate: (-len(finite[rate]), finite[rate][-1]))


def main(
    activation: Activation,
    params: Annotated[Path, typer.Option(help="the experiment")] = PARAMS,
    machine: MachineFile = MACHINE,
    pictures: Path = PICTURES,
    out: Path = SWEEPS,
) -> None:
    """Write the errors of every rate, and the rate that was chosen."""
    settings, where = read(params, Figure1), read_machine(machine)
    data = load_for(settings, pictures, choose_device(where))
    errors = sweep(settings, activation, data, where.progress)
    if not any(math.isfinite(row[-1]) for row in errors.values()):
        raise UserError(f"{params}: sweep.learning_rates: {activation} diverged at all; name lower rates")
    chosen = best(errors)
    rows = [(rate, epoch, error) for rate, row in errors.items() for epoch, error in enumerate(row, 1)]
    with replacing(out / activation / "sweep.csv") as temporary:
        pd.DataFrame(rows, columns=["learning_rate", "epoch", "train_error"]).to_csv(temporary, index=False)
    write_json(out / activation / "rate.json", {"learning_rate": chosen})
    write_made_with(out / activation, settings.of_training())
    print(f"sweep: {activation}: rate {chosen:g} of {', '.join(f'{rate:g}' for rate in errors)}")


if __name__ == "__main__":
    run(main)

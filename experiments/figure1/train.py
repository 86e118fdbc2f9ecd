"""One run of Figure 1: an activation and a seed, at the rate its sweep chose, until the goal.

python -m experiments.figure1.train relu 1
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from alexnet.core.errors import UserError
from alexnet.core.files import replacing
from alexnet.core.machine import read_machine
from alexnet.core.params import read
from alexnet.core.stage import MACHINE, MachineFile, run
from alexnet.parallel.device import choose_device
from experiments.figure1.settings import PARAMS, PICTURES, RUNS, SWEEPS, Activation, Figure1
from experiments.figure1.sweep import begin, load_for
from experiments.shared.values import write_made_with


def main(
    activation: Activation,
    seed: int,
    params: Annotated[Path, typer.Option(help="the experiment")] = PARAMS,
    machine: MachineFile = MACHINE,
    pictures: Path = PICTURES,
    sweeps: Path = SWEEPS,
    out: Path = RUNS,
) -> None:
    """Write the training error of every epoch."""
    settings, where = read(params, Figure1), read_machine(machine)
    chosen = sweeps / activation / "rate.json"
    if not chosen.exists():
        raise UserError(
            f"{chosen}: missing; run the sweep first (python -m experiments.figure1.sweep {activation})"
        )
    rate = float(json.loads(chosen.read_text())["learning_rate"])
    data = load_for(settings, pictures, choose_device(where))
    training = begin(settings, activation, rate, seed, data)
    # A state may be further than a changed goal or number of epochs.
    done = 0
    errors: list[float] = []
    while done < settings.epochs and (not errors or errors[-1] > settings.goal):
        if done == len(training.errors):
            training.train_epoch(f"{activation} seed {seed}", where.progress)
        errors = training.errors[: done + 1]
        done += 1
        print(f"{activation} seed {seed}: epoch {done}: training error {errors[-1]:.1%}", flush=True)
        if not math.isfinite(errors[-1]):
            break
    folder = out / f"{activation}-{seed}"
    with replacing(folder / "history.csv") as temporary:
        rows = [(epoch, rate, error) for epoch, error in enumerate(errors, 1)]
        pd.DataFrame(rows, columns=["epoch", "learning_rate", "train_error"]).to_csv(temporary, index=False)
    write_made_with(folder, settings.of_training() | {"learning_rate": rate})


if __name__ == "__main__":
    run(main)

"""Train one arm on the project's own pictures: a rate is chosen with the first seed, then every seed runs.

    python -m experiments.pretraining.arm finetuned

A killed arm goes on where it was: what is trained is known by its fingerprint, as in the train stage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alexnet.files import write_json
from alexnet.launch import on_devices
from alexnet.params import machine as machines
from alexnet.params.augment import Augment
from alexnet.params.base import read
from alexnet.params.machine import Machine
from alexnet.params.model import Model
from alexnet.params.train import Train
from alexnet.training.run import Paths, train_and_record
from experiments.histories import first_epoch_at, read_history
from experiments.pretraining.plans import (
    CHOSEN,
    HERE,
    PARAMS,
    TUNING,
    WEIGHTS,
    Arm,
    Pretraining,
    made_with,
    of_arm,
)
from experiments.settings import Values, nested, write_made_with
from stages import options
from stages.options import INDEX, MACHINE, RECORDS, STATISTICS, MachineFile, run


def best_rate(folders: dict[float, Path], target: float) -> float:
    """Return the rate whose run comes to the `target` error first; if several or none do, errs least last."""

    def merit(rate: float) -> tuple[float, float]:
        errors = read_history(folders[rate])["val_top1_error"].tolist()
        return first_epoch_at(errors, target) or float("inf"), errors[-1]

    return min(folders, key=merit)


def main(
    arm: Annotated[Arm, typer.Argument(help="which networks")],
    params: Annotated[Path, typer.Option(help="the experiment")] = PARAMS,
    recipe: Annotated[Path, typer.Option(help="the parameters of the recipe")] = options.PARAMS,
    machine: MachineFile = MACHINE,
    index: Path = INDEX,
    records: Path = RECORDS,
    statistics: Path = STATISTICS,
    out: Annotated[Path | None, typer.Option(help="folder for the networks; default: runs/ARM")] = None,
) -> None:
    """Choose the rate, unless the arm is plain, and train all seeds with it."""
    plan, place = read(params, Pretraining), machines.read(machine)
    folder = out or HERE / "runs" / arm
    first, *_ = seeds = plan.seeds_of(arm)

    def train(seed: int, rate: float | None, where: Path) -> None:
        print(f"{arm}: seed {seed}{'' if rate is None else f', rate {rate:g}'}", flush=True)
        values = of_arm(arm, plan, seed, rate, recipe, params)
        _train(values, place, Paths(index, records, statistics, where / WEIGHTS, where / "training"))
        write_made_with(where, made_with(arm, plan, seed, rate, recipe, params))

    rate = None
    if arm != "plain":
        tried = {each: folder / TUNING / f"{each:g}" for each in plan.rates}
        for each, where in tried.items():
            train(first, each, where)
        rate = best_rate(tried, plan.target_error)
    for seed in seeds:
        train(seed, rate, folder / str(seed))
    write_json(folder / CHOSEN, {"rate": rate, "target_error": plan.target_error})


def _train(values: Values, place: Machine, paths: Paths) -> None:
    sections = nested(values)
    model = Model.model_validate(sections["model"])
    augment, settings = Augment.model_validate(sections["augment"]), Train.model_validate(sections["train"])
    on_devices(train_and_record, (model, augment, settings, place, paths), place, model.columns)


if __name__ == "__main__":
    run(main)

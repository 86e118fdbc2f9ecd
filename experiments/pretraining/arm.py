"""Train one arm on the project's own pictures: a rate is chosen with the first seed, then every seed runs.

    python -m experiments.pretraining.arm finetuned

A killed arm goes on where it was: what is trained is known by its fingerprint, as in the train stage.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer

from alexnet.core import stage as options
from alexnet.core.errors import DivergedError, UserError
from alexnet.core.files import write_json, write_text
from alexnet.core.machine import Machine, read_machine
from alexnet.core.params import read
from alexnet.core.stage import INDEX, MACHINE, RECORDS, STATISTICS, MachineFile, run
from alexnet.feed.params import Augment
from alexnet.model.params import Model
from alexnet.parallel.launch import on_devices
from alexnet.parallel.mesh import Mesh
from alexnet.training.params import Train
from alexnet.training.train import Paths, train_network
from experiments.pretraining.plans import (
    CHOSEN,
    DIVERGED,
    HERE,
    PARAMS,
    TUNING,
    WEIGHTS,
    Arm,
    Pretraining,
    made_with,
    of_arm,
)
from experiments.shared.histories import first_epoch_at, read_history
from experiments.shared.values import Values, nested, write_made_with


def best_rate(folders: dict[float, Path], target: float, path: Path = PARAMS) -> float:
    """Return the rate whose run comes to the `target` error first; if several or none do, errs least last.

    A rate whose run diverged comes after all others.

    Raises:
        UserError: all diverged.
    """
    if all((folder / DIVERGED).exists() for folder in folders.values()):
        known = ", ".join(f"{rate:g}" for rate in folders)
        raise UserError(
            f"{path}: pretraining.rates: found {known}, and with each the loss ends as no number; allowed: at"
            " least one that trains. Add lower ones, or raise model.input_divisor in pretraining.alike."
        )

    def merit(rate: float) -> tuple[float, float]:
        if (folders[rate] / DIVERGED).exists():
            return float("inf"), float("inf")
        errors = read_history(folders[rate])["val_top1_error"].tolist()
        return first_epoch_at(errors, target) or float("inf"), errors[-1]

    return min(folders, key=merit)


def main(
    arm: Annotated[Arm, typer.Argument(help="which networks")],
    params: Annotated[Path, typer.Option(help="the experiment")] = PARAMS,
    recipe: Annotated[Path, typer.Option(help="the parameters of the recipe")] = options.PARAMS_FILE,
    machine: MachineFile = MACHINE,
    index: Path = INDEX,
    records: Path = RECORDS,
    statistics: Path = STATISTICS,
    out: Annotated[Path | None, typer.Option(help="folder for the networks; default: runs/ARM")] = None,
) -> None:
    """Choose the rate, unless the arm is plain, and train all seeds with it."""
    plan, place = read(params, Pretraining), read_machine(machine)
    folder = out or HERE / "runs" / arm
    first, *_ = seeds = plan.seeds_of(arm)

    def train(seed: int, rate: float | None, where: Path, work: Callable[..., None] = train_network) -> None:
        print(f"{arm}: seed {seed}{'' if rate is None else f', rate {rate:g}'}", flush=True)
        values = of_arm(arm, plan, seed, rate, recipe, params)
        paths = Paths(index, records, statistics, where / WEIGHTS, where / "training")
        (where / DIVERGED).unlink(missing_ok=True)
        _train(work, values, place, paths)
        write_made_with(where, made_with(arm, plan, seed, rate, recipe, params))

    rate = None
    if arm != "plain":
        tried = {each: folder / TUNING / f"{each:g}" for each in plan.rates}
        for each, where in tried.items():
            train(first, each, where, train_or_note_divergence)
        rate = best_rate(tried, plan.target_error, params)
    for seed in seeds:
        train(seed, rate, folder / str(seed))
    write_json(folder / CHOSEN, {"rate": rate, "target_error": plan.target_error})


def train_or_note_divergence(
    mesh: Mesh,
    device: torch.device,
    model: Model,
    augment: Augment,
    train: Train,
    machine: Machine,
    paths: Paths,
) -> None:
    """Train as `train_and_record` does; that the loss is no number any more is noted, and no error."""
    try:
        train_network(mesh, device, model, augment, train, machine, paths)
    except DivergedError as error:
        # All processes share their sums, so all of them come here.
        if mesh.leads:
            print(f"this rate is out: {error}", flush=True)
            write_text(paths.weights.parent / DIVERGED, f"{error}\n")


def _train(work: Callable[..., None], values: Values, machine: Machine, paths: Paths) -> None:
    sections = nested(values)
    model = Model.model_validate(sections["model"])
    augment, train = Augment.model_validate(sections["augment"]), Train.model_validate(sections["train"])
    one = partial(work, model=model, augment=augment, train=train, machine=machine, paths=paths)
    on_devices(one, machine, model.columns)


if __name__ == "__main__":
    run(main)

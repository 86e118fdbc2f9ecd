"""Choose an arm's learning rate with a seed of its own: python -m experiments.pretraining.tune finetuned

After a kill, the rate under way resumes as the train stage does. Of the rates that had ended, the last three
are not trained again: their states are kept.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from alexnet.core.errors import DivergedError, UserError
from alexnet.core.files import read_csv, write_json
from alexnet.core.machine import Machine, read_machine
from alexnet.core.params import Strict, load_yaml
from alexnet.core.places import INDEX, MACHINE, RECORDS, STATISTICS
from alexnet.core.stage import run
from alexnet.feed.params import Augment
from alexnet.model.params import Model
from alexnet.parallel.launch import on_devices
from alexnet.training.params import Train
from alexnet.training.train import train_network
from experiments.pretraining.arms import HERE, PARAMS, Plan, Tuned
from experiments.shared.outcomes import first_epoch_at, not_finished
from experiments.shared.plans import Values, nested


class Tried(Strict, allow_inf_nan=True):
    """A rate of the sweep: what its run was made with, and its validation error after each epoch."""

    rate: float
    made_with: Values
    errors: list[float]
    diverged: bool


class Chosen(Strict):
    """What was chosen and from what; `values` is the overlay with which the arm's networks train."""

    target_error: float
    tried: list[Tried]
    rate: float
    values: Values


def read_chosen(arm: Tuned, plan: Plan, folder: Path) -> Chosen:
    """Return what the sweep of `arm` chose; refuse one that has not ended with what is planned now."""
    path, settings = folder / f"chosen/{arm}.yaml", plan.settings
    wanted = [plan.tuned(arm, settings.tuning_seed, rate) for rate in settings.rates]
    if path.exists():
        chosen = Chosen.model_validate(load_yaml(path))
        same_target = chosen.target_error == settings.target_error
        if same_target and [tried.made_with for tried in chosen.tried] == wanted:
            return chosen
    raise not_finished(path)


def best_of(tried: Sequence[Tried], target: float) -> float:
    """Return the rate that comes to the `target` error first; if several or none do, errs least at the end.

    If all diverged, a UserError says so.
    """
    ended = [one for one in tried if not one.diverged]
    if not ended:
        raise UserError(
            f"{PARAMS}: pretraining.rates: found {', '.join(f'{one.rate:g}' for one in tried)}, and with each"
            " the loss ends as no number; allowed: at least one that trains. Add lower ones, or raise"
            " model.input_divisor in pretraining.alike."
        )
    best = min(ended, key=lambda one: (first_epoch_at(one.errors, target) or float("inf"), one.errors[-1]))
    return best.rate


def main(arm: Tuned) -> None:
    """Train with every rate, and write the overlay of the best."""
    plan, machine, tried = Plan(), read_machine(MACHINE), []
    target = plan.settings.target_error
    for rate in plan.settings.rates:
        print(f"{arm}: rate {rate:g}", flush=True)
        values = plan.tuned(arm, plan.settings.tuning_seed, rate)
        tried.append(try_rate(rate, values, machine, HERE / "tuning" / arm / f"{rate:g}"))
    rate = best_of(tried, target)
    chosen = Chosen(target_error=target, tried=tried, rate=rate, values=plan.at_rate(arm, rate))
    write_json(HERE / f"chosen/{arm}.yaml", chosen.model_dump())


def try_rate(rate: float, values: Values, machine: Machine, folder: Path) -> Tried:
    sections = nested(values)
    recipe: Values = {kind.key: kind.model_validate(sections[kind.key]) for kind in (Model, Augment, Train)}
    files: Values = {"index": INDEX, "records": RECORDS, "statistics": STATISTICS}
    files |= {"weights": folder / "alexnet.safetensors", "logs": folder / "training"}
    diverged = False
    try:
        on_devices(
            partial(train_network, machine=machine, **recipe, **files), machine, recipe["model"].columns
        )
    except DivergedError as error:
        diverged = True
        print(f"this rate is out: {error}", flush=True)
    # A run that diverged in its first epoch has no history.
    history = folder / "training/history.csv"
    errors = read_csv(history)["val_top1_error"].tolist() if history.exists() else []
    return Tried(rate=rate, made_with=values, errors=errors, diverged=diverged)


if __name__ == "__main__":
    run(main)

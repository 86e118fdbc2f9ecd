"""What each network trains with: before fine-tuning, in it, from scratch; checked before anything trains.

    python -m experiments.pretraining.plans

writes ``rows/data.yaml``, with which the larger class set is prepared, and ``rows/larger-SEED.yaml``, with
which its networks are trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

import typer
from pydantic import Field

from alexnet.core import stage as options
from alexnet.core.errors import UserError
from alexnet.core.files import write_json
from alexnet.core.params import Section, Strict, read
from alexnet.core.stage import run
from alexnet.evaluation.params import Evaluate
from alexnet.ingest.params import Data, Preprocess
from alexnet.sample.params import Sample
from experiments.shared.settings import flat, refuse_unknown, refuse_what_is_wrong, write_runs
from experiments.shared.values import Values, nested

HERE = Path("experiments/pretraining")
PARAMS = HERE / "params.yaml"
WEIGHTS = "alexnet.safetensors"
# In the folder of an arm: the runs by which its rate was chosen, and what was chosen.
TUNING, CHOSEN = "tuning", "chosen.json"
# In the folder of a run whose loss was no number any more: why it ended.
DIVERGED = "diverged.txt"
# The sections that the stages before training read.
DATA_SECTIONS: tuple[type[Section], ...] = (Sample, Data, Preprocess, Evaluate)

Arm = Literal["scratch", "finetuned", "plain"]

# Layer file 146-2012-2011: 54 epochs, in which fc8 keeps the pre-training's rate for 8, conv1 is slowed and
# frozen, and all rates fall at 22 and 42; the colour noise ends with epoch 37.
SOURCE_EPOCHS = 54
FC8_OWN_UNTIL, CONV1_SLOWED, CONV1_FROZEN, FALLS, LAST_NOISE = 9, 5, 7, (22, 42), 37


class Member(Strict):
    """A network whose predictions are averaged."""

    arm: Literal["finetuned", "plain"]
    seed: int


class Pretraining(Section):
    """Both arms, how they are tuned, and whose predictions are averaged."""

    key: ClassVar[str] = "pretraining"

    seeds: list[int] = Field(min_length=1)
    plain_seeds: list[int] = Field(min_length=1)
    average: list[Member] = Field(min_length=2)
    target_error: float = Field(gt=0, lt=1)
    rates: list[Annotated[float, Field(gt=0)]] = Field(min_length=1)
    larger: Values
    alike: Values
    pretrain: Values

    def seeds_of(self, arm: Arm) -> list[int]:
        return self.plain_seeds if arm == "plain" else self.seeds


def larger_weights(seed: int) -> Path:
    """Return where the pre-trained network of a seed lies."""
    return HERE / "pretrained" / str(seed) / WEIGHTS


def larger_data(plan: Pretraining, recipe: Path, path: Path = PARAMS) -> Values:
    """Return the sections with which the larger class set is prepared, with dotted keys.

    Raises:
        UserError: a key is unknown or out of range.
    """
    start = flat(recipe, DATA_SECTIONS)
    refuse_unknown(plan.larger, start, path, "pretraining.larger", str(recipe))
    values = {**start, **plan.larger}
    refuse_what_is_wrong(values, path, "pretraining.larger", DATA_SECTIONS)
    return values


def pretrained(plan: Pretraining, recipe: Path, path: Path = PARAMS) -> Values:
    """Return what the networks on the larger class set train with, but for the seed."""
    values = {**_from_scratch(plan, recipe, path), "model.conv6": True}
    refuse_unknown(plan.pretrain, values, path, "pretraining.pretrain", str(recipe))
    values.update(plan.pretrain)
    refuse_what_is_wrong(values, path, "pretraining.pretrain")
    return values


def of_arm(
    arm: Arm, plan: Pretraining, seed: int, rate: float | None, recipe: Path, path: Path = PARAMS
) -> Values:
    """Return what a network on the project's own pictures trains with: sections with dotted keys.

    Args:
        rate: of all layers, None for the recipe's; in fine-tuning of fc8, the others having a tenth.

    Raises:
        UserError: a key is unknown or out of range.
    """
    values = _from_scratch(plan, recipe, path)
    own, biases = values["train.learning_rate"], values["train.bias_learning_rate"]
    if rate is not None:
        own, biases = rate, biases / own * rate
    values |= {"train.seed": seed, "train.learning_rate": own, "train.bias_learning_rate": biases}
    if arm != "plain":
        values["model.conv6"] = True
    if arm == "finetuned":
        values |= finetuning(values["train.epochs"], own, biases)
        values["train.initial_weights"] = str(larger_weights(seed))
    refuse_what_is_wrong(values, path, f"pretraining: {arm}")
    return values


def made_with(
    arm: Arm, plan: Pretraining, seed: int, rate: float | None, recipe: Path, path: Path = PARAMS
) -> Values:
    """Return, with dotted keys, what is noted beside a network: its own, and those of what it began from.

    Raises:
        UserError: a key is unknown or out of range.
    """
    values = of_arm(arm, plan, seed, rate, recipe, path)
    if arm == "finetuned":
        values |= {f"pretrained.{key}": value for key, value in pretrained(plan, recipe, path).items()}
        values |= {f"larger.{key}": value for key, value in plan.larger.items()}
    return values


def finetuning(epochs: int, rate: float, bias_rate: float) -> Values:
    """Return the schedule of the source's fine-tuning, fitted into `epochs`.

    fc8, which is new, begins at `rate`, the others at a tenth, conv1 at a hundredth of it.
    """

    def fitted(epoch: int) -> int:
        return 1 + round((epoch - 1) * epochs / SOURCE_EPOCHS)

    def at(changes: list[tuple[int, float]]) -> list[dict[str, float]]:
        # Where few epochs put two changes into one, the later one holds.
        return [{"epoch": epoch, "learning_rate": found} for epoch, found in dict(changes).items()]

    falls = sorted({fitted(epoch) for epoch in FALLS})
    fc8 = [(1, rate), (fitted(FC8_OWN_UNTIL), rate / 10)]
    fc8 += [(fitted(epoch), rate / 10 ** (number + 2)) for number, epoch in enumerate(FALLS)]
    conv1 = [(1, rate / 100), (fitted(CONV1_SLOWED), rate / 1000), (fitted(CONV1_FROZEN), 0.0)]
    return {
        "train.learning_rate": rate / 10,
        "train.bias_learning_rate": bias_rate / 10,
        "train.schedule.kind": "diary",
        "train.schedule.factor": 10.0,
        "train.schedule.drop_epochs": falls,
        "train.schedule.conv1": at(conv1),
        "train.schedule.fc8": at(fc8),
        "augment.colour_noise_last_epoch": max(1, round(LAST_NOISE * epochs / SOURCE_EPOCHS)),
    }


def _from_scratch(plan: Pretraining, recipe: Path, path: Path) -> Values:
    start = flat(recipe)
    refuse_unknown(plan.alike, start, path, "pretraining.alike", str(recipe))
    values = {**start, **plan.alike}
    refuse_what_is_wrong(values, path, "pretraining.alike")
    return values


def check(plan: Pretraining, recipe: Path, path: Path = PARAMS) -> None:
    """Check all networks and the larger class set's parameters before anything runs.

    Raises:
        UserError: one is averaged that is not trained, or twice; a key is unknown or out of range.
    """
    larger_data(plan, recipe, path)
    pretrained(plan, recipe, path)
    for member in plan.average:
        name = f"{member.arm} network of seed {member.seed}"
        if member.seed not in plan.seeds_of(member.arm):
            known = ", ".join(map(str, plan.seeds_of(member.arm)))
            raise UserError(f"{path}: pretraining.average: found the {name}; allowed: of the seeds {known}")
        if plan.average.count(member) > 1:
            raise UserError(f"{path}: pretraining.average: found the {name} twice; allowed: each once")
    if {member.arm for member in plan.average} != {"finetuned", "plain"}:
        raise UserError(
            f"{path}: pretraining.average: found one kind of network; allowed: both finetuned and plain"
            " ones, which are compared"
        )
    arms: tuple[Arm, ...] = ("scratch", "finetuned", "plain")
    for arm in arms:
        for rate in plan.rates:
            of_arm(arm, plan, plan.seeds_of(arm)[0], rate, recipe, path)


def main(
    params: Annotated[Path, typer.Option(help="the experiment")] = PARAMS,
    recipe: Annotated[Path, typer.Option(help="the parameters of the recipe")] = options.PARAMS_FILE,
    out: Annotated[Path, typer.Option(help="folder for the parameters")] = HERE / "rows",
) -> None:
    """Write the parameters of the larger class set and of its networks."""
    plan = read(params, Pretraining)
    check(plan, recipe, params)
    write_json(out / "data.yaml", nested(larger_data(plan, recipe, params)))
    write_runs(out, {"larger": pretrained(plan, recipe, params)}, plan.seeds)


if __name__ == "__main__":
    run(main)

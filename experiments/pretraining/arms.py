"""What each network trains with, checked before anything trains: python -m experiments.pretraining.arms

The networks are those of the larger class set; those that are trained from scratch or fine-tuned, at the rate
that `tune` chooses; and the plain ones, without conv6.
"""

import json
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from alexnet.core.params import Section, read
from alexnet.core.stage import run
from alexnet.evaluation.params import Evaluate
from alexnet.ingest.params import Data, Preprocess
from alexnet.sample.params import Sample
from experiments.shared.keys import EACH_ONCE, Seed, Seeds
from experiments.shared.plans import RECIPE, RUNS, Values, checked, planned, write_checked

PARAMS = Path("experiments/pretraining/params.yaml")
HERE = RUNS / "pretraining"
Tuned = Literal["scratch", "finetuned"]
TUNED: tuple[Tuned, ...] = ("scratch", "finetuned")

# Layer file 146-2012-2011: 54 epochs, in which fc8 has ten times the others' rate for 8, conv1 is slowed and
# frozen, and all rates but the biases' fall at 22 and 42; the colour noise ends with epoch 37. Two things are
# left out: in about the first quarter of epoch 1, fc8 has the rate of the others; conv6's biases have 0.022
# where the others have 0.02.
SOURCE_EPOCHS = 54
FC8_OWN_UNTIL, CONV1_SLOWED, CONV1_FROZEN, FALLS, LAST_NOISE = 9, 5, 7, (22, 42), 37


class Pretraining(Section):
    key: ClassVar[str] = "pretraining"

    seeds: Seeds
    plain_seeds: Seeds
    tuning_seed: Seed
    average: Annotated[list[str], EACH_ONCE]
    target_error: float = Field(gt=0, lt=1)
    rates: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1), EACH_ONCE]
    larger: Values
    alike: Values
    pretrain: Values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.tuning_seed in self.seeds:
            raise ValueError(f"tuning_seed: found {self.tuning_seed}; allowed: none of seeds, {self.seeds}")
        known = [f"finetuned-{seed}" for seed in self.seeds] + [f"plain-{seed}" for seed in self.plain_seeds]
        for name in self.average:
            if name not in known:
                raise ValueError(f"average: found {name}; allowed: {', '.join(known)}")
        if len({name.partition("-")[0] for name in self.average}) < 2:
            raise ValueError("average: found one kind of network; allowed: both finetuned and plain ones")
        return self


class Plan:
    """What is planned with the parameters in two files.

    Unknown keys and values, and a network in `average` that is not trained or listed twice, are refused.
    """

    def __init__(self, params: Path = PARAMS, recipe: str = RECIPE) -> None:
        self.settings = read(params, Pretraining)
        plain = [recipe, f"{params}:pretraining.alike"]
        conv6 = [*plain, "model.conv6=true"]
        self.plain, self.scratch = planned(plain), planned(conv6)
        self.larger = planned([*conv6, f"{params}:pretraining.pretrain"])
        larger = [recipe, f"{params}:pretraining.larger"]
        self.larger_data = checked(larger, Sample, Data, Preprocess, Evaluate)
        for arm in TUNED:
            for rate in self.settings.rates:
                at_rate = [f"{key}={json.dumps(value)}" for key, value in self.at_rate(arm, rate).items()]
                planned([*conv6, *at_rate])

    def at_rate(self, arm: Tuned, rate: float) -> Values:
        """Return the values that replace those of `scratch`; `rate` is of all layers, in fine-tuning of fc8.

        At the same `rate`, the epochs of the drops, the end of the colour noise and the biases' rate are the
        same in both arms.
        """
        own, biases = self.scratch["train.learning_rate"], self.scratch["train.bias_learning_rate"]
        epochs = self.scratch["train.epochs"]
        rates = {"train.learning_rate": rate, "train.bias_learning_rate": biases / own * rate}
        return falls(epochs) | rates | (finetuning(epochs, rate) if arm == "finetuned" else {})

    def tuned(self, arm: Tuned, seed: int, rate: float) -> Values:
        """Return what a network trains with; in the sweep, fine-tuning starts from the first seed's."""
        values = {**self.scratch, **self.at_rate(arm, rate), "train.seed": seed}
        if arm == "finetuned":
            first = self.settings.seeds[0] if seed == self.settings.tuning_seed else seed
            values["train.initial_weights"] = f"{HERE}/larger-{first}/alexnet.safetensors"
        return values


def falls(epochs: int) -> Values:
    """Return when the rates fall and the noise ends in the source's fine-tuning, fitted into `epochs`."""
    return {
        "train.schedule.kind": "steps",
        "train.schedule.factor": 10.0,
        "train.schedule.drop_epochs": sorted({_fitted(epoch, epochs) for epoch in FALLS}),
        "train.schedule.biases_too": False,
        "augment.colour_noise_last_epoch": max(1, round(LAST_NOISE * epochs / SOURCE_EPOCHS)),
    }


def finetuning(epochs: int, rate: float) -> Values:
    """Return the weights' rates in the source's fine-tuning, fitted into `epochs`.

    fc8, which is new, begins at `rate`, the others at a tenth, conv1 at a hundredth of it.
    """

    def at(changes: list[tuple[int, float]]) -> list[dict[str, float]]:
        # Where few epochs put two changes into one, the later one holds.
        fitted = {_fitted(epoch, epochs): found for epoch, found in changes}
        return [{"epoch": epoch, "learning_rate": found} for epoch, found in fitted.items()]

    fc8 = [(1, rate), (FC8_OWN_UNTIL, rate / 10), (FALLS[0], rate / 10**2), (FALLS[1], rate / 10**3)]
    return {
        "train.learning_rate": rate / 10,
        "train.schedule.conv1": at([(1, rate / 100), (CONV1_SLOWED, rate / 1000), (CONV1_FROZEN, 0.0)]),
        "train.schedule.fc8": at(fc8),
    }


def _fitted(epoch: int, epochs: int) -> int:
    return 1 + round((epoch - 1) * epochs / SOURCE_EPOCHS)


def main() -> None:
    """Check every network and the larger class set's parameters before anything runs."""
    Plan()
    write_checked("pretraining")


if __name__ == "__main__":
    run(main)

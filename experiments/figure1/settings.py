"""What `params.yaml` beside this file holds."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from alexnet.core.params import Section, Strict
from alexnet.core.reading import Positive
from experiments.shared.keys import EACH_ONCE, Seed, Seeds

PIPELINE = "experiments/figure1/pipeline.yaml"
PARAMS = Path("experiments/figure1/params.yaml")
HERE = Path("data/experiments/figure1")

Activation = Literal["relu", "tanh", "abs_tanh"]
Beginning = Literal["unit-gain", "cuda-convnet"]
# The net at 11 %, the same without its norms, and the net at 13 %.
Arm = Literal["11-percent", "11-percent-without-norms", "13-percent"]


class Sweep(Strict):
    """How a learning rate is chosen: see `experiments.figure1.sweep`."""

    seed: Seed
    learning_rates: list[PositiveFloat] = Field(min_length=1)
    more_steps: Annotated[int, Field(ge=0)]


class Norm(Strict):
    """The nets of cuda-convnet's CIFAR-10 examples at 13 % and 11 %."""

    seeds: Seeds
    crop: Positive
    epochs: Positive
    drop_epochs: list[Positive]
    learning_rate: PositiveFloat
    weight_decay: Annotated[float, Field(ge=0)]
    full_weight_decay: Annotated[float, Field(ge=0)]
    size: Annotated[int, Field(ge=1)]
    k: PositiveFloat
    alpha: Annotated[float, Field(ge=0)]
    beta: PositiveFloat


class Figure1(Section):
    key: ClassVar[str] = "figure1"

    # Three poolings by two leave one pixel of eight.
    side: Annotated[int, Field(ge=8, le=256)]
    precision: Literal["float32", "tf32", "bfloat16"]
    batch_size: Positive
    momentum: Annotated[float, Field(ge=0, lt=1)]
    beginning: Beginning
    activations: Annotated[list[Activation], Field(min_length=1), EACH_ONCE]
    seeds: Seeds
    goal: Annotated[float, Field(gt=0, lt=1)]
    epochs: Positive
    sweep: Sweep
    norm: Norm

    def of_training(self) -> dict[str, Any]:
        """Return what all trainings of the four-layer network have in common, as JSON has it."""
        return self._as_json("side", "precision", "batch_size", "momentum", "beginning")

    def of_sweep(self) -> dict[str, Any]:
        """Return what decides a sweep, as JSON has it."""
        return self.of_training() | self._as_json("epochs", "goal") | self.sweep.model_dump(mode="json")

    def of_norm(self) -> dict[str, Any]:
        """Return what all trainings of the other network have in common, as JSON has it."""
        own = self.norm.model_dump(mode="json", exclude={"seeds"})
        return self._as_json("side", "precision", "batch_size", "momentum") | own

    def _as_json(self, *keys: str) -> dict[str, Any]:
        return self.model_dump(mode="json", include=set(keys))

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if not 4 <= self.norm.crop <= self.side:
            raise ValueError(f"norm.crop: found {self.norm.crop}; allowed: 4 to side, {self.side}")
        if self.norm.size % 2 == 0:
            raise ValueError(f"norm.size: found {self.norm.size}; allowed: an odd number of maps")
        if self.sweep.seed in self.seeds:
            raise ValueError(f"sweep.seed: found {self.sweep.seed}; allowed: none of seeds, {self.seeds}")
        return self

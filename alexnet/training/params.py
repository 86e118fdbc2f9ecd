"""`train`: optimiser, schedule and length of the training."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from alexnet.core.params import Section, Strict
from alexnet.feed.order import Order


class OwnRate(Strict):
    """From the start of `epoch` on, a layer's weights have this learning rate; 0 freezes the layer."""

    epoch: int = Field(ge=1)
    learning_rate: float = Field(ge=0)


class Schedule(Strict):
    """When the learning rate falls (paper, section 5; steps as in the log of the source's file 145)."""

    kind: Literal["plateau", "steps", "constant"]
    factor: float = Field(gt=1, le=1e6)
    patience: int = Field(ge=1)
    min_improvement: float = Field(ge=0, lt=1)
    drops: int = Field(ge=0, le=1000)
    drop_epochs: list[int]
    biases_too: bool
    conv1: list[OwnRate]
    fc8: list[OwnRate]

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        for name, epochs in (
            ("drop_epochs", self.drop_epochs),
            ("conv1", [change.epoch for change in self.conv1]),
            ("fc8", [change.epoch for change in self.fc8]),
        ):
            if any(epoch < 1 for epoch in epochs) or epochs != sorted(set(epochs)):
                raise ValueError(f"{name}: found epochs {epochs}; allowed: ascending, from 1, each once")
        return self


class Train(Section):
    """Stochastic gradient descent as printed (paper, section 5)."""

    key: ClassVar[str] = "train"

    seed: int = Field(ge=0)
    initial_weights: Annotated[str, Field(min_length=1)] | None
    epochs: int = Field(ge=1)
    order: Order
    batch_size: int = Field(ge=1, le=1_000_000)
    precision: Literal["float32", "tf32", "bfloat16"]
    learning_rate: float = Field(ge=0)
    bias_learning_rate: float = Field(ge=0)
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0, le=1000)
    bias_weight_decay: float = Field(ge=0, le=1000)
    schedule: Schedule

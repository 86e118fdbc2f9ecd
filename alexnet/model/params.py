"""`model`: the network; every difference between the two recipes is a key of its own."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from alexnet.core.params import Section, Strict


class ResponseNorm(Strict):
    """Local response normalisation across maps (paper, section 3.3)."""

    enabled: bool
    size: int = Field(ge=1, le=99)
    k: float = Field(gt=0)
    alpha: float = Field(ge=0)
    alpha_divided_by_size: bool
    across_columns: bool
    beta: float = Field(gt=0, le=100)

    @model_validator(mode="after")
    def _odd(self) -> Self:
        if self.size % 2 == 0:
            raise ValueError(f"size: found {self.size}; allowed: an odd number, so that it has a middle")
        return self


class Dropout(Strict):
    """Dropout on the outputs of fc6 and fc7 (paper, section 4.2)."""

    rate: float = Field(ge=0, lt=1)
    form: Literal["as-printed", "inverted"]


class Model(Section):
    """The network of the paper's section 3, its variants, and its input rule."""

    key: ClassVar[str] = "model"

    columns: Literal[1, 2]
    width: float = Field(gt=0, le=4)
    activation: Literal["relu", "tanh", "abs_tanh"]
    conv1_order: Literal["activation-norm-pool", "norm-pool-activation"]
    conv5_order: Literal["activation-pool", "pool-activation"]
    response_norm: ResponseNorm
    spatial_norm: bool
    pooling: Literal["3/2", "2/2"]
    leave_out: Literal["none", "conv3", "conv4", "conv5"]
    conv6: bool
    dropout: Dropout
    initial_weights: Literal["paper", "source-2012", "he"]
    initial_weights_follow_width: bool
    initial_biases: Literal["paper", "zero"]
    mean: Literal["patch", "centre", "none"]
    input_divisor: float = Field(gt=0)

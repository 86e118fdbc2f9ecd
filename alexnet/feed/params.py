"""`augment`: what happens to a training picture before the network sees it."""

from typing import ClassVar, Literal

from pydantic import Field

from alexnet.core.params import Section


class Augment(Section):
    """Crop, mirror and colour noise (paper, section 4.1)."""

    key: ClassVar[str] = "augment"

    crop: Literal["random", "centre"]
    mirror: bool
    pictures_per_crop: int = Field(ge=1, le=2**31 - 1)
    colour_noise: Literal["paper", "source-2012", "none"]
    colour_noise_std: float = Field(ge=0, le=10)
    colour_noise_last_epoch: int | None = Field(ge=1)

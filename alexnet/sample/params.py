"""`sample`: the small data set that is drawn from a seed."""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from alexnet.core.params import Section

CLASSES_AVAILABLE = 20


class Sample(Section):
    """How many pictures of which classes are drawn; 0 classes mean no sample."""

    key: ClassVar[str] = "sample"

    seed: int = Field(ge=0)
    classes: int = Field(ge=0, le=CLASSES_AVAILABLE)
    first_class: int = Field(ge=0, lt=CLASSES_AVAILABLE)
    train_per_class: int = Field(ge=1)
    val_per_class: int = Field(ge=1)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.classes == 1:
            raise ValueError(f"classes: found 1; allowed: 0 for no sample, or 2 to {CLASSES_AVAILABLE}")
        if self.first_class + self.classes > CLASSES_AVAILABLE:
            raise ValueError(
                f"first_class: found {self.first_class} with {self.classes} classes; allowed: "
                f"at most {CLASSES_AVAILABLE - self.classes}, as {CLASSES_AVAILABLE} classes exist"
            )
        return self

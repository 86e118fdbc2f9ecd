"""`data`: which raw pictures take part."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from alexnet.core.params import Section

# Times the number of classes it still fits into 64 bits.
MAX_PER_CLASS = 1_000_000_000
Layout = Literal[
    "auto",
    "ilsvrc-2012",
    "ilsvrc-2010",
    "kaggle",
    "folders",
    "class-tars",
    "cifar-10",
    "huggingface-tars",
    "parquet",
    "webdataset",
]


class Data(Section):
    """Layout of the raw files, their validation split, and a seeded subset of classes and pictures."""

    key: ClassVar[str] = "data"

    layout: Layout
    classes: Literal["all"] | int | list[str]
    per_class: Literal["all"] | int
    held_out: float = Field(ge=0, le=0.5)
    seed: int = Field(ge=0)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        count = len(self.classes) if isinstance(self.classes, list) else self.classes
        if isinstance(count, int) and count < 2:
            raise ValueError(f"classes: found {self.classes}; allowed: all, or at least 2 classes")
        if self.per_class != "all" and not 1 <= self.per_class <= MAX_PER_CLASS:
            raise ValueError(f"per_class: found {self.per_class}; allowed: all, or 1 to {MAX_PER_CLASS}")
        if isinstance(self.classes, list) and len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: a class is named twice; allowed: each once")
        return self


class Preprocess(Section):
    """Encoding and order of the records."""

    key: ClassVar[str] = "preprocess"

    encoding: Literal["jpeg", "raw"]
    jpeg_quality: int = Field(ge=1, le=100)
    chroma: Literal["4:2:0", "4:4:4"]
    shard_pictures: int = Field(ge=1, le=100_000)
    seed: int = Field(ge=0)
    max_bad_fraction: float = Field(ge=0, le=1)

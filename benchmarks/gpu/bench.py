"""How large the measurements are, and what each is given."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from benchmarks.train_step import (
    PROFILE,
)

RECIPES = {name: PROFILE.with_name(f"imagenet-2012-{name}.yaml") for name in ("paper", "source")}
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Scale:
    """How large everything is: as for a GPU, unless told otherwise.

    Attributes:
        batches: of the training steps, most telling first.
        steps: that a time is the mean of.
        few: pictures of a batch where the CPU computes too, in `updates` updates.
        records: pictures in the store that the loop reads in batches of `batch`; the training pictures, nine
            of ten, are a multiple of 128, since of a smaller last batch ImageNet has one in 10,009.
        side: of the matrices that are multiplied.
        loads: the shares of the pictures that DALI gives to the JPEG engine.
        workers: that prepare pictures.
        backend: of `torch.compile`.
    """

    width: float = 1.0
    batches: tuple[int, ...] = (512, 1024, 128, 256)
    precisions: tuple[str, ...] = ("bfloat16", "tf32", "float32")
    steps: int = 20
    few: int = 16
    updates: int = 20
    records: int = 38_400
    batch: int = 128
    side: int = 8192
    loads: tuple[float, ...] = (0.65, 0.0, 0.25, 0.5, 0.85, 1.0)
    workers: int | Literal["auto"] = "auto"
    backend: str = "inductor"


# Compiling to machine code takes a CPU longer than all else together; up to there the code is the same.
TOY = Scale(0.03, (2, 3), ("bfloat16",), 1, 2, 3, 27, 8, 64, (0.65,), 1, "aot_eager")


@dataclass(frozen=True)
class Bench:
    """What every step is given.

    Attributes:
        work: a folder for stores and the states of trainings.
        results: the file of the figures so far.
        photographs, tiny_imagenet: folders of raw files to train on.
        epochs: of these trainings; by default those of their recipes.
        price: of an hour of the device, in any currency.
    """

    scale: Scale
    work: Path
    results: Path
    photographs: Path | None = None
    tiny_imagenet: Path | None = None
    epochs: int | None = None
    price: float | None = None

    @property
    def trials(self) -> Path:
        """A folder for the states of trainings that are not resumed in another run."""
        return self.work / "trials"

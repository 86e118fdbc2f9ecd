"""The pictures that the experiment works on, as the pictures stage wrote them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alexnet.core.errors import UserError
from experiments.figure1.settings import HERE


@dataclass(frozen=True)
class Pictures:
    """A split in memory.

    Attributes:
        pixels: uint8 (pictures, 3, side, side).
        labels: int64 (pictures,).
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]


def read_pictures(folder: Path, split: str) -> Pictures:
    """Read what this stage wrote for ``train`` or ``test``.

    Raises:
        UserError: it is not there.
    """
    path = folder / f"{split}.npz"
    if not path.exists():
        raise UserError(f"{path}: missing; run the stage first (dvc repro {HERE}/dvc.yaml:pictures)")
    with np.load(path) as arrays:
        return Pictures(arrays["pixels"], arrays["labels"])

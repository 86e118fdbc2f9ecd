"""The training pictures on the device, as the networks see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from experiments.figure1.arrays import read_pictures


@dataclass(frozen=True)
class Data:
    """Training pictures on the device.

    Attributes:
        pixels: uint8 (pictures, 3, side, side).
        labels: int64 (pictures,).
        prepare: what makes float pictures of uint8 ones.
        store: the file they came from.
    """

    pixels: Tensor
    labels: Tensor
    prepare: Callable[[Tensor], Tensor]
    store: Path


def load(folder: Path, device: torch.device, unit_deviation: bool) -> Data:
    """Return the training pictures less the mean picture; in grey levels, or of deviation 1."""
    pictures = read_pictures(folder, "train")
    mean = torch.from_numpy(pictures.pixels.mean(0, dtype="float64")).float().to(device)
    divisor = float(pictures.pixels.std(dtype="float64")) if unit_deviation else 1.0
    return Data(
        torch.from_numpy(pictures.pixels).to(device),
        torch.from_numpy(pictures.labels).to(device),
        lambda batch: (batch.float() - mean) / divisor,
        folder / "train.npz",
    )

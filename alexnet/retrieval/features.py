"""fc7's activations of pictures (paper, section 6)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.core.progress import Progress, Style
from alexnet.feed.loader import Loader
from alexnet.feed.order import in_storage_order
from alexnet.model.input import PICTURE, Patches
from alexnet.model.network import AlexNet


@torch.no_grad()
def features_of_centre(
    network: AlexNet,
    loader: Loader,
    records: NDArray[np.int64],
    pictures: int,
    out: NDArray[np.float32],
    style: Style = "auto",
) -> None:
    """Write fc7's activations of the centre patches of `records` into `out` (records, d), in their order.

    Args:
        loader: of whole pictures, whose centres are cut on the device.
        pictures: how many the split has.
        out: perhaps mapped to a file.
    """
    network.eval()
    done = 0
    with Progress("fc7", len(records), style) as progress:
        for batch in loader.batches(replace(in_storage_order(pictures), order=records)):
            count = len(batch.records)
            out[done : done + count] = _features(network, batch.pixels)
            done += count
            progress.advance(count)


@torch.no_grad()
def features_of_picture(network: AlexNet, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return fc7's activations, float32 (1, d), of one picture of uint8 (256, 256, 3)."""
    network.eval()
    return _features(network, torch.from_numpy(picture.copy())[None])


def _features(network: AlexNet, pictures: Tensor) -> NDArray[np.float32]:
    pixels = pictures.to(next(network.parameters()).device)
    side = network.input.side
    start = (PICTURE - side) // 2
    corner = torch.full((len(pixels),), start, device=pixels.device)
    patches = Patches(
        pixels[:, start : start + side, start : start + side], corner, corner, torch.zeros_like(corner).bool()
    )
    return network.features(network.input(patches)).float().cpu().numpy()

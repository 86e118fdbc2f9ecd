"""Ten patches and one (paper, section 4.1): whole pictures in, class probabilities out.

Several processes can share a split: each predicts the records that `share` gives it, and
`predictions.merge` joins the parts. Shares are made of whole batches, so that a picture meets the
same neighbours in its batch however many processes there are, and its probabilities are the same
to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.core.errors import UserError
from alexnet.core.progress import Progress, Style
from alexnet.evaluation.predictions import Part
from alexnet.feed.loader import Batch, Loader
from alexnet.feed.order import in_storage_order
from alexnet.model.input import PATCH, PICTURE, Patches
from alexnet.model.network import AlexNet

# Four corners and the centre, then their mirrors; the centre unmirrored is the one patch.
CENTRE = 4


def ten_patches(pictures: Tensor, side: int = PATCH) -> Patches:
    """Cut the ten patches of each picture.

    Args:
        pictures: uint8 (batch, 256, 256, 3).
        side: of a patch, in pixels.

    Returns:
        10 · batch patches: the first `batch` are the pictures' first patches, and so on: upper left,
        upper right, lower left, lower right, centre, then their mirrors.
    """
    count, end = pictures.shape[0], PICTURE - side
    places = ((0, 0), (0, end), (end, 0), (end, end), (end // 2, end // 2))
    cut = [pictures[:, top : top + side, left : left + side] for top, left in places]
    corners = torch.tensor(places, device=pictures.device).repeat(2, 1).repeat_interleave(count, 0)
    mirrored = torch.arange(10, device=pictures.device).repeat_interleave(count) >= 5
    pixels = torch.cat(cut + [patch.flip(2) for patch in cut])
    return Patches(pixels, corners[:, 0], corners[:, 1], mirrored)


def share(pictures: int, batch_size: int, rank: int = 0, ranks: int = 1) -> NDArray[np.int64]:
    """Return the record numbers that process `rank` of `ranks` predicts: whole batches in a row.

    The shares of all ranks hold each of the `pictures` once; a share may be empty.
    """
    batches = -(-pictures // batch_size)
    first, end = (batches * number // ranks * batch_size for number in (rank, rank + 1))
    return np.arange(first, min(end, pictures))


@torch.no_grad()
def predict(
    network: AlexNet, loader: Loader, records: NDArray[np.int64], pictures: int, style: Style = "auto"
) -> Part:
    """Return the probabilities that `network` gives the chosen `records`.

    Args:
        loader: of whole pictures; each is decoded and brought to the device once, and its patches
            are cut there.
        records: int64, record numbers, as `share` gives them.
        pictures: how many the whole split has.

    Raises:
        UserError: the network's outputs hold NaN.
    """
    network.eval()
    device = next(network.parameters()).device
    shape = (len(records), network.classes)
    ten, one = np.empty(shape), np.empty(shape)
    done = 0
    with Progress("evaluate", len(records), style) as progress:
        for batch in _batches(loader, records, pictures):
            count = len(batch.records)
            probabilities = _softmax(network, batch.pixels.to(device)).cpu().numpy()
            if np.isnan(probabilities).any():
                raise UserError("the network's outputs hold NaN: its weights are of no use. Train again.")
            ten[done : done + count] = probabilities.mean(0)
            one[done : done + count] = probabilities[CENTRE]
            done += count
            progress.advance(count)
    return Part(records, ten, one)


def _batches(loader: Loader, records: NDArray[np.int64], pictures: int) -> Iterator[Batch]:
    return loader.batches(replace(in_storage_order(pictures), order=records))


def _softmax(network: AlexNet, pictures: Tensor) -> Tensor:
    """Return float64 (10, batch, classes)."""
    logits = network(network.input(ten_patches(pictures, network.input.side)))
    return logits.double().softmax(1).reshape(10, len(pictures), -1)


@torch.no_grad()
def classify(network: AlexNet, pictures: Tensor) -> Tensor:
    """Return the ten-patch probabilities, float64 (batch, classes), of uint8 (batch, 256, 256, 3)."""
    return _softmax(network.eval(), pictures).mean(0)

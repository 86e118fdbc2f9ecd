"""Class probabilities by ten patches and by one (paper, section 4.1).

Several processes can share a split, in whole batches: a picture has the same neighbours in its batch with any
number of processes, and its probabilities are the same to the last bit.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.core.errors import UserError
from alexnet.core.progress import Progress, Style
from alexnet.feed.loader import Loader
from alexnet.feed.order import Share, in_storage_order
from alexnet.model.input import Batch, whole_pictures
from alexnet.model.network import AlexNet
from alexnet.model.patches import CENTRE, TEN, ten_patches


def own_records(pictures: int, batch_size: int, rank: int, ranks: int) -> NDArray[np.int64]:
    """Return the record numbers that process `rank` of `ranks` predicts: whole batches in a row.

    All ranks together have each of the `pictures` once; one of them may have none.
    """
    first, end = Share(rank, rank + 1, ranks).bounds(-(-pictures // batch_size))
    return np.arange(first * batch_size, min(end * batch_size, pictures))


@torch.no_grad()
def predict(
    network: AlexNet, loader: Loader, records: NDArray[np.int64], pictures: int, style: Style = "auto"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what `network` gives the chosen `records` of a split of so many `pictures`.

    It is the mean softmax of ten patches, and that of the centre: (records, classes) each.
    Each picture is loaded whole and moved to the device once; its patches are cut there.

    Raises:
        UserError: the network's outputs hold NaN.
    """
    network.eval()
    device = next(network.parameters()).device
    shape = (len(records), network.classes)
    ten, one = np.empty(shape), np.empty(shape)
    done = 0
    with Progress("evaluate", pictures, style) as progress:
        for batch in loader.batches(replace(in_storage_order(pictures), order=records)):
            count = len(batch.records)
            probabilities = _softmax(network, batch.to(device)).cpu().numpy()
            if np.isnan(probabilities).any():
                raise UserError("the network's outputs hold NaN: its weights are of no use. Train again.")
            ten[done : done + count] = probabilities.mean(0)
            one[done : done + count] = probabilities[CENTRE]
            # Where several processes share the pictures, the others are as far with theirs.
            before, done = done, done + count
            progress.advance(pictures * done // len(records) - pictures * before // len(records))
    return ten, one


@torch.no_grad()
def classify(network: AlexNet, pictures: Tensor) -> Tensor:
    """Return the ten-patch probabilities, float64 (batch, classes), of uint8 (batch, 256, 256, 3)."""
    return _softmax(network.eval(), whole_pictures(pictures)).mean(0)


def _softmax(network: AlexNet, pictures: Batch) -> Tensor:
    """Return float64 (10, batch, classes)."""
    logits = network(ten_patches(pictures, network.input.side))
    return logits.double().softmax(1).reshape(TEN, len(pictures.pixels), -1)

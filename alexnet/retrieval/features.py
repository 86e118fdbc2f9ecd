"""fc7's activations of pictures (paper, section 6.1)."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from alexnet.core.progress import Progress, Style
from alexnet.feed.loader import Loader
from alexnet.feed.order import in_storage_order
from alexnet.model.input import Batch, whole_pictures
from alexnet.model.network import AlexNet
from alexnet.model.patches import centre_patch


@torch.no_grad()
def features_of_records(
    network: AlexNet,
    loader: Loader,
    records: NDArray[np.int64],
    pictures: int,
    out: NDArray[np.float32],
    style: Style,
) -> None:
    """Write fc7's activations of the centre patches of `records`, of a split of so many `pictures`.

    They go into `out` (records, d), in their order. The loader gives whole pictures, whose centres are cut on
    the device.
    """
    network.eval()
    done = 0
    with Progress("fc7", len(records), style) as progress:
        for batch in loader.batches(replace(in_storage_order(pictures), order=records)):
            count = len(batch.records)
            out[done : done + count] = _features(network, batch)
            done += count
            progress.advance(count)


@torch.no_grad()
def features_of_picture(network: AlexNet, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return fc7's activations, float32 (1, d), of one picture of uint8 (256, 256, 3)."""
    return _features(network.eval(), whole_pictures(torch.from_numpy(picture.copy())[None]))


def _features(network: AlexNet, pictures: Batch) -> NDArray[np.float32]:
    patches = centre_patch(pictures.to(next(network.parameters()).device), network.input.side)
    return network.features(patches).float().cpu().numpy()

"""Ten patches and one (paper, section 4.1): whole pictures in, class probabilities out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.data.loader import Loader
from alexnet.data.order import in_storage_order
from alexnet.errors import UserError
from alexnet.evaluation.errors import top_k_wrong
from alexnet.model.inputs import PATCH, PICTURE, Patches
from alexnet.model.network import AlexNet
from alexnet.progress import Progress, Style

_END = PICTURE - PATCH
# Four corners and the centre (top, left); each also mirrored. The centre unmirrored is the one patch.
CORNERS = ((0, 0), (0, _END), (_END, 0), (_END, _END), (_END // 2, _END // 2))
CENTRE = 4


@dataclass(frozen=True)
class Predictions:
    """Class probabilities of every picture of a split, in storage order.

    Attributes:
        ten, one: float64 (pictures, classes): mean softmax of ten patches, softmax of the centre.
        labels: int64 (pictures,).
    """

    ten: NDArray[np.float64]
    one: NDArray[np.float64]
    labels: NDArray[np.int64]

    def metrics(self) -> dict[str, float | int]:
        """Return error rates (fractions) and the mean loss (nats) of the ten-patch probabilities."""
        result: dict[str, float | int] = {}
        labels = torch.from_numpy(self.labels)
        for suffix, probabilities in (("", self.ten), ("_one_patch", self.one)):
            scores = torch.from_numpy(probabilities)
            for k in (1, 5):
                wrong = int(top_k_wrong(scores, labels, k).sum())
                result[f"top{k}_error{suffix}"] = wrong / len(labels)
        truth = self.ten[np.arange(len(self.labels)), self.labels]
        result["loss"] = float(-np.log(truth.clip(min=np.finfo(np.float64).tiny)).mean())
        result["images"] = len(self.labels)
        return result


def ten_patches(pictures: Tensor) -> Patches:
    """Cut the ten patches of each picture.

    Args:
        pictures: uint8 (batch, 256, 256, 3).

    Returns:
        10 · batch patches: the first `batch` are the pictures' first patches, and so on;
        the five of `CORNERS`, then their mirrors.
    """
    count = len(pictures)
    cut = [pictures[:, top : top + PATCH, left : left + PATCH] for top, left in CORNERS]
    corners = torch.tensor(CORNERS, device=pictures.device).repeat(2, 1).repeat_interleave(count, 0)
    mirrored = torch.arange(10, device=pictures.device).repeat_interleave(count) >= 5
    pixels = torch.cat(cut + [patch.flip(2) for patch in cut])
    return Patches(pixels, corners[:, 0], corners[:, 1], mirrored)


@torch.no_grad()
def predict(
    network: AlexNet, loader: Loader, labels: NDArray[np.int64], style: Style = "auto"
) -> Predictions:
    """Return the predictions of `network` for every picture that `loader` holds.

    Args:
        loader: of whole pictures; each is decoded once and its patches are cut on the device.
        labels: int64 (pictures,), in storage order.

    Raises:
        UserError: the network's outputs hold NaN.
    """
    network.eval()
    device = next(network.parameters()).device
    shape = (len(labels), network.classes)
    ten, one = np.empty(shape), np.empty(shape)
    done = 0
    with Progress("evaluate", len(labels), style) as progress:
        for batch in loader.batches(in_storage_order(len(labels))):
            count = len(batch.records)
            probabilities = _softmax(network, batch.pixels.to(device)).cpu().numpy()
            ten[done : done + count] = probabilities.mean(0)
            one[done : done + count] = probabilities[CENTRE]
            done += count
            progress.advance(count)
    if np.isnan(ten).any():
        raise UserError("the network's outputs hold NaN: its weights are of no use. Train again.")
    return Predictions(ten, one, labels)


def _softmax(network: AlexNet, pictures: Tensor) -> Tensor:
    """Return float64 (10, batch, classes)."""
    logits = network(network.input(ten_patches(pictures)))
    return logits.double().softmax(1).reshape(10, len(pictures), -1)


@torch.no_grad()
def classify(network: AlexNet, pictures: Tensor) -> Tensor:
    """Return the ten-patch probabilities, float64 (batch, classes), of uint8 (batch, 256, 256, 3)."""
    return _softmax(network.eval(), pictures).mean(0)

"""fc7's activations are those of the centre patch, in the order asked for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from conftest import ROOT

from alexnet.core.params import read
from alexnet.feed.loader import Batch
from alexnet.feed.order import Epoch
from alexnet.model.initial import initialise
from alexnet.model.network import AlexNet
from alexnet.model.params import Model
from alexnet.retrieval.features import features_of_centre, features_of_picture


def network_of() -> AlexNet:
    settings = read(ROOT / "profiles/imagenet-2012-paper.yaml", Model).model_dump()
    tiny = {"width": 0.03, "initial_weights": "he", "initial_biases": "zero"}
    network = AlexNet(Model.model_validate({**settings, **tiny}), 7)
    initialise(network, 1)
    network.input.mean_image.copy_(torch.rand(3, 256, 256, generator=torch.manual_seed(2)) * 40 + 100)
    return network


class Pictures:
    """A loader of whole pictures in memory, two at a time."""

    def __init__(self, pixels: torch.Tensor) -> None:
        self.pixels = pixels

    def batches(self, epoch: Epoch, first: int = 0) -> Iterator[Batch]:
        for start in range(first, len(epoch.order), 2):
            chosen = epoch.order[start : start + 2]
            nothing = torch.zeros(len(chosen), dtype=torch.int64)
            yield Batch(
                self.pixels[chosen], nothing, nothing, nothing.bool(), nothing, chosen, epoch.noise[chosen]
            )


def test_features_are_fc7_of_the_centre() -> None:
    network = network_of()
    draw = np.random.default_rng(1)
    pixels = draw.integers(0, 256, (5, 16, 16, 3), np.uint8).repeat(16, 1).repeat(16, 2)
    chosen = np.array([4, 0, 2])
    out = np.zeros((3, network.fc7.out_features), np.float32)
    features_of_centre(network, Pictures(torch.from_numpy(pixels)), chosen, 5, out, "none")
    for row, picture in zip(out, pixels[chosen], strict=True):
        centred = picture.astype(np.float32).transpose(2, 0, 1) - network.input.mean_image.numpy()
        inputs = torch.from_numpy(centred[:, 16:240, 16:240].copy())[None]
        with torch.no_grad():
            expected = network.eval().features(inputs)[0].numpy()
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(features_of_picture(network, picture)[0], expected, rtol=1e-4, atol=1e-4)
        assert row.std() > 0

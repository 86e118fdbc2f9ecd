"""Ten patches, their averaged outputs, and a split shared by several processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from alexnet.evaluation.patches import CENTRE, classify, predict, share, ten_patches
from numpy.typing import NDArray
from reference import softmax
from torch import Tensor

from alexnet.core.errors import UserError
from alexnet.core.params import read
from alexnet.evaluation.predictions import merge_parts
from alexnet.feed.loader import Batch
from alexnet.feed.order import Epoch
from alexnet.model.initial import initialise
from alexnet.model.network import AlexNet
from alexnet.model.params import Model

PROFILES = Path(__file__).parents[2] / "profiles"
# Top and left of the four corners and the centre, in the order of the patches.
PLACES = [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]
CLASSES = 7


def coordinates(pictures: int) -> Tensor:
    """Pictures whose pixels say where they are: row, column, number of the picture."""
    rows, columns = np.mgrid[0:256, 0:256]
    whole = [np.stack([rows, columns, np.full_like(rows, 50 + n)], -1) for n in range(pictures)]
    return torch.from_numpy(np.stack(whole).astype(np.uint8))


def test_ten_patches_are_the_corners_the_centre_and_their_mirrors_in_this_order() -> None:
    patches = ten_patches(coordinates(3))
    assert patches.pixels.shape == (30, 224, 224, 3)
    assert patches.pixels.dtype == torch.uint8
    pixels = patches.pixels.numpy()
    for number in range(10):
        top, left = PLACES[number % 5]
        columns = np.arange(left, left + 224)
        if number >= 5:
            columns = columns[::-1]
        for picture in range(3):
            place = 3 * number + picture
            assert (pixels[place, :, :, 0] == np.arange(top, top + 224)[:, None]).all()
            assert (pixels[place, :, :, 1] == columns).all()
            assert (pixels[place, :, :, 2] == 50 + picture).all()
            corner = int(patches.top[place]), int(patches.left[place]), bool(patches.mirrored[place])
            assert corner == (top, left, number >= 5)


def test_the_one_patch_is_the_centre_unmirrored() -> None:
    patches = ten_patches(coordinates(1))
    assert (int(patches.top[CENTRE]), int(patches.left[CENTRE])) == (16, 16)
    assert not patches.mirrored[CENTRE]
    assert patches.pixels[CENTRE, 0, 0].tolist() == [16, 16, 50]
    assert patches.pixels[CENTRE, -1, -1].tolist() == [239, 239, 50]


class Pictures:
    """A loader of whole pictures held in memory."""

    def __init__(self, pixels: Tensor, labels: NDArray[np.int64], batch_size: int) -> None:
        self.pixels, self.labels, self.batch_size = pixels, labels, batch_size

    def batches(self, epoch: Epoch, first: int = 0) -> Iterator[Batch]:
        for start in range(first, len(epoch.order), self.batch_size):
            chosen = epoch.order[start : start + self.batch_size]
            yield Batch(
                pixels=self.pixels[chosen],
                top=torch.from_numpy(epoch.top[chosen]),
                left=torch.from_numpy(epoch.left[chosen]),
                mirrored=torch.from_numpy(epoch.mirrored[chosen]),
                labels=torch.from_numpy(self.labels[chosen]),
                records=chosen,
                noise=epoch.noise[chosen],
            )


def network_of() -> AlexNet:
    settings = read(PROFILES / "imagenet-2012-paper.yaml", Model).model_dump()
    tiny = {"width": 0.03, "initial_weights": "he", "initial_biases": "zero"}
    network = AlexNet(Model.model_validate({**settings, **tiny}), CLASSES)
    initialise(network, 1)
    draw = np.random.default_rng(4)
    network.input.mean_image.copy_(torch.from_numpy(draw.uniform(100, 140, (3, 256, 256))))
    return network


def some_pictures(count: int) -> tuple[Tensor, NDArray[np.int64]]:
    draw = np.random.default_rng(5)
    # Coarse squares, so that patches at different places differ in more than noise.
    coarse = draw.integers(0, 256, (count, 16, 16, 3), np.uint8)
    pixels = coarse.repeat(16, 1).repeat(16, 2)
    return torch.from_numpy(pixels), draw.integers(0, CLASSES, count)


def literal_probabilities(network: AlexNet, picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Softmax of the ten patches one by one, with the mean of each patch's own place subtracted."""
    centred = picture.astype(np.float64) - network.input.mean_image.numpy().transpose(1, 2, 0)
    outputs = []
    for mirrored in (False, True):
        for top, left in PLACES:
            patch = centred[top : top + 224, left : left + 224]
            if mirrored:
                patch = patch[:, ::-1]
            inputs = torch.from_numpy(patch.transpose(2, 0, 1).copy()).float()[None]
            with torch.no_grad():
                outputs.append(network.eval()(inputs)[0].double().numpy())
    return softmax(np.array(outputs))


def test_predictions_average_the_softmax_outputs_of_the_ten() -> None:
    network, (pixels, labels) = network_of(), some_pictures(5)
    network.train()
    found = predict(network, Pictures(pixels, labels, 2), np.arange(len(labels)), len(labels), "none")
    assert found.ten.dtype == np.float64
    assert found.ten.shape == found.one.shape == (5, CLASSES)
    for picture in range(5):
        each = literal_probabilities(network, pixels[picture].numpy())
        np.testing.assert_allclose(found.ten[picture], each.mean(0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found.one[picture], each[4], rtol=1e-4, atol=1e-6)
        # The ten differ, and the softmax of their mean logits is not the mean of their softmaxes.
        assert np.abs(each - each[4]).max() > 1e-2
        mean_of_logits = softmax(np.log(each).mean(0))
        assert np.abs(found.ten[picture] - mean_of_logits).max() > 1e-4
    assert found.records.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(found.ten.sum(1), 1, rtol=1e-12)


def test_predictions_do_not_depend_on_the_batch() -> None:
    network, (pixels, labels) = network_of(), some_pictures(5)
    two = predict(network, Pictures(pixels, labels, 2), np.arange(len(labels)), len(labels), "none")
    five = predict(network, Pictures(pixels, labels, 5), np.arange(5), 5, "none")
    np.testing.assert_allclose(two.ten, five.ten, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(two.one, five.one, rtol=1e-4, atol=1e-6)


def test_classify_gives_the_ten_patch_probabilities() -> None:
    network, (pixels, labels) = network_of(), some_pictures(3)
    found = predict(network, Pictures(pixels, labels, 3), np.arange(3), 3, "none")
    np.testing.assert_allclose(classify(network.train(), pixels).numpy(), found.ten, rtol=1e-12)


def test_outputs_that_are_no_numbers_are_told() -> None:
    network, (pixels, labels) = network_of(), some_pictures(2)
    with torch.no_grad():
        network.fc8.bias[2] = torch.nan
    with pytest.raises(UserError, match="NaN"):
        predict(network, Pictures(pixels, labels, 2), np.arange(len(labels)), len(labels), "none")


@pytest.mark.parametrize("pictures", [1, 3, 7, 12, 13])
@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
def test_shares_are_whole_batches_and_hold_each_picture_once(pictures: int, ranks: int) -> None:
    shares = [share(pictures, 4, rank, ranks) for rank in range(ranks)]
    assert np.concatenate(shares).tolist() == list(range(pictures))
    assert all(len(mine) == 0 or mine[0] % 4 == 0 for mine in shares)
    sizes = [-(-len(mine) // 4) for mine in shares]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_several_ranks_give_the_bits_of_one(ranks: int) -> None:
    # Seven pictures: no multiple of the batch of two, nor of any number of ranks.
    network, (pixels, labels) = network_of(), some_pictures(7)
    loader = Pictures(pixels, labels, 2)
    alone = predict(network, loader, share(7, 2), 7, "none")
    parts = [predict(network, loader, share(7, 2, rank, ranks), 7, "none") for rank in range(ranks)]
    ten, one = merge_parts(parts[::-1], 7)
    assert np.array_equal(ten, alone.ten)
    assert np.array_equal(one, alone.one)


def test_parts_that_miss_or_repeat_a_picture_are_refused() -> None:
    network, (pixels, labels) = network_of(), some_pictures(4)
    loader = Pictures(pixels, labels, 2)
    first, second = (predict(network, loader, share(4, 2, rank, 2), 4, "none") for rank in range(2))
    for parts in ([first], [first, first], [first, second, second]):
        with pytest.raises(ValueError, match="each of 4 pictures once"):
            merge_parts(parts, 4)


def test_each_picture_is_asked_for_once() -> None:
    network, (pixels, labels) = network_of(), some_pictures(3)
    asked: list[int] = []

    class Counting(Pictures):
        def batches(self, epoch: Epoch, first: int = 0) -> Iterator[Batch]:
            for batch in super().batches(epoch, first):
                asked.extend(batch.records.tolist())
                assert batch.pixels.shape[1:] == (256, 256, 3)
                yield batch

    predict(network, Counting(pixels, labels, 2), share(3, 2), 3, "none")
    assert asked == [0, 1, 2]

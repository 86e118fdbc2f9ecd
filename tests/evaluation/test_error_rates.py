"""Error rates, ten patches and predictions against plain NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.data.loader import Batch
from alexnet.data.order import Epoch
from alexnet.errors import UserError
from alexnet.evaluation.errors import top_k_wrong
from alexnet.evaluation.patches import CENTRE, Predictions, classify, predict, ten_patches
from alexnet.model.initial import initialise
from alexnet.model.network import AlexNet
from alexnet.params.base import read
from alexnet.params.model import Model

PROFILES = Path(__file__).parents[2] / "profiles"
# Top and left of the four corners and the centre, in the order of the patches.
PLACES = [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]
CLASSES = 7


def literally_wrong(scores: NDArray[np.float64], labels: NDArray[np.int64], k: int) -> list[bool]:
    """Sort each picture's classes, the true one behind all that score as high, and look for it."""
    wrong = []
    for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
        ranking = sorted(range(len(row)), key=lambda index: (-row[index], index == label))
        wrong.append(label not in ranking[:k])
    return wrong


@pytest.mark.parametrize("classes", [2, 5, 6, 40])
@pytest.mark.parametrize("k", [1, 5])
def test_top_k_is_the_place_in_the_ranking(classes: int, k: int) -> None:
    draw = np.random.default_rng(classes)
    # Whole numbers, so that there are many ties.
    scores = draw.integers(0, 6, (300, classes)).astype(np.float64)
    scores[:40, 0] = 7
    labels = draw.integers(0, classes, 300)
    labels[:20] = 0
    expected = literally_wrong(scores, labels, k)
    found = top_k_wrong(torch.from_numpy(scores), torch.from_numpy(labels), k)
    assert found.tolist() == expected
    assert any(expected) == (classes > k)
    assert not all(expected)


def test_a_tie_counts_against_the_network() -> None:
    scores = torch.tensor([[3.0, 3.0, 1.0], [3.0, 2.0, 2.0], [0.0, 0.0, 0.0]])
    assert top_k_wrong(scores, torch.tensor([0, 0, 0]), 1).tolist() == [True, False, True]
    assert top_k_wrong(scores, torch.tensor([1, 1, 1]), 2).tolist() == [False, True, True]


def test_a_network_that_does_not_tell_classes_apart_is_always_wrong() -> None:
    scores, labels = torch.zeros(10, 10), torch.arange(10)
    for k in (1, 5):
        assert top_k_wrong(scores, labels, k).all()


def test_scores_that_are_no_numbers_are_refused() -> None:
    scores = torch.zeros(3, 4)
    scores[1, 2] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        top_k_wrong(scores, torch.zeros(3, dtype=torch.int64), 1)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def test_metrics_are_numpys_on_random_logits() -> None:
    draw = np.random.default_rng(3)
    logits = draw.integers(-3, 4, (10, 200, 20)).astype(np.float64)
    labels = draw.integers(0, 20, 200)
    logits[:, range(60), labels[:60]] = 4
    each = softmax(logits)
    ten, one = each.mean(0), each[4]
    metrics = Predictions(ten, one, labels).metrics()
    for suffix, scores in (("", ten), ("_one_patch", one)):
        for k in (1, 5):
            expected = np.mean(literally_wrong(scores, labels, k))
            assert 0 < expected < 1
            assert metrics[f"top{k}_error{suffix}"] == pytest.approx(expected, abs=1e-15)
    expected_loss = -np.mean([np.log(ten[picture, label]) for picture, label in enumerate(labels)])
    assert metrics["loss"] == pytest.approx(expected_loss, rel=1e-12)
    assert metrics["images"] == 200


def test_metrics_by_hand() -> None:
    ten = np.array(
        [
            [0.50, 0.20, 0.10, 0.10, 0.05, 0.05],  # right
            [0.30, 0.25, 0.20, 0.15, 0.06, 0.04],  # second: top-1 wrong
            [0.30, 0.25, 0.20, 0.15, 0.06, 0.04],  # sixth: both wrong
            [0.25, 0.25, 0.20, 0.10, 0.10, 0.10],  # a tie for the first: top-1 wrong
        ]
    )
    one = np.eye(6)[[0, 1, 5, 0]] * 0.5 + np.arange(6) / 30
    metrics = Predictions(ten, one, np.array([0, 1, 5, 0])).metrics()
    assert metrics == {
        "top1_error": 0.75,
        "top5_error": 0.25,
        "top1_error_one_patch": 0.0,
        "top5_error_one_patch": 0.0,
        "loss": pytest.approx(-np.log([0.5, 0.25, 0.04, 0.25]).mean(), rel=1e-12),
        "images": 4,
    }


def test_fewer_than_five_classes_are_never_beyond_the_fifth() -> None:
    scores = np.array([[0.2, 0.3, 0.5], [0.5, 0.3, 0.2]])
    metrics = Predictions(scores, scores, np.array([0, 0])).metrics()
    assert (metrics["top1_error"], metrics["top5_error"]) == (0.5, 0.0)


def test_a_certain_and_wrong_prediction_has_a_finite_loss() -> None:
    scores = np.array([[1.0, 0.0]])
    loss = Predictions(scores, scores, np.array([1])).metrics()["loss"]
    assert loss == pytest.approx(-np.log(np.finfo(np.float64).tiny), rel=1e-12)


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
    found = predict(network, Pictures(pixels, labels, 2), labels, "none")
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
    assert np.array_equal(found.labels, labels)
    np.testing.assert_allclose(found.ten.sum(1), 1, rtol=1e-12)


def test_predictions_do_not_depend_on_the_batch() -> None:
    network, (pixels, labels) = network_of(), some_pictures(5)
    two = predict(network, Pictures(pixels, labels, 2), labels, "none")
    five = predict(network, Pictures(pixels, labels, 5), labels, "none")
    np.testing.assert_allclose(two.ten, five.ten, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(two.one, five.one, rtol=1e-4, atol=1e-6)


def test_classify_gives_the_ten_patch_probabilities() -> None:
    network, (pixels, labels) = network_of(), some_pictures(3)
    found = predict(network, Pictures(pixels, labels, 3), labels, "none")
    np.testing.assert_allclose(classify(network.train(), pixels).numpy(), found.ten, rtol=1e-12)


def test_outputs_that_are_no_numbers_are_told() -> None:
    network, (pixels, labels) = network_of(), some_pictures(2)
    with torch.no_grad():
        network.fc8.bias[2] = torch.nan
    with pytest.raises(UserError, match="NaN"):
        predict(network, Pictures(pixels, labels, 2), labels, "none")

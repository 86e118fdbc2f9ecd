"""The averaged outputs of ten patches, and a split shared by several processes."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from reference import softmax
from tiny import InMemory, coarse_pictures, network_of

from alexnet.core.errors import UserError
from alexnet.evaluation.predict import classify, own_records, predict
from alexnet.model.network import AlexNet

# Top and left of the four corners and the centre, in the order of the patches.
PLACES = [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]
# No multiple of the batch of two, nor of the number of ranks below.
PICTURES = coarse_pictures(7)


Found = tuple[NDArray[np.float64], NDArray[np.float64]]


@pytest.fixture(scope="module")
def network() -> AlexNet:
    return network_of(width=0.03, input_divisor=1.0)


@pytest.fixture(scope="module")
def found(network: AlexNet) -> Found:
    """Return what one process predicts, two pictures at a time."""
    return predict(network.train(), InMemory(PICTURES), np.arange(7), 7, "none")


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
                outputs.append(network.eval().from_inputs(inputs)[0].double().numpy())
    return softmax(np.array(outputs))


def test_predictions_average_the_softmax_outputs_of_the_ten(network: AlexNet, found: Found) -> None:
    assert all(each.dtype == np.float64 and each.shape == (7, 7) for each in found)
    for picture, ten, one in zip(PICTURES, *found, strict=True):
        each = literal_probabilities(network, picture)
        np.testing.assert_allclose(ten, each.mean(0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(one, each[4], rtol=1e-4, atol=1e-6)
        # The ten differ, and the softmax of their mean logits is not the mean of their softmaxes.
        assert np.abs(each - each[4]).max() > 1e-2
        assert np.abs(ten - softmax(np.log(each).mean(0))).max() > 1e-4
    np.testing.assert_allclose(found[0].sum(1), 1, rtol=1e-12)


def test_neither_the_batch_nor_the_loader_matters_and_each_picture_is_asked_for_once(
    network: AlexNet, found: Found
) -> None:
    loader = InMemory(PICTURES, 5)
    other = predict(network, loader, np.arange(7), 7, "none")
    assert loader.asked == list(range(7))
    np.testing.assert_allclose(other, found, rtol=1e-4, atol=1e-6)
    classified = classify(network.train(), torch.from_numpy(PICTURES)).numpy()
    np.testing.assert_allclose(classified, found[0], rtol=1e-4, atol=1e-6)


def test_outputs_that_are_no_numbers_are_told() -> None:
    broken = network_of(width=0.03)
    with torch.no_grad():
        broken.fc8.bias[2] = torch.nan
    with pytest.raises(UserError, match="NaN"):
        predict(broken, InMemory(PICTURES[:2]), np.arange(2), 2, "none")


@pytest.mark.parametrize("pictures", [1, 3, 7, 12, 13])
@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
def test_shares_are_whole_batches_and_hold_each_picture_once(pictures: int, ranks: int) -> None:
    shares = [own_records(pictures, 4, rank, ranks) for rank in range(ranks)]
    assert np.concatenate(shares).tolist() == list(range(pictures))
    assert all(len(mine) == 0 or mine[0] % 4 == 0 for mine in shares)
    sizes = [-(-len(mine) // 4) for mine in shares]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_several_ranks_give_the_bits_of_one(network: AlexNet, found: Found, ranks: int) -> None:
    parts = [
        predict(network, InMemory(PICTURES), own_records(7, 2, rank, ranks), 7, "none")
        for rank in range(ranks)
    ]
    for together, alone in zip(zip(*parts, strict=True), found, strict=True):
        assert np.array_equal(np.concatenate(together), alone)

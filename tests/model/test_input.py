"""The patches of a picture, and the input rule picture by picture in double precision."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import CPU, patches
from torch import Tensor

from alexnet.model.input import Batch, InputRule, whole_pictures
from alexnet.model.patches import CENTRE, centre_patch, ten_patches


@pytest.mark.parametrize("side", [224, 227])
def test_ten_patches_are_the_corners_the_centre_and_their_mirrors_in_this_order(side: int) -> None:
    # Pictures whose pixels say where they are: row, column, number of the picture.
    rows, columns = np.mgrid[0:256, 0:256]
    whole = np.stack([np.stack([rows, columns, np.full_like(rows, 50 + n)], -1) for n in range(3)])
    pictures = whole_pictures(torch.from_numpy(whole.astype(np.uint8)))
    found = ten_patches(pictures, side)
    assert found.pixels.shape == (30, side, side, 3)
    assert found.pixels.dtype == torch.uint8
    pixels, end = found.pixels.numpy(), 256 - side
    corners = [(0, 0), (0, end), (end, 0), (end, end), (end // 2, end // 2)]
    for place in range(30):
        number, picture = divmod(place, 3)
        top, left = corners[number % 5]
        seen = np.arange(left, left + side)[:: -1 if number >= 5 else 1]
        assert (pixels[place, :, :, 0] == np.arange(top, top + side)[:, None]).all()
        assert (pixels[place, :, :, 1] == seen).all()
        assert (pixels[place, :, :, 2] == 50 + picture).all()
        corner = int(found.top[place]), int(found.left[place]), bool(found.mirrored[place])
        assert corner == (top, left, number >= 5)

    one, centres = centre_patch(pictures, side), slice(3 * CENTRE, 3 * CENTRE + 3)
    for field in ("pixels", "top", "left", "mirrored"):
        assert torch.equal(getattr(one, field), getattr(found, field)[centres])


# Top, left, mirrored: both ends of the 33 offsets, and what tells top from left.
PLACES = [(0, 32, False), (5, 30, True), (32, 0, True)]
WHOLE = np.random.default_rng(1).integers(0, 256, (len(PLACES), 256, 256, 3), np.uint8)
SHIFT = torch.tensor([[5.0, -3.0, 0.5], [0.0, 1.0, 2.0], [-7.0, 4.0, 9.0]])


def cut(whole: NDArray[np.uint8] = WHOLE) -> Batch:
    """Cut and mirror as the paper says: a patch of the picture, or its reflection."""
    found = []
    for picture, (top, left, mirrored) in zip(whole, PLACES, strict=True):
        patch = picture[top : top + 224, left : left + 224]
        found.append(patch[:, ::-1] if mirrored else patch)
    return patches(np.stack(found), *PLACES)


def rule_of(mean: str, divisor: float = 1.0) -> InputRule:
    rule = InputRule(mean, divisor).double()
    values = np.random.default_rng(2).uniform(90, 150, (3, 256, 256))
    rule.mean_image.copy_(torch.from_numpy(values))
    return rule


def literal(rule: InputRule, batch: Batch, shift: Tensor | None, divisor: float) -> NDArray[np.float64]:
    result = batch.pixels.permute(0, 3, 1, 2).double().numpy()
    for number, (top, left, mirrored) in enumerate(PLACES):
        # Where in the whole picture the columns of the patch come from.
        columns = np.arange(left, left + 224)[:: -1 if mirrored else 1]
        if rule.mean == "patch":
            result[number] -= rule.mean_image.numpy()[:, top : top + 224, columns]
        elif rule.mean == "centre":
            result[number] -= rule.mean_image.numpy()[:, 16:240, 16:240]
        if shift is not None:
            result[number] += shift[number].numpy()[:, None, None]
    return np.asarray(result / divisor)


@pytest.mark.parametrize(
    ("mean", "divisor", "shift", "noise_divisor"),
    [
        ("patch", 1.0, None, 1.0),
        ("centre", 1.0, None, 1.0),
        ("none", 4.0, None, 2.0),
        ("patch", 60.0, SHIFT, 1.1),
    ],
)
def test_the_mean_goes_off_the_shift_comes_on_and_both_divisors_divide(
    mean: str, divisor: float, shift: Tensor | None, noise_divisor: float
) -> None:
    rule, batch = rule_of(mean, divisor), cut()
    found = rule(batch, shift, noise_divisor)
    assert found.dtype == torch.float64
    assert found.is_contiguous()
    expected = literal(rule, batch, shift, divisor * noise_divisor)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12)
    # What GPUs and exported graphs subtract, all pictures at once.
    if mean != "none":
        apart = batch.pixels.permute(0, 3, 1, 2) - rule.means(batch)
        expected = literal(rule, batch, None, 1.0)
        np.testing.assert_allclose(apart.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_a_picture_that_is_the_mean_leaves_nothing() -> None:
    whole = np.repeat(WHOLE[:1], len(PLACES), 0)
    for mean, nothing in (("patch", True), ("centre", False)):
        rule = InputRule(mean, 1.0)
        rule.mean_image.copy_(torch.from_numpy(whole[0]).permute(2, 0, 1))
        # The source takes the centre of the mean wherever the patch lay, so something stays.
        assert rule(cut(whole)).flatten(1).any(1).tolist() == [not nothing] * len(PLACES)


def test_a_batch_on_a_device_leaves_what_only_the_host_needs() -> None:
    batch = whole_pictures(torch.from_numpy(WHOLE))
    meta = batch.to(torch.device("meta"))
    assert {name for name, field in meta._asdict().items() if field.device == CPU} == {"records"}
    assert batch.records.tolist() == [0, 1, 2]
    assert batch.labels.tolist() == [-1] * 3
    assert not torch.cat([batch.top, batch.left, batch.mirrored]).any()

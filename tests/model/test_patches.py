"""The ten patches of a picture, and the one in its centre."""

import numpy as np
import pytest
import torch

from alexnet.model.input import whole_pictures
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

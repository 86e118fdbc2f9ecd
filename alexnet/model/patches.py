"""The patches by which a whole picture is tested: ten, or the centre alone (paper, section 4.1)."""

import torch

from alexnet.core.sizes import PICTURE
from alexnet.model.input import Batch

# Four corners and the centre, then their mirrors: the unmirrored centre is number 4 of the ten.
TEN, CENTRE = 10, 4


def ten_patches(pictures: Batch, side: int) -> Batch:
    """Cut the ten patches of each picture.

    Args:
        pictures: whole pictures, 256×256.
        side: of a patch, in pixels.

    Returns:
        10 · batch patches: the first `batch` are the pictures' first patches, and so on: upper left,
        upper right, lower left, lower right, centre, then their mirrors.
    """
    whole, end = pictures.pixels, PICTURE - side
    places = ((0, 0), (0, end), (end, 0), (end, end), (end // 2, end // 2))
    cut = [whole[:, top : top + side, left : left + side] for top, left in places]
    # Not len(): the ONNX exporter would take its example's batch for that of every call.
    count = whole.shape[0]
    corners = torch.tensor(places, device=whole.device).repeat(2, 1).repeat_interleave(count, 0)
    return pictures._replace(
        pixels=torch.cat(cut + [patch.flip(2) for patch in cut]),
        top=corners[:, 0],
        left=corners[:, 1],
        mirrored=torch.arange(TEN, device=whole.device).repeat_interleave(count) >= TEN // 2,
    )


def centre_patch(pictures: Batch, side: int) -> Batch:
    """Cut the central patch of each picture; arguments as of `ten_patches`."""
    start = (PICTURE - side) // 2
    corner = torch.full_like(pictures.top, start)
    pixels = pictures.pixels[:, start : start + side, start : start + side]
    return pictures._replace(pixels=pixels, top=corner, left=corner)

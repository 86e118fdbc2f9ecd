"""A picture to 256×256 (paper, section 2).

"Rescaled such that the shorter side was of length 256", then the central 256×256. Shrinking
averages areas and enlarging is cubic, as in the authors' later data maker.
"""

import functools
from typing import Any

import cv2
import numpy as np
from scipy.sparse import csr_array

from alexnet.core.sizes import PICTURE
from alexnet.ingest.decode import MAX_PIXELS, Picture
from alexnet.ingest.stored import BadPictureError

# New columns made at once when shrinking, and the pixels under them at most: what stays in a core's cache,
# and for large pictures in little memory.
BLOCK, BLOCK_PIXELS = 128, 200_000


def to_square(picture: Picture) -> Picture:
    """Return the central 256×256 of `picture` scaled to a shorter side of 256, uint8 RGB.

    Raises:
        BadPictureError: so thin that the scaled picture would be larger than `MAX_PIXELS`.
    """
    height, width = picture.shape[:2]
    short = min(height, width)
    size = (max(PICTURE, round(height * PICTURE / short)), max(PICTURE, round(width * PICTURE / short)))
    if size[0] * size[1] > MAX_PIXELS:
        raise BadPictureError(f"{width}×{height} pixels is too thin to be scaled to {size[1]}×{size[0]}")
    if short > PICTURE:
        return _central_square_by_area(picture, size)
    if short < PICTURE:
        enlarged = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_CUBIC)
        picture = enlarged.astype(np.uint8, copy=False)
    top, left = _corner(size)
    return np.ascontiguousarray(picture[top : top + PICTURE, left : left + PICTURE])


def _corner(size: tuple[int, int]) -> tuple[int, int]:
    return (size[0] - PICTURE) // 2, (size[1] - PICTURE) // 2


def _central_square_by_area(picture: Picture, size: tuple[int, int]) -> Picture:
    """Return the central square of `picture` shrunk to `size` (height, width) by exact coverage of areas.

    Pixels outside the square are not touched. Rows, then columns: either is a product with a sparse
    matrix, three times as fast as OpenCV's area interpolation and within its rounding. Block by block
    of new columns, which changes no bit and stays in a core's cache.
    """
    top, left = _corner(size)
    above, rows = _coverage(picture.shape[0], size[0], top, PICTURE)
    tall = picture[above : above + rows.shape[1]]
    wide = BLOCK
    while wide > 1 and wide * len(tall) > BLOCK_PIXELS * PICTURE // len(tall):
        wide //= 2
    # Columns first: OpenCV transposes pixels several times faster than NumPy.
    square = np.empty((PICTURE, PICTURE, 3), np.uint8)
    for start in range(0, PICTURE, wide):
        before, columns = _coverage(picture.shape[1], size[1], left + start, wide)
        floats = tall[:, before : before + columns.shape[1]].astype(np.float32)
        low = cv2.transpose((rows @ floats.reshape(len(tall), -1)).reshape(PICTURE, -1, 3))
        block = cv2.convertScaleAbs(columns @ low.reshape(columns.shape[1], -1))
        square[start : start + wide] = block.reshape(wide, PICTURE, 3)
    return cv2.transpose(square).astype(np.uint8, copy=False)


@functools.lru_cache(4096)
def _coverage(before: int, after: int, first: int, count: int) -> tuple[int, Any]:
    """Return which share of the `count` new cells from `first` on each old cell covers.

    `before` cells are shrunk to `after`. The matrix, (count, old cells), starts at the old cell whose
    number stands in front of it. Whole numbers until the last division: a new cell is `before`
    long, an old one `after`.
    """
    new = np.arange(first, first + count)
    starts, ends = new * before // after, -(-(new + 1) * before // after)
    counts = ends - starts
    ends_at = np.cumsum(counts)
    old = np.arange(ends_at[-1]) - np.repeat(ends_at - counts - starts, counts)
    new = np.repeat(new, counts)
    overlap = np.minimum((new + 1) * before, (old + 1) * after) - np.maximum(new * before, old * after)
    weights = (overlap / before).astype(np.float32)
    offset = int(starts[0])
    shape = (count, int(ends[-1]) - offset)
    # 32 bits: half of what a product reads beside the pixels.
    indices, starts_at = (old - offset).astype(np.int32), np.concatenate([[0], ends_at]).astype(np.int32)
    return offset, csr_array((weights, indices, starts_at), shape=shape)

"""The order of the pictures, and the crop, mirroring and noise of each.

They depend on the seed, the epoch, the picture's number and the number of pictures; with `pictures_per_crop`
above 1 also on the order. All draws of an epoch are made at once, one row per picture, so that no batch size,
process, loader or restart can change them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alexnet.core.draws import generator
from alexnet.core.sizes import PATCH, PICTURE
from alexnet.feed.params import Augment

Order = Literal["shuffled", "fixed"]
# 33, as both ends count: 33 · 33 · 2 = 2178 variants of a picture (the paper says 2048).
OFFSETS = PICTURE - PATCH + 1
CENTRE = (PICTURE - PATCH) // 2


class Share(NamedTuple):
    """The part of a batch, or of other things, that one process handles: parts `first` to `last` − 1 of `of`.

    The parts are as even as possible. If there are fewer things than parts, some parts are empty.
    """

    first: int
    last: int
    of: int

    def bounds(self, count: int) -> tuple[int, int]:
        """Return where the share of `count` things begins and ends."""
        return count * self.first // self.of, count * self.last // self.of

    def part(self, number: int, of: int) -> "Share":
        """Return part `number` of the `of` parts of this share."""
        parts = self.last - self.first
        first = self.first * of + number * parts
        return Share(first, first + parts, self.of * of)


WHOLE = Share(0, 1, 1)


@dataclass(frozen=True)
class Epoch:
    """One pass over a split.

    Attributes:
        order: int64 (pictures,), record numbers in the order they are shown.
        top, left: int64 (pictures,), the patch's corner, by record number as all that follows.
        mirrored: bool (pictures,).
        noise: float32 (pictures, 3), standard normal.
    """

    order: NDArray[np.int64]
    top: NDArray[np.int64]
    left: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    noise: NDArray[np.float32]


def batches(epoch: Epoch, first: int, batch_size: int, share: Share = WHOLE) -> Iterator[NDArray[np.int64]]:
    """Yield the record numbers of the share of each batch, from picture number `first` on."""
    for start in range(first, len(epoch.order), batch_size):
        batch = epoch.order[start : start + batch_size]
        begin, end = share.bounds(len(batch))
        yield batch[begin:end]


def training_epoch(
    seed: int, epoch: int, pictures: int, augment: Augment, order: Order = "shuffled"
) -> Epoch:
    """Return the plan of training epoch `epoch` (from 1) over `pictures` records.

    A random patch of the 33 × 33 possible ones and, half the time, its mirror (paper, section 4.1). With
    `augment.pictures_per_crop` above 1, pictures that follow each other have those of the first of them, as
    in the 2012 source (convdata.py).

    Args:
        order: ``fixed`` is the order of the records, which were shuffled once.
    """
    shown = np.arange(pictures) if order == "fixed" else generator(seed, "order", epoch).permutation(pictures)
    draw = generator(seed, "crop, mirror and noise", epoch)
    corners = draw.integers(0, OFFSETS, (2, pictures))
    mirrored = draw.integers(0, 2, pictures).astype(bool)
    noise = draw.standard_normal((pictures, 3), dtype=np.float32)
    if augment.pictures_per_crop > 1:
        first = shown[np.arange(pictures) // augment.pictures_per_crop * augment.pictures_per_crop]
        corners[:, shown], mirrored[shown] = corners[:, first], mirrored[first]
    if augment.crop == "centre":
        corners = np.full_like(corners, CENTRE)
    return Epoch(shown, top=corners[0], left=corners[1], mirrored=mirrored & augment.mirror, noise=noise)


def in_storage_order(pictures: int) -> Epoch:
    """Return the plan that shows each picture's centre once, in storage order."""
    corner, unmirrored = np.full(pictures, CENTRE), np.zeros(pictures, bool)
    return Epoch(np.arange(pictures), corner, corner, unmirrored, np.zeros((pictures, 3), np.float32))

"""Batches of pictures in a planned order, by DALI or by a plain torch loader.

Both loaders are told, batch by batch, which records to decode and what to cut; they draw nothing
themselves. They give the same batches, and where to begin is a number of pictures.
"""

from __future__ import annotations

import importlib.util
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.data.order import Epoch, batches
from alexnet.data.records import Records, decoded
from alexnet.share import WHOLE, Share

PATCH = 224
# Batches in the making, the one asked for included.
PREFETCHED = 2


class Batch(NamedTuple):
    """Some pictures as bytes, and what is known of them; all but `records` and `noise` are tensors.

    Attributes:
        pixels: uint8 (batch, side, side, 3) RGB: patches as cut and mirrored, or whole pictures.
        top, left: int64 (batch,), the patch's corner in the unmirrored picture.
        mirrored: bool (batch,).
        labels: int64 (batch,).
        records: int64 (batch,), record numbers.
        noise: float32 (batch, 3), the epoch plan's standard normal numbers.
    """

    pixels: Tensor
    top: Tensor
    left: Tensor
    mirrored: Tensor
    labels: Tensor
    records: NDArray[np.int64]
    noise: NDArray[np.float32]


class Loader(Protocol):
    """What training and evaluation ask of a loader."""

    def batches(self, epoch: Epoch, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of `epoch` from its picture number `first` on.

        Of every batch only the loader's share; the last may be smaller.
        """


def chosen_loader(kind: str) -> str:
    """Return ``dali`` or ``torch``; ``auto`` is DALI where it is installed."""
    if kind == "auto":
        return "dali" if importlib.util.find_spec("nvidia.dali") else "torch"
    return kind


def open_loader(
    kind: str,
    records: Records,
    batch_size: int,
    device: torch.device,
    threads: int,
    side: int = PATCH,
    share: Share = WHOLE,
) -> Loader:
    """Return a loader of `records`.

    Args:
        kind: ``dali``, ``torch``, or ``auto``: DALI where it is installed.
        device: where the pixels are wanted; DALI decodes on a GPU when it is one.
        threads: for decoding.
        side: 224 for patches, 256 for whole pictures.
        share: what part of every batch to load, where several processes share the work.
    """
    if chosen_loader(kind) == "dali":
        from alexnet.data.dali import DaliLoader

        return DaliLoader(records, batch_size, device, threads, side, share)
    return TorchLoader(records, batch_size, device, threads, side, share)


def batch_of(records: Records, epoch: Epoch, chosen: NDArray[np.int64], pixels: Tensor) -> Batch:
    """Put together the batch of the `chosen` records, whose pixels a loader has made."""
    device = pixels.device

    def tensor(values: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(values[chosen]).to(device)

    return Batch(
        pixels=pixels,
        top=tensor(epoch.top),
        left=tensor(epoch.left),
        mirrored=tensor(epoch.mirrored),
        labels=tensor(records.labels),
        records=chosen,
        noise=epoch.noise[chosen],
    )


class TorchLoader:
    """Pillow in threads, which it leaves to run side by side: the reference, and DALI's stand-in.

    Threads, not the worker processes of torch's `DataLoader`: those are forked, and a fork of a process
    in which DALI or OpenMP has threads can hang.
    """

    def __init__(
        self,
        records: Records,
        batch_size: int,
        device: torch.device,
        threads: int,
        side: int,
        share: Share = WHOLE,
    ) -> None:
        self.records, self.batch_size, self.device, self.side = records, batch_size, device, side
        self.threads, self.share = threads, share

    def batches(self, epoch: Epoch, first: int = 0) -> Iterator[Batch]:
        under_way: deque[tuple[NDArray[np.int64], list[Future[NDArray[np.uint8]]]]] = deque()
        with ThreadPoolExecutor(self.threads) as pool:
            for chosen in batches(epoch, first, self.batch_size, self.share):
                under_way.append((chosen, [pool.submit(self._pixels, epoch, record) for record in chosen]))
                if len(under_way) == PREFETCHED:
                    yield self._finished(epoch, *under_way.popleft())
            while under_way:
                yield self._finished(epoch, *under_way.popleft())

    def _pixels(self, epoch: Epoch, record: int) -> NDArray[np.uint8]:
        picture = decoded(self.records, record)
        if self.side != PATCH:
            return picture
        top, left = epoch.top[record], epoch.left[record]
        patch = picture[top : top + PATCH, left : left + PATCH]
        return patch[:, ::-1] if epoch.mirrored[record] else patch

    def _finished(
        self, epoch: Epoch, chosen: NDArray[np.int64], pictures: list[Future[NDArray[np.uint8]]]
    ) -> Batch:
        pixels = torch.from_numpy(
            np.stack([picture.result() for picture in pictures])
            if pictures
            else np.empty((0, self.side, self.side, 3), np.uint8)
        )
        return batch_of(self.records, epoch, chosen, pixels.to(self.device))

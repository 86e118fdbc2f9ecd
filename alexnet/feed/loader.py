"""Batches of pictures in a planned order, by DALI or by plain threads.

Both loaders are told, batch by batch, which records to decode and what to cut; they draw nothing
themselves. They give the same batches, and where to begin is a number of pictures.
"""

from __future__ import annotations

import importlib.util
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.feed.order import Epoch, batches
from alexnet.feed.share import WHOLE, Share
from alexnet.store.records import Records, decoded

PATCH = 224
# Batches in the making, the one asked for included.
PREFETCHED = 3
# Pictures that a thread of the plain loader takes at a time.
AT_ONCE = 8
# DALI's default.
HARDWARE_LOAD = 0.65


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


def chosen_loader(kind: str, encoding: str) -> str:
    """Return ``dali`` or ``torch``, which `open_loader` takes when asked for `kind`.

    ``auto`` is DALI where it is installed: on a GPU it decodes there; on a CPU the plain threads are as
    fast (python -m benchmarks.load). Raw records need no decoder.
    """
    if encoding == "raw":
        return "torch"
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
    hardware_load: float = HARDWARE_LOAD,
) -> Loader:
    """Return a loader of `records`.

    Args:
        kind: ``dali``, ``torch`` (plain threads), or ``auto``; see `chosen_loader`.
        device: where the pixels are wanted; DALI decodes on a GPU when it is one.
        threads: for decoding.
        side: 224 for patches, 256 for whole pictures.
        share: what part of every batch to load, where several processes share the work.
        hardware_load: share of the pictures that DALI gives to a GPU's own JPEG engine, where it has one.
    """
    if chosen_loader(kind, records.encoding) == "dali":
        from alexnet.feed.dali import DaliLoader

        return DaliLoader(records, batch_size, device, threads, side, share, hardware_load)
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
    """libjpeg-turbo in threads, which it leaves to run side by side; raw records are only cut.

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
        under_way: deque[tuple[NDArray[np.int64], Tensor, list[Future[None]]]] = deque()
        with ThreadPoolExecutor(self.threads) as pool:
            for chosen in batches(epoch, first, self.batch_size, self.share):
                under_way.append((chosen, *self._begun(pool, epoch, chosen)))
                if len(under_way) == PREFETCHED:
                    yield self._finished(epoch, *under_way.popleft())
            while under_way:
                yield self._finished(epoch, *under_way.popleft())

    def _begun(
        self, pool: ThreadPoolExecutor, epoch: Epoch, chosen: NDArray[np.int64]
    ) -> tuple[Tensor, list[Future[None]]]:
        shape = (len(chosen), self.side, self.side, 3)
        # From pinned memory a GPU fetches by itself.
        pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        places = range(0, len(chosen), AT_ONCE)
        return pixels, [pool.submit(self._fill, epoch, chosen, pixels.numpy(), first) for first in places]

    def _fill(self, epoch: Epoch, chosen: NDArray[np.int64], pixels: NDArray[np.uint8], first: int) -> None:
        for place, record in enumerate(chosen[first : first + AT_ONCE], first):
            picture = decoded(self.records, record)
            if self.side == PATCH:
                top, left = epoch.top[record], epoch.left[record]
                put(picture[top : top + PATCH, left : left + PATCH], epoch.mirrored[record], pixels[place])
            else:
                pixels[place] = picture

    def _finished(
        self, epoch: Epoch, chosen: NDArray[np.int64], pixels: Tensor, parts: list[Future[None]]
    ) -> Batch:
        for part in parts:
            part.result()
        return batch_of(self.records, epoch, chosen, pixels.to(self.device, non_blocking=True))


def put(patch: NDArray[np.uint8], mirrored: np.bool_, place: NDArray[np.uint8]) -> None:
    """Copy `patch` to `place`, mirrored or not."""
    if mirrored:
        # Five times as fast as NumPy's copy of a reversed view.
        cv2.flip(patch, 1, place)
    else:
        place[:] = patch

"""The loader that uses plain threads, and the functions with which all loaders make a batch."""

import functools
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.core.sizes import PATCH
from alexnet.feed.order import WHOLE, Epoch, Share, batches
from alexnet.model.input import Batch
from alexnet.store.records import Records, decoded

# Batches that are being made at a time, the next one included.
PREFETCHED = 3
# Pictures that a thread takes at a time.
AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class ThreadLoader:
    """libjpeg-turbo in threads, which run side by side while it decodes; raw records are only cut.

    On a CPU, threads suffice, since decoding releases Python's lock, and no batch is copied between
    processes; for a GPU, see `alexnet.feed.process`. The arguments are those of
    `alexnet.feed.loader.open_loader`.
    """

    records: Records
    batch_size: int
    device: torch.device
    threads: int
    side: int = PATCH
    share: Share = WHOLE

    def batches(self, epoch: Epoch, first: int = 0) -> Iterator[Batch]:
        """Yield as `alexnet.feed.loader.Loader.batches`."""
        known = known_of(self.records, epoch, first, self.batch_size, self.share, self.device)
        for batch, pixels in zip(known, self.filled(epoch, first, self._empty), strict=True):
            yield batch._replace(pixels=pixels.to(self.device, non_blocking=True))

    def filled(self, epoch: Epoch, first: int, place: Callable[[int], Tensor]) -> Generator[Tensor]:
        """Yield the pixels of each batch in what `place(pictures)` has returned for it."""
        under_way: deque[tuple[Tensor, list[Future[None]]]] = deque()
        with ThreadPoolExecutor(self.threads) as pool:
            for chosen in batches(epoch, first, self.batch_size, self.share):
                pixels = place(len(chosen))
                parts = range(0, len(chosen), AT_ONCE)
                begun = [pool.submit(self._fill, epoch, chosen, pixels.numpy(), part) for part in parts]
                under_way.append((pixels, begun))
                if len(under_way) == PREFETCHED:
                    yield _done(*under_way.popleft())
            while under_way:
                yield _done(*under_way.popleft())

    def _empty(self, pictures: int) -> Tensor:
        return torch.empty((pictures, self.side, self.side, 3), dtype=torch.uint8)

    def _fill(self, epoch: Epoch, chosen: NDArray[np.int64], pixels: NDArray[np.uint8], first: int) -> None:
        records, side = chosen[first : first + AT_ONCE], self.side
        pictures = [decoded(self.records, record) for record in records]
        if side == PATCH:
            corners = zip(pictures, epoch.top[records].tolist(), epoch.left[records].tolist(), strict=True)
            pictures = [picture[top : top + side, left : left + side] for picture, top, left in corners]
        places = pixels[first : first + len(records)]
        put(pictures, places)
        if side == PATCH:
            mirror(places, epoch.mirrored[records])


def _done(pixels: Tensor, parts: list[Future[None]]) -> Tensor:
    for part in parts:
        part.result()
    return pixels


def one_ahead(batches: Generator[Batch], device: torch.device) -> Generator[Batch]:
    """Yield `batches`; a GPU fetches the next one while it works on the present one."""
    with closing(batches):
        if device.type != "cuda":
            yield from batches
            return
        copying, computing = _copying_stream(device), torch.cuda.current_stream(device)

        def fetched() -> tuple[Batch | None, torch.cuda.Event]:
            with torch.cuda.stream(copying):
                return next(batches, None), copying.record_event()

        following, there = fetched()
        while following is not None:
            batch, is_there = following, there
            following, there = fetched()
            computing.wait_event(is_there)
            for tensor in batch.on_device:
                # Its memory is not to be used again before the work on it has been done.
                tensor.record_stream(computing)
            yield batch


@functools.cache
def _copying_stream(device: torch.device) -> torch.cuda.Stream:
    # One for all passes: torch keeps the memory that a stream has freed for that stream.
    return torch.cuda.Stream(device)


def sent(values: NDArray[Any], device: torch.device) -> Tensor:
    """Return `values` on `device`, which fetches them while this process goes on."""
    tensor = torch.from_numpy(values)
    # From other memory torch would wait for all that the GPU still has to do.
    tensor = tensor.pin_memory() if device.type == "cuda" else tensor
    return tensor.to(device, non_blocking=True)


def put(pictures: list[NDArray[np.uint8]], places: NDArray[np.uint8]) -> None:
    """Copy `pictures` to `places` (pictures, side, side, 3)."""
    # One call for all: after each, a thread waits for Python's lock, and so does the training.
    rows = places.reshape(-1, *places.shape[2:])
    if cv2.vconcat(pictures, rows).shape != rows.shape:
        raise ValueError(f"pictures of {[each.shape for each in pictures]} for places of {places.shape}")


def mirror(pictures: NDArray[np.uint8], mirrored: NDArray[np.bool_]) -> None:
    """Mirror those of `pictures` (pictures, side, side, 3) that are to be `mirrored`, left to right."""
    for number in mirrored.nonzero()[0]:
        # Far faster than NumPy's copy of a reversed view.
        cv2.flip(pictures[number], 1, pictures[number])


def known_of(
    records: Records, epoch: Epoch, first: int, batch_size: int, share: Share, device: torch.device
) -> Iterator[Batch]:
    """Yield what is known of the pictures of each batch, as a batch whose pixels are to be put in.

    The device gets that of all batches in one copy: starting a copy takes longer than the copy itself.
    """
    shown = list(batches(epoch, first, batch_size, share))
    chosen = np.concatenate([np.empty(0, np.int64), *shown])
    known = epoch.top, epoch.left, epoch.mirrored, records.labels
    top, left, mirrored, labels = sent(np.stack([values[chosen] for values in known]), device)
    fields = top, left, mirrored.bool(), labels, torch.from_numpy(chosen)
    sizes = [len(each) for each in shown]
    for parts in zip(*(field.split(sizes) for field in fields), strict=True):
        yield Batch(torch.empty(0), *parts)

"""Decoding, cutting and mirroring of records by NVIDIA DALI.

The only module that imports DALI. On a GPU the JPEGs are decoded there ("mixed"; a share of them by
its JPEG engine, where it has one), on the CPU by DALI's threads. The order is ours, so DALI's readers
and random operators are not used: their shuffle is a buffer, and their draws depend on the place in
a batch.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.plugin.pytorch import feed_ndarray
from nvidia.dali.tensors import TensorCPU, TensorListCPU

from alexnet.core.sizes import PATCH
from alexnet.feed.order import Epoch, Share, batches, in_storage_order
from alexnet.feed.threads import PREFETCHED, known_of, mirror, one_ahead, put
from alexnet.model.input import Batch
from alexnet.store.records import Records


class DaliLoader:
    """A DALI pipeline over `records`; see `alexnet.feed.loader.open_loader` for the arguments."""

    def __init__(
        self,
        records: Records,
        batch_size: int,
        device: torch.device,
        threads: int,
        side: int,
        share: Share,
        hardware_load: float,
    ) -> None:
        self.records, self.batch_size, self.device, self.side = records, batch_size, device, side
        self.share = share
        on_gpu = device.type == "cuda"
        self._epoch = in_storage_order(len(records))
        self._asked: Iterator[NDArray[np.int64]] = iter(())
        # Those that DALI may still be reading. Without them its threads would free what it has read, and
        # wait for Python's lock.
        self._lent: deque[list[TensorListCPU]] = deque(maxlen=PREFETCHED + 1)
        self._pipeline = _pipeline(
            self._request,
            side,
            _decoding(on_gpu, hardware_load),
            batch_size=batch_size,
            num_threads=threads,
            device_id=(device.index or 0) if on_gpu else None,
            prefetch_queue_depth=PREFETCHED,
        )
        self._pipeline.build()

    def batches(self, epoch: Epoch, first: int = 0) -> Iterator[Batch]:
        return one_ahead(self._made(epoch, first), self.device)

    def _made(self, epoch: Epoch, first: int) -> Generator[Batch]:
        self._epoch, shown = epoch, batches(epoch, first, self.batch_size, self.share)
        # DALI has no empty batches.
        self._asked = (chosen for chosen in shown if len(chosen))
        try:
            for batch in known_of(self.records, epoch, first, self.batch_size, self.share, self.device):
                chosen = batch.records.numpy()
                shape = len(chosen), self.side, self.side, 3
                pixels = torch.empty(shape, dtype=torch.uint8, device=self.device)
                if len(chosen):
                    output = self._next()
                    assert output is not None, "DALI ended before the epoch did"
                    self._copy(output, pixels, epoch.mirrored[chosen])
                    self._pipeline.release_outputs()
                yield batch._replace(pixels=pixels)
        finally:
            # A consumer that stops early must not leave its pictures to the next epoch.
            self._asked = iter(())
            while self._next() is not None:
                self._pipeline.release_outputs()
            self._pipeline.reset()

    def _request(self) -> list[TensorListCPU]:
        """Tell DALI the next batch: JPEGs where they lie, and for patches corners (top, left) and mirrors.

        They come as DALI's own type, since it takes lists of arrays so slowly that training would wait.
        """
        chosen, epoch = next(self._asked), self._epoch
        jpegs = [TensorCPU(self.records.stored(record)) for record in chosen]
        # DALI's stubs lack the argument; without it the JPEGs would be copied.
        asked = [TensorListCPU(jpegs, contiguous=False)]  # type: ignore[call-overload]
        if self.side == PATCH:
            corners = np.stack([epoch.top[chosen], epoch.left[chosen]], 1)
            asked.append(TensorListCPU(corners.astype(np.int32)))
            if self.device.type != "cpu":
                asked.append(TensorListCPU(epoch.mirrored[chosen].astype(np.int32)))
        self._lent.append(asked)
        return asked

    def _next(self) -> Any | None:
        """Return DALI's tensor of the next batch, which is to be released, or None at the end."""
        try:
            self._pipeline.schedule_run()
            (output,) = self._pipeline.share_outputs()
        except StopIteration:
            return None
        return output.as_tensor()

    def _copy(self, output: Any, pixels: torch.Tensor, mirrored: NDArray[np.bool_]) -> None:
        if self.device.type == "cuda":
            feed_ndarray(output, pixels, cuda_stream=torch.cuda.current_stream(self.device))
        else:
            put(list(np.asarray(output)), pixels.numpy())
            if self.side == PATCH:
                mirror(pixels.numpy(), mirrored)


def _decoding(on_gpu: bool, hardware_load: float) -> dict[str, Any]:
    """Return the options of DALI's decoders."""
    if not on_gpu:
        return {"device": "cpu"}
    # Colour is upsampled as by libjpeg; on a CPU DALI always does so, on a GPU only if asked.
    return {"device": "mixed", "jpeg_fancy_upsampling": True, "hw_decoder_load": hardware_load}


@pipeline_def
def _pipeline(  # type: ignore[no-untyped-def]
    request: Callable[[], list[Any]], side: int, decoding: dict[str, Any]
):
    is_mirrored = decoding["device"] == "mixed" and side == PATCH
    # Of the JPEGs, the corners and the mirrors.
    dimensions = [1, 1, 0][: 1 + (side == PATCH) + is_mirrored]
    jpegs, *cut = fn.external_source(
        source=request,
        num_outputs=len(dimensions),
        dtype=[types.UINT8, types.INT32, types.INT32][: len(dimensions)],
        ndim=dimensions,
        no_copy=True,
    )
    if side != PATCH:
        return fn.decoders.image(jpegs, **decoding)
    in_pixels: dict[str, Any] = {"normalized_anchor": False, "normalized_shape": False, "axes": [0, 1]}
    patches = fn.decoders.image_slice(jpegs, cut[0], [PATCH, PATCH], **in_pixels, **decoding)
    # On the CPU DALI's flip costs a third of the decoding; there patches are mirrored as they are copied.
    return fn.flip(patches, horizontal=cut[1], vertical=0) if is_mirrored else patches

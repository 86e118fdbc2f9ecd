"""A batch of pictures as bytes, and how conv1's input is made of it (paper, sections 2 and 4.1)."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from alexnet.core.sizes import PATCH, PICTURE


class Batch(NamedTuple):
    """Pictures on their way to the network, with what is known of each.

    Attributes:
        pixels: uint8 (batch, side, side, 3), RGB 0-255: patches as cut and mirrored, or whole pictures.
        top, left: int64 (batch,), the patch's corner in the unmirrored 256×256 picture.
        mirrored: bool (batch,).
        labels: int64 (batch,); -1 where the class is not known.
        records: int64 (batch,), numbers of the pictures in the store; always on the CPU.
    """

    pixels: Tensor
    top: Tensor
    left: Tensor
    mirrored: Tensor
    labels: Tensor
    records: Tensor

    @property
    def on_device(self) -> tuple[Tensor, ...]:
        """What the network and the loss need: all but `records`."""
        return self[:5]

    def to(self, device: torch.device) -> "Batch":
        """Return the batch with all that the network and the loss need on `device`."""
        return Batch._make([*(field.to(device) for field in self.on_device), self.records])


def whole_pictures(pixels: Tensor) -> Batch:
    """Return a batch of pictures, uint8 (batch, 256, 256, 3), of which nothing else is known."""
    # Not len(): the ONNX exporter would take its example's batch for that of every call.
    count, device = pixels.shape[0], pixels.device
    corner = torch.zeros(count, dtype=torch.int64, device=device)
    return Batch(
        pixels,
        corner,
        corner,
        mirrored=torch.zeros(count, dtype=torch.bool, device=device),
        labels=torch.full_like(corner, -1),
        records=torch.arange(count),
    )


class InputRule(nn.Module):
    """Patches to the network's input, in grey levels until the division (paper, section 2).

    Args:
        mean: ``patch`` subtracts the mean image where the patch lies (as printed: each pixel's own
            mean, before cropping), ``centre`` its central patch whatever the crop and after
            mirroring (2012 source), ``none`` subtracts nothing.
        divisor: divides everything at the end; the paper has 1.
        side: of a patch, in pixels.
    """

    mean_image: Tensor

    def __init__(self, mean: str, divisor: float, side: int = PATCH) -> None:
        super().__init__()
        self.mean, self.divisor, self.side = mean, divisor, side
        self.memory_format = torch.contiguous_format
        self.register_buffer("mean_image", torch.zeros(3, PICTURE, PICTURE))

    def forward(self, batch: Batch, shift: Tensor | None = None, noise_divisor: float = 1.0) -> Tensor:
        """Return float (batch, 3, side, side).

        Args:
            batch: patches of `side` pixels.
            shift: (batch, 3) grey levels added to every pixel of a picture, or None.
            noise_divisor: divides the shifted sum; in the 2012 source 1 + the noise's deviation.
        """
        pixels = batch.pixels.permute(0, 3, 1, 2)
        # One array for all steps: with a fresh one for each, a CPU spends most of the time on new memory.
        values = torch.empty(
            pixels.shape, dtype=self.mean_image.dtype, device=pixels.device, memory_format=self.memory_format
        )
        if shift is not None:
            shift = shift.to(values.dtype)[:, :, None, None]
        if values.device.type == "cpu" and not torch.compiler.is_compiling():
            # Picture by picture, so that all of it stays in the cache.
            for number, means in enumerate(self._means_one_by_one(batch)):
                own_shift = None if shift is None else shift[number]
                self._reduce(values[number], pixels[number], means, own_shift, noise_divisor)
            return values
        means = None if self.mean == "none" else self.means(batch)
        return self._reduce(values, pixels, means, shift, noise_divisor)

    def _reduce(
        self, values: Tensor, pixels: Tensor, means: Tensor | None, shift: Tensor | None, noise_divisor: float
    ) -> Tensor:
        values.copy_(pixels)
        if means is not None:
            values -= means
        if shift is not None:
            values += shift
        divisor = self.divisor * noise_divisor
        return values if divisor == 1 else values.div_(divisor)

    def _means_one_by_one(self, batch: Batch) -> Iterator[Tensor | None]:
        """Yield what `means` returns, picture by picture, as views."""
        if self.mean != "patch":
            means = None if self.mean == "none" else self.means(batch)
            yield from itertools.repeat(means, len(batch.pixels))
            return
        images = self.mean_image, self.mean_image.flip(2)
        corners = zip(batch.top.tolist(), batch.left.tolist(), batch.mirrored.tolist(), strict=True)
        for top, left, mirrored in corners:
            left = PICTURE - self.side - left if mirrored else left
            yield images[mirrored][:, top : top + self.side, left : left + self.side]

    def means(self, batch: Batch) -> Tensor:
        """Return what is subtracted from `batch`, (batch, 3, side, side) or one for all (3, side, side)."""
        side = self.side
        if self.mean == "centre":
            start = (PICTURE - side) // 2
            return self.mean_image[:, start : start + side, start : start + side]
        steps = torch.arange(side, device=batch.top.device)
        rows = batch.top[:, None] + steps
        columns = batch.left[:, None] + torch.where(batch.mirrored[:, None], side - 1 - steps, steps)
        return self.mean_image[:, rows[:, :, None], columns[:, None, :]].transpose(0, 1)

    def extra_repr(self) -> str:
        return f"mean={self.mean}, divisor={self.divisor}"

"""From bytes to what conv1 sees: subtract the mean image, add the colour shift, divide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

PICTURE = 256
PATCH = 224


class Patches(NamedTuple):
    """Patches as the loader cut and mirrored them, and where each came from.

    Attributes:
        pixels: uint8 (batch, side, side, 3), RGB 0-255; the side is 224 (Caffe: 227).
        top, left: int64 (batch,), the patch's corner in the unmirrored 256×256 picture.
        mirrored: bool (batch,).
    """

    pixels: Tensor
    top: Tensor
    left: Tensor
    mirrored: Tensor


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
        self.order = torch.contiguous_format
        self.register_buffer("mean_image", torch.zeros(3, PICTURE, PICTURE))

    def forward(self, patches: Patches, shift: Tensor | None = None, noise_divisor: float = 1.0) -> Tensor:
        """Return float (batch, 3, side, side).

        Args:
            patches: pictures as bytes.
            shift: (batch, 3) grey levels added to every pixel of a picture, or None.
            noise_divisor: divides the shifted sum; the 2012 source has 1.1 while its noise is on.
        """
        pixels = patches.pixels.permute(0, 3, 1, 2)
        # One array for all steps: with a fresh one for each, a CPU spends most of the time on new memory.
        values = torch.empty(
            pixels.shape, dtype=self.mean_image.dtype, device=pixels.device, memory_format=self.order
        )
        if shift is not None:
            shift = shift.to(values.dtype)[:, :, None, None]
        if values.device.type == "cpu":
            # Picture by picture, all of it in the cache.
            for number, means in enumerate(self._means_one_by_one(patches)):
                own_shift = None if shift is None else shift[number]
                self._reduced(values[number], pixels[number], means, own_shift, noise_divisor)
            return values
        means = None if self.mean == "none" else self.means(patches)
        return self._reduced(values, pixels, means, shift, noise_divisor)

    def _reduced(
        self, values: Tensor, pixels: Tensor, means: Tensor | None, shift: Tensor | None, noise_divisor: float
    ) -> Tensor:
        values.copy_(pixels)
        if means is not None:
            values -= means
        if shift is not None:
            values += shift
        divisor = self.divisor * noise_divisor
        return values if divisor == 1 else values.div_(divisor)

    def _means_one_by_one(self, patches: Patches) -> Iterator[Tensor | None]:
        """Yield what `means` returns, picture by picture, as views."""
        if self.mean != "patch":
            means = None if self.mean == "none" else self.means(patches)
            yield from (means for _ in range(len(patches.pixels)))
            return
        images = self.mean_image, self.mean_image.flip(2)
        corners = zip(patches.top.tolist(), patches.left.tolist(), patches.mirrored.tolist(), strict=True)
        for top, left, mirrored in corners:
            left = PICTURE - self.side - left if mirrored else left
            yield images[mirrored][:, top : top + self.side, left : left + self.side]

    def means(self, patches: Patches) -> Tensor:
        """Return what is subtracted from `patches`, (batch, 3, side, side) or one for all (3, side, side)."""
        side = self.side
        if self.mean == "centre":
            start = (PICTURE - side) // 2
            return self.mean_image[:, start : start + side, start : start + side]
        # A patch mirrored at `left` lies in the mirrored mean image at the mirrored place.
        both = torch.stack([self.mean_image, self.mean_image.flip(2)])
        windows = both.unfold(2, side, 1).unfold(3, side, 1)
        mirrored = patches.mirrored.long()
        left = torch.where(patches.mirrored, PICTURE - side - patches.left, patches.left)
        return windows[mirrored, :, patches.top, left]

    def extra_repr(self) -> str:
        return f"mean={self.mean}, divisor={self.divisor}"

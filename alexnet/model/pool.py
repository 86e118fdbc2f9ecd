"""Maximum pooling (paper, section 3.4)."""

import torch
from torch import Tensor
from torch.nn import functional

from alexnet.model.kernels import have_kernels


def max_pool(maps: Tensor, side: int) -> Tensor:
    """Return the maxima of windows of `side` × `side`, two apart, of (batch, maps, height, width).

    Windows may overhang at the right and the bottom.
    """
    if have_kernels(maps):
        dense = maps.contiguous(memory_format=torch.channels_last)
        maxima: Tensor = torch.ops.alexnet.max_pool(dense, side)[0]
        return maxima
    return functional.max_pool2d(maps, side, 2, ceil_mode=True)

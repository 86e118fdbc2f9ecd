"""Maximum pooling (paper, section 3.4)."""

import torch
from torch import Tensor
from torch.nn import functional

from alexnet.model.kernels import HAS_TRITON, have_kernels

if HAS_TRITON:
    from alexnet.model import pool_gpu


def max_pool(maps: Tensor, side: int) -> Tensor:
    """Return the maxima of windows of `side` × `side`, two apart, of (batch, maps, height, width).

    Windows may overhang at the right and the bottom.
    """
    if have_kernels(maps):
        maxima, _ = pool_gpu.max_pool(maps.contiguous(memory_format=torch.channels_last), side)
        return maxima
    return functional.max_pool2d(maps, side, 2, ceil_mode=True)

"""Which maps are computed by the kernels of `norm_gpu` and `pool_gpu`."""

import importlib.util

import torch
from torch import Tensor

# It comes with torch's builds for GPUs.
HAS_TRITON = importlib.util.find_spec("triton") is not None


def have_kernels(maps: Tensor) -> bool:
    """Say whether there are kernels for `maps`: on a GPU, unless they are float64 or Triton is missing."""
    return HAS_TRITON and maps.device.type != "cpu" and maps.dtype in (torch.float32, torch.bfloat16)

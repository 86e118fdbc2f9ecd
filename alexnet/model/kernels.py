"""Which maps are computed by the kernels of `norm_gpu` and `pool_gpu`."""

import importlib.util

import torch
from torch import Tensor

# It comes with torch's builds for GPUs.
HAS_TRITON = importlib.util.find_spec("triton") is not None


def have_kernels(maps: Tensor) -> bool:
    """Say whether there are kernels for `maps`.

    On a CPU there are none, nor on GPUs before the A100, in float64, or without Triton.
    """
    is_short = maps.dtype in (torch.float32, torch.bfloat16)
    return HAS_TRITON and maps.device.type != "cpu" and is_short and _multiplies_bfloat16(maps.device)


# torch.compile would not know what to make of it.
@torch.compiler.assume_constant_result
def _multiplies_bfloat16(device: torch.device) -> bool:
    return device.type != "cuda" or torch.cuda.get_device_capability(device) >= (8, 0)

"""Whether the kernels of `norm_gpu` and `pool_gpu` compute a network's norms and pools."""

import torch
from torch import Tensor

from alexnet.core.terminal import say

# Maps of a column that the norm's kernel takes at once.
LARGEST = 1024

_are_there = False


def find_kernels(device: torch.device) -> bool:
    """Try the kernels on `device`, and use them from now on if they work there; return whether they do.

    They need Triton, which comes with torch's builds for GPUs, a C compiler, and an A100 or newer.
    """
    global _are_there
    _are_there = False
    try:
        if device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0):
            return False
        from alexnet.model.norm_gpu import norm_across_maps
        from alexnet.model.pool_gpu import max_pool

        maps = torch.ones(1, 16, 2, 2, device=device).contiguous(memory_format=torch.channels_last)
        maxima, _ = max_pool(norm_across_maps(maps.requires_grad_(), 1, 5, 2.0, 1e-4, 0.75), 2)
        maxima.sum().backward()
        _are_there = True
    except Exception as error:
        # In many ways, as with torch.compile: no Triton, no compiler, no headers of Python.
        reason = " ".join(str(error).split())[:120]
        say(f"Triton's kernels do not work here ({reason}): norms and pools are computed more slowly")
    return _are_there


def have_kernels(maps: Tensor) -> bool:
    """Say whether kernels compute these maps: there are none for CPUs and for float64."""
    return _are_there and maps.device.type != "cpu" and maps.dtype in (torch.float32, torch.bfloat16)

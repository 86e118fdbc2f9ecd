"""In how many bits the network computes; weights, velocity and the loss are float32 in any case."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from alexnet.core.terminal import say


class Precision:
    """How convolutions and full layers multiply.

    ``float32`` in full, on GPUs too, where torch would let convolutions use tf32; ``tf32``: GPUs multiply
    19-bit numbers, CPUs float32; ``bfloat16``: the layers' inputs, weights and outputs are rounded to 16
    bits, forward and backward. The response norms compute in float32, except that on a GPU
    the terms of the sums in their gradient are rounded, too.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self.name = "float32" if name == "tf32" and device.type == "cpu" else name
        self.device = device
        if device.type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
            torch.backends.cudnn.allow_tf32 = name == "tf32"
            if name == "bfloat16" and not torch.cuda.is_bf16_supported(including_emulation=False):
                say(
                    "train.precision: bfloat16: this GPU cannot multiply such numbers, and torch does not"
                    " compile with them; float32 may be faster"
                )

    def run(self, network: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """Return the logits of `network` for `arguments`, float32 (or float64 where the weights are)."""
        if self.name != "bfloat16":
            return network(*arguments)
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = network(*arguments)
        return logits.float() if logits.dtype == torch.bfloat16 else logits

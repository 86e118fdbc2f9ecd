"""Response normalisation: across maps (paper, section 3.3) and inside a map (2012 source).

Both compute b = a / (k + α·Σ a²)^β over a window clipped at the border, as `_Normalise` has it. On a CPU,
unless `torch.compile` is at work, `norm_cpu` does the same faster. On a GPU, `norm_gpu` computes the first.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from alexnet.model.kernels import LARGEST, have_kernels
from alexnet.model.norm_cpu import arithmetic_of, in_blocks, inverse_power


def _window_sums(values: Tensor, size: int, dimensions: tuple[int, ...]) -> Tensor:
    """Return the sums over windows `size` wide in each of the `dimensions`, clipped at the borders."""
    padding = [size // 2 if dimension in dimensions else 0 for dimension in (-1, -1, -2, -2, -3, -3)]
    total = functional.pad(values, padding)
    for dimension in dimensions:
        parts = [total.narrow(dimension, shift, values.shape[dimension]) for shift in range(size)]
        total = sum(parts[1:], start=parts[0])
    return total


class CrossMapNorm(nn.Module):
    """Local response normalisation over neighbouring maps of the same column.

    b_i = a_i / (k + α Σ_j a_j²)^β, j from max(0, i − n/2) to min(N − 1, i + n/2), N the maps of
    one column: windows never reach into the other column (paper, section 3.3).

    Args:
        columns: how many columns lie side by side in the input's maps.
        size: n, the width of the window in maps (odd).
        k, alpha, beta: the constants; alpha multiplies the sum itself. The 2012 source divides its
            α by n first; `torch.nn.LocalResponseNorm` does so too.
    """

    def __init__(self, columns: int, size: int, k: float, alpha: float, beta: float) -> None:
        super().__init__()
        self.columns, self.size, self.k, self.alpha, self.beta = columns, size, k, alpha, beta

    def forward(self, maps: Tensor) -> Tensor:
        """Normalise `maps` of shape (batch, columns · N, height, width)."""
        constants = self.k, self.alpha, self.beta
        if _on_plain_cpu(maps):
            return in_blocks(maps, self.columns, self.size, *constants)
        if have_kernels(maps) and maps.shape[1] // self.columns <= LARGEST:
            dense = maps.contiguous(memory_format=torch.channels_last)
            normalised: Tensor = torch.ops.alexnet.norm_across_maps(
                dense, self.columns, self.size, *constants
            )
            return normalised
        columns = maps.unflatten(1, (self.columns, -1))
        whole: Tensor = _Normalise.apply(columns, (-3,), self.size, *constants)
        return whole.flatten(1, 2)

    def extra_repr(self) -> str:
        return f"columns={self.columns}, size={self.size}, k={self.k}, alpha={self.alpha}, beta={self.beta}"


class SpatialNorm(nn.Module):
    """Response normalisation over a square window of the same map (layer file 145, `cnorm2`).

    Args:
        size: side of the window (odd), clipped at the border.
        k, alpha, beta: the constants; alpha multiplies the sum itself.
    """

    def __init__(self, size: int, k: float, alpha: float, beta: float) -> None:
        super().__init__()
        self.size, self.k, self.alpha, self.beta = size, k, alpha, beta

    def forward(self, maps: Tensor) -> Tensor:
        """Normalise `maps` of shape (batch, channels, height, width)."""
        constants = self.k, self.alpha, self.beta
        if _on_plain_cpu(maps):
            return in_blocks(maps, None, self.size, *constants)
        whole: Tensor = _Normalise.apply(maps, (-2, -1), self.size, *constants)
        return whole

    def extra_repr(self) -> str:
        return f"size={self.size}, k={self.k}, alpha={self.alpha}, beta={self.beta}"


def _on_plain_cpu(maps: Tensor) -> bool:
    return maps.device.type == "cpu" and not torch.compiler.is_compiling()


class _Normalise(torch.autograd.Function):
    """The formula with its gradient written out: autograd would keep every step of the window's sum.

    Below float32 the arithmetic is float32: k + α·Σ needs more than 8 bits.
    """

    @staticmethod
    def forward(
        ctx: Any,
        given: Tensor,
        dimensions: tuple[int, ...],
        size: int,
        k: float,
        alpha: float,
        beta: float,
    ) -> Tensor:
        a = given.to(arithmetic_of(given))
        scale = k + alpha * _window_sums(a * a, size, dimensions)
        result = a * inverse_power(scale, beta)
        ctx.save_for_backward(given, scale)
        ctx.dimensions, ctx.size, ctx.alpha, ctx.beta = dimensions, size, alpha, beta
        # Where nothing is to be converted, torch 2.11 would compile `to` to a gradient of zero.
        return result if result.dtype == given.dtype else result.to(given.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        given, scale = ctx.saved_tensors
        a = given.to(scale.dtype)
        direct = gradient.to(scale.dtype) * inverse_power(scale, ctx.beta)
        # The window is symmetric, so the maps that j normalises are those that normalise j.
        shared = _window_sums(direct * a / scale, ctx.size, ctx.dimensions)
        return (direct - (2 * ctx.alpha * ctx.beta) * a * shared).to(given.dtype), *[None] * 5

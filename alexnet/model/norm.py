"""Response normalisation: across maps (paper, section 3.3) and inside a map (2012 source).

Both compute b = a / (k + α·Σ a²)^β over a window clipped at the border. The gradients are written
out: autograd would keep and cross every intermediate of the window's sum.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


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
        batch, channels, height, width = maps.shape
        columns = maps.reshape(batch * self.columns, channels // self.columns, height, width)
        normalised = _Normalise.apply(columns, _across_maps(self.size), self.k, self.alpha, self.beta)
        return normalised.reshape(maps.shape)

    def extra_repr(self) -> str:
        return f"columns={self.columns}, size={self.size}, k={self.k}, alpha={self.alpha}, beta={self.beta}"


class SpatialNorm(nn.Module):
    """Response normalisation over a square window of the same map (layer file 145, `rnorm2`).

    Args:
        size: side of the window (odd), clipped at the border.
        k, alpha, beta: the constants; alpha multiplies the sum itself.
    """

    def __init__(self, size: int, k: float, alpha: float, beta: float) -> None:
        super().__init__()
        self.size, self.k, self.alpha, self.beta = size, k, alpha, beta

    def forward(self, maps: Tensor) -> Tensor:
        """Normalise `maps` of shape (batch, channels, height, width)."""
        normalised: Tensor = _Normalise.apply(maps, _inside_map(self.size), self.k, self.alpha, self.beta)
        return normalised

    def extra_repr(self) -> str:
        return f"size={self.size}, k={self.k}, alpha={self.alpha}, beta={self.beta}"


def _across_maps(size: int) -> Any:
    def window_sum(values: Tensor) -> Tensor:
        half = size // 2
        maps = values.shape[1]
        padded = functional.pad(values, (0, 0, 0, 0, half, half))
        total = padded[:, :maps]
        for shift in range(1, size):
            total = total + padded[:, shift : shift + maps]
        return total

    return window_sum


def _inside_map(size: int) -> Any:
    def window_sum(values: Tensor) -> Tensor:
        half = size // 2
        height, width = values.shape[2:]
        padded = functional.pad(values, (half, half, half, half))
        rows = padded[:, :, :height]
        for shift in range(1, size):
            rows = rows + padded[:, :, shift : shift + height]
        total = rows[..., :width]
        for shift in range(1, size):
            total = total + rows[..., shift : shift + width]
        return total

    return window_sum


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, window_sum: Any, k: float, alpha: float, beta: float) -> Tensor:
        scale = k + alpha * window_sum(a * a)
        ctx.save_for_backward(a, scale)
        ctx.window_sum, ctx.alpha, ctx.beta = window_sum, alpha, beta
        return a * _inverse_power(scale, beta)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = gradients
        a, scale = ctx.saved_tensors
        direct = gradient * _inverse_power(scale, ctx.beta)
        # The window is symmetric, so the maps that j normalises are those that normalise j.
        shared = ctx.window_sum(direct * a / scale)
        return direct - (2 * ctx.alpha * ctx.beta) * a * shared, None, None, None, None


def _inverse_power(scale: Tensor, beta: float) -> Tensor:
    if beta == 0.75:
        # Two square roots cost a fifth of a power.
        root = scale.rsqrt()
        return root * root.sqrt()
    return scale**-beta

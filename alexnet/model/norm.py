"""Response normalisation: across maps (paper, section 3.3) and inside a map (2012 source).

Both compute b = a / (k + α·Σ a²)^β over a window clipped at the border. The gradients are written
out: autograd would keep and cross every intermediate of the window's sum.

On the CPU the work goes block by block, each small enough for a core's cache, and a block's window
sums are one product with a band matrix: the same operations on whole tensors wait for memory. Where
`torch.compile` fuses them, as on a GPU, whole tensors are what it wants.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# Numbers in a block: with its scratch it stays in a megabyte or two.
BLOCK = 1 << 17


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
        if _in_blocks(maps):
            normalised: Tensor = _NormaliseInBlocks.apply(
                maps, _AcrossMaps(self.columns, self.size), *constants
            )
            return normalised
        columns = maps.unflatten(1, (self.columns, -1))
        whole: Tensor = _Normalise.apply(columns, _across_maps(self.size), *constants)
        return whole.flatten(1, 2)

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
        constants = self.k, self.alpha, self.beta
        if _in_blocks(maps):
            blocks: Tensor = _NormaliseInBlocks.apply(maps, _InsideMap(self.size), *constants)
            return blocks
        normalised: Tensor = _Normalise.apply(maps, _inside_map(self.size), *constants)
        return normalised

    def extra_repr(self) -> str:
        return f"size={self.size}, k={self.k}, alpha={self.alpha}, beta={self.beta}"


def _in_blocks(maps: Tensor) -> bool:
    return maps.device.type == "cpu" and not torch.compiler.is_compiling()


def _across_maps(size: int) -> Callable[[Tensor], Tensor]:
    def window_sum(values: Tensor) -> Tensor:
        half = size // 2
        maps = values.shape[2]
        padded = functional.pad(values, (0, 0, 0, 0, half, half))
        total = padded[:, :, :maps]
        for shift in range(1, size):
            total = total + padded[:, :, shift : shift + maps]
        return total

    return window_sum


def _inside_map(size: int) -> Callable[[Tensor], Tensor]:
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
    """On whole tensors. Below float32 the arithmetic is float32: k + α·Σ needs more than 8 bits."""

    @staticmethod
    def forward(
        ctx: Any, given: Tensor, window_sum: Callable[[Tensor], Tensor], k: float, alpha: float, beta: float
    ) -> Tensor:
        a = given.to(_arithmetic(given))
        scale = k + alpha * window_sum(a * a)
        ctx.save_for_backward(given, scale)
        ctx.window_sum, ctx.alpha, ctx.beta = window_sum, alpha, beta
        return (a * _inverse_power(scale, beta)).to(given.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = gradients
        given, scale = ctx.saved_tensors
        a = given.to(scale.dtype)
        direct = gradient.to(scale.dtype) * _inverse_power(scale, ctx.beta)
        # The window is symmetric, so the maps that j normalises are those that normalise j.
        shared = ctx.window_sum(direct * a / scale)
        return (direct - (2 * ctx.alpha * ctx.beta) * a * shared).to(given.dtype), None, None, None, None


class _NormaliseInBlocks(torch.autograd.Function):
    """The same for the CPU, block by block in scratch memory that stays in the cache."""

    @staticmethod
    def forward(
        ctx: Any, given: Tensor, windows: _AcrossMaps | _InsideMap, k: float, alpha: float, beta: float
    ) -> Tensor:
        a = windows.view(given)
        result = torch.empty_like(a)
        scale = torch.empty_like(a, dtype=_arithmetic(a))
        constant = scale.new_tensor(k)
        # Autocast would have the products in bfloat16.
        with torch.autocast("cpu", enabled=False):
            for own, out, sums in zip(*(_blocks(values) for values in (a, result, scale)), strict=True):
                values = own.to(scale.dtype)
                windows.sums(values * values, constant, alpha, sums)
                out.copy_(_inverse_power(sums, beta).mul_(values))
        ctx.save_for_backward(given, scale)
        ctx.windows, ctx.alpha, ctx.beta = windows, alpha, beta
        return windows.like(result, given)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        given, scale = ctx.saved_tensors
        windows = ctx.windows
        a, gradient = windows.view(given), windows.view(gradients[0], like=given)
        result = torch.empty_like(a)
        nothing, factor = scale.new_tensor(0.0), -2 * ctx.alpha * ctx.beta
        parts = (_blocks(values) for values in (a, gradient, scale, result))
        for own, above, sums, out in zip(*parts, strict=True):
            values = own.to(scale.dtype)
            direct = _inverse_power(sums, ctx.beta).mul_(above)
            quotient = (direct * values).div_(sums)
            # The window is symmetric, so the maps that j normalises are those that normalise j.
            shared = windows.sums(quotient, nothing, factor, torch.empty_like(quotient))
            out.copy_(direct.addcmul_(shared, values))
        return windows.like(result, given), None, None, None, None


@dataclass(frozen=True)
class _AcrossMaps:
    """Windows over neighbouring maps of a column, as products with a band matrix."""

    columns: int
    size: int

    def view(self, maps: Tensor, like: Tensor | None = None) -> Tensor:
        """Return (batch · columns, N, height · width), or (…, N) where maps lie side by side in memory."""
        count = maps.shape[1] // self.columns
        if _maps_side_by_side(maps if like is None else like):
            return maps.permute(0, 2, 3, 1).reshape(-1, count)
        return maps.reshape(-1, count, maps.shape[2] * maps.shape[3])

    def like(self, values: Tensor, maps: Tensor) -> Tensor:
        """Undo `view`: give `values` the shape and the order in memory of `maps`."""
        batch, channels, height, width = maps.shape
        if values.dim() == 2:
            return values.view(batch, height, width, channels).permute(0, 3, 1, 2)
        return values.view(maps.shape)

    def sums(self, values: Tensor, constant: Tensor, factor: float, out: Tensor) -> Tensor:
        """Write constant + factor · Σ over each window of `values` into `out`, and return it."""
        if values.dim() == 2:
            band = _band(values.shape[1], self.size, values.dtype)
            return torch.addmm(constant, values, band, alpha=factor, out=out)
        band = _band(values.shape[1], self.size, values.dtype).expand(len(values), -1, -1)
        return torch.baddbmm(constant, band, values, alpha=factor, out=out)


@dataclass(frozen=True)
class _InsideMap:
    """Square windows inside a map, as products with a band matrix for rows and one for columns."""

    size: int

    def view(self, maps: Tensor, like: Tensor | None = None) -> Tensor:
        """Return (batch · channels, height, width)."""
        return maps.reshape(-1, *maps.shape[2:])

    def like(self, values: Tensor, maps: Tensor) -> Tensor:
        """Undo `view`: give `values` the shape and the order in memory of `maps`."""
        if _maps_side_by_side(maps):
            return values.view(maps.shape).contiguous(memory_format=torch.channels_last)
        return values.view(maps.shape)

    def sums(self, values: Tensor, constant: Tensor, factor: float, out: Tensor) -> Tensor:
        """Write constant + factor · Σ over each window of `values` into `out`, and return it."""
        height, width = values.shape[1:]
        down = torch.matmul(_band(height, self.size, values.dtype), values)
        flat = down.view(-1, width), out.view(-1, width)
        torch.addmm(constant, flat[0], _band(width, self.size, values.dtype), alpha=factor, out=flat[1])
        return out


@functools.lru_cache(maxsize=16)
def _band(count: int, size: int, dtype: torch.dtype) -> Tensor:
    """Return the (count, count) matrix with ones where two places lie within one window's half."""
    places = torch.arange(count)
    return ((places[:, None] - places[None, :]).abs() <= size // 2).to(dtype)


def _blocks(values: Tensor) -> tuple[Tensor, ...]:
    rows = max(1, BLOCK // (values.numel() // max(1, len(values)) or 1))
    return values.split(rows)


def _maps_side_by_side(maps: Tensor) -> bool:
    return maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous()


def _arithmetic(values: Tensor) -> torch.dtype:
    return values.dtype if values.dtype == torch.float64 else torch.float32


def _inverse_power(scale: Tensor, beta: float) -> Tensor:
    if beta == 0.75:
        # Two square roots cost a fifth of a power.
        root = scale.rsqrt()
        return root * root.sqrt()
    return scale**-beta

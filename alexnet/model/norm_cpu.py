"""Response normalisation made fast for CPUs: the same numbers as `norm`, but for rounding.

The work goes block by block, each small enough for a core's cache, and a block's window sums are one
product with a band matrix. The same operations on whole tensors are limited by memory. Where `torch.compile`
fuses them, as on a GPU, whole tensors are faster.
"""

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# Numbers in a block: with its scratch it stays in a megabyte or two.
BLOCK = 1 << 17


@dataclass(frozen=True)
class AcrossMaps:
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
class InsideMap:
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


def in_blocks(maps: Tensor, windows: AcrossMaps | InsideMap, k: float, alpha: float, beta: float) -> Tensor:
    """Return a / (k + α·Σ a²)^β for `maps` (batch, channels, height, width), the sums over `windows`."""
    normalised: Tensor = _NormaliseInBlocks.apply(maps, windows, k, alpha, beta)
    return normalised


class _NormaliseInBlocks(torch.autograd.Function):
    """The formula and its gradient, block by block in scratch memory that stays in the cache."""

    @staticmethod
    def forward(
        ctx: Any, given: Tensor, windows: AcrossMaps | InsideMap, k: float, alpha: float, beta: float
    ) -> Tensor:
        a = windows.view(given)
        result = torch.empty_like(a)
        scale = torch.empty_like(a, dtype=arithmetic_of(a))
        constant = scale.new_tensor(k)
        # Autocast would have the products in bfloat16.
        with torch.autocast("cpu", enabled=False):
            for own, out, sums in zip(*(_blocks(values) for values in (a, result, scale)), strict=True):
                values = own.to(scale.dtype)
                windows.sums(values * values, constant, alpha, sums)
                out.copy_(inverse_power(sums, beta).mul_(values))
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
            direct = inverse_power(sums, ctx.beta).mul_(above)
            quotient = (direct * values).div_(sums)
            # The window is symmetric, so the maps that j normalises are those that normalise j.
            shared = windows.sums(quotient, nothing, factor, torch.empty_like(quotient))
            out.copy_(direct.addcmul_(shared, values))
        return windows.like(result, given), None, None, None, None


@functools.lru_cache(maxsize=16)
def _band(count: int, size: int, dtype: torch.dtype) -> Tensor:
    """Return the (count, count) matrix with a one where i and j are at most size // 2 apart."""
    places = torch.arange(count)
    return ((places[:, None] - places[None, :]).abs() <= size // 2).to(dtype)


def _blocks(values: Tensor) -> tuple[Tensor, ...]:
    rows = max(1, BLOCK // (values.numel() // max(1, len(values)) or 1))
    return values.split(rows)


def _maps_side_by_side(maps: Tensor) -> bool:
    return maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous()


def arithmetic_of(values: Tensor) -> torch.dtype:
    """Return the type to compute in: float32 for anything shorter."""
    return values.dtype if values.dtype == torch.float64 else torch.float32


def inverse_power(scale: Tensor, beta: float) -> Tensor:
    """Return scale^−β."""
    if beta == 0.75:
        # Two square roots cost a fifth of a power.
        root = scale.rsqrt()
        return root * root.sqrt()
    return scale**-beta

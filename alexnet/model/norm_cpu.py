"""Response normalisation made fast for CPUs: the same numbers as `norm`, but for rounding.

The work goes block by block, each small enough for a core's cache, and a block's window sums are one
product with a band matrix. The same operations on whole tensors are limited by memory. Where `torch.compile`
fuses them, as on a GPU, whole tensors are faster.
"""

import functools
from collections.abc import Iterator
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

    def order(self, maps: Tensor) -> torch.memory_format:
        """Return the order in memory that `view` takes for these maps."""
        return _order_of(maps)

    def view(self, maps: Tensor) -> Tensor:
        """Return (batch · columns, N, height · width), or (…, N) where maps lie side by side in memory."""
        count = maps.shape[1] // self.columns
        if _order_of(maps) == torch.channels_last:
            return maps.permute(0, 2, 3, 1).view(-1, count)
        return maps.view(-1, count, maps.shape[2] * maps.shape[3])

    def sums(self, values: Tensor, constant: Tensor, factor: float, out: Tensor) -> None:
        """Write constant + factor · Σ over each window of `values` into `out`."""
        band = _band(values.shape[1], self.size, values.dtype)
        if values.dim() == 2:
            torch.addmm(constant, values, band, alpha=factor, out=out)
        else:
            torch.baddbmm(constant, band.expand(len(values), -1, -1), values, alpha=factor, out=out)


@dataclass(frozen=True)
class InsideMap:
    """Square windows inside a map, as products with a band matrix for rows and one for columns."""

    size: int

    def order(self, maps: Tensor) -> torch.memory_format:
        return torch.contiguous_format

    def view(self, maps: Tensor) -> Tensor:
        """Return (batch · channels, height, width)."""
        return maps.view(-1, *maps.shape[2:])

    def sums(self, values: Tensor, constant: Tensor, factor: float, out: Tensor) -> None:
        """Write constant + factor · Σ over each window of `values` into `out`."""
        height, width = values.shape[1:]
        down = torch.matmul(_band(height, self.size, values.dtype), values).view(-1, width)
        across = _band(width, self.size, values.dtype)
        torch.addmm(constant, down, across, alpha=factor, out=out.view(-1, width))


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
        a = given.contiguous(memory_format=windows.order(given))
        result, scale = torch.empty_like(a), torch.empty_like(a, dtype=arithmetic_of(a))
        constant = scale.new_tensor(k)
        # Autocast would have the products in bfloat16.
        with torch.autocast("cpu", enabled=False):
            for own, out, sums in _blocks(windows, a, result, scale):
                values = own.to(scale.dtype)
                windows.sums(values * values, constant, alpha, sums)
                out.copy_(inverse_power(sums, beta).mul_(values))
        ctx.save_for_backward(given, scale)
        ctx.windows, ctx.alpha, ctx.beta = windows, alpha, beta
        return result.contiguous(memory_format=_order_of(given))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        given, scale = ctx.saved_tensors
        order = ctx.windows.order(given)
        a, gradient = given.contiguous(memory_format=order), gradients[0].contiguous(memory_format=order)
        result = torch.empty_like(a)
        nothing, factor = scale.new_tensor(0.0), -2 * ctx.alpha * ctx.beta
        for own, above, sums, out in _blocks(ctx.windows, a, gradient, scale, result):
            values = own.to(scale.dtype)
            direct = inverse_power(sums, ctx.beta).mul_(above)
            quotient = (direct * values).div_(sums)
            shared = torch.empty_like(quotient)
            # The window is symmetric, so the maps that j normalises are those that normalise j.
            ctx.windows.sums(quotient, nothing, factor, shared)
            out.copy_(direct.addcmul_(shared, values))
        return result.contiguous(memory_format=_order_of(given)), None, None, None, None


@functools.lru_cache(maxsize=16)
def _band(count: int, size: int, dtype: torch.dtype) -> Tensor:
    """Return the (count, count) matrix with a one where i and j are at most size // 2 apart."""
    places = torch.arange(count)
    return ((places[:, None] - places[None, :]).abs() <= size // 2).to(dtype)


def _blocks(windows: AcrossMaps | InsideMap, *maps: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Return block after block of all `maps`, which have the same shape."""
    views = [windows.view(each) for each in maps]
    rows = max(1, BLOCK // (views[0].numel() // max(1, len(views[0])) or 1))
    return zip(*(view.split(rows) for view in views), strict=True)


def _order_of(maps: Tensor) -> torch.memory_format:
    side_by_side = maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous()
    return torch.channels_last if side_by_side else torch.contiguous_format


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

"""Response normalisation made fast for CPUs: the same numbers as `norm`, but for rounding.

The work goes block by block, each small enough for a core's cache, and a block's window sums are one
product with a band matrix. The same operations on whole tensors are limited by memory. Where `torch.compile`
fuses them, as on a GPU, whole tensors are faster.
"""

import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

# Numbers in a block: with its scratch it stays in a megabyte or two.
BLOCK = 1 << 17


def in_blocks(maps: Tensor, columns: int | None, size: int, k: float, alpha: float, beta: float) -> Tensor:
    """Return a / (k + α·Σ a²)^β for `maps` (batch, channels, height, width).

    Args:
        columns: the sums are over `size` maps of one of so many columns; None: over squares inside a map.
    """
    normalised: Tensor = _NormaliseInBlocks.apply(maps, columns, size, k, alpha, beta)
    return normalised


class _NormaliseInBlocks(torch.autograd.Function):
    """The formula and its gradient, block by block in scratch memory that stays in the cache."""

    @staticmethod
    def forward(
        ctx: Any, given: Tensor, columns: int | None, size: int, k: float, alpha: float, beta: float
    ) -> Tensor:
        a = given.contiguous(memory_format=_working_order(given, columns))
        result, scale = torch.empty_like(a), torch.empty_like(a, dtype=arithmetic_of(a))
        constant = scale.new_tensor(k)
        # Autocast would have the products in bfloat16.
        with torch.autocast("cpu", enabled=False):
            for own, out, sums in _blocks(columns, a, result, scale):
                values = own.to(scale.dtype)
                _sum_windows(values * values, columns, size, constant, alpha, sums)
                out.copy_(inverse_power(sums, beta).mul_(values))
        ctx.save_for_backward(given, scale)
        ctx.columns, ctx.size, ctx.alpha, ctx.beta = columns, size, alpha, beta
        return result.contiguous(memory_format=_order_of(given))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        given, scale = ctx.saved_tensors
        order = _working_order(given, ctx.columns)
        a, gradient = given.contiguous(memory_format=order), gradients[0].contiguous(memory_format=order)
        result = torch.empty_like(a)
        nothing, factor = scale.new_tensor(0.0), -2 * ctx.alpha * ctx.beta
        for own, above, sums, out in _blocks(ctx.columns, a, gradient, scale, result):
            values = own.to(scale.dtype)
            direct = inverse_power(sums, ctx.beta).mul_(above)
            quotient = (direct * values).div_(sums)
            shared = torch.empty_like(quotient)
            # The window is symmetric, so the maps that j normalises are those that normalise j.
            _sum_windows(quotient, ctx.columns, ctx.size, nothing, factor, shared)
            out.copy_(direct.addcmul_(shared, values))
        return result.contiguous(memory_format=_order_of(given)), *[None] * 5


def _order_of(maps: Tensor) -> torch.memory_format:
    side_by_side = maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous()
    return torch.channels_last if side_by_side else torch.contiguous_format


def _working_order(maps: Tensor, columns: int | None) -> torch.memory_format:
    return torch.contiguous_format if columns is None else _order_of(maps)


def _blocks(columns: int | None, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Return block after block of all `tensors`, which have the same shape and order in memory."""
    views = [_view(each, columns) for each in tensors]
    rows = max(1, BLOCK // (views[0].numel() // max(1, len(views[0])) or 1))
    return zip(*(view.split(rows) for view in views), strict=True)


def _view(maps: Tensor, columns: int | None) -> Tensor:
    # (…, N) where the N maps of a column lie side by side, else (…, N, places); without columns,
    # (…, height, width).
    if columns is None:
        return maps.view(-1, *maps.shape[2:])
    count = maps.shape[1] // columns
    if _order_of(maps) == torch.channels_last:
        return maps.permute(0, 2, 3, 1).view(-1, count)
    return maps.view(-1, count, maps.shape[2] * maps.shape[3])


def _sum_windows(
    values: Tensor, columns: int | None, size: int, constant: Tensor, factor: float, out: Tensor
) -> None:
    """Write constant + factor · Σ over each window of `values`, as `_view` has them, into `out`."""
    if columns is None:
        values = torch.matmul(_band(values.shape[1], size, values.dtype), values)
    elif values.dim() == 3:
        band = _band(values.shape[1], size, values.dtype).expand(len(values), -1, -1)
        torch.baddbmm(constant, band, values, alpha=factor, out=out)
        return
    width = values.shape[-1]
    band = _band(width, size, values.dtype)
    torch.addmm(constant, values.view(-1, width), band, alpha=factor, out=out.view(-1, width))


@functools.lru_cache(maxsize=16)
def _band(count: int, size: int, dtype: torch.dtype) -> Tensor:
    """Return the (count, count) matrix with a one where i and j are at most size // 2 apart."""
    places = torch.arange(count)
    return ((places[:, None] - places[None, :]).abs() <= size // 2).to(dtype)


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

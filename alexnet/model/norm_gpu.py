"""Response normalisation across maps made fast for GPUs: the same numbers as `norm`, but for rounding.

Kernels of Triton read the maps from memory once. What a window needs of its neighbours comes from the cache.
The operators of `norm` go through memory several times; compiled, they compute every term anew for each
window that it is in.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

# Numbers that a program works on, at least as many as `kernels.LARGEST`, and its warps.
AT_ONCE, WARPS = 1024, 8


@triton.jit
def _inverse_power(scale, BETA: tl.constexpr):
    if BETA == 0.75:
        root = tl.rsqrt(scale)
        return root * tl.sqrt(root)
    return tl.exp2(-BETA * tl.log2(scale))


@triton.jit
def _own_part(numbers, MAPS: tl.constexpr, AT_ONCE: tl.constexpr):
    """Return where this program's numbers are, which of them exist, and which map of its column each is of.

    They are those of whole columns.
    """
    OWN: tl.constexpr = AT_ONCE // MAPS * MAPS
    first = tl.program_id(0).to(tl.int64) * OWN
    own = tl.arange(0, AT_ONCE)
    return first + own, (own < OWN) & (first + own < numbers), own % MAPS


@triton.jit
def _near(values, places, exist, number, APART: tl.constexpr, MAPS: tl.constexpr):
    """Return the numbers of the maps that are so far apart, and zeros beyond the column."""
    there = exist & (number + APART >= 0) & (number + APART < MAPS)
    return tl.load(values + places + APART, there, 0.0).to(tl.float32)


@triton.jit
def _scale(
    given, places, exist, number,
    SIZE: tl.constexpr, K: tl.constexpr, ALPHA: tl.constexpr, MAPS: tl.constexpr,
):  # fmt: skip
    squares = tl.zeros(places.shape, tl.float32)
    for place in tl.static_range(SIZE):
        a = _near(given, places, exist, number, place - SIZE // 2, MAPS)
        squares += a * a
    return K + ALPHA * squares


@triton.jit
def _normalise(
    given, result, numbers,
    SIZE: tl.constexpr, K: tl.constexpr, ALPHA: tl.constexpr, BETA: tl.constexpr,
    MAPS: tl.constexpr, AT_ONCE: tl.constexpr,
):  # fmt: skip
    places, exist, number = _own_part(numbers, MAPS, AT_ONCE)
    a = tl.load(given + places, exist, 0.0).to(tl.float32)
    normalised = a * _inverse_power(_scale(given, places, exist, number, SIZE, K, ALPHA, MAPS), BETA)
    tl.store(result + places, normalised.to(result.dtype.element_ty), exist)


@triton.jit
def _differentiate(
    given, gradient, result, numbers,
    SIZE: tl.constexpr, K: tl.constexpr, ALPHA: tl.constexpr, BETA: tl.constexpr,
    MAPS: tl.constexpr, AT_ONCE: tl.constexpr,
):  # fmt: skip
    places, exist, number = _own_part(numbers, MAPS, AT_ONCE)
    a = tl.load(given + places, exist, 0.0).to(tl.float32)
    scale = _scale(given, places, exist, number, SIZE, K, ALPHA, MAPS)
    direct = tl.load(gradient + places, exist, 0.0).to(tl.float32) * _inverse_power(scale, BETA)
    # Threads see each other's numbers by way of memory: here, for a moment, are those of the windows.
    tl.store(result + places, (direct * a / scale).to(result.dtype.element_ty), exist)
    tl.debug_barrier()
    # The window is symmetric, so the maps that j normalises are those that normalise j.
    shared = tl.zeros(places.shape, tl.float32)
    for place in tl.static_range(SIZE):
        shared += _near(result, places, exist, number, place - SIZE // 2, MAPS)
    tl.debug_barrier()
    slope = direct - 2 * ALPHA * BETA * a * shared
    tl.store(result + places, slope.to(result.dtype.element_ty), exist)


def _launch(kernel: Any, columns: int, constants: tuple[int | float, ...], *given: Tensor) -> Tensor:
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in given)
    result = torch.empty_like(given[0])
    maps, numbers = result.shape[1] // columns, result.numel()
    with torch.cuda.device_of(result):
        kernel[triton.cdiv(numbers, AT_ONCE // maps * maps),](
            *given, result, numbers, *constants, maps, AT_ONCE, num_warps=WARPS
        )
    return result


@torch.library.custom_op("alexnet::norm_across_maps", mutates_args=())
def norm_across_maps(maps: Tensor, columns: int, size: int, k: float, alpha: float, beta: float) -> Tensor:
    """Return what `CrossMapNorm` returns; it can be differentiated once.

    A number beyond 10^19, whose square no float32 holds, spoils the results of the windows that it is in.

    Args:
        maps: float32 or bfloat16 (batch, columns · N, height, width), dense and channels_last in memory; N is
            not above `kernels.LARGEST`.
    """
    return _launch(_normalise, columns, (size, k, alpha, beta), maps)


@torch.library.custom_op("alexnet::norm_across_maps_backward", mutates_args=())
def _norm_across_maps_backward(
    maps: Tensor, gradient: Tensor, columns: int, size: int, k: float, alpha: float, beta: float
) -> Tensor:
    return _launch(_differentiate, columns, (size, k, alpha, beta), maps, gradient)


@norm_across_maps.register_fake
@_norm_across_maps_backward.register_fake
def _(maps: Tensor, *others: Any) -> Tensor:
    return torch.empty_like(maps)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    maps, *ctx.constants = inputs
    ctx.save_for_backward(maps)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    (maps,) = ctx.saved_tensors
    gradient = gradient.contiguous(memory_format=torch.channels_last)
    return _norm_across_maps_backward(maps, gradient, *ctx.constants), *[None] * 5


norm_across_maps.register_autograd(_backward, setup_context=_keep)

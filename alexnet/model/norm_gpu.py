"""Response normalisation across maps made fast for GPUs: the same numbers as `norm`, but for rounding.

A kernel of Triton reads each number once and writes each result once. The operators of `norm` go through
memory several times; compiled, they compute every term anew for each window that it is in. As in `norm_cpu`,
the window sums are a product with a band matrix.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

# Numbers that a program works on, and its warps.
AT_ONCE, WARPS = 4096, 4
# Triton's interpreter, which needs no GPU, cannot multiply bfloat16.
FACTORS = tl.float32 if triton.knobs.runtime.interpret else tl.bfloat16


@triton.jit
def _window_sums(values, SIZE: tl.constexpr, MAPS: tl.constexpr, PARTS: tl.constexpr, FACTORS: tl.constexpr):
    apart = tl.arange(0, MAPS)[:, None] - tl.arange(0, MAPS)[None, :]
    band = ((apart <= SIZE // 2) & (apart >= -(SIZE // 2))).to(FACTORS)
    sums = tl.zeros(values.shape, tl.float32)
    # Tensor cores multiply bfloat16, so a float32 is split into three. For bfloat16 inputs two suffice: the
    # square of one has 16 bits.
    for _ in tl.static_range(PARTS):
        part = values.to(tl.bfloat16)
        sums += tl.dot(part.to(FACTORS), band)
        values -= part.to(tl.float32)
    return sums


@triton.jit
def _inverse_power(scale, BETA: tl.constexpr):
    if BETA == 0.75:
        root = tl.rsqrt(scale)
        return root * tl.sqrt(root)
    return tl.exp2(-BETA * tl.log2(scale))


@triton.jit
def _own_part(places, channels, maps, PLACES: tl.constexpr, MAPS: tl.constexpr):
    """Return where the numbers of this program are, (places, maps) of one column, and which of them exist."""
    place = tl.program_id(0) * PLACES + tl.arange(0, PLACES)
    number = tl.arange(0, MAPS)
    offsets = place.to(tl.int64)[:, None] * channels + (tl.program_id(1) * maps + number)[None, :]
    return offsets, (place < places)[:, None] & (number < maps)[None, :]


@triton.jit
def _normalise(
    given, result, places, channels, maps,
    SIZE: tl.constexpr, K: tl.constexpr, ALPHA: tl.constexpr, BETA: tl.constexpr,
    PLACES: tl.constexpr, MAPS: tl.constexpr, PARTS: tl.constexpr, FACTORS: tl.constexpr,
):  # fmt: skip
    offsets, exist = _own_part(places, channels, maps, PLACES, MAPS)
    a = tl.load(given + offsets, exist, 0.0).to(tl.float32)
    scale = K + ALPHA * _window_sums(a * a, SIZE, MAPS, PARTS, FACTORS)
    normalised = a * _inverse_power(scale, BETA)
    tl.store(result + offsets, normalised.to(result.dtype.element_ty), exist)


@triton.jit
def _differentiate(
    given, gradient, result, places, channels, maps,
    SIZE: tl.constexpr, K: tl.constexpr, ALPHA: tl.constexpr, BETA: tl.constexpr,
    PLACES: tl.constexpr, MAPS: tl.constexpr, PARTS: tl.constexpr, FACTORS: tl.constexpr,
):  # fmt: skip
    offsets, exist = _own_part(places, channels, maps, PLACES, MAPS)
    a = tl.load(given + offsets, exist, 0.0).to(tl.float32)
    scale = K + ALPHA * _window_sums(a * a, SIZE, MAPS, PARTS, FACTORS)
    direct = tl.load(gradient + offsets, exist, 0.0).to(tl.float32) * _inverse_power(scale, BETA)
    # The window is symmetric, so the maps that j normalises are those that normalise j.
    shared = _window_sums(direct * a / scale, SIZE, MAPS, PARTS, FACTORS)
    slope = direct - 2 * ALPHA * BETA * a * shared
    tl.store(result + offsets, slope.to(result.dtype.element_ty), exist)


def _launch(kernel: Any, columns: int, constants: tuple[int | float, ...], *given: Tensor) -> Tensor:
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in given)
    result = torch.empty_like(given[0])
    channels = result.shape[1]
    maps, places = channels // columns, result.numel() // channels
    width = max(16, triton.next_power_of_2(maps))
    at_once, parts = AT_ONCE // width, 2 if result.dtype == torch.bfloat16 else 3
    with torch.cuda.device_of(result):
        # A GPU allows 65,535 programs along the second axis, and far more along the first.
        kernel[triton.cdiv(places, at_once), columns](
            *(*given, result, places, channels, maps),
            *(*constants, at_once, width, parts, FACTORS),
            num_warps=WARPS,
        )
    return result


@torch.library.custom_op("alexnet::norm_across_maps", mutates_args=())
def norm_across_maps(maps: Tensor, columns: int, size: int, k: float, alpha: float, beta: float) -> Tensor:
    """Return what `CrossMapNorm` returns; it can be differentiated once.

    A number beyond 10^19, whose square no float32 holds, spoils all of its column at its place.

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

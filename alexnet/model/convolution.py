"""Convolutions in a form that GPUs compute fast."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# cuDNN computes 64 channels faster than 48.
CHANNELS_MULTIPLE = 32


class Convolution(nn.Conv2d):
    """`torch.nn.Conv2d` with square kernels, computed in another form elsewhere than on a CPU.

    There, a layer with groups becomes one convolution for each group. A layer with a stride, but without
    groups and padding, becomes a convolution without a stride: the pixels of each stride × stride square
    are its channels ("space to depth"). Results differ by rounding. On an H200, cuDNN was slower with groups,
    and with three channels; python -m benchmarks.gpu --steps parts compares.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the maps (batch, kernels, height, width) of `input` (batch, maps, height, width)."""
        if _on_cpu(input):
            return super().forward(input)
        if self.groups > 1:
            return self.column_by_column(input)
        if self.stride[0] > 1 and not any(self.padding):
            return self.by_squares(input)
        return super().forward(input)

    def column_by_column(self, input: Tensor) -> Tensor:
        """Return what `forward` does, computed as a convolution for each group."""
        assert self.bias is not None
        weights, biases = self.weight.chunk(self.groups), self.bias.chunk(self.groups)
        padding = (int(self.padding[0]), int(self.padding[1]))
        maps = [
            _DenseGradient.apply(functional.conv2d(_dense(part), weight, bias, self.stride, padding))
            for part, weight, bias in zip(input.chunk(self.groups, 1), weights, biases, strict=True)
        ]
        return torch.cat(maps, 1)

    def by_squares(self, input: Tensor) -> Tensor:
        """Return what `forward` does without padding, computed as a convolution with a stride of 1."""
        stride = self.stride[0]
        height, width = ((side - self.kernel_size[0]) // stride + 1 for side in input.shape[2:])
        maps = functional.conv2d(_squares(input, stride), _squares(self.weight, stride), self.bias)
        return maps[:, :, :height, :width]


def _on_cpu(values: Tensor) -> bool:
    return values.device.type == "cpu"


def _dense(part: Tensor) -> Tensor:
    """Copy a part out of a larger tensor; else cuDNN would do so at each use."""
    return part.contiguous(memory_format=torch.channels_last)


class _DenseGradient(torch.autograd.Function):
    """Returns the maps as they are, and copies their gradient by `_dense`."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        return maps.view_as(maps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _dense(gradients[0])


def _squares(values: Tensor, side: int) -> Tensor:
    """Return (n, maps, height, width) as (n, maps · side², height / side, width / side), rounded up.

    The channels are filled up with zeros to a multiple of `CHANNELS_MULTIPLE`.
    """
    count, maps, height, width = values.shape
    rows, columns = math.ceil(height / side), math.ceil(width / side)
    whole = functional.pad(values, (0, columns * side - width, 0, rows * side - height))
    squares = whole.view(count, maps, rows, side, columns, side).permute(0, 2, 4, 1, 3, 5)
    channels = squares.reshape(count, rows, columns, maps * side * side)
    return functional.pad(channels, (0, -channels.shape[3] % CHANNELS_MULTIPLE)).permute(0, 3, 1, 2)

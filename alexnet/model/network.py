"""The two-column network of the paper's section 3, and the variants that the authors ran.

`layers` is the one description of the architecture; the module, `alexnet describe`, the
initial weights and the tests read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from alexnet.model.dropout import Dropout
from alexnet.model.input import InputRule
from alexnet.model.norm import CrossMapNorm, SpatialNorm
from alexnet.model.params import Model

# Kernels (or neurons) at width 1, both columns together (paper, section 3.5).
KERNELS = {
    "conv1": 96,
    "conv2": 256,
    "conv3": 384,
    "conv4": 384,
    "conv5": 256,
    "conv6": 256,
    "fc6": 4096,
    "fc7": 4096,
}
# The paper's one-GPU net halves these; conv5 stays as wide so that the full layers keep their size.
HALVED_IN_ONE_COLUMN = ("conv1", "conv2", "conv3", "conv4")

Sees = Literal["image", "own column", "both columns"]


@dataclass(frozen=True)
class Layer:
    """A convolution or full layer as the paper counts them.

    Attributes:
        inputs, outputs: maps (or neurons) of the whole layer, all columns together.
        fan_in: inputs of one kernel or neuron.
        kernel, stride, padding: in pixels; 0 for a full layer's kernel.
        size: side of the output maps before pooling; 1 for full layers.
        pooled: side of the maps after pooling, or None.
        sees: what a kernel is connected to.
    """

    name: str
    inputs: int
    outputs: int
    fan_in: int
    kernel: int
    stride: int
    padding: int
    size: int
    pooled: int | None
    sees: Sees

    @property
    def is_convolution(self) -> bool:
        return self.kernel > 0

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.outputs * (self.fan_in + 1)


def layers(model: Model, classes: int) -> list[Layer]:
    """Describe the network that `model` asks for, with `classes` outputs, layer by layer."""
    two = model.columns == 2
    pool_size = int(model.pooling[0])
    small_pools = pool_size == 2
    result: list[Layer] = []
    maps: int = 3
    side: int = model.patch

    def convolution(
        name: str, kernel: int, padding: int, sees: Sees, stride: int = 1, pool: bool = False
    ) -> None:
        nonlocal maps, side
        # Only conv1 does not tile its input: its last position hangs over the edge by 3 pixels.
        size = 1 + -(-(side + 2 * padding - kernel) // stride)
        pooled = _pooled(size, pool_size) if pool else None
        seen = maps // 2 if sees == "own column" and two else maps
        outputs = _width(name, model)
        result.append(
            Layer(name, maps, outputs, seen * kernel**2, kernel, stride, padding, size, pooled, sees)
        )
        maps, side = outputs, pooled or size

    convolution("conv1", 11, 0, "image", stride=4, pool=True)
    # With 2×2 pools the source's run kept the later sizes by these paddings (spec of its layer file).
    convolution("conv2", 5, 1 if small_pools else 2, "own column", pool=True)
    if model.leave_out != "conv3":
        convolution("conv3", 3, 1, "both columns")
    if model.leave_out != "conv4":
        convolution("conv4", 3, 1, "own column")
    if model.leave_out != "conv5":
        convolution("conv5", 3, 0 if small_pools else 1, "own column", pool=True)
    else:
        result[-1] = _with_pool(result[-1], pool_size)
        side = result[-1].pooled or side
    if model.conv6:
        convolution("conv6", 3, 1, "both columns")

    inputs = maps * side * side
    for name, outputs in (
        ("fc6", _width("fc6", model)),
        ("fc7", _width("fc7", model)),
        ("fc8", classes),
    ):
        result.append(Layer(name, inputs, outputs, inputs, 0, 1, 0, 1, None, "both columns"))
        inputs = outputs
    return result


def _pooled(size: int, pool: int) -> int:
    return 1 + -(-(size - pool) // 2)


def _with_pool(layer: Layer, pool: int) -> Layer:
    return Layer(**{**layer.__dict__, "pooled": _pooled(layer.size, pool)})


def _width(name: str, model: Model) -> int:
    """Kernels of a layer: even, so that two columns share them evenly."""
    kernels = KERNELS[name]
    if model.columns == 1 and name in HALVED_IN_ONE_COLUMN:
        kernels //= 2
    return 2 * max(1, round(kernels * model.width / 2))


def _one_column(maps: Tensor) -> Tensor:
    return maps


class AlexNet(nn.Module):
    """The network; `forward` takes patches as bytes and gives logits.

    Weights carry the names of `layers`: ``conv1.weight`` … ``fc8.bias``. The first half of a
    layer's kernels is column 1, the second half column 2 (paper, figure 2).

    Args:
        model: the `model` section of the parameters.
        classes: outputs of fc8.
        join: called on what enters a layer that sees both columns. With both columns here it is
            the identity; a process that holds one column gathers the other's maps there.
    """

    conv1: nn.Conv2d
    conv2: nn.Conv2d
    conv3: nn.Conv2d
    conv4: nn.Conv2d
    conv5: nn.Conv2d
    conv6: nn.Conv2d
    fc6: nn.Linear
    fc7: nn.Linear
    fc8: nn.Linear

    def __init__(self, model: Model, classes: int, join: Callable[[Tensor], Tensor] = _one_column) -> None:
        super().__init__()
        self.model, self.classes, self.join = model, classes, join
        self.layers = layers(model, classes)
        self.input = InputRule(model.mean, model.input_divisor, model.patch)
        for layer in self.layers:
            if layer.is_convolution:
                groups = layer.inputs * layer.kernel**2 // layer.fan_in
                self.add_module(
                    layer.name,
                    nn.Conv2d(
                        layer.inputs,
                        layer.outputs,
                        layer.kernel,
                        layer.stride,
                        layer.padding,
                        groups=groups,
                    ),
                )
            else:
                self.add_module(layer.name, nn.Linear(layer.inputs, layer.outputs))
        self.norm = self._cross_map_norm()
        # Layer file 145, rnorm2: α = 1e-3 over the 25 places of the window, k = 1 as in cuda-convnet.
        self.spatial_norm = SpatialNorm(5, 1.0, 1e-3 / 25, 0.75) if model.spatial_norm else nn.Identity()
        rate, form = model.dropout.rate, model.dropout.form
        self.dropout6 = Dropout(rate, form, layer=6, neurons=self.fc6.out_features)
        self.dropout7 = Dropout(rate, form, layer=7, neurons=self.fc7.out_features)

    def _cross_map_norm(self) -> nn.Module:
        norm = self.model.response_norm
        if not norm.enabled:
            return nn.Identity()
        alpha = norm.alpha / norm.size if norm.alpha_divided_by_size else norm.alpha
        columns = 1 if norm.across_columns else self.model.columns
        return CrossMapNorm(columns, norm.size, norm.k, alpha, norm.beta)

    def forward(self, inputs: Tensor, keys: Tensor | None = None) -> Tensor:
        """Return logits (batch, classes).

        Args:
            inputs: float (batch, 3, patch, patch), as `self.input` makes it of bytes.
            keys: int64 (batch,) from `picture_keys`; needed in training when dropout is on.
        """
        return self.fc8(self.join(self.features(inputs, keys)))

    def features(self, inputs: Tensor, keys: Tensor | None = None) -> Tensor:
        """Return fc7's activations after dropout, (batch, 4096 · width): the paper's section 6."""
        maps = self._convolutions(inputs).flatten(1)
        hidden = self.dropout6(self._activate(self.fc6(self.join(maps))), keys)
        return self.dropout7(self._activate(self.fc7(self.join(hidden))), keys)

    def _convolutions(self, inputs: Tensor) -> Tensor:
        model = self.model
        # 1 + ceil((224 − 11) / 4) = 55 positions: the last reaches 3 pixels past right and bottom.
        overhang = 11 + 4 * (self.layers[0].size - 1) - model.patch
        maps = self.conv1(functional.pad(inputs, (0, overhang, 0, overhang)))
        if model.conv1_order == "activation-norm-pool":
            maps = self._pool(self.norm(self._activate(maps)))
        else:
            maps = self._activate(self._pool(self.norm(maps)))
        maps = self._activate(self.conv2(maps))
        maps = self._pool(self.spatial_norm(self.norm(maps)))
        if model.leave_out != "conv3":
            maps = self._activate(self.conv3(self.join(maps)))
        if model.leave_out != "conv4":
            maps = self._activate(self.conv4(maps)) if model.leave_out != "conv5" else self.conv4(maps)
        if model.leave_out != "conv5":
            maps = self.conv5(maps)
        if model.conv5_order == "activation-pool":
            maps = self._pool(self._activate(maps))
        else:
            maps = self._activate(self._pool(maps))
        if model.conv6:
            maps = self._activate(self.conv6(self.join(maps)))
        return maps

    def _pool(self, maps: Tensor) -> Tensor:
        return functional.max_pool2d(maps, int(self.model.pooling[0]), 2, ceil_mode=True)

    def _activate(self, values: Tensor) -> Tensor:
        if self.model.activation == "relu":
            return functional.relu(values)
        values = torch.tanh(values)
        return values.abs() if self.model.activation == "abs_tanh" else values

    def lay_out(self, order: torch.memory_format) -> None:
        """Keep the maps in this order in memory; it changes speed, and results by rounding alone."""
        self.input.order = order
        for parameter in self.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=order)

    def layer_parameters(self) -> Iterator[tuple[Layer, nn.Parameter, nn.Parameter]]:
        """Yield each layer with its weight and its bias."""
        for layer in self.layers:
            module = self.get_submodule(layer.name)
            yield layer, module.get_parameter("weight"), module.get_parameter("bias")

"""The two-column network of the paper's section 3, and the variants that the authors ran.

`layers` is the one description of the architecture. The module follows it layer by layer, and
`alexnet describe`, the initial weights, the columns and the tests read it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from alexnet.core.sizes import PATCH
from alexnet.model.convolution import Convolution
from alexnet.model.dropout import Dropout
from alexnet.model.input import Batch, InputRule
from alexnet.model.norm import CrossMapNorm, SpatialNorm
from alexnet.model.params import Model
from alexnet.model.pool import max_pool

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
# Of activation, norm, spatial norm, pool and dropout.
Steps = tuple[str, ...]
# Kernel, stride and padding in pixels, what it sees, what follows.
_Convolution = tuple[int, int, int, Sees, Steps]


@dataclass(frozen=True)
class Layer:
    """A convolution or full layer as the paper counts them, with what follows it.

    Attributes:
        inputs, outputs: maps (or neurons) of the whole layer, all columns together.
        fan_in: inputs of one kernel or neuron.
        sees: what a kernel is connected to.
        then: what is applied to the outputs, in this order.
        kernel, stride, padding: in pixels; 0 for a full layer's kernel.
        overhang: how far the last position reaches past the right and bottom edges, in pixels read as zero.
        size: side of the output maps before pooling; 1 for full layers.
        pooled: side of the maps after pooling, or None.
    """

    name: str
    inputs: int
    outputs: int
    fan_in: int
    sees: Sees
    then: Steps
    kernel: int = 0
    stride: int = 1
    padding: int = 0
    overhang: int = 0
    size: int = 1
    pooled: int | None = None

    @property
    def is_convolution(self) -> bool:
        return self.kernel > 0

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.outputs * (self.fan_in + 1)


def layers(model: Model, classes: int, patch: int = PATCH) -> list[Layer]:
    """Describe the network that `model` asks for, with `classes` outputs, layer by layer.

    Args:
        patch: side of the input in pixels; 227 in networks imported from Caffe.
    """
    # "3/2": windows of 3×3, two apart.
    pool = int(model.pooling[0])
    result, maps, side = [], 3, patch
    for name, (kernel, stride, padding, sees, then) in _convolutions(model):
        # Only conv1 does not tile its input: 1 + ceil((224 − 11) / 4) = 55 positions.
        size = 1 + -(-(side + 2 * padding - kernel) // stride)
        overhang = kernel + stride * (size - 1) - side - 2 * padding
        pooled = 1 + -(-(size - pool) // 2) if "pool" in then else None
        seen = maps // 2 if sees == "own column" and model.columns == 2 else maps
        outputs, fan_in = _width(name, model), seen * kernel**2
        result.append(
            Layer(name, maps, outputs, fan_in, sees, then, kernel, stride, padding, overhang, size, pooled)
        )
        maps, side = outputs, pooled or size
    inputs = maps * side * side
    for name in ("fc6", "fc7", "fc8"):
        outputs = classes if name == "fc8" else _width(name, model)
        after: Steps = () if name == "fc8" else ("activation", "dropout")
        result.append(Layer(name, inputs, outputs, fan_in=inputs, sees="both columns", then=after))
        inputs = outputs
    return result


def _convolutions(model: Model) -> list[tuple[str, _Convolution]]:
    # With 2×2 pools the source's run kept the later sizes by other paddings (layer file 147).
    padding2, padding5 = (1, 0) if model.pooling == "2/2" else (2, 1)
    conv4: _Convolution = (3, 1, 1, "own column", ("activation",))
    conv5: _Convolution = (3, 1, padding5, "own column", tuple(model.conv5_order.split("-")))
    found: dict[str, _Convolution] = {
        "conv1": (11, 4, 0, "image", tuple(model.conv1_order.split("-"))),
        "conv2": (5, 1, padding2, "own column", ("activation", "norm", "spatial norm", "pool")),
        "conv3": (3, 1, 1, "both columns", ("activation",)),
        # Where conv5 is left out, conv4 takes its place before the pool.
        "conv4": conv5 if model.leave_out == "conv5" else conv4,
        "conv5": conv5,
        "conv6": (3, 1, 1, "both columns", ("activation",)),
    }
    absent = {model.leave_out} if model.conv6 else {model.leave_out, "conv6"}
    return [(name, shape) for name, shape in found.items() if name not in absent]


def _width(name: str, model: Model) -> int:
    """Kernels of a layer: even, so that two columns share them evenly."""
    # Without conv5, conv4 has its maps, so that the full layers keep their size.
    if (name, model.leave_out) == ("conv4", "conv5"):
        name = "conv5"
    kernels = KERNELS[name]
    if model.columns == 1 and name in HALVED_IN_ONE_COLUMN:
        kernels //= 2
    return 2 * max(1, round(kernels * model.width / 2))


def _unchanged(maps: Tensor) -> Tensor:
    return maps


class AlexNet(nn.Module):
    """The network: pictures as bytes in, logits out.

    Weights carry the names of `layers`: ``conv1.weight`` … ``fc8.bias``. The first half of a
    layer's kernels is column 1, the second half column 2 (paper, figure 2).

    Args:
        model: the `model` section of the parameters.
        classes: outputs of fc8.
        patch: side of the pictures it is given, in pixels.

    Attributes:
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

    def __init__(self, model: Model, classes: int, patch: int = PATCH) -> None:
        super().__init__()
        self.model, self.classes = model, classes
        self.layers = layers(model, classes, patch)
        self.join: Callable[[Tensor], Tensor] = _unchanged
        self.input = InputRule(model.mean, model.input_divisor, patch)
        self.dropouts = nn.ModuleDict()
        for layer in self.layers:
            self.add_module(layer.name, _module(layer))
            if "dropout" in layer.then:
                rate, form, number = model.dropout.rate, model.dropout.form, int(layer.name[-1])
                self.dropouts[layer.name] = Dropout(rate, form, number, layer.outputs)
        self.norm = _cross_map_norm(model)
        # Layer file 145, cnorm2: α = 1e-3 over the 25 places of the window, k = 1 as in cuda-convnet.
        self.spatial_norm = SpatialNorm(5, 1.0, 1e-3 / 25, 0.75) if model.spatial_norm else nn.Identity()

    def forward(
        self,
        batch: Batch | Tensor,
        keys: Tensor | None = None,
        shift: Tensor | None = None,
        noise_divisor: float = 1.0,
    ) -> Tensor:
        """Return logits (batch, classes).

        Args:
            batch: patches as bytes, or what `input` made of them, as `from_inputs` takes it.
            keys: int64 (batch,) from `picture_keys`; needed in training.
            shift, noise_divisor: the colour shift, as `InputRule.forward` takes it.
        """
        inputs = batch if isinstance(batch, Tensor) else self.input(batch, shift, noise_divisor)
        return self.from_inputs(inputs, keys)

    def from_inputs(self, inputs: Tensor, keys: Tensor | None = None) -> Tensor:
        """Return logits of what the input rule makes of a batch, float (batch, 3, patch, patch)."""
        return self._through(self.layers, inputs, keys)

    def features(self, batch: Batch) -> Tensor:
        """Return fc7's activations after dropout, (batch, 4096 · width): the paper's section 6.1."""
        return self._through(self.layers[:-1], self.input(batch), None)

    def _through(self, some: list[Layer], values: Tensor, keys: Tensor | None) -> Tensor:
        # Where columns on two devices are joined, torch.compile gives up the function that it compiles; so
        # what lies between is in a function of its own.
        for stretch in _stretches(some):
            if stretch[0].sees == "both columns":
                values = self.join(values if stretch[0].is_convolution else values.flatten(1))
            values = self._stretch(stretch, values, keys)
        return values

    def _stretch(self, some: list[Layer], values: Tensor, keys: Tensor | None) -> Tensor:
        for layer in some:
            if not layer.is_convolution:
                values = values.flatten(1)
            if layer.overhang:
                values = functional.pad(values, (0, layer.overhang, 0, layer.overhang))
            values = getattr(self, layer.name)(values)
            for step in layer.then:
                if step == "activation":
                    values = activate(values, self.model.activation)
                elif step == "pool":
                    values = max_pool(values, int(self.model.pooling[0]))
                elif step == "dropout":
                    values = self.dropouts[layer.name](values, keys)
                else:
                    values = (self.norm if step == "norm" else self.spatial_norm)(values)
        return values

    def set_memory_format(self, memory_format: torch.memory_format) -> None:
        """Keep the maps in this order in memory; it changes speed, and results by rounding alone."""
        self.input.memory_format = memory_format
        self.to(memory_format=memory_format)  # type: ignore[call-overload]

    def layer_parameters(self) -> Iterator[tuple[Layer, nn.Parameter, nn.Parameter]]:
        """Yield each layer with its weight and its bias."""
        for layer in self.layers:
            module = self.get_submodule(layer.name)
            yield layer, module.get_parameter("weight"), module.get_parameter("bias")


def _stretches(some: list[Layer]) -> list[list[Layer]]:
    """Cut `some` in front of each layer that sees both columns."""
    stretches: list[list[Layer]] = []
    for layer in some:
        if not stretches or layer.sees == "both columns":
            stretches.append([])
        stretches[-1].append(layer)
    return stretches


def _module(layer: Layer) -> nn.Module:
    if not layer.is_convolution:
        return nn.Linear(layer.inputs, layer.outputs)
    groups = layer.inputs * layer.kernel**2 // layer.fan_in
    return Convolution(layer.inputs, layer.outputs, layer.kernel, layer.stride, layer.padding, groups=groups)


def _cross_map_norm(model: Model) -> nn.Module:
    norm = model.response_norm
    if not norm.enabled:
        return nn.Identity()
    alpha = norm.alpha / norm.size if norm.alpha_divided_by_size else norm.alpha
    columns = 1 if norm.across_columns else model.columns
    return CrossMapNorm(columns, norm.size, norm.k, alpha, norm.beta)


def activate(values: Tensor, activation: str) -> Tensor:
    """Return ``relu``, ``tanh`` or ``abs_tanh`` of `values`."""
    if activation == "relu":
        return functional.relu(values)
    values = torch.tanh(values)
    return values.abs() if activation == "abs_tanh" else values

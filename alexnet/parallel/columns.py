"""The network with one column on each of two devices (paper, section 3.5 and figure 2).

The layers need not know: `keep_column` cuts a whole network down to one column's kernels, and what
enters conv3, conv6, fc6, fc7 and fc8 is joined over the mesh. So are the logits, of which the loss
needs all.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from alexnet.core.errors import UserError
from alexnet.core.sizes import PATCH
from alexnet.model.convolution import Convolution
from alexnet.model.dropout import Dropout
from alexnet.model.network import AlexNet, Layer, layers
from alexnet.model.norm import CrossMapNorm
from alexnet.model.params import Model
from alexnet.parallel.mesh import Mesh

# Of a float32 number.
VALUE_BYTES = 4


@torch.no_grad()
def keep_column(network: AlexNet, mesh: Mesh) -> None:
    """Cut `network` down to this process's column; does nothing where a device holds both columns.

    Raises:
        UserError: the network's response norm needs both columns' maps.
    """
    if mesh.columns == 1:
        return
    if network.model.response_norm.across_columns:
        raise UserError(
            "model.response_norm.across_columns: found true; allowed: false where each column has a device"
            " of its own, since columns exchange nothing there. Set devices: 1 in machine.yaml."
        )
    for layer in network.layers:
        network.set_submodule(layer.name, _half(layer, network, mesh))
    norm = network.norm
    if isinstance(norm, CrossMapNorm):
        network.norm = CrossMapNorm(1, norm.size, norm.k, norm.alpha, norm.beta)
    for dropout in network.dropouts.values():
        assert isinstance(dropout, Dropout)
        first, last = mesh.column_share.bounds(len(dropout.places))
        dropout.places = dropout.places[first:last].clone()
    network.join = partial(_joined, mesh=mesh)


def _half(layer: Layer, network: AlexNet, mesh: Mesh) -> nn.Module:
    whole = network.get_submodule(layer.name)
    first, last = mesh.column_share.bounds(layer.outputs)
    half: nn.Module
    if layer.is_convolution:
        inputs = layer.fan_in // layer.kernel**2
        half = Convolution(inputs, last - first, layer.kernel, layer.stride, layer.padding)
    else:
        half = nn.Linear(layer.inputs, last - first)
    if layer.name == "fc8":
        half.register_forward_hook(partial(_whole_logits, classes=layer.outputs, mesh=mesh))
    for name, value in whole.named_parameters():
        half.get_parameter(name).data = value[first:last].clone()
    return half.train(whole.training)


class Exchange(NamedTuple):
    """What a device sends to the one with the other column, in bytes per picture."""

    what: str
    forward: int
    backward: int


def exchanges(model: Model, classes: int) -> list[Exchange]:
    """Return all that the two columns exchange, in float32."""
    found = [Exchange("half of the pictures, as bytes", PATCH**2 * 3 // 2, 0)]
    places = 1
    for layer in layers(model, classes):
        if layer.sees == "both columns":
            values = layer.inputs // 2 * (places if layer.is_convolution else 1)
            found.append(Exchange(f"into {layer.name}", values * VALUE_BYTES, values * VALUE_BYTES))
        places = (layer.pooled or layer.size) ** 2
    return [*found, Exchange("logits", -(-classes // 2) * VALUE_BYTES, 0)]


@torch.compiler.disable
def _joined(maps: Tensor, mesh: Mesh) -> Tensor:
    """Put the other column's maps, of shape (batch, half, …), beside this column's."""
    joined: Tensor = _Joined.apply(maps, mesh)
    return joined


@torch.compiler.disable
def _whole_logits(layer: nn.Module, inputs: Any, mine: Tensor, classes: int, mesh: Mesh) -> Tensor:
    """Put the logits of the other column's rows of fc8 beside those of this column's."""
    joined: Tensor = _JoinedLogits.apply(mine, classes, mesh)
    return joined


class _Joined(torch.autograd.Function):
    """Forward: both columns' maps. Backward: the sum of both columns' gradients for this one's maps.

    They are sent in the order in which they are in memory, channels last.
    """

    @staticmethod
    def forward(ctx: Any, mine: Tensor, mesh: Mesh) -> Tensor:
        ctx.mesh, ctx.half = mesh, mine.shape[1]
        last = mine.movedim(1, -1)
        return mesh.join(last, 2 * ctx.half, last.dim() - 1).movedim(-1, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        parts = gradients[0].movedim(1, -1).split(ctx.half, -1)
        mine, theirs = parts[ctx.mesh.column], parts[1 - ctx.mesh.column]
        return (mine + ctx.mesh.swap(theirs, tuple(mine.shape))).movedim(-1, 1), None


class _JoinedLogits(torch.autograd.Function):
    """Forward: all logits. Backward: this column's part, since both compute the same whole loss."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor, classes: int, mesh: Mesh) -> Tensor:
        ctx.bounds = mesh.column_share.bounds(classes)
        return mesh.join(mine, classes, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        first, last = ctx.bounds
        return gradients[0][:, first:last], None, None


def part_of(whole: Mapping[str, Tensor], network: AlexNet, mesh: Mesh) -> dict[str, Tensor]:
    """Return this process's part of whole tensors, which are named as in the network."""
    outputs = {layer.name: layer.outputs for layer in network.layers}
    parts = dict(whole)
    for name, value in whole.items():
        # All but the mean image.
        if (layer := name.split(".")[0]) in outputs:
            first, last = mesh.column_share.bounds(outputs[layer])
            parts[name] = value[first:last]
    return parts


def whole_of(parts: Mapping[str, Tensor], network: AlexNet, mesh: Mesh) -> dict[str, Tensor]:
    """Return whole tensors, of which each column has a part; the inverse of `part_of`."""
    outputs = {layer.name: layer.outputs for layer in network.layers}
    whole = dict(parts)
    for name, mine in parts.items():
        if mesh.columns == 2 and (layer := name.split(".")[0]) in outputs:
            whole[name] = mesh.join(mine, outputs[layer], 0)
    return whole

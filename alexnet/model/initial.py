"""Initial weights and biases of both recipes (paper, section 5; layer file 145), and He's."""

import math

import torch

from alexnet.core.draws import generator
from alexnet.model.network import AlexNet, Layer
from alexnet.model.params import Model

BIASED = ("conv2", "conv4", "conv5", "conv6", "fc6", "fc7")


def standard_deviation(layer: Layer, model: Model) -> float:
    """Return the deviation of a layer's initial weights under `model.initial_weights`.

    ``paper``: 0.01, but 0.03 in conv6, which the paper does not describe. ``source-2012``: 0.03 in conv3 to
    conv6. ``he``: √(2 / fan-in) (He et al. 2015), and 0.01 in fc8, whose outputs should start near zero.

    A narrow layer sums fewer inputs, so the published deviations leave less of the picture at each
    layer: at width 1/8 a thousandth of it at fc8. With `initial_weights_follow_width` they are
    divided by √width, but in conv1, which sees the picture at any width.
    """
    rule = model.initial_weights
    if rule == "he":
        return 0.01 if layer.name == "fc8" else math.sqrt(2 / layer.fan_in)
    large = layer.name == "conv6" or (rule == "source-2012" and layer.name in ("conv3", "conv4", "conv5"))
    deviation = 0.03 if large else 0.01
    narrowed = model.initial_weights_follow_width and layer.name != "conv1"
    return deviation / math.sqrt(model.width) if narrowed else deviation


def initial_bias(layer: Layer, model: Model) -> float:
    """Return a layer's initial bias: 1 in conv2, conv4, conv5, conv6, fc6 and fc7, or 0."""
    return 1.0 if model.initial_biases == "paper" and layer.name in BIASED else 0.0


@torch.no_grad()
def initialise(network: AlexNet, seed: int) -> None:
    """Draw the network's weights; a layer's draw depends on (seed, layer name) alone."""
    for layer, weight, bias in network.layer_parameters():
        draw = generator(seed, f"initial weights of {layer.name}")
        deviation = standard_deviation(layer, network.model)
        values = draw.standard_normal(tuple(weight.shape), dtype="float32")
        weight.copy_(torch.from_numpy(values).mul_(deviation))
        bias.fill_(initial_bias(layer, network.model))

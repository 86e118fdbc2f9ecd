"""The two small networks of the paper's sections 3.1 and 3.3, as cuda-convnet's examples have them."""

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from alexnet.core.draws import generator
from alexnet.model.network import activate
from alexnet.model.norm import CrossMapNorm
from experiments.figure1.settings import Activation, Arm, Norm


class FourLayers(nn.Module):
    """Three convolutions of 5×5 (32, 32, 64 maps) and a full layer.

    The paper does not say which four-layer network Figure 1 has; this is the example of cuda-convnet
    with 18 % error (layers-18pct.cfg) without its norms: maximum pooling before the first
    activation, average pooling after the second and third, all of 3×3 with stride 2.
    """

    def __init__(self, activation: Activation, side: int, classes: int) -> None:
        super().__init__()
        self.activation = partial(activate, activation=activation)
        self.conv1 = nn.Conv2d(3, 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 32, 5, padding=2)
        self.conv3 = nn.Conv2d(32, 64, 5, padding=2)
        self.fc = nn.Linear(64 * pooled(side, 3) ** 2, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return logits (batch, classes) of `pictures` (batch, 3, side, side), less the mean picture."""
        maps = self.activation(functional.max_pool2d(self.conv1(pictures), 3, 2, ceil_mode=True))
        maps = functional.avg_pool2d(self.activation(self.conv2(maps)), 3, 2, ceil_mode=True)
        maps = functional.avg_pool2d(self.activation(self.conv3(maps)), 3, 2, ceil_mode=True)
        logits: Tensor = self.fc(maps.flatten(1))
        return logits


class LocallyConnected(nn.Module):
    """A convolution of 3×3 (padding 1) whose kernels differ from place to place."""

    def __init__(self, inputs: int, outputs: int, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(side * side, outputs, inputs * 9))
        self.bias = nn.Parameter(torch.zeros(outputs, side, side))

    def forward(self, maps: Tensor) -> Tensor:
        """Map (batch, inputs, side, side) to (batch, outputs, side, side)."""
        windows = functional.unfold(maps, 3, padding=1).permute(2, 0, 1)
        product = torch.bmm(windows, self.weight.transpose(1, 2))
        return product.permute(1, 2, 0).reshape(len(maps), *self.bias.shape) + self.bias


class LocalNet(nn.Module):
    """Two convolutions of 5×5 (64 maps), two locally connected layers of 3×3 and a full layer.

    With 11 % error (cuda-convnet2's layers-cifar10-11pct.cfg), local3 has 64 maps, and maps are normalised
    after the first pooling and before the second. With 13 % (layers-conv-local-13pct.cfg), local3 has 32 maps
    and there are no norms. The paper gives the two error rates and says "a four-layer CNN": these are most
    likely its networks.
    """

    def __init__(self, arm: Arm, norm: Norm, side: int, classes: int) -> None:
        super().__init__()
        small, maps = pooled(side, 2), 32 if arm == "13-percent" else 64
        self.conv1 = nn.Conv2d(3, 64, 5, padding=2)
        self.conv2 = nn.Conv2d(64, 64, 5, padding=2)
        cross_map = CrossMapNorm(1, norm.size, norm.k, norm.alpha / norm.size, norm.beta)
        self.norm = cross_map if arm == "11-percent" else nn.Identity()
        self.local3 = LocallyConnected(64, maps, small)
        self.local4 = LocallyConnected(maps, 32, small)
        self.fc = nn.Linear(32 * small**2, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return logits (batch, classes) of `pictures` (batch, 3, side, side), less the mean picture."""
        maps = self.norm(functional.max_pool2d(torch.relu(self.conv1(pictures)), 3, 2, ceil_mode=True))
        maps = functional.max_pool2d(self.norm(torch.relu(self.conv2(maps))), 3, 2, ceil_mode=True)
        maps = torch.relu(self.local4(torch.relu(self.local3(maps))))
        logits: Tensor = self.fc(maps.flatten(1))
        return logits


# The standard deviations of LocalNet's initial weights, the same in both files, and of FourLayers' in
# cuda-convnet (layers-18pct.cfg), for grey levels.
LOCAL_NET_WEIGHTS = {"conv1": 0.0001, "conv2": 0.01, "local3": 0.04, "local4": 0.04, "fc": 0.01}
FOUR_LAYERS_WEIGHTS = {"conv1": 0.0001, "conv2": 0.01, "conv3": 0.01, "fc": 0.01}


def unit_gain(network: nn.Module) -> dict[str, float]:
    """Return 1/√inputs for each layer, the same for every activation (LeCun et al. 1998, section 4.6)."""
    weights = {name: value for name, value in network.named_parameters() if name.endswith(".weight")}
    return {name.removesuffix(".weight"): 1 / math.sqrt(value[0].numel()) for name, value in weights.items()}


@torch.no_grad()
def initialise(network: nn.Module, deviations: dict[str, float], seed: int) -> None:
    """Draw every layer's weights from a Gaussian of its deviation; biases are zero."""
    for name, parameter in network.named_parameters():
        layer, _, kind = name.rpartition(".")
        if kind == "bias":
            parameter.zero_()
        else:
            draw = generator(seed, f"figure 1, weights of {layer}")
            values = draw.standard_normal(tuple(parameter.shape), dtype=np.float32)
            parameter.copy_(torch.from_numpy(values) * deviations[layer])


def pooled(side: int, times: int) -> int:
    """Return `side` after this number of poolings of 3×3 with stride 2 that see every pixel."""
    for _ in range(times):
        side = max(1, math.ceil((side - 3) / 2) + 1)
    return side

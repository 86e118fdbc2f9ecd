"""The printed update rule (paper, section 5), whose velocity carries the learning rate.

v ← momentum · v − decay · ε · w − ε · ∂L/∂w;  w ← w + v

`torch.optim.SGD` keeps ε out of the velocity, so it differs whenever ε changes: here the velocity
gathered at the old rate coasts on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from alexnet.model.network import AlexNet
from alexnet.training.params import Train
from alexnet.training.schedule import Rates


@dataclass(frozen=True)
class _Group:
    """Parameters with one rate and one decay."""

    parameters: list[Tensor]
    velocities: list[Tensor]
    rate: float
    decay: float


class PrintedSGD:
    """Stochastic gradient descent as printed, with rates for weights, biases and conv1.

    Attributes:
        velocity: a tensor for each parameter's name.
    """

    def __init__(self, network: AlexNet, settings: Train) -> None:
        self.momentum = settings.momentum
        self.decays = {"weight": settings.weight_decay, "bias": settings.bias_weight_decay}
        self.parameters: dict[str, Tensor] = dict(network.named_parameters())
        self.velocity = {name: torch.zeros_like(value) for name, value in self.parameters.items()}

    @torch.no_grad()
    def step(self, rates: Rates) -> None:
        """Update every parameter from its gradient; a rate of 0 stops everything.

        At rate 0 there is no decay and no coasting on the velocity, as in the 2012 source.
        """
        for group in self._groups(rates):
            gradients = [_gradient(parameter) for parameter in group.parameters]
            torch._foreach_mul_(group.velocities, self.momentum)
            torch._foreach_add_(group.velocities, group.parameters, alpha=-group.decay * group.rate)
            torch._foreach_add_(group.velocities, gradients, alpha=-group.rate)
            torch._foreach_add_(group.parameters, group.velocities)

    def zero_grad(self) -> None:
        """Forget the gradients of the last step."""
        for parameter in self.parameters.values():
            parameter.grad = None

    def _groups(self, rates: Rates) -> list[_Group]:
        names: dict[tuple[float, float], list[str]] = {}
        for name in self.parameters:
            layer, kind = name.rsplit(".", 1)
            rate = rates.of(layer, kind)
            if rate > 0:
                names.setdefault((rate, self.decays[kind]), []).append(name)
        return [
            _Group([self.parameters[n] for n in group], [self.velocity[n] for n in group], rate, decay)
            for (rate, decay), group in names.items()
        ]


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None, "step() comes after backward()"
    return parameter.grad

"""The printed update rule (paper, section 5), whose velocity carries the learning rate.

v ← momentum · v − decay · ε · w − ε · ∂L/∂w;  w ← w + v

`torch.optim.SGD` keeps ε out of the velocity, so it differs whenever ε changes: here the velocity
gathered at the old rate keeps its size.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from alexnet.training.params import Train


def update(
    parameters: list[Tensor],
    gradients: list[Tensor],
    velocities: list[Tensor],
    rate: float | Tensor,
    momentum: float,
    decay: float,
) -> None:
    """Update `velocities` and `parameters` in place, as printed."""
    torch._foreach_mul_(velocities, momentum)
    if isinstance(rate, Tensor):
        torch._foreach_sub_(velocities, torch._foreach_mul(parameters, decay * rate))
        torch._foreach_sub_(velocities, torch._foreach_mul(gradients, rate))
    else:
        torch._foreach_add_(velocities, parameters, alpha=-decay * rate)
        torch._foreach_add_(velocities, gradients, alpha=-rate)
    torch._foreach_add_(parameters, velocities)


class PrintedSGD(torch.optim.Optimizer):
    """Stochastic gradient descent as printed; takes parameters or groups as any optimiser of torch does.

    A group whose rate is 0 stands still: no decay, and no movement left from its velocity, as in the
    2012 source.

    Args:
        params: parameters, or groups of them with ``lr``, ``momentum`` and ``weight_decay`` of their own.
        lr: ε, the learning rate; a group's ``lr`` may be changed between steps.
    """

    # Of the class, so that a copy, which torch makes of the state alone, updates without compiling.
    _update = staticmethod(update)
    # Where updates are compiled, each rate as a number on a device.
    _rates: dict[tuple[float, torch.device], Tensor] | None = None

    def __init__(self, params: Any, lr: float, momentum: float = 0.9, weight_decay: float = 0.0005) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    def compile(self, backend: str = "inductor") -> None:
        """Compile updates: a GPU then reads and writes each number once, and differs by rounding."""
        self._update, self._rates = torch.compile(update, backend=backend, dynamic=False), {}

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update every parameter from its gradient; return what `closure` returned, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        # Groups with the same numbers are updated together: a GPU waits for each operation to be started.
        alike: dict[tuple[float, float, float], list[Tensor]] = {}
        for group in self.param_groups:
            numbers = group["lr"], group["momentum"], group["weight_decay"]
            alike.setdefault(numbers, []).extend(each for each in group["params"] if each.grad is not None)
        for (rate, momentum, decay), parameters in alike.items():
            if rate == 0 or not parameters:
                continue
            velocities = [self.velocity_of(parameter) for parameter in parameters]
            gradients = [each.grad for each in parameters if each.grad is not None]
            given = self._as_given(rate, parameters[0].device)
            self._update(parameters, gradients, velocities, given, momentum, decay)
        return loss

    def _as_given(self, rate: float, device: torch.device) -> float | Tensor:
        """Return `rate` as `update` is to be given it: as a tensor, a new rate is not compiled anew."""
        if self._rates is None:
            return rate
        if (rate, device) not in self._rates:
            self._rates[rate, device] = torch.tensor(rate, dtype=torch.float64, device=device)
        return self._rates[rate, device]

    def velocity_of(self, parameter: Tensor) -> Tensor:
        """Return the velocity of a parameter, zero before its first update."""
        state = self.state[parameter]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(parameter)
        velocity: Tensor = state["velocity"]
        return velocity

    @property
    def velocity(self) -> dict[str, Tensor]:
        """The velocity of each parameter by its name, where the groups have names."""
        return {
            name: self.velocity_of(parameter)
            for group in self.param_groups
            for name, parameter in zip(group["param_names"], group["params"], strict=True)
        }

    def set_rates(self, rates: Mapping[str, float]) -> None:
        """Give every group the rate that its (first) parameter has in `rates`, by name."""
        for group in self.param_groups:
            group["lr"] = rates[group["param_names"][0]]


def printed_optimiser(network: nn.Module, settings: Train) -> PrintedSGD:
    """Return the optimiser of `network`, with a group for each parameter."""
    decays = {"weight": settings.weight_decay, "bias": settings.bias_weight_decay}
    groups = [
        {"params": [(name, parameter)], "weight_decay": decays[name.rpartition(".")[2]]}
        for name, parameter in network.named_parameters()
    ]
    return PrintedSGD(groups, settings.learning_rate, settings.momentum)

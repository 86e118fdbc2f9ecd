"""Gradients are summed over replicas: in place, the small ones together, and while backward goes on.

Real processes sum theirs in test_columns.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from tiny import PAPER, gradient_of, network_of
from torch import Tensor, nn

from alexnet.parallel.gradients import GradientSums
from alexnet.parallel.mesh import Mesh


@dataclass(frozen=True)
class Twins(Mesh):
    """Two replicas with the same gradients: a sum is twice the tensor, once it has been waited for."""

    replicas: int = 2
    started: list[Tensor] = field(default_factory=list)

    def start_sum(self, tensor: Tensor) -> Any:
        self.started.append(tensor)
        return Sum(lambda: tensor.mul_(2))


@dataclass
class Sum:
    wait: Callable[[], object]


def small_network() -> nn.Sequential:
    torch.manual_seed(1)
    layers = nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 5), nn.Linear(5, 2)
    return nn.Sequential(*layers).double().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def learn(network: nn.Module) -> None:
    network(torch.linspace(0, 1, 2 * 3 * 64, dtype=torch.float64).view(2, 3, 8, 8)).square().sum().backward()


@pytest.mark.parametrize(
    ("bucket_bytes", "sizes"),
    # From the last layer to the first, in order of size: 2 and 10; 5 and 720; 4 and 108 numbers.
    [(0, [2, 10, 5, 720, 4, 108]), (80, [10, 720, 2 + 5 + 4, 108]), (10**6, [849])],
)
def test_each_gradient_becomes_its_sum(bucket_bytes: int, sizes: list[int]) -> None:
    alone, shared, mesh = small_network(), small_network(), Twins()
    gradients = GradientSums(shared.parameters(), mesh, bucket_bytes)
    learn(alone)
    for update in (1, 2):
        shared.zero_grad()
        learn(shared)
        gradients.wait()
        assert sorted(each.numel() for each in mesh.started) == sorted(update * sizes)
        for one, two in zip(alone.parameters(), shared.parameters(), strict=True):
            assert torch.equal(2 * gradient_of(one), gradient_of(two))


def test_sums_start_before_the_backward_pass_has_ended() -> None:
    network, mesh = small_network(), Twins()
    begun: list[int] = []
    first = next(network.parameters())
    first.register_hook(lambda gradient: begun.append(len(mesh.started)))
    GradientSums(network.parameters(), mesh, 80)
    learn(network)
    assert begun[0] >= 2


def test_the_papers_network_takes_six_sums_instead_of_sixteen() -> None:
    with torch.device("meta"):
        network, mesh = network_of(PAPER, classes=1000, width=1), Twins()
        gradients = GradientSums(network.parameters(), mesh)
        logits = network.from_inputs(torch.zeros(2, 3, 224, 224), torch.zeros(2, dtype=torch.int64))
    logits.sum().backward()
    gradients.wait()
    sizes = [each.numel() for each in mesh.started]
    # The weights of fc8, fc7 and fc6, each by itself.
    assert sizes[:3] == [4096 * 1000, 4096 * 4096, 256 * 36 * 4096]
    assert len(list(network.parameters())) == 16
    assert len(sizes) == 6


def test_the_order_of_sums_is_not_that_of_the_gradients() -> None:
    # Another replica may be compiled, and make its gradients in another order.
    network, mesh = small_network(), Twins()
    gradients = GradientSums(network.parameters(), mesh, 80)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
        gradients._add(parameter)
    gradients.wait()
    assert [each.numel() for each in mesh.started] == [10, 720, 2 + 5 + 4, 108]
    for parameter in network.parameters():
        assert torch.equal(gradient_of(parameter), torch.full_like(parameter, 2))

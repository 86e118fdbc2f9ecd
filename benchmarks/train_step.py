"""Speed of a training step, beside the same network with torch's own response norm.

    python -m benchmarks.train_step [--width 1.0] [--batch 64]

Four networks take the same step (forward, loss, backward, the printed update or torch's SGD) on
random pictures, in turns over several rounds: the paper's two columns with our response norm, with
`torch.nn.LocalResponseNorm`, with none (what no norm can be faster than), and the one-tower network
of torchvision (Krizhevsky 2014: no norm, no columns, other widths) with torch's dropout and SGD.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor, nn
from torch.nn import functional

from alexnet.device import choose_device
from alexnet.errors import shown_plainly
from alexnet.model.dropout import picture_keys
from alexnet.model.initial import initialise
from alexnet.model.network import AlexNet
from alexnet.params.base import read
from alexnet.params.machine import Machine
from alexnet.params.model import Model
from alexnet.params.train import Train
from alexnet.training.optimiser import PrintedSGD
from alexnet.training.schedule import Schedule

PROFILE = Path(__file__).parent.parent / "profiles" / "imagenet-2012-paper.yaml"
CLASSES = 1000
LIBRARY = "torch's LocalResponseNorm"

Step = Callable[[], None]


class LibraryNorm(nn.Module):
    """`torch.nn.LocalResponseNorm` on each column's maps by themselves."""

    def __init__(self, columns: int, size: int, k: float, alpha: float, beta: float) -> None:
        super().__init__()
        self.columns = columns
        # Torch divides α by the size of the window; ours multiplies the sum itself.
        self.norm = nn.LocalResponseNorm(size, alpha=alpha * size, beta=beta, k=k)

    def forward(self, maps: Tensor) -> Tensor:
        """Normalise `maps` of shape (batch, columns · N, height, width)."""
        batch, channels, height, width = maps.shape
        columns = maps.reshape(batch * self.columns, channels // self.columns, height, width)
        normalised: Tensor = self.norm(columns)
        return normalised.reshape(maps.shape)


@dataclass(frozen=True)
class Pictures:
    """One batch, as conv1 sees it."""

    inputs: Tensor
    labels: Tensor

    @property
    def device(self) -> torch.device:
        return self.inputs.device


def our_network(width: float, device: torch.device) -> AlexNet:
    settings = {**read(PROFILE, Model).model_dump(), "width": width}
    network = AlexNet(Model.model_validate(settings), CLASSES)
    initialise(network, 1)
    return network.to(device)


def with_library_norm(width: float, device: torch.device) -> AlexNet:
    network = our_network(width, device)
    norm = network.model.response_norm
    alpha = norm.alpha / norm.size if norm.alpha_divided_by_size else norm.alpha
    network.norm = LibraryNorm(network.model.columns, norm.size, norm.k, alpha, norm.beta)
    return network


def without_norm(width: float, device: torch.device) -> AlexNet:
    network = our_network(width, device)
    network.norm = nn.Identity()
    return network


def one_tower(width: float) -> nn.Sequential:
    """The network of `torchvision.models.alexnet`, its widths multiplied by `width`."""

    def wide(kernels: int) -> int:
        return max(1, round(kernels * width))

    def convolution(inputs: int, outputs: int, kernel: int, padding: int, stride: int = 1) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.ReLU(inplace=True)]

    return nn.Sequential(
        *convolution(3, wide(64), 11, 2, stride=4),
        nn.MaxPool2d(3, 2),
        *convolution(wide(64), wide(192), 5, 2),
        nn.MaxPool2d(3, 2),
        *convolution(wide(192), wide(384), 3, 1),
        *convolution(wide(384), wide(256), 3, 1),
        *convolution(wide(256), wide(256), 3, 1),
        nn.MaxPool2d(3, 2),
        nn.AdaptiveAvgPool2d(6),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(wide(256) * 36, wide(4096)),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Linear(wide(4096), wide(4096)),
        nn.ReLU(inplace=True),
        nn.Linear(wide(4096), CLASSES),
    )


def printed_step(network: AlexNet, pictures: Pictures) -> Step:
    """Return one update of the train stage, from conv1's input on."""
    settings = read(PROFILE, Train)
    optimiser, rates = PrintedSGD(network, settings), Schedule(settings).rates(1)
    count = len(pictures.labels)
    network.train()

    def step() -> None:
        keys = picture_keys(1, 0, 0, count, pictures.device)
        loss = functional.cross_entropy(network(pictures.inputs, keys), pictures.labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step(rates)

    return step


def plain_step(network: nn.Module, pictures: Pictures) -> Step:
    """Return the same with a network and an optimiser of torch alone."""
    optimiser = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, weight_decay=0.0005)
    network.train()

    def step() -> None:
        loss = functional.cross_entropy(network(pictures.inputs), pictures.labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def seconds_of(step: Step, steps: int, device: torch.device) -> float:
    """Return the seconds of one of `steps` steps."""
    _wait_for(device)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    _wait_for(device)
    return (time.perf_counter() - start) / steps


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@shown_plainly
def main(
    width: Annotated[float, typer.Option(min=0.01, max=4, help="multiplies kernels and neurons")] = 1.0,
    batch: Annotated[int, typer.Option(min=1, help="pictures a step")] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="how often each network takes its turn")] = 5,
    steps: Annotated[int, typer.Option(min=1, help="steps a turn")] = 2,
) -> None:
    """Compare a training step with our response norm, torch's, none, and the one-tower network."""
    device = choose_device(Machine())
    draw = torch.Generator().manual_seed(1)
    pictures = Pictures(
        (60 * torch.randn(batch, 3, 224, 224, generator=draw)).to(device),
        torch.randint(0, CLASSES, (batch,), generator=draw).to(device),
    )
    networks = {
        "ours": printed_step(our_network(width, device), pictures),
        LIBRARY: printed_step(with_library_norm(width, device), pictures),
        "no response norm": printed_step(without_norm(width, device), pictures),
        "one tower, as torchvision's": plain_step(one_tower(width).to(device), pictures),
    }
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    print(
        f"torch {torch.__version__}, {name}, {torch.get_num_threads()} threads, width {width:g},"
        f" batches of {batch}, float32, eager"
    )
    for step in networks.values():
        # The first step allocates, and lets libraries choose their kernels.
        seconds_of(step, 1, device)
    # In turns, so that whatever else the machine does falls on all alike.
    turns = [
        {title: seconds_of(step, steps, device) for title, step in networks.items()} for _ in range(rounds)
    ]
    for title in networks:
        rates = [batch / turn[title] for turn in turns]
        ratios = [turn[LIBRARY] / turn[title] for turn in turns]
        print(
            f"{title}: {statistics.median(rates):.1f} pictures/s"
            f" (median of {rounds} rounds, {min(rates):.1f} to {max(rates):.1f});"
            f" {statistics.median(ratios):.2f} times {LIBRARY} ({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    typer.run(main)

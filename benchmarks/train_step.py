"""Speed of a training step, beside the same network with torch's own response norm.

    python -m benchmarks.train_step [--width 1.0] [--batch 64] [--compiled]

All take the same step (forward, loss, backward, update) on random pictures, in turns. Each turn is a process
of its own, since precision and the keeping of freed memory are settings of a process. The measure is the
paper's network with `torch.nn.LocalResponseNorm` in a process as torch leaves it. Beside it: that network as
the train stage runs ours, in the same order and with its memory kept; ours in float32 and in bfloat16; ours
without any response norm, which no norm can be faster than; and the one-tower network of torchvision
(Krizhevsky 2014: no norm, no columns, other widths) with torch's dropout and SGD.
"""

import importlib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn
from torch.nn import functional

from alexnet.core.errors import shown_plainly
from alexnet.core.machine import Machine
from alexnet.core.params import read
from alexnet.model.dropout import picture_keys
from alexnet.model.initial import initialise
from alexnet.model.network import AlexNet
from alexnet.model.params import Model
from alexnet.parallel.device import Mode, choose_device, memory_format, prepared
from alexnet.parallel.recording import WARM, RecordedStep
from alexnet.training.optimiser import PrintedSGD, printed_optimiser
from alexnet.training.params import Train
from alexnet.training.precision import Precision
from alexnet.training.schedule import Schedule
from benchmarks.turns import in_own_process, in_turns, tell

PROFILE = Path(__file__).parent.parent / "profiles/imagenet-2012-paper.yaml"
CLASSES = 1000

Step = Callable[[], object]


@dataclass(frozen=True)
class Contestant:
    """A network, by what builds it of a width, and how it is run.

    Attributes:
        as_the_stage: in the order in memory and with the memory kept that the train stage has.
        backend: of `torch.compile`.
    """

    network: Callable[[float], nn.Module]
    as_the_stage: bool = True
    precision: str = "float32"
    mode: Mode = "eager"
    backend: str = "inductor"


class LibraryNorm(nn.Module):
    """`torch.nn.LocalResponseNorm` on each column's maps alone: (batch, columns · N, height, width)."""

    def __init__(self, columns: int, size: int, k: float, alpha: float, beta: float) -> None:
        super().__init__()
        self.columns = columns
        # Torch divides α by the size of the window; ours multiplies the sum itself.
        self.norm = nn.LocalResponseNorm(size, alpha=alpha * size, beta=beta, k=k)

    def forward(self, maps: Tensor) -> Tensor:
        batch, channels, height, width = maps.shape
        columns = maps.reshape(batch * self.columns, channels // self.columns, height, width)
        return self.norm(columns).reshape(maps.shape)


@dataclass(frozen=True)
class Pictures:
    """One batch, as conv1 sees it."""

    inputs: Tensor
    labels: Tensor


# Large batches take a CPU seconds to draw.
@lru_cache(maxsize=1)
def random_pictures(batch: int, device: torch.device) -> Pictures:
    draw = torch.Generator().manual_seed(1)
    inputs = 60 * torch.randn(batch, 3, 224, 224, generator=draw)
    labels = torch.randint(0, CLASSES, (batch,), generator=draw)
    return Pictures(inputs.to(device), labels.to(device))


def our_network(width: float, profile: Path = PROFILE) -> AlexNet:
    # Without effect at width 1; a narrow network's signal would fade.
    settings = [str(profile), f"model.width={width}", "model.initial_weights_follow_width=true"]
    network = AlexNet(read(settings, Model), CLASSES)
    initialise(network, 1)
    return network


def with_library_norm(width: float) -> AlexNet:
    network = our_network(width)
    norm = network.model.response_norm
    alpha = norm.alpha / norm.size if norm.alpha_divided_by_size else norm.alpha
    network.norm = LibraryNorm(network.model.columns, norm.size, norm.k, alpha, norm.beta)
    return network


def without_norm(width: float) -> AlexNet:
    network = our_network(width)
    network.norm = nn.Identity()
    return network


def without_dropout(width: float) -> AlexNet:
    network = our_network(width)
    network.layers[:] = [
        replace(layer, then=tuple(step for step in layer.then if step != "dropout"))
        for layer in network.layers
    ]
    return network


def with_plain_convolutions(width: float) -> AlexNet:
    network = our_network(width)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.forward = partial(nn.Conv2d.forward, module)  # type: ignore[method-assign]
    return network


def one_tower(width: float, classes: int = CLASSES) -> nn.Sequential:
    """Return the network of `torchvision.models.alexnet`, its widths multiplied by `width`."""

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
        nn.Linear(wide(4096), classes),
    )


def torchvisions_models() -> Any | None:
    """Return the module `torchvision.models`, or None where it is missing or does not fit torch."""
    with suppress(ImportError, RuntimeError, AttributeError):
        return importlib.import_module("torchvision.models")
    return None


def torchvisions(width: float, classes: int = CLASSES) -> nn.Module:
    """Return torchvision's network, or what is built like it where torchvision cannot be imported."""
    models = torchvisions_models() if width == 1 else None
    return one_tower(width, classes) if models is None else models.alexnet(num_classes=classes)


def step_of(
    network: nn.Module,
    pictures: Pictures,
    contestant: Contestant | None = None,
    forward: Callable[..., Tensor] | None = None,
    before_update: Callable[[], None] = lambda: None,
) -> Callable[[], tuple[()]]:
    """Return one update, float32 and eager by default; ours is the train stage's, from conv1's input on.

    Another network has torch's optimiser. `forward` computes the logits, by default as `network` does.
    """
    contestant, device = contestant or Contestant(our_network), pictures.inputs.device
    precision = Precision(contestant.precision, device)
    inputs: tuple[Tensor, ...] = (pictures.inputs,)
    optimiser: torch.optim.Optimizer | PrintedSGD
    if isinstance(network, AlexNet):
        settings = read(PROFILE, Train)
        ours = printed_optimiser(network, settings)
        if contestant.mode != "eager":
            ours.compile(contestant.backend)
        ours.set_rates(Schedule(settings).rates(1, ours.velocity))
        # The train stage sends the keys of many steps at once.
        inputs += (picture_keys(1, 0, 0, len(pictures.labels), device),)
        optimiser, forward = ours, forward or network.from_inputs
    else:
        fused = device.type == "cuda"
        optimiser = torch.optim.SGD(
            network.parameters(), 0.01, momentum=0.9, weight_decay=0.0005, fused=fused
        )
    forward = prepared(forward or network, contestant.mode, contestant.backend)
    network.train()

    def step() -> tuple[()]:
        optimiser.zero_grad()
        loss = functional.cross_entropy(precision.run(forward, *inputs), pictures.labels)
        loss.backward()
        before_update()
        optimiser.step()
        return ()

    return step


def seconds_of(step: Step, steps: int, device: torch.device) -> float:
    """Return the seconds of one of `steps` steps."""
    wait_for(device)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    wait_for(device)
    return (time.perf_counter() - start) / steps


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _turn(title: str, width: float, batch: int, steps: int) -> float:
    contestant, machine = CONTESTANTS[title], Machine()
    if contestant.as_the_stage:
        device = choose_device(machine)
    else:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.set_num_threads(machine.worker_count)
    return batch / seconds_of(warm_step(contestant, width, batch, device), steps, device)


def warm_step(contestant: Contestant, width: float, batch: int, device: torch.device) -> Step:
    """Return the step of `contestant`, which has been taken before."""
    # What others compiled counts towards a limit, beyond which torch does not compile.
    torch.compiler.reset()
    network = contestant.network(width).to(device)
    pictures = random_pictures(batch, device)
    if contestant.as_the_stage:
        order = memory_format(Machine())
        pictures = Pictures(pictures.inputs.contiguous(memory_format=order), pictures.labels)
        if isinstance(network, AlexNet):
            network.set_memory_format(order)
        else:
            network.to(memory_format=order)  # type: ignore[call-overload]
    own = step_of(network, pictures, contestant)
    step: Step = partial(RecordedStep(own, device), None) if contestant.mode == "CUDA graphs" else own
    # The first step allocates, and lets libraries choose their kernels.
    seconds_of(step, WARM + 1 if contestant.mode == "CUDA graphs" else 1, device)
    return step


BASE = "torch's LocalResponseNorm"
COMPILED = {
    "ours, float32, compiled": Contestant(our_network, mode="compiled"),
    "ours, bfloat16, compiled": Contestant(our_network, precision="bfloat16", mode="compiled"),
}
CONTESTANTS = {
    BASE: Contestant(with_library_norm, as_the_stage=False),
    f"{BASE}, run as ours": Contestant(with_library_norm),
    "ours, float32": Contestant(our_network),
    "ours, bfloat16": Contestant(our_network, precision="bfloat16"),
    "no response norm, float32 (the ceiling)": Contestant(without_norm),
    "no response norm, bfloat16": Contestant(without_norm, precision="bfloat16"),
    "one tower, as torchvision's": Contestant(one_tower, as_the_stage=False),
    **COMPILED,
}


@shown_plainly
def main(
    width: Annotated[float, typer.Option(min=0.01, max=4, help="multiplies kernels and neurons")] = 1.0,
    batch: Annotated[int, typer.Option(min=1, help="pictures a step")] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="how often each network takes its turn")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="steps a turn")] = 3,
    compiled: Annotated[bool, typer.Option("--compiled", help="torch.compile as well")] = False,
) -> None:
    """Compare a training step with our response norm, torch's, none, and the one-tower network."""
    gpu = torch.cuda.is_available()
    print(
        f"torch {torch.__version__}, {torch.cuda.get_device_name() if gpu else 'cpu'},"
        f" {Machine().worker_count} threads, width {width:g}, batches of {batch}; median of {rounds} rounds",
        flush=True,
    )
    contestants = {
        title: partial(in_own_process, _turn, title, width, batch, steps)
        for title in CONTESTANTS
        if compiled or title not in COMPILED
    }
    rates = in_turns(contestants, rounds)
    tell(rates)
    # The same beside the reference that has our memory settings.
    tell({title: rates[title] for title in (f"{BASE}, run as ours", "ours, float32", "ours, bfloat16")})


if __name__ == "__main__":
    typer.run(main)

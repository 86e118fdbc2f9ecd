"""A training step on two devices, beside other ways to take it.

    python -m benchmarks.devices [--width 1.0] [--batch 64]

First, a column on each of two processes, beside both columns in one. Then, half of the batch on each of two
processes, whose gradients are summed in buckets, as the train stage does. Beside it: each tensor summed by
itself, torch's DistributedDataParallel, and a step without any sums.

On this machine's GPUs where there are two, on its cores otherwise: one process with all of them, two with
half of them each. All take the same step of the train stage, from conv1's input on, in turns.
"""

import json
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from alexnet.core.errors import shown_plainly
from alexnet.core.machine import Machine
from alexnet.model.network import AlexNet
from alexnet.parallel.columns import exchanges, keep_column
from alexnet.parallel.device import memory_format
from alexnet.parallel.gradients import BUCKET_BYTES, GradientSums
from alexnet.parallel.launch import on_devices
from alexnet.parallel.mesh import Mesh
from benchmarks.train_step import CLASSES, Step, our_network, printed_step, random_pictures, seconds_of

# In bytes.
OURS = {
    f"buckets of {BUCKET_BYTES // 2**20} MB, as in training": BUCKET_BYTES,
    "each tensor by itself": 0,
}
# Buckets of DistributedDataParallel, in megabytes; 25 is its default.
TORCHS = {"torch's, buckets of 4 MB": 4.0, "torch's, buckets of 25 MB": 25.0}


def measure(mesh: Mesh, device: torch.device, width: float, batch: int, steps: int, result: Path) -> None:
    """Write the seconds of a step of this mesh's processes together to `result`."""
    network = our_network(width)
    keep_column(network, mesh)
    step = printed_step(network.to(device), random_pictures(batch, device))
    _write_seconds(mesh, step, steps, device, result)


class _FromInputs(nn.Module):
    """A network whose forward pass begins at conv1's input: DistributedDataParallel calls no other method."""

    def __init__(self, network: AlexNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor, keys: Tensor) -> Tensor:
        return self.network.from_inputs(inputs, keys)


def measure_sums(
    mesh: Mesh, device: torch.device, way: str, width: float, batch: int, steps: int, result: Path
) -> None:
    """Write the seconds of a step of this mesh's replicas, which share the batch, to `result`."""
    network = our_network(width).to(device)
    network.set_memory_format(memory_format(Machine()))
    pictures = random_pictures(batch // mesh.replicas, device)
    if way in TORCHS:
        forward = DistributedDataParallel(
            _FromInputs(network), bucket_cap_mb=TORCHS[way], gradient_as_bucket_view=True
        )
        step = printed_step(network, pictures, forward=forward)
    elif way in OURS:
        gradients = GradientSums(network.parameters(), mesh, OURS[way])
        step = printed_step(network, pictures, before_update=gradients.wait)
    else:
        step = printed_step(network, pictures)
    _write_seconds(mesh, step, steps, device, result)


@shown_plainly
def main(
    width: Annotated[float, typer.Option(min=0.01, max=4, help="multiplies kernels and neurons")] = 1.0,
    batch: Annotated[int, typer.Option(min=1, help="pictures a step")] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="how often each takes its turn")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="steps a turn")] = 3,
) -> None:
    """Compare a training step of one process and of two."""
    turns: dict[int, list[float]] = {1: [], 2: []}
    ways: dict[str, list[float]] = {way: [] for way in (*OURS, *TORCHS, "no sums")}
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "seconds"
        size: dict[str, Any] = {"width": width, "batch": batch, "steps": steps, "result": result}
        for _ in range(rounds):
            for devices, found in turns.items():
                on_devices(partial(measure, **size), Machine(devices=devices), columns=2)
                found.append(json.loads(result.read_text()))
            for way, found in ways.items():
                on_devices(partial(measure_sums, way=way, **size), Machine(devices=2), columns=1)
                found.append(json.loads(result.read_text()))
    gpus = torch.cuda.device_count() >= 2
    print(
        f"torch {torch.__version__}, {'GPUs' if gpus else 'cores'} of one machine, width {width:g},"
        f" batches of {batch}, float32, eager"
    )
    for devices, found in turns.items():
        name = f"{devices} process{'es' if devices > 1 else ''}"
        print(f"{name}: {_compared(batch, found, turns[1])} times one")
    settings = our_network(width).model
    told = exchanges(settings, CLASSES)[1:]
    moved = batch * sum(exchange.forward + exchange.backward for exchange in told)
    print(f"each process sends {moved / 1e6:.1f} MB a step")
    print("two processes with half of the batch each:")
    first = next(iter(ways))
    for way, found in ways.items():
        print(f"{way}: {_compared(batch, found, ways[first])} times the first")


def _write_seconds(mesh: Mesh, step: Step, steps: int, device: torch.device, result: Path) -> None:
    """Take a first step, which is slower, and then `steps` together with the other processes."""
    step()
    mesh.wait_for_all()
    seconds = seconds_of(step, steps, device)
    if mesh.leads:
        result.write_text(json.dumps(seconds))


def _compared(batch: int, found: list[float], first: list[float]) -> str:
    """Return the rate, and the speed relative to `first` in the same rounds, both with their ranges."""
    rates = [batch / seconds for seconds in found]
    ratios = [one / seconds for one, seconds in zip(first, found, strict=True)]
    return (
        f"{statistics.median(rates):.1f} pictures/s ({min(rates):.1f} to {max(rates):.1f});"
        f" {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    typer.run(main)

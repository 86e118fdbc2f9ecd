"""A training step on two devices, beside other ways to take it.

    python -m benchmarks.devices [--width 1.0] [--batch 64]

First, a column on each of two processes, beside both columns in one. Then, half of the batch on each of two
processes, whose gradients are summed in buckets, as the train stage does. Beside it: each tensor summed by
itself, torch's DistributedDataParallel, and a step without any sums.

On this machine's GPUs where there are two, on its cores otherwise: one process with all of them, two with
half of them each. All take the same step of the train stage, from conv1's input on, in turns.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch.nn.parallel import DistributedDataParallel

from alexnet.core.errors import shown_plainly
from alexnet.core.machine import Machine
from alexnet.parallel.columns import exchanges, keep_column
from alexnet.parallel.device import memory_format
from alexnet.parallel.gradients import BUCKET_BYTES, GradientSums
from alexnet.parallel.launch import on_devices
from alexnet.parallel.mesh import Mesh
from benchmarks.train_step import CLASSES, Step, our_network, random_pictures, seconds_of, step_of
from benchmarks.turns import in_turns, tell

# In bytes.
OURS = {f"buckets of {BUCKET_BYTES // 2**20} MB, as in training": BUCKET_BYTES, "each tensor by itself": 0}
# Buckets of DistributedDataParallel, in megabytes; 25 is its default.
TORCHS = {"torch's, buckets of 4 MB": 4.0, "torch's, buckets of 25 MB": 25.0}


def measure(mesh: Mesh, device: torch.device, width: float, batch: int, steps: int, result: Path) -> None:
    """Write the seconds of a step of this mesh's processes together to `result`."""
    network = our_network(width)
    keep_column(network, mesh)
    network.to(device).set_memory_format(memory_format(Machine()))
    step = step_of(network, random_pictures(batch, device))
    _write_seconds(mesh, step, steps, device, result)


def measure_sums(
    mesh: Mesh, device: torch.device, way: str, width: float, batch: int, steps: int, result: Path
) -> None:
    """Write the seconds of a step of this mesh's replicas, which share the batch, to `result`."""
    network = our_network(width).to(device)
    network.set_memory_format(memory_format(Machine()))
    pictures = random_pictures(batch // mesh.replicas, device)
    if way in TORCHS:
        forward = DistributedDataParallel(network, bucket_cap_mb=TORCHS[way], gradient_as_bucket_view=True)
        step = step_of(network, pictures, forward=forward)
    elif way in OURS:
        gradients = GradientSums(network.parameters(), mesh, OURS[way])
        step = step_of(network, pictures, before_update=gradients.wait)
    else:
        step = step_of(network, pictures)
    _write_seconds(mesh, step, steps, device, result)


def rate_of(
    work: Callable[..., None], machine: Machine, columns: int, width: float, batch: int, steps: int
) -> float:
    """Return the pictures/s of `work`, which is `measure` or `measure_sums`."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "seconds"
        sized = partial(work, width=width, batch=batch, steps=steps, result=result)
        on_devices(sized, machine, columns)
        return batch / float(result.read_text())


@shown_plainly
def main(
    width: Annotated[float, typer.Option(min=0.01, max=4, help="multiplies kernels and neurons")] = 1.0,
    batch: Annotated[int, typer.Option(min=1, help="pictures a step")] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="how often each takes its turn")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="steps a turn")] = 3,
) -> None:
    """Compare a training step of one process and of two."""
    size = width, batch, steps
    one_or_two = {
        name: partial(rate_of, measure, Machine(devices=devices), 2, *size)
        for devices, name in ((1, "1 process"), (2, "2 processes"))
    }
    ways = {
        way: partial(rate_of, partial(measure_sums, way=way), Machine(devices=2), 1, *size)
        for way in (*OURS, *TORCHS, "no sums")
    }
    rates = in_turns({**one_or_two, **ways}, rounds)
    gpus = torch.cuda.device_count() >= 2
    print(
        f"torch {torch.__version__}, {'GPUs' if gpus else 'cores'} of one machine, width {width:g},"
        f" batches of {batch}, float32, eager"
    )
    tell({name: rates[name] for name in one_or_two})
    told = exchanges(our_network(width).model, CLASSES)[1:]
    moved = batch * sum(exchange.forward + exchange.backward for exchange in told)
    print(f"each process sends {moved / 1e6:.1f} MB a step")
    print("two processes with half of the batch each:")
    tell({way: rates[way] for way in ways})


def _write_seconds(mesh: Mesh, step: Step, steps: int, device: torch.device, result: Path) -> None:
    """Take a first step, which is slower, and then `steps` together with the other processes."""
    step()
    mesh.wait_for_all()
    seconds = seconds_of(step, steps, device)
    if mesh.leads:
        result.write_text(str(seconds))


if __name__ == "__main__":
    typer.run(main)

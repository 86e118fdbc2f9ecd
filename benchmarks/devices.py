"""Training with a column on each of two processes, beside both in one.

    python -m benchmarks.devices [--width 1.0] [--batch 64]

On this machine's GPUs where there are two, on its cores otherwise: one process with all of them, two with
half of them each. Both take the same step of the train stage, from conv1's input on, in turns.
"""

import json
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer

from alexnet.core.errors import shown_plainly
from alexnet.core.machine import Machine
from alexnet.parallel.columns import exchanges, keep_column
from alexnet.parallel.launch import on_devices
from alexnet.parallel.mesh import Mesh
from benchmarks.train_step import CLASSES, our_network, printed_step, random_pictures, seconds_of


def measure(mesh: Mesh, device: torch.device, width: float, batch: int, steps: int, result: Path) -> None:
    """Write the seconds of a step of this mesh's processes together to `result`."""
    network = our_network(width)
    keep_column(network, mesh)
    step = printed_step(network.to(device), random_pictures(batch, device))
    step()
    mesh.wait_for_all()
    seconds = seconds_of(step, steps, device)
    if mesh.leads:
        result.write_text(json.dumps(seconds))


@shown_plainly
def main(
    width: Annotated[float, typer.Option(min=0.01, max=4, help="multiplies kernels and neurons")] = 1.0,
    batch: Annotated[int, typer.Option(min=1, help="pictures a step")] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="how often each takes its turn")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="steps a turn")] = 3,
) -> None:
    """Compare a training step of one process and of two."""
    turns: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "seconds"
        work = partial(measure, width=width, batch=batch, steps=steps, result=result)
        for _ in range(rounds):
            for devices, found in turns.items():
                on_devices(work, Machine(devices=devices), columns=2)
                found.append(json.loads(result.read_text()))
    gpus = torch.cuda.device_count() >= 2
    print(
        f"torch {torch.__version__}, {'GPUs' if gpus else 'cores'} of one machine, width {width:g},"
        f" batches of {batch}, float32, eager"
    )
    for devices, found in turns.items():
        rates = [batch / seconds for seconds in found]
        ratios = [one / seconds for one, seconds in zip(turns[1], found, strict=True)]
        print(
            f"{devices} process{'es' if devices > 1 else ''}: {statistics.median(rates):.1f} pictures/s"
            f" ({min(rates):.1f} to {max(rates):.1f});"
            f" {statistics.median(ratios):.2f} times one ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    settings = our_network(width).model
    told = exchanges(settings, CLASSES)[1:]
    moved = batch * sum(exchange.forward + exchange.backward for exchange in told)
    print(f"each process sends {moved / 1e6:.1f} MB a step")


if __name__ == "__main__":
    typer.run(main)

"""Speed of a training step on a busy machine, by how long OpenMP's threads spin before they sleep.

    python -m benchmarks.busy [--width 0.5] [--batch 32]

libgomp's own default (300,000 turns) and what this project sets take turns, on the idle machine and beside as
many endless loops as there are threads. Each turn is a process of its own, since libgomp reads the number
when it is loaded.
"""

import os
import statistics
import subprocess
import sys
from contextlib import ExitStack
from typing import Annotated

import typer

from alexnet.core.errors import UserError, shown_plainly
from alexnet.core.machine import Machine

# Of alexnet.core.environment, which leaves a number alone that is set.
OURS, LIBRARYS = "1000", "300000"
SETTINGS = {"libgomp's default": LIBRARYS, "ours": OURS}
LOOP = "while True: pass"
TURN = "--turn"


def pictures_per_second(spins: str, loops: int, width: float, batch: int, steps: int) -> float:
    """Return the speed of training steps in a process of their own, beside a number of endless `loops`."""
    arguments = [str(value) for value in (width, batch, steps)]
    with ExitStack() as stack:
        for _ in range(loops):
            loop = stack.enter_context(subprocess.Popen([sys.executable, "-c", LOOP]))
            stack.callback(loop.kill)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.busy", TURN, *arguments],
            env={**os.environ, "GOMP_SPINCOUNT": spins},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise UserError(f"GOMP_SPINCOUNT={spins}: the process failed: {done.stderr.strip()[-300:]}")
    return batch / float(done.stdout.split()[-1])


def take_turn(width: float, batch: int, steps: int) -> None:
    """Print the seconds of a training step."""
    import torch

    from alexnet.parallel.device import choose_device, memory_format
    from benchmarks.train_step import our_network, printed_step, random_pictures, seconds_of

    machine = Machine()
    device = choose_device(machine)
    if device.type != "cpu":
        raise UserError("this benchmark is about threads of the CPU; hide the GPU (CUDA_VISIBLE_DEVICES=)")
    network = our_network(width)
    network.set_memory_format(memory_format(machine))
    pictures = random_pictures(batch, torch.device("cpu"))
    step = printed_step(network, pictures)
    seconds_of(step, 1, device)
    print(seconds_of(step, steps, device))


@shown_plainly
def main(
    width: Annotated[float, typer.Option(min=0.01, max=4, help="multiplies kernels and neurons")] = 0.5,
    batch: Annotated[int, typer.Option(min=1, help="pictures a step")] = 32,
    rounds: Annotated[int, typer.Option(min=1, help="how often each setting takes its turn")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="steps a turn")] = 10,
) -> None:
    """Compare both settings, idle and busy."""
    threads = Machine().worker_count
    print(
        f"{threads} threads, width {width:g}, batches of {batch}; {rounds} rounds, in pictures/s", flush=True
    )
    for loops in (0, threads):
        rates: dict[str, list[float]] = {name: [] for name in SETTINGS}
        for _ in range(rounds):
            for name, spins in SETTINGS.items():
                rates[name].append(pictures_per_second(spins, loops, width, batch, steps))
        theirs, ours = rates.values()
        ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
        shown = "; ".join(f"{name} {min(own):.0f} to {max(own):.0f}" for name, own in rates.items())
        print(
            f"beside {loops} busy loops: {shown}; ours is {statistics.median(ratios):.2f} times as fast"
            f" ({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == [TURN]:
        take_turn(float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        typer.run(main)

"""Speed of a training step on a busy machine, by how long OpenMP's threads spin before they sleep.

    python -m benchmarks.busy [--width 0.5] [--batch 32]

libgomp's own default (300,000 turns) and what this project sets take turns, on the idle machine and beside as
many endless loops as there are threads. Each turn is a process of its own, since libgomp reads the number
when it is loaded.
"""

import os
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from typing import Annotated

import typer

from alexnet.core.errors import UserError, shown_plainly
from alexnet.core.machine import Machine
from benchmarks.turns import in_own_process, in_turns, ratios, spread

# Ours is that of alexnet.core.environment, which leaves a number alone that is set.
SETTINGS = {"libgomp's default": "300000", "ours": "1000"}


def pictures_per_second(spins: str, loops: int, width: float, batch: int, steps: int) -> float:
    """Return the speed of training steps in a process of their own, beside a number of endless `loops`."""
    os.environ["GOMP_SPINCOUNT"] = spins
    with ExitStack() as stack:
        for _ in range(loops):
            loop = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(loop.kill)
        return batch / in_own_process(seconds_of_steps, width, batch, steps)


def seconds_of_steps(width: float, batch: int, steps: int) -> float:
    import torch

    from alexnet.parallel.device import choose_device, memory_format
    from benchmarks.train_step import our_network, random_pictures, seconds_of, step_of

    machine = Machine()
    device = choose_device(machine)
    if device.type != "cpu":
        raise UserError("this benchmark is about threads of the CPU; hide the GPU (CUDA_VISIBLE_DEVICES=)")
    network = our_network(width)
    network.set_memory_format(memory_format(machine))
    step = step_of(network, random_pictures(batch, torch.device("cpu")))
    seconds_of(step, 1, device)
    return seconds_of(step, steps, device)


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
        work = partial(pictures_per_second, loops=loops, width=width, batch=batch, steps=steps)
        rates = in_turns({name: partial(work, spins) for name, spins in SETTINGS.items()}, rounds)
        told = "; ".join(f"{name} {spread(own, '.0f')}" for name, own in rates.items())
        theirs, ours = rates.values()
        times = spread(ratios(ours, theirs))
        print(f"beside {loops} busy loops: {told}; ours is {times} times as fast", flush=True)


if __name__ == "__main__":
    typer.run(main)

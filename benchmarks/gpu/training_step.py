"""The training step, its parts, and the peak of the device."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._C._autograd import DeviceType
from torch.profiler import profile

from alexnet.core.machine import Machine
from alexnet.core.params import read
from alexnet.model.network import Layer
from alexnet.parallel.device import choose_device
from alexnet.training.optimiser import printed_optimiser
from alexnet.training.params import Train
from alexnet.training.precision import Precision
from benchmarks import train_step
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.steps import Figures
from benchmarks.train_step import PROFILE, Contestant, seconds_of

# Kernels of a step.
LISTED = 20


def contestants(precision: str, backend: str) -> dict[str, Contestant]:
    ours = partial(Contestant, train_step.our_network, precision=precision, backend=backend)
    theirs = partial(Contestant, train_step.torchvisions, precision=precision, backend=backend)
    return {
        "ours, CUDA graphs": ours(mode="CUDA graphs"),
        "ours, compiled": ours(mode="compiled"),
        "torchvision's, CUDA graphs": theirs(mode="CUDA graphs"),
        "torchvision's, compiled": theirs(mode="compiled"),
        "ours, eager": ours(),
        "torchvision's, eager": theirs(),
    }


def training_step(bench: Bench, contestant: Contestant, batch: int) -> Figures:
    """Time one contestant's step, from conv1's input on."""
    device = choose_device(Machine())
    if device.type == "cuda":
        # Former steps leave the workspaces of their streams.
        left = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
    step = train_step.warm_step(contestant, bench.scale.width, batch, device)
    seconds = seconds_of(step, bench.scale.steps, device)
    figures: Figures = {"pictures/s": batch / seconds, "ms": 1000 * seconds}
    if device.type == "cuda":
        figures["GB"] = (torch.cuda.max_memory_allocated() - left) / 1e9
    if contestant.network is train_step.torchvisions and train_step.torchvisions_models() is None:
        figures["note"] = "torchvision cannot be imported: its network as rebuilt here"
    return figures


def peak(bench: Bench) -> Figures:
    """Measure matrix products, and count what a step computes; both in floating-point operations."""
    device, side, figures = choose_device(Machine()), bench.scale.side, {}
    for name in ("bfloat16", "tf32", "float32"):
        Precision(name, device)
        dtype = torch.bfloat16 if name == "bfloat16" else torch.float32
        matrix = torch.randn(side, side, device=device).to(dtype)

        def product(matrix: Tensor = matrix) -> None:
            torch.mm(matrix, matrix)

        seconds_of(product, 3, device)
        figures[f"{name}, TFLOP/s"] = 2 * side**3 / seconds_of(product, bench.scale.steps, device) / 1e12
    return {
        **figures,
        "GFLOP of a picture": flops_of_picture(train_step.our_network(bench.scale.width).layers) / 1e9,
    }


def flops_of_picture(layers: list[Layer]) -> int:
    """Return the multiplications and additions of a step in convolutions and full layers, for a picture.

    torch's own counter has twice as many for the weights of layers that see one column.
    """
    forward = {layer.name: layer.fan_in * layer.outputs * layer.size**2 for layer in layers}
    # Backward has two products for each, but conv1 passes no gradient on.
    return 2 * (3 * sum(forward.values()) - forward["conv1"])


def parts(bench: Bench) -> Figures:
    """Time a step with plain convolutions, without norms or dropout, and the update, in milliseconds."""
    device, scale, figures = choose_device(Machine()), bench.scale, {}
    batch, network = scale.batches[0], train_step.our_network(scale.width).to(device)
    optimiser = printed_optimiser(network, read(PROFILE, Train))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    seconds_of(optimiser.step, 1, device)
    figures["update"] = 1000 * seconds_of(optimiser.step, scale.steps, device)
    optimiser.compile(scale.backend)
    seconds_of(optimiser.step, 1, device)
    figures["update, compiled"] = 1000 * seconds_of(optimiser.step, scale.steps, device)
    del network, optimiser
    networks = {
        "whole": train_step.our_network,
        "convolutions as torch's": train_step.with_plain_convolutions,
        "without norms": train_step.without_norm,
        "without dropout": train_step.without_dropout,
    }
    for mode in ("eager", "compiled"):
        for name, built in networks.items():
            contestant = Contestant(built, precision="bfloat16", mode=mode, backend=scale.backend)
            step = train_step.warm_step(contestant, scale.width, batch, device)
            figures[f"{name}, {mode}"] = 1000 * seconds_of(step, scale.steps, device)
            # The memory of one network must not be missing to the next.
            del step
    return figures


def kernels(bench: Bench) -> Figures:
    """Return the milliseconds of a compiled step that the longest kernels take, by their names."""
    device, scale = choose_device(Machine()), bench.scale
    contestant = Contestant(
        train_step.our_network, precision="bfloat16", mode="compiled", backend=scale.backend
    )
    step = train_step.warm_step(contestant, scale.width, scale.batch, device)
    with profile(acc_events=True) as profiled:
        seconds_of(step, scale.steps, device)
    spent = spent_in(profiled.key_averages(), scale.steps, device.type == "cuda")
    longest = sorted(spent, key=spent.__getitem__, reverse=True)[:LISTED]
    return {"all": sum(spent.values()), **{name: spent[name] for name in longest}}


def spent_in(events: Iterable[Any], steps: int, on_gpu: bool) -> dict[str, float]:
    """Return the milliseconds of a step in each kernel (on a CPU, in each operator) of profiled `events`."""
    spent: dict[str, float] = {}
    for event in events:
        # Operators and named regions have the time of their kernels, too.
        if on_gpu and (event.device_type != DeviceType.CUDA or getattr(event, "is_user_annotation", False)):
            continue
        seconds = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        # Kernels may differ behind that alone.
        name = event.key[:70]
        spent[name] = spent.get(name, 0.0) + seconds / steps / 1000
    return spent

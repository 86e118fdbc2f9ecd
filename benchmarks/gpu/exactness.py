"""Whether a GPU computes what the CPU does, and the same again."""

import io
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from alexnet.core.machine import Machine
from alexnet.core.params import read
from alexnet.feed.loader import open_loader
from alexnet.feed.order import training_epoch
from alexnet.feed.params import Augment
from alexnet.model.dropout import Dropout, picture_keys
from alexnet.model.input import whole_pictures
from alexnet.parallel.device import Mode, choose_device, memory_format, prepared
from alexnet.parallel.recording import WARM, RecordedStep
from alexnet.store.records import open_records
from alexnet.training.precision import Precision
from benchmarks.gpu.bench import CPU, RECIPES, Bench, generated, recipe_of, refuse_without_dali, trainer_on
from benchmarks.gpu.steps import Figures
from benchmarks.scale import CLASSES
from benchmarks.train_step import PROFILE, our_network

# What is compared: named tensors in float64 on the CPU, of a network that computes as the name says.
Result = Callable[[Bench, Path, torch.device, str, Mode], dict[str, Tensor]]
# How the device computes what is compared: as the CPU does, and as it does in trainings.
Ways = tuple[tuple[str, Mode], ...]
OF_UPDATES: Ways = (("float64", "eager"), ("float32", "eager"), ("float32", "CUDA graphs"))
OTHERS: Ways = (("float32", "compiled"), ("bfloat16", "eager"), ("bfloat16", "CUDA graphs"))
OF_GRADIENTS = (*OF_UPDATES, *OTHERS)


def compare(bench: Bench, recipe: Path, result: Result, ways: Ways) -> Figures:
    """Compare a result of the device with that of the CPU in float64; and those of the CPU as rounded."""
    device, expected = choose_device(Machine()), result(bench, recipe, CPU, "float64", "eager")
    rounded: Ways = tuple((precision, "eager") for precision, _ in ways if precision != "float64")
    figures, places = {}, [*((device, *way) for way in ways), *((CPU, *way) for way in rounded)]
    for where, precision, mode in dict.fromkeys(places):
        name = f"{where.type} {precision}" + ("" if mode == "eager" else f", {mode}")
        figures[name] = largest_difference(result(bench, recipe, where, precision, mode), expected)
    return figures


def _of(precision: str) -> tuple[torch.dtype, str]:
    """Return the type of the weights, and the `train.precision` of their network."""
    return (torch.float64, "float32") if precision == "float64" else (torch.float32, precision)


def largest_difference(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Return ‖found − expected‖ / ‖expected‖ of the tensor where it is largest."""
    return max(float((found[name] - each).norm() / each.norm()) for name, each in expected.items())


def gradients(
    bench: Bench, recipe: Path, device: torch.device, precision: str, mode: Mode
) -> dict[str, Tensor]:
    """Return the logits and all gradients of one batch."""
    count, draw = bench.scale.few, torch.Generator().manual_seed(1)
    dtype, rounding = _of(precision)
    network = our_network(bench.scale.width, recipe).train()
    network.input.mean_image.copy_(100 + 50 * torch.rand(3, 256, 256, generator=draw))
    network.to(device, dtype).set_memory_format(memory_format(Machine()))
    batch = whole_pictures(torch.randint(0, 256, (count, 224, 224, 3), generator=draw, dtype=torch.uint8))
    top, left = torch.randint(0, 33, (2, count), generator=draw)
    labels = torch.randint(0, CLASSES, (count,), generator=draw)
    batch = batch._replace(top=top, left=left, mirrored=top > left, labels=labels).to(device)
    shift = (5 * torch.randn(count, 3, generator=draw)).to(device)
    keys = picture_keys(1, 0, 0, count, device)
    torch.compiler.reset()
    forward = prepared(network, mode, bench.scale.backend)
    run = Precision(rounding, device).run

    def step() -> tuple[Tensor, ...]:
        network.zero_grad()
        logits = run(forward, batch, keys, shift)
        functional.cross_entropy(logits, batch.labels).backward()
        return (logits,)

    if mode == "CUDA graphs":
        step = partial(RecordedStep(step, device), None)
        for _ in range(WARM):
            step()
    (logits,) = step()
    found = {name: each.grad for name, each in network.named_parameters() if each.grad is not None}
    return {name: each.detach().cpu().double() for name, each in {**found, "logits": logits}.items()}


def masks(bench: Bench) -> Figures:
    """Count the bits by which the device's dropout masks differ from the CPU's."""
    device, differing, compared = choose_device(Machine()), 0, 0
    for dropout in our_network(bench.scale.width).dropouts.values():
        assert isinstance(dropout, Dropout)
        for step in range(20):
            theirs, ours = (
                dropout.to(where).mask(picture_keys(1, step, 0, bench.scale.batch, where)).cpu()
                for where in (device, CPU)
            )
            differing += int((theirs != ours).sum())
            compared += ours.numel()
    return {"bits": compared, "that differ": differing}


def moved(
    bench: Bench,
    recipe: Path,
    device: torch.device,
    precision: str,
    mode: Mode = "eager",
    stops: tuple[int, ...] | None = None,
) -> dict[str, Tensor]:
    """Return how far some updates move each parameter; the training is stopped and resumed after `stops`."""
    dtype, rounding = _of(precision)
    settings = f"train.batch_size={bench.scale.few}", f"train.precision={rounding}"
    sources = recipe_of(bench, recipe, *settings)
    place = Machine(loader="torch", workers=1, compile=False, progress="none")
    store = generated(bench, "jpeg")
    start: dict[str, Tensor] = {}
    bench.trials.mkdir(parents=True, exist_ok=True)
    # What a training says when it is stopped is not for whoever measures.
    with tempfile.TemporaryDirectory(dir=bench.trials) as name, redirect_stdout(io.StringIO()):
        for updates in stops or (bench.scale.updates,):
            stop = partial(next, iter([*[False] * (updates - 1), True]))
            trainer = trainer_on(store, device, sources, place, Path(name), dtype, stop_asked=stop)
            torch.compiler.reset()
            trainer.run_as(mode, bench.scale.backend)
            now = dict(trainer.network.named_parameters())
            start = start or {name: each.detach().cpu().clone() for name, each in now.items()}
            with suppress(KeyboardInterrupt):
                trainer.run()
    return {name: each.detach().cpu().double() - start[name].double() for name, each in now.items()}


def resuming(bench: Bench) -> Figures:
    """Say whether a training gives the same bits again, and when it was stopped and resumed between."""
    figures, updates = {}, bench.scale.updates
    kinds: dict[str, Mode] = {
        ", deterministic": "eager",
        ", deterministic, CUDA graphs": "CUDA graphs",
        "": "eager",
    }
    for kind, mode in kinds.items():
        device = choose_device(Machine(deterministic=bool(kind)))
        train = partial(moved, bench, RECIPES["paper"], device, "float32", mode)
        once, stops = train(), (updates // 2, updates - updates // 2)
        figures[f"again{kind}"] = largest_difference(train(), once)
        figures[f"resumed{kind}"] = largest_difference(train(stops=stops), once)
    return figures


def pixels(bench: Bench) -> Figures:
    """Compare the patches of DALI, decoded on the device, with those of libjpeg, in grey levels."""
    refuse_without_dali()
    device, store = choose_device(Machine()), generated(bench, "jpeg")
    records = open_records(store / "records", "train")
    epoch = training_epoch(1, 1, len(records), read(PROFILE, Augment), "shuffled")
    found = []
    for loader in ("dali", "torch"):
        machine = Machine(loader=loader)
        batches = open_loader(machine, records, bench.scale.batch, device).batches(epoch)
        found.append(torch.cat([batch.pixels.cpu() for batch in islice(batches, 8)]).short())
    apart = (found[0] - found[1]).abs()
    return {"mean": float(apart.float().mean()), "largest": int(apart.max()), "bytes": apart.numel()}

"""What is measured on a GPU, most telling first; see `benchmarks.gpu`."""

import importlib.util
import json
import math
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional
from torch.profiler import profile

from alexnet.core.machine import Machine
from alexnet.core.params import read
from alexnet.evaluation.evaluate import evaluate_network
from alexnet.evaluation.params import Evaluate
from alexnet.feed.loader import chosen_loader, open_loader
from alexnet.feed.order import training_epoch
from alexnet.feed.params import Augment
from alexnet.ingest.params import Data, Preprocess
from alexnet.ingest.prepare import prepare_index
from alexnet.ingest.selection import index_pictures
from alexnet.model.dropout import Dropout, picture_keys
from alexnet.model.input import whole_pictures
from alexnet.model.network import Layer
from alexnet.model.params import Model
from alexnet.model.weights import save_network
from alexnet.parallel.device import choose_device, memory_format, prepared
from alexnet.parallel.launch import on_devices
from alexnet.parallel.mesh import Mesh
from alexnet.store.index import read_classes, write_index
from alexnet.store.records import open_records
from alexnet.store.statistics import measure_records, read_statistics
from alexnet.training.checkpoints import Checkpoints
from alexnet.training.measures import EpochRow
from alexnet.training.optimiser import printed_optimiser
from alexnet.training.params import Train
from alexnet.training.precision import Precision
from alexnet.training.train import setting_of
from alexnet.training.trainer import Trainer
from benchmarks.devices import measure as measure_mesh
from benchmarks.preprocess import drawn
from benchmarks.scale import CLASSES, TRAIN, VAL, repeated, write_one_file
from benchmarks.steps import Figures, NoFiguresError, Step, read_results
from benchmarks.torchvision_recipe import Training, rate_of
from benchmarks.train_step import (
    PROFILE,
    Contestant,
    our_network,
    seconds_of,
    seconds_of_contestant,
    torchvisions,
    torchvisions_models,
    warm_step,
    with_plain_convolutions,
    without_dropout,
    without_norm,
)

RECIPES = {name: PROFILE.with_name(f"imagenet-2012-{name}.yaml") for name in ("paper", "source")}
CPU = torch.device("cpu")
# Kernels of a step.
LISTED = 20


@dataclass(frozen=True)
class Scale:
    """How large everything is: as for a GPU, unless told otherwise.

    Attributes:
        batches: of the training steps, most telling first.
        steps: that a time is the mean of.
        few: pictures of a batch where the CPU computes too, in `updates` updates.
        records: pictures in the store that the loop reads in batches of `batch`.
        side: of the matrices that are multiplied.
        loads: the shares of the pictures that DALI gives to the JPEG engine.
        workers: that prepare pictures.
        backend: of `torch.compile`.
    """

    width: float = 1.0
    batches: tuple[int, ...] = (512, 1024, 128, 256)
    precisions: tuple[str, ...] = ("bfloat16", "tf32", "float32")
    steps: int = 20
    few: int = 16
    updates: int = 20
    records: int = 33_000
    batch: int = 128
    side: int = 8192
    loads: tuple[float, ...] = (0.65, 0.0, 0.25, 0.5, 0.85, 1.0)
    workers: int | Literal["auto"] = "auto"
    backend: str = "inductor"


# Compiling to machine code takes a CPU longer than all else together; up to there the code is the same.
TOY = Scale(0.03, (2, 3), ("bfloat16",), 1, 2, 3, 27, 8, 64, (0.65,), 1, "aot_eager")


@dataclass(frozen=True)
class Bench:
    """What every step is given.

    Attributes:
        work: a folder for stores and states.
        results: the file of the figures so far.
        photographs, tiny_imagenet: folders of raw files to train on.
        epochs: of these trainings; by default those of their recipes.
        price: of an hour of the device, in any currency.
    """

    scale: Scale
    work: Path
    results: Path
    photographs: Path | None = None
    tiny_imagenet: Path | None = None
    epochs: int | None = None
    price: float | None = None


def plan(bench: Bench) -> list[Step]:
    """Return the steps in their order."""
    steps: list[Step] = []

    def add(name: str, limit: float, work: Callable[..., Figures], *arguments: Any) -> None:
        steps.append(Step(name, limit, partial(work, bench, *arguments), again=work is reckon))

    def add_steps(batch: int) -> None:
        for precision in bench.scale.precisions:
            for name, contestant in contestants(precision, bench.scale.backend).items():
                add(f"step: {precision}, {batch}, {name}", 120, training_step, contestant, batch)

    for name, recipe in RECIPES.items():
        add(f"exact: gradients, {name}", 120, exactness, recipe, gradients)
    add("exact: dropout masks", 60, exact_masks)
    add("step: peak", 60, peak)
    first, *others = bench.scale.batches
    add_steps(first)
    add("step: parts", 240, parts)
    add("step: kernels", 120, kernels)
    for name, recipe in RECIPES.items():
        add(f"exact: updates, {name}", 240, exactness, recipe, moved)
    add("exact: resuming", 180, exact_resuming)
    add("exact: DALI's pixels", 60, exact_pixels)
    for encoding in ("raw", "jpeg"):
        add(f"loop: {encoding}, threads", 180, loop, encoding, Machine(loader="torch", progress="none"))
    recorded = Machine(loader="torch", compile="cuda-graphs", progress="none")
    add("loop: raw, threads, CUDA graphs", 180, loop, "raw", recorded)
    for load in bench.scale.loads:
        place = Machine(loader="dali", hardware_decoder_load=load, progress="none")
        add(f"loop: jpeg, DALI, hardware load {load:g}", 180, loop, "jpeg", place)
    for backend in ("gloo", "nccl"):
        add(f"two processes: {backend}", 120, two_processes, backend)
    folder_yaml = [str(PROFILE.with_name("folder.yaml")), f"model.width={0.5 * bench.scale.width}"]
    tiny_yaml = recipe_of(bench, PROFILE.with_name("tiny-imagenet.yaml"))
    add("training: photographs", 400, whole_training, "photographs", bench.photographs, 300, folder_yaml)
    add("training: Tiny ImageNet", 560, whole_training, "tiny-imagenet", bench.tiny_imagenet, 450, tiny_yaml)
    add("training: Tiny ImageNet, torchvision's recipe", 560, torchvisions_training, tiny_yaml)
    for batch in others:
        add_steps(batch)
    add("reckoned: ImageNet", 30, reckon)
    return steps


# --- exactness ------------------------------------------------------------------------------------


# What is compared: named tensors in float64 on the CPU.
Result = Callable[[Bench, Path, torch.device, torch.dtype], dict[str, Tensor]]


def exactness(bench: Bench, recipe: Path, result: Result) -> Figures:
    """Compare a result of the device with that of the CPU in float64; and that of the CPU in float32."""
    device, expected = choose_device(Machine()), result(bench, recipe, CPU, torch.float64)
    figures, both = {}, ((device, torch.float64), (device, torch.float32))
    for where, dtype in dict.fromkeys([*both, (CPU, torch.float32)]):
        name = f"{where.type} {str(dtype).removeprefix('torch.')}"
        figures[name] = largest_difference(result(bench, recipe, where, dtype), expected)
    return figures


def largest_difference(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Return ‖found − expected‖ / ‖expected‖ of the tensor where it is largest."""
    return max(float((found[name] - each).norm() / each.norm()) for name, each in expected.items())


def gradients(bench: Bench, recipe: Path, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the logits and all gradients of one batch."""
    count, draw = bench.scale.few, torch.Generator().manual_seed(1)
    network = our_network(bench.scale.width, recipe).train()
    network.input.mean_image.copy_(100 + 50 * torch.rand(3, 256, 256, generator=draw))
    network.to(device, dtype).lay_out(memory_format(Machine()))
    batch = whole_pictures(torch.randint(0, 256, (count, 224, 224, 3), generator=draw, dtype=torch.uint8))
    top, left = torch.randint(0, 33, (2, count), generator=draw)
    labels = torch.randint(0, CLASSES, (count,), generator=draw)
    batch = batch._replace(top=top, left=left, mirrored=top > left, labels=labels).to(device)
    shift = (5 * torch.randn(count, 3, generator=draw)).to(device)
    keys = picture_keys(1, 0, 0, count, device)
    logits = Precision("float32", device).run(network, batch, keys, shift)
    functional.cross_entropy(logits, batch.labels).backward()
    found = {name: each.grad for name, each in network.named_parameters() if each.grad is not None}
    return {name: each.detach().cpu().double() for name, each in {**found, "logits": logits}.items()}


def exact_masks(bench: Bench) -> Figures:
    """Count the bits by which the device's dropout masks differ from the CPU's."""
    device, differing, compared = choose_device(Machine()), 0, 0
    for dropout in our_network(bench.scale.width).dropouts.values():
        assert isinstance(dropout, Dropout)
        for step in range(20):
            masks = []
            for where in (device, CPU):
                masks.append(dropout.to(where).mask(picture_keys(1, step, 0, bench.scale.batch, where)).cpu())
            differing += int((masks[0] != masks[1]).sum())
            compared += masks[0].numel()
    return {"bits": compared, "that differ": differing}


def trainer_on(
    store: Path,
    device: torch.device,
    sources: list[str],
    machine: Machine,
    state: Path,
    dtype: torch.dtype = torch.float32,
    **changes: Any,
) -> Trainer:
    """Return the train stage's trainer on what `stored` has made, with some `changes` of its setting."""
    setting = setting_of(
        Mesh(),
        device,
        model=read(sources, Model),
        augment=read(sources, Augment),
        train=read(sources, Train),
        machine=machine,
        classes=read_classes(store / "index"),
        training=open_records(store / "records", "train"),
        validation=open_records(store / "records", "val"),
        measured=read_statistics(store / "statistics.npz"),
        checkpoints=Checkpoints(state),
    )
    setting.network.to(dtype)
    return Trainer(replace(setting, **changes))


def recipe_of(bench: Bench, recipe: Path, *changes: str) -> list[str]:
    width = f"model.width={bench.scale.width}"
    return [str(recipe), width, "model.initial_weights_follow_width=true", *changes]


def moved(
    bench: Bench,
    recipe: Path,
    device: torch.device,
    dtype: torch.dtype,
    stops: tuple[int, ...] | None = None,
) -> dict[str, Tensor]:
    """Return how far some updates move each parameter; the training is stopped and resumed after `stops`."""
    sources = recipe_of(bench, recipe, f"train.batch_size={bench.scale.few}")
    place, store = Machine(loader="torch", compile=False, progress="none"), generated(bench, "jpeg")
    start: dict[str, Tensor] = {}
    with tempfile.TemporaryDirectory(dir=bench.work) as name:
        for updates in stops or (bench.scale.updates,):
            stop = partial(next, iter([*[False] * (updates - 1), True]))
            trainer = trainer_on(store, device, sources, place, Path(name), dtype, stop_asked=stop)
            now = dict(trainer.network.named_parameters())
            start = start or {name: each.detach().cpu().clone() for name, each in now.items()}
            with suppress(KeyboardInterrupt):
                trainer.run()
    return {name: each.detach().cpu().double() - start[name].double() for name, each in now.items()}


def exact_resuming(bench: Bench) -> Figures:
    """Say whether a training gives the same bits again, and when it was stopped and resumed between."""
    figures, updates = {}, bench.scale.updates
    for kind in (", deterministic", ""):
        device = choose_device(Machine(deterministic=bool(kind)))
        train = partial(moved, bench, RECIPES["paper"], device, torch.float32)
        once = train()
        figures[f"again{kind}"] = largest_difference(train(), once)
        figures[f"resumed{kind}"] = largest_difference(train((updates // 2, updates - updates // 2)), once)
    return figures


def exact_pixels(bench: Bench) -> Figures:
    """Compare the patches of DALI, decoded on the device, with those of libjpeg, in grey levels."""
    refuse_without_dali()
    device, store = choose_device(Machine()), generated(bench, "jpeg")
    records = open_records(store / "records", "train")
    epoch = training_epoch(1, 1, len(records), read(PROFILE, Augment), "shuffled")
    pixels = []
    for loader in ("dali", "torch"):
        machine = Machine(loader=loader)
        batches = open_loader(machine, records, bench.scale.batch, device).batches(epoch)
        pixels.append(torch.cat([batch.pixels.cpu() for batch in islice(batches, 8)]).short())
    apart = (pixels[0] - pixels[1]).abs()
    return {"mean": float(apart.float().mean()), "largest": int(apart.max()), "bytes": apart.numel()}


# --- the step -------------------------------------------------------------------------------------


def contestants(precision: str, backend: str) -> dict[str, Contestant]:
    ours = partial(Contestant, our_network, precision=precision, backend=backend)
    theirs = partial(Contestant, torchvisions, precision=precision, backend=backend)
    return {
        "ours, CUDA graphs": ours(mode="CUDA graphs"),
        "ours, compiled": ours(mode="compiled"),
        "torchvision's, compiled": theirs(mode="compiled"),
        "ours, eager": ours(),
        "torchvision's, eager": theirs(),
    }


def training_step(bench: Bench, contestant: Contestant, batch: int) -> Figures:
    """Time one contestant's step, from conv1's input on."""
    device = choose_device(Machine())
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = seconds_of_contestant(contestant, bench.scale.width, batch, bench.scale.steps, device)
    figures: Figures = {"pictures/s": batch / seconds, "ms": 1000 * seconds}
    if device.type == "cuda":
        figures["GB"] = torch.cuda.max_memory_allocated() / 1e9
    if contestant.network is torchvisions and torchvisions_models() is None:
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
    return {**figures, "GFLOP of a picture": flops_of_picture(our_network(bench.scale.width).layers) / 1e9}


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
    batch, network = scale.batches[0], our_network(scale.width).to(device)
    optimiser = printed_optimiser(network, read(PROFILE, Train))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    seconds_of(optimiser.step, 1, device)
    figures["update"] = 1000 * seconds_of(optimiser.step, scale.steps, device)
    del network, optimiser
    networks = {
        "whole": our_network,
        "convolutions as torch's": with_plain_convolutions,
        "without norms": without_norm,
        "without dropout": without_dropout,
    }
    for mode in ("eager", "compiled"):
        for name, built in networks.items():
            contestant = Contestant(built, precision="bfloat16", mode=mode, backend=scale.backend)
            seconds = seconds_of_contestant(contestant, scale.width, batch, scale.steps, device)
            figures[f"{name}, {mode}"] = 1000 * seconds
    return figures


def kernels(bench: Bench) -> Figures:
    """Return the milliseconds of a compiled step that the longest kernels take, by their names."""
    device, scale = choose_device(Machine()), bench.scale
    contestant = Contestant(our_network, precision="bfloat16", mode="compiled", backend=scale.backend)
    step = warm_step(contestant, scale.width, scale.batches[0], device)
    with profile(acc_events=True) as profiled:
        seconds_of(step, scale.steps, device)
    spent: dict[str, float] = {}
    for event in profiled.key_averages():
        time_of_it = event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total
        spent[event.key[:70]] = time_of_it / scale.steps / 1000
    longest = sorted(spent, key=spent.__getitem__, reverse=True)[:LISTED]
    return {"all": sum(spent.values()), **{name: spent[name] for name in longest}}


# --- the loop and whole trainings -----------------------------------------------------------------


def stored(folder: Path, place: Machine, sources: list[str], write: Callable[[Path], None]) -> Path:
    """Prepare the pictures of the index that `write` writes, as the stages do; return `folder`."""
    if not (folder / "statistics.npz").exists():
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / "index")
        made = {"index": folder / "index", "records": folder / "records", "skipped": folder / "skipped.csv"}
        prepare_index(read(sources, Preprocess), place, counts=folder / "data.json", **made)
        summary, out = folder / "rgb_pca.json", folder / "statistics.npz"
        measure_records(machine=place, records=made["records"], out=out, summary=summary)
    return folder


def store_of(bench: Bench, pictures: Path) -> Path:
    return bench.work / f"from {pictures.name}"


def generated(bench: Bench, encoding: str) -> Path:
    """Return a store of generated pictures, repeated."""
    folder, count = bench.work / encoding, bench.scale.records

    def write(index: Path) -> None:
        found = repeated(write_one_file(folder / "pictures", drawn()), count)
        # The last of ten in a row is for validation.
        labels = np.arange(count, dtype=np.int32) // 10 % min(CLASSES, count // 10)
        names = [f"n{number:08d}" for number in range(labels.max() + 1)]
        classes = pd.DataFrame({"wnid": names, "words": names})
        write_index(index, replace(found, pictures=found.pictures.assign(label=labels), classes=classes))

    place = Machine(data_root=str(folder), workers=bench.scale.workers, progress="none")
    return stored(folder, place, [str(PROFILE), f"preprocess.encoding={encoding}"], write)


def refuse_without_dali() -> None:
    if chosen_loader("auto", "jpeg") != "dali":
        raise NoFiguresError("DALI is not installed")


@contextmanager
def busy(device: torch.device) -> Iterator[list[tuple[float, int]]]:
    """Note the time and how busy the GPU is, in per cent, several times a second."""
    noted: list[tuple[float, int]] = []
    ended = threading.Event()

    def note() -> None:
        while not ended.wait(0.05):
            noted.append((time.monotonic(), torch.cuda.utilization(device)))

    thread = threading.Thread(target=note, daemon=True)
    if device.type == "cuda" and importlib.util.find_spec("pynvml"):
        thread.start()
    yield noted
    ended.set()


def loop(bench: Bench, encoding: str, machine: Machine) -> Figures:
    """Time the train stage's loop for three epochs after a first one, and a validation."""
    if machine.loader == "dali":
        refuse_without_dali()
    device, store = choose_device(machine), generated(bench, encoding)
    batch = f"train.batch_size={bench.scale.batch}"
    sources = recipe_of(bench, PROFILE, "train.epochs=4", "train.precision=bfloat16", batch)
    begun: list[float] = []
    torch.compiler.reset()

    def begin(history: list[EpochRow]) -> None:
        begun.append(time.monotonic())

    with tempfile.TemporaryDirectory(dir=bench.work) as state, busy(device) as noted:
        trainer = trainer_on(store, device, sources, machine, Path(state), report_epoch=begin)
        if device.type == "cpu":
            # As the train stage does on a GPU.
            trainer.forward = prepared(trainer.network, "compiled", bench.scale.backend)
        rows = trainer.run()[1:]
        start = time.monotonic()
        trainer.validate()
        validating = time.monotonic() - start
    seconds = max(sum(row.seconds for row in rows), 1e-9)
    figures = {
        "pictures/s": sum(row.pictures for row in rows) / seconds,
        "waiting": sum(row.data_wait_seconds for row in rows) / seconds,
        "validation, pictures/s": trainer.setting.validation_pictures / validating,
    }
    during = [value for when, value in noted if begun[0] <= when <= begun[0] + rows[0].seconds]
    return {**figures, "GPU busy, %": sum(during) / len(during)} if during else figures


def two_processes(bench: Bench, backend: Literal["gloo", "nccl"]) -> Figures:
    """Time a step of one process and of two with a column each."""
    if backend == "nccl" and torch.cuda.device_count() < 2:
        raise NoFiguresError("NCCL needs two GPUs")
    figures, result, scale = {}, bench.work / "seconds", bench.scale
    for count in (1, 2):
        work = partial(measure_mesh, width=scale.width, batch=scale.batch, steps=scale.steps, result=result)
        on_devices(work, Machine(devices=count, backend=backend), columns=2)
        figures[f"{count}, pictures/s"] = scale.batch / json.loads(result.read_text())
    return figures


def whole_training(
    bench: Bench, name: str, pictures: Path | None, seconds: float, sources: list[str]
) -> Figures:
    """Prepare, train for at most so many `seconds` in this call, and evaluate, by the given parameters."""
    if pictures is None:
        raise NoFiguresError(f"no pictures: name their folder with --{name}")
    epochs = [] if bench.epochs is None else [f"train.epochs={bench.epochs}"]
    sources = [*sources, "data.layout=auto", *epochs]
    place = Machine(data_root=str(pictures), workers=bench.scale.workers)
    index = partial(index_pictures, read(sources, Data), read(sources, Evaluate).split, place)
    folder = stored(store_of(bench, pictures), place, sources, index)
    device, late = choose_device(place), time.monotonic() + seconds
    torch.compiler.reset()

    def is_late() -> bool:
        return time.monotonic() > late

    trainer = trainer_on(folder, device, sources, place, folder / name, stop_asked=is_late)
    try:
        history = trainer.run()
    except KeyboardInterrupt:
        raise NoFiguresError(f"stopped in epoch {trainer.epoch} after {seconds:g} s; to be resumed") from None
    classes, weights = read_classes(folder / "index"), folder / "weights.safetensors"
    trainer.network.cpu().lay_out(torch.contiguous_format)
    save_network(weights, trainer.network, list(zip(classes["wnid"], classes["words"], strict=True)))
    evaluate_network(
        Mesh(),
        device,
        settings=read(sources, Evaluate),
        machine=place,
        index=folder / "index",
        records=folder / "records",
        skipped=folder / "skipped.csv",
        weights=weights,
        predictions=folder / "predictions",
        metrics=folder / "metrics.json",
    )
    rates = json.loads((folder / "metrics.json").read_text())
    return {
        "top-1 error": rates["top1_error"],
        "top-5 error": rates["top5_error"],
        "epochs": len(history),
        "training, s": sum(row.seconds for row in history),
        "pictures/s": history[-1].pictures_per_second,
    }


def torchvisions_training(bench: Bench, sources: list[str]) -> Figures:
    """Train torchvision's network by torchvision's recipe on the records of the training before."""
    store = store_of(bench, bench.tiny_imagenet) if bench.tiny_imagenet else None
    if store is None or not (store / "records").exists():
        raise NoFiguresError("no records: the training by our recipe makes them")
    place, train = Machine(workers=bench.scale.workers), read(sources, Train)
    classes, epochs = len(read_classes(store / "index")), bench.epochs or train.epochs
    torch.compiler.reset()
    training = Training(place, choose_device(place), store / "records", classes, train.seed, train.precision)
    rows = [training.epoch(number, rate_of(number, epochs), lambda: False) for number in range(1, epochs + 1)]
    rates = training.rates()
    return {
        "top-1 error": rates["top1_error"],
        "top-5 error": rates["top5_error"],
        "epochs": epochs,
        "training, s": sum(row["seconds"] for row in rows if row),
        "pictures/s": max(row["pictures_per_second"] for row in rows if row),
    }


def reckon(bench: Bench) -> Figures:
    """Reckon the full recipe from the loops, and set the best steps beside torchvision's and the peak."""
    found = {name: entry.get("figures", {}) for name, entry in read_results(bench.results)["steps"].items()}
    rates = {name: figures["pictures/s"] for name, figures in found.items() if "pictures/s" in figures}
    epochs, figures = read(PROFILE, Train).epochs, {}
    for name in rates:
        if name.startswith("loop: "):
            seconds = TRAIN / rates[name] + VAL / found[name]["validation, pictures/s"]
            figures[f"hours, {name.removeprefix('loop: ')}"] = epochs * seconds / 3600
    if not figures:
        raise NoFiguresError("no loop was measured")
    if bench.price is not None:
        figures["least cost"] = bench.price * min(figures.values())
    figures |= {"epochs": epochs, "training pictures": TRAIN, "validation pictures": VAL}

    def best(precision: str, whose: str) -> float:
        wanted = re.compile(rf"step: {precision}, \d+, {whose}")
        return max((rate for name, rate in rates.items() if wanted.match(name)), default=math.nan)

    for precision in bench.scale.precisions:
        ours, measured = best(precision, "ours"), found.get("step: peak", {})
        figures[f"{precision}, step / torchvision's"] = ours / best(precision, "torchvision's, compiled")
        flops = ours * measured.get("GFLOP of a picture", math.nan) / 1000
        figures[f"{precision}, step / peak"] = flops / measured.get(f"{precision}, TFLOP/s", math.nan)
    return {name: each for name, each in figures.items() if not math.isnan(each)}

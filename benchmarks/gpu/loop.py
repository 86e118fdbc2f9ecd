"""The train stage's loop with its loader, and a step of two processes."""

import importlib.util
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from alexnet.core.machine import Machine
from alexnet.core.params import read
from alexnet.feed.loader import open_loader
from alexnet.feed.order import training_epoch
from alexnet.feed.params import Augment
from alexnet.model.input import Batch
from alexnet.parallel.device import choose_device
from alexnet.parallel.recording import WARM
from alexnet.store.records import open_records
from alexnet.training.trainer import Trainer
from benchmarks.devices import OURS, measure, measure_sums, rate_of
from benchmarks.gpu.bench import Bench, generated, recipe_of, refuse_without_dali, trainer_on
from benchmarks.gpu.steps import Figures, NoFiguresError
from benchmarks.train_step import PROFILE, seconds_of, wait_for

# Updates that a GPU has room for in its queue.
STARTED = 5
WITHOUT_NVML = "how busy the GPU is was not measured: needed is pip install nvidia-ml-py"


@contextmanager
def busy(device: torch.device) -> Iterator[list[tuple[float, int]]]:
    """Note the time and how busy the GPU is, in per cent, several times a second."""
    noted: list[tuple[float, int]] = []
    ended = threading.Event()

    def note() -> None:
        while not ended.wait(0.05):
            noted.append((time.monotonic(), torch.cuda.utilization(device)))

    if device.type == "cuda" and importlib.util.find_spec("pynvml"):
        threading.Thread(target=note, daemon=True).start()
    try:
        yield noted
    finally:
        ended.set()


def loop(bench: Bench, encoding: str, machine: Machine) -> Figures:
    """Time the train stage's loop for three epochs after a first one, a validation, and the loop's parts."""
    if machine.loader == "dali":
        refuse_without_dali()
    device, store = choose_device(machine), generated(bench, encoding)
    batch = f"train.batch_size={bench.scale.batch}"
    sources = recipe_of(bench, PROFILE, "train.epochs=4", "train.precision=bfloat16", batch)
    begun: list[float] = []
    torch.compiler.reset()

    def begin(history: object) -> None:
        begun.append(time.monotonic())

    bench.trials.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=bench.trials) as state, busy(device) as noted:
        trainer = trainer_on(store, device, sources, machine, Path(state), report_epoch=begin)
        if device.type == "cpu":
            # As the train stage does on a GPU.
            trainer.run_as("compiled", bench.scale.backend)
        rows = trainer.run()[1:]
        start = time.monotonic()
        trainer.validate()
        validating = time.monotonic() - start
        parts = alone(trainer, bench.scale.steps)
    seconds = max(sum(row.seconds for row in rows), 1e-9)
    figures = {
        "pictures/s": sum(row.pictures for row in rows) / seconds,
        "waiting": sum(row.data_wait_seconds for row in rows) / seconds,
        "validation, pictures/s": len(trainer.validation) / validating,
        **parts,
    }
    during = [value for when, value in noted if begun[0] <= when <= begun[0] + rows[0].seconds]
    if during:
        figures["GPU busy, %"] = sum(during) / len(during)
    elif device.type == "cuda" and not importlib.util.find_spec("pynvml"):
        figures["note"] = WITHOUT_NVML
    return figures


def alone(trainer: Trainer, updates: int) -> Figures:
    """Measure what a loop consists of: the loader without updates, and updates that all get one batch."""
    train, device, count = trainer.train, trainer.device, trainer.train.batch_size
    plan = training_epoch(train.seed, 1, len(trainer.training), trainer.augment, train.order)
    first, loaded = load(trainer.training_loader.batches(plan))
    trainer.network.train()
    update = partial(trainer.update, first, count)
    # They may be recorded anew.
    seconds_of(update, WARM + 1, device)
    updating = seconds_of(update, updates, device)
    start = time.perf_counter()
    for _ in range(STARTED):
        update()
    starting = (time.perf_counter() - start) / STARTED
    return {
        "loader alone, pictures/s": loaded["pictures/s"],
        "loader's first batch, s": loaded["first batch, s"],
        "updates alone, pictures/s": count / updating,
        # On a GPU they are then still to be computed: so fast is Python.
        "updates started, pictures/s": count / starting,
    }


def load(batches: Iterator[Batch]) -> tuple[Batch, Figures]:
    """Take all `batches`; return the first of them, and how fast the others came."""
    began = time.monotonic()
    first, there = next(batches), time.monotonic()
    others = sum(len(batch.labels) for batch in batches)
    wait_for(first.labels.device)
    seconds = max(time.monotonic() - there, 1e-9)
    return first, {"pictures/s": others / seconds, "first batch, s": there - began}


def loading(bench: Bench, machine: Machine) -> Figures:
    """Time a loader of JPEG records, while nothing is trained."""
    if machine.loader == "dali":
        refuse_without_dali()
    device, records = choose_device(machine), open_records(generated(bench, "jpeg") / "records", "train")
    plan = training_epoch(1, 1, len(records), read(PROFILE, Augment))
    return load(open_loader(machine, records, bench.scale.batch, device).batches(plan))[1]


def two_processes(bench: Bench, backend: Literal["gloo", "nccl"]) -> Figures:
    """Time a step of one process, of two with a column each, and of two with half of the batch each."""
    if backend == "nccl" and torch.cuda.device_count() < 2:
        raise NoFiguresError("NCCL needs two GPUs")
    figures, size = {}, (bench.scale.width, bench.scale.batch, bench.scale.steps)
    for count in (1, 2):
        place = Machine(devices=count, backend=backend)
        figures[f"{count}, pictures/s"] = rate_of(measure, place, 2, *size)
    for way in OURS:
        rate = rate_of(partial(measure_sums, way=way), place, 1, *size)
        figures[f"halves of the batch, {way}, pictures/s"] = rate
    return figures

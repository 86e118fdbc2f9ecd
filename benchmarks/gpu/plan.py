"""What is measured on a GPU, most telling first."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from alexnet.core.machine import Machine
from alexnet.core.params import read
from alexnet.training.params import Train
from benchmarks.gpu import exactness
from benchmarks.gpu.bench import RECIPES, Bench, recipe_of
from benchmarks.gpu.exactness import OF_GRADIENTS, OF_UPDATES
from benchmarks.gpu.loop import loading, loop, two_processes
from benchmarks.gpu.steps import Figures, NoFiguresError, Step, read_results
from benchmarks.gpu.training_step import contestants, kernels, parts, peak, training_step
from benchmarks.gpu.trainings import torchvisions_training, whole_training
from benchmarks.scale import TRAIN, VAL
from benchmarks.train_step import PROFILE


def plan(bench: Bench) -> list[Step]:
    steps: list[Step] = []

    def add(name: str, limit: float, work: Callable[..., Figures], *arguments: Any) -> None:
        steps.append(Step(name, limit, partial(work, bench, *arguments), again=work is reckon))

    def add_steps(batch: int) -> None:
        for precision in bench.scale.precisions:
            for name, contestant in contestants(precision, bench.scale.backend).items():
                add(f"step: {precision}, {batch}, {name}", 120, training_step, contestant, batch)

    for name, recipe in RECIPES.items():
        add(f"exact: gradients, {name}", 180, exactness.compare, recipe, exactness.gradients, OF_GRADIENTS)
    add("exact: dropout masks", 60, exactness.masks)
    add("step: peak", 60, peak)
    first, *others = bench.scale.batches
    add_steps(first)
    add("step: parts", 240, parts)
    add("step: kernels", 120, kernels)
    for name, recipe in RECIPES.items():
        add(f"exact: updates, {name}", 240, exactness.compare, recipe, exactness.moved, OF_UPDATES)
    add("exact: resuming", 300, exactness.resuming)
    add("exact: DALI's pixels", 180, exactness.pixels)
    for encoding in ("raw", "jpeg"):
        add(f"loop: {encoding}, threads", 180, loop, encoding, Machine(loader="torch", progress="none"))
    place = Machine(loader="torch", compile=True, progress="none")
    add("loop: raw, without CUDA graphs", 180, loop, "raw", place)
    for threads in bench.scale.threads:
        add(f"loading: {threads} threads", 180, loading, Machine(loader="torch", workers=threads))
    dali = {
        f"DALI, {threads} threads, hardware load {load:g}": Machine(
            loader="dali", workers=threads, hardware_decoder_load=load, progress="none"
        )
        for threads, load in bench.scale.loads
    }
    for name, place in dali.items():
        add(f"loading: {name}", 180, loading, place)
    for name, place in dali.items():
        add(f"loop: jpeg, {name}", 180, loop, "jpeg", place)
    place = Machine(loader="dali", compile=True, progress="none")
    add("loop: jpeg, DALI, without CUDA graphs", 180, loop, "jpeg", place)
    for backend in ("gloo", "nccl"):
        add(f"two processes: {backend}", 180, two_processes, backend)
    layout, narrow = "data.layout=auto", f"model.width={0.5 * bench.scale.width}"
    folder_yaml = [str(PROFILE.with_name("folder.yaml")), narrow, layout]
    tiny_yaml = recipe_of(bench, PROFILE.with_name("tiny-imagenet.yaml"), layout)
    add("training: photographs", 400, whole_training, "photographs", bench.photographs, 300, folder_yaml)
    add("training: Tiny ImageNet", 560, whole_training, "tiny-imagenet", bench.tiny_imagenet, 450, tiny_yaml)
    add("training: Tiny ImageNet, torchvision's recipe", 560, torchvisions_training, 450, tiny_yaml)
    for batch in others:
        add_steps(batch)
    add("reckoned: ImageNet", 30, reckon)
    return steps


def reckon(bench: Bench) -> Figures:
    """Reckon the full recipe from the loops, and set the best steps beside torchvision's and the peak."""
    entries, planned = read_results(bench.results)["steps"], [step.name for step in plan(bench)]
    found = {name: entries[name].get("figures", {}) for name in planned if name in entries}
    rates = {name: figures["pictures/s"] for name, figures in found.items() if "pictures/s" in figures}
    epochs, figures = read(PROFILE, Train).epochs, {}
    for name in rates:
        if name.startswith("loop: "):
            seconds = TRAIN / rates[name] + VAL / found[name]["validation, pictures/s"]
            figures[f"hours, {name.removeprefix('loop: ')}"] = epochs * seconds / 3600
    if not figures:
        raise NoFiguresError("no loop was measured")
    if bench.price is not None:
        figures |= {"least cost": bench.price * min(figures.values()), "price of an hour": bench.price}
    figures |= {"epochs": epochs, "training pictures": TRAIN, "validation pictures": VAL}

    def best(precision: str, batch: int, whose: str) -> float:
        wanted = f"step: {precision}, {batch}, {whose}, "
        return max((rate for name, rate in rates.items() if name.startswith(wanted)), default=math.nan)

    measured = found.get("step: peak", {})
    for precision in bench.scale.precisions:
        fastest = math.nan
        for batch in bench.scale.batches:
            ours, theirs = best(precision, batch, "ours"), best(precision, batch, "torchvision's")
            figures[f"{precision}, {batch}, step / torchvision's"] = ours / theirs
            # Of a number and what is not one, the number.
            fastest = float(np.fmax(fastest, ours))
        flops = fastest * measured.get("GFLOP of a picture", math.nan) / 1000
        figures[f"{precision}, step / peak"] = flops / measured.get(f"{precision}, TFLOP/s", math.nan)
    return {name: each for name, each in figures.items() if not math.isnan(each)}

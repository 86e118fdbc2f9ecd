"""Whole trainings on real pictures."""

import json
import shutil
import statistics
import time
from functools import partial
from pathlib import Path

import torch

from alexnet.core.machine import Machine
from alexnet.core.params import read
from alexnet.evaluation.evaluate import evaluate_network
from alexnet.evaluation.params import Evaluate
from alexnet.feed.params import Augment
from alexnet.ingest.params import Data
from alexnet.ingest.selection import index_pictures
from alexnet.model.params import Model
from alexnet.model.weights import save_network
from alexnet.parallel.device import choose_device
from alexnet.parallel.mesh import Mesh
from alexnet.store.index import read_classes
from alexnet.training.params import Train
from alexnet.training.train import fingerprint_of_training
from benchmarks.gpu.bench import Bench, store_of, stored, trainer_on
from benchmarks.gpu.steps import Figures, NoFiguresError
from benchmarks.torchvision_recipe import Asked, Training


def whole_training(
    bench: Bench, name: str, pictures: Path | None, seconds: float, sources: list[str]
) -> Figures:
    """Prepare, train for at most so many `seconds` in this call, and evaluate, by the given parameters."""
    if pictures is None:
        raise NoFiguresError(f"no pictures: name their folder with --{name}")
    epochs = [] if bench.epochs is None else [f"train.epochs={bench.epochs}"]
    sources = [*sources, *epochs]
    place = Machine(data_root=str(pictures), workers=bench.scale.workers)
    evaluate = read(sources, Evaluate)
    index = partial(index_pictures, read(sources, Data), evaluate.split, place)
    folder = stored(store_of(bench, pictures, sources), place, sources, index)
    recipe = read(sources, Model), read(sources, Augment), read(sources, Train)
    state = folder / fingerprint_of_training(*recipe, folder / "records", folder / "statistics.npz")
    device, late = choose_device(place), time.monotonic() + seconds
    torch.compiler.reset()

    def is_late() -> bool:
        return time.monotonic() > late

    trainer = trainer_on(folder, device, sources, place, state, stop_asked=is_late)
    try:
        history = trainer.run()
    except KeyboardInterrupt:
        raise NoFiguresError(f"stopped in epoch {trainer.epoch} after {seconds:g} s; to be resumed") from None
    classes, weights = read_classes(folder / "index"), folder / "weights.safetensors"
    trainer.network.cpu().set_memory_format(torch.contiguous_format)
    save_network(weights, trainer.network, list(zip(classes["wnid"], classes["words"], strict=True)))
    files = {name: folder / name for name in ("index", "records", "predictions")}
    files |= {"skipped": folder / "skipped.csv", "metrics": folder / "metrics.json", "weights": weights}
    evaluate_network(Mesh(), device, settings=evaluate, machine=place, **files)
    rates = json.loads(files["metrics"].read_text())
    # Whoever asks for it again is to get another training.
    shutil.rmtree(state)
    spent = sum(row.seconds for row in history)
    speed = statistics.median(row.pictures_per_second for row in history)
    return _told(rates, len(history), spent, speed)


def torchvisions_training(bench: Bench, seconds: float, sources: list[str]) -> Figures:
    """Train torchvision's network by its recipe, likewise, on the records of the training before."""
    store = store_of(bench, bench.tiny_imagenet, sources) if bench.tiny_imagenet else None
    if store is None or not (store / "records").exists():
        raise NoFiguresError("no records: the training by our recipe makes them")
    place, train = Machine(workers=bench.scale.workers), read(sources, Train)
    classes, epochs = len(read_classes(store / "index")), bench.epochs or train.epochs
    torch.compiler.reset()
    asked = Asked(classes, train.seed, epochs, bench.scale.width, train.precision)
    training = Training(place, choose_device(place), store / "records", asked)
    late = time.monotonic() + seconds
    rows = training.run(lambda: time.monotonic() > late, lambda rows: None)
    if len(rows) < epochs:
        raise NoFiguresError(f"stopped in epoch {len(rows) + 1} after {seconds:g} s; to be resumed")
    rates = training.rates()
    shutil.rmtree(training.states.folder)
    speed = statistics.median(row["pictures_per_second"] for row in rows)
    return _told(rates, epochs, sum(row["seconds"] for row in rows), speed)


def _told(rates: dict[str, float], epochs: int, seconds: float, speed: float) -> Figures:
    errors = {"top-1 error": rates["top1_error"], "top-5 error": rates["top5_error"]}
    return {**errors, "epochs": epochs, "training, s": seconds, "pictures/s": speed}

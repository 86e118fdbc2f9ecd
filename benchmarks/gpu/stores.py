"""Pictures that the measurements train on, and the trainer on them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from alexnet.core.files import fingerprint
from alexnet.core.machine import Machine
from alexnet.core.params import Section, read
from alexnet.evaluation.params import Evaluate
from alexnet.feed.loader import chosen_loader
from alexnet.feed.params import Augment
from alexnet.ingest.params import Data, Preprocess
from alexnet.ingest.prepare import prepare_index
from alexnet.model.params import Model
from alexnet.parallel.device import Mode, prepared
from alexnet.parallel.mesh import Mesh
from alexnet.store.index import read_classes, write_index
from alexnet.store.records import open_records
from alexnet.store.statistics import measure_records, read_statistics
from alexnet.training.checkpoints import Checkpoints
from alexnet.training.measures import loss_and_errors
from alexnet.training.params import Train
from alexnet.training.train import first_network
from alexnet.training.trainer import Trainer
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.steps import NoFiguresError
from benchmarks.preprocess import drawn
from benchmarks.scale import CLASSES, repeated, write_one_file
from benchmarks.train_step import (
    PROFILE,
)


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


def store_of(bench: Bench, pictures: Path, sources: list[str]) -> Path:
    """Return the folder of the store that `sources` make of `pictures`."""
    sections: tuple[type[Section], ...] = (Data, Preprocess, Evaluate)
    settings = [read(sources, section).model_dump() for section in sections]
    return bench.work / f"{pictures.name}-{fingerprint(pictures=str(pictures), settings=settings)}"


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


def recipe_of(bench: Bench, recipe: Path, *changes: str) -> list[str]:
    width = f"model.width={bench.scale.width}"
    return [str(recipe), width, "model.initial_weights_follow_width=true", *changes]


def trainer_on(
    store: Path,
    device: torch.device,
    sources: list[str],
    machine: Machine,
    state: Path,
    dtype: torch.dtype = torch.float32,
    **changes: Any,
) -> Trainer:
    """Return the train stage's trainer on what `stored` has made, with some `changes`."""
    model, train, measured = (
        read(sources, Model),
        read(sources, Train),
        read_statistics(store / "statistics.npz"),
    )
    network = first_network(model, train, machine, read_classes(store / "index"), measured, Mesh(), device)
    return Trainer(
        network=network.to(dtype),
        training=open_records(store / "records", "train"),
        validation=open_records(store / "records", "val"),
        statistics=measured,
        train=train,
        augment=read(sources, Augment),
        machine=machine,
        checkpoints=Checkpoints(state),
        **changes,
    )


def compile_trainer(trainer: Trainer, mode: Mode, backend: str) -> None:
    """Have `trainer` run its steps in another mode than its machine says, or with another backend."""
    trainer.loss_and_errors = prepared(loss_and_errors, mode, backend)
    if mode != "eager":
        trainer.optimiser.compile(backend)


def refuse_without_dali() -> None:
    if chosen_loader("auto", "jpeg") != "dali":
        raise NoFiguresError("DALI is not installed")

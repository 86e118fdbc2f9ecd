"""How large the measurements are, what each is given, and the pictures and trainer that they share."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch

from alexnet.core.files import fingerprint
from alexnet.core.machine import Machine
from alexnet.core.params import read
from alexnet.evaluation.params import Evaluate
from alexnet.feed.loader import chosen_loader
from alexnet.feed.params import Augment
from alexnet.ingest.params import Data, Preprocess
from alexnet.ingest.prepare import prepare_index
from alexnet.model.params import Model
from alexnet.parallel.mesh import Mesh
from alexnet.parallel.replica import open_replica_loader
from alexnet.store.index import read_classes, write_index
from alexnet.store.records import open_records
from alexnet.store.statistics import measure_records, read_statistics
from alexnet.training.checkpoints import Checkpoints
from alexnet.training.params import Train
from alexnet.training.train import first_network
from alexnet.training.trainer import Trainer
from benchmarks.gpu.steps import NoFiguresError
from benchmarks.preprocess import drawn
from benchmarks.scale import CLASSES, repeated, write_one_file
from benchmarks.train_step import PROFILE

RECIPES = {name: PROFILE.with_name(f"imagenet-2012-{name}.yaml") for name in ("paper", "source")}
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Scale:
    """How large everything is: as for a GPU, unless told otherwise.

    Attributes:
        batches: of the training steps, most telling first.
        steps: that a time is the mean of.
        few: pictures of a batch where the CPU computes too, in `updates` updates.
        records: pictures in the store that the loop reads in batches of `batch`; the training pictures, nine
            of ten, are a multiple of 128, since of a smaller last batch ImageNet has one in 10,009.
        side: of the matrices that are multiplied.
        threads: of the loader of the CPU, which is timed by itself.
        loads: DALI's threads, and the share of the pictures that it gives to the JPEG engine.
        workers: that prepare pictures.
        backend: of `torch.compile`.
    """

    width: float = 1.0
    batches: tuple[int, ...] = (512, 1024, 128, 256)
    precisions: tuple[str, ...] = ("bfloat16", "tf32", "float32")
    steps: int = 20
    few: int = 16
    updates: int = 20
    records: int = 38_400
    batch: int = 128
    side: int = 8192
    threads: tuple[int, ...] = (16, 4, 1)
    loads: tuple[tuple[int, float], ...] = ((4, 1.0), (16, 1.0), (2, 1.0), (4, 0.85), (8, 0.85), (16, 0.65))
    workers: int | Literal["auto"] = "auto"
    backend: str = "inductor"


# Compiling to machine code takes a CPU longer than all else together; up to there the code is the same.
TOY = Scale(0.03, (2,), ("bfloat16",), 1, 2, 3, 27, 8, 64, (1,), ((1, 1.0),), 1, "aot_eager")


@dataclass(frozen=True)
class Bench:
    """What every step is given.

    Attributes:
        work: a folder for stores and the states of trainings.
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

    @property
    def trials(self) -> Path:
        """A folder for the states of trainings that are not resumed in another run."""
        return self.work / "trials"


def stored(folder: Path, place: Machine, sources: list[str], write: Callable[[Path], None]) -> Path:
    """Prepare the pictures of the index that `write` writes, as the stages do; return `folder`."""
    if not (folder / "statistics.npz").exists():
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / "index")
        made = {"index": folder / "index", "records": folder / "records", "skipped": folder / "skipped.csv"}
        prepare_index(read(sources, Preprocess), place, counts=folder / "data.json", **made)
        summary, out = folder / "rgb_pca.json", folder / "statistics.npz"
        measure_records(records=made["records"], out=out, summary=summary)
    return folder


def store_of(bench: Bench, pictures: Path, sources: list[str]) -> Path:
    """Return the folder of the store that `sources` make of `pictures`."""
    settings = [read(sources, section).model_dump() for section in (Data, Preprocess, Evaluate)]
    return bench.work / f"{pictures.name}-{fingerprint(pictures=str(pictures), settings=settings)}"


def generated(bench: Bench, encoding: str) -> Path:
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
    model, train = read(sources, Model), read(sources, Train)
    classes, measured = read_classes(store / "index"), read_statistics(store / "statistics.npz")
    network = first_network(model, train, machine, classes, measured, Mesh(), device)
    training, validation = (open_records(store / "records", split) for split in ("train", "val"))
    return Trainer(
        network=network.to(dtype),
        training=training,
        validation=validation,
        training_loader=open_replica_loader(machine, training, train.batch_size, device, Mesh()),
        validation_loader=open_replica_loader(machine, validation, train.batch_size, device, Mesh()),
        statistics=measured,
        train=train,
        augment=read(sources, Augment),
        machine=machine,
        checkpoints=Checkpoints(state),
        **changes,
    )


def refuse_without_dali() -> None:
    if chosen_loader("auto", "jpeg") != "dali":
        raise NoFiguresError("DALI is not installed")

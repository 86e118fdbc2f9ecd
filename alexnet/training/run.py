"""From a store of records to trained weights on disk: what the train stage does."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import alexnet
from alexnet.data import index, statistics
from alexnet.data.loader import open_loader
from alexnet.data.records import open_records, store_fingerprint
from alexnet.device import choose_device, should_compile
from alexnet.files import STATE, fingerprint, sha256_of, sole_writer, write_json
from alexnet.model import weights
from alexnet.model.initial import initialise
from alexnet.model.network import AlexNet
from alexnet.params.augment import Augment
from alexnet.params.machine import Machine
from alexnet.params.model import Model
from alexnet.params.train import Train
from alexnet.processes import stop_requests
from alexnet.training.checkpoints import Checkpoints
from alexnet.training.logbook import Logbook, git_commit, versions
from alexnet.training.loop import EpochRow, Setting, Trainer

# Code whose change may change the numbers; state written by other code is not gone on from.
NUMERIC_CODE = ("model", "training", "data/order.py", "data/colour.py", "data/loader.py", "data/dali.py")


@dataclass(frozen=True)
class Paths:
    """Where the train stage reads and writes."""

    index: Path
    records: Path
    statistics: Path
    weights: Path
    logs: Path


def train_and_record(
    model: Model, augment: Augment, train: Train, machine: Machine, paths: Paths, state: Path = STATE
) -> None:
    """Train and write weights, ``history.csv``, curves and ``run.json``.

    Raises:
        UserError: an input is missing, the loss is no number, or another process trains the same.
        KeyboardInterrupt: stopped from outside; the next call goes on.
    """
    measured = statistics.read(paths.statistics)
    training = open_records(paths.records, "train")
    validation = open_records(paths.records, "val")
    classes = index.read_classes(paths.index)
    device = choose_device(machine)

    network = AlexNet(model, len(classes))
    initialise(network, train.seed)
    network.input.mean_image.copy_(torch.from_numpy(measured.mean_image))
    network.to(device)

    folder = state / "train" / run_fingerprint(model, augment, train, paths)
    loader_of = lambda records: open_loader(  # noqa: E731
        machine.loader, records, train.batch_size, device, machine.worker_count
    )
    training_loader = loader_of(training)
    logbook = Logbook(paths.logs)
    with sole_writer(folder, machine.timeout_seconds), stop_requests() as stop_asked:
        history = Trainer(
            Setting(
                network=network,
                training=training_loader,
                validation=loader_of(validation),
                labels=training.labels,
                validation_pictures=len(validation),
                statistics=measured,
                train=train,
                augment=augment,
                checkpoints=Checkpoints(folder),
                compile=should_compile(machine, device),
                checkpoint_minutes=machine.checkpoint_minutes,
                progress=machine.progress,
                stop_asked=stop_asked,
                report_epoch=logbook.write,
            )
        ).run()
    names = list(zip(classes["wnid"], classes["words"], strict=True))
    weights.save(paths.weights, network, names)
    loader_name = type(training_loader).__name__.removesuffix("Loader").lower()
    write_json(paths.logs / "run.json", _about(network, train, device, loader_name, history))


def run_fingerprint(model: Model, augment: Augment, train: Train, paths: Paths) -> str:
    """Return what stands for all that changes the numbers, but for how many epochs are trained."""
    code = hashlib.sha256()
    for part in NUMERIC_CODE:
        path = Path(alexnet.__file__).parent / part
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            code.update(file.read_bytes())
    return fingerprint(
        model=model.model_dump(),
        augment=augment.model_dump(),
        train=train.model_dump(exclude={"epochs"}),
        records=store_fingerprint(paths.records),
        statistics=sha256_of(paths.statistics),
        code=code.hexdigest(),
    )


def _about(
    network: AlexNet, train: Train, device: torch.device, loader: str, history: list[EpochRow]
) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "recipe": _recipe(network.model),
        "seed": train.seed,
        "devices": f"1 × {name}",
        "loader": loader,
        "precision": "float32",
        "epochs": len(history),
        "batch_size": train.batch_size,
        "parameters": sum(layer.parameters for layer in network.layers),
        "columns": network.model.columns,
        "class_count": network.classes,
        "seconds": round(sum(row.seconds for row in history), 1),
        "versions": versions(),
        "git_commit": git_commit(),
    }


def _recipe(model: Model) -> str:
    parts = [
        f"{model.columns} column{'s' if model.columns > 1 else ''}",
        f"width {model.width:g}",
        model.activation,
        f"{model.initial_weights} initial weights",
    ]
    if model.input_divisor != 1:
        parts.append(f"inputs ÷ {model.input_divisor:g}")
    return ", ".join(parts)

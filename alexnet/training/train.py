"""From a store of records to trained weights on disk: what the train stage does."""

from __future__ import annotations

import signal
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from alexnet.core.code import sha256_of_code
from alexnet.core.files import STATE, fingerprint, sha256_of, sole_writer, write_json
from alexnet.core.machine import Machine
from alexnet.core.processes import stop_requests
from alexnet.feed.loader import chosen_loader
from alexnet.feed.params import Augment
from alexnet.model import weights
from alexnet.model.initial import initialise
from alexnet.model.network import AlexNet
from alexnet.model.params import Model
from alexnet.parallel.columns import keep_column, whole_of
from alexnet.parallel.device import memory_format, should_compile
from alexnet.parallel.mesh import Mesh
from alexnet.parallel.replica import open_replica_loader
from alexnet.store import index, statistics
from alexnet.store.records import open_records, store_fingerprint
from alexnet.training.checkpoints import Checkpoints
from alexnet.training.log import Logbook, git_commit, versions
from alexnet.training.measures import EpochRow
from alexnet.training.params import Train
from alexnet.training.precision import Precision
from alexnet.training.trainer import Setting, Trainer

# A file of this name in the state folder ends the training after the epoch under way.
FINISH = "finish"


@dataclass(frozen=True)
class Paths:
    """Where the train stage reads and writes."""

    index: Path
    records: Path
    statistics: Path
    weights: Path
    logs: Path


def train_network(
    mesh: Mesh,
    device: torch.device,
    model: Model,
    augment: Augment,
    train: Train,
    machine: Machine,
    paths: Paths,
    state: Path = STATE,
) -> None:
    """Train and write weights, ``history.csv``, curves and ``run.json``.

    Args:
        mesh: the processes that train together, each of which calls this.
        device: where this process computes.

    Raises:
        UserError: an input is missing, another process trains the same, or the processes of `mesh` were
            given different things; `DivergedError`: the loss is no number.
        KeyboardInterrupt: stopped from outside; the next call goes on.
    """
    measured = statistics.read_statistics(paths.statistics)
    training = open_records(paths.records, "train")
    validation = open_records(paths.records, "val")
    classes = index.read_classes(paths.index)
    run = run_fingerprint(model, augment, train, paths)
    mesh.refuse_differences(parameters_code_or_records=run, epochs=train.epochs, torch=torch.__version__)

    network = AlexNet(model, len(classes))
    initialise(network, train.seed)
    if train.initial_weights is not None:
        start = weights.start_from(Path(train.initial_weights), network, list(classes["wnid"]))
        if mesh.leads:
            print(f"train: {train.initial_weights}: {start}", flush=True)
    network.input.mean_image.copy_(torch.from_numpy(measured.mean_image))
    keep_column(network, mesh)
    network.to(device)
    network.lay_out(memory_format(machine))

    folder = state / "train" / run
    finish = state / FINISH
    loader = open_replica_loader(machine, training, train.batch_size, device, mesh)
    logbook = Logbook(paths.logs)
    alone = mesh.size == 1
    with (
        sole_writer(folder, machine.timeout_seconds) if mesh.leads else nullcontext(),
        # One of several processes is stopped by whoever started it.
        stop_requests(*(() if alone else (signal.SIGTERM,))) as stop_asked,
    ):
        if mesh.leads:
            finish.unlink(missing_ok=True)
        history = Trainer(
            Setting(
                network=network,
                training=loader,
                validation=open_replica_loader(machine, validation, train.batch_size, device, mesh),
                labels=training.labels,
                validation_pictures=len(validation),
                statistics=measured,
                train=train,
                augment=augment,
                checkpoints=Checkpoints(folder),
                compile=should_compile(machine, device),
                checkpoint_minutes=machine.checkpoint_minutes,
                progress=machine.progress,
                mesh=mesh,
                stop_asked=stop_asked,
                finish_asked=finish.exists,
                report_epoch=logbook.write,
            )
        ).run()
    tensors = whole_of(network.state_dict(), network, mesh) if mesh.replica == 0 else {}
    if not mesh.leads:
        return
    trained = AlexNet(model, len(classes))
    trained.load_state_dict(tensors)
    finish.unlink(missing_ok=True)
    names = list(zip(classes["wnid"], classes["words"], strict=True))
    weights.save_network(paths.weights, trained, names)
    loader_name = chosen_loader(machine.loader, training.encoding)
    about = _about(trained, train, device, mesh, loader_name, history)
    sections = {section.key: section.model_dump() for section in (augment, model, train)}
    write_json(paths.logs / "run.json", about | {"parameters": sections, "weights": sha256_of(paths.weights)})


def run_fingerprint(model: Model, augment: Augment, train: Train, paths: Paths) -> str:
    """Return what stands for all that changes the numbers, but for how many epochs are trained."""
    start = None if train.initial_weights is None else Path(train.initial_weights)
    return fingerprint(
        model=model.model_dump(),
        augment=augment.model_dump(),
        train=train.model_dump(exclude={"epochs"}),
        records=store_fingerprint(paths.records),
        statistics=sha256_of(paths.statistics),
        # DVC knows the file's name alone.
        start=sha256_of(start) if start is not None and start.exists() else None,
        code=sha256_of_code("train"),
    )


def _about(
    network: AlexNet,
    train: Train,
    device: torch.device,
    mesh: Mesh,
    loader: str,
    history: list[EpochRow],
) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "recipe": _recipe(network.model),
        "seed": train.seed,
        "devices": _layout(mesh, name),
        "loader": loader,
        "precision": Precision(train.precision, device).name,
        "epochs": len(history),
        "batch_size": train.batch_size,
        "parameter_count": sum(layer.parameters for layer in network.layers),
        "columns": network.model.columns,
        "class_count": network.classes,
        "seconds": round(sum(row.seconds for row in history), 1),
        "versions": versions(),
        "git_commit": git_commit(),
    }


def _layout(mesh: Mesh, device: str) -> str:
    if mesh.size == 1:
        return f"1 × {device}"
    columns = "2 columns × " if mesh.columns == 2 else ""
    return f"{mesh.size} × {device} ({columns}{mesh.replicas} replica{'s' if mesh.replicas > 1 else ''})"


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

"""From a store of records to trained weights on disk: what the train stage does."""

import signal
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from alexnet.core.code import sha256_of_code
from alexnet.core.files import fingerprint, sha256_of, sole_writer, write_checked_json, write_json
from alexnet.core.machine import Machine
from alexnet.core.places import STATE
from alexnet.core.processes import stop_requests
from alexnet.core.terminal import say
from alexnet.feed.loader import chosen_loader
from alexnet.feed.params import Augment
from alexnet.model.initial import initialise
from alexnet.model.network import AlexNet
from alexnet.model.params import Model
from alexnet.model.weights import save_network, start_from
from alexnet.parallel.columns import keep_column, whole_of
from alexnet.parallel.device import chosen_mode, memory_format
from alexnet.parallel.mesh import Mesh
from alexnet.parallel.replica import open_replica_loader
from alexnet.store.index import read_classes
from alexnet.store.records import Records, open_records, store_fingerprint
from alexnet.store.statistics import Statistics, read_statistics
from alexnet.store.verified import refuse_damaged_shards
from alexnet.training.checkpoints import Checkpoints
from alexnet.training.log import Logbook, git_commit, versions
from alexnet.training.measures import EpochRow
from alexnet.training.params import Train
from alexnet.training.precision import Precision
from alexnet.training.results import EPOCHS, HISTORY, Run
from alexnet.training.states import ENDED, TRAININGS, end_training
from alexnet.training.trainer import Setting, Trainer

# A file of this name in the state folder ends the training after the current epoch.
FINISH = "finish"


def train_network(
    mesh: Mesh,
    device: torch.device,
    *,
    model: Model,
    augment: Augment,
    train: Train,
    machine: Machine,
    index: Path,
    records: Path,
    statistics: Path,
    weights: Path,
    logs: Path,
    anew: bool = False,
) -> None:
    """Train on a store of records; write `weights`, and history, curves and ``run.json`` into `logs`.

    Args:
        mesh: the processes that train together, each of which calls this with its own `device`.
        index, records, statistics: what the earlier stages wrote.
        anew: whether to train again where a state says that all epochs were done.

    Raises:
        UserError: an input is missing, another process trains the same, or those of `mesh` differ in inputs.
        DivergedError: the loss is not finite.
        KeyboardInterrupt: stopped from outside; the next call resumes.
    """
    if mesh.leads:
        refuse_damaged_shards(records)
    measured = read_statistics(statistics)
    training, validation = open_records(records, "train"), open_records(records, "val")
    classes = read_classes(index)
    key = fingerprint_of_training(model, augment, train, records, statistics)
    mesh.refuse_differences(parameters_code_or_records=key, epochs=train.epochs, torch=torch.__version__)
    setting = setting_of(
        mesh,
        device,
        model=model,
        augment=augment,
        train=train,
        machine=machine,
        classes=classes,
        training=training,
        validation=validation,
        measured=measured,
        checkpoints=Checkpoints(TRAININGS / key),
    )
    book = Logbook(logs, events=setting.checkpoints.folder / "tensorboard")
    setting = replace(setting, report_epoch=book.write)
    network = setting.network
    history = _run(setting, STATE / FINISH, machine.timeout_seconds, anew)
    tensors = whole_of(network.state_dict(), network, mesh) if mesh.replica == 0 else {}
    if not mesh.leads:
        return
    (trained := AlexNet(model, len(classes))).load_state_dict(tensors)
    save_network(weights, trained, list(zip(classes["wnid"], classes["words"], strict=True)))
    loader = chosen_loader(machine.loader, training.encoding)
    _conclude(setting, logs, _described(trained, setting, device, loader, history, weights, logs))


def _conclude(setting: Setting, logs: Path, run: Run) -> None:
    write_checked_json(logs / "run.json", run.model_dump())
    write_json(logs / EPOCHS, {"epochs_asked": run.epochs_asked, "epochs_done": run.epochs})
    end_training(setting.checkpoints.folder)


def setting_of(
    mesh: Mesh,
    device: torch.device,
    *,
    model: Model,
    augment: Augment,
    train: Train,
    machine: Machine,
    classes: pd.DataFrame,
    training: Records,
    validation: Records,
    measured: Statistics,
    checkpoints: Checkpoints,
) -> Setting:
    """Return what a training on open records works with, its network on `device` with its first weights."""
    network = _first_network(model, train, classes, measured, mesh)
    # Gradients are summed as they lie in memory.
    mesh.refuse_differences(memory_format=str(memory_format(machine)))
    network.to(device).set_memory_format(memory_format(machine))
    return Setting(
        network=network,
        training=open_replica_loader(machine, training, train.batch_size, device, mesh),
        validation=open_replica_loader(machine, validation, train.batch_size, device, mesh),
        labels=training.labels,
        validation_pictures=len(validation),
        statistics=measured,
        train=train,
        augment=augment,
        checkpoints=checkpoints,
        # CUDA graphs have not been tried with several processes.
        mode=chosen_mode(machine, device, recording=mesh.size == 1),
        checkpoint_minutes=machine.checkpoint_minutes,
        progress=machine.progress,
        mesh=mesh,
    )


def _first_network(
    model: Model, train: Train, classes: pd.DataFrame, measured: Statistics, mesh: Mesh
) -> AlexNet:
    """Return this process's part of the network to begin with: its weights are drawn, or those of a file."""
    network = AlexNet(model, len(classes))
    initialise(network, train.seed)
    if train.initial_weights is not None:
        start = start_from(Path(train.initial_weights), network, list(classes["wnid"]))
        if mesh.leads:
            say(f"train: {train.initial_weights}: {start}")
    network.input.mean_image.copy_(torch.from_numpy(measured.mean_image))
    keep_column(network, mesh)
    return network


def _run(setting: Setting, finish: Path, timeout_seconds: float, anew: bool) -> list[EpochRow]:
    """Train as the only writer of its states, until the end or as signals and the file `finish` say."""
    mesh, folder = setting.mesh, setting.checkpoints.folder
    with (
        sole_writer(folder, timeout_seconds) if mesh.leads else nullcontext(),
        # One of several processes is stopped by the process that started it.
        stop_requests(*(() if mesh.size == 1 else (signal.SIGTERM,))) as stop_asked,
    ):
        if mesh.leads:
            finish.unlink(missing_ok=True)
            (folder / ENDED).unlink(missing_ok=True)
            if anew:
                setting.checkpoints.forget_ended(setting.train.epochs)
        history = Trainer(replace(setting, stop_asked=stop_asked, finish_asked=finish.exists)).run()
        if mesh.leads:
            finish.unlink(missing_ok=True)
        return history


def fingerprint_of_training(
    model: Model, augment: Augment, train: Train, records: Path, statistics: Path
) -> str:
    """Return what stands for all that changes the numbers of a training, except the number of epochs."""
    start = None if train.initial_weights is None else Path(train.initial_weights)
    return fingerprint(
        model=model.model_dump(),
        augment=augment.model_dump(),
        train=train.model_dump(exclude={"epochs"}),
        records=store_fingerprint(records),
        statistics=sha256_of(statistics),
        # DVC knows only the name of this file.
        start=sha256_of(start) if start is not None and start.is_file() else None,
        code=sha256_of_code("train"),
    )


def _described(
    network: AlexNet,
    setting: Setting,
    device: torch.device,
    loader: str,
    history: list[EpochRow],
    weights: Path,
    logs: Path,
) -> Run:
    model, train, mesh = network.model, setting.train, setting.mesh
    sections = (setting.augment, model, train)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return Run(
        recipe=_recipe(model),
        seed=train.seed,
        devices=_layout(mesh, name),
        loader=loader,
        precision=Precision(train.precision, device).name,
        epochs=len(history),
        epochs_asked=train.epochs,
        batch_size=train.batch_size,
        parameter_count=sum(layer.parameters for layer in network.layers),
        columns=model.columns,
        class_count=network.classes,
        seconds=round(sum(row.seconds for row in history), 1),
        versions=versions(),
        git_commit=git_commit(),
        weights=sha256_of(weights),
        history=sha256_of(logs / HISTORY),
        parameters={section.key: section.model_dump() for section in sections},
    )


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

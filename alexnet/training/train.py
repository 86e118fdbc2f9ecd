"""From a store of records to trained weights on disk: what the train stage does."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
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
from alexnet.parallel.device import memory_format
from alexnet.parallel.mesh import Mesh
from alexnet.parallel.replica import open_replica_loader
from alexnet.store.index import read_classes
from alexnet.store.records import open_records, store_fingerprint
from alexnet.store.statistics import Statistics, read_statistics
from alexnet.store.verified import refuse_damaged_shards
from alexnet.training.checkpoints import Checkpoints
from alexnet.training.log import Logbook, git_commit, versions
from alexnet.training.params import Train
from alexnet.training.results import EPOCHS, HISTORY, Run
from alexnet.training.states import TRAININGS, begin_training, end_training
from alexnet.training.trainer import Trainer

# A file of this name ends the training after the current epoch.
FINISH = STATE / "finish"


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
        anew: whether to train again where a state says that all epochs were done.

    Raises:
        UserError: an input is missing, another process trains the same, or those of `mesh` differ in inputs.
        DivergedError: the loss is not finite.
        KeyboardInterrupt: stopped from outside; the next call resumes.
    """
    if mesh.leads:
        refuse_damaged_shards(records)
    measured, classes = read_statistics(statistics), read_classes(index)
    training, validation = open_records(records, "train"), open_records(records, "val")
    key = fingerprint_of_training(model, augment, train, records, statistics)
    mesh.refuse_differences(parameters_code_or_records=key, epochs=train.epochs, torch=torch.__version__)
    network = first_network(model, train, machine, classes, measured, mesh, device)
    # Before any state is touched: what a loader refuses must not cost a finished training.
    training_loader = open_replica_loader(machine, training, train.batch_size, device, mesh)
    validation_loader = open_replica_loader(machine, validation, train.batch_size, device, mesh)
    checkpoints = Checkpoints(TRAININGS / key)
    with _sole_writer(mesh, checkpoints.folder, machine.timeout_seconds) as stop_asked:
        if mesh.leads:
            begin_training(checkpoints.folder, train.epochs)
        if anew and mesh.leads:
            checkpoints.forget_ended(train.epochs)
        trainer = Trainer(
            network=network,
            training=training,
            validation=validation,
            training_loader=training_loader,
            validation_loader=validation_loader,
            statistics=measured,
            train=train,
            augment=augment,
            machine=machine,
            checkpoints=checkpoints,
            mesh=mesh,
            stop_asked=stop_asked,
            finish_asked=FINISH.exists,
            report_epoch=Logbook(logs, events=checkpoints.folder / "tensorboard").write,
        )
        trainer.run()
    _conclude(trainer, classes, weights, logs)


@contextmanager
def _sole_writer(mesh: Mesh, folder: Path, timeout_seconds: float) -> Iterator[Callable[[], bool]]:
    """Be the only writer of the states in `folder`; yield what says whether signals ask for a stop."""
    # The other processes wait for the leader, and would call it lost after all of that time.
    longest = timeout_seconds if mesh.size == 1 else timeout_seconds / 2
    with (
        sole_writer(folder, longest) if mesh.leads else nullcontext(),
        # One of several processes is stopped by the process that started it.
        stop_requests(*(() if mesh.size == 1 else (signal.SIGTERM,))) as stop_asked,
    ):
        if mesh.leads:
            FINISH.unlink(missing_ok=True)
        yield stop_asked
        if mesh.leads:
            FINISH.unlink(missing_ok=True)


def _conclude(trainer: Trainer, classes: pd.DataFrame, weights: Path, logs: Path) -> None:
    """Write what the training leaves, for which both columns put the weights together."""
    network, mesh = trainer.network, trainer.mesh
    tensors = whole_of(network.state_dict(), network, mesh) if mesh.replica == 0 else {}
    if not mesh.leads:
        return
    (trained := AlexNet(network.model, len(classes))).load_state_dict(tensors)
    save_network(weights, trained, list(zip(classes["wnid"], classes["words"], strict=True)))
    run = _described(trainer, weights, logs)
    write_checked_json(logs / "run.json", run.model_dump())
    write_json(logs / EPOCHS, {"epochs_asked": run.epochs_asked, "epochs_done": run.epochs})
    end_training(trainer.checkpoints.folder, trainer.train.epochs)


def _described(trainer: Trainer, weights: Path, logs: Path) -> Run:
    train, network, history = trainer.train, trainer.network, trainer.history
    sections = trainer.augment, network.model, train
    return Run(
        recipe=_recipe(network.model),
        seed=train.seed,
        devices=_layout(trainer.mesh, trainer.device),
        loader=chosen_loader(trainer.machine.loader, trainer.training.encoding),
        precision=trainer.precision.name,
        epochs=len(history),
        epochs_asked=train.epochs,
        batch_size=train.batch_size,
        parameter_count=sum(layer.parameters for layer in network.layers),
        columns=network.model.columns,
        class_count=network.classes,
        seconds=round(sum(row.seconds for row in history), 1),
        versions=versions(),
        git_commit=git_commit(),
        weights=sha256_of(weights),
        history=sha256_of(logs / HISTORY),
        parameters={section.key: section.model_dump() for section in sections},
    )


def first_network(
    model: Model,
    train: Train,
    machine: Machine,
    classes: pd.DataFrame,
    measured: Statistics,
    mesh: Mesh,
    device: torch.device,
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
    # Gradients are summed as they lie in memory.
    order = memory_format(machine)
    mesh.refuse_differences(memory_format=str(order))
    network.to(device).set_memory_format(order)
    return network


def fingerprint_of_training(
    model: Model, augment: Augment, train: Train, records: Path, statistics: Path
) -> str:
    """Return what stands for all that changes the numbers of a training, except the number of epochs."""
    start = Path(train.initial_weights or "")
    return fingerprint(
        model=model.model_dump(),
        augment=augment.model_dump(),
        train=train.model_dump(exclude={"epochs"}),
        records=store_fingerprint(records),
        statistics=sha256_of(statistics),
        # DVC knows only the name of this file.
        start=sha256_of(start) if start.is_file() else None,
        code=sha256_of_code("train"),
    )


def _layout(mesh: Mesh, device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    if mesh.size == 1:
        return f"1 × {name}"
    columns = "2 columns × " if mesh.columns == 2 else ""
    return f"{mesh.size} × {name} ({columns}{mesh.replicas} replica{'s' if mesh.replicas > 1 else ''})"


def _recipe(model: Model) -> str:
    columns = f"{model.columns} column{'s' if model.columns > 1 else ''}"
    divided = "" if model.input_divisor == 1 else f", inputs ÷ {model.input_divisor:g}"
    weights = f"{model.initial_weights} initial weights"
    return f"{columns}, width {model.width:g}, {model.activation}, {weights}{divided}"

"""The same numbers on one process, on two with a column each, and on two pairs: real processes.

Every world trains the same cases and leaves its results as files; the tests compare them.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor

from alexnet.core.machine import Machine
from alexnet.core.params import read
from alexnet.feed.params import Augment
from alexnet.model.initial import initialise
from alexnet.model.network import AlexNet
from alexnet.model.params import Model
from alexnet.parallel.columns import exchanges, keep_column, part_of, whole_of
from alexnet.parallel.launch import on_devices
from alexnet.parallel.mesh import Mesh
from alexnet.parallel.replica import open_replica_loader
from alexnet.store.records import Record, open_records, write_shard, write_tables
from alexnet.store.statistics import Statistics
from alexnet.training.checkpoints import Checkpoints
from alexnet.training.params import Train
from alexnet.training.trainer import Setting, Trainer

ROOT = Path(__file__).parents[2]
# Batches of 5, 5 and 1: with two pairs one of them has no picture of the last.
PICTURES, VALIDATION, BATCH, UPDATES = 11, 7, 5, 3
# An odd number, so that the columns' parts of fc8 differ.
CLASSES = 7


@dataclass(frozen=True)
class Case:
    """One training, told by its difference from a profile."""

    profile: str
    model: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    dtype: torch.dtype = torch.float64
    classes: int = CLASSES


HE: dict[str, Any] = {"initial_weights": "he", "initial_biases": "zero", "input_divisor": 60.0}
CASES = {
    "paper": Case("imagenet-2012-paper", HE),
    "source": Case("imagenet-2012-source", HE),
    "conv6": Case("imagenet-2012-paper", {**HE, "conv6": True}),
    "one column": Case("imagenet-2012-paper", {**HE, "columns": 1}),
    # 20 updates and more.
    "float32": Case("imagenet-2012-paper", HE, {"epochs": 7}, torch.float32, 2),
}


def store_in(folder: Path) -> None:
    """Write records of two classes, reddish and bluish noise."""
    draw, tables = np.random.default_rng(1), []
    for split, pictures in (("train", PICTURES), ("val", VALIDATION)):
        records = []
        for key in range(pictures):
            coarse = draw.integers(0, 120, (16, 16, 3))
            coarse[..., 0 if key % 2 == 0 else 2] += 120
            buffer = io.BytesIO()
            Image.fromarray(coarse.astype(np.uint8)).resize((256, 256)).save(buffer, "JPEG")
            records.append(Record(key % 2, f"{split}-{key}", buffer.getvalue()))
        tables.append(write_shard(folder, split, 0, records))
    write_tables(folder, pd.concat(tables))


STATISTICS = Statistics(
    images=PICTURES,
    mean_image=np.full((3, 256, 256), 90, np.float32),
    channel_means=np.full(3, 90.0),
    covariance=np.diag([3000.0, 2000.0, 1000.0]),
    eigenvalues=np.array([3000.0, 2000.0, 1000.0]),
    eigenvectors=np.eye(3),
)


def trainer_of(
    case: Case,
    mesh: Mesh,
    device: torch.device,
    folder: Path,
    state: str,
    stop_asked: Callable[[], bool] = lambda: False,
) -> Trainer:
    """Return a trainer of `case` whose state lies in `folder` / `state`."""
    profile = ROOT / f"profiles/{case.profile}.yaml"
    model = {**read(profile, Model).model_dump(), "width": 0.05, **case.model}
    rates = {"learning_rate": 0.01, "bias_learning_rate": 0.01}
    train = {**read(profile, Train).model_dump(), "epochs": 2, "batch_size": BATCH, **rates, **case.train}
    settings = Train.model_validate(train)
    network = AlexNet(Model.model_validate(model), case.classes)
    initialise(network, settings.seed)
    network.input.mean_image.copy_(torch.from_numpy(STATISTICS.mean_image))
    keep_column(network, mesh)
    network.to(device, case.dtype)
    training, validation = open_records(folder, "train"), open_records(folder, "val")
    place = Machine(loader="torch", workers=1)
    return Trainer(
        Setting(
            network=network,
            training=open_replica_loader(place, training, BATCH, device, mesh),
            validation=open_replica_loader(place, validation, BATCH, device, mesh),
            labels=training.labels,
            validation_pictures=len(validation),
            statistics=STATISTICS,
            train=settings,
            augment=read(profile, Augment),
            checkpoints=Checkpoints(folder / state),
            progress="none",
            mesh=mesh,
            stop_asked=stop_asked,
        )
    )


def parameters_of(trainer: Trainer, value: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """Return `value` of every parameter, put together from both columns."""
    parts = {name: value(parameter).clone() for name, parameter in trainer.network.named_parameters()}
    return whole_of(parts, trainer.network, trainer.mesh)


def train_cases(mesh: Mesh, device: torch.device, folder: Path, names: list[str]) -> None:
    """Train the named cases; the leader writes what came out."""
    for name in names:
        trainer = trainer_of(CASES[name], mesh, device, folder, f"{mesh.size} {name}")
        begun = trainer_of(CASES[name], mesh, device, folder, f"{mesh.size} {name} begun", lambda: True)
        with pytest.raises(KeyboardInterrupt):
            begun.run()
        found = {
            "start": parameters_of(trainer, lambda parameter: parameter.detach()),
            "gradients": parameters_of(begun, gradient_of),
            "history": [asdict(row) for row in trainer.run()],
            "weights": parameters_of(trainer, lambda parameter: parameter.detach()),
        }
        if mesh.leads:
            torch.save(found, folder / f"{mesh.size} {name}.pt")


def gradient_of(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def train_some(mesh: Mesh, device: torch.device, folder: Path) -> None:
    """Go on with the training in `folder` for two updates."""
    updates = count(1)
    relay = trainer_of(CASES["paper"], mesh, device, folder, "relay", lambda: next(updates) == 2)
    with pytest.raises(KeyboardInterrupt):
        relay.run()


TWO_COLUMNS = ["paper", "source", "conv6", "float32"]


def world_of(devices: int) -> Machine:
    return Machine(devices=devices, workers=1, timeout_seconds=120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one, two and four processes left what they trained."""
    folder = tmp_path_factory.mktemp("worlds")
    store_in(folder)
    for devices in (1, 2, 4):
        on_devices(partial(train_cases, folder=folder, names=TWO_COLUMNS), world_of(devices), 2)
    for devices in (1, 3):
        on_devices(partial(train_cases, folder=folder, names=["one column"]), world_of(devices), 1)
    return folder


SHARED = pytest.mark.parametrize(
    ("devices", "name"),
    [*((devices, name) for devices in (2, 4) for name in TWO_COLUMNS[:3]), (3, "one column")],
)


@SHARED
def test_float64_agrees_to_1e_10(folder: Path, devices: int, name: str) -> None:
    alone, together = torch.load(folder / f"1 {name}.pt"), torch.load(folder / f"{devices} {name}.pt")
    for what in ("start", "gradients", "weights"):
        assert alone[what].keys() == together[what].keys()
        for parameter, value in alone[what].items():
            difference = (together[what][parameter] - value).abs().max()
            assert difference <= 1e-10 * value.abs().max(), (what, parameter)
    # Gradients of nothing would agree as well.
    assert all(value.abs().max() > 0 for value in alone["gradients"].values())
    for row, other in zip(alone["history"], together["history"], strict=True):
        for figure in ("train_loss", "val_loss"):
            assert other[figure] == pytest.approx(row[figure], rel=1e-10)
        for figure in ("pictures", "train_error", "val_top1_error", "val_top5_error"):
            assert other[figure] == row[figure]


@pytest.mark.parametrize("devices", [2, 4])
def test_float32_stays_close_while_the_loss_falls(folder: Path, devices: int) -> None:
    alone, together = torch.load(folder / "1 float32.pt"), torch.load(folder / f"{devices} float32.pt")
    losses = [row["train_loss"] for row in alone["history"]]
    assert losses[-1] < 0.8 * losses[0]
    for name, start in alone["start"].items():
        one, other = alone["weights"][name] - start, together["weights"][name] - start
        assert torch.linalg.norm(other - one) <= 1e-4 * torch.linalg.norm(one), name


def test_dropout_was_on(folder: Path) -> None:
    """Without it the worlds would agree more easily than they are asked to."""
    network = AlexNet(read(ROOT / "profiles/imagenet-2012-paper.yaml", Model), CLASSES)
    assert network.dropout6.rate == network.dropout7.rate == 0.5


def test_any_number_of_processes_goes_on_from_any_others_state(folder: Path) -> None:
    # Six updates make the two epochs.
    for devices in (2, 4):
        on_devices(partial(train_some, folder=folder), world_of(devices), 2)
    alone = Mesh()
    relay = trainer_of(CASES["paper"], alone, torch.device("cpu"), folder, "relay")
    assert (relay.epoch, relay.consumed) == (2, BATCH)
    relay.run()
    undisturbed = torch.load(folder / "1 paper.pt")["weights"]
    for name, parameter in relay.network.named_parameters():
        difference = (parameter.detach() - undisturbed[name]).abs().max()
        assert difference <= 1e-10 * undisturbed[name].abs().max(), name


def test_a_column_is_half_a_network(folder: Path) -> None:
    network = AlexNet(read(ROOT / "profiles/imagenet-2012-paper.yaml", Model), CLASSES)
    whole = dict(network.named_parameters())
    halves = [part_of(whole, network, Mesh(rank, columns=2)) for rank in (0, 1)]
    for name, value in whole.items():
        assert torch.equal(torch.cat([half[name] for half in halves]), value)
    assert [len(half["fc8.weight"]) for half in halves] == [3, 4]


@dataclass(frozen=True)
class CountingMesh(Mesh):
    """Two columns, of which the other sends zeros; counts the bytes of a direction."""

    columns: int = 2
    sent: list[int] = field(default_factory=list)

    def swap(self, mine: Tensor, theirs: tuple[int, ...]) -> Tensor:
        self.sent.append(mine.numel() * mine.element_size())
        return torch.zeros(theirs, dtype=mine.dtype)


@pytest.mark.parametrize("conv6", [False, True])
def test_the_bytes_that_are_told_are_those_that_are_sent(conv6: bool) -> None:
    profile = read(ROOT / "profiles/imagenet-2012-paper.yaml", Model).model_dump()
    model = Model.model_validate({**profile, "conv6": conv6, "width": 0.1})
    mesh = CountingMesh()
    network = AlexNet(model, CLASSES)
    keep_column(network, mesh)
    logits = network(torch.randn(2, 3, 224, 224), torch.tensor([1, 2]))
    forward = sum(mesh.sent)
    mesh.sent.clear()
    logits.sum().backward()
    told = exchanges(model, CLASSES)[1:]
    # The first column has the smaller part of an odd number of logits: 3 of 7.
    assert forward == 2 * (sum(exchange.forward for exchange in told) - 4)
    assert sum(mesh.sent) == 2 * sum(exchange.backward for exchange in told)


def test_the_papers_network_exchanges_what_its_figure_shows() -> None:
    paper = read(ROOT / "profiles/imagenet-2012-paper.yaml", Model)
    halves = {exchange.what: exchange.forward // 4 for exchange in exchanges(paper, 1000)[1:]}
    assert halves == {
        "into conv3": 13 * 13 * 128,
        "into fc6": 6 * 6 * 128,
        "into fc7": 2048,
        "into fc8": 2048,
        "logits": 500,
    }

"""The same numbers on one process, on two with a column each, and on two pairs: real processes.

Every world trains the same cases and leaves its results as files; the tests compare them.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import (
    CASE_BATCH,
    CASE_CLASSES,
    CPU,
    PAPER,
    SOURCE,
    Case,
    gradient_of,
    random_patches,
    section,
    trainer_of,
    write_two_colours,
)
from torch import Tensor

from alexnet.core.machine import Machine
from alexnet.model.convolution import Convolution
from alexnet.model.network import AlexNet
from alexnet.model.params import Model
from alexnet.parallel.columns import exchanges, keep_column, part_of, whole_of
from alexnet.parallel.launch import on_devices
from alexnet.parallel.mesh import Mesh
from alexnet.training.trainer import Trainer

# With batches of 5, 5 and 1 one of two pairs has no picture of the last.
PICTURES, VALIDATION, UPDATES = 11, 7, 3

CASES = {
    "paper": Case(PAPER),
    "source": Case(SOURCE),
    "conv6": Case(PAPER, {"conv6": True}),
    "one column": Case(PAPER, {"columns": 1}),
    # 20 updates and more.
    "float32": Case(PAPER, {}, {"epochs": 7}, torch.float32, 2),
}


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


def train_in_relay(mesh: Mesh, device: torch.device, folder: Path) -> None:
    """Train on for two updates from where processes of another number stopped."""
    relay = trainer_of(CASES["paper"], mesh, device, folder, "relay")
    last = relay.step + 2
    relay.stop_asked = lambda: relay.step == last
    with pytest.raises(KeyboardInterrupt):
        relay.run()


def work(mesh: Mesh, device: torch.device, folder: Path, names: list[str]) -> None:
    """Do all that is compared, so that processes start but once."""
    train_cases(mesh, device, folder, names)
    if mesh.columns == 2:
        train_in_relay(mesh, device, folder)


TWO_COLUMNS = ["paper", "source", "conv6", "float32"]


def world_of(devices: int) -> Machine:
    return Machine(devices=devices, workers=1, timeout_seconds=120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one, two and four processes left what they trained."""
    folder = write_two_colours(tmp_path_factory.mktemp("worlds"), PICTURES, VALIDATION)
    for devices, names in ((1, TWO_COLUMNS), (2, TWO_COLUMNS), (4, ["paper", "float32"])):
        on_devices(partial(work, folder=folder, names=names), world_of(devices), 2)
    for devices in (1, 3):
        on_devices(partial(work, folder=folder, names=["one column"]), world_of(devices), 1)
    return folder


SHARED = pytest.mark.parametrize(
    ("devices", "name"),
    [(2, "paper"), (2, "source"), (2, "conv6"), (4, "paper"), (3, "one column")],
)


@SHARED
def test_float64_agrees_to_1e_10(folder: Path, devices: int, name: str) -> None:
    alone, together = torch.load(folder / f"1 {name}.pt"), torch.load(folder / f"{devices} {name}.pt")
    for what in ("start", "gradients", "weights"):
        assert alone[what].keys() == together[what].keys()
        for parameter, value in alone[what].items():
            difference = (together[what][parameter] - value).abs().max()
            assert difference <= 1e-10 * value.abs().max(), (what, parameter)
    # Without dropout they would agree more easily, and of nothing as well.
    assert section(Model, CASES[name].profile).dropout.rate == 0.5
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


def test_any_number_of_processes_goes_on_from_any_others_state(folder: Path) -> None:
    # Two and four processes have made four of the six updates.
    relay = trainer_of(CASES["paper"], Mesh(), CPU, folder, "relay")
    assert (relay.epoch, relay.consumed) == (2, CASE_BATCH)
    relay.run()
    undisturbed = torch.load(folder / "1 paper.pt")["weights"]
    for name, parameter in relay.network.named_parameters():
        difference = (parameter.detach() - undisturbed[name]).abs().max()
        assert difference <= 1e-10 * undisturbed[name].abs().max(), name


def test_a_column_is_half_a_network() -> None:
    network = AlexNet(section(Model, width=0.05), CASE_CLASSES)
    whole = dict(network.named_parameters())
    halves = [part_of(whole, network, Mesh(rank, columns=2)) for rank in (0, 1)]
    for name, value in whole.items():
        assert torch.equal(torch.cat([half[name] for half in halves]), value)
    assert [len(half["fc8.weight"]) for half in halves] == [3, 4]
    keep_column(network, Mesh(1, columns=2))
    assert isinstance(network.conv1, Convolution), "a GPU computes a plain one with a stride slowly"


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
    model = section(Model, conv6=conv6, width=0.1)
    mesh = CountingMesh()
    network = AlexNet(model, CASE_CLASSES)
    keep_column(network, mesh)
    logits = network(random_patches(2), torch.tensor([1, 2]))
    forward = sum(mesh.sent)
    mesh.sent.clear()
    logits.sum().backward()
    told = exchanges(model, CASE_CLASSES)[1:]
    # The first column has the smaller part of an odd number of logits: 3 of 7.
    assert forward == 2 * (sum(exchange.forward for exchange in told) - 4)
    assert sum(mesh.sent) == 2 * sum(exchange.backward for exchange in told)


def test_what_lies_between_two_exchanges_is_compiled_as_one_graph() -> None:
    network = AlexNet(section(Model, width=0.1), CASE_CLASSES)
    keep_column(network, CountingMesh())
    operators: list[int] = []

    def counting(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        operators.append(sum(node.op.startswith("call") for node in graph.graph.nodes))
        return graph.forward

    torch.compiler.reset()
    compiled = torch.compile(network, backend=counting, dynamic=False)
    compiled(random_patches(2), torch.tensor([1, 2]))
    # What is before conv3, from there to fc6, then fc6, fc7 and fc8; a graph of one operator joins nothing.
    assert sum(count > 3 for count in operators) == 5
    assert sum(count <= 3 for count in operators) <= 2


def test_the_papers_network_exchanges_what_its_figure_shows() -> None:
    halves = {exchange.what: exchange.forward // 4 for exchange in exchanges(section(Model), 1000)[1:]}
    assert halves == {
        "into conv3": 13 * 13 * 128,
        "into fc6": 6 * 6 * 128,
        "into fc7": 2048,
        "into fc8": 2048,
        "logits": 500,
    }

"""Training of a small network on pictures in memory, resumable after every epoch.

All that decides the numbers of a training is here and in the files that this one imports; its callers decide
how long it is.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from alexnet.core.code import sha256_of_code
from alexnet.core.draws import generator
from alexnet.core.files import fingerprint, sha256_of, write_json
from alexnet.core.machine import read_machine
from alexnet.core.params import Strict, read
from alexnet.core.places import MACHINE, STATE
from alexnet.core.progress import Progress, Style
from alexnet.parallel.device import choose_device
from alexnet.training.checkpoints import Checkpoints
from alexnet.training.precision import Precision
from experiments.figure1 import network as networks
from experiments.figure1.pictures import FOLDER, read_pictures
from experiments.figure1.settings import HERE, PARAMS, PIPELINE, Activation, Arm, Figure1, Norm


@dataclass(frozen=True)
class Data:
    """Training pictures on the device, uint8 (pictures, 3, side, side) and int64 (pictures,).

    `prepare` makes float pictures of them; `store` is the file they came from.
    """

    pixels: Tensor
    labels: Tensor
    prepare: Callable[[Tensor], Tensor]
    store: Path


def load(device: torch.device, unit_deviation: bool, folder: Path = FOLDER) -> Data:
    """Return the training pictures less the mean picture; in grey levels, or of deviation 1."""
    pictures = read_pictures("train", folder)
    mean = torch.from_numpy(pictures.pixels.mean(0, dtype="float64")).float().to(device)
    divisor = float(pictures.pixels.std(dtype="float64")) if unit_deviation else 1.0
    return Data(
        torch.from_numpy(pictures.pixels).to(device),
        torch.from_numpy(pictures.labels).to(device),
        lambda batch: (batch.float() - mean) / divisor,
        folder / "train.npz",
    )


def begin(grey: bool = False) -> tuple[Figure1, Data, Style]:
    """Return the settings, the training pictures, perhaps in `grey` levels anyway, and the style."""
    settings, machine = read(PARAMS, Figure1), read_machine(MACHINE)
    unit_deviation = settings.beginning == "unit-gain" and not grey
    return settings, load(choose_device(machine), unit_deviation), machine.progress


class Result(Strict, allow_inf_nan=True):
    """What a training left, or a sweep.

    Attributes:
        made_with: the settings that decided it.
        errors: the training error (fraction) of each epoch; of a sweep, at the chosen rate.
        swept: the same at each rate of a sweep.
        test_error, tested: the fraction that was wrong and the number of test pictures, where it was tested.
    """

    made_with: dict[str, Any]
    learning_rate: float
    errors: list[float]
    swept: dict[str, list[float]] = Field(default={})
    test_error: float = math.nan
    tested: int = 0

    def write(self, name: str) -> None:
        """Write it where `read_result` finds it."""
        write_json(HERE / f"{name}.json", self.model_dump())


def read_result(path: Path, made_with: dict[str, Any]) -> Result | None:
    """Return what is at `path`; None unless it is there and was made with the settings as they are now."""
    result = Result.model_validate(json.loads(path.read_text())) if path.exists() else None
    return result if result is not None and result.made_with == made_with else None


def epochs_to(errors: Sequence[float], goal: float) -> float | None:
    """Return when `errors`, one per epoch, fell to `goal`, or None when they did not.

    Between two epochs' ends the error is taken as a straight line; before the first it is unknown, so
    the first epoch counts whole.
    """
    for epoch, error in enumerate(errors, 1):
        if error <= goal:
            before = errors[epoch - 2] if epoch > 1 else math.nan
            return epoch - (goal - error) / (before - error) if before > goal else float(epoch)
    return None


class Training:
    """A network in training with plain momentum, and what came of each epoch.

    Args:
        network: as it begins; moved to where `data` is.
        groups: parameter groups of `torch.optim.SGD` with ``params``, ``full_rate`` and ``weight_decay``.
        facts: all that decides the numbers beside data and code; names the resumable state.
        norm: whose patches, mirrors and drops of the rate it has, or None. With it, the network at the end
            counts and not only the errors on its way: a state after more than its epochs is not resumed.

    Attributes:
        errors: the training error (fraction) of each epoch done: the share of its pictures that was
            classified wrongly as they came by, which is what cuda-convnet printed.
    """

    def __init__(
        self,
        network: nn.Module,
        groups: list[dict[str, Any]],
        data: Data,
        settings: Figure1,
        seed: int,
        facts: dict[str, Any],
        norm: Norm | None = None,
    ) -> None:
        device = data.labels.device
        self.network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.SGD(groups, lr=0.0, momentum=settings.momentum, foreach=True)
        self.data, self.batch_size, self.seed, self.norm = data, settings.batch_size, seed, norm
        self.precision = Precision(settings.precision, device)
        self.errors: list[float] = []
        name = fingerprint(
            facts=facts,
            batch_size=settings.batch_size,
            momentum=settings.momentum,
            seed=seed,
            precision=self.precision.name,
            pictures=sha256_of(data.store),
            code=sha256_of_code("train", PIPELINE),
        )
        self.checkpoints = Checkpoints(STATE / "figure1" / name)
        # These states are named by the epochs behind them, not by the one they are in.
        kept = self.checkpoints.newest(10**9 if norm is None else norm.epochs - 1)
        if kept is not None:
            self.network.load_state_dict(kept["network"])
            self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": kept["optimiser"]})
            self.errors = list(kept["errors"])

    def train_epoch(self, label: str, style: Style = "auto") -> float:
        """Train one more epoch, keep its state, and return its training error."""
        epoch, count = len(self.errors) + 1, len(self.data.labels)
        divisor = 10.0 ** sum(drop <= epoch for drop in (self.norm.drop_epochs if self.norm else []))
        for group in self.optimiser.param_groups:
            group["lr"] = group["full_rate"] / divisor
        order = generator(self.seed, "figure 1, order", epoch).permutation(count)
        wrong = torch.zeros((), dtype=torch.int64, device=self.data.labels.device)
        places = None
        if self.norm is not None:
            places = drawn_places(self.seed, epoch, count, self.data.pixels.shape[-1] - self.norm.crop)
        self.network.train()
        with Progress(f"{label} epoch {epoch}", count, style) as progress:
            for start in range(0, count, self.batch_size):
                numbers = order[start : start + self.batch_size]
                wrong += self.step(numbers, places)
                progress.advance(len(numbers))
        self.errors.append(float(wrong) / count)
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self.network.parameters()):
            self.errors[-1] = math.nan
        state = {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()["state"]}
        self.checkpoints.save({"epoch": epoch, "consumed": 0, **state, "errors": self.errors})
        return self.errors[-1]

    def step(self, numbers: NDArray[np.int64], places: NDArray[np.int64] | None) -> Tensor:
        """Update the weights once and return how many of the pictures were classified wrongly.

        `places` are those of all pictures' patches, if not the whole pictures are trained on.
        """
        chosen = torch.from_numpy(numbers).to(self.data.labels.device)
        pictures, labels = self.data.prepare(self.data.pixels[chosen]), self.data.labels[chosen]
        if places is not None and self.norm is not None:
            pictures = patches(pictures, places[:, numbers], self.norm.crop)
        logits = self.logits(pictures)
        self.optimiser.zero_grad()
        functional.cross_entropy(logits, labels).backward()
        self.optimiser.step()
        return (logits.argmax(1) != labels).sum()

    def logits(self, pictures: Tensor) -> Tensor:
        """Return the network's outputs (batch, classes) for float `pictures` (batch, 3, side, side)."""
        return self.precision.run(self.network, pictures.contiguous(memory_format=torch.channels_last))


def begin_four_layers(
    settings: Figure1, activation: Activation, rate: float, seed: int, data: Data
) -> Training:
    network = networks.FourLayers(activation, settings.side, int(data.labels.max()) + 1)
    unit = settings.beginning == "unit-gain"
    networks.initialise(network, networks.unit_gain(network) if unit else networks.FOUR_LAYERS_WEIGHTS, seed)
    groups = [{"params": list(network.parameters()), "full_rate": rate, "weight_decay": 0.0}]
    facts = {"activation": activation, "rate": rate, "side": settings.side, "beginning": settings.beginning}
    return Training(network, groups, data, settings, seed, facts)


def begin_local_net(settings: Figure1, arm: Arm, seed: int, data: Data) -> Training:
    """Return the training of the net with or without normalisation, begun or resumed.

    The weights of the convolutions do not decay, nor do biases, which have twice the rate.
    """
    norm = settings.norm
    network = networks.LocalNet(arm, norm, norm.crop, int(data.labels.max()) + 1)
    networks.initialise(network, networks.LOCAL_NET_WEIGHTS, seed)
    full = norm.weight_decay if arm == "13-percent" else norm.full_weight_decay
    decays = {"local3.weight": norm.weight_decay, "local4.weight": norm.weight_decay, "fc.weight": full}
    groups: list[dict[str, Any]] = []
    for name, parameter in network.named_parameters():
        rate = norm.learning_rate * (2 if name.endswith(".bias") else 1)
        groups.append({"params": [parameter], "full_rate": rate, "weight_decay": decays.get(name, 0.0)})
    facts = {"arm": arm, "side": settings.side, "norm": norm.model_dump(exclude={"seeds", "epochs"})}
    return Training(network, groups, data, settings, seed, facts, norm)


def drawn_places(seed: int, epoch: int, pictures: int, room: int) -> NDArray[np.int64]:
    """Return (3, pictures) by (seed, epoch, picture): top and left, 0 to `room`, and whether mirrored."""
    draw = generator(seed, "figure 1, crops and mirrors", epoch)
    return draw.integers(0, np.array([room + 1, room + 1, 2])[:, None], (3, pictures))


def patches(batch: Tensor, places: NDArray[np.int64], crop: int) -> Tensor:
    """Return patches (batch, 3, crop, crop) at `places`, (3, batch), of `batch`."""
    top, left, mirrored = torch.from_numpy(places).to(batch.device)
    along = torch.arange(crop, device=batch.device)
    rows = top[:, None] + along
    columns = left[:, None] + torch.where(mirrored[:, None] == 1, along.flip(0), along)
    one = torch.arange(len(batch), device=batch.device)[:, None, None, None]
    maps = torch.arange(batch.shape[1], device=batch.device)[:, None, None]
    return batch[one, maps, rows[:, None, :, None], columns[:, None, None, :]]
